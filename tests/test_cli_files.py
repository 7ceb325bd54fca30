"""Files with columns of their own, several files, members by name, at the command line."""

import json
from pathlib import Path

import pytest

from .served import Served

KUNDEN = "Nr;Kunde;Ort;Mail;slug\n1;Acme;K\u00f6ln;ann@x.example;a\n2;Bolt;;nobody@x.example;b\n"


def test_own_columns_are_mapped(served: Served, tmp_path: Path) -> None:
    """By options, or by a small file beside it; an option wins."""
    file = tmp_path / "kunden.csv"
    file.write_text(KUNDEN)
    mapped = ["--map", "Nr=id", "--map", "Kunde=name", "--map", "Ort=description", "--ignore-columns", "slug,Mail"]
    shown = served.run("plan", str(file), *mapped)
    assert shown.stdout == "+ Acme  (line 2)\n+ Bolt  (line 3)\n2 to create, 0 unchanged\n", shown.stderr
    mapping = tmp_path / "kunden.toml"
    mapping.write_text('ignore = ["slug", "Mail"]\n[columns]\nNr = "id"\nKunde = "name"\nOrt = "description"\n')
    assert served.run("plan", str(file), "--mapping", str(mapping)).stdout == shown.stdout
    assert served.run("plan", str(file), "--mapping", str(mapping), "--map", "Ort=groupTags.ort").exit_code == 3
    mapping.write_text("colums = 1\n")
    wrong = served.run("plan", str(file), "--mapping", str(mapping))
    assert (wrong.exit_code, "colums" in wrong.stderr) == (2, True)
    assert "--map must be OLD=NEW" in served.run("check", str(file), "--map", "Nr").stderr


def test_the_separator_is_said_on_stderr(served: Served, tmp_path: Path) -> None:
    """And nothing else of the kind."""
    file = tmp_path / "groups.csv"
    file.write_text("name;description\nA;x\n")
    shown = served.run("plan", str(file))
    assert "the columns are separated by semicolons" in shown.stderr
    assert "separated" not in served.run("plan", str(file), "--delimiter", ";").stderr


def test_members_are_named(served: Served, tmp_path: Path) -> None:
    """By e-mail, device name, method and route; all that is not there or ambiguous is told at once."""
    emulator = served.emulator
    ann = emulator.create_experience_user("Ann@x.example")
    bob = emulator.create_experience_user("bob@x.example")
    route = emulator.create_experience_endpoint("get", "/plants")
    pumps = [emulator.create_device(name) for name in ("Pump 1", "Pump 2", "Pump 2")]
    file = tmp_path / "groups.csv"
    file.write_text(
        "name,experienceUserEmails,deviceNames,experienceEndpoints\n"
        "A,ann@x.example;bob@x.example,Pump 1,GET /plants\nB,nobody@x.example,Pump 2,POST /plants\n"
    )
    refused = served.run("plan", str(file))
    assert refused.exit_code == 2
    for told in (
        "line 3: there is no user 'nobody@x.example'",
        "line 3: there is no endpoint 'POST /plants'",
        f"line 3: there are 2 devices 'Pump 2': {', '.join(sorted(pumps[1:]))}",
    ):
        assert told in refused.stderr
    file.write_text(file.read_text().rsplit("B,", 1)[0])
    assert served.run("apply", str(file)).exit_code == 0
    (group,) = served.groups()
    assert (group["experienceUserIds"], group["deviceIds"], group["experienceEndpointIds"]) == (
        [ann, bob],
        [pumps[0]],
        [route],
    )
    file.write_text("name,experienceUserEmails\nA,bob@x.example\n")
    assert served.run("plan", str(file), "--members-mode", "add").stdout == "1 unchanged\n"
    assert served.run("plan", str(file)).stdout.startswith("~ A: experienceUserIds -1")


def test_several_files_are_one_run(served: Served, tmp_path: Path) -> None:
    """Each problem with its file's name; records of one may name those of another."""
    one, two = tmp_path / "one.csv", tmp_path / "two.jsonl"
    one.write_text("id,name\na,Acme\n")
    two.write_text(json.dumps({"name": "Plant", "parentId": "a"}) + "\n")
    shown = served.run("plan", str(one), str(two))
    assert shown.stdout.splitlines() == [
        f"+ Acme  ({one}: line 2)",
        f"+ Acme / Plant  ({two}: line 1)",
        "2 to create, 0 unchanged",
    ]
    one.write_text("nme\nx\n")
    two.write_text("{}\n")
    wrong = served.run("check", str(one), str(two))
    assert f"{one}: line 1: there is no column 'nme': did you mean 'name'?" in wrong.stderr
    assert f"{two}: line 1: name is missing" in wrong.stderr


@pytest.mark.parametrize("name", ["groups.csv", "groups.jsonl"])
def test_standard_input_and_an_export_for_a_spreadsheet(served: Served, tmp_path: Path, name: str) -> None:
    """A CSV from standard input needs its format said; what was exported is unchanged."""
    served.emulator.create_groups([{"name": "=1+1"}, {"name": "K\u00f6ln", "description": "-x"}])
    exported = tmp_path / name
    assert served.run("export", str(exported), "--for-spreadsheet").exit_code == 0
    assert served.run("plan", str(exported), "--match-by", "id", "--prune").stdout == "2 unchanged\n"
    kind = name.rsplit(".", 1)[1]
    shown = served.run("plan", "-", "--format", kind, "--match-by", "id", stdin=exported.read_text("utf-8-sig"))
    assert shown.stdout == "2 unchanged\n"


def test_levels_and_empty_cells(served: Served, tmp_path: Path) -> None:
    """`--levels` and `--empty`."""
    served.emulator.create_groups([{"name": "Acme", "description": "x"}])
    file = tmp_path / "levels.csv"
    file.write_text("Customer,Site,description\nAcme,,\nAcme,Yard,\n")
    kept = served.run("plan", str(file), "--levels", "Customer,Site")
    assert kept.stdout.splitlines()[0] == "+ Acme / Yard  (line 3)"
    assert "description is empty where a live group has a value" in kept.stderr
    cleared = served.run("plan", str(file), "--levels", "Customer,Site", "--empty", "clear")
    assert "~ Acme: description: x -> none  (line 2)" in cleared.stdout


def test_a_copy_maps_ids_inside_texts(served: Served) -> None:
    """The group's own, those of groups that are there, of devices and users; what cannot be mapped is listed."""
    emulator, other = served.emulator, served.emulator.create_application()
    device = emulator.create_device("Pump")
    there = emulator.create_device("Pump", application_id=other)
    ids = emulator.create_groups([{"id": "a", "name": "Acme"}, {"id": "b", "name": "Site", "parentId": "a"}])
    query = json.dumps({"$or": [{"tags.site": ids["b"]}, {"id": device}, {"id": "f" * 24}, {"tags.up": ids["a"]}]})
    emulator.update_group(ids["b"], {"deviceTags": [{"key": "site", "value": ids["b"]}], "deviceQueryJson": query})
    way = ["copy", "--from-application", emulator.application_id, "--to-application", other, "--members", "match"]
    first = served.run(*way)
    assert first.exit_code == 2
    assert f"'Site' names {'f' * 24} in a text: nothing known" in first.stderr
    assert "the group 'Acme', which is still to be made: copy again" in first.stderr
    assert served.run(*way, "--yes").exit_code == 0
    assert served.run(*way, "--yes").exit_code == 0
    acme, site = served.groups(other)
    assert site["deviceTags"] == [{"key": "site", "value": site["id"]}]
    mapped = json.loads(site["deviceQueryJson"])["$or"]
    assert mapped == [{"tags.site": site["id"]}, {"id": there}, {"id": "f" * 24}, {"tags.up": acme["id"]}]
    assert served.run(*way, "--yes").stdout == "2 unchanged\n"


def test_a_part_is_copied(served: Served) -> None:
    """By a root, which becomes one there, or by a query."""
    emulator = served.emulator
    emulator.create_groups(
        [{"id": "a", "name": "Acme"}, {"id": "b", "name": "Site", "parentId": "a"}, {"name": "Else"}]
    )
    by_root, by_query = (emulator.create_application() for _ in range(2))
    way = ["copy", "--from-application", emulator.application_id, "--members", "drop", "--to-application"]
    assert served.run(*way, by_root, "--root", "Acme").exit_code == 0
    assert served.paths(by_root) == {"Acme": 1, "Acme/Site": 1}
    assert served.run(*way, by_query, "--query", '{"name": "Site"}').exit_code == 0
    assert served.paths(by_query) == {"Site": 1}
    by_both = emulator.create_application()
    query = '{"name": {"$in": ["Site", "Else"]}}'
    assert served.run(*way, by_both, "--root", "Acme", "--query", query).exit_code == 0
    assert served.paths(by_both) == {"Site": 1}


def test_trees_of_several_files_are_one_run(served: Served, tmp_path: Path) -> None:
    """Ids that were made up do not meet, and what stands above others in both is one group."""
    nested = [tmp_path / "a.json", tmp_path / "b.json"]
    for number, file in enumerate(nested):
        file.write_text(json.dumps([{"name": f"R{number}", "children": [{"name": "x", "children": [{"name": "y"}]}]}]))
    assert served.run("plan", *map(str, nested)).stdout.endswith("6 to create, 0 unchanged\n")
    levels = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for number, file in enumerate(levels):
        file.write_text(f"K,O\nAcme,O{number}\n")
    shown = served.run("plan", *map(str, levels), "--levels", "K,O")
    assert shown.stdout.endswith("3 to create, 0 unchanged\n")
