"""Concurrent work on a lazy input: every item that is pulled has exactly one outcome.

    input --pull--> pulled --begin--> a task each --> outcomes --> async for

*pull* takes a permit of the window for each item, and `async for` gives it back; that is the only back-pressure.
*begin* takes a permit of the concurrency, which the task gives back. What is done with an item is the job's to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from collections.abc import AsyncIterable, Iterable
from typing import Any, Generic, Literal, Protocol, TypeVar

import attrs

from .._http.deadline import Deadline
from .._http.transport import Sent, Transport, locate
from ..errors import (
    ApiError,
    ConfigurationError,
    DuplicateGroupError,
    LosantError,
    OutcomeUnknownError,
    TransportError,
)

_IN_A_ROW = 10  # items that are pulled in one turn of the event loop
GaveUp = Literal["failed", "unknown"]
"""`failed`: surely not applied; `unknown`: perhaps applied."""


class AnyOutcome(Protocol):
    """What became of an item, as far as the workers need to know."""

    @property
    def error(self) -> BaseException | None:
        """What went wrong; None if nothing did."""


O = TypeVar("O", bound=AnyOutcome)  # noqa: E741 - one letter, as type variables have


@attrs.define
class Item:
    """One item of the input.

    Attributes:
        index: Its position in the input, from 0.
        given: The item as it was given.
        urgency: Of those that were pulled, the one with the smallest number is begun first.
        prepared: What the job's `accept` made of what was given.
        key: What tells the group from others, under `unique_by`; None without.
    """

    index: int
    given: Any
    urgency: float = 0
    prepared: Any = None
    key: Any = None


class Permit:
    """One item's place within the concurrency: its deadline, and what was sent for it.

    Args:
        permits: Where the permit was taken from, and is given back to.
        timeout: Seconds that the item has, from now on.
        patient: Whether its clock stands still while it waits for its turn.

    Attributes:
        deadline: When the item has to be done.
        sent: What was sent for the item.
        unsettled: Whether what was made is still to be decided upon.
    """

    def __init__(self, permits: asyncio.Semaphore, timeout: float, *, patient: bool = True) -> None:
        self.deadline: Deadline = Deadline(timeout, patient=patient)
        self.sent: Sent = Sent()
        self.unsettled = False
        self._permits = permits
        self._held = True

    @property
    def is_unknown(self) -> bool:
        """Whether nobody can tell what has become of the item, should it end now."""
        return self.sent.in_doubt or self.unsettled

    def give_up(self) -> None:
        """Let another item have the permit, for as long as this one sends nothing."""
        if self._held:
            self._held = False
            self._permits.release()

    async def take(self) -> None:
        """Wait for a permit again, if it was given up."""
        if not self._held:
            await self.deadline.wait_for_turn(self._permits.acquire())
            self._held = True


O_co = TypeVar("O_co", bound=AnyOutcome, covariant=True)


class Job(Protocol[O_co]):
    """What is done with the items of a batch.

    Attributes:
        ahead: How many items to pull beyond those under way; it may become more.
        fatal: Errors of an item that every further item would get too, so that they end the batch.
    """

    ahead: int
    fatal: tuple[type[LosantError], ...]

    def accept(self, item: Item) -> None:
        """Check an item as it is pulled. What it raises fails the item."""

    async def do(self, item: Item, permit: Permit) -> O_co:
        """Do the work, and return the outcome. A LosantError is the item's own; any other error ends the batch."""
        ...

    def gave_up(self, item: Item, error: BaseException, status: GaveUp) -> O_co:
        """Return the outcome of an item whose `do` raised an error or never ran."""
        ...

    def report(self) -> Any:
        """Return what is to be the `report` of an error that ends the batch."""

    def close(self) -> None:
        """Let go of what is kept for items to come: the batch has ended, or was left."""


class Workers(Generic[O]):
    """The tasks of one batch.

    They hold no reference to the iterator over their outcomes, so that an iterator that is dropped is collected and can
    call `abandon`. A TaskGroup would not do: it cancels the others when one fails, among them writes on the wire.

    Args:
        items: The input.
        job: What is done with an item.
        concurrency: How many items may be under way at a time.
        transport: Owns the tasks.
        ordered: Whether an outcome waits for those of earlier items.

    Attributes:
        job: As the argument.
        over: Whether the walk has come to its end, or was left before.
    """

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        job: Job[O],
        *,
        concurrency: int,
        transport: Transport,
        ordered: bool = False,
    ) -> None:
        self.job = job
        self.over: bool = False
        self._items: Any = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._transport = transport
        self._ordered = ordered
        self._ahead = job.ahead
        self._window = asyncio.Semaphore(concurrency + job.ahead)
        self._permits = asyncio.Semaphore(concurrency)
        self._pulled: asyncio.PriorityQueue[tuple[float, int, Item | None]] = asyncio.PriorityQueue()
        self._under_way: dict[asyncio.Task[None], Permit] = {}
        self._feeding: list[asyncio.Task[None]] = []  # pull and begin
        self._uncancelled: list[asyncio.Task[None]] = []  # those of them that have not been cancelled
        self._outcomes: asyncio.Queue[O | None] = asyncio.Queue()  # None: there are no more
        self._early: dict[int, O] = {}
        self._following = 0
        self._feeding_is_over = False  # and what was pulled has been begun or given up
        self._ended = asyncio.Event()  # nothing is under way, and nothing will be
        self._ended.set()
        self._stopped = False
        self._fatal: BaseException | None = None

    # For the iterator.

    async def next_outcome(self) -> O:
        """Return the next outcome. After the last, raise the error that stopped the batch, or StopAsyncIteration."""
        self._start()
        while self._outcomes.qsize() or not self._ended.is_set():
            try:
                outcome = await self._outcomes.get()
            except asyncio.CancelledError:
                self.leave()
                await self.settle()
                raise
            if outcome is not None:
                for _ in range(1 + self.job.ahead - self._ahead):  # which may have become more
                    self._window.release()
                self._ahead = self.job.ahead
                return outcome
        self._outcomes.put_nowait(None)  # for whoever else waits
        self._let_go()
        fatal, self._fatal = self._fatal, None
        if fatal is None:
            raise StopAsyncIteration
        with contextlib.suppress(AttributeError):  # an error of the input's own may be frozen
            fatal.report = self.job.report()  # type: ignore[attr-defined]  # errors of the input get one as well
        raise fatal

    def stop(self, fatal: BaseException | None = None) -> None:
        """Pull and begin nothing more; what was begun comes to its end."""
        self._stopped = True
        self._fatal = self._fatal or fatal
        feeding, self._uncancelled = self._uncancelled, []
        for task in feeding:  # once: an input may have to clean up
            task.cancel()

    def leave(self, fatal: BaseException | None = None) -> None:
        """Stop, and let nothing live on but the attempts that are on the wire."""
        self.stop(fatal)
        for task, permit in self._under_way.items():
            permit.deadline.expire()
            if not permit.sent.on_wire:
                task.cancel()
        self._let_go()

    async def settle(self) -> None:
        """Wait until everything that was begun has its outcome."""
        await self._ended.wait()

    def abandon(self) -> None:
        """Leave from wherever the iterator is collected, which may be another thread."""
        if not self._feeding:
            return
        self.over = self._stopped = True
        loop = self._feeding[0].get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self.leave)

    def _start(self) -> None:
        if self._feeding or self._stopped:
            return
        self._ended.clear()
        for coroutine in (self._pull(), self._begin()):
            task = self._transport.start_task(coroutine)
            task.add_done_callback(self._feeding_ended)
            self._feeding.append(task)
            self._uncancelled.append(task)
        self._transport.at_close.add(self._client_closes)

    def _client_closes(self) -> None:
        self.leave(ConfigurationError("the client was closed while the batch was under way"))

    def _let_go(self) -> None:
        self.over = True
        self._items = iter(())  # to drop the last reference closes a generator, and the file that it reads
        self._transport.at_close.discard(self._client_closes)
        self.job.close()

    # The tasks.

    async def _pull(self) -> None:
        items, index = self._items, 0
        is_async = hasattr(items, "__anext__")
        try:
            while not self._stopped:  # an input may swallow its cancellation
                await self._window.acquire()
                if index % _IN_A_ROW == 0:  # the window may have room for a thousand: others have their turn as well
                    await asyncio.sleep(0)
                item = Item(index, await anext(items) if is_async else next(items))
                index += 1
                try:
                    self.job.accept(item)
                except Exception as error:  # noqa: BLE001 - whatever is wrong with an item is the item's outcome
                    self._finish(item, self.job.gave_up(item, error, "failed"))
                else:
                    self._pulled.put_nowait((item.urgency, item.index, item))
        except (StopIteration, StopAsyncIteration):
            pass
        except asyncio.CancelledError:
            if not self._stopped:  # what the input waits for was cancelled, and the rest of the input is lost with it
                self.stop(RuntimeError("the input of the batch was cancelled"))
        except BaseException as error:  # noqa: BLE001 - raised to the consumer once what is on the wire has ended
            self.stop(error)
        finally:
            self._pulled.put_nowait((math.inf, index, None))  # behind every item

    async def _begin(self) -> None:
        """Begin the most urgent item whenever there is a permit for it."""
        while True:
            if self._pulled.empty():  # wait for an item, without choosing it yet
                self._pulled.put_nowait(await self._pulled.get())
            await self._permits.acquire()
            # Only now, since one that is more urgent may have been pulled meanwhile.
            _, _, item = self._pulled.get_nowait()
            if item is None:
                self._permits.release()  # an item that is being settled may still need it
                return
            permit = Permit(self._permits, self._transport.timeout)
            task = self._transport.start_task(self._work_on(item, permit))
            self._under_way[task] = permit
            task.add_done_callback(functools.partial(self._work_ended, item))

    def _feeding_ended(self, _task: asyncio.Task[None]) -> None:
        if not (self._feeding[0].done() and self._feeding[-1].done()):
            return
        while not self._pulled.empty():
            _, _, item = self._pulled.get_nowait()
            if item is not None:
                self._give_up(item, Permit(asyncio.Semaphore(0), 0))
        self._feeding_is_over = True
        self._wake_at_the_end()

    async def _work_on(self, item: Item, permit: Permit) -> None:
        try:
            outcome = await self.job.do(item, permit)
        except asyncio.CancelledError:
            # By `leave`, or by whoever shuts the loop down: the item still has its outcome.
            self._give_up(item, permit)
            return
        except LosantError as error:
            if permit.sent.request is not None:
                locate(error, permit.sent.request.method, permit.sent.request.path, permit.sent)
            outcome = self.job.gave_up(item, error, _status_of(error, permit))
        except Exception as error:  # noqa: BLE001 - a mistake in the work itself: raised to the consumer in the end
            outcome = self.job.gave_up(item, error, _status_of(error, permit))
            self.stop(error)
        finally:
            permit.give_up()
        self._finish(item, outcome)

    def _work_ended(self, item: Item, task: asyncio.Task[None]) -> None:
        permit = self._under_way.pop(task)
        if task.cancelled():  # before it ran; once it runs, it makes an outcome of its cancellation
            permit.give_up()
            self._give_up(item, permit)
        self._wake_at_the_end()

    def _give_up(self, item: Item, permit: Permit) -> None:
        """Finish an item that the end of the batch has kept from its own outcome."""
        error: LosantError
        sent = permit.sent
        if permit.is_unknown:
            error = OutcomeUnknownError("the batch ended before it was known what became of it")
        else:
            error = TransportError("not sent again" if sent.attempts else "not sent: the batch ended first")
            error.advice = "Run it again."
        error.__cause__ = self._fatal
        if sent.request is not None:
            locate(error, sent.request.method, sent.request.path, sent)
        self._finish(item, self.job.gave_up(item, error, _status_of(error, permit)))

    def _wake_at_the_end(self) -> None:
        if self._feeding_is_over and not self._under_way:
            self._ended.set()
            self._outcomes.put_nowait(None)

    def _finish(self, item: Item, outcome: O) -> None:
        if self._is_fatal(outcome.error):
            self.stop(outcome.error)
        if not self._ordered:
            self._outcomes.put_nowait(outcome)
            return
        self._early[item.index] = outcome
        while self._following in self._early:
            self._outcomes.put_nowait(self._early.pop(self._following))
            self._following += 1

    def _is_fatal(self, error: BaseException | None) -> bool:
        if isinstance(error, OutcomeUnknownError):
            return self._is_fatal(error.__cause__)
        if isinstance(error, LosantError) and error.ends_batch:
            return True
        if isinstance(error, ApiError) and (error.retry_after or 0) > self._transport.retry.max_pause:
            return True
        return isinstance(error, self.job.fatal)


def _status_of(error: BaseException, permit: Permit) -> GaveUp:
    if isinstance(error, DuplicateGroupError):
        return "unknown" if permit.sent.attempts else "failed"  # if it was sent, the group is surely not missing
    return "unknown" if isinstance(error, OutcomeUnknownError) or permit.is_unknown else "failed"
