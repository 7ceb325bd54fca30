"""Files as people have them: what spreadsheets and other programs make of a list of groups."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aiolosant import ExperienceGroup, PlanError, by_id, by_name, by_tag, reconcile
from aiolosant.reconcile import Record, RecordWriter, compare, read_records

ID = "0123456789abcdef01234567"


def read(tmp_path: Path, content: str | bytes, name: str = "groups.csv", **options: Any) -> list[Record]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_records(path, **options)


def problems(tmp_path: Path, content: str | bytes, name: str = "groups.csv", **options: Any) -> list[str]:
    with pytest.raises(PlanError) as caught:
        read(tmp_path, content, name, **options)
    return list(caught.value.problems)


PLAIN = "id,parentId,name\na,,Acme\nb,a,Plant 1\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        '"sep=|"\n' + PLAIN.replace(",", "|"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("name\n", "name\r").replace("Acme\n", "Acme\r\n"),  # mixed
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
        PLAIN.replace(",", "\t").encode("utf-16"),  # what a spreadsheet calls Unicode text
        PLAIN.replace("\n", ",,,\n"),
        PLAIN.replace("a,,Acme\n", "a,,Acme\n,,\n ,,\n") + ",,\n\n",
        "\n,,\n" + PLAIN,
        " id , parentId,name \na,,Acme\nb,a,Plant 1\n",
        "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in PLAIN.splitlines()),
        'id,parentId,"name"\na,,Acme\nb,a,"Plant 1"',
    ],
)
def test_a_csv_is_read_as_a_spreadsheet_saves_it(tmp_path: Path, content: str | bytes) -> None:
    """Separators, line ends, encodings, surplus and blank cells, rows and lines."""
    records = read(tmp_path, content)
    assert [(record.id, record.parent_id, record.name) for record in records] == [
        ("a", None, "Acme"),
        ("b", "a", "Plant 1"),
    ]


def test_a_separator_that_was_found_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Never guessed silently; what is given decides."""
    read(tmp_path, "name;description\nA;x\n")
    assert "the columns are separated by semicolons" in caplog.text
    (record,) = read(tmp_path, "name;x|description\nA;y|z\n", delimiter="|", columns={"name;x": "name"})
    assert record.fields == {"name": "A;y", "description": "z"}
    with pytest.raises(ValueError, match="delimiter must be one character"):
        read(tmp_path, PLAIN, delimiter=";;")


def test_short_rows_are_filled_up(tmp_path: Path) -> None:
    """A missing cell is an empty one; one that is too many and not empty is told."""
    records = read(tmp_path, "name,description,groupTags.k\nA\nB,x\nC,,z,,\n")
    assert [record.fields for record in records] == [
        {"name": "A"},
        {"name": "B", "description": "x"},
        {"name": "C", "group_tags": {"k": "z"}},
    ]
    assert problems(tmp_path, "name\nA,,z\n") == ["line 2: expected 1 cells, got 3: 'z' is beyond the header"]
    assert problems(tmp_path, "name,\nA,z\n") == ["line 2: 'z' is in a column without a name"]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("ID,ParentID,Name", ["'id'", "'parentId'", "'name'"]),
        ("Id,parent_id,NAME", ["'id'", "'parentId'", "'name'"]),
        ("nmae,Description", ["'name'", "'description'"]),
        ("name,Group Tags.region", ["'groupTags.region'"]),
        ("name,tag:region", ["'groupTags.region'"]),
        ("name,E-Mails", ["'experienceUserEmails'"]),
    ],
)
def test_each_likely_name_is_told_at_once(tmp_path: Path, header: str, told: list[str]) -> None:
    """All of a header, in its line."""
    found = problems(tmp_path, f"{header}\nx\n")
    assert [problem.rsplit("mean ", 1)[1] for problem in found] == [f"{name}?" for name in told]
    assert all(problem.startswith("line 1: there is no column") for problem in found)


def test_columns_that_are_like_none_are_told_together(tmp_path: Path) -> None:
    """With what to do about them; a missing name once, and not once a row."""
    (found,) = problems(tmp_path, "id,name,slug,status,time_zone\n1,AMS1,a,b,c\n")
    assert "there are no columns 'slug', 'status', 'time_zone'" in found
    assert "--map OLD=NEW" in found
    assert problems(tmp_path, "id,description\na,x\nb,y\n") == [
        "line 1: there is no column 'name', which every group needs"
    ]
    records = read(
        tmp_path,
        "Nr,Kunde,Ort,slug\n1,Acme,HQ,x\n",
        columns={"Nr": "id", "Kunde": "name", "Ort": "description", "slug": None},
    )
    assert [record.fields for record in records] == [{"name": "Acme", "description": "HQ"}]
    assert problems(tmp_path, "name\na\n", columns={"Kunde": "name"}) == [
        "line 1: there is no column 'Kunde' to rename or leave out"
    ]


@pytest.mark.parametrize(
    ("parent", "meant"), [("1.0", "1"), ("acme ", "ACME "), ("ACME", "ACME "), ("7", "007"), ("bolt-hq1", "bolt-hq")]
)
def test_a_parent_that_is_nearly_there_is_suggested(tmp_path: Path, parent: str, meant: str) -> None:
    """What a spreadsheet makes of numbers, blanks at an end, case, lost zeros, a slip."""
    content = f"id,parentId,name\n1,,A\nACME ,,B\n007,,C\nbolt-hq,,D\nx,{parent},E\n"
    with pytest.raises(PlanError, match=f"did you mean {meant!r}"):
        compare(read(tmp_path, content), [], match_by=by_name())


def test_lists_are_read_by_commas_too(tmp_path: Path) -> None:
    """Ids have none; so do e-mails. All tags may be one cell of JSON."""
    ids = ["a" * 24, "b" * 24]
    (record,) = read(tmp_path, f'name,deviceIds,groupTags\nA,"{ids[0]}, {ids[1]}","{{""k"": ""v""}}"\n')
    assert record.fields["device_ids"] == tuple(ids)
    assert (record.fields["group_tags"], record.merges_tags) == ({"k": "v"}, False)
    (found,) = problems(tmp_path, "name,groupTags\nA,region=eu\n")
    assert 'groupTags must be a JSON object such as {"region": "eu"}, or a column groupTags.KEY' in found


def test_an_empty_cell_clears_if_that_is_said(tmp_path: Path) -> None:
    """Otherwise it leaves the value, and the plan warns of that."""
    group = ExperienceGroup(
        id=ID,
        name="A",
        description="x",
        group_tags={"k": "v", "old": "1", "other": "2"},
        device_ids=("a" * 24,),
        device_query_json="{}",
    )
    content = "name,description,deviceIds,deviceQueryJson,groupTags.k,groupTags.old\nA,,,,v,\n"
    kept = compare(read(tmp_path, content), [group], match_by=by_tag("k"))
    assert kept.changes == ()
    assert {warning.message.split(" ")[0] for warning in kept.warnings} == {
        *("description", "deviceIds", "deviceQueryJson", "groupTags.old"),
    }
    (change,) = compare(read(tmp_path, content, empty="clear"), [group], match_by=by_tag("k")).changes
    assert change.fields == {
        "description": "",
        "device_ids": (),
        "device_query_json": None,
        "group_tags": {"k": "v", "other": "2"},
    }
    with pytest.raises(ValueError, match="empty must be 'keep' or 'clear'"):
        read(tmp_path, content, empty="drop")


def test_levels_make_a_tree(tmp_path: Path) -> None:
    """Groups above a row are made as they are needed, once; a row of their own says more of them."""
    content = "Customer,Site,Area,groupTags.k\nAcme,Harbour,Gate 1,11\nAcme,Harbour,Gate 2,12\nAcme,,,1\nBolt,,,20\n"
    records = read(tmp_path, content, levels=("Customer", "Site", "Area"))
    plan = compare(records, [], match_by=by_name())
    assert list(plan.diff()) == [
        "+ Acme",
        "+ Bolt",
        "+ Acme / Harbour",
        "+ Acme / Harbour / Gate 1",
        "+ Acme / Harbour / Gate 2",
    ]
    assert plan.changes[0].fields["group_tags"] == {"k": "1"}
    assert "must be filled from the left" in problems(tmp_path, "A,B\n,x\n", levels=("A", "B"))[0]
    assert "is the same group as line 2" in problems(tmp_path, "A,B\nx,y\nx,y\n", levels=("A", "B"))[0]
    assert "there is no column 'C' for the levels" in problems(tmp_path, "A,B\nx,y\n", levels=("A", "C"))[0]


NESTED = [{"name": "Acme", "children": [{"name": "Harbour", "children": [{"name": "Gate 1"}]}, {"name": "Yard"}]}]
PATHS = ["+ Acme", "+ Acme / Harbour", "+ Acme / Yard", "+ Acme / Harbour / Gate 1"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tree.json", json.dumps({"items": NESTED})),
        ("tree.json", json.dumps(NESTED)),
        ("tree.json", json.dumps(NESTED[0])),
        ("tree.jsonl", json.dumps(NESTED[0])),
        ("tree.yaml", f"resourceType: ExperienceGroupTree\nresources: {json.dumps(NESTED)}\n"),
        ("tree.yml", json.dumps(NESTED)),
    ],
)
def test_nested_children_are_read(tmp_path: Path, name: str, content: str) -> None:
    """In each format that can nest."""
    assert list(compare(read(tmp_path, content, name), [], match_by=by_name()).diff()) == PATHS


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.yaml"])
def test_nested_groups_may_have_a_name_of_their_own(tmp_path: Path, name: str) -> None:
    """What a CRM calls sites are children, at every level; nothing below is left out."""
    content = '{"title": "A", "sites": [{"title": "B", "sites": [{"title": "C"}]}]}'
    path = tmp_path / name
    path.write_text(content if name == "a.jsonl" else f"[{content}]")
    records = read_records(path, columns={"title": "name", "sites": "children"})
    assert list(compare(records, [], match_by=by_name()).diff()) == ["+ A", "+ A / B", "+ A / B / C"]


def test_losants_own_export_is_read(tmp_path: Path) -> None:
    """Its placeholders are ids; a text that names the group's own id gets the real one."""
    own = "~exportplaceholderid-experienceGroup-harbour~"
    text = (
        "resourceType: ExperienceGroupTree\nresources:\n  - name: Acme\n    exportHash: 0f1e\n    children:\n"
        f"      - name: Harbour\n        id: {own}\n        children: []\n"
        f"        deviceTags:\n          - key: site\n            value: {own}\n"
    )
    records = read(tmp_path, text, "groups.yaml")
    group = ExperienceGroup(id=ID, name="Harbour", parent_id="f" * 24)
    acme = ExperienceGroup(id="f" * 24, name="Acme")
    (change,) = compare(records, [acme, group], match_by=by_name()).changes
    assert change.fields["device_tags"][0].value == ID
    assert problems(tmp_path, "resourceType: Workflow\nresources: []\n", "a.yaml") == [
        "the file: it holds resources of the type Workflow, and not experience groups"
    ]
    assert "not valid YAML" in problems(tmp_path, "a: [", "a.yaml")[0]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"name": "A", "groupTags": {"n": 5}}, "groupTags['n'] must be text, not int"),
        ({"name": "A", "children": 3}, "children must be a list of groups"),
        ({"name": "A", "id": "a", "children": [{"name": "B", "parentId": "z"}]}, "nested below 'a'"),
        ({"name": "A", "membersMode": "merge"}, "membersMode must be replace or add"),
        ({"name": "A", "deviceNames": "Pump"}, "deviceNames must be a list of texts"),
    ],
)
def test_what_programs_write_wrong_is_named(tmp_path: Path, record: dict[str, Any], problem: str) -> None:
    """By the field, with what it should be."""
    (found,) = problems(tmp_path, json.dumps(record), "a.jsonl")
    assert problem in found


def test_numbers_are_ids_and_null_is_none(tmp_path: Path) -> None:
    """An integer id is its text; null clears what a listing shows as null."""
    lines = '{"id":1,"name":"Acme","description":null}\n{"id":2,"parentId":1,"name":"Plant","deviceQueryJson":null}\n'
    records = read(tmp_path, lines, "a.jsonl")
    assert [(record.id, record.parent_id) for record in records] == [("1", None), ("2", "1")]
    there = ExperienceGroup(id=ID, name="Acme", description="x")
    (change, _) = compare(records, [there], match_by=by_name()).changes
    assert change.fields == {"description": ""}
    without = ExperienceGroup(id=ID, name="Acme")
    assert [one.action for one in compare(records, [without], match_by=by_name()).changes] == ["create"]


def test_standard_input_has_any_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """JSON Lines unless it is said; so has a file of any name."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode())))
    assert len(read_records("-", format="csv")) == 2
    assert len(read(tmp_path, PLAIN, "groups.txt", format="csv")) == 2
    with pytest.raises(ValueError, match="format must be jsonl, csv, json or yaml"):
        read(tmp_path, PLAIN, format="xlsx")


NASTY = [
    "=1+1",
    "+49 30",
    "-x",
    "@home",
    "'=quoted",
    "''-",
    " lead",
    'quo"te',
    "a,b;c\\d",
    "two\nlines",
    "\tTab",
    "K\u00f6ln",
]


@pytest.mark.parametrize("for_spreadsheet", [False, True])
def test_an_export_is_read_back_the_same(tmp_path: Path, for_spreadsheet: bool) -> None:
    """Formulas are made harmless for a spreadsheet, and come back as they were."""
    groups = [
        ExperienceGroup(id=f"{n:024x}", name=text, description=text, group_tags={"k": text.strip()})
        for n, text in enumerate(NASTY)
    ]
    path = tmp_path / "groups.csv"
    with RecordWriter(path, for_spreadsheet=for_spreadsheet) as writer:
        for group in groups:
            writer.write(group)
    records = read_records(path)
    assert [record.name for record in records] == NASTY
    assert compare(records, groups, match_by=by_id()).changes == ()
    text = path.read_bytes()
    assert text.startswith(b"\xef\xbb\xbf") is for_spreadsheet
    assert (b",=1+1," in text) is not for_spreadsheet


def test_a_second_plan_of_what_was_exported_is_empty(tmp_path: Path) -> None:
    """A group without a description is exported as one, so that a copy clears what is there."""
    group = ExperienceGroup(id=ID, name="A")
    with RecordWriter(tmp_path / "a.jsonl") as writer:
        writer.write(group)
    records = read_records(tmp_path / "a.jsonl")
    assert compare(records, [group], match_by=by_name()).changes == ()
    other = ExperienceGroup(id=ID, name="A", description="theirs")
    assert compare(records, [other], match_by=by_name()).changes[0].fields == {"description": ""}
    assert reconcile.read_records(tmp_path / "a.jsonl") == records


@pytest.mark.parametrize(
    "content",
    [
        b'"id";"parentId";"name"\n"a";"";"Acme"\n"b";"a";"Plant 1"\n',
        b"sep=\t\nid\tparentId\tname\na\t\tAcme\nb\ta\tPlant 1\n",
        b"sep=;;\nid;parentId;name\na;;Acme\nb;a;Plant 1\n",
        b"id,parentId,name\ra,,Acme\rb,a,Plant 1",
        "id,parentId,name\na,,Acme\nb,a,Plant 1\nc,,\u041c\u043e\u0441\u043a\u0432\u0430\n".encode("utf-16-le"),
    ],
)
def test_what_other_programs_quote_and_mark_is_read(tmp_path: Path, content: bytes) -> None:
    """Quoted headers with another separator, `sep=` of all kinds, lone CRs up to the end."""
    assert [record.name for record in read(tmp_path, content)][:2] == ["Acme", "Plant 1"]


def test_nesting_is_kept_without_ids(tmp_path: Path) -> None:
    """Null is no id; invented ones do not meet those of another file."""
    tree = json.dumps([{"id": None, "name": "Acme", "children": [{"id": None, "name": "Plant"}]}])
    assert list(compare(read(tmp_path, tree, "a.json"), [], match_by=by_name()).diff()) == ["+ Acme", "+ Acme / Plant"]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.yaml", "- name: a\n  name: b\n", "the key 'name' is there twice"),
        ("a.yaml", "- &r\n  name: a\n  children: [*r]\n", "something in it contains itself"),
        ("a.csv", 'name,groupTags\nA,"{""x"": ""1"", ""x"": ""2""}"\n', "groupTags has a key twice"),
        ("a.csv", 'name\n"A\n', "a quote that is opened in this row is not closed"),
        ("a.jsonl", '[{"name": "a"}]\n', "is read with the format json"),
    ],
)
def test_what_would_be_lost_without_a_word_is_told(tmp_path: Path, name: str, content: str, problem: str) -> None:
    """Keys that are there twice, and what cannot be understood."""
    assert problem in problems(tmp_path, content, name)[0]


def test_an_empty_cell_of_all_tags_leaves_or_clears_them(tmp_path: Path) -> None:
    """Beside a column for one of them, it leaves the others."""
    group = ExperienceGroup(id=ID, name="A", group_tags={"x": "0", "y": "2"})
    content = "name,groupTags,groupTags.x\nA,,1\n"
    assert list(compare(read(tmp_path, content), [group], match_by=by_name()).diff()) == ["~ A: groupTags ~x: 0 -> 1"]
    cleared = read(tmp_path, "name,groupTags\nA,\n", empty="clear")
    assert list(compare(cleared, [group], match_by=by_name()).diff()) == ["~ A: groupTags -x=0 -y=2"]


@pytest.mark.parametrize(
    ("header", "levels", "options", "problem"),
    [
        ("K,O,name", ("K", "O"), {}, "with levels there is no name"),
        ("K,O", ("K", "K"), {}, "the level 'K' is named twice"),
        ("K,O", ("K", "O"), {"columns": {"K": "name"}}, "the level 'K' cannot be renamed or left out as well"),
    ],
)
def test_levels_that_contradict_the_columns_are_refused(
    tmp_path: Path, header: str, levels: tuple[str, ...], options: dict[str, Any], problem: str
) -> None:
    """Before anything is read."""
    assert any(problem in one for one in problems(tmp_path, f"{header}\na,b,c\n", levels=levels, **options))


def test_numbers_survive_a_spreadsheet(tmp_path: Path) -> None:
    """Leading zeros, exponents, dates: an apostrophe keeps them as text."""
    texts = ["0012", "1e5", "1.50", "2026-01-02", "12:30", "1,5", "123456789012345678", "12", "a"]
    path = tmp_path / "a.csv"
    with RecordWriter(path, for_spreadsheet=True) as writer:
        for text in texts:
            writer.write(ExperienceGroup(id=ID, name=text))
    rows = path.read_text(encoding="utf-8-sig").splitlines()[1:]
    assert [row.split(",", 2)[2].startswith(("'", "\"'")) for row in rows] == [*[True] * 7, False, False]
    assert [record.name for record in read_records(path)] == texts
