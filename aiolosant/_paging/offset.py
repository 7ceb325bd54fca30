"""Lists of which only their answers tell how they are paged: by page, by limit and offset, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from ..models import Page, page_size
from .numbered import NumberedPages, StartTask
from .paginator import PageIterator, list_error

Items = tuple[dict[str, Any], ...]

# From so many items on, a page that has been there before cannot be one whose items were pushed on by new ones; nor can
# one that follows such a page, however small.
_TOO_MANY_FOR_CHANCE = 10
_MOST_TRIES = 3


class ListResponse(Protocol):
    """What the API answers for any list; None for what it does not say."""

    @property
    def items(self) -> Sequence[dict[str, Any]]:
        """What is listed."""
        ...

    @property
    def page(self) -> int | None:
        """The number of the page."""

    @property
    def per_page(self) -> int | None:
        """Items that a full page has."""

    @property
    def limit(self) -> int | None:
        """Items that are given at the most."""

    @property
    def offset(self) -> int | None:
        """How many items come before these."""

    @property
    def total_count(self) -> int | None:
        """How many items there are in all."""


Ask = Callable[[Mapping[str, int]], Awaitable[ListResponse]]
"""Sends a request with some query parameters."""


class AnyPages(PageIterator[dict[str, Any]]):
    """The pages of one list, asked for in the words that its first response is in.

    Most of Losant's lists go by `page` and `perPage`. Rows of data tables go by `limit` and `offset`; domains, members
    and others come whole. Each ignores the parameters of the others.

    Args:
        ask: Sends a request.
        per_page: Items to ask for at a time.
        offset: How many items to leave out at the start.
        prefetch: How many pages to request ahead, where they have numbers.
        path: Path of the list, for errors to name.
        start_task: Makes a task of what is on the way.
    """

    def __init__(
        self, ask: Ask, *, per_page: int, offset: int, prefetch: int, path: str | None, start_task: StartTask
    ) -> None:
        super().__init__()
        self._ask = ask
        self._per_page = per_page
        self._offset = offset
        self._prefetch = prefetch
        self._path = path
        self._start_task = start_task
        self._pages: PageIterator[dict[str, Any]] | None = None

    async def _next_page(self) -> Page[dict[str, Any]]:
        if self._pages is None:
            number = self._offset // self._per_page
            self._pages = self._opened(await self._ask({"page": number, "perPage": self._per_page}))
        return await anext(self._pages)

    def _opened(self, response: ListResponse) -> PageIterator[dict[str, Any]]:
        if response.page is None and response.per_page is None:
            if response.limit is not None and response.offset is not None:
                first = response if self._offset == response.offset else None
                return _OffsetPages(self._ask, first, per_page=self._per_page, offset=self._offset, path=self._path)
            if response.total_count is None or response.total_count <= len(response.items):
                return _WholeList(tuple(response.items), self._offset)
        return NumberedPages(
            _NumberedAnswers(self._ask, response, path=self._path).fetch,
            per_page=self._per_page,
            offset=self._offset,
            prefetch=self._prefetch,
            path=self._path,
            start_task=self._start_task,
        )

    async def aclose(self) -> None:
        """End the walk; nothing stays on the way."""
        await super().aclose()
        if self._pages is not None:
            await self._pages.aclose()


class _NumberedAnswers:
    """Asks for pages by their numbers. It knows nothing of who walks, so that a walk that is dropped is collected."""

    def __init__(self, ask: Ask, first: ListResponse, *, path: str | None) -> None:
        self._ask = ask
        self._first: ListResponse | None = first  # until the page that it has is asked for
        self._seen = _Seen(path)

    async def fetch(self, number: int, per_page: int) -> Page[dict[str, Any]]:
        """Return a page."""
        response, self._first = self._first, None
        if response is None:
            response = await self._ask({"page": number, "perPage": per_page})
        items = tuple(response.items)
        self._seen.check(items, f"page {number}", is_named=response.page is not None)
        size = response.per_page
        if size is None:
            size = page_size(per_page, number, len(items), response.total_count)
        return Page(items, number if response.page is None else response.page, size, response.total_count)


class _Seen:
    """Notices a page that has been there before."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._pages: dict[int, str] = {}  # by what they had, as hashes
        self._last = (0, "")
        self._pushed_on = False  # whether the last page may have been

    def check(self, items: Items, name: str, *, is_named: bool) -> None:
        """Raise an error for a page of the same items as another one.

        Args:
            items: What the page has.
            name: What was asked for.
            is_named: Whether the server says that this is what it gives.
        """
        if not items:
            return
        (last, last_name), self._last = self._last, (hash(repr(items)), name)
        if name == last_name:  # asked for again
            return
        before = last_name if last == self._last[0] else ""
        if is_named and len(items) < _TOO_MANY_FOR_CHANCE:
            was_pushed_on, self._pushed_on = self._pushed_on, bool(before)
            if not was_pushed_on:
                return
        else:
            before = self._pages.setdefault(self._last[0], name)
        if before not in ("", name):
            raise list_error(self._path, f"the list makes no progress: {name} repeats {before}")


class _OffsetPages(PageIterator[dict[str, Any]]):
    """Pages by limit and offset, one after the other."""

    def __init__(self, ask: Ask, first: ListResponse | None, *, per_page: int, offset: int, path: str | None) -> None:
        super().__init__()
        self._ask = ask
        self._first = first
        self._per_page = per_page
        self._offset = offset
        self._path = path
        self._seen = _Seen(path)

    async def _next_page(self) -> Page[dict[str, Any]]:
        total: int | None = None
        for _ in range(_MOST_TRIES):
            response, self._first = self._first, None
            if response is None:
                response = await self._ask({"limit": self._per_page, "offset": self._offset})
            if response.offset not in (None, self._offset):
                message = f"asked for what is behind {self._offset}, the answer is what is behind {response.offset}"
                raise list_error(self._path, f"the list makes no progress: {message}")
            total = response.total_count
            if response.items or total is None or total <= self._offset:
                return self._page(response)
        message = f"{total} items are counted, and none come behind {self._offset}"
        raise list_error(self._path, f"the list does not add up: {message}")

    def _page(self, response: ListResponse) -> Page[dict[str, Any]]:
        items, total = tuple(response.items), response.total_count
        self._seen.check(items, f"offset {self._offset}", is_named=response.offset is not None)
        limit = max(1, response.limit or self._per_page, len(items))
        page = Page(items, self._offset // limit, limit, total)
        self._offset += len(items)
        self._done = not items or (self._offset >= total if total is not None else len(items) < limit)
        return page


class _WholeList(PageIterator[dict[str, Any]]):
    """A list that came at once, as its only page."""

    def __init__(self, items: Items, offset: int) -> None:
        super().__init__()
        self._items = items
        self._offset = offset

    async def _next_page(self) -> Page[dict[str, Any]]:
        self._done = True
        return Page(self._items[self._offset :], 0, max(1, len(self._items)), len(self._items))
