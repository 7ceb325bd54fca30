"""Lazy lists: pages are asked for one by one, and only when their first item is."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import attrs

from .checks import check_range
from .errors import ResponseFormatError
from .models import Page

T = TypeVar("T")
FetchPage = Callable[[int, int], Awaitable[Page[T]]]
"""Asks for one page, given its number and the items per page."""

# Undocumented; the largest that Losant's own tools ask for.
MAX_PER_PAGE = 1000


def paginated(fetch: FetchPage[T], *, per_page: int, start_page: int, prefetch: int) -> Paginator[T]:
    """A list that is read by page numbers.

    Raises:
        TypeError: A number is no integer.
        ValueError: A number is out of its range.
    """
    check_range("per_page", per_page, 1, MAX_PER_PAGE)
    check_range("start_page", start_page, 0)
    check_range("prefetch", prefetch, 0)

    def open_pages(size: int) -> NumberedPages[T]:
        return NumberedPages(fetch, per_page=size, offset=start_page * per_page, prefetch=prefetch)

    return Paginator(open_pages, per_page=per_page)


class Paginator(Generic[T]):
    """A list that is read page by page while it is walked over.

    Nothing is asked of the server before the first item is, and the next page only when this one is used up. Each
    `async for` starts afresh. After a page that failed, going on with the same iterator asks for that page again.

    Args:
        open_pages: Begins a walk over the pages, given how many items to ask for at a time.
        per_page: Items to ask for at a time. If the server gives fewer, its own number is followed.
    """

    def __init__(self, open_pages: Callable[[int], PageIterator[T]], *, per_page: int) -> None:
        self._open_pages = open_pages
        self._per_page = per_page

    def __aiter__(self) -> ItemIterator[T]:
        return ItemIterator(self.by_page())

    def by_page(self) -> PageIterator[T]:
        """The pages instead of their items, as lazily; a page may be empty."""
        return self._open_pages(self._per_page)

    async def first(self) -> T | None:
        """The first item, or None if there is none; asks for this one alone."""
        async with ItemIterator(self._open_pages(1)) as items:
            return await anext(items, None)

    async def count(self) -> int:
        """How many items match in all, as the server counts; one small request.

        Raises:
            ResponseFormatError: The server does not say.
        """
        async with self._open_pages(1) as pages:
            page = await anext(pages)
        if page.total_count is None:
            raise ResponseFormatError("the answer has no totalCount")
        return page.total_count

    async def to_list(self, limit: int | None = None) -> list[T]:
        """All items, or the first `limit` of them, 0 or more.

        Raises:
            TypeError: `limit` is no integer.
            ValueError: `limit` is below 0.
        """
        if limit is not None:
            check_range("limit", limit, 0)
        items: list[T] = []
        if limit == 0:
            return items
        async with aiter(self) as walk:
            async for item in walk:
                items.append(item)
                if len(items) == limit:
                    break
        return items


class Closable:
    """What can be left before its end: `async with` closes it."""

    async def aclose(self) -> None:
        """End the walk: there is nothing more in it."""
        raise NotImplementedError  # each knows what it has to end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class ItemIterator(Closable, Generic[T]):
    """One walk over the items of a list."""

    def __init__(self, pages: PageIterator[T]) -> None:
        self._pages = pages
        self._items: Iterator[T] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            for item in self._items:
                return item
            page = await anext(self._pages)
            self._items = iter(page.items)

    async def aclose(self) -> None:
        """End the walk: there is nothing more in it."""
        self._items = iter(())
        await self._pages.aclose()


class PageIterator(Closable, ABC, Generic[T]):
    """One walk over the pages of a list, for one consumer."""

    def __init__(self) -> None:
        self._busy = False
        self._closed = False
        self._done = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page[T]:
        if self._done or self._closed:
            raise StopAsyncIteration
        if self._busy:
            raise RuntimeError("this walk is already waiting for a page; each consumer needs a walk of its own")
        self._busy = True
        try:
            page = await self._next_page()
        finally:
            self._busy = False
        if self._closed:
            raise StopAsyncIteration
        return page

    @abstractmethod
    async def _next_page(self) -> Page[T]:
        """Ask for the next page; when it is the last, set `_done`. Nothing is changed if it fails."""

    async def aclose(self) -> None:
        """End the walk: there is nothing more in it."""
        self._closed = True


class NumberedPages(PageIterator[T]):
    """Pages by number. What others create, delete or rename meanwhile can make it skip an item or give one twice.

    Args:
        fetch: Asks for one page, given its number and the items per page.
        per_page: Items to ask for at a time.
        offset: How many items to leave out at the start.
        prefetch: How many further pages to have on the way while one is used up.
    """

    def __init__(
        self,
        fetch: FetchPage[T],
        *,
        per_page: int,
        offset: int,
        prefetch: int,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._per_page = per_page
        self._offset = offset
        self._prefetch = prefetch
        self._on_the_way: dict[int, asyncio.Task[Page[T]]] = {}

    async def _next_page(self) -> Page[T]:
        page = await self._page_at_offset()
        start = page.number * page.per_page
        skipped = self._offset - start
        self._offset = start + page.per_page
        if page.total_count is None:
            self._done = len(page.items) < page.per_page
        else:
            self._done = self._offset >= page.total_count
        self._look_ahead(page.total_count)
        return attrs.evolve(page, items=page.items[skipped:]) if skipped else page

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
        raise ResponseFormatError(
            f"the list makes no progress: asked for page {number}, the answer is page {page.number} "
            f"of {page.per_page} items each and has {len(page.items)}"
        )

    async def _ask(self, number: int) -> Page[T]:
        # Taken out first: if it failed, it is asked for again.
        task = self._on_the_way.pop(number, None)
        return await (task or self._fetch(number, self._per_page))

    def _look_ahead(self, total_count: int | None) -> None:
        if self._done:
            self._drop_ahead()
            return
        following = self._offset // self._per_page
        for number in range(following, following + self._prefetch):
            beyond = total_count is not None and number * self._per_page >= total_count
            if beyond:
                break
            if number not in self._on_the_way:
                task = asyncio.ensure_future(self._fetch(number, self._per_page))
                task.add_done_callback(_seen)
                self._on_the_way[number] = task

    def _drop_ahead(self) -> None:
        for task in self._on_the_way.values():
            task.cancel()
        self._on_the_way.clear()

    async def aclose(self) -> None:
        """End the walk: there is nothing more in it, and nothing stays on the way."""
        await super().aclose()
        dropped = list(self._on_the_way.values())
        self._drop_ahead()
        if dropped:
            await asyncio.wait(dropped)

    def __del__(self) -> None:
        # A consumer who just walks away wants no more pages. The collector may run in any thread.
        for task in self._on_the_way.values():
            loop = task.get_loop()
            if not task.done() and not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)


def _seen(task: asyncio.Task[Page[T]]) -> None:
    """Note that a page failed, so that one that nobody came to ask for is no complaint."""
    if not task.cancelled():
        task.exception()


class KeysetPages(PageIterator[T]):
    """Pages behind a key: each begins behind the last item of the one before, wherever that is by then.

    Args:
        fetch: Asks for the first page behind a key, given the key (None for the very first) and the items per page.
        key_of: The key of an item; keys ascend.
        per_page: Items to ask for at a time.
        after: The key to begin behind.
    """

    def __init__(
        self,
        fetch: Callable[[str | None, int], Awaitable[Page[T]]],
        key_of: Callable[[T], str],
        *,
        per_page: int,
        after: str | None = None,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._key_of = key_of
        self._per_page = per_page
        self._after = after

    async def _next_page(self) -> Page[T]:
        page = await self._fetch(self._after, self._per_page)
        if not page.items and page.total_count:
            # Counted at another moment than read, perhaps; or a server that does not give what it counts.
            page = await self._fetch(self._after, self._per_page)
            if not page.items and page.total_count:
                raise ResponseFormatError(
                    f"the list makes no progress: {page.total_count} items are left, and none come"
                )
        keys = [self._key_of(item) for item in page.items]
        for before, key in zip([self._after, *keys], keys, strict=False):
            if before is not None and key <= before:
                raise ResponseFormatError(f"the list makes no progress: {key} comes behind {before}")
        if keys:
            self._after = keys[-1]
        # A full page is never taken for the last: the server counts at another moment than it reads.
        all_there = page.total_count is None or len(keys) >= page.total_count
        self._done = not keys or (len(keys) < page.per_page and all_there)
        return page
