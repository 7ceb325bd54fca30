"""The command, as a user's shell runs it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import aiolosant
from aiolosant import cli
from aiolosant.cli.app import app
from aiolosant.emulator import Emulator

COMMAND = [sys.executable, "-c", "from aiolosant.cli import main; main()"]


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LOSANT_")}
    return subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, *arguments], capture_output=True, text=True, env=plain | (environment or {}), timeout=50, check=False
    )


@pytest.fixture
def exported(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An emulator in a process of its own, as the environment variables that it prints."""
    arguments = [*COMMAND, "emulator", "--port", "0", "--data", str(tmp_path / "groups.db"), "--token", "t0ken"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        yield dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=10)
        assert process.returncode == 0
        assert complaints == "Serving until Ctrl-C.\n"


def test_demo_builds_and_shows_a_tree() -> None:
    """The demo tells what the emulator counted, and reaches its limit of requests in flight."""
    result = CliRunner().invoke(app, ["demo", "--groups", "50", "--concurrency", "5", "--latency", "10"])
    assert result.exit_code == 0
    assert "Argentina" in result.output
    assert "5 of 5 allowed" in result.output
    (created,) = re.findall(r"groups created\W+([\d,]+)", result.output)
    (listed,) = re.findall(r"groups listed\W+([\d,]+) in", result.output)
    assert created == listed
    assert int(created.replace(",", "")) > 500


def test_list_reads_what_the_environment_names(exported: dict[str, str]) -> None:
    """A line a group, or JSON Lines in the API's own shape; filter and limit as asked; nothing found is no failure."""
    import urllib.request

    url = f"{exported['LOSANT_API_URL']}/applications/{exported['LOSANT_APPLICATION_ID']}/experience/groups"
    for name in ("Acme / Köln", "Beta", "acme two"):
        request = urllib.request.Request(url, json.dumps({"name": name}).encode(), {"Authorization": "Bearer t0ken"})  # noqa: S310 - loopback
        urllib.request.urlopen(request).close()  # noqa: S310 - as above
    shown = run("list", environment=exported)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [line.split("  ", 1)[1] for line in shown.stdout.splitlines()] == ["Acme / Köln", "Beta", "acme two"]
    lines = run("list", "--filter", "acme*", "--limit", "1", "--json", environment=exported).stdout.splitlines()
    (group,) = [json.loads(line) for line in lines]
    assert group["name"] == "Acme / Köln"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", group["creationDate"])
    assert run("list", "--filter", "nothing*", environment=exported).stdout == ""


def test_what_goes_wrong_is_one_line_and_a_code(exported: dict[str, str]) -> None:
    """2 for what was asked wrongly, 1 for what failed; never a traceback, never the token."""
    missing = run("list")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == "aiolosant: no application; pass --application or set LOSANT_APPLICATION_ID\n"
    bad_id = run("list", "--application", "mine", environment=exported)
    assert bad_id.returncode == 2
    assert "application_id must be 24 hex digits" in bad_id.stderr
    wrong = run("list", environment=exported | {"LOSANT_API_TOKEN": "wr0ng"})
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("aiolosant: 401 Unauthorized")
    assert "wr0ng" not in wrong.stderr
    assert run("list", "--colour").returncode == 2


@pytest.mark.parametrize("command", ["demo", "list", "tree", "export", "plan", "apply", "copy", "doctor", "emulator"])
def test_every_command_has_an_example(command: str) -> None:
    """`--help` shows how the command is used."""
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: aiolosant {command}" in result.output


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is there without its extra, but only to say what is missing."""
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "aiolosant.cli.app")
    with pytest.raises(SystemExit, match=r"pip install 'aiolosant\[cli\]'"):
        cli.main()


def test_the_version_is_told() -> None:
    """`--version` needs no command."""
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"{aiolosant.__version__}\n")


def test_a_file_that_another_emulator_has_open_is_told_of(tmp_path: Path) -> None:
    """Two on one file would each have half of the groups."""
    data = tmp_path / "groups.db"
    other = Emulator(data=data)
    command = [sys.executable, "-m", "aiolosant", "emulator", "--data", str(data)]
    result = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - our own command
    other.close()
    assert result.returncode == 2
    assert "database is locked; another emulator is using it" in result.stderr
