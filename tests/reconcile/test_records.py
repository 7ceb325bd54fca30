"""Records in files: what is read, what is refused and where, and that an export is an import."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiolosant import DeviceTag, ExperienceGroup, PlanError, by_tag, reconcile
from aiolosant._http import codec
from aiolosant.models import FrozenDict
from aiolosant.reconcile.codec import to_record, to_row

from .. import strategies as own

BOM = b"\xef\xbb\xbf"
ID = "0123456789abcdef01234567"


def read(tmp_path: Path, name: str, content: bytes) -> list[dict[str, Any]]:
    path = tmp_path / name
    path.write_bytes(content)
    return [record.to_dict() for record in reconcile.read_records(path)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", BOM])
def test_a_csv_is_read(tmp_path: Path, mark: bytes, end: bytes) -> None:
    """With and without byte order mark and carriage returns; quoted commas and lines; an empty cell is absent."""
    content = mark + end.join(
        [
            b"id,parentId,name,description,deviceIds,deviceTags,groupTags.externalId,creationDate",
            "1,,Köln,,,,,2020-01-01T00:00:00Z".encode(),
            b'2,1,"Plant, 1","two\nlines",' + f"{ID}; {ID};,a=b;c=;=d\\;e,42,".encode(),
            b"",
        ]
    )
    assert read(tmp_path, "groups.csv", content) == [
        {"id": "1", "parentId": None, "name": "Köln"},
        {
            "id": "2",
            "parentId": "1",
            "name": "Plant, 1",
            "description": "two\nlines",
            "deviceIds": [ID, ID],
            "deviceTags": [{"key": "a", "value": "b"}, {"key": "c"}, {"value": "d;e"}],
            "groupTags": {"externalId": "42"},
        },
    ]


def test_a_tag_without_a_cell_is_left_alone(tmp_path: Path) -> None:
    """A column is a field of its own: one that is not there, or is empty, changes nothing. In JSON the tags are one."""
    tags = FrozenDict({"key": "1", "region": "eu", "contract": "gold"})
    group = ExperienceGroup(id=ID, name="A", group_tags=tags)
    file = tmp_path / "groups.csv"
    file.write_text("name,groupTags.key,groupTags.region,groupTags.new\nA,1,,x\n")
    plan = reconcile.compare(reconcile.read_records(file), [group], match_by=by_tag("key"))
    assert list(plan.diff()) == ["~ A: groupTags +new=x"]
    assert plan.changes[0].fields["group_tags"] == {**tags, "new": "x"}
    file = tmp_path / "groups.jsonl"
    file.write_text('{"name": "A", "groupTags": {"key": "1"}}\n')
    plan = reconcile.compare(reconcile.read_records(file), [group], match_by=by_tag("key"))
    assert list(plan.diff()) == ["~ A: groupTags -region=eu -contract=gold"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
@pytest.mark.parametrize("mark", [b"", BOM])
def test_json_lines_are_read(tmp_path: Path, mark: bytes, end: bytes) -> None:
    """An object a line; blank lines are nothing; null is absent, but clears a description and a device query."""
    lines = [
        '{"id": "1", "name": "Köln", "description": null, "_type": "experienceGroup", "ancestorIds": []}'.encode(),
        b'{"name": "Plant", "parentId": "1", "deviceQueryJson": null, "deviceIds": []}',
    ]
    assert read(tmp_path, "groups.jsonl", mark + end.join(lines)) == [
        {"id": "1", "name": "Köln", "description": ""},
        {"name": "Plant", "parentId": "1", "deviceQueryJson": None, "deviceIds": []},
    ]


def test_losants_own_list_is_read(tmp_path: Path) -> None:
    """The documented sample of a list; and a bare array."""
    sample = json.loads((Path(__file__).parent.parent / "samples" / "groups.json").read_text())
    sample["totalCount"] = len(sample["items"])
    records = read(tmp_path, "list.json", json.dumps(sample).encode())
    assert [record["name"] for record in records] == [item["name"] for item in sample["items"]]
    assert read(tmp_path, "list.json", json.dumps(sample["items"]).encode()) == records


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        ("a.csv", b"name\n\xff\n", ["line 2: not valid CSV; byte 1 of the line is no UTF-8"]),
        ("a.csv", "name\nÄ\n".encode("utf-16")[:-1], ["line 1: not valid CSV; as UTF-16 it breaks at byte"]),
        ("a.csv", b'name\n"a\nb\n', ["line 2: not valid CSV: unexpected end of data"]),
        ("a.csv", b"name,color\na,b\n", ["line 1: there is no column 'color'"]),
        ("a.csv", b"name;colour\na;b\n", ["line 1: there is no column 'colour'"]),
        ("a.csv", b"name,name\na,b\n", ["line 1: there are two columns 'name'"]),
        ("a.csv", b"", ["the file: there is nothing in it, not even a line with the names of the columns"]),
        ("a.csv", b"name,id\na\n\nb,1,2\n", ["line 4: expected 2 cells, got 3: '2' is beyond the header"]),
        ("a.csv", b"name,deviceTags\na,b\n", ["line 2: deviceTags must be key=value"]),
        ("a.csv", b"name,deviceIds\na,1;2\n", ["line 2: deviceIds[0] must be 24 hex digits, not '1'"]),
        ("a.csv", b'name,id\n"two\nlines",1\n,2\n', ["line 4: name is missing"]),
        (
            "a.jsonl",
            b'{"name": "a"\n{"name": 1}\n[]\n',
            ["line 1: not valid JSON", "line 2: name must be text", "line 3: "],
        ),
        ("a.jsonl", b'{"name": "a", "color": 1}', ["line 1: there is no field 'color'"]),
        ("a.jsonl", b'{"id": true, "name": "a"}', ["line 1: id must be text and not empty, not True"]),
        ("a.jsonl", b'{"id": "", "name": "a"}', ["line 1: id must be text and not empty, not ''"]),
        ("a.jsonl", b'{"name": "a", "name": "b"}', ["line 1: the key 'name' is there twice in one object"]),
        ("a.jsonl", b"[\n{}]", ["line 1: not valid JSON", "read with the format json"]),
        ("a.jsonl", b"\n \n", ["the file: there is no record in it"]),
        ("a.csv", b"name\n,\n", ["the file: there is no record in it"]),
        ("a.json", b'{"name": "a"}\n{"name": "b"}\n', ["the file: not valid JSON", "say the format jsonl"]),
        ("a.json", b'{"items": []}', ["the file: there is no record in it"]),
        ("a.jsonl", b'{"name": "' + b"x" * 256 + b'"}', ["line 1: name must have 1 to 255 characters, not 256"]),
        ("a.jsonl", '{"name": "Ä"}'.encode("latin-1"), ["line 1: not valid JSON", "is no UTF-8: save it as UTF-8"]),
        ("a.json", b'{"items": 3}', ["the file: expected Losant's list"]),
        ("a.json", b'{"items": [{"name": "a"}], "totalCount": 2}', ["the file: holds 1 of 2 groups; export them all"]),
        (
            "a.json",
            b'{"items": [{"name": "a"}, 3, {}]}',
            ["items[1]: expected a JSON object", "items[2]: name"],
        ),
        ("a.json", b"{", ["the file: not valid JSON"]),
    ],
)
def test_every_problem_is_told_with_its_place(tmp_path: Path, name: str, content: bytes, problems: list[str]) -> None:
    """All of a file at once, each with its line."""
    with pytest.raises(PlanError) as caught:
        read(tmp_path, name, content)
    told = "\n".join(caught.value.problems)
    for problem in problems:
        assert problem in told
    assert len(caught.value.problems) <= max(1, len(problems))


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        (
            "a.jsonl",
            b'{"title": "a", "owner": 1}\n{"title": "b", "owner": 2}\n{"title": "c", "parent": 1}\n',
            [
                r"line 3: there is no field 'parent': did you mean 'parentId'\?",
                r"line 1 and 2 more: there is no field 'title': did you mean 'name'\?",
                r"line 1 and 1 more: there is no field 'owner'; .* rename by --map OLD=NEW",
            ],
        ),
        (
            "a.json",
            b'[{"name": "a", "zip": 1, "city": 2}, {"name": 3, "zip": 1}, {"city": 4}]',
            [
                r"items\[0\] and 1 more: there are no fields 'city', 'zip'; .* or leave out by --ignore-columns",
                r"items\[2\]: name is missing",
                r"items\[1\]: name must be text, not int",
            ],
        ),
        ("a.yaml", b"- {name: a, groupTags.region: eu}\n- {name: b, zip: 1}\n", [r".*'groupTags.region', 'zip'.*"]),
    ],
)
def test_an_unknown_field_is_told_once(tmp_path: Path, name: str, content: bytes, problems: list[str]) -> None:
    """However many groups have it, beside what else is wrong."""
    with pytest.raises(PlanError) as caught:
        read(tmp_path, name, content)
    assert len(caught.value.problems) == len(problems)
    for told, pattern in zip(caught.value.problems, problems, strict=True):
        assert re.match(pattern, told)


def test_twenty_problems_are_shown(tmp_path: Path) -> None:
    """And how many more there are."""
    with pytest.raises(PlanError, match=r"line 20: .*; and 10 more") as caught:
        read(tmp_path, "a.jsonl", b"{}\n" * 30)
    assert len(caught.value.problems) == 30
    assert "line 21" not in str(caught.value)


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    """By its name, before it is opened; for writing Losant's list as well."""
    with pytest.raises(ValueError, match=r"must end in \.jsonl, .*, \.yml, or be -"):
        reconcile.read_records(tmp_path / "groups.xlsx")
    with pytest.raises(ValueError, match="are written as JSON Lines"):
        reconcile.RecordWriter(tmp_path / "groups.json")
    with pytest.raises(FileNotFoundError):
        reconcile.read_records(tmp_path / "nothing.csv")


groups = st.builds(
    ExperienceGroup,
    id=own.ids,
    name=own.names,
    description=st.none() | own.texts,
    device_ids=st.lists(own.ids, max_size=3).map(tuple),
    device_tags=st.lists(own.device_tags.filter(lambda tag: tag.key or tag.value), max_size=3).map(tuple),
    group_tags=st.dictionaries(own.tag_keys, own.tag_values, max_size=3),
    device_query_json=st.none() | own.queries,
    parent_id=st.none() | own.ids,
)


@given(st.lists(groups, min_size=1, max_size=5))
def test_an_export_is_an_import(tmp_path_factory: pytest.TempPathFactory, exported: list[ExperienceGroup]) -> None:
    """JSON Lines give back everything; CSV all but what is empty, which is then left alone."""
    folder = tmp_path_factory.mktemp("export")
    for name in ("groups.jsonl", "groups.csv"):
        with reconcile.RecordWriter(folder / name) as writer:
            for group in exported:
                writer.write(group)
        assert [path.name for path in folder.iterdir()] == [name]
        records = reconcile.read_records(folder / name)
        wanted = [to_record(to_row(group)) for group in exported]
        for record, want in zip(records, wanted, strict=True):
            assert (record.id, record.parent_id) == (want.id, want.parent_id)
            if name.endswith("jsonl"):
                assert record.fields == want.fields
            else:
                assert record.fields == {field: value for field, value in want.fields.items() if value}
        (folder / name).unlink()


def test_a_broken_export_leaves_the_old_file(tmp_path: Path) -> None:
    """Whole or not at all, and nothing lies about; permissions stay."""
    for name in ("groups.jsonl", "groups.csv"):
        path = tmp_path / name
        path.write_text("old")
        path.chmod(0o640)
        with pytest.raises(KeyError), reconcile.RecordWriter(path) as writer:
            writer.write(ExperienceGroup(id=ID, name="A"))
            raise KeyError
        assert path.read_text() == "old"
        with reconcile.RecordWriter(path) as writer:
            writer.write(ExperienceGroup(id=ID, name="A"))
        assert len(reconcile.read_records(path)) == 1
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["groups.csv", "groups.jsonl"]


def test_a_link_and_a_pipe_are_written_through(tmp_path: Path) -> None:
    """A symbolic link stays one; what is no file is written as it is."""
    target, link = tmp_path / "target.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(target)
    with reconcile.RecordWriter(link) as writer:
        writer.write(ExperienceGroup(id=ID, name="A"))
    assert link.is_symlink()
    assert len(reconcile.read_records(target)) == 1
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with reconcile.RecordWriter(pipe) as writer:
        writer.write(ExperienceGroup(id=ID, name="A"))
    assert msgspec.json.decode(os.read(reader, 1000))["name"] == "A"
    os.close(reader)


def test_a_record_keeps_its_shape() -> None:
    """What was given is what is there."""
    mapping = {"id": "1", "name": "A", "deviceTags": [{"key": "a"}], "groupTags": {"k": "v"}, "description": ""}
    record = to_record(mapping)
    assert record.to_dict() == mapping
    assert record.fields["device_tags"] == (DeviceTag(key="a"),)
    assert set(codec.FIELDS) >= set(mapping) - {"id"}


@pytest.mark.parametrize("name", ["groups.csv", "groups.jsonl"])
def test_what_cannot_be_written_is_told_at_once(tmp_path: Path, name: str) -> None:
    """Before anything is read, and with the folder that is missing; a full disk leaves nothing behind."""
    with pytest.raises(FileNotFoundError) as caught, reconcile.RecordWriter(tmp_path / "none" / name):
        raise AssertionError("the writer was opened")
    assert caught.value.filename == str(tmp_path / "none")
    if not Path("/dev/full").exists():
        pytest.skip("this system has no disk that is always full")
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"), reconcile.RecordWriter(tmp_path / name) as writer:
        writer.write(ExperienceGroup(id="0" * 24, name="a"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
