"""The way back from an apply: by its journal, also after a kill, and past what others have done since."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiolosant import LosantClient, LosantError, PlanError, RetryPolicy, by_id, by_name, by_tag, reconcile
from aiolosant.emulator import Emulator, Fault, RequestRecord
from aiolosant.reconcile import read_records

from ..conftest import client_of
from .records import TAG, Records, carry_out, forests, make_plan, renamed
from .undoing import WAYS, folder, full_disk, refuse, rows_of, undo, whole

QUICK = RetryPolicy(first_delay=0.001, max_delay=0.002, settle_time=0.01, max_attempts=3, patience=0.05)


@settings(max_examples=40)
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


@settings(max_examples=40)
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
    assert any("there is a group below that stays" in one for one in left)


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
    emulator.before_request = lambda request: refuse(request)
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


async def test_another_application_isrefused(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
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


async def test_a_changed_group_that_others_have_deleted_stays_deleted_and_is_told(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """It was theirs to delete; all else is undone."""
    ids = emulator.create_groups([{"id": "a", "name": "A"}, {"id": "b", "name": "B"}])
    records = [{"name": name, "description": "new"} for name in "AB"]
    await carry_out(losant, await make_plan(losant, records, by_name()), journal=tmp_path)
    emulator.delete_group(ids["a"])
    (left,) = await undo(losant, tmp_path)
    assert ids["a"] in left
    assert "somebody has deleted it since" in left
    assert [(group["name"], group.get("description") or "") for group in emulator.groups()] == [("B", "")]


async def test_a_moved_group_that_others_have_moved_on_stays_there_and_is_told(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """Its other fields get their old values back."""
    ids = emulator.create_groups(
        [{"id": name, "name": name, "groupTags": {TAG: name}} for name in "abc"]
        + [{"id": "x", "name": "X", "parentId": "a", "groupTags": {TAG: "x"}}]
    )
    records = [{"name": "b", "id": "b", "groupTags": {TAG: "b"}}]
    records.append({"name": "X", "parentId": "b", "description": "new", "groupTags": {TAG: "x"}})
    await carry_out(losant, await make_plan(losant, records, by_tag(TAG)), journal=tmp_path)
    emulator.update_group(ids["x"], {"parentId": ids["c"]})
    (left,) = await undo(losant, tmp_path)
    assert "somebody has moved it since" in left
    (moved,) = (group for group in emulator.groups() if group["name"] == "X")
    assert (moved["parentId"], moved.get("description") or "") == (ids["c"], "")


async def test_a_new_group_that_others_have_changed_is_not_deleted_and_is_told(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """It is in use; one that nobody has touched goes."""
    await carry_out(losant, await make_plan(losant, [{"name": "A"}, {"name": "B"}], by_name()), journal=tmp_path)
    made = {group["name"]: group["id"] for group in emulator.groups()}
    emulator.update_group(made["A"], {"deviceIds": ["d" * 24]})
    (left,) = await undo(losant, tmp_path)
    assert "it was made, and somebody has changed its deviceIds since" in left
    assert [group["id"] for group in emulator.groups()] == [made["A"]]


async def test_a_moved_group_whose_old_parent_others_have_deleted_stays_and_is_told(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """There is nothing to go back to."""
    ids = emulator.create_groups(
        [{"id": name, "name": name, "groupTags": {TAG: name}} for name in "ab"]
        + [{"id": "x", "name": "X", "parentId": "a", "groupTags": {TAG: "x"}}]
    )
    records = [{"name": "b", "id": "b", "groupTags": {TAG: "b"}}]
    records.append({"name": "X", "parentId": "b", "groupTags": {TAG: "x"}})
    await carry_out(losant, await make_plan(losant, records, by_tag(TAG)), journal=tmp_path)
    emulator.delete_group(ids["a"])
    before = whole(emulator)
    (left,) = await undo(losant, tmp_path)
    assert f"({ids['a']}) is gone, so that it cannot go back there" in left
    assert whole(emulator) == before


async def test_an_undo_that_broke_off_goes_on_below_the_groups_that_are_back(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """The deleted group has come back under a new id, and its children go below that."""
    ids = emulator.create_groups(
        [{"id": "p", "name": "P"}, {"id": "c", "name": "C", "parentId": "p"}, {"id": "k", "name": "K"}]
    )
    there = whole(emulator)
    records: list[dict[str, Any]] = [{"id": ids["k"], "name": "K"}, {"id": ids["c"], "name": "C", "parentId": None}]
    await carry_out(losant, await make_plan(losant, records, by_id(), prune=True), journal=tmp_path)
    assert sorted(group["name"] for group in emulator.groups()) == ["C", "K"]
    (back,) = emulator.create_groups([{"name": "P"}]).values()  # as the undo does before it breaks off
    assert await undo(losant, tmp_path) == []
    assert whole(emulator) == there
    assert {group["parentId"] for group in emulator.groups() if group["name"] == "C"} == {back}


async def test_a_query_that_was_not_there_is_taken_away_again(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """By a null; a description that was not there, for which the API has none, by an empty text."""
    emulator.create_groups([{"name": "A"}])
    records = [{"name": "A", "description": "new", "deviceQueryJson": '{"deviceTags": {}}'}]
    await carry_out(losant, await make_plan(losant, records, by_name()), journal=tmp_path)
    assert emulator.groups()[0]["deviceQueryJson"]
    plan = await reconcile.undo(losant.experience_groups, tmp_path)
    assert [dict(change.fields) for change in plan.changes] == [{"description": "", "device_query_json": None}]
    assert await undo(losant, tmp_path) == []
    assert not emulator.groups()[0].get("deviceQueryJson")
