"""A word on a server that lets nothing through: a command that waits for it looks like one that hangs."""

from __future__ import annotations

from collections.abc import Callable

import typer

from aiolosant.events import Event, Paused, Resending, Stats

from .console import printable

AFTER = 3.0
"""Seconds after which an outage or a pause is told of; shorter ones are everyday matters."""


class OutageTeller:
    """Called with the events of a client; says on stderr that the command waits, once for each outage.

    Attributes:
        stats: Tells how the client fares; None as long as there is no client.
    """

    def __init__(self) -> None:
        self.stats: Callable[[], Stats] | None = None
        self._outage = 0.0
        self._is_told = False
        self._has_paused = False

    def __call__(self, event: Event) -> None:
        """Look how long nothing has come through, whenever a request is to be sent again."""
        if isinstance(event, Paused) and event.seconds >= AFTER and not self._has_paused:
            self._has_paused = True
            _tell(f"the server asks to wait for {event.seconds:.0f} seconds")
        if not isinstance(event, Resending) or self.stats is None:
            return
        before, self._outage = self._outage, self.stats().outage
        if self._outage < before:
            self._is_told = False  # it is another one
        if self._outage >= AFTER and not self._is_told:
            self._is_told = True
            text = f"for {self._outage:.0f} seconds no request has come through"
            text += "; still trying (see --patience and --timeout)"
            _tell(text if event.error is None else f"{text}: {event.error.message}")


def _tell(text: str) -> None:
    typer.echo(f"aiolosant: {printable(text)}", err=True)
