"""A word on a server that is out of reach: a command that waits for it looks like one that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable

import typer

from aiolosant.errors import LosantError, ServerError, TransportError
from aiolosant.events import AttemptEnded, Event

from .console import printable

_AFTER = 3.0  # seconds; shorter ones are everyday matters


class OutageTeller:
    """Called with the events of a client; says on stderr, once for each outage, that the command waits.

    Args:
        patience: How long it waits at most, as it was said.
        clock: Tells the seconds.
    """

    def __init__(self, patience: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._since: float | None = None
        self._is_told = False

    def __call__(self, event: Event) -> None:
        """Take note of how an attempt went."""
        if not isinstance(event, AttemptEnded):
            return
        if not isinstance(event.error, TransportError | ServerError):
            self._since, self._is_told = None, False
            return
        now = self._clock()
        if self._since is None:
            self._since = now - event.took
        if not self._is_told and now - self._since >= _AFTER:
            self._is_told = True
            self._tell(event.error, now - self._since)

    def _tell(self, error: LosantError, seconds: float) -> None:
        what = f"out of reach, or failing, for {seconds:.0f} seconds; waiting for up to {self._patience}"
        typer.echo(f"aiolosant: {what}: {printable(error.message)}", err=True)
