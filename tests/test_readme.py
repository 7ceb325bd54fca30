"""The README keeps its word."""

import re
from pathlib import Path
from typing import Any

import pytest

from aiolosant import LosantClient
from aiolosant.emulator import Emulator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_two_commands_are_as_promised() -> None:
    """The first two commands are the demo and the tests, each for a fresh machine."""
    assert re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)[:2] == [
        "python3 -m venv .venv && .venv/bin/pip install '.[cli]' && .venv/bin/aiolosant demo",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest",
    ]


async def test_the_program_runs(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first program runs as it stands, but for fewer groups."""
    monkeypatch.setenv("LOSANT_API_TOKEN", emulator.token)
    monkeypatch.setenv("LOSANT_APPLICATION_ID", emulator.application_id)
    monkeypatch.setenv("LOSANT_API_URL", emulator.url)
    program = BLOCKS[0].replace("10_000", "30").replace("asyncio.run(main())", "")
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own README
    await names["main"]()
    assert sum(request.method == "POST" for request in emulator.requests) == 30


async def test_the_verbs_run(losant: LosantClient, capsys: pytest.CaptureFixture[str]) -> None:
    """The second program runs and prints the error that it shows."""
    names: dict[str, Any] = {}
    exec(BLOCKS[1], names)  # noqa: S102 - our own README
    await names["one_group"](losant)
    assert capsys.readouterr().out.startswith("404 NotFound: Experience Group was not found (GET /applications/")


async def test_a_tree_is_built(losant: LosantClient, capsys: pytest.CaptureFixture[str]) -> None:
    """The third program builds a tree, and building it again makes nothing."""
    names: dict[str, Any] = {}
    exec(BLOCKS[2], names)  # noqa: S102 - our own README
    for _ in range(2):
        await names["build"](losant, {"Acme": ["Plant 1", "Plant 2"]})
    assert capsys.readouterr().out == "Acme 2 created, 0 there already\nAcme 0 created, 2 there already\n"


async def test_the_users_test_runs() -> None:
    """The test that users are shown passes."""
    names: dict[str, Any] = {}
    exec(BLOCKS[3], names)  # noqa: S102 - our own README
    await names["test_my_migration"]()


def test_every_python_block_is_run_here() -> None:
    """A new block needs a new test."""
    assert len(BLOCKS) == 4
