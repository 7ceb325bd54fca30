"""Tells what happens: to the log, and to whoever passed `on_event`; and counts it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import attrs

from ..errors import LosantError
from ..events import AttemptEnded, Event, Paused, Resending, Settled, TokenRenewed, route_of
from .request import Request
from .response import Response

logger = logging.getLogger("aiolosant")
logger.addHandler(logging.NullHandler())


class Observer:
    """What one client tells of itself.

    Args:
        on_event: Called with each event; what it raises is logged and harms nothing.

    Attributes:
        is_listened_to: Whether anybody wants events.
        attempts: Requests that were sent.
        refused: Those that the server refused with 429.
        unknown: Those of which it was not known at their end whether they were applied, reads included.
        settled: Lost creates of which it was found out later.
        failure: What went wrong with the last attempt that ended; None if nothing did.
    """

    def __init__(self, on_event: Callable[[Event], object] | None = None) -> None:
        self._on_event = on_event
        self.is_listened_to: bool = on_event is not None
        self.attempts = 0
        self.refused = 0
        self.unknown = 0
        self.settled: int = 0
        self.failure: LosantError | None = None
        self._renewals = 0

    def attempt_ended(
        self, request: Request[Any], response: Response[Any], number: int, *, waited: float, took: float
    ) -> None:
        """Tell of an attempt, given the seconds that it waited and took. One that was cancelled is not told of."""
        where = (request.method, route_of(request.path), request.path)
        proved: Any = response.proof.value
        event = AttemptEnded(*where, response.status, proved, number, waited, took, response.error)
        outcome = response.status or response.error
        self._tell(event, logging.DEBUG, "%s %s: %s, %s", request.method, request.path, outcome, proved)

    def resending(
        self, request: Request[Any], error: LosantError | None, number: int, counted: str, delay: float
    ) -> None:
        """Tell that a request will be sent again; `counted` says in words how many attempts have counted so far."""
        where = (request.method, route_of(request.path), request.path)
        text = "%s %s: resending in %.2f seconds, attempt %d %s: %s"
        event = Resending(*where, number, delay, error)
        self._tell(event, logging.WARNING, text, request.method, request.path, delay, number, counted, error)

    def paused(self, seconds: float) -> None:
        """Tell of a pause."""
        self._tell(Paused(seconds), logging.WARNING, "the server asks for a pause of %g seconds", seconds)

    def token_renewed(self, request: Request[Any], renewals: int) -> None:
        """Tell of a new token, with which a request is sent again; once for each renewal."""
        if renewals == self._renewals:
            return
        self._renewals = renewals
        text = "%s %s: resending with a new token"
        self._tell(TokenRenewed(), logging.WARNING, text, request.method, request.path)

    def create_settled(self, path: str, group_id: str | None) -> None:
        """Count and tell that it was found out what became of a create whose response was lost."""
        self.settled += 1
        found = f"it had made {group_id}" if group_id else "not there, so resending"
        self._tell(Settled(route_of(path), path, group_id), logging.WARNING, "POST %s: settled: %s", path, found)

    def _tell(self, event: Event, level: int, text: str, *arguments: object) -> None:
        logger.log(level, text, *arguments, extra=attrs.asdict(event, recurse=False))
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except (Exception, asyncio.CancelledError):  # which would cancel whoever has just sent a request
            logger.exception("on_event raised")
