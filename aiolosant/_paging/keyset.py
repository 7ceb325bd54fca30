"""Pages by the key that each begins behind: exact, whatever others change meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..models import Page
from .paginator import PageIterator, list_error

T = TypeVar("T")


class KeysetPages(PageIterator[T]):
    """Pages behind a key: each begins behind the last item of the one before, wherever that is by then.

    Args:
        fetch: Asks for the first page behind a key, given the key (None for the very first) and the items per page.
        key_of: The key of an item; keys ascend.
        per_page: Items to ask for at a time.
        after: The key to begin behind.
        path: Path of the list, for errors to name.
    """

    def __init__(
        self,
        fetch: Callable[[str | None, int], Awaitable[Page[T]]],
        key_of: Callable[[T], str],
        *,
        per_page: int,
        after: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._key_of = key_of
        self._per_page = per_page
        self._after = after
        self._path = path

    async def _next_page(self) -> Page[T]:
        page = await self._fetch(self._after, self._per_page)
        if not page.items and page.total_count:
            # Counted at another moment than read, perhaps; or a server that does not give what it counts.
            page = await self._fetch(self._after, self._per_page)
            if not page.items and page.total_count:
                raise list_error(
                    self._path, f"the list makes no progress: {page.total_count} items are left, and none come"
                )
        keys = [self._key_of(item) for item in page.items]
        for before, key in zip([self._after, *keys], keys, strict=False):
            if before is not None and key <= before:
                raise list_error(self._path, f"the list makes no progress: {key} comes behind {before}")
        if keys:
            self._after = keys[-1]
        # A full page is never taken for the last: the server counts at another moment than it reads.
        all_there = page.total_count is None or len(keys) >= page.total_count
        self._done = not keys or (len(keys) < page.per_page and all_there)
        return page
