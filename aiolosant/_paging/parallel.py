"""Several walks by key, side by side: each reads a range of the keys, and together they read all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import attrs

from ..errors import TransportError
from ..models import Page
from .keyset import KeysetPages
from .paginator import PageIterator

T = TypeVar("T")


class ParallelPages(PageIterator[T]):
    """Pages of several ranges, in the order in which they arrive; within a range in the order of the keys.

    As exact as one walk by key: an item that is there throughout has one key, which is in one range. After a page that
    failed, going on asks for that page again.

    Args:
        open_ranges: Returns the first page, and a walk for each range of what is behind it.
        start_task: Makes a task of what is on the way.
    """

    def __init__(
        self,
        open_ranges: Callable[[], Awaitable[tuple[Page[T], Sequence[KeysetPages[T]]]]],
        start_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        super().__init__()
        self._open_ranges = open_ranges
        self._start_task = start_task
        self._total = 0
        self._waiting: list[KeysetPages[T]] = []  # ranges of which nothing is on the way
        self._reading: set[asyncio.Task[None]] = set()
        self._untaken = 0  # what was begun to be read, and not taken yet
        # What was read ahead waits here, a page for each range at most; None is the end of one.
        self._pages: asyncio.Queue[tuple[KeysetPages[T], Page[T] | Exception | None]] | None = None

    async def _next_page(self) -> Page[T]:
        if self._pages is None:
            first, ranges = await self._open_ranges()
            self._waiting = list(ranges)
            self._total = (first.total_count or 0) - len(first.items)
            self._pages = asyncio.Queue()
            self._done = not ranges
            return first
        while self._waiting or self._untaken:
            while self._waiting:
                self._begin(self._waiting.pop(), self._pages)
            pages, got = await self._pages.get()
            self._untaken -= 1
            if self._closed:
                raise StopAsyncIteration
            if isinstance(got, Exception):
                self._waiting.append(pages)
                raise got
            if got is not None:
                self._begin(pages, self._pages)  # the next one is read while this one is used
                left, self._total = self._total, max(0, self._total - len(got.items))
                return attrs.evolve(got, total_count=max(left, len(got.items)))
        self._done = True
        raise StopAsyncIteration

    def _begin(self, pages: KeysetPages[T], queue: asyncio.Queue[Any]) -> None:
        self._untaken += 1
        task = self._start_task(_read_one(pages, queue))
        reading = self._reading  # and not the walk, which is to be collected when it is dropped
        reading.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            reading.discard(task)
            if task.cancelled():  # whoever waits for a page is told, be it by `aclose` or by one who cancels all tasks
                queue.put_nowait((pages, TransportError("the reading of a range was cancelled")))

        task.add_done_callback(ended)

    async def aclose(self) -> None:
        """End the walk; nothing stays on the way."""
        await super().aclose()
        self._waiting.clear()
        reading = list(self._reading)
        for task in reading:
            task.cancel()
        if reading:
            await asyncio.wait(reading)


async def _read_one(pages: KeysetPages[T], queue: asyncio.Queue[Any]) -> None:
    """Read a page, and wait for nobody: whoever walks may have left."""
    got: Page[T] | Exception | None
    try:
        got = await anext(pages, None)
    except Exception as error:  # noqa: BLE001 - raised to whoever walks
        got = error
    queue.put_nowait((pages, got))
