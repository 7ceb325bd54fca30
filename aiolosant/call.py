"""The time that one call has, retries and lookups included, and how far it has come."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .errors import RequestTimeoutError

T = TypeVar("T")


class Call:
    """One call across its attempts: the time it has, and how far it has come.

    Args:
        timeout: Seconds from `start` to the end.
        patient: Whether the clock stands still while the throttle makes it wait. Pages and batch items wait for each
            other, so a slow server must not time them out; who awaits a single call wants an answer.

    Attributes:
        check: Awaited before each resend, for what rests on a reading that may be out of date by then. What it raises
            ends the call.
        urgent: Whether it need not queue for the server's pace, since what it rests on was read a moment ago.
        attempts: How often it was sent.
        on_wire: Whether an attempt is under way.
        doubtful: Whether an attempt may have been carried out that no answer speaks of.
        wanted: Whether somebody still waits for the outcome; nothing more is sent for one that is not.
    """

    def __init__(self, timeout: float, *, patient: bool = False) -> None:
        self.timeout = timeout
        self.patient = patient
        self.check: Callable[[], Awaitable[object]] | None = None
        self.urgent = False
        self.attempts = 0
        self.on_wire = False
        self.doubtful = False
        self.wanted = True
        self._deadline = math.inf

    def start(self) -> None:
        """Start the clock, unless it runs already."""
        if self._deadline == math.inf:
            self._deadline = asyncio.get_running_loop().time() + self.timeout

    def left(self) -> float:
        """Seconds that are left."""
        return self._deadline - asyncio.get_running_loop().time()

    async def wait_for(self, awaitable: Awaitable[T]) -> T:
        """The awaitable's result, or a RequestTimeoutError when the time is up."""
        try:
            async with asyncio.timeout(self.left()) as scope:
                return await awaitable
        except TimeoutError:
            if not scope.expired():  # what was waited for has a timeout of its own
                raise
            raise self.out_of_time() from None

    async def wait_patiently_for(self, awaitable: Awaitable[T]) -> T:
        """The awaitable's result; the clock stands still, if the call is patient."""
        if not self.patient:
            return await self.wait_for(awaitable)
        before = asyncio.get_running_loop().time()
        try:
            return await awaitable
        finally:
            self._deadline += asyncio.get_running_loop().time() - before

    def out_of_time(self) -> RequestTimeoutError:
        """The error that says so."""
        return RequestTimeoutError(f"the time of {self.timeout:g} seconds is up")
