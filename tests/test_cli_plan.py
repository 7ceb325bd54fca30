"""What the commands that migrate show, keep, limit, and take back."""

import html
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aiolosant.emulator import RequestRecord
from aiolosant.reconcile import Plan

from .served import Served
from .trees import TREE, write


def rows(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": f"{n}", "name": f"G{n}", "groupTags": {"key": f"{n}"}, **fields} for n in range(count)]


def test_a_kept_plan_is_what_runs(served: Served, tmp_path: Path) -> None:
    """`plan --out`, `apply PLAN --expect`: groups that were made meanwhile are of no matter."""
    served.emulator.create_groups(rows(20))
    file, kept = write(tmp_path / "groups.jsonl", rows(19, description="new")), str(tmp_path / "night.plan")
    planned = served.run("plan", file, "--match-by", "tag:key", "--prune", "--out", kept)
    assert planned.exit_code == 3
    digest = planned.stderr.rsplit("digest ", 1)[1].strip()
    served.emulator.create_groups([{"name": f"N{n}", "groupTags": {"key": f"n{n}"}} for n in range(50)])
    refused = served.run("apply", kept, "--expect", "0" * 64, "--yes")
    assert (refused.exit_code, "look at it again" in refused.stderr) == (2, True)
    applied = served.run("apply", kept, "--expect", digest, "--yes")
    assert (applied.exit_code, applied.stdout.splitlines()[-1]) == (0, "20 done")
    assert len(served.groups()) == 69
    whole = json.loads(Path(kept).read_text())
    whole["plan"]["changes"].pop()
    Path(kept).write_text(json.dumps(whole))
    assert "was changed since it was saved" in served.run("apply", kept).stderr


def test_a_truncated_file_is_stopped_by_the_limit(served: Served, tmp_path: Path) -> None:
    """`--yes` lifts it not; `--max-deletes` does."""
    served.emulator.create_groups(rows(40))
    file = write(tmp_path / "groups.jsonl", rows(4))
    command = ("apply", file, "--match-by", "tag:key", "--prune", "--yes")
    refused = served.run(*command)
    assert refused.exit_code == 2
    assert "would delete 36 groups (90% of 40), and --max-deletes 10% allows 4" in refused.stderr
    assert len(served.groups()) == 40
    shown = served.run("plan", file, "--match-by", "tag:key", "--prune")
    assert "would delete 36 groups" in shown.stderr
    assert served.run(*command, "--max-deletes", "36").exit_code == 0
    assert len(served.groups()) == 4


def test_a_large_share_is_confirmed_by_the_applications_name(served: Served, tmp_path: Path) -> None:
    """What goes is listed first."""
    served.emulator.create_groups(rows(12))
    file = write(tmp_path / "groups.jsonl", rows(2))
    command = ("apply", file, "--match-by", "tag:key", "--prune", "--max-deletes", "100%")
    declined = served.run(*command, stdin="y\n")
    assert declined.exit_code == 1
    assert "- G11" in declined.stderr
    assert "To agree, type Emulated application:" in declined.stderr
    assert len(served.groups()) == 12
    assert served.run(*command, stdin="Emulated application\n").exit_code == 0
    assert len(served.groups()) == 2


def test_what_was_applied_is_taken_back(served: Served, tmp_path: Path) -> None:
    """By the folder of its results."""
    served.emulator.create_groups([{"name": "Old", "groupTags": {"key": "z"}, "description": "x"}])
    before = served.paths()
    file, results = write(tmp_path / "groups.jsonl", TREE), str(tmp_path / "night")
    applied = served.run("apply", file, "--match-by", "tag:key", "--prune", "--yes", "--results", results)
    assert applied.exit_code == 0
    assert f"to take it back: aiolosant undo {results}" in applied.stderr
    shown = served.run("undo", results, "--dry-run")
    assert (shown.exit_code, shown.stdout.splitlines()[0]) == (3, "+ Old")
    refused = served.run("undo", results, "--yes", "--results", results)
    assert (refused.exit_code, "an undo needs a folder of its own" in refused.stderr) == (2, True)
    assert served.run("undo", results, "--yes").exit_code == 0
    assert served.paths() == before
    assert served.run("undo", results, "--yes").stdout == "0 unchanged\n"  # it is there again
    assert "there is no such file" in served.run("undo", str(tmp_path / "none"), "--yes").stderr


def test_warnings_are_told(served: Served, tmp_path: Path) -> None:
    """A second tree, with the option that keeps from it."""
    served.emulator.create_groups([{"name": "Acme"}])
    file = write(tmp_path / "groups.jsonl", TREE)
    planned = served.run("plan", file, "--match-by", "tag:key")
    assert 'warning: line 1: "Acme" would be created beside' in planned.stderr
    adopted = served.run("plan", file, "--match-by", "tag:key", "--adopt-by", "name")
    assert adopted.stdout.splitlines()[0] == "= Acme: adopted, groupTags +key=a  (line 1)"
    wrong = served.run("plan", file, "--adopt-by", "name")
    assert (wrong.exit_code, "goes with --match-by tag:KEY" in wrong.stderr) == (2, True)


def test_a_part_is_named_by_its_path_or_id(served: Served, tmp_path: Path) -> None:
    """Only what is below it is looked at."""
    ids = served.emulator.create_groups(
        [{"id": "a", "name": "Acme"}, {"id": "b", "name": "B/C", "parentId": "a"}, {"name": "Else"}]
    )
    file = write(tmp_path / "sites.jsonl", [{"name": "Site"}])
    for under in ("Acme / B/C", "Acme/B/C", 'Acme / "B/C"', ids["b"]):
        planned = served.run("plan", file, "--under", under, "--prune")
        assert planned.stdout == '+ Acme / "B/C" / Site  (line 1)\n1 to create, 0 unchanged\n'
    served.emulator.create_groups([{"id": "b", "name": "B", "parentId": ids["a"]}, {"name": "C", "parentId": "b"}])
    assert "2 groups" in served.run("plan", file, "--under", "Acme / B/C").stderr
    assert served.run("plan", file, "--under", 'Acme / "B/C"', "--prune").stdout == planned.stdout
    missing = served.run("plan", file, "--under", "Nowhere")
    assert (missing.exit_code, "there is no group of the path 'Nowhere'" in missing.stderr) == (2, True)


def test_groups_are_deleted_by_filter_and_query(served: Served, tmp_path: Path) -> None:
    """With what is below them, or else that moves up; it is limited, and can be taken back."""
    served.emulator.create_groups(
        [*rows(20), {"id": "t", "name": "Test 1"}, {"id": "u", "name": "Below", "parentId": "t"}]
    )
    before = served.paths()
    assert served.run("delete").exit_code == 2
    assert "allows 2" in served.run("delete", "--filter", "G*", "--yes").stderr
    shown = served.run("delete", "--filter", "test*", "--subtree", "--dry-run")
    assert shown.stdout == "- Test 1 / Below\n- Test 1\n2 to delete, 20 unchanged\n"
    gone = served.run("delete", "--filter", "test*", "--yes", "--results", str(tmp_path / "r"))
    assert gone.exit_code == 0
    assert served.paths() == {**{path: 1 for path in before if "Test" not in path}, "Below": 1}
    assert served.run("undo", str(tmp_path / "r"), "--yes").exit_code == 0
    assert served.paths() == before
    query = json.dumps({"groupTags": {"key": "1"}})
    assert served.run("delete", "--query", query, "--yes").exit_code == 0
    assert len(served.groups()) == 21


def test_a_file_is_checked_without_a_network(served: Served, tmp_path: Path) -> None:
    """Nothing is asked, and parents that are no records are named."""
    file = write(tmp_path / "groups.jsonl", [*TREE, {"name": "Elsewhere", "parentId": "f" * 24}])
    checked = served.run("check", file)
    assert checked.exit_code == 0
    assert checked.stdout.splitlines() == [
        "4 records, nothing wrong",
        "1 at the root, 3 levels deep",
        f"1 below groups that are not in the file, so that they must be live: {'f' * 24}",
    ]
    assert served.emulator.requests == []
    near = write(tmp_path / "near.jsonl", [{"id": "1", "name": "a"}, {"name": "b", "parentId": "1.0"}])
    assert "did you mean '1'?" in served.run("check", near).stderr
    bad = write(tmp_path / "bad.jsonl", [{"name": "x", "colour": 1}])
    assert served.run("check", bad).exit_code == 2


def test_many_changes_are_grouped_and_cut(served: Served, tmp_path: Path) -> None:
    """At some hundred lines, unless all are asked for."""
    served.emulator.create_groups(rows(250))
    file = write(tmp_path / "groups.jsonl", [{**row, "description": "x"} for row in rows(500)])
    lines = served.run("plan", file, "--match-by", "tag:key").stdout.splitlines()
    assert len(lines) == 203
    assert lines[100] == "... and 150 more to create; --all shows them"
    assert lines[101].startswith("~ ")
    assert len(served.run("plan", file, "--match-by", "tag:key", "--all").stdout.splitlines()) == 501


@pytest.mark.parametrize("name", ["page.html", "page.md"])
def test_a_report_is_written_before_and_after(served: Served, tmp_path: Path, name: str) -> None:
    """With what changes, and then with what became of it; names cannot break out of it."""
    served.emulator.create_groups([{"name": "Acme", "description": "<b>old</b>", "groupTags": {"key": "a"}}])
    tree = [{**TREE[0], "description": "new"}, *TREE[1:], {"id": "9", "name": "<script>|", "groupTags": {"key": "9"}}]
    file, page = write(tmp_path / "groups.jsonl", tree), tmp_path / name
    served.run("plan", file, "--match-by", "tag:key", "--report", str(page))
    text = page.read_text()
    assert "<b>old</b>" not in text
    assert "<script>|" not in text
    assert html.unescape(text).count("<b>old</b>") == 1
    assert served.emulator.application_id in text
    assert "done" not in text.split("<h2>Changes", 1)[-1]
    served.run("apply", file, "--match-by", "tag:key", "--report", str(page))
    assert "4 done" in page.read_text()
    there = served.groups()
    for command in ("plan", "apply"):
        assert "must end in .html or .md" in served.run(command, file, "--report", str(tmp_path / "x.pdf")).stderr
    assert served.groups() == there


def test_a_report_that_cannot_be_written_hides_nothing(served: Served, tmp_path: Path) -> None:
    """What was done is told, with the way back."""
    file, results = write(tmp_path / "groups.jsonl", [{"name": "A"}]), str(tmp_path / "night")
    page = tmp_path / "x.md"

    def be_in_its_way(request: RequestRecord) -> None:
        if request.method == "POST":
            page.mkdir()

    served.emulator.before_request = be_in_its_way
    applied = served.run("apply", file, "--report", str(page), "--results", results)
    assert (applied.exit_code, applied.stdout.splitlines()[-1]) == (0, "1 done")
    assert "x.md cannot be written" in applied.stderr
    assert f"to take it back: aiolosant undo {results}" in applied.stderr


def test_a_plan_is_kept_though_its_reader_leaves(served: Served, tmp_path: Path) -> None:
    """And its code is not that of a plan without changes."""
    file, kept = write(tmp_path / "groups.jsonl", [{"name": f"{n}"} for n in range(2000)]), tmp_path / "night.plan"
    command = shlex.join([sys.executable, "-m", "aiolosant", "plan", file, "--out", str(kept), "--all"])
    environment = os.environ | served.environment
    piped = f"{command} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}"
    left = subprocess.run(["/bin/bash", "-c", piped], env=environment, capture_output=True, check=False)  # noqa: S603 - ours
    assert left.returncode in (1, 3)
    assert Plan.load(kept).count("create") == 2000


def test_a_kept_plan_counts_what_is_below_as_well(served: Served, tmp_path: Path) -> None:
    """A group is there already or not, by its path."""
    records = [{"id": "a", "name": "A"}, {"name": "B", "parentId": "a"}, {"name": "C", "parentId": "a"}]
    file, kept = write(tmp_path / "groups.jsonl", records), str(tmp_path / "night.plan")
    served.run("plan", file, "--out", kept)
    served.emulator.create_groups(records[:2])
    assert "of the kept plan 1 left, 2 there already" in served.run("apply", kept, "--dry-run").stderr


def test_odd_names_are_warned_of(served: Served, tmp_path: Path) -> None:
    """By `check` as well, which talks to nobody."""
    file = tmp_path / "groups.csv"
    file.write_text("name\nA \n#REF!\n#BEZUG!\n#1\nB\n", encoding="utf-8")
    for command in ("check", "plan"):
        told = served.run(command, str(file)).stderr
        assert [line[:16] for line in told.splitlines() if "name" in line] == [f"warning: line {n}:" for n in (2, 3, 4)]


def test_what_a_spreadsheet_has_spoiled_is_warned_of(served: Served, tmp_path: Path) -> None:
    """In descriptions and tags, each column once; what is there already is no news."""
    served.emulator.create_groups([{"name": "Old", "description": "#N/A", "groupTags": {"key": "9,9E+15"}}])
    file = tmp_path / "groups.csv"
    lines = ["name,description,groupTags.key", "Old,#N/A,1", "A,#REF!,1.61E+12", "B,fine,1E+5", "C,5E,#1", "D,x,E+5"]
    file.write_text("\n".join(lines), encoding="utf-8")
    told = [line for line in served.run("plan", str(file)).stderr.splitlines() if line.startswith("warning")]
    assert told == [
        "warning: line 3: description is #REF!, an error of a spreadsheet: correct the file, unless it is meant",
        (
            "warning: line 3: groupTags.key is 1.61E+12, a number as a spreadsheet rounds it (and 1 more like it): "
            "correct the file, unless it is meant"
        ),
    ]
    assert "groupTags.key is 1.61E+12" in served.run("check", str(file)).stderr


def test_everything_is_logged_to_a_file(served: Served, tmp_path: Path) -> None:
    """Each request, and never the token."""
    file, log = write(tmp_path / "groups.jsonl", TREE), tmp_path / "night.log"
    quick = served.run("apply", file, "--log-file", str(log), "--max-rate", "500", "--timeout", "30s")
    assert quick.exit_code == 0
    text = log.read_text()
    assert "POST /applications/" in text
    assert served.emulator.token not in text


def test_a_plan_is_rehearsed_on_a_copy(served: Served, tmp_path: Path) -> None:
    """It is killed once and ends as planned; the live application is only read."""
    served.emulator.create_groups(rows(30))
    before = served.paths()
    new = [{"id": f"new {n}", "name": f"N{n}", "groupTags": {"key": f"n{n}"}, "parentId": "5"} for n in range(3)]
    file = write(tmp_path / "groups.jsonl", [{**row, "description": "x"} for row in rows(28)] + new)
    rehearsed = served.run("rehearse", file, "--match-by", "tag:key", "--prune", "--latency", "1")
    assert rehearsed.exit_code == 0, rehearsed.stderr
    assert "3 to create, 28 to update, 2 to delete" in rehearsed.stdout
    assert "groups: 30 before, 31 after" in rehearsed.stdout
    assert "it ended as planned; nothing was written live" in rehearsed.stdout
    assert {request.method for request in served.emulator.requests} == {"GET"}
    assert served.paths() == before
    assert (
        served.run("rehearse", write(tmp_path / "few.jsonl", rows(3)), "--match-by", "tag:key", "--prune").exit_code
        == 2
    )


def test_a_kept_plan_says_how_it_stands(served: Served, tmp_path: Path) -> None:
    """What is left, there already, or stale; and takes no options of its making."""
    served.emulator.create_groups(rows(4))
    kept = str(tmp_path / "night.plan")
    file = write(tmp_path / "groups.jsonl", [{**row, "description": "x"} for row in rows(6)])
    served.run("plan", file, "--match-by", "tag:key", "--out", kept)
    live = {group["name"]: group["id"] for group in served.groups()}
    served.emulator.update_group(live["G1"], {"description": "theirs"})
    served.emulator.update_group(live["G2"], {"description": "x"})
    shown = served.run("apply", kept, "--dry-run")
    assert "of the kept plan 4 left, 1 there already, 1 stale" in shown.stderr
    wrong = served.run("apply", kept, "--under", "Acme")
    assert (wrong.exit_code, "was said when it was kept" in wrong.stderr) == (2, True)
    other = served.emulator.create_application()
    assert "is about the application" in served.run("apply", kept, "--application", other).stderr
    assert served.run("plan", file, "--out", file).exit_code == 2
    assert "would be lost" in served.run("plan", file, "--out", file).stderr
