"""Bounded concurrent work over a lazy input: every item that is pulled has exactly one outcome."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self

import attrs

from .errors import AuthenticationError, ConfigurationError, NotFoundError, PermissionDeniedError, TransportError
from .models import ExperienceGroup, NewExperienceGroup
from .transport import Transport

Status = Literal["created", "existing", "failed", "unknown"]

_AHEAD = 8
# What one item meets every other would meet as well. A create answers 404 for an unknown application alone.
_FATAL = (AuthenticationError, PermissionDeniedError, NotFoundError, ConfigurationError)


@attrs.frozen
class Outcome:
    """What became of one item of a batch.

    Attributes:
        index: Place of the item in the input, from 0.
        request: The item as it was given.
        group: The group that is there now; None unless `ok`.
        error: Why there is none; None if `ok`.
        status: `created`; `existing`, if it was there before; `failed`, if it is surely not there; `unknown`.
    """

    index: int
    request: NewExperienceGroup | Mapping[str, Any]
    group: ExperienceGroup | None
    error: BaseException | None
    status: Status

    @property
    def ok(self) -> bool:
        """Whether the group is there."""
        return self.status in ("created", "existing")


@attrs.frozen
class BatchReport:
    """What became of all items of a batch: how many went well, and the outcomes of those that did not."""

    created: int
    existing: int
    failed: tuple[Outcome, ...]
    unknown: tuple[Outcome, ...]


class Batch:
    """Outcomes of concurrent creates, as they complete or in the order of the input; an async iterator, walked once.

    Nothing is pulled or sent before the first outcome is asked for. What fails one item is its outcome; what would fail
    every item, and an error of the input itself, stops the batch: nothing more is pulled, what is on the wire ends and
    is yielded, and then the error is raised with the `BatchReport` as its `report`.

    After `break` nothing new is sent; `aclose()`, a cancellation and `LosantClient.close` also wait for what is on the
    wire. `report()` then still tells what became of it.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._walker: BatchWalker | None = None
        self._taken = False

    def __aiter__(self) -> BatchWalker:
        if self._taken:
            raise RuntimeError("a batch is walked once; create_many() makes another")
        self._taken = True
        return BatchWalker(self._run)

    async def __anext__(self) -> Outcome:
        if self._walker is None:
            self._walker = aiter(self)
        return await anext(self._walker)

    async def report(self) -> BatchReport:
        """Walk the batch to its end; after a walk, wait for what it left on the wire.

        Raises:
            LosantError: What stopped the batch, with the same report as its `report`. The input's own errors as well.
            RuntimeError: The batch is still being walked.
        """
        if not self._taken:
            async for _ in self:
                pass
        elif not self._run.left:
            raise RuntimeError("the batch is still being walked; its report comes after")
        await self._run.settle()
        return self._run.report()

    async def aclose(self) -> None:
        """Send nothing more and wait for what is on the wire."""
        self._taken = True
        self._run.stop()
        await self._run.settle()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class BatchWalker:
    """The one walk over a batch. It is `async for`'s own, so that leaving the loop ends it."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        return await self._run.next_outcome()

    async def aclose(self) -> None:
        """Send nothing more and wait for what is on the wire."""
        self._run.stop()
        await self._run.settle()

    def __del__(self) -> None:
        self._run.abandon()


class Run:
    """The work of one batch. Its tasks know it but not its walker, so that the walker can be left to be collected.

    Args:
        items: The input; pulled only while an outcome is waited for, and never further ahead of the outcomes than
            `concurrency` and a small buffer.
        work: Makes the outcome of one item, given its index; it raises nothing that it expects.
        concurrency: Items under way at a time.
        ordered: Whether outcomes wait for those of earlier items.
        transport: Owns the tasks.
    """

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        work: Callable[[int, Any], Awaitable[Outcome]],
        *,
        concurrency: int,
        ordered: bool,
        transport: Transport,
    ) -> None:
        self._async_items = aiter(items) if isinstance(items, AsyncIterable) else None
        self._items = iter(()) if isinstance(items, AsyncIterable) else iter(items)
        self._work = work
        self._places = asyncio.Semaphore(concurrency)
        self._most_ahead = concurrency + _AHEAD
        self._ordered = ordered
        self._transport = transport

        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._pulling: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._exhausted = False
        self._stopped = False
        self._ended = False
        self._fatal: BaseException | None = None

        self._pulled = 0
        self._yielded = 0
        self._ready: deque[Outcome] = deque()
        self._early: dict[int, Outcome] = {}
        self._counts = {"created": 0, "existing": 0}
        self._failed: list[Outcome] = []
        self._unknown: list[Outcome] = []

    @property
    def left(self) -> bool:
        """Whether the walk has come to its end, or was left before."""
        return self._stopped or self._ended

    def report(self) -> BatchReport:
        """What has become of the items so far."""
        return BatchReport(**self._counts, failed=tuple(self._failed), unknown=tuple(self._unknown))

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
                self.stop()
                await self.settle()
                raise
        self._ended = True
        self._transport.at_close.discard(self._client_closes)
        if self._fatal is None:
            raise StopAsyncIteration
        fatal, self._fatal = self._fatal, None
        fatal.report = self.report()  # type: ignore[attr-defined]  # errors of the input get one as well
        raise fatal

    def stop(self, fatal: BaseException | None = None) -> None:
        """Pull and send nothing more."""
        self._stopped = True
        if self._fatal is None:
            self._fatal = fatal
        if self._pulling:
            self._pulling.cancel()
        self._transport.at_close.discard(self._client_closes)
        self._wake.set()

    async def settle(self) -> None:
        """Wait until everything that was sent has its outcome."""
        while pending := self._tasks | ({self._pulling} if self._pulling else set()):
            await asyncio.wait(pending)

    def abandon(self) -> None:
        """Stop from wherever the walker is collected, which may be another thread."""
        self._stopped = True
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.stop)

    def _client_closes(self) -> None:
        self.stop(ConfigurationError("the client was closed while the batch was under way"))

    def _pull(self) -> None:
        if self._async_items:
            if not self._pulling and self._may_pull():
                self._pulling = asyncio.get_running_loop().create_task(self._pull_async(self._async_items))
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
        try:
            while self._may_pull():
                self._start(await anext(items))
        except StopAsyncIteration:
            self._exhausted = True
        except Exception as error:  # noqa: BLE001 - as above
            self.stop(error)

    def _pull_ended(self, _task: asyncio.Task[None]) -> None:
        self._pulling = None
        self._wake.set()

    def _may_pull(self) -> bool:
        return not self._exhausted and not self._stopped and self._pulled - self._yielded < self._most_ahead

    def _start(self, item: Any) -> None:
        task = self._transport.start_task(self._do(self._pulled, item))
        self._pulled += 1
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _do(self, index: int, item: Any) -> None:
        status: Status = "failed"
        try:
            async with self._places:
                if self._stopped:
                    error = self._fatal or TransportError("not sent: the batch ended before its turn")
                    outcome = Outcome(index, item, None, error, status)
                else:
                    status = "unknown"
                    outcome = await self._work(index, item)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised to the consumer in the end
            # A mistake in the work itself, or a loop that is shut down: the item still has its outcome.
            outcome = Outcome(index, item, None, error, status)
            self.stop(error)
        if isinstance(outcome.error, _FATAL):
            self.stop(outcome.error)
        self._count(outcome)
        if not self._ordered:
            self._ready.append(outcome)
            return
        self._early[index] = outcome
        while (following := self._yielded + len(self._ready)) in self._early:
            self._ready.append(self._early.pop(following))

    def _count(self, outcome: Outcome) -> None:
        if outcome.status == "failed":
            self._failed.append(outcome)
        elif outcome.status == "unknown":
            self._unknown.append(outcome)
        else:
            self._counts[outcome.status] += 1
