"""Lazy lists: pages are asked for one by one, and only when their first item is."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, NoReturn, Self, TypeVar

from .._validation import check_range
from ..errors import ResponseFormatError
from ..models import Page

T = TypeVar("T")


class Closable(ABC):
    """What can be left before its end: `async with` closes it."""

    @abstractmethod
    async def aclose(self) -> None:
        """End it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class Paginator(Closable, Generic[T]):
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
        self._begun: weakref.WeakSet[PageIterator[T]] = weakref.WeakSet()

    def __aiter__(self) -> ItemIterator[T]:
        return ItemIterator(self.by_page())

    def __iter__(self) -> NoReturn:
        raise TypeError("a list is read with `async for`, or at once with `await ... .to_list()`")

    def __await__(self) -> NoReturn:
        raise TypeError("a list is read with `async for`, or at once with `await ... .to_list()`")

    async def aclose(self) -> None:
        """End all walks over this list that were begun by `async for` or `by_page`."""
        for pages in tuple(self._begun):
            await pages.aclose()

    def by_page(self) -> PageIterator[T]:
        """The pages instead of their items, as lazily; a page may be empty."""
        pages = self._open_pages(self._per_page)
        self._begun.add(pages)
        return pages

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
        """End the walk; a further step raises StopAsyncIteration."""
        self._items = iter(())
        await self._pages.aclose()


class PageIterator(Closable, Generic[T]):
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
        """End the walk; a further step raises StopAsyncIteration."""
        self._closed = True


def list_error(path: str | None, message: str) -> ResponseFormatError:
    """Return the error for pages that do not make a list, which no single response shows."""
    return ResponseFormatError(message, method="GET", path=path, attempts=1)
