"""The way back from an apply: by its journal, also after a kill, and past what others have done since."""

import csv
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiolosant import LosantClient, LosantError, PlanError, RetryPolicy, by_name, by_tag, reconcile
from aiolosant.emulator import Emulator, Fault, RequestRecord
from aiolosant.reconcile import read_records

from ..conftest import client_of
from .records import TAG, Records, carry_out, forests, make_plan, renamed

QUICK = RetryPolicy(first_delay=0.001, max_delay=0.002, settle_time=0.01, max_attempts=3, patience=0.05)


def whole(emulator: Emulator) -> Counter[str]:
    """The tree by names, fields, tags and members."""
    groups = {group["id"]: group for group in emulator.groups()}

    def told(group: dict[str, Any]) -> str:
        path = [groups[one]["name"] for one in group["ancestorIds"]]
        members = [sorted(one.lower() for one in group["deviceIds"])]
        return json.dumps(
            [path, group["name"], group.get("description") or "", sorted(group["groupTags"].items()), members]
        )

    return Counter(map(told, groups.values()))


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of its own for each example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def full_disk(*_: object) -> bytes:
    raise OSError(28, "No space left on device")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


WAYS = ["name", "tag", "tag, one name"]


async def undo(losant: LosantClient, where: Path) -> list[str]:
    """Undo, and return what was left."""
    plan = await reconcile.undo(losant.experience_groups, where)
    outcomes = await carry_out(losant, plan)
    assert [outcome for outcome in outcomes if not outcome.ok] == []
    return [warning.message for warning in plan.warnings if warning.kind == "undo"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(before=forests(), after=forests(), prune=st.booleans(), way=st.sampled_from(WAYS), twice=st.booleans())
async def test_undo_gives_back_the_tree(before: Records, after: Records, prune: bool, way: str, twice: bool) -> None:
    """By names, fields, tags and members; of two runs in one journal both are undone, whatever has one name."""
    by = by_name() if way == "name" else by_tag(TAG)
    if way == "tag, one name":
        before, after = ([record | {"name": "Same"} for record in records] for records in (before, after))
    with folder() as journal:
        async with Emulator() as emulator, client_of(emulator) as losant:
            emulator.create_groups(before)
            there = whole(emulator)
            for records in [after, renamed(after, "!")] if twice else [after]:
                plan = await make_plan(losant, records, by, prune=prune and bool(records))
                await carry_out(losant, plan, journal=journal)
            assert await undo(losant, journal) == []
            assert whole(emulator) == there


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    before=forests(),
    after=forests(),
    kill=st.integers(1, 12),
    applied=st.booleans(),
    cut=st.floats(0, 1),
    tag=st.booleans(),
)
async def test_undo_gives_back_the_tree_after_a_kill(
    before: Records, after: Records, kill: int, applied: bool, cut: float, tag: bool
) -> None:
    """At any write, whether or not it was carried out, and in the middle of a line that tells an outcome."""
    with folder() as journal, folder() as killed:
        async with Emulator() as emulator, client_of(emulator, retry=QUICK) as losant:
            emulator.create_groups(before)
            there = whole(emulator)
            plan = await make_plan(losant, after, by_tag(TAG) if tag else by_name(), prune=bool(after))
            writes = 0

            def die(request: RequestRecord) -> Fault | None:
                nonlocal writes
                writes += request.method != "GET"
                if writes < kill:
                    return None
                if writes > kill or request.method == "GET":
                    return Fault.CUT_BEFORE_WRITE
                shutil.copytree(journal, killed, dirs_exist_ok=True)
                writes += 1
                return Fault.CUT_AFTER_WRITE if applied else Fault.CUT_BEFORE_WRITE

            emulator.before_request = die
            outcomes = reconcile.apply(losant.experience_groups, plan, concurrency=2, journal=journal)
            try:
                async for _ in outcomes:
                    pass
            except LosantError:  # the process is dead
                await outcomes.aclose()
            emulator.before_request = None
            if writes < kill:
                shutil.copytree(journal, killed, dirs_exist_ok=True)
            lines = (killed / "journal.jsonl").read_bytes().splitlines(keepends=True)
            if b'"status"' in lines[-1]:
                lines[-1] = lines[-1][: int(len(lines[-1]) * cut)]
                (killed / "journal.jsonl").write_bytes(b"".join(lines))
            assert await undo(losant, killed) == []
            assert whole(emulator) == there


async def test_what_others_touched_is_left_and_told(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """A changed field, a used new group, and one that was made again."""
    ids = emulator.create_groups([{"id": "a", "name": "A", "description": "old"}, {"name": "Gone"}])
    records = [{"id": "a", "name": "A", "description": "new"}, {"name": "Used"}, {"name": "Fresh"}]
    plan = await make_plan(losant, records, by_name(), prune=True)
    await carry_out(losant, plan, journal=tmp_path)
    made = {group["name"]: group["id"] for group in emulator.groups()}
    emulator.update_group(ids["a"], {"description": "theirs"})
    emulator.create_groups([{"name": "below", "parentId": made["Used"]}])
    left = await undo(losant, tmp_path)
    assert sorted(name for name in (group["name"] for group in emulator.groups())) == ["A", "Gone", "Used", "below"]
    assert emulator.groups()[0]["description"] == "theirs"
    assert any("somebody has changed its description since" in one for one in left)
    assert any("there is a group of somebody else's below" in one for one in left)


async def test_children_come_back_below_what_was_deleted(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """With members and tags, under a new id; what somebody has moved since stays where it is."""
    users = [emulator.create_experience_user("a@example.com")]
    emulator.create_groups(
        [
            {"id": "p", "name": "P", "groupTags": {TAG: "1"}},
            {"id": "q", "name": "Q", "parentId": "p", "groupTags": {TAG: "2"}, "experienceUserIds": users},
            {"id": "x", "name": "X", "parentId": "q"},
            {"id": "y", "name": "Y", "parentId": "q"},
        ]
    )
    there = whole(emulator)
    plan = await make_plan(losant, [{"name": "Other", "groupTags": {TAG: "9"}}], by_tag(TAG), prune=True)
    await carry_out(losant, plan, journal=tmp_path)
    assert await undo(losant, tmp_path) == []
    assert whole(emulator) == there
    (again,) = (group for group in emulator.groups() if group["name"] == "Q")
    assert again["experienceUserIds"] == users


async def test_the_results_are_there_when_it_ends(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """Done, failed with the file's own columns and the parent's live id, and the ids of all."""
    emulator.create_groups([{"name": "There"}])
    file = tmp_path / "groups.csv"
    file.write_text("id,parentId,name,description,groupTags.k\n0,,There,,\n1,,Fine,x,y\n2,1,Refused,,\n3,2,Below,,\n")
    emulator.before_request = lambda request: _refuse(request)
    plan = await reconcile.plan(losant.experience_groups, read_records(file), match_by=by_name())
    await carry_out(losant, plan, journal=tmp_path / "night")
    emulator.before_request = None
    live = {group["name"]: group["id"] for group in emulator.groups()}
    rows = rows_of(tmp_path / "night/done.csv")
    assert [(row["id"], row["name"], row["groupId"], row["status"]) for row in rows] == [
        ("1", "Fine", live["Fine"], "done")
    ]
    rows = rows_of(tmp_path / "night/failed.csv")
    assert [(row["name"], row["parentId"], row["error"].split(":")[0]) for row in rows] == [
        ("Refused", live["Fine"], "failed"),
        ("Below", "2", "skipped"),
    ]
    assert "not in this house" in rows[0]["error"]
    assert json.loads((tmp_path / "night/ids.json").read_text()) == {"0": live["There"], "1": live["Fine"]}
    # Mended, it is applied as it is.
    again = await reconcile.plan(
        losant.experience_groups, read_records(tmp_path / "night/failed.csv"), match_by=by_name()
    )
    assert list(again.diff()) == ["+ Fine / Refused", "+ Fine / Refused / Below"]


def _refuse(request: RequestRecord) -> None:
    if b"Refused" in request.body:
        raise ValueError("not in this house")


async def test_a_journal_that_cannot_be_written_stops_before_anything_more_is_sent(
    emulator: Emulator, losant: LosantClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: what was sent has its outcome, then the error is raised."""
    plan = await make_plan(losant, [{"name": f"{n}"} for n in range(50)], by_name())
    run = reconcile.apply(losant.experience_groups, plan, concurrency=1, journal=tmp_path)
    seen = []
    with pytest.raises(OSError, match="No space left"):
        async for outcome in run:
            seen.append(outcome.status)
            if len(seen) == 3:
                monkeypatch.setattr("aiolosant.reconcile.journal.msgspec.json.encode", full_disk)
    assert seen[:3] == ["done"] * 3
    assert len(emulator.groups()) == seen.count("done") < 50


async def test_another_application_is_refused(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """A plan, and a journal to go on with or to undo."""
    other = losant.application(emulator.create_application()).experience_groups
    plan = await make_plan(losant, [{"name": "A"}], by_name())
    with pytest.raises(PlanError, match="the plan is about the application"):
        reconcile.apply(other, plan)
    await carry_out(losant, plan, journal=tmp_path)
    with pytest.raises(PlanError, match="is about the application"):
        await reconcile.undo(other, tmp_path)
    theirs = await reconcile.plan(other, [{"name": "A"}], match_by=by_name())
    with pytest.raises(PlanError, match="is about the application"):
        reconcile.apply(other, theirs, journal=tmp_path)


async def test_a_kept_plan_does_what_was_approved_less_what_others_changed(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """50 groups are made meanwhile, and 3 of the planned ones changed: these are stale, and nothing else happens."""
    emulator.create_groups([{"name": f"G{n}", "groupTags": {TAG: str(n)}} for n in range(20)])
    records = [{"name": f"G{n}", "description": "new", "groupTags": {TAG: str(n)}} for n in range(10)]
    plan = await make_plan(losant, records, by_tag(TAG), prune=True)
    plan.save(tmp_path / "night.plan")
    emulator.create_groups([{"name": f"N{n}", "groupTags": {TAG: f"n{n}"}} for n in range(50)])
    live = {group["name"]: group["id"] for group in emulator.groups()}
    for name in ("G1", "G2"):
        emulator.update_group(live[name], {"description": "theirs"})
    emulator.update_group(live["G15"], {"description": "theirs"})
    outcomes = await carry_out(losant, reconcile.Plan.load(tmp_path / "night.plan"))
    stale = sorted(outcome.change.path[-1] for outcome in outcomes if outcome.status == "stale")
    # Nothing is deleted unless all else goes well.
    assert stale == ["G1", "G2"]
    assert {outcome.status for outcome in outcomes if outcome.change.action == "delete"} == {"skipped"}
    assert len(emulator.groups()) == 70


async def test_names_that_meet_are_told_apart(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """Two deleted groups of one name come back as two, and one that stays keeps what it is."""
    emulator.create_groups([{"name": "X", "groupTags": {TAG: f"{n}"}, "description": f"{n}"} for n in range(3)])
    there = whole(emulator)
    plan = await make_plan(losant, [{"name": "X", "groupTags": {TAG: "2"}}], by_tag(TAG), prune=True)
    await carry_out(losant, plan, journal=tmp_path)
    assert await undo(losant, tmp_path) == []
    assert whole(emulator) == there
    assert await undo(losant, tmp_path) == []  # once more: they are there again
    assert whole(emulator) == there


async def test_what_others_made_in_its_place_is_left(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """The deleted one comes back beside it."""
    emulator.create_groups([{"name": "A"}, {"name": "B", "description": "ours"}])
    await carry_out(losant, await make_plan(losant, [{"name": "A"}], by_name(), prune=True), journal=tmp_path)
    emulator.create_groups([{"name": "B", "description": "theirs"}])
    await undo(losant, tmp_path)
    assert [group.get("description", "") for group in emulator.groups()] == ["", "theirs", "ours"]


async def test_what_was_deleted_and_made_again_goes_back(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """By two runs of one journal."""
    emulator.create_groups([{"id": "k", "name": "K"}, {"id": "x", "name": "X"}, {"name": "below", "parentId": "x"}])
    there = whole(emulator)
    for records in ([{"name": "K"}], [{"name": "K"}, {"name": "X"}]):
        await carry_out(losant, await make_plan(losant, records, by_name(), prune=True), journal=tmp_path)
    assert await undo(losant, tmp_path) == []
    assert whole(emulator) == there


async def test_a_create_that_was_never_sent_is_nobodys(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """A colleague makes the same group before: it was only looked up, and is not deleted."""
    plan = await make_plan(losant, [{"name": "N"}], by_name())
    emulator.create_groups([{"name": "N"}])
    await carry_out(losant, plan, journal=tmp_path)
    assert b'"action"' not in (tmp_path / "journal.jsonl").read_bytes()
    assert await undo(losant, tmp_path) == []
    assert [group["name"] for group in emulator.groups()] == ["N"]


def forget_outcome(journal: Path) -> None:
    """Cut the last line off, as a kill does."""
    lines = (journal / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert b'"status"' in lines[-1]
    (journal / "journal.jsonl").write_bytes(b"".join(lines[:-1]))


@pytest.mark.parametrize("then", ["update", "prune", "touch"])
async def test_a_create_that_was_cut_off_is_known_by_what_came_later(
    emulator: Emulator, losant: LosantClient, tmp_path: Path, then: str
) -> None:
    """By a second run that changes or deletes it; what somebody else has changed is told."""
    emulator.create_groups([{"name": "K"}])
    records: Records = [{"name": "K"}, {"name": "X", "description": "1"}]
    await carry_out(losant, await make_plan(losant, records, by_name()), journal=tmp_path)
    forget_outcome(tmp_path)
    made = next(group["id"] for group in emulator.groups() if group["name"] == "X")
    if then == "touch":
        emulator.update_group(made, {"description": "theirs"})
    else:
        again = records[:1] if then == "prune" else [{"name": "K"}, {"name": "X", "description": "2"}]
        await carry_out(losant, await make_plan(losant, again, by_name(), prune=True), journal=tmp_path)
    left = await undo(losant, tmp_path)
    assert [group["name"] for group in emulator.groups()] == (["K", "X"] if then == "touch" else ["K"])
    assert bool(left) is (then == "touch")


async def test_children_of_a_delete_that_was_resumed_go_back(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """The first run deletes the inner group, the second the outer one: each child goes back where it was."""
    ids = emulator.create_groups(
        [
            {"id": "g", "name": "G", "groupTags": {TAG: "g"}},
            {"id": "p", "name": "P", "parentId": "g", "groupTags": {TAG: "p"}},
            {"id": "c", "name": "C", "parentId": "p"},
        ]
    )
    there = whole(emulator)
    for kept in (["g"], []):
        records = [{"name": name.upper(), "groupTags": {TAG: name}} for name in kept] + [
            {"name": "new", "groupTags": {TAG: "new"}}
        ]
        await carry_out(losant, await make_plan(losant, records, by_tag(TAG), prune=True), journal=tmp_path)
    assert emulator.groups()[0]["id"] == ids["c"]
    assert await undo(losant, tmp_path) == []
    assert whole(emulator) == there


async def test_a_group_below_which_others_have_put_one_is_not_deleted(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """By an apply it is stale, and by an undo it is left and told."""
    ids = emulator.create_groups([{"id": "p", "name": "P"}, {"name": "K"}])
    plan = await make_plan(losant, [{"name": "K"}], by_name(), prune=True)
    emulator.create_groups([{"name": "theirs", "parentId": ids["p"]}])
    (outcome,) = await carry_out(losant, plan)
    assert outcome.status == "stale"
    assert "somebody has put 1 groups below it" in str(outcome.error)
    await carry_out(losant, await make_plan(losant, [{"name": "M"}], by_name()), journal=tmp_path)
    made = next(group["id"] for group in emulator.groups() if group["name"] == "M")
    emulator.update_group(ids["p"], {"parentId": made})
    assert len(await undo(losant, tmp_path)) == 1
    assert [group["name"] for group in emulator.groups()] == ["P", "K", "theirs", "M"]


async def test_an_undo_needs_a_journal_of_its_own(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """Otherwise nobody could tell what is to be taken back."""
    await carry_out(losant, await make_plan(losant, [{"name": "A"}], by_name()), journal=tmp_path)
    plan = await reconcile.undo(losant.experience_groups, tmp_path)
    with pytest.raises(PlanError, match="an undo needs a folder of its own"):
        reconcile.apply(losant.experience_groups, plan, journal=tmp_path)
    await carry_out(losant, plan, journal=tmp_path / "back")
    assert emulator.groups() == []
    assert await undo(losant, tmp_path / "back") == []
    assert [group["name"] for group in emulator.groups()] == ["A"]


async def test_a_mended_file_survives_being_applied(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """In the folder that it is in: nothing of it, of what was done or of the ids is lost."""
    file = tmp_path / "groups.csv"
    file.write_text("id,name\n1,Fine\n2,Refused\n")
    emulator.before_request = _refuse
    night = tmp_path / "night"
    for source in (file, night / "failed.csv"):
        plan = await reconcile.plan(losant.experience_groups, read_records(source), match_by=by_name())
        await carry_out(losant, plan, journal=night)
    assert [row["name"] for row in rows_of(night / "failed.csv")] == ["Refused"]
    assert list(rows_of(night / "failed.csv")[0]) == ["id", "name", "error"]
    (kept,) = night.glob("failed-*.csv")
    assert [row["name"] for row in rows_of(kept)] == ["Refused"]
    assert [row["name"] for row in rows_of(night / "done.csv")] == ["Fine"]
    assert list(json.loads((night / "ids.json").read_text())) == ["1"]


async def test_an_undo_of_an_undo_goes_forward_again(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """Each in a folder of its own."""
    emulator.create_groups([{"name": "Old", "description": "x"}])
    plan = await make_plan(losant, [{"name": "New"}], by_name(), prune=True)
    await carry_out(losant, plan, journal=tmp_path / "1")
    after = whole(emulator)
    back = await reconcile.undo(losant.experience_groups, tmp_path / "1")
    await carry_out(losant, back, journal=tmp_path / "2")
    assert await undo(losant, tmp_path / "2") == []
    assert whole(emulator) == after
