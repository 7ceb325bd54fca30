"""What is odd in a file, and not so wrong that it is refused: mapped tags, twins, marks that stand for others."""

import json
from pathlib import Path
from typing import Any

import pytest

from aiolosant import DeviceTag, ExperienceGroup, PlanError, by_name
from aiolosant.reconcile import Plan, Record, RecordWriter, compare, read_records
from aiolosant.reconcile.codec import from_cells, to_cells, to_row

ID = "a" * 24
LIVE = ExperienceGroup(id=ID, name="A", group_tags={"own": "x", "region": "eu"})
MAPPED: dict[str, str | None] = {"area": "groupTags.region"}


def read(tmp_path: Path, content: str | bytes, name: str = "groups.csv", **options: Any) -> list[Record]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_records(path, **options)


def warnings_of(plan: Plan) -> list[tuple[str, str]]:
    return [(warning.kind, str(warning)) for warning in plan.warnings]


@pytest.mark.parametrize(
    ("group", "tags"),
    [
        ({"area": "us"}, {"own": "x", "region": "us"}),
        ({"area": "us", "groupTags": None}, {"own": "x", "region": "us"}),
        ({"area": "us", "groupTags": {"a": "1"}}, {"a": "1", "region": "us"}),
        ({"groupTags": {"a": "1"}, "area": "us"}, {"a": "1", "region": "us"}),
        ({"area": None}, None),
    ],
)
def test_a_field_that_is_mapped_to_a_tag_is_that_tag(
    tmp_path: Path, group: dict[str, Any], tags: dict[str, str] | None
) -> None:
    """In whichever order; the others stay, unless the group says all of them."""
    for name in ("a.jsonl", "a.yaml"):
        records = read(tmp_path, json.dumps({"name": "A", **group}), name, columns=MAPPED)
        changes = compare(records, [LIVE], match_by=by_name()).changes
        wanted = [dict(LIVE.group_tags) | dict(change.fields["group_tags"]) for change in changes if tags]
        if tags and "own" not in tags:
            wanted = [dict(change.fields["group_tags"]) for change in changes]
        assert wanted == ([tags] if tags else [])


def test_a_tag_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Once by its field, once among the tags."""
    with pytest.raises(PlanError, match=r"there are two fields 'groupTags.region'"):
        read(tmp_path, '{"name": "A", "area": "us", "groupTags": {"region": "eu"}}', "a.jsonl", columns=MAPPED)


def test_a_key_of_yaml_that_is_no_text_is_an_unknown_field(tmp_path: Path) -> None:
    """A year, a date, a truth value."""
    with pytest.raises(PlanError, match=r"there are no fields '2026', 'True'"):
        read(tmp_path, "- name: A\n  2026: x\n  yes: 1\n", "a.yaml")


@pytest.mark.parametrize("cell", ["a=1, b=2", "a=1,b=2", "x=1;a=1,b=2"])
def test_device_tags_by_commas_are_refused(cell: str) -> None:
    """They would be one tag with a strange value."""
    with pytest.raises(ValueError, match="must be separated by semicolons"):
        from_cells({"deviceTags": cell})


@pytest.mark.parametrize(("key", "value"), [("a", "1, b=2"), ("x,y", "1"), ("a", "1, 2"), ("a", "\\,b=;")])
def test_device_tags_with_commas_come_back(key: str, value: str) -> None:
    """What an export writes is read as it was."""
    group = ExperienceGroup(id=ID, name="A", device_tags=(DeviceTag(key, value),))
    fields, _ = from_cells({"deviceTags": to_cells(to_row(group))["deviceTags"]})
    assert fields["deviceTags"] == [{"key": key, "value": value}]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"PK\x03\x04rest", "it is a workbook or a zip file, whatever its name says: save the sheet as CSV"),
        ("a.csv", b"\xd0\xcf\x11\xe0rest", "it is an old workbook"),
        ("a.jsonl", b"\x1f\x8brest", "it is packed by gzip: unpack it"),
        ("a.jsonl", b"id,name\n1,A\n2,B\n", "read with the format csv"),
        ("a.jsonl", b'{"items": [{"name": "a"}], "totalCount": 1}', "this is a list of groups; .* the format json"),
    ],
)
def test_what_is_of_another_kind_than_its_name_says_is_told_once(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    """With what to do about it."""
    with pytest.raises(PlanError, match=problem) as caught:
        read(tmp_path, content, name)
    assert len(caught.value.problems) == 1


def test_a_blank_before_a_quote_is_told(tmp_path: Path) -> None:
    """CSV has no such quotes, so that they would become a part of the text."""
    with pytest.raises(PlanError, match=r'line 2: a blank stands before the quote of "eu": take it away'):
        read(tmp_path, 'name, groupTags.r\nA, "eu"\n')


def test_a_text_that_begins_with_a_blank_and_a_quote_comes_back(tmp_path: Path) -> None:
    """It is quoted as it should be."""
    group = ExperienceGroup(id=ID, name="A", description=' "hello"')
    with RecordWriter(tmp_path / "groups.csv") as writer:
        writer.write(group)
    (record,) = read_records(tmp_path / "groups.csv")
    assert record.fields["description"] == ' "hello"'


@pytest.mark.parametrize("other", ["ACME", "Acme ", "Acme\u200b", "Ac\u00adme", "\uff21cme"])
def test_twins_within_a_file_are_warned_of(tmp_path: Path, other: str) -> None:
    """Whether the first is new, or there already; not those of one name, and not those below others."""
    records = read(tmp_path, f"id,parentId,name\n1,,Acme\n2,,{other}\n3,1,{other}\n")
    for live in ([], [ExperienceGroup(id=ID, name="Acme")]):
        alike = [text for kind, text in warnings_of(compare(records, live, match_by=by_name())) if kind == "look-alike"]
        assert len(alike) == 1
        assert alike[0].startswith("line 3: ")
        assert 'would be created beside "Acme"' in alike[0]


@pytest.mark.parametrize("name", ["Ac\u200bme", "Ac\u00adme"])
def test_what_cannot_be_seen_in_a_name_is_warned_of(tmp_path: Path, name: str) -> None:
    """It is shown so that it can be."""
    ((kind, text),) = warnings_of(compare(read(tmp_path, f"name\n{name}\n"), [], match_by=by_name()))
    assert kind == "name"
    assert json.dumps(name) in text


def test_an_empty_cell_beside_one_that_says_the_same_field_is_no_matter(tmp_path: Path) -> None:
    """Such as the ids of an export beside the e-mails that were filled in."""
    live = ExperienceGroup(id=ID, name="A", experience_user_ids=("b" * 24,))
    (record,) = read(tmp_path, "name,experienceUserIds,experienceUserEmails\nA,,ann@example.com\n")
    assert record.members == {"experience_user_ids": ("ann@example.com",)}
    assert warnings_of(compare([record], [live], match_by=by_name())) == []
