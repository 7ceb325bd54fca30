"""`Batch`: the async iterator of outcomes that `create_many` and its kin return."""

from __future__ import annotations

from typing import Generic, Self

from .._paging.paginator import Closable
from .outcome import BatchReport, Outcome
from .workers import O, Workers


class Outcomes(Closable, Generic[O]):
    """Outcomes of concurrent work: an async iterator that can be walked over once."""

    def __init__(self, workers: Workers[O]) -> None:
        self._workers = workers
        self._iterator: OutcomeIterator[O] | None = None
        self._taken = False

    def __aiter__(self) -> OutcomeIterator[O]:
        if self._taken:
            raise RuntimeError("outcomes can be iterated over only once; make another batch or apply")
        self._taken = True
        return OutcomeIterator(self._workers)

    async def __anext__(self) -> O:
        if self._iterator is None:
            if self._workers.over:
                raise StopAsyncIteration
            self._iterator = aiter(self)
        return await anext(self._iterator)

    async def aclose(self) -> None:
        """Send nothing more and wait for what is on the wire."""
        self._taken = True
        self._workers.leave()
        await self._workers.settle()


class OutcomeIterator(Closable, Generic[O]):
    """The one walk over outcomes. `async for` alone refers to it, so that leaving the loop ends the work."""

    def __init__(self, workers: Workers[O]) -> None:
        self._workers = workers

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> O:
        return await self._workers.next_outcome()

    async def aclose(self) -> None:
        """Send nothing more and wait for what is on the wire."""
        self._workers.leave()
        await self._workers.settle()

    def __del__(self) -> None:
        if not self._workers.over:
            self._workers.abandon()


class Batch(Outcomes[Outcome]):
    """Outcomes of concurrent writes, as they complete or in the order of the input: an async iterator, walked once.

    Nothing is pulled or sent before the first outcome is asked for. What fails one item is its outcome; what would fail
    every item, and an error of the input itself, stops the batch: nothing more is pulled, what is on the wire ends and
    is yielded, and then the error is raised with the `BatchReport` as its `report`.

    After `break` nothing new is sent; `aclose()`, a cancellation and `LosantClient.close` also wait for what is on the
    wire. `report()` then still tells what became of it.
    """

    async def report(self) -> BatchReport:
        """Walk the batch to its end; after a walk, wait for what it left on the wire.

        Raises:
            LosantError: What stopped the batch, with the same report as its `report`. The input's own errors as well.
                After a walk, or a part of one, that error has been raised there, and the report is returned.
            RuntimeError: The batch is still being walked.
        """
        if not self._taken or self._iterator is not None:
            async for _ in self._iterator or self:
                pass
        elif not self._workers.over:
            raise RuntimeError("the batch is still being walked; its report comes after")
        await self._workers.settle()
        report: BatchReport = self._workers.job.report()
        return report
