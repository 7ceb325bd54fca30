"""What an apply leaves behind, on a disk that is nearly full and in folders that others have left."""

import csv
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from aiolosant import LosantClient, PlanError, by_name, reconcile
from aiolosant.emulator import Emulator, RequestRecord
from aiolosant.models import ExperienceGroup
from aiolosant.reconcile import Change, ChangeOutcome, Plan, Record
from aiolosant.reconcile.journal import Journal
from aiolosant.reconcile.runs import JOURNAL, read_runs

from .records import carry_out, make_plan
from .undoing import rows_of


def plan_of_updates(count: int) -> Plan:
    groups = [ExperienceGroup(id=f"{n:024x}", name=f"Group {n}", description="x" * 5000) for n in range(count)]
    changes = [Change("update", (group.name,), group.id, {"description": "new"}, current=group) for group in groups]
    return Plan(tuple(changes), 0, by_name(), application_id="a" * 24, live=count)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may become larger, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_that_the_disk_takes_a_part_of_is_not_written_at_all(tmp_path: Path) -> None:
    """The change is not sent then, and what is written when there is room again can be read."""
    plan = plan_of_updates(3)
    journal = Journal(tmp_path, plan)
    journal.begin(0, {"description": "new"}, plan.changes[0].current)
    size = (tmp_path / JOURNAL).stat().st_size
    with room_for(size + 3000), pytest.raises(OSError, match="large"):
        journal.begin(1, {"description": "new"}, plan.changes[1].current)
    assert (tmp_path / JOURNAL).stat().st_size == size
    journal.begin(2, {"description": "new"}, plan.changes[2].current)
    journal.end(0, ChangeOutcome(plan.changes[0], "done", plan.changes[0].current, None))
    journal.close()
    (run,) = read_runs(tmp_path)
    assert [(entry.path, entry.status) for entry in run.entries] == [(("Group 0",), "done"), (("Group 2",), None)]


@pytest.mark.parametrize("left", [b"", b'{"format": "aiolos'])
def test_a_journal_that_was_killed_in_its_first_line_is_begun_anew(tmp_path: Path, left: bytes) -> None:
    """Nothing was sent then, so that the folder is as good as empty."""
    (tmp_path / JOURNAL).write_bytes(left)
    plan = plan_of_updates(1)
    journal = Journal(tmp_path, plan)
    journal.begin(0, {"description": "new"}, plan.changes[0].current)
    journal.close()
    (run,) = read_runs(tmp_path)
    assert len(run.entries) == 1


def test_what_failed_gets_no_parent_of_another_file(tmp_path: Path) -> None:
    """An id of a file means something else in the next one."""
    (tmp_path / "ids.json").write_text(json.dumps({"1": "f" * 24}))
    rows = [{"id": "1", "parentId": "", "name": "A"}, {"id": "2", "parentId": "1", "name": "B"}]
    above, below = (Record({"name": row["name"]}, row["id"], row["parentId"] or None, row=row) for row in rows)
    changes = (
        Change("create", ("A",), None, {"name": "A"}, record=above),
        Change("create", ("A", "B"), None, {"name": "B"}, parent=0, depends_on=0, record=below),
    )
    journal = Journal(tmp_path, Plan(changes, 0, by_name(), application_id="a" * 24))
    for n, status in enumerate(("failed", "skipped")):
        journal.end(n, ChangeOutcome(changes[n], status, None, ValueError("no")))  # type: ignore[arg-type]  # one of them
    journal.close()
    assert [line.split(",")[1] for line in (tmp_path / "failed.csv").read_text().splitlines()] == ["parentId", "", "1"]


async def test_what_failed_says_that_it_was_to_add_members(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """Mended and applied it would take away the others, if it did not."""
    there, new = "d" * 24, "e" * 24
    emulator.create_groups([{"name": "A", "deviceIds": [there]}])

    def refuse(request: RequestRecord) -> None:
        if request.method == "PATCH":
            raise ValueError("no")

    emulator.before_request = refuse
    records = [{"name": "A", "deviceIds": [new], "membersMode": "add"}]
    await carry_out(losant, await make_plan(losant, records, by_name()), journal=tmp_path)
    emulator.before_request = None
    again = await reconcile.plan(
        losant.experience_groups, reconcile.read_records(tmp_path / "failed.csv"), match_by=by_name()
    )
    assert [set(change.fields["device_ids"]) for change in again.changes] == [{there, new}]


async def test_what_failed_is_separated_as_the_file_was(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """It is mended in the same program and read with the same options, also when the plan was kept."""
    file = tmp_path / "groups.csv"
    file.write_text("Kunde;Ort;description\nAcme;;a, b\nBeta;Bonn;c\n")
    options: dict[str, Any] = {"delimiter": ";", "levels": ("Kunde", "Ort")}

    def refuse(request: RequestRecord) -> None:
        if request.method == "POST":
            raise ValueError("no; never")

    emulator.before_request = refuse
    made = await make_plan(losant, reconcile.read_records(file, **options), by_name())
    made.save(tmp_path / "night.plan")
    await carry_out(losant, reconcile.Plan.load(tmp_path / "night.plan"), journal=tmp_path)
    emulator.before_request = None
    assert (tmp_path / "failed.csv").read_text().splitlines()[0] == "Kunde;Ort;description;error"
    again = await make_plan(losant, reconcile.read_records(tmp_path / "failed.csv", **options), by_name())
    assert sorted(again.diff()) == sorted(made.diff())
    await carry_out(losant, again, journal=tmp_path)
    done = list(csv.DictReader((tmp_path / "done.csv").read_text().splitlines(), delimiter=";"))
    assert {row["description"] for row in done if not row["Ort"]} == {"a, b", ""}


async def test_columns_of_the_files_own_keep_their_names(losant: LosantClient, tmp_path: Path) -> None:
    """Those that are added are called otherwise, in a way that is read over."""
    file = tmp_path / "groups.csv"
    file.write_text("name,status,groupId\nAcme,open,7\n")
    columns: dict[str, str | None] = {"status": "groupTags.status", "groupId": None}
    records = reconcile.read_records(file, columns=columns)
    for _ in range(2):
        await carry_out(losant, await make_plan(losant, records, by_name()), journal=tmp_path)
    (row,) = rows_of(tmp_path / "done.csv")
    assert (row["status"], row["groupId"], row["_status"]) == ("open", "7", "done")
    assert len(row["_groupId"]) == 24
    assert len(reconcile.read_records(tmp_path / "done.csv", columns=columns)) == 1


async def test_a_run_with_nothing_to_do_leaves_what_was_told(losant: LosantClient, tmp_path: Path) -> None:
    """It is the list of who has got which id."""
    records = [{"id": "1", "name": "A"}]
    for _ in range(2):
        await carry_out(losant, await make_plan(losant, records, by_name()), journal=tmp_path)
    assert names_in(tmp_path) == ["done.csv", "failed.csv", "ids.json", "journal.jsonl"]
    (row,) = rows_of(tmp_path / "done.csv")
    assert json.loads((tmp_path / "ids.json").read_text()) == {"1": row["groupId"]}


async def test_a_group_that_was_made_without_its_own_id_is_taken_back(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """It is there, so that to call the change failed would hide it from an undo."""
    own = "b" * 24

    def refuse(request: RequestRecord) -> None:
        if request.method == "PATCH":
            raise ValueError("no")

    emulator.before_request = refuse
    records = [{"id": own, "name": "A", "deviceTags": [{"key": "site", "value": own}]}]
    (outcome,) = await carry_out(losant, await make_plan(losant, records, by_name()), journal=tmp_path)
    (made,) = emulator.groups()
    assert outcome.status == "unknown"
    assert f"{made['id']} was made" in str(outcome.error)
    emulator.before_request = None
    plan = await reconcile.undo(losant.experience_groups, tmp_path)
    assert [(change.action, change.group_id) for change in plan.changes] == [("delete", made["id"])]


async def test_a_record_without_a_description_can_be_undone(losant: LosantClient, tmp_path: Path) -> None:
    """None is none, and the API has no null for it."""
    records = [Record({"name": "A", "description": None})]
    made = await reconcile.plan(losant.experience_groups, records, match_by=by_name())
    await carry_out(losant, made, journal=tmp_path)
    plan = await reconcile.undo(losant.experience_groups, tmp_path)
    assert plan.count("delete") == 1


def plan_of_creates(count: int) -> Plan:
    records = [Record({"name": f"{n}"}, f"{n}", None) for n in range(count)]
    changes = [Change("create", (f"{n}",), None, {"name": f"{n}"}, record=record) for n, record in enumerate(records)]
    return Plan(tuple(changes), 0, by_name(), application_id="a" * 24)


def made(plan: Plan, index: int) -> ChangeOutcome:
    group = ExperienceGroup(id=f"{index + 1:024x}", name=f"{index}")
    return ChangeOutcome(plan.changes[index], "done", group, None)


def test_nothing_is_begun_after_an_outcome_that_could_not_be_written(tmp_path: Path) -> None:
    """Though there is room again; and what has happened is told all the same."""
    plan = plan_of_updates(2)
    journal = Journal(tmp_path, plan)
    journal.begin(0, {"description": "new"}, plan.changes[0].current)
    with room_for((tmp_path / JOURNAL).stat().st_size + 100):
        journal.end(0, ChangeOutcome(plan.changes[0], "done", plan.changes[0].current, None))
    with pytest.raises(OSError, match="large"):
        journal.begin(1, {"description": "new"}, plan.changes[1].current)
    journal.close()
    (run,) = read_runs(tmp_path)
    assert [(entry.path, entry.status) for entry in run.entries] == [(("Group 0",), None)]


def test_what_ends_after_the_journal_was_closed_is_still_written(tmp_path: Path) -> None:
    """Such as a create on the wire when its consumer left."""
    plan = plan_of_creates(1)
    journal = Journal(tmp_path, plan)
    journal.begin(0, {"name": "0"}, None)
    journal.close()
    journal.end(0, made(plan, 0))
    (run,) = read_runs(tmp_path)
    assert [entry.status for entry in run.entries] == ["done"]
    assert f"{1:024x}" in (tmp_path / "done.csv").read_text()


def test_the_ids_are_written_while_an_apply_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill they are not much older than the journal; in between they are left, since there may be many."""
    now = 0.0
    monkeypatch.setattr("aiolosant.reconcile.journal.time.monotonic", lambda: now)
    plan = plan_of_creates(3)
    journal = Journal(tmp_path, plan)
    seen = []
    for n in range(3):
        now += 0.6
        journal.begin(n, {"name": f"{n}"}, None)
        journal.end(n, made(plan, n))
        seen.append(sorted(json.loads((tmp_path / "ids.json").read_text())))
    journal.close()
    assert seen == [[], ["0", "1"], ["0", "1"]]
    assert sorted(json.loads((tmp_path / "ids.json").read_text())) == ["0", "1", "2"]


def test_ids_that_cannot_be_written_in_the_end_fail_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The groups are there, and the journal tells of them; the older ids stay, and a word is in the log."""
    plan = plan_of_creates(1)
    journal = Journal(tmp_path, plan)
    journal.begin(0, {"name": "0"}, None)
    journal.end(0, made(plan, 0))
    with room_for(0):
        journal.close()
    assert json.loads((tmp_path / "ids.json").read_text()) == {}
    assert "ids.json cannot be written" in caplog.text
    (run,) = read_runs(tmp_path)
    assert [entry.status for entry in run.entries] == ["done"]


def test_a_journal_of_a_later_format_is_refused(tmp_path: Path) -> None:
    """It may mean something else by the same words."""
    Journal(tmp_path, plan_of_updates(1)).close()
    file = tmp_path / JOURNAL
    file.write_text(file.read_text().replace('"version":1', '"version":2'))
    with pytest.raises(PlanError, match="of format 2, and 1 is known"):
        read_runs(tmp_path)


async def test_what_was_done_with_a_file_of_other_columns_is_kept(losant: LosantClient, tmp_path: Path) -> None:
    """Under another name, since one table cannot hold both; no row goes below a header that is not its own."""
    for name, content in (("one", "id,name\n1,A\n"), ("two", "name,description\nB,x\n")):
        (tmp_path / f"{name}.csv").write_text(content)
        records = reconcile.read_records(tmp_path / f"{name}.csv")
        await carry_out(losant, await make_plan(losant, records, by_name()), journal=tmp_path / "night")
    (kept,) = (tmp_path / "night").glob("done-*.csv")
    assert [(row["id"], row["name"], row["status"]) for row in rows_of(kept)] == [("1", "A", "done")]
    (row,) = rows_of(tmp_path / "night/done.csv")
    assert (row["name"], row["description"], row["status"]) == ("B", "x", "done")


def test_what_is_written_of_a_record_does_not_change_it(tmp_path: Path) -> None:
    """The plan may be saved or applied once more."""
    rows = [{"id": "1", "parentId": "", "name": "0"}, {"id": "2", "parentId": "1", "name": "B"}]
    above, below = (Record({"name": row["name"]}, row["id"], row["parentId"] or None, row=row) for row in rows)
    changes = (
        Change("create", ("0",), None, {"name": "0"}, record=above),
        Change("create", ("0", "B"), None, {"name": "B"}, parent=0, depends_on=0, record=below),
    )
    plan = Plan(changes, 0, by_name(), application_id="a" * 24)
    journal = Journal(tmp_path, plan)
    journal.end(0, made(plan, 0))
    journal.end(1, ChangeOutcome(changes[1], "failed", None, ValueError("no")))
    journal.close()
    assert [row["parentId"] for row in rows_of(tmp_path / "failed.csv")] == [f"{1:024x}"]
    assert rows[1]["parentId"] == "1"
    assert below.row is not None
    assert below.row["parentId"] == "1"


def test_a_journal_may_be_in_a_folder_below_new_ones(tmp_path: Path) -> None:
    """All of them are made."""
    Journal(tmp_path / "runs" / "2026" / "night", plan_of_updates(1)).close()
    assert len(read_runs(tmp_path / "runs" / "2026" / "night")) == 1


def test_a_plan_without_an_application_goes_on_with_any_journal(tmp_path: Path) -> None:
    """As `compare` makes it where nobody says whose groups they are."""
    plan = plan_of_updates(1)
    for application_id in ("a" * 24, None, "A" * 24):
        Journal(tmp_path, attrs.evolve(plan, application_id=application_id)).close()
    assert [run.application_id for run in read_runs(tmp_path)] == ["a" * 24, None, "A" * 24]


def test_empty_lines_do_no_harm_to_a_journal_and_others_before_it_do(tmp_path: Path) -> None:
    """An editor leaves the ones; the others say that the file is something else."""
    Journal(tmp_path, plan_of_updates(1)).close()
    file = tmp_path / JOURNAL
    whole = file.read_text()
    file.write_text(whole + "\n\n\n")
    assert len(read_runs(tmp_path)) == 1
    file.write_text('{"run": "1", "n": 0, "status": "done"}\n' + whole)
    with pytest.raises(PlanError, match=r"this is no journal of aiolosant \(line 1\)"):
        read_runs(tmp_path)
