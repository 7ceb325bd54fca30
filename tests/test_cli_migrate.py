"""The commands that migrate, as a shell runs them, counted on the server."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aiolosant.cli.app import app
from aiolosant.emulator import Fault, RequestRecord

from .served import Served
from .trees import TREE, paths_of, write


def test_a_plan_is_shown_applied_and_empty(served: Served, tmp_path: Path) -> None:
    """`plan` exits 3 and sends reads alone, `apply` exits 0, and `plan` then too."""
    file = write(tmp_path / "groups.jsonl", TREE)
    planned = served.run("plan", file)
    application = f"application 'Emulated application' ({served.emulator.application_id}) at {served.emulator.url}\n"
    assert (planned.exit_code, planned.stderr) == (3, application)
    assert planned.stdout.splitlines() == [
        "+ Acme  (line 1)",
        "+ Acme / Plant 1  (line 2)",
        "+ Acme / Plant 1 / Line  (line 3)",
        "3 to create, 0 unchanged",
    ]
    assert {request.method for request in served.emulator.requests} == {"GET"}
    applied = served.run("apply", file)
    assert (applied.exit_code, applied.stdout) == (0, "3 to create, 0 unchanged\n3 done\n")
    again = served.run("plan", file)
    assert (again.exit_code, again.stdout) == (0, "3 unchanged\n")
    assert served.paths() == paths_of(TREE)


def test_json_is_a_line_a_change(served: Served, tmp_path: Path) -> None:
    """For machines: what, where, which group, and what became of it; everything else is on stderr."""
    served.emulator.create_groups([{"name": "Acme"}])
    file = write(tmp_path / "groups.jsonl", TREE)
    planned = [json.loads(line) for line in served.run("plan", file, "--json").stdout.splitlines()]
    acme = served.groups()[0]["id"]
    assert planned[0] == {
        "action": "update",
        "path": ["Acme"],
        "id": acme,
        "fields": {"groupTags": {"key": "a"}},
        "differences": [{"field": "groupTags.key", "old": None, "new": "a"}],
        "place": "line 1",
    }
    assert [change["action"] for change in planned] == ["update", "create", "create"]
    result = served.run("apply", "-", "--json", stdin=Path(file).read_text())
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [change["status"] for change in told] == ["done", "done", "done"]
    assert {change["id"] for change in told} == {group["id"] for group in served.groups()}


def test_an_export_can_be_applied_elsewhere(served: Served, tmp_path: Path) -> None:
    """Export, apply to an empty application, export again: equal but for what the server sets."""
    device, other = "d" * 24, served.emulator.create_application()
    tree = [*TREE, {"id": "4", "name": 'Quo"ted, ü', "deviceIds": [device], "deviceTags": [{"key": "k"}]}]
    served.emulator.create_groups(tree)
    for name in ("one.jsonl", "one.csv"):
        exported = str(tmp_path / name)
        assert served.run("export", exported).exit_code == 0
        assert served.run("apply", exported, "--application", other).exit_code == 0
        again = str(tmp_path / f"again-{name}")
        assert served.run("export", again, "--application", other).exit_code == 0
        assert served.run("plan", again, "--match-by", "name", "--prune").stdout == "4 unchanged\n"
    first, second = (
        sorted(
            ({**json.loads(line), "id": "", "parentId": ""} for line in (tmp_path / name).read_text().splitlines()),
            key=lambda row: row["name"],
        )
        for name in ("one.jsonl", "again-one.jsonl")
    )
    assert first == second
    assert served.paths(other) == served.paths()
    to_stdout = served.run("export").stdout
    assert {json.loads(line)["name"] for line in to_stdout.splitlines()} == {record["name"] for record in tree}


def test_an_export_by_several_ranges_has_each_group_once(served: Served, tmp_path: Path) -> None:
    """More than a page of them, so that there are several ranges."""
    ids = served.emulator.create_groups({"name": f"{n}"} for n in range(3000)).values()
    requests: list[int] = []
    for parallel, name in (("1", "one.jsonl"), ("8", "eight.jsonl")):
        assert served.run("export", str(tmp_path / name), "--parallel", parallel).exit_code == 0
        requests.append(len(served.emulator.requests) - sum(requests))
    one, eight = ((tmp_path / name).read_text().splitlines() for name in ("one.jsonl", "eight.jsonl"))
    assert [json.loads(line)["id"] for line in one] == sorted(ids)
    assert sorted(eight) == sorted(one)
    assert requests[1] > requests[0]


@pytest.mark.parametrize(
    ("name", "content", "arguments", "complaint"),
    [
        ("cycle.csv", "id,name,parentId\n1,a,2\n2,b,1\n", [], "line 3: 'b' is its own ancestor: line 3, line 2"),
        ("parent.csv", "id,name,parentId\n1,a,7\n", [], "line 2: 'a' has the parentId '7'"),
        ("twice.csv", "name\na\na\n", [], "line 3: 'a' is the same group as line 2"),
        ("column.csv", "name,colour\na,red\n", [], "line 1: there is no column 'colour'"),
        ("broken.jsonl", '{"name": "a"}\n{"name": \n', [], "line 2: not valid JSON"),
        ("nameless.jsonl", '{"id": "1"}\n', [], "line 1: name is missing"),
        ("latin.csv", "name\nK\xf6ln\n", [], "line 2: not valid CSV; byte 2 of the line is no UTF-8"),
        ("empty.jsonl", "", ["--prune", "--yes"], "there is no record in it; if an export made it, that has failed"),
        ("untagged.csv", "name\na\n", ["--match-by", "tag:key"], "line 2: 'a' has no group tag 'key'"),
        ("bad.txt", "a", [], "must end in .jsonl"),
        ("good.csv", "name\na\n", ["--match-by", "colour"], "--match-by must be name, id or tag:KEY"),
        ("good.csv", "name\na\n", ["--match-by", "tag:"], "key must be 1 to 255 letters"),
    ],
)
def test_a_bad_file_writes_nothing(
    served: Served, tmp_path: Path, name: str, content: str, arguments: list[str], complaint: str
) -> None:
    """Exit 2, the place is named, and nothing but reads was sent."""
    served.emulator.create_groups([{"name": "Live"}])
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    for command in ("plan", "apply"):
        extra = [argument for argument in arguments if command == "apply" or argument != "--yes"]
        result = served.run(command, str(path), *extra)
        assert result.exit_code == 2
        assert complaint in result.stderr
        assert "Traceback" not in result.output
    assert {request.method for request in served.emulator.requests} <= {"GET"}
    assert served.paths() == Counter(["Live"])


def test_prune_asks(served: Served, tmp_path: Path) -> None:
    """It takes an answer from whoever gives one; where nobody does it wants --yes; with --yes it does not ask."""
    served.emulator.create_groups([{"name": "Old"}])
    file = write(tmp_path / "groups.jsonl", TREE)
    alone = served.run("apply", file, "--prune")
    assert alone.exit_code == 2
    assert "Delete 1 group of 1 in" in alone.stderr
    assert "Nobody is there to ask; say --yes" in alone.stderr
    assert served.paths() == Counter(["Old"])
    declined = served.run("apply", file, "--prune", stdin="n\n")
    assert (declined.exit_code, declined.stdout) == (1, "3 to create, 1 to delete, 0 unchanged\n")
    assert "- Old\n" in declined.stderr
    assert "[y/N]: aiolosant: not confirmed; nothing was written" in declined.stderr
    assert served.paths() == Counter(["Old"])
    assert served.run("apply", file, "--prune", stdin="y\n").exit_code == 0
    assert served.paths() == paths_of(TREE)
    assert served.run("apply", write(tmp_path / "less.jsonl", TREE[:1]), "--prune", "--yes").exit_code == 0
    assert served.paths() == Counter(["Acme"])


def test_what_is_not_done_is_told(served: Served, tmp_path: Path) -> None:
    """Exit 1: each change that did not go well, and the command that goes on; a 403 names the missing scope."""
    file = write(tmp_path / "groups.jsonl", [*TREE, {"name": "Bad", "deviceQueryJson": "{}"}])

    def refuse(request: RequestRecord) -> None:
        if b'"name":"Bad"' in request.body:
            raise ValueError("not this one")

    served.emulator.before_request = refuse
    result = served.run("apply", file)
    assert result.exit_code == 1
    assert result.stdout == "4 to create, 0 unchanged\n3 done, 1 failed\n"
    assert "failed: + Bad: 400 Validation: not this one" in result.stderr
    assert "1 of 4 not done; to go on: aiolosant" in result.stderr
    served.environment["LOSANT_API_TOKEN"] = served.emulator.create_token(["all.Application.read"])
    forbidden = served.run("apply", write(tmp_path / "more.jsonl", [{"name": "More"}]))
    assert forbidden.exit_code == 1
    assert "Use a token with the scope experienceGroups.post or all.Application." in forbidden.stderr


def test_a_server_that_is_gone_ends_it(served: Served, tmp_path: Path) -> None:
    """It is waited for as long as `--patience` says, and then told of, with how to go on."""
    file = write(tmp_path / "groups.jsonl", [{"name": str(n)} for n in range(300)])
    seen: list[str] = []

    def cut_all_but_the_first(request: RequestRecord) -> Fault | None:
        seen.append(request.method)
        return Fault.CUT_BEFORE_WRITE if seen[2:] else None

    served.emulator.before_request = cut_all_but_the_first  # the cable is pulled when the plan is made
    result = served.run("apply", file, "--concurrency", "4", "--patience", "0.5s")
    assert result.exit_code == 1
    assert set(seen) == {"GET"}
    lines = [line for line in result.stderr.splitlines()[1:] if "resending in" not in line]
    failed = sum(line.startswith("failed: + ") for line in lines)  # those that were looking for their groups
    assert result.stdout.splitlines()[-1] == f"{failed} failed, {300 - failed} not sent"
    assert lines[-2].startswith("aiolosant: 300 of 300 not done; to go on: ")
    assert "he server has been out of reach, or failing, for " in lines[-1]
    wrong = served.run("apply", file, "--patience", "soon")
    assert (wrong.exit_code, "--patience must be a time such as 90s" in wrong.stderr) == (2, True)


def test_copy_matches_members(served: Served) -> None:
    """Users by email, endpoints by method and route, devices by name; what has no match is told first."""
    emulator = served.emulator

    def furnish() -> tuple[str, dict[str, list[str]], list[str]]:
        other = emulator.create_application()
        members = {
            "experienceUserIds": [emulator.create_experience_user("Ann@example.com")],
            "experienceEndpointIds": [emulator.create_experience_endpoint("get", "/sites")],
            "deviceIds": [emulator.create_device("Pump"), emulator.create_device("Only here")],
        }
        there = [
            emulator.create_experience_user("ann@example.com", application_id=other),
            emulator.create_experience_endpoint("get", "/sites", application_id=other),
            emulator.create_device("Pump", application_id=other),
            emulator.create_device("Twin", application_id=other),
            emulator.create_device("Twin", application_id=other),
        ]
        return other, members, there

    other, members, there = furnish()
    plant = {"name": "Plant", "parentId": "1", "description": "#N/A"}
    served.emulator.create_groups([{"id": "1", "name": "Acme"} | members, plant])
    way = ["copy", "--from-application", emulator.application_id, "--to-application", other]
    unsaid = served.run(*way)
    assert unsaid.exit_code == 2
    assert "the groups have members (1 experienceUserIds, 1 experienceEndpointIds, 2 deviceIds)" in unsaid.stderr
    dry = served.run(*way, "--members", "match", "--dry-run")
    assert (dry.exit_code, dry.stdout) == (3, "+ Acme\n+ Acme / Plant\n2 to create, 0 unchanged\n")
    assert f"no match: deviceIds {members['deviceIds'][1]} (Only here)" in dry.stderr
    assert "warning" not in dry.stderr  # there is no file to correct
    asked = served.run(*way, "--members", "match")
    assert asked.exit_code == 2
    assert "Copy without these 1 members? Nobody is there to ask; say --yes" in asked.stderr
    assert served.groups(other) == []
    assert served.run(*way, "--members", "match", "--yes").exit_code == 0
    acme = next(group for group in served.groups(other) if group["name"] == "Acme")
    assert [acme["experienceUserIds"], acme["experienceEndpointIds"], acme["deviceIds"]] == [[one] for one in there[:3]]
    assert served.run(*way, "--members", "match", "--yes").stdout == "2 unchanged\n"


def test_copy_keeps_drops_or_maps(served: Served, tmp_path: Path) -> None:
    """As it was said; and the same application, or ids for what to go by, are refused."""
    emulator, device = served.emulator, "a" * 24
    served.emulator.create_groups([{"name": "Acme", "deviceIds": [device, "b" * 24]}])
    applications = [emulator.create_application() for _ in range(3)]
    ways = [
        ["copy", "--from-application", emulator.application_id, "--to-application", target, "--members"]
        for target in applications
    ]
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({device: "c" * 24}))
    assert served.run(*ways[0], "keep").exit_code == 0
    assert served.run(*ways[1], "drop").exit_code == 0
    assert served.run(*ways[2], str(mapping)).exit_code == 2
    assert served.run(*ways[2], str(mapping), "--yes").exit_code == 0
    copied = [served.groups(application)[0]["deviceIds"] for application in applications]
    assert copied == [[device, "b" * 24], [], ["c" * 24]]
    assert served.run(*ways[0], "keep", "--match-by", "id").exit_code == 2
    assert served.run(*ways[0][:-2], emulator.application_id).exit_code == 2
    mapping.write_text("[]")
    assert "expected a JSON object of old ids and new ones" in served.run(*ways[2], str(mapping)).stderr


def test_a_tree_is_shown_with_counts(served: Served) -> None:
    """With the number of all below each; as lines with their paths for machines."""
    served.emulator.create_groups([*TREE, {"name": "[red]Beta\n"}])
    shown = served.run("tree").stdout
    assert [line.strip("│├└─ ") for line in shown.splitlines()] == [
        "4 groups",
        "Acme (2 below)",
        "Plant 1 (1 below)",
        "Line",
        "[red]Beta\\n",
    ]
    assert len(served.run("tree", "--depth", "1").stdout.splitlines()) == 3
    lines = [json.loads(line) for line in served.run("tree", "--json", "--depth", "2").stdout.splitlines()]
    assert [(line["path"], line["descendants"]) for line in lines] == [
        (["Acme"], 2),
        (["[red]Beta\n"], 0),
        (["Acme", "Plant 1"], 1),
    ]


def test_list_sorts_and_queries(served: Served) -> None:
    """Every order, and an advanced query as JSON."""
    served.emulator.create_groups(TREE)
    names = [line.split("  ")[1] for line in served.run("list", "--sort", "id", "--desc").stdout.splitlines()]
    assert names == ["Line", "Plant 1", "Acme"]
    assert served.run("list", "--query", '{"groupTags": {"key": "b"}}').stdout.endswith("  Plant 1\n")
    wrong = served.run("list", "--query", "[]")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "--query must be a JSON object" in wrong.stderr
    assert served.run("list", "--filter", "a", "--query", "{}").exit_code == 0
    both = served.run("list", "--filter", "a", "--query", '{"name": "a"}')
    assert (both.exit_code, both.stdout) == (2, "")


def test_a_folder_is_no_file(served: Served, tmp_path: Path) -> None:
    """What was asked wrongly is a 2."""
    folder = tmp_path / "groups.jsonl"
    folder.mkdir()
    ran = served.run("plan", str(folder))
    assert (ran.exit_code, "this is a folder" in ran.stderr) == (2, True)


def test_a_deep_tree_is_shown_to_its_end(served: Served) -> None:
    """A line a group, however deep and however it is called."""
    chain = [{"id": str(n), "name": f":heart: {n}\\"} | ({"parentId": str(n - 1)} if n else {}) for n in range(60)]
    served.emulator.create_groups(chain)
    lines = served.run("tree").stdout.splitlines()
    assert [line.strip("│├└─ ") for line in lines[1:4]] == [f":heart: {n}\\ ({59 - n} below)" for n in range(3)]
    assert len(lines) == 61


def test_an_emulator_is_seeded_from_a_file(tmp_path: Path) -> None:
    """In any format that `apply` reads, and with made-up groups; once, however often it is started on its file."""
    file = tmp_path / "groups.csv"
    file.write_text("id,name,parentId\n1,Plant,2\n2,Köln,\n")
    data = str(tmp_path / "groups.db")
    arguments = [
        sys.executable,
        "-m",
        "aiolosant",
        "emulator",
        "--port",
        "0",
        "--seed",
        str(file),
        "--groups",
        "5",
        "--data",
        data,
    ]
    for _ in range(2):
        check_seeded(arguments)


def check_seeded(arguments: list[str]) -> None:
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        environment = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
        shown = CliRunner().invoke(app, ["tree"], env=environment).stdout
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert "7 groups" in shown
    assert "Köln (1 below)" in shown
