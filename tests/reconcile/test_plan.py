"""What a plan says, keeps and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from aiolosant import DeviceTag, ExperienceGroup, PlanError, UnsafePlanError, by_id, by_name, by_tag
from aiolosant.identity import MatchBy
from aiolosant.models import FrozenDict
from aiolosant.reconcile import Difference, Plan, PlanWarning, compare
from aiolosant.reconcile.codec import to_record

TAG = "key"


def hex_id(n: int) -> str:
    return f"{n:024x}"


def live(n: int, name: str, parent: int | None = None, **fields: Any) -> ExperienceGroup:
    return ExperienceGroup(id=hex_id(n), name=name, parent_id=None if parent is None else hex_id(parent), **fields)


def compared(
    records: list[dict[str, Any]], groups: list[ExperienceGroup], by: MatchBy | None = None, **options: Any
) -> Plan:
    placed = [to_record(record, f"line {n}") for n, record in enumerate(records, 1)]
    return compare(placed, groups, match_by=by or by_tag(TAG), **options)


def tagged(value: str, **more: str) -> FrozenDict:
    return FrozenDict({TAG: value, **more})


def test_a_change_says_old_and_new_of_each_field() -> None:
    """By the file's names; tags one by one, members as ids, a parent that is still to be created by its record."""
    group = live(
        2,
        "Plant",
        1,
        group_tags=tagged("2", tier="silver", old="1"),
        experience_user_ids=("a" * 24, "b" * 24),
        device_tags=(DeviceTag("site", "1"),),
    )
    wanted = {
        "id": "p",
        "parentId": "new",
        "name": "Plant",
        "description": "a / b",
        "groupTags": {TAG: "2", "tier": "gold", "region": "eu"},
        "experienceUserIds": ["B" * 24, "c" * 24, "d" * 24],
        "deviceTags": [{"key": "site"}],
    }
    new = {"id": "new", "parentId": None, "name": "A/B", "groupTags": {TAG: "3"}}
    plan = compared([wanted, new], [live(1, "Acme", group_tags=tagged("1")), group])
    created, changed = plan.changes
    assert created.differences() == (Difference("name", None, "A/B"), Difference("groupTags.key", None, "3"))
    assert {one.field: (one.old, one.new) for one in changed.differences()} == {
        "description": (None, "a / b"),
        "experienceUserIds": (["a" * 24, "b" * 24], ["B" * 24, "c" * 24, "d" * 24]),
        "deviceTags": ([{"key": "site", "value": "1"}], [{"key": "site"}]),
        "groupTags.tier": ("silver", "gold"),
        "groupTags.region": (None, "eu"),
        "groupTags.old": ("1", None),
        "parentId": (hex_id(1), "new"),
    }
    assert changed.record is not None
    assert (changed.record.id, changed.record.place) == ("p", "line 1")
    assert list(plan.diff()) == [
        '+ "A/B"',
        (
            '~ "A/B" / Plant: description: none -> "a / b", experienceUserIds +2 -1, '
            'deviceTags: [{"key": "site", "value": "1"}] -> [{"key": "site"}], moves Acme -> "A/B", '
            "groupTags ~tier: silver -> gold +region=eu -old=1"
        ),
    ]
    assert plan.matched == {"p": hex_id(2)}


def test_a_record_without_a_parent_key_leaves_the_parent_alone() -> None:
    """Null is a root; a new group without the key is one too."""
    groups = [live(1, "A", group_tags=tagged("1")), live(2, "B", 1, group_tags=tagged("2"))]
    assert list(compared([{"name": "C", "groupTags": {TAG: "2"}}], groups).diff()) == ["~ A / C: name: B -> C"]
    rooted = compared([{"name": "B", "parentId": None, "groupTags": {TAG: "2"}}], groups)
    assert list(rooted.diff()) == ["~ B: moves A -> to the root"]
    assert list(compared([{"name": "B", "groupTags": {TAG: "3"}}], groups).diff()) == ["+ B"]


def test_a_tag_may_adopt_what_has_the_name_and_no_tag() -> None:
    """Parents first, so that a whole tree is adopted; what has another value of the tag is not."""
    groups = [live(1, "Acme"), live(2, "Plant", 1), live(3, "Other", group_tags=tagged("9"))]
    records: list[dict[str, Any]] = [
        {"id": "a", "parentId": None, "name": "Acme", "groupTags": {TAG: "1"}, "description": "x"},
        {"parentId": "a", "name": "Plant", "groupTags": {TAG: "2"}},
        {"parentId": None, "name": "Other", "groupTags": {TAG: "3"}},
    ]
    adopting = by_tag(TAG, adopt=by_name())
    plan = compared(records, groups, adopting)
    assert sorted(plan.diff()) == [
        "+ Other",
        "= Acme / Plant: adopted, groupTags +key=2",
        "= Acme: adopted, description: none -> x, groupTags +key=1",
    ]
    with pytest.raises(PlanError, match="could adopt any of 2 groups of this name"):
        compared(records, [live(1, "Acme"), live(4, "Acme")], adopting)
    with pytest.raises(TypeError, match="adopt must be by_name"):
        by_tag(TAG, adopt=by_id())  # type: ignore[arg-type]  # the subject


def test_under_a_group_nothing_else_is_looked_at() -> None:
    """Records without a parent go below it; prune stays below it."""
    groups = [live(1, "A"), live(2, "B", 1), live(3, "Old", 2), live(4, "Elsewhere")]
    plan = compared([{"name": "New"}], groups, by_name(), prune=True, under=hex_id(2))
    assert list(plan.diff()) == ["+ A / B / New", "- A / B / Old"]
    assert plan.changes[0].fields["parent_id"] == hex_id(2)
    assert plan.live == 1
    with pytest.raises(PlanError, match="a live group that is not below"):
        compared([{"name": "New", "parentId": hex_id(4)}], groups, by_name(), under=hex_id(2))
    with pytest.raises(PlanError, match="there is no live group"):
        compared([{"name": "New"}], groups, by_name(), under=hex_id(9))


@pytest.mark.parametrize(
    ("name", "there", "shown"),
    [
        ("Acme", "ACME", '"Acme" would be created beside "ACME"'),
        ("Acme ", "Acme", '"Acme " would be created beside "Acme"'),
        ("K\u00f6ln", "Ko\u0308ln", r"'K\xf6ln' would be created beside 'Ko\u0308ln'"),
        ("A  B", "A B", '"A  B" would be created beside "A B"'),
    ],
)
def test_a_create_beside_what_looks_the_same_is_warned_of(name: str, there: str, shown: str) -> None:
    """With both names, so that they differ in what can be seen."""
    (warning,) = compared([{"name": name}], [live(1, there)], by_name()).warnings
    assert (warning.kind, warning.group_ids, warning.place) == ("look-alike", (hex_id(1),), "line 1")
    assert str(warning).startswith(f"line 1: {shown}")


def test_a_second_tree_is_warned_of() -> None:
    """An application that was never tagged, and an export that is matched by other than the id."""
    record = {"name": "Acme", "parentId": None, "groupTags": {TAG: "1"}}
    (warning,) = compared([record], [live(1, "Acme")]).warnings
    assert "--adopt-by name" in warning.message
    renamed = [{"id": hex_id(1), "name": "New name"}]
    (warning,) = compared(renamed, [live(1, "Acme")], by_name()).warnings
    assert (warning.kind, warning.group_ids) == ("ids", (hex_id(1),))
    assert "--match-by id" in warning.message
    assert compared(renamed, [live(1, "Acme")], by_id()).warnings == ()


@pytest.mark.parametrize("fields", [{"deviceIds": ["a" * 24]}, {"groupTags": {"other": "x"}}])
def test_what_looks_like_a_rename_is_warned_of(fields: dict[str, Any]) -> None:
    """Under `by_name` a rename is a create and a delete."""
    there = to_record({"name": "Old", **fields}).fields
    group = ExperienceGroup(id=hex_id(1), **there)
    (warning,) = compared([{"name": "New", **fields}], [group], by_name(), prune=True).warnings
    assert warning.kind == "rename"
    assert "New would be created and Old" in warning.message


def test_children_that_stay_alike_look_like_a_rename_too() -> None:
    """The children's names under both."""
    groups = [live(1, "Old"), live(2, "x", 1), live(3, "y", 1)]
    records = [{"id": "n", "name": "New"}, {"name": "x", "parentId": "n"}, {"name": "y", "parentId": "n"}]
    (warning,) = compared(records, groups, by_name(), prune=True).warnings
    assert "same children" in warning.message


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_deletes": "10%"}, r"would delete 11 groups \(55% of 20\), and max_deletes=10% allows 2"),
        ({"max_deletes": 10}, "max_deletes=10 allows 10"),
        ({"max_changes": "50%"}, "would change 12 groups"),
        ({"max_deletes": 0}, "max_deletes=0"),
    ],
)
def test_a_plan_that_does_too_much_is_refused(limits: dict[str, Any], message: str) -> None:
    """With its numbers and the option; it is a PlanError too."""
    groups = [live(n, f"G{n}") for n in range(20)]
    plan = compared([{"name": f"G{n}"} for n in range(9)] + [{"name": "new"}], groups, by_name(), prune=True)
    with pytest.raises(UnsafePlanError, match=message):
        plan.check(**limits)
    plan.check(max_deletes=11, max_changes="60%")
    plan.check()


def test_of_fewer_than_ten_groups_a_share_is_no_limit() -> None:
    """But none at all is none."""
    plan = compared([{"name": "new"}], [live(n, f"G{n}") for n in range(9)], by_name(), prune=True)
    plan.check(max_deletes="10%")
    with pytest.raises(UnsafePlanError):
        plan.check(max_deletes="0%")


@pytest.mark.parametrize("limit", ["ten", "-1", "101%", -1, "nan%"])
def test_a_limit_must_be_one(limit: Any) -> None:
    """A number or a share."""
    with pytest.raises(ValueError, match="max_deletes must be a number of 0 or more, or a share"):
        Plan((), 0, by_name()).check(max_deletes=limit)


def a_plan() -> Plan:
    groups = [live(1, "A", group_tags=tagged("1"), device_ids=("a" * 24,)), live(2, "Gone", group_tags=tagged("2"))]
    groups.append(live(3, "Stays", 2))
    records: list[dict[str, Any]] = [
        {"id": "a", "name": "A!", "groupTags": {TAG: "1"}, "deviceTags": [{"key": "k"}], "deviceQueryJson": None},
        {"parentId": "a", "name": "new", "groupTags": {TAG: "7"}},
    ]
    return compared(records, groups, by_tag(TAG, adopt=by_name()), prune=True, application_id="f" * 24)


def test_a_plan_is_kept_in_a_file(tmp_path: Path) -> None:
    """And is the same plan when it is read again."""
    plan = a_plan()
    plan.save(tmp_path / "night.plan")
    again = Plan.load(tmp_path / "night.plan")
    assert again == plan
    assert again.digest == plan.digest
    assert [change.record for change in again.changes] == [change.record for change in plan.changes]
    assert again.changes[-1].orphans == (hex_id(3),)
    assert isinstance(again.match_by, type(plan.match_by))
    assert again.application_id == "f" * 24


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda whole: whole["plan"]["changes"].pop(), "was changed since it was saved"),
        (lambda whole: whole.update(version=2), "is of format 2, and 1 is known here"),
        (lambda whole: whole.update(format="other"), "this is no plan"),
    ],
)
def test_a_plan_that_is_not_what_was_saved_is_refused(tmp_path: Path, spoil: Any, message: str) -> None:
    """Whatever was changed."""
    path = tmp_path / "night.plan"
    a_plan().save(path)
    whole = json.loads(path.read_text())
    spoil(whole)
    path.write_text(json.dumps(whole))
    with pytest.raises(PlanError, match=message):
        Plan.load(path)
    path.write_text("nothing")
    with pytest.raises(PlanError, match="this is no plan"):
        Plan.load(path)


def test_a_create_at_the_root_for_want_of_a_parent_is_warned_of_where_it_is_one() -> None:
    """Not under a group, where a record without a parent belongs, nor where the live group is at the root itself."""
    groups = [live(1, "A"), live(2, "B", 1), live(3, "C", 2), live(4, "New", 3)]
    (warning,) = compared([{"name": "New"}], groups, by_name()).warnings
    assert "would be created at the root" in warning.message
    assert compared([{"name": "New"}], groups, by_name(), under=hex_id(2)).warnings == ()
    (warning,) = compared([{"name": "Acme", "groupTags": {TAG: "1"}}], [live(1, "Acme")]).warnings
    assert "at the root" not in warning.message


def test_a_warning_of_several_records_has_the_place_of_the_first() -> None:
    """So that it is found; what is about no record is told without a place."""
    records = [{"id": hex_id(n), "name": f"New {n}"} for n in (1, 2)]
    (warning,) = compared(records, [live(1, "A"), live(2, "B")], by_name()).warnings
    assert (warning.place, warning.group_ids) == ("line 1", (hex_id(1), hex_id(2)))
    assert str(warning).startswith("line 1: 2 records carry the ids of live groups")
    assert str(PlanWarning("undo", "it is left")) == "it is left"
