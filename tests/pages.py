"""Lists made up on the spot."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aiolosant import Page, Paginator
from aiolosant._paging.numbered import paginated

Fetch = Callable[[int, int], Coroutine[Any, Any, Page[int]]]


def numbered(fetch: Fetch, per_page: int = 100, start_page: int = 0, prefetch: int = 0) -> Paginator[int]:
    """A paginator by page numbers."""
    return paginated(fetch, per_page=per_page, start_page=start_page, prefetch=prefetch)


class Pages:
    """A list of numbers behind a server that gives `limit` items a page at most, and counts what it is asked."""

    def __init__(self, items: Sequence[int], *, limit: int = 1000, total: bool = True) -> None:
        self.items = list(items)
        self.limit = limit
        self.total = total
        self.asked: list[tuple[int, int]] = []

    async def fetch(self, number: int, per_page: int) -> Page[int]:
        self.asked.append((number, per_page))
        size = min(per_page, self.limit)
        items = tuple(self.items[number * size : (number + 1) * size])
        return Page(items, number, size, len(self.items) if self.total else None)

    def paginator(self, per_page: int = 100, start_page: int = 0) -> Paginator[int]:
        return numbered(self.fetch, per_page, start_page)
