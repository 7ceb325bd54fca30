"""How far a command is: bars on a terminal, lines elsewhere, and a word when nothing moves."""

from __future__ import annotations

import asyncio
import sys
from typing import Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from aiolosant._http.throttle import Throttle


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


def progress() -> Progress:
    """Progress bars with rate and time left, on stderr; nothing at all where that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not sys.stderr.isatty())


class Ticker:
    """A line on stderr now and then, as long as its `async with` lasts.

    Where no progress bar can be it says how far things are. Anywhere it says when nothing has ended for a while, since
    a bar that stands still does not say why.

    Args:
        doing: What is done, such as `applied`.
        total: Of how many.
        throttle: What knows how the server is; None if no server is asked.
        every: Seconds between lines.

    Attributes:
        done: How many have ended; whoever ends one counts it.
    """

    def __init__(self, doing: str, total: int, throttle: Throttle | None = None, *, every: float = 10.0) -> None:
        self.done = 0
        self._throttle = throttle
        self._doing = doing
        self._total = total
        self._every = every
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._telling = asyncio.create_task(self._tell())
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait({self._telling})

    async def _tell(self) -> None:
        told, still = 0, 0.0
        while True:
            await asyncio.sleep(self._every)
            still = 0.0 if self.done > told else still + self._every
            if still or not sys.stderr.isatty():
                why = f"; none for {still:g} seconds, {self._waits_for()} (-v says more)" if still else ""
                typer.echo(f"aiolosant: {self.done:,} of {self._total:,} {self._doing}{why}", err=True)
            told = self.done

    def _waits_for(self) -> str:
        if self._throttle is not None and (outage := self._throttle.outage):
            return f"out of reach or refusing all: for {outage:,.0f} seconds no request has come through"
        if self._throttle is not None and (pause := self._throttle.paused_for):
            return f"the server asks to wait for {pause:,.0f} seconds more"
        return "waiting for an answer or a turn"
