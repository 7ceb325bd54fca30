"""The pure diff: which group is which, what differs, and what cannot be."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiolosant import DeviceTag, ExperienceGroup, PlanError, by_id, by_name, by_tag
from aiolosant.identity import MatchBy
from aiolosant.models import FrozenDict
from aiolosant.reconcile import Plan, compare
from aiolosant.reconcile.codec import to_record

TAG = "key"


def hex_id(n: int) -> str:
    return f"{n:024x}"


def live(n: int, name: str, parent: int | None = None, tag: str | None = None, **fields: Any) -> ExperienceGroup:
    tags = {TAG: tag} if tag else {}
    parent_id = None if parent is None else hex_id(parent)
    return ExperienceGroup(id=hex_id(n), name=name, parent_id=parent_id, group_tags=tags, **fields)


def compared(records: list[dict[str, Any]], groups: list[ExperienceGroup], by: MatchBy, *, prune: bool = False) -> Plan:
    placed = [to_record({"parentId": None} | record, f"line {n}") for n, record in enumerate(records, 1)]
    return compare(placed, groups, match_by=by, prune=prune)


def diff(
    records: list[dict[str, Any]], groups: list[ExperienceGroup], by: MatchBy, *, prune: bool = False
) -> list[str]:
    return list(compared(records, groups, by, prune=prune).diff())


def test_a_name_counts_under_its_parent() -> None:
    """By name the path is what a group is known by, whatever the records' ids."""
    groups = [live(1, "A"), live(2, "Same", 1), live(3, "B"), live(4, "Same", 3)]
    records = [
        {"id": "a", "name": "A"},
        {"id": "b", "name": "B"},
        {"name": "Same", "parentId": "a", "description": "x"},
        {"name": "New", "parentId": "b"},
        {"name": "Same"},
    ]
    assert diff(records, groups, by_name()) == ["+ Same", "~ A / Same: description: none -> x", "+ B / New"]
    assert compared(records, groups, by_name()).summary() == "2 to create, 1 to update, 2 unchanged"


def test_a_tag_survives_renames_and_moves() -> None:
    """By tag name and parent are fields like any other."""
    groups = [live(1, "A", tag="1"), live(2, "B", 1, tag="2"), live(3, "Untagged", 2)]
    records = [{"name": "Z", "groupTags": {TAG: "2"}}, {"name": "A", "groupTags": {TAG: "1"}}]
    plan = compared(records, groups, by_tag(TAG), prune=True)
    assert list(plan.diff()) == ["~ Z: name: B -> Z, moves A -> to the root"]
    assert plan.changes[0].fields == {"name": "Z", "parent_id": None}
    assert plan.changes[0].group_id == hex_id(2)


def test_an_id_makes_a_rename_a_rename() -> None:
    """By id; what has no live id is known by its name, so that a second run finds it."""
    groups = [live(1, "A"), live(2, "B", 1)]
    records = [
        {"id": hex_id(1).upper(), "name": "A!"},
        {"name": "B", "parentId": hex_id(1).upper(), "description": "x"},
        {"id": "new", "name": "C", "parentId": hex_id(2)},
    ]
    assert diff(records, groups, by_id()) == [
        "~ A!: name: A -> A!",
        "~ A! / B: description: none -> x",
        "+ A! / B / C",
    ]


def test_names_may_be_swapped_by_id() -> None:
    """Two renames, whatever either is called meanwhile."""
    records = [{"id": hex_id(1), "name": "B"}, {"id": hex_id(2), "name": "A"}]
    assert diff(records, [live(1, "A"), live(2, "B")], by_id()) == ["~ B: name: A -> B", "~ A: name: B -> A"]


def test_only_what_means_something_else_differs() -> None:
    """Ids and device tags are sets whose case and order mean nothing; what a record does not say is left alone."""
    group = live(
        1,
        "A",
        tag="1",
        description=None,
        device_ids=("a" * 24, "b" * 24),
        device_tags=(DeviceTag("k", "v"), DeviceTag("l")),
        experience_user_ids=("c" * 24,),
        device_query_json="{}",
    )
    same = {
        "name": "A",
        "description": "",
        "deviceIds": ["B" * 24, "A" * 24],
        "deviceTags": [{"key": "l"}, {"key": "k", "value": "v"}],
    }
    assert diff([same], [group], by_name()) == []
    other = {
        "name": "A",
        "description": "x",
        "deviceIds": [],
        "deviceTags": [{"key": "l"}],
        "groupTags": {TAG: "2"},
        "deviceQueryJson": None,
    }
    (change,) = compared([other], [group], by_name()).changes
    assert set(change.fields) == {"description", "device_ids", "device_tags", "group_tags", "device_query_json"}
    assert change.current is group


def test_prune_deletes_what_no_record_wants_children_first() -> None:
    """But neither a group that a record names as its parent nor what is above that."""
    groups = [live(1, "A"), live(2, "B", 1), live(3, "C", 2), live(4, "Old"), live(5, "Older", 4), live(6, "Oldest", 5)]
    records = [{"name": "New", "parentId": hex_id(2)}]
    assert diff(records, groups, by_name(), prune=True) == [
        "+ A / B / New",
        "- Old / Older / Oldest",
        "- A / B / C",
        "- Old / Older",
        "- Old",
    ]


def test_prune_goes_by_where_groups_will_be() -> None:
    """What is above a named group is kept; what is above where it was before it moves is not."""
    groups = [live(1, "D", tag="d"), live(2, "L", 1, tag="l")]
    records = [
        {"name": "L", "groupTags": {TAG: "l"}},
        {"name": "X", "groupTags": {TAG: "x"}, "parentId": hex_id(2)},
    ]
    assert diff(records, groups, by_tag(TAG), prune=True) == ["~ L: moves D -> to the root", "+ L / X", "- D"]


def test_a_delete_says_what_moves_up() -> None:
    """Untagged groups stay, and Losant hands them to the parent of what is deleted."""
    groups = [live(1, "D", tag="d"), live(2, "By hand", 1), live(3, "Gone too", 1, tag="e")]
    keep = live(4, "K", tag="k")
    records = [{"name": "K", "groupTags": {TAG: "k"}}]
    assert diff(records, [*groups, keep], by_tag(TAG), prune=True) == [
        "- D / Gone too",
        "- D (what is below moves up: 1)",
    ]


def test_an_update_says_which_tags_change() -> None:
    """Those that go are the ones to look at."""
    group = attrs.evolve(live(1, "A"), group_tags=FrozenDict({"a": "1", "b": "2", "c": "3"}))
    record = {"name": "A", "groupTags": {"a": "1", "b": "x", "d": "4"}}
    assert diff([record], [group], by_name()) == ["~ A: groupTags ~b: 2 -> x +d=4 -c=3"]


def test_prune_by_tag_leaves_alone_what_does_not_carry_it() -> None:
    """What somebody made by hand is not this plan's."""
    groups = [live(1, "A", tag="1"), live(2, "B", tag="2"), live(3, "By hand")]
    assert diff([{"name": "A", "groupTags": {TAG: "1"}}], groups, by_tag(TAG), prune=True) == ["- B"]


@pytest.mark.parametrize(
    ("records", "groups", "by", "problems"),
    [
        (
            [{"id": "a", "name": "A", "parentId": "b"}, {"id": "b", "name": "B", "parentId": "a"}],
            [],
            by_name(),
            ["line 2: 'B' is its own ancestor: line 2, line 1"],
        ),
        (
            [{"name": "A", "parentId": "x"}, {"name": "B", "parentId": "y"}],
            [],
            by_name(),
            ["line 1: 'A' has the parentId 'x', which is no record's id and no live group's", "line 2: 'B' has"],
        ),
        (
            [{"id": "a", "name": "A"}, {"id": "a", "name": "B"}],
            [],
            by_name(),
            ["line 2: 'B' has the id 'a', as line 1 has"],
        ),
        (
            [{"name": "A"}, {"id": "p", "name": "P"}, {"name": "A"}, {"name": "A", "parentId": "p"}],
            [],
            by_name(),
            ["line 3: 'A' is the same group as line 1: the name 'A' under the root"],
        ),
        (
            [{"id": "p", "name": "P"}, {"name": "A", "parentId": "p"}, {"name": "A", "parentId": hex_id(1)}],
            [live(1, "P")],
            by_name(),
            [f"line 2: 'A' is the same group as line 3: the name 'A' under {hex_id(1)}"],
        ),
        (
            [{"name": "A"}],
            [live(1, "A"), live(2, "A")],
            by_name(),
            [f"line 1: 'A' is one of 2 groups with the name 'A' under the root: {hex_id(1)}, {hex_id(2)}"],
        ),
        (
            [{"name": "A", "groupTags": {TAG: "1"}}, {"name": "B"}],
            [live(1, "A", tag="1"), live(2, "B", tag="1")],
            by_tag(TAG),
            ["line 1: 'A' is one of 2 groups with the tag key=1", "line 2: 'B' has no group tag 'key'"],
        ),
        (  # nothing is said of two records that are the same for want of a tag, or of a parent
            [{"name": "A"}, {"name": "B"}],
            [],
            by_tag(TAG),
            ["line 1: 'A' has no group tag", "line 2: 'B' has no group tag"],
        ),
        (
            [{"name": "A", "parentId": "x"}, {"name": "A", "parentId": "y"}],
            [],
            by_name(),
            ["line 1: 'A' has the parentId 'x'", "line 2: 'A' has the parentId 'y'"],
        ),
        (
            [{"id": hex_id(1), "name": "B"}, {"name": "A"}],
            [live(1, "A")],
            by_id(),
            [f"line 2: 'A' is the live group {hex_id(1)}, as line 1 is by its id"],
        ),
        (
            [{"name": "n"}, {"id": hex_id(1), "name": "n"}],
            [live(1, "A")],
            by_id(),
            ["line 1: 'n' is the same group as line 2: the name 'n' under the root"],
        ),
        (
            [{"name": "n"}, {"id": hex_id(2), "name": "n"}],
            [live(1, "n"), live(2, "A")],
            by_id(),
            ["line 1: 'n' is the same group as line 2: the name 'n' under the root"],
        ),
        (
            [{"id": hex_id(1), "name": "A", "parentId": hex_id(2)}],
            [live(1, "A"), live(2, "B", 1)],
            by_id(),
            [f"line 1: the live groups {hex_id(2)}, {hex_id(1)} would be their own ancestors"],
        ),
        ([], [live(1, "A", 2), live(2, "B", 1)], by_name(), ["what was read (moved meanwhile; plan again)"]),
    ],
)
def test_all_problems_are_reported_in_one_error(
    records: list[dict[str, Any]], groups: list[ExperienceGroup], by: MatchBy, problems: list[str]
) -> None:
    """Each problem with its place, and nothing else."""
    with pytest.raises(PlanError) as caught:
        compared(records, groups, by)
    assert len(caught.value.problems) == len(problems)
    for told, problem in zip(caught.value.problems, problems, strict=True):
        assert told.startswith(problem)


def test_ids_are_the_same_in_any_case() -> None:
    """Hex digits are what they are; a parent that is written otherwise is no move."""
    group = live(0xB, "B", 0xA)
    loud = attrs.evolve(group, parent_id=(group.parent_id or "").upper())
    assert diff([{"name": "B", "parentId": hex_id(0xA)}], [live(0xA, "A"), loud], by_name()) == []
    assert diff([{"name": "B", "parentId": hex_id(0xA).upper()}], [live(0xA, "A"), group], by_name()) == []


def test_nothing_is_deleted_unless_asked_for() -> None:
    """`prune` is an option."""
    assert compare([], [live(1, "A")], match_by=by_name()).changes == ()


def test_prune_needs_to_know_what_it_deletes() -> None:
    """No records would mean all groups; two groups with one key may be a mistake that somebody must look at."""
    with pytest.raises(PlanError, match="no records"):
        compared([], [live(1, "A")], by_name(), prune=True)
    groups = [live(1, "A"), live(2, "Twice"), live(3, "Twice")]
    with pytest.raises(PlanError, match="prune: 2 live groups have the name 'Twice' under the root"):
        compared([{"name": "A"}], groups, by_name(), prune=True)
    assert diff([{"name": "A"}], groups, by_name()) == []
    assert diff([{"id": hex_id(1), "name": "A"}], groups, by_id(), prune=True) == ["- Twice", "- Twice"]


def test_moves_wait_for_what_is_above_them() -> None:
    """A child goes below a parent only when all that is above that one has come to stay."""
    groups = [live(1, "X", tag="x"), live(2, "G", 1, tag="g"), live(3, "P", 2, tag="p")]
    records = [
        {"name": "X", "groupTags": {TAG: "x"}, "parentId": "p"},
        {"id": "g", "name": "G", "groupTags": {TAG: "g"}},
        {"id": "p", "name": "P", "groupTags": {TAG: "p"}, "parentId": "g"},
    ]
    plan = compared(records, groups, by_tag(TAG))
    assert list(plan.diff()) == ["~ G: moves X -> to the root", "~ G / P / X: moves the root -> G / P"]
    assert [change.depends_on for change in plan.changes] == [None, 0]


def carried_out(plan: Plan, groups: list[ExperienceGroup]) -> list[ExperienceGroup]:
    """The groups after the plan, where a create of what is there already makes nothing."""
    there = {group.id: group for group in groups}
    made: dict[int, str] = {}
    for place, change in enumerate(plan.changes):
        fields = dict(change.fields)
        if change.parent is not None:
            fields["parent_id"] = made[change.parent]
        if change.action == "create":
            key = (fields.get("parent_id"), fields["name"])
            same = [group.id for group in there.values() if (group.parent_id, group.name) == key]
            made[place] = same[0] if same else hex_id(1000 + place)
            there.setdefault(made[place], ExperienceGroup(id=made[place], **fields))
        elif change.group_id is not None:
            before = there.pop(change.group_id)
            if change.action == "update":
                there[before.id] = attrs.evolve(before, **fields)
    return list(there.values())


@given(data=st.data(), size=st.integers(0, 4), prune=st.booleans())
def test_by_id_a_second_plan_is_empty_or_there_is_no_first(data: st.DataObject, size: int, prune: bool) -> None:
    """With names that are few and so collide, old ones and new ones: what cannot be told apart is refused at once."""
    names = st.sampled_from("AB")
    groups = [
        live(n, data.draw(names), data.draw(st.none() | st.integers(1, n - 1)) if n > 1 else None)
        for n in range(1, size + 1)
    ]
    ids = [*map(hex_id, range(1, size + 1)), "new", "newer"]
    records = [
        {"id": own, "name": data.draw(names), "parentId": data.draw(st.none() | st.sampled_from(ids))}
        for own in data.draw(st.lists(st.sampled_from(ids), unique=True, min_size=1))
    ]
    try:
        plan = compared(records, groups, by_id(), prune=prune)
    except PlanError:
        return
    again = compared(records, carried_out(plan, groups), by_id(), prune=prune)
    assert again.changes == ()


def test_under_a_group_a_record_of_elsewhere_is_a_problem() -> None:
    """Known by its id or its tag, it would be made twice; and the id of the group as the parent says what none says."""
    groups = [live(1, "A", tag="1"), live(0xB, "B", 1, tag="2"), live(4, "Elsewhere", tag="4")]
    (named,) = (to_record({"id": hex_id(4), "name": "Elsewhere"}, "line 1"),)
    with pytest.raises(PlanError, match=r"is the live group 0+4, which is not below 0+b"):
        compare([named], groups, match_by=by_id(), under=hex_id(0xB))
    tagged = to_record({"name": "Elsewhere", "groupTags": {TAG: "4"}}, "line 1")
    with pytest.raises(PlanError, match=r"is a live group that is not below 0+b: the tag key=4"):
        compare([tagged], groups, match_by=by_tag(TAG), under=hex_id(0xB))
    new = to_record({"name": "New", "parentId": hex_id(0xB).upper()}, "line 1")
    assert list(compare([new], groups, match_by=by_name(), under=hex_id(0xB)).diff()) == ["+ A / B / New"]


def test_two_of_one_name_below_a_new_group_are_told_by_its_place() -> None:
    """It has no id yet."""
    records = [{"id": "p", "name": "P"}, {"name": "A", "parentId": "p"}, {"name": "A", "parentId": "p"}]
    with pytest.raises(PlanError) as caught:
        compared(records, [], by_name())
    assert caught.value.problems == ("line 3: 'A' is the same group as line 2: the name 'A' under line 1",)


def test_a_parent_that_the_server_writes_in_upper_case_is_no_move() -> None:
    """Also where the record leaves it alone."""
    loud = attrs.evolve(live(0xB, "B", 0xA, tag="b"), parent_id=hex_id(0xA).upper())
    record = to_record({"name": "B", "groupTags": {TAG: "b"}}, "line 1")
    assert list(compare([record], [live(0xA, "A"), loud], match_by=by_tag(TAG)).diff()) == []
