"""What a command says of how far it is, where no bar can be."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from aiolosant.cli.choices import Connection
from aiolosant.cli.outage import OutageTeller
from aiolosant.cli.progress import Ticker
from aiolosant.errors import TransportError
from aiolosant.events import Paused, Resending

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


@pytest.mark.parametrize(
    ("outage", "paused_for", "told"),
    [
        (33.4, 5.0, "out of reach or refusing all: for 33 seconds no request has come through"),
        (0.0, 5.2, "the server asks to wait for 5 seconds more"),
        (0.0, 0.0, "waiting for an answer or a turn"),
    ],
)
async def test_why_nothing_ends_is_told_as_far_as_it_is_known(
    capsys: Captured, outage: float, paused_for: float, told: str
) -> None:
    """A server that is out of reach takes another remedy than one that asks for patience."""
    throttle: Any = SimpleNamespace(outage=outage, paused_for=paused_for)
    async with Ticker("applied", 3, throttle, every=0.001):
        assert await line_with(told, capsys)


async def test_nothing_is_told_after_the_end(capsys: Captured) -> None:
    """Nor is its task left."""
    before = asyncio.all_tasks()
    async with Ticker("applied", 3, every=0.001):
        await line_with("0 of 3", capsys)
    assert asyncio.all_tasks() == before


def test_an_outage_is_told_once(capsys: Captured) -> None:
    """After three seconds without anything that has come through; and a later one again."""
    stats: Any = SimpleNamespace(outage=0.0)
    tell = OutageTeller()
    tell.stats = lambda: stats

    def resending(outage: float) -> str:
        stats.outage = outage
        tell(Resending("GET", "/x", "/x", 2, 0.1, TransportError("no answer: refused")))
        return capsys.readouterr().err

    told = (
        "for 3 seconds no request has come through; still trying (see --patience and --timeout): no answer: refused\n"
    )
    assert [resending(outage) for outage in (0, 2.9, 3.1, 12, 0, 3)] == [
        "",
        "",
        *[f"aiolosant: {told}", "", ""],
        (f"aiolosant: {told}"),
    ]


def test_a_long_pause_is_told_once(capsys: Captured) -> None:
    """A server that asks for patience is no outage; and a short one nobody notices."""
    tell = OutageTeller()
    for seconds in (1.0, 5.0, 5.0):
        tell(Paused(seconds))
    assert capsys.readouterr().err == "aiolosant: the server asks to wait for 5 seconds\n"


async def test_a_command_says_that_it_waits(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Its client knows how long nothing has come through."""
    monkeypatch.setattr("aiolosant.cli.outage.AFTER", 0.0)
    monkeypatch.setenv("LOSANT_API_TOKEN", "token")
    monkeypatch.setenv("LOSANT_API_URL", "http://127.0.0.1:1")
    async with Connection(patience="0s").client("f" * 24) as losant:
        with pytest.raises(TransportError):
            await losant.experience_groups.list().count()
    told = capsys.readouterr().err
    assert told.count("no request has come through") == 1
    assert "Cannot connect to host 127.0.0.1:1 [" in told  # and nothing of how it would have been encrypted
