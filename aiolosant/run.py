"""Bounded concurrent work over a lazy input: every item that is pulled has exactly one outcome."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, Generic, Literal, Protocol, TypeVar

from .call import Call
from .errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    DuplicateGroupError,
    LosantError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    TransportError,
)
from .intake import Intake
from .transport import Transport


class AnyOutcome(Protocol):
    """What became of an item, as far as a run needs to know."""

    @property
    def error(self) -> BaseException | None:
        """What went wrong; None if nothing did."""


BrokenOff = Literal["failed", "unknown"]
"""The status of an item that surely came to nothing, or of which nobody knows."""
O = TypeVar("O", bound=AnyOutcome)  # noqa: E741 - one letter, as type variables have

# How many outcomes to yield without a wait: an input that fails item by item must not starve the event loop.
_MOST_AT_ONCE = 100
# A create answers 404 for an unknown application alone.
_FATAL = (AuthenticationError, PermissionDeniedError, NotFoundError, ConfigurationError)


def status_of(error: BaseException, call: Call) -> BrokenOff:
    """Whether an item that an error ended surely came to nothing, or nobody knows."""
    if isinstance(error, DuplicateGroupError):
        return "unknown" if call.attempts else "failed"  # where one was sent, that one is surely not missing
    return "unknown" if isinstance(error, OutcomeUnknownError) or call.doubtful else "failed"


def _not_sent() -> TransportError:
    error = TransportError("not sent: the run ended before its turn")
    error.advice = "Run it again."
    return error


class Turn:
    """An item's place among those under way.

    Args:
        call: The item's time, which starts when it first gets its place.
        run: The batch whose places these are; None for an item that is alone.
    """

    def __init__(self, call: Call, run: Run[Any] | None = None) -> None:
        self.call = call
        self._run = run
        self._holds_place = False

    async def take(self) -> None:
        """Wait for a place, and have it from then on.

        Raises:
            TransportError: The batch ended before that.
        """
        if self._run is not None:
            await self._run.places.acquire()
            self._holds_place = True
            self._run.check_open()
        self.call.start()

    def end(self) -> None:
        """Give the place back, if there is one to give."""
        if self._run is not None and self._holds_place:
            self._holds_place = False
            self._run.places.release()

    @contextlib.asynccontextmanager
    async def given_up(self) -> AsyncGenerator[None]:
        """Let others have the place meanwhile: waiting must not stall them."""
        if self._run is None:
            yield
            return
        self.end()
        self._run.parked += 1
        self._run.look_for_room()
        try:
            yield
        finally:
            self._run.parked -= 1
        await self.call.wait_patiently_for(self._run.places.acquire())
        self._holds_place = True


class Run(Generic[O]):
    """The work of one batch. Its tasks know it but not its walker, so that the walker can be left to be collected.

    Args:
        items: The input, pulled no further ahead of the outcomes than `concurrency`, `ahead` and `fill`.
        begin: Makes of an item's index and the item the work on it, at once when it is pulled; what it raises fails the
            item. The work makes the outcome, given its turn; a LosantError that it raises is the item's own.
        broken_off: Makes the outcome of an item that did not come to its own, given its index, the item, the error, and
            the status.
        concurrency: Items under way at a time.
        transport: Owns the tasks.
        ordered: Whether outcomes wait for those of earlier items.
        ahead: How many items to pull beyond those under way.
        fill: How many items more to pull at once, for work that can be shared.
        on_outcome: Called with each outcome, yielded or not.
        report: Makes the `report` of the error that stopped the run.
        at_end: Called when the run has ended or was left.

    Attributes:
        places: What bounds the items under way.
        parked: Items that have given up their place.
        over: Whether the walk has come to its end, or was left before.
    """

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        begin: Callable[[int, Any], Callable[[Turn], Awaitable[O]]],
        broken_off: Callable[[int, Any, BaseException, BrokenOff], O],
        *,
        concurrency: int,
        transport: Transport,
        ordered: bool = False,
        ahead: int = 8,
        fill: int = 0,
        on_outcome: Callable[[O], None] = lambda _: None,
        report: Callable[[], Any] = lambda: None,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._intake = Intake(
            items, has_room=self._has_room, take=self._start, fail=self.stop, wake=self._wake_up, transport=transport
        )
        self._begin = begin
        self._broken_off = broken_off
        self.places = asyncio.Semaphore(concurrency)
        self._most_unfinished = concurrency + ahead
        self._fill = fill
        self._most_parked = max(100, 4 * concurrency)
        self._ordered = ordered
        self._transport = transport
        self._on_outcome = on_outcome
        self._report = report
        self._at_end = at_end
        self.parked = 0
        self.over = False

        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], Call] = {}
        self._filling = True
        self._stopped = False
        self._fatal: BaseException | None = None

        self._at_once = 0
        self._pulled = 0
        self._yielded = 0
        self._ready: deque[O] = deque()
        self._early: dict[int, O] = {}

    def look_for_room(self) -> None:
        """Pull more, if that may be."""
        self._wake.set()
        self._intake.notice_room()

    def check_open(self) -> None:
        """Raise why nothing more is sent, if nothing is."""
        if self._stopped:
            raise _not_sent() from self._fatal

    async def next_outcome(self) -> O:
        """The next outcome; the error that stopped the batch after the last; StopAsyncIteration after that."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._transport.at_close.add(self._client_closes)
        while True:
            self._intake.pull()
            if self._ready and self._at_once < _MOST_AT_ONCE:
                self._at_once += 1
                self._yielded += 1
                return self._ready.popleft()
            if not self._ready and self._has_come_to_its_end():
                break
            try:
                await self._wait()
            except asyncio.CancelledError:
                self.leave()
                await self.settle()
                raise
        self._let_go()
        if self._fatal is None:
            raise StopAsyncIteration
        fatal, self._fatal = self._fatal, None
        with contextlib.suppress(AttributeError):  # an error of the input's own may be frozen
            fatal.report = self._report()  # type: ignore[attr-defined]  # errors of the input get one as well
        raise fatal

    def _has_come_to_its_end(self) -> bool:
        return (self._intake.exhausted or self._stopped) and not self._tasks and not self._intake.task

    async def _wait(self) -> None:
        """Wait for an outcome; if there are many, let the loop do what else there is to do."""
        self._at_once = 0
        if self._ready:
            await asyncio.sleep(0)
            return
        self._wake.clear()
        await self._wake.wait()

    def stop(self, fatal: BaseException | None = None) -> None:
        """Pull nothing more, and send nothing that was not sent before; what was sent is settled."""
        self._stopped = True
        if self._fatal is None:
            self._fatal = fatal
        self._intake.stop()
        self._wake.set()

    def leave(self, fatal: BaseException | None = None) -> None:
        """Stop, and let nothing live on but the attempts that are on the wire."""
        self.stop(fatal)
        for task, call in self._tasks.items():
            call.wanted = False
            if not call.on_wire:
                task.cancel()
        self._let_go()

    async def settle(self) -> None:
        """Wait until everything that was sent has its outcome."""
        while pending := {*self._tasks, *([self._intake.task] if self._intake.task else [])}:
            await asyncio.wait(pending)

    def abandon(self) -> None:
        """Leave from wherever the walker is collected, which may be another thread."""
        if self._loop is None or self.over:
            return
        self.over = self._stopped = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.leave)

    def _client_closes(self) -> None:
        self.leave(ConfigurationError("the client was closed while the batch was under way"))

    def _let_go(self) -> None:
        self.over = True
        self._transport.at_close.discard(self._client_closes)
        self._intake.let_go()
        self._at_end()

    def _wake_up(self) -> None:
        self._wake.set()

    def _has_room(self) -> bool:
        if self._stopped:
            return False
        unfinished = self._pulled - self._yielded - min(self.parked, self._most_parked)
        # Filled up by `fill` in one go and then used up, so that what can be shared is shared by so many.
        if unfinished >= self._most_unfinished + self._fill:
            self._filling = False
        elif unfinished <= self._most_unfinished:
            self._filling = True
        return self._filling

    def _start(self, item: Any) -> None:
        index = self._pulled
        self._pulled += 1
        if self._stopped:  # an async input gave one more in spite of being cancelled
            self._finish(index, self._broken_off(index, item, _not_sent(), "failed"))
            return
        try:
            work = self._begin(index, item)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with an item is the item's outcome
            self._finish(index, self._broken_off(index, item, error, "failed"))
            return
        call = Call(self._transport.timeout, patient=True)
        task = self._transport.start_task(self._do(index, item, work, call))
        self._tasks[task] = call
        task.add_done_callback(functools.partial(self._task_ended, index, item))

    def _task_ended(self, index: int, item: Any, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if task.cancelled():  # before its first step; later it makes an outcome of that
            self._finish(index, self._broken_off(index, item, _not_sent(), "failed"))
        if not self._tasks:  # the walk may be over; before that only an outcome is worth waking for
            self._wake.set()

    async def _do(self, index: int, item: Any, work: Callable[[Turn], Awaitable[O]], call: Call) -> None:
        turn = Turn(call, self)
        try:
            outcome = await work(turn)
        except asyncio.CancelledError:
            # By `leave`, or by whoever shuts the loop down: the item still has its outcome.
            lost = OutcomeUnknownError("the batch ended before this was settled") if call.doubtful else _not_sent()
            outcome = self._broken_off(index, item, lost, status_of(lost, call))
        except LosantError as error:
            outcome = self._broken_off(index, item, error, status_of(error, call))
        except Exception as error:  # noqa: BLE001 - a mistake in the work itself: raised to the consumer in the end
            outcome = self._broken_off(index, item, error, status_of(error, call))
            self.stop(error)
        finally:
            turn.end()
        self._finish(index, outcome)

    def _finish(self, index: int, outcome: O) -> None:
        if self._is_fatal(outcome.error):
            self.stop(outcome.error)
        self._wake.set()
        self._on_outcome(outcome)
        if not self._ordered:
            self._ready.append(outcome)
            return
        self._early[index] = outcome
        while (following := self._yielded + len(self._ready)) in self._early:
            self._ready.append(self._early.pop(following))

    def _is_fatal(self, error: BaseException | None) -> bool:
        """Whether what one item met every other would meet as well."""
        if isinstance(error, OutcomeUnknownError):
            return self._is_fatal(error.__cause__)
        if isinstance(error, ApiError) and (error.retry_after or 0) > self._transport.retry.max_pause:
            return True
        return isinstance(error, _FATAL)
