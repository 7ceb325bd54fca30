"""What a command says of how far it is, where no bar can be."""

import asyncio

import pytest

from aiolosant.cli.progress import Ticker

Captured = pytest.CaptureFixture[str]


async def line_with(text: str, capsys: Captured) -> str:
    """The first line on stderr that has a text in it, waited for."""
    while True:
        for line in capsys.readouterr().err.splitlines():
            if text in line:
                return line
        await asyncio.sleep(0)


async def test_what_has_ended_is_told_now_and_then(capsys: Captured) -> None:
    """As long as it lasts, without anybody's doing."""
    async with Ticker("applied", 1_200, every=0.001) as ticker:
        ticker.done = 1_100
        assert await line_with("1,100", capsys) == "aiolosant: 1,100 of 1,200 applied"


async def test_that_nothing_ends_is_told_with_how_long(capsys: Captured) -> None:
    """Whoever looks on while the network is away knows why nothing moves."""
    async with Ticker("applied", 3, every=0.001) as ticker:
        ticker.done = 1
        assert await line_with("none for 0.002 seconds", capsys) == (
            "aiolosant: 1 of 3 applied; none for 0.002 seconds, waiting for an answer or a turn (-v says more)"
        )
        ticker.done = 2
        assert await line_with("2 of 3", capsys) == "aiolosant: 2 of 3 applied"


async def test_nothing_is_told_after_the_end(capsys: Captured) -> None:
    """Nor is its task left."""
    before = asyncio.all_tasks()
    async with Ticker("applied", 3, every=0.001):
        await line_with("0 of 3", capsys)
    assert asyncio.all_tasks() == before
