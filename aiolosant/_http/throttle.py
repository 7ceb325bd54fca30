"""Lets requests start, at the pace that the server can take: `async with throttle.slot(deadline) as slot`."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from ..errors import ConfigurationError, LosantError, TransportError
from .deadline import Deadline
from .pace import Pace

_NEWS = 1.0  # seconds
_NEWS_IN_REQUESTS = 20
MOST_NEWS = 30.0
"""Seconds for which what was read may be relied on at most, unless two requests are further apart than that."""


class Throttle:
    """The pace of all calls of one client: first come, first served, but for what is urgent.

    Args:
        max_in_flight: The most requests under way at a time, 1 or more.
        patience: Seconds for which an outage is waited out.
        max_rate: The most requests a second.
    """

    def __init__(self, max_in_flight: int, patience: float = math.inf, max_rate: float = math.inf) -> None:
        self._patience = patience
        self._pace = Pace(max_in_flight, max_rate)
        self._waiters: OrderedDict[asyncio.Future[float], None] = OrderedDict()  # any of them can leave at once
        self._background: OrderedDict[asyncio.Future[float], None] = OrderedDict()  # those that let all others go first
        self._backing_off = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def slot(self, deadline: Deadline, *, urgent: bool = False, background: bool = False) -> Slot:
        """Return a context manager that waits for a slot and holds it.

        Args:
            deadline: Its clock stands still during the wait, if it is patient.
            urgent: Whether to go before all that wait already.
            background: Whether to go behind all others, urgent or not.
        """
        return Slot(self, deadline, urgent=urgent, background=background)

    def start_now(self) -> float | None:
        """Start a request if nothing has to be waited for, and return the time; None if it has to wait."""
        now = asyncio.get_running_loop().time()
        if self._closed or self._waiters or self._background or self._pace.delay(now) > 0:
            return None
        self._pace.tick(now, waited=self._backing_off > 0, for_turn=False)
        self._pace.start(now)
        return now

    @property
    def seconds_of_news(self) -> float:
        """For how many seconds what was read may be relied on, be it that something is there or that it is not.

        If twenty requests take longer at the server's pace, so long, since otherwise it would get mostly readings; but
        half a minute at most, since what is changed or deleted goes by it.
        """
        # Twice the time between two requests at the least, or what was read could never be acted upon.
        apart = self._pace.seconds_a_request
        return min(max(MOST_NEWS, 2 * apart), max(_NEWS, _NEWS_IN_REQUESTS * apart))

    @contextlib.contextmanager
    def backing_off(self) -> Iterator[None]:
        """Count the time of the block as time in which somebody waits for the server: it follows a refusal."""
        self._tick()
        self._backing_off += 1
        try:
            yield
        finally:
            self._tick()
            self._backing_off -= 1

    def pause(self, seconds: float) -> None:
        """Let nothing start for so long, because the server asked for it."""
        self._pace.pause(self._tick(), seconds)

    @property
    def paused_for(self) -> float:
        """For how many more seconds nothing starts, because the server asked for it."""
        return max(0.0, self._pace.paused_until - asyncio.get_running_loop().time())

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._waiters) + len(self._background)

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return self._pace.in_flight

    @property
    def rate(self) -> float:
        """Requests a second that may start; infinite as long as no limit was found or set."""
        return self._pace.rate

    @property
    def limit_found(self) -> bool:
        """Whether the server has shown a limit."""
        return self._pace.limit_found

    @property
    def outage(self) -> float:
        """For how many seconds nothing was let through, be it failing or refused; 0 if something is."""
        gate = self._pace.gate
        if not gate.shut or gate.shut_since is None:
            return 0.0
        return asyncio.get_running_loop().time() - gate.shut_since

    @property
    def waited_for(self) -> str:
        """What a request waits for now, in words."""
        return "the server to answer again" if self.outage else "its turn behind the client's other requests"

    def close(self) -> None:
        """Turn away all that wait, and all that come later, with a ConfigurationError."""
        self._closed = True
        self._turn_away(lambda: ConfigurationError("the client was closed"))
        if self._timer is not None:
            self._timer.cancel()

    async def start(self, *, urgent: bool, background: bool) -> float:
        """Wait until a request may start, and return when it did.

        Raises:
            ConfigurationError: The client is closed.
        """
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._tick()
        queue = self._background if background else self._waiters
        queue[waiter] = None
        if urgent:
            queue.move_to_end(waiter, last=False)
        self._admit()
        try:
            return await waiter
        except asyncio.CancelledError:
            # The slot may have been granted just before the cancellation.
            if not waiter.cancelled() and waiter.exception() is None:
                self.give_back()
            else:
                queue.pop(waiter, None)
            raise

    def end(self, started: float, *, waited: bool, refused: bool | None, down: bool = False) -> None:
        """Note that an attempt has ended.

        Args:
            started: When it started.
            waited: Whether it had to wait for that.
            refused: Whether the server refused it with 429; None if it did not respond.
            down: Whether the server could not be reached, or failed.
        """
        now, for_turn = asyncio.get_running_loop().time(), bool(self._waiters or self._background)
        somebody_waits = for_turn or self._backing_off > 0
        self._pace.tick(now, waited=somebody_waits, for_turn=for_turn)
        self._pace.end(now, started, refused=refused, waiting=waited or somebody_waits, down=down)
        if (down or refused) and self.outage > self._patience:
            self._turn_away(lambda: _out_of_reach(self.outage))
        if self._waiters or self._background:
            self._admit()

    def give_back(self) -> None:
        """Let another start in place of a request that was not sent after all."""
        self._pace.give_back()
        self._admit()

    def _turn_away(self, error: Callable[[], LosantError]) -> None:
        while queue := self._waiters or self._background:
            waiter, _ = queue.popitem(last=False)
            if not waiter.done():
                waiter.set_exception(error())

    def _tick(self) -> float:
        """Tell the pace that time has passed, and return it."""
        now = asyncio.get_running_loop().time()
        for_turn = bool(self._waiters or self._background)
        self._pace.tick(now, waited=for_turn or self._backing_off > 0, for_turn=for_turn)
        return now

    def _admit(self) -> None:
        """Grant slots to those that wait, as many as may start now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tick()
        loop = asyncio.get_running_loop()
        while queue := self._waiters or self._background:
            waiter = next(iter(queue))
            if waiter.done():  # cancelled, and its caller has not run since
                del queue[waiter]
                continue
            now = loop.time()
            delay = self._pace.delay(now)
            if delay > 0:
                if delay < math.inf:
                    self._timer = loop.call_later(delay, self._admit)
                return
            self._pace.start(now)
            del queue[waiter]
            waiter.set_result(now)


class Slot:
    """A permit for one request, held while it is in flight.

    Attributes:
        sent: Set this before the end: whether a request was sent at all.
        refused: Set this before the end: whether the server refused the request with a 429; None if it did not respond.
        down: Set this before the end: whether the server could not be reached, or failed.
    """

    __slots__ = ("_background", "_deadline", "_started", "_throttle", "_urgent", "_waited", "down", "refused", "sent")

    def __init__(self, throttle: Throttle, deadline: Deadline, *, urgent: bool, background: bool) -> None:
        self.sent: bool = True
        self.refused: bool | None = None
        self.down: bool = False
        self._throttle = throttle
        self._deadline = deadline
        self._urgent = urgent
        self._background = background
        self._waited = False
        self._started = -math.inf

    async def __aenter__(self) -> Self:
        started = self._throttle.start_now()
        if started is None:
            self._waited = True
            started = await self._deadline.wait_for_turn(
                self._throttle.start(urgent=self._urgent, background=self._background), self._throttle.waited_for
            )
        self._started = started
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.sent:
            self._throttle.end(self._started, waited=self._waited, refused=self.refused, down=self.down)
        else:
            self._throttle.give_back()


def _out_of_reach(seconds: float) -> TransportError:
    error = TransportError(f"not sent: the server has been out of reach, or failing, for {seconds:.0f} seconds")
    error.ends_batch = True
    return error
