"""The README keeps its word."""

import re
from pathlib import Path
from typing import Any

import pytest

from aiolosant import LosantClient, NewExperienceGroup
from aiolosant.emulator import Emulator

from .servers import answer, raw_server

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ALL_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
# By what each defines, so that the README can be put in another order.
BLOCKS = {re.findall(r"^async def (\w+)", block, re.MULTILINE)[0]: block for block in ALL_BLOCKS}


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
    program = BLOCKS["main"].replace("10_000", "30").replace("asyncio.run(main())", "")
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - our own README
    await names["main"]()
    assert sum(request.method == "POST" for request in emulator.requests) == 30


async def test_the_verbs_run(losant: LosantClient, capsys: pytest.CaptureFixture[str]) -> None:
    """The second program runs and prints the error that it shows."""
    names: dict[str, Any] = {}
    exec(BLOCKS["one_group"], names)  # noqa: S102 - our own README
    await names["one_group"](losant)
    assert capsys.readouterr().out.startswith("404 NotFound: Experience Group was not found (GET /applications/")


async def test_a_tree_is_built(losant: LosantClient, capsys: pytest.CaptureFixture[str]) -> None:
    """The third program builds a tree, and building it again makes nothing."""
    names: dict[str, Any] = {}
    exec(BLOCKS["build"], names)  # noqa: S102 - our own README
    for _ in range(2):
        await names["build"](losant, {"Acme": ["Plant 1", "Plant 2"]})
    assert capsys.readouterr().out == "Acme 2 created, 0 there already\nAcme 0 created, 2 there already\n"


async def test_the_question_is_answered(losant: LosantClient) -> None:
    """The README's query finds what it says."""
    for name, region in (("Acme", "eu"), ("Test 1", "eu"), ("Beta", "us"), ("Cider", "uk")):
        await losant.experience_groups.create(NewExperienceGroup(name, group_tags={"region": region}))
    names: dict[str, Any] = {}
    exec(BLOCKS["european_customers"], names)  # noqa: S102 - our own README
    assert await names["european_customers"](losant) == ["Acme", "Cider"]


async def test_the_rest_of_the_api_is_reached() -> None:
    """The README's devices, from canned answers: the emulator has none."""
    named = answer("HTTP/1.1 200 OK", b'{"id": "1", "name": "Plant"}')
    page = answer("HTTP/1.1 200 OK", b'{"items": [{"id": "2", "name": "Pump"}], "totalCount": 1}')
    names: dict[str, Any] = {}
    exec(BLOCKS["devices"], names)  # noqa: S102 - our own README
    async with raw_server(named, page) as server, LosantClient("t", base_url=server.url) as losant:
        assert await names["devices"](losant, "1" * 24) == {"2": "Pump"}


async def test_the_users_test_runs() -> None:
    """The test that users are shown passes."""
    names: dict[str, Any] = {}
    exec(BLOCKS["test_my_migration"], names)  # noqa: S102 - our own README
    await names["test_my_migration"]()


def test_every_python_block_is_run_here() -> None:
    """A new block needs a new test."""
    assert set(BLOCKS) == {"main", "one_group", "build", "test_my_migration", "european_customers", "devices"}
    assert len(BLOCKS) == len(ALL_BLOCKS)
