"""Lazy lists: pages are asked for one by one, and only when their first item is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import attrs

from .errors import ResponseFormatError
from .models import Page

T = TypeVar("T")

FetchPage = Callable[[int, int], Awaitable[Page[T]]]
"""Asks for one page, given its zero-based number and the items per page."""


class Paginator(Generic[T]):
    """A list that is read page by page while it is walked over.

    Nothing is asked of the server before the first item is, and the next page only when this one is used up. Each
    `async for` starts afresh. A walk by page numbers sees the list as it is at each page: what others create, delete or
    rename meanwhile can make it skip an item or give one twice.

    Args:
        fetch: Asks for one page, given its number and the items per page.
        per_page: Items to ask for at a time. If the server gives fewer, its own number is followed.
        start_page: Zero-based number of the first page, in pages of `per_page` items.
    """

    def __init__(self, fetch: FetchPage[T], *, per_page: int = 100, start_page: int = 0) -> None:
        self._fetch = fetch
        self._per_page = per_page
        self._offset = start_page * per_page

    def __aiter__(self) -> ItemIterator[T]:
        return ItemIterator(self.by_page())

    def by_page(self) -> PageIterator[T]:
        """The pages instead of their items, as lazily; a page may be empty."""
        return PageIterator(self._fetch, per_page=self._per_page, offset=self._offset)

    async def first(self) -> T | None:
        """The first item, or None if there is none; asks for this one alone."""
        async for item in ItemIterator(PageIterator(self._fetch, per_page=1, offset=self._offset)):
            return item
        return None

    async def count(self) -> int:
        """How many items match in all, as the server counts; one small request.

        Raises:
            ResponseFormatError: The server does not say.
        """
        page = await self._fetch(0, 1)
        if page.total_count is None:
            raise ResponseFormatError("the answer has no totalCount")
        return page.total_count

    async def to_list(self, limit: int | None = None) -> list[T]:
        """All items, or the first `limit` of them, 0 or more.

        Raises:
            TypeError: `limit` is no integer.
            ValueError: `limit` is below 0.
        """
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
            raise TypeError(f"limit must be an integer, not {type(limit).__name__}")
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be 0 or more, not {limit}")
        items: list[T] = []
        if limit == 0:
            return items
        async for item in self:
            items.append(item)
            if len(items) == limit:
                break
        return items


class _Walk:
    """What both iterators are: iterable and closable."""

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the walk: there is nothing more in it."""
        raise NotImplementedError  # each knows what it has to end


class PageIterator(_Walk, Generic[T]):
    """One walk over the pages of a list.

    After a page that failed, going on asks for the same page again.
    """

    def __init__(self, fetch: FetchPage[T], *, per_page: int, offset: int) -> None:
        self._fetch = fetch
        self._per_page = per_page
        self._offset = offset
        self._busy = False
        self._done = False
        self._closed = False

    async def __anext__(self) -> Page[T]:
        if self._done or self._closed:
            raise StopAsyncIteration
        if self._busy:
            raise RuntimeError("this walk is already waiting for a page; each consumer needs a walk of its own")
        self._busy = True
        try:
            page = await self._page_at_offset()
        finally:
            self._busy = False
        if self._closed:
            raise StopAsyncIteration
        start = page.number * page.per_page
        skipped = self._offset - start
        self._offset = start + page.per_page
        if page.total_count is None:
            self._done = len(page.items) < page.per_page
        else:
            self._done = self._offset >= page.total_count
        return attrs.evolve(page, items=page.items[skipped:]) if skipped else page

    async def _page_at_offset(self) -> Page[T]:
        # A server that gives fewer items per page than asked for numbers its pages by its own size: the page that holds
        # the offset is then another one.
        for _ in range(2):
            number = self._offset // self._per_page
            page = await self._fetch(number, self._per_page)
            if page.number != number or page.per_page < 1 or len(page.items) > page.per_page:
                break
            self._per_page = page.per_page
            if number == self._offset // page.per_page:
                return page
        raise ResponseFormatError(
            f"the list makes no progress: asked for page {number}, the answer is page {page.number} "
            f"of {page.per_page} items each and has {len(page.items)}"
        )

    async def aclose(self) -> None:
        """End the walk: there is nothing more in it."""
        self._closed = True


class ItemIterator(_Walk, Generic[T]):
    """One walk over the items of a list."""

    def __init__(self, pages: PageIterator[T]) -> None:
        self._pages = pages
        self._items: Iterator[T] = iter(())

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
