"""Pages by their numbers, some of them requested ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import attrs

from .._validation import check_range
from ..models import MAX_PER_PAGE, Page
from .paginator import PageIterator, Paginator, list_error

T = TypeVar("T")
FetchPage = Callable[[int, int], Coroutine[Any, Any, Page[T]]]
"""Asks for one page, given its number and the items per page."""
StartTask = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
"""Makes a task of a coroutine."""

_MOST_RECOUNTS = 3


def paginated(
    fetch: FetchPage[T],
    *,
    per_page: int,
    start_page: int,
    prefetch: int,
    path: str | None = None,
    start_task: StartTask = asyncio.ensure_future,
) -> Paginator[T]:
    """Return a list that is read by page numbers.

    Args:
        fetch: Asks for one page, given its number and the items per page.
        per_page: Items to ask for at a time.
        start_page: Zero-based number of the first page.
        prefetch: How many pages to request ahead while the current one is used up.
        path: Path of the list, for errors to name.
        start_task: Makes a task of what is on the way, for whoever has to wait for it.

    Raises:
        TypeError: A number is no integer.
        ValueError: A number is out of its range.
    """
    check_range("per_page", per_page, 1, MAX_PER_PAGE)
    check_range("start_page", start_page, 0)
    check_range("prefetch", prefetch, 0)

    def open_pages(size: int) -> NumberedPages[T]:
        offset = start_page * per_page
        return NumberedPages(fetch, per_page=size, offset=offset, prefetch=prefetch, path=path, start_task=start_task)

    return Paginator(open_pages, per_page=per_page)


class NumberedPages(PageIterator[T]):
    """Pages by number. What others create, delete or rename meanwhile can make it skip an item or give one twice.

    Args:
        fetch: Asks for one page, given its number and the items per page.
        per_page: Items to ask for at a time.
        offset: How many items to leave out at the start.
        prefetch: How many pages to request ahead while the current one is used up.
        path: Path of the list, for errors to name.
        start_task: Makes a task of what is on the way.
    """

    def __init__(
        self,
        fetch: FetchPage[T],
        *,
        per_page: int,
        offset: int,
        prefetch: int,
        path: str | None = None,
        start_task: StartTask = asyncio.ensure_future,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._per_page = per_page
        self._offset = offset
        self._prefetch = prefetch
        self._path = path
        self._start_task = start_task
        self._reached = offset  # how far the items have come
        self._on_the_way: dict[int, asyncio.Task[Page[T]]] = {}

    async def _next_page(self) -> Page[T]:
        page = await self._page_that_adds_up()
        start, end = _bounds(page)
        skipped = self._offset - start
        self._offset = end
        if page.items:
            self._reached = start + len(page.items)
        # A full page that ends where the count says is the last; what is given beyond what is counted may go on.
        self._done = len(page.items) < page.per_page or end == page.total_count
        self._look_ahead(page.total_count)
        return attrs.evolve(page, items=page.items[skipped:]) if skipped else page

    async def _page_that_adds_up(self) -> Page[T]:
        # Counted before something was deleted and read after it, a page may lack items; hardly again and again.
        for _ in range(_MOST_RECOUNTS):
            page = await self._page_at_offset()
            if not self._lacks_items(page):
                return page
        error = list_error(
            self._path,
            f"the list does not add up: page {page.number} of {page.per_page} items each has "
            f"{len(page.items)}, and {page.total_count} are counted in all",
        )
        error.advice = "If others change it meanwhile, read it again; what can be scanned, by scan()."
        raise error

    def _lacks_items(self, page: Page[T]) -> bool:
        """Whether the page has fewer items than the count of all says."""
        start, end = _bounds(page)
        if page.total_count is None:
            return False
        if page.items or page.total_count > start:
            return start + len(page.items) < min(page.total_count, end)
        return self._reached < page.total_count

    async def _page_at_offset(self) -> Page[T]:
        # A server that gives fewer items per page than asked for numbers its pages by its own size: the page that holds
        # the offset is then another one.
        for _ in range(2):
            number = self._offset // self._per_page
            page = await self._ask(number)
            if page.number != number or page.per_page < 1 or len(page.items) > page.per_page:
                break
            if page.per_page != self._per_page:
                self._per_page = page.per_page
                self._drop_ahead()
            if number == self._offset // page.per_page:
                return page
        raise list_error(
            self._path,
            f"the list makes no progress: asked for page {number}, the answer is page {page.number} "
            f"of {page.per_page} items each and has {len(page.items)}",
        )

    async def _ask(self, number: int) -> Page[T]:
        # Taken out first: if it failed, it is asked for again.
        task = self._on_the_way.pop(number, None)
        return await (task or self._fetch(number, self._per_page))

    def _look_ahead(self, total_count: int | None) -> None:
        if self._done or self._closed:
            self._drop_ahead()
            return
        following = self._offset // self._per_page
        for number in range(following, following + self._prefetch):
            beyond = total_count is not None and number * self._per_page >= total_count
            if beyond:
                break
            if number not in self._on_the_way:
                task = self._start_task(self._fetch(number, self._per_page))
                task.add_done_callback(_seen)
                self._on_the_way[number] = task

    def _drop_ahead(self) -> None:
        for task in self._on_the_way.values():
            task.cancel()
        self._on_the_way.clear()

    async def aclose(self) -> None:
        """End the walk; nothing stays on the way."""
        await super().aclose()
        dropped = list(self._on_the_way.values())
        self._drop_ahead()
        if dropped:
            await asyncio.wait(dropped)

    def __del__(self) -> None:
        # A consumer who just walks away wants no more pages. The collector may run in any thread.
        for task in self._on_the_way.values():
            loop = task.get_loop()
            if task.done() or loop.is_closed():
                continue
            if asyncio._get_running_loop() is loop:  # noqa: SLF001 - get_running_loop raises, and this must not
                task.cancel()
            else:
                loop.call_soon_threadsafe(task.cancel)


def _bounds(page: Page[Any]) -> tuple[int, int]:
    """The place in the list of a page's first item, and the one behind its last if it is full."""
    return page.number * page.per_page, (page.number + 1) * page.per_page


def _seen(task: asyncio.Task[Page[T]]) -> None:
    """Note that a page failed, so that one that nobody came to ask for is no complaint."""
    if not task.cancelled():
        task.exception()
