"""Several walks by key, side by side: each reads a range of the keys, and together they read all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import attrs

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
        self._waiting: list[KeysetPages[T]] = []  # ranges that nobody reads: none has begun, or it has failed
        self._reading: dict[asyncio.Task[None], KeysetPages[T]] = {}
        self._pages: asyncio.Queue[Page[T] | Exception | None] | None = None  # None: a range has come to its end

    async def _next_page(self) -> Page[T]:
        if self._pages is None:
            first, ranges = await self._open_ranges()
            self._waiting = list(ranges)
            self._total = (first.total_count or 0) - len(first.items)
            # What was read ahead waits here, a page for each range; more of it is read only when these are used up.
            self._pages = asyncio.Queue(max(1, len(ranges)))
            self._done = not ranges
            return first
        while self._waiting:
            pages = self._waiting.pop()
            self._reading[self._start_task(self._read(pages, self._pages))] = pages
        while self._reading or not self._pages.empty():
            got = await self._pages.get()
            if isinstance(got, Exception):
                raise got
            if got is not None:
                left, self._total = self._total, max(0, self._total - len(got.items))
                return attrs.evolve(got, total_count=max(left, len(got.items)))
        self._done = True
        raise StopAsyncIteration

    async def _read(self, pages: KeysetPages[T], queue: asyncio.Queue[Page[T] | Exception | None]) -> None:
        task = asyncio.current_task()
        try:
            async for page in pages:
                await queue.put(page)
        except Exception as error:  # noqa: BLE001 - raised to whoever walks
            self._waiting.append(pages)
            self._reading.pop(task, None)  # type: ignore[arg-type]  # it runs in a task
            await queue.put(error)
        else:
            self._reading.pop(task, None)  # type: ignore[arg-type]  # as above
            await queue.put(None)

    async def aclose(self) -> None:
        """End the walk; nothing stays on the way."""
        await super().aclose()
        reading = list(self._reading)
        for task in reading:
            task.cancel()
        if reading:
            await asyncio.wait(reading)
