"""Bounded concurrent work over a lazy input: every item that is pulled has exactly one outcome."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from .call import Call
from .errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    TransportError,
)
from .outcomes import Outcome, Tally
from .transport import Transport

# A create answers 404 for an unknown application alone.
_FATAL = (AuthenticationError, PermissionDeniedError, NotFoundError, ConfigurationError)


def _not_sent() -> TransportError:
    error = TransportError("not sent: the batch ended before its turn", attempts=0)
    error.advice = "Send it again."
    return error


class Turn:
    """An item's place among those under way.

    Args:
        call: The item's time, which starts when it first gets its place.
        run: The batch whose places these are; None for an item that is alone.
    """

    def __init__(self, call: Call, run: Run | None = None) -> None:
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


class Run:
    """The work of one batch. Its tasks know it but not its walker, so that the walker can be left to be collected.

    Args:
        items: The input, pulled no further ahead of the outcomes than `concurrency`, `ahead` and `fill`.
        prepare: Makes of an item what is worked on, at once when it is pulled; what it raises fails the item.
        work: Makes the outcome of one item, given its index, the item as it was pulled, what was made of it, and its
            turn; it raises nothing that it expects.
        concurrency: Items under way at a time.
        ordered: Whether outcomes wait for those of earlier items.
        transport: Owns the tasks.
        ahead: How many items to pull beyond those under way.
        fill: How many items more to pull at once, for work that can be shared.
        at_end: Called when the run has ended or was left.

    Attributes:
        places: What bounds the items under way.
        parked: Items that have given up their place.
        tally: What has become of the items so far.
    """

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        prepare: Callable[[Any], Any],
        work: Callable[[int, Any, Any, Turn], Awaitable[Outcome]],
        *,
        concurrency: int,
        ordered: bool,
        transport: Transport,
        ahead: int = 8,
        fill: int = 0,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._async_items = aiter(items) if isinstance(items, AsyncIterable) else None
        self._items = iter(()) if isinstance(items, AsyncIterable) else iter(items)
        self._prepare = prepare
        self._work = work
        self.places = asyncio.Semaphore(concurrency)
        self._most_unfinished = concurrency + ahead
        self._fill = fill
        self._most_parked = max(100, 4 * concurrency)
        self._ordered = ordered
        self._transport = transport
        self._at_end = at_end
        self.parked = 0

        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._pulling: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], Call] = {}
        self._open: dict[int, Any] = {}
        self._filling = True
        self._exhausted = False
        self._stopped = False
        self._left = False
        self._ended = False
        self._fatal: BaseException | None = None

        self._pulled = 0
        self._yielded = 0
        self._ready: deque[Outcome] = deque()
        self._early: dict[int, Outcome] = {}
        self.tally = Tally()

    @property
    def over(self) -> bool:
        """Whether the walk has come to its end, or was left before."""
        return self._left or self._ended

    def look_for_room(self) -> None:
        """Pull more, if that may be."""
        self._wake.set()
        if self._async_items is not None and self._may_pull():
            self._room.set()

    def check_open(self) -> None:
        """Raise why nothing more is sent, if nothing is."""
        if self._stopped:
            raise _not_sent() from self._fatal

    async def next_outcome(self) -> Outcome:
        """The next outcome; the error that stopped the batch after the last; StopAsyncIteration after that."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._transport.at_close.add(self._client_closes)
        while True:
            self._pull()
            if self._ready:
                self._yielded += 1
                return self._ready.popleft()
            if (self._exhausted or self._stopped) and not self._tasks and not self._pulling:
                break
            self._wake.clear()
            try:
                await self._wake.wait()
            except asyncio.CancelledError:
                self.leave()
                await self.settle()
                raise
        self._ended = True
        self._let_go()
        if self._fatal is None:
            raise StopAsyncIteration
        fatal, self._fatal = self._fatal, None
        with contextlib.suppress(AttributeError):  # an error of the input's own may be frozen
            fatal.report = self.tally.report()  # type: ignore[attr-defined]  # errors of the input get one as well
        raise fatal

    def stop(self, fatal: BaseException | None = None) -> None:
        """Pull nothing more, and send nothing that was not sent before; what was sent is settled."""
        self._stopped = True
        if self._fatal is None:
            self._fatal = fatal
        if self._pulling:
            self._pulling.cancel()
        self._wake.set()

    def leave(self, fatal: BaseException | None = None) -> None:
        """Stop, and let nothing live on but the attempts that are on the wire."""
        self._left = True
        self.stop(fatal)
        for task, call in self._tasks.items():
            call.wanted = False
            if not call.on_wire:
                task.cancel()
        self._let_go()

    async def settle(self) -> None:
        """Wait until everything that was sent has its outcome."""
        while pending := {*self._tasks, *([self._pulling] if self._pulling else [])}:
            await asyncio.wait(pending)

    def abandon(self) -> None:
        """Leave from wherever the walker is collected, which may be another thread."""
        if self._loop is None or self.over:
            return
        self._left = self._stopped = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.leave)

    def _client_closes(self) -> None:
        self.leave(ConfigurationError("the client was closed while the batch was under way"))

    def _let_go(self) -> None:
        self._transport.at_close.discard(self._client_closes)
        # A generator that nobody else has is closed, and with it the file that it reads.
        self._items, self._async_items = iter(()), None
        self._at_end()

    def _pull(self) -> None:
        if self._async_items is not None:
            if self._may_pull():
                self._room.set()
            if not self._pulling and not self._exhausted and not self._stopped:
                self._pulling = self._transport.start_task(self._pull_async(self._async_items))
                self._pulling.add_done_callback(self._pull_ended)
            return
        while self._may_pull():
            try:
                item = next(self._items)
            except StopIteration:
                self._exhausted = True
            except Exception as error:  # noqa: BLE001 - raised to the consumer once what is on the wire has ended
                self.stop(error)
            else:
                self._start(item)

    async def _pull_async(self, items: AsyncIterator[Any]) -> None:
        # One task from start to end: an input may hold timeouts and context variables across its items.
        try:
            while True:
                while not self._may_pull():
                    self._room.clear()
                    await self._room.wait()
                self._start(await anext(items))
        except StopAsyncIteration:
            self._exhausted = True
        except asyncio.CancelledError:
            if self._stopped:
                raise
            # Nobody here cancelled it: something that the input waits for was, and the input is lost with it.
            self.stop(RuntimeError("the input of the batch was cancelled"))
        except Exception as error:  # noqa: BLE001 - as above
            self.stop(error)

    def _pull_ended(self, _task: asyncio.Task[None]) -> None:
        self._pulling = None
        self._wake.set()

    def _may_pull(self) -> bool:
        if self._exhausted or self._stopped:
            return False
        unfinished = self._pulled - self._yielded - min(self.parked, self._most_parked)
        # Filled up by `fill` in one go and then used up, so that what can be shared is shared by so many.
        if unfinished >= self._most_unfinished + self._fill:
            self._filling = False
        elif unfinished < self._most_unfinished or (self._fill and unfinished == self._most_unfinished):
            self._filling = True
        return self._filling

    def _start(self, item: Any) -> None:
        index = self._pulled
        self._pulled += 1
        self._open[index] = item
        try:
            prepared = self._prepare(item)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with an item is the item's outcome
            self._finish(Outcome(index, item, None, error, "failed"))
            return
        call = Call(self._transport.timeout, patient=True)
        task = self._transport.start_task(self._do(index, item, prepared, call))
        self._tasks[task] = call
        task.add_done_callback(functools.partial(self._task_ended, index))

    def _task_ended(self, index: int, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if index in self._open:  # cancelled before its first step
            self._finish(Outcome(index, self._open[index], None, _not_sent(), "failed"))
        if not self._tasks:  # the walk may be over; before that only an outcome is worth waking for
            self._wake.set()

    async def _do(self, index: int, item: Any, prepared: Any, call: Call) -> None:
        turn = Turn(call, self)
        try:
            outcome = await self._work(index, item, prepared, turn)
        except asyncio.CancelledError:
            # By `leave`, or by whoever shuts the loop down: the item still has its outcome.
            outcome = (
                Outcome(index, item, None, OutcomeUnknownError("the batch ended before this was settled"), "unknown")
                if call.doubtful
                else Outcome(index, item, None, _not_sent(), "failed")
            )
        except Exception as error:  # noqa: BLE001 - a mistake in the work itself: raised to the consumer in the end
            outcome = Outcome(index, item, None, error, "unknown" if call.doubtful else "failed")
            self.stop(error)
        finally:
            turn.end()
        self._finish(outcome)

    def _finish(self, outcome: Outcome) -> None:
        if self._is_fatal(outcome.error):
            self.stop(outcome.error)
        self._wake.set()
        index = outcome.index
        del self._open[index]
        self.tally.add(outcome)
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
