"""The way back where names meet, where runs were cut off, and where others were at work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiolosant import LosantClient, PlanError, by_name, by_tag, reconcile
from aiolosant.emulator import Emulator
from aiolosant.reconcile import read_records

from .records import TAG, Records, carry_out, make_plan
from .undoing import refuse, rows_of, undo, whole


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


async def test_a_second_undo_has_nothing_to_tell(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """A child is below the deleted group that came back under a new id, where the first undo has put it."""
    records: list[dict[str, Any]] = [
        {"id": "p", "name": "P", "groupTags": {TAG: "p"}},
        {"name": "C", "parentId": "p", "groupTags": {TAG: "c"}},
    ]
    emulator.create_groups(records)
    there = whole(emulator)
    moved = [records[1] | {"parentId": None}]
    await carry_out(losant, await make_plan(losant, moved, by_tag(TAG), prune=True), journal=tmp_path)
    for _ in range(3):
        assert await undo(losant, tmp_path) == []
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
    emulator.before_request = refuse
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


async def test_two_applies_do_not_write_one_journal(emulator: Emulator, losant: LosantClient, tmp_path: Path) -> None:
    """The second is refused, and so is an undo, as long as the first is at it."""
    emulator.latency = 0.01
    plan = await make_plan(losant, [{"name": f"{n}"} for n in range(20)], by_name())
    run = aiter(reconcile.apply(losant.experience_groups, plan, concurrency=1, journal=tmp_path))
    await anext(run)
    with pytest.raises(PlanError, match="apply is still writing to it"):
        reconcile.apply(losant.experience_groups, plan, journal=tmp_path)
    with pytest.raises(PlanError, match="an apply is still writing to it"):
        await reconcile.undo(losant.experience_groups, tmp_path)
    async for _ in run:
        pass
    assert await undo(losant, tmp_path) == []
    assert emulator.groups() == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lines: [*lines[:3], b"garbage\n", *lines[4:]], "cannot be read: it is damaged"),
        (lambda lines: [*lines[:-2], b"{\n", b"{\n"], "the last 2 lines cannot be read"),
        (lambda _: [b"garbage\n"], "this is no journal of aiolosant"),
        (lambda lines: lines[1:], "this is no journal of aiolosant"),
    ],
)
async def test_a_damaged_journal_is_refused(
    losant: LosantClient, tmp_path: Path, spoil: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    """Half of an undo would be worse than none."""
    plan = await make_plan(losant, [{"name": f"{n}"} for n in range(3)], by_name())
    await carry_out(losant, plan, journal=tmp_path)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(spoil(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(PlanError, match=message):
        await reconcile.undo(losant.experience_groups, tmp_path)


@pytest.mark.parametrize("way", ["move", "rename"])
async def test_a_deleted_group_comes_back_beside_one_of_its_name_that_goes_back_as_well(
    emulator: Emulator, losant: LosantClient, tmp_path: Path, way: str
) -> None:
    """The other is not there yet when the undo is planned, and is not taken for the one that was deleted."""
    emulator.create_groups(
        [
            {"id": "p", "name": "P", "groupTags": {TAG: "p"}},
            {"id": "q", "name": "Q", "groupTags": {TAG: "q"}},
            {"id": "x", "name": "Same", "parentId": "p", "groupTags": {TAG: "x"}},
            {"id": "y", "name": "Same", "parentId": "p", "groupTags": {TAG: "y"}},
        ]
    )
    there = whole(emulator)
    other: dict[str, Any] = {"name": "Same", "parentId": None} if way == "move" else {"name": "Other", "parentId": "p"}
    records: list[dict[str, Any]] = [
        {"id": "q", "name": "Q", "parentId": None, "groupTags": {TAG: "q"}},
        {"id": "p", "name": "P", "parentId": "q", "groupTags": {TAG: "p"}},
        {**other, "groupTags": {TAG: "x"}},
    ]
    await carry_out(losant, await make_plan(losant, records, by_tag(TAG), prune=True), journal=tmp_path)
    plan = await reconcile.undo(losant.experience_groups, tmp_path)
    assert [change.is_alone for change in plan.changes if change.action == "create"] == [False]
    assert await undo(losant, tmp_path) == []
    assert whole(emulator) == there
