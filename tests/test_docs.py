"""The pages of the documentation keep their word: every block of code is run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import attrs
import pytest

import aiolosant
from aiolosant import events
from aiolosant.emulator import Fault

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parent.parent / "docs"
TESTING = (DOCS / "testing.md").read_text(encoding="utf-8")
TRACING = (DOCS / "tracing.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_tests_that_are_shown_pass(pytester: pytest.Pytester) -> None:
    """Each block is the file that its first line names."""
    for block in blocks(TESTING, "python"):
        name = block.split("\n", 1)[0].removeprefix("# ")
        pytester.path.joinpath(name).write_text(block, encoding="utf-8")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error")
    pytester.runpytest_subprocess("-pno:hypothesispytest").assert_outcomes(passed=8)


@pytest.mark.parametrize("command", blocks(TESTING, "sh"))
def test_the_commands_that_are_shown_run(command: str) -> None:
    """They end with 0."""
    program, *arguments = shlex.split(command)
    assert program == "aiolosant"
    arguments = [sys.executable if argument == "python" else argument for argument in arguments]
    ended = subprocess.run([sys.executable, "-m", "aiolosant", *arguments], capture_output=True, text=True)  # noqa: S603 - ours
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("http://127.0.0.1:")


def test_what_is_shown_of_tracing_runs() -> None:
    """It counts the attempt that failed and those that went well."""
    (program,) = blocks(TRACING, "python")
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)  # noqa: S603 - our own page
    assert ended.returncode == 0, ended.stderr
    assert "Stats(in_flight=0, waiting=0, rate=inf" in ended.stdout
    assert "('GET', '/applications/{id}/experience/groups', 503): 1" in ended.stdout


def test_every_event_is_listed() -> None:
    """With all that it has."""
    for event in get_args(events.Event):
        fields = ", ".join(f"`{field.name}`" for field in attrs.fields(event))
        line = next(line for line in TRACING.splitlines() if line.startswith(f"| `{event.__name__}` |"))
        assert line.endswith(f"| {fields} |" if fields else "| |")
    for field in attrs.fields(events.Stats):
        assert f"`{field.name}`" in TRACING


def test_every_fault_and_fixture_is_listed() -> None:
    """With its name for other languages."""
    for fault in Fault:
        name = fault.value if fault.value.isdigit() else fault.name.lower().replace("_", "-")
        assert f"| `Fault.{fault.name}` | `{name}` |" in TESTING
    plugin = Path(aiolosant.__file__).with_name("pytest_plugin.py").read_text(encoding="utf-8")
    for fixture in re.findall(r"^(?:async )?def (losant_\w+)", plugin, re.MULTILINE):
        assert f"| `{fixture}` |" in TESTING
