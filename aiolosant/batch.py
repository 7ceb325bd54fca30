"""What the caller of many creates holds: an async iterator of outcomes, walked once."""

from __future__ import annotations

from typing import Generic, Self

from .outcomes import BatchReport, Outcome, Tally
from .paging import Closable
from .run import O, Run


class Walk(Closable, Generic[O]):
    """The outcomes of a run: an async iterator, walked once."""

    def __init__(self, run: Run[O]) -> None:
        self._run = run
        self._walker: Walker[O] | None = None
        self._taken = False

    def __aiter__(self) -> Walker[O]:
        if self._taken:
            raise RuntimeError("outcomes can be iterated over only once; make another batch or apply")
        self._taken = True
        return Walker(self._run)

    async def __anext__(self) -> O:
        if self._walker is None:
            if self._run.over:
                raise StopAsyncIteration
            self._walker = aiter(self)
        return await anext(self._walker)

    async def aclose(self) -> None:
        """Send nothing more and wait for what is on the wire."""
        self._taken = True
        self._run.leave()
        await self._run.settle()


class Walker(Closable, Generic[O]):
    """The one walk over a run. It is `async for`'s own, so that leaving the loop ends it."""

    def __init__(self, run: Run[O]) -> None:
        self._run = run

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> O:
        return await self._run.next_outcome()

    async def aclose(self) -> None:
        """Send nothing more and wait for what is on the wire."""
        self._run.leave()
        await self._run.settle()

    def __del__(self) -> None:
        self._run.abandon()


class Batch(Walk[Outcome]):
    """Outcomes of concurrent creates, as they complete or in the order of the input; an async iterator, walked once.

    Nothing is pulled or sent before the first outcome is asked for. What fails one item is its outcome; what would fail
    every item, and an error of the input itself, stops the batch: nothing more is pulled, what is on the wire ends and
    is yielded, and then the error is raised with the `BatchReport` as its `report`.

    After `break` nothing new is sent; `aclose()`, a cancellation and `LosantClient.close` also wait for what is on the
    wire. `report()` then still tells what became of it.
    """

    def __init__(self, run: Run[Outcome], tally: Tally) -> None:
        super().__init__(run)
        self._tally = tally

    async def report(self) -> BatchReport:
        """Walk the batch to its end; after a walk, wait for what it left on the wire.

        Raises:
            LosantError: What stopped the batch, with the same report as its `report`. The input's own errors as well.
                After a walk, or a part of one, that error has been raised there, and the report is returned.
            RuntimeError: The batch is still being walked.
        """
        if not self._taken or self._walker is not None:
            async for _ in self._walker or self:
                pass
        elif not self._run.over:
            raise RuntimeError("the batch is still being walked; its report comes after")
        await self._run.settle()
        return self._tally.report()
