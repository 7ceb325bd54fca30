"""The time that one call has, its retries, waits and lookups included."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

from ..errors import LosantError, RequestTimeoutError, TransportError

T = TypeVar("T")


class Deadline:
    """When a call has to be over. The clock starts when the deadline is made.

    Args:
        timeout: Seconds until then.
        patient: Whether the clock stands still in `wait_for_turn`. Pages of a walk and items of a batch wait for each
            other, so that a slow server must not time them out; a single call is awaited by somebody who wants an
            answer.

    Attributes:
        patient: As the argument.
        expired: Whether `expire` was called: nothing more is to be sent.
        at: When the call has to be over, on the event loop's clock.
    """

    def __init__(self, timeout: float, *, patient: bool = False) -> None:
        self.patient = patient
        self.expired: bool = False
        self._timeout = timeout
        self.at: float = asyncio.get_running_loop().time() + timeout

    def left(self) -> float:
        """Return the seconds that are left; 0 or less if there are none."""
        return self.at - asyncio.get_running_loop().time()

    def allow(self, seconds: float) -> None:
        """Have so many seconds at the least from now on, unless nobody waits for the outcome any more."""
        if not self.expired:
            self.at = max(self.at, asyncio.get_running_loop().time() + seconds)

    def expire(self) -> None:
        """Allow no more time, because nobody waits for the outcome any more."""
        self.expired = True
        self.at = -math.inf

    async def wait_for(self, awaitable: Awaitable[T], what: str = "") -> T:
        """Return the awaitable's result, or raise `error(what)` when the time is up.

        Args:
            awaitable: What to wait for.
            what: What that is, for the error to say.
        """
        scope = asyncio.timeout(self.left())
        try:
            async with scope:
                return await awaitable
        except TimeoutError:
            if not scope.expired():  # what was waited for has a timeout of its own
                raise
            raise self.error(what) from None

    async def wait_for_turn(self, awaitable: Awaitable[T], what: str = "") -> T:
        """Return the awaitable's result. If the call is patient, the clock stands still meanwhile."""
        if not self.patient:
            return await self.wait_for(awaitable, what)
        before = asyncio.get_running_loop().time()
        try:
            return await awaitable
        finally:
            self.at += asyncio.get_running_loop().time() - before

    def error(self, what: str = "") -> LosantError:
        """Return the error for a call that has no time left, and what it waited for."""
        if self.expired:
            return TransportError("not sent: nobody waits for the outcome any more")
        waited = f"; it was spent waiting for {what}" if what else ""
        return RequestTimeoutError(f"the time of {self._timeout:g} seconds is up{waited}")
