"""Lists of which only their answers tell how they are paged: by page, by limit and offset, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from ..models import Page


class ListAnswer(Protocol):
    """What the API answers for any list; None for what it does not say."""

    @property
    def items(self) -> Sequence[dict[str, Any]]:
        """What is listed."""

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


class AnyList:
    """Asks for the pages of one list, in the words that its first answer is in.

    Most of Losant's lists go by `page` and `perPage`. Rows of data tables go by `limit` and `offset`; domains, members
    and others come whole. Each ignores the parameters of the others.

    Args:
        ask: Sends a request with these parameters.
    """

    def __init__(self, ask: Callable[[Mapping[str, int]], Awaitable[ListAnswer]]) -> None:
        self._ask = ask
        self._by_offset = False

    async def fetch(self, number: int, per_page: int) -> Page[dict[str, Any]]:
        """Return one page, as the server counts pages."""
        if not self._by_offset:
            answer = await self._ask({"page": number, "perPage": per_page})
            if answer.page is not None or answer.per_page is not None:
                return _numbered(answer, number, per_page)
            if answer.limit is None or answer.offset is None:
                return _whole(answer, number, per_page)
            self._by_offset = True
            if number == answer.offset == 0:  # the first page was asked for, and is here, however long
                return Page(tuple(answer.items), 0, answer.limit, answer.total_count)
        answer = await self._ask({"limit": per_page, "offset": number * per_page})
        limit = answer.limit or per_page
        as_asked = answer.offset in (None, number * per_page)
        return Page(tuple(answer.items), number if as_asked else -1, limit, answer.total_count)


def _numbered(answer: ListAnswer, number: int, per_page: int) -> Page[dict[str, Any]]:
    return Page(
        items=tuple(answer.items),
        number=number if answer.page is None else answer.page,
        per_page=per_page if answer.per_page is None else answer.per_page,
        total_count=answer.total_count,
    )


def _whole(answer: ListAnswer, number: int, per_page: int) -> Page[dict[str, Any]]:
    """Return a page of what came without a word on pages."""
    count = len(answer.items)
    if answer.total_count is not None and answer.total_count > count:  # there is more, so these are pages after all
        more = number * per_page + count < answer.total_count
        # A short page that others follow: the server gives fewer at a time than it was asked for.
        size = count if more and count else max(per_page, count)
        return Page(tuple(answer.items), number, size, answer.total_count)
    if number == 0:
        return Page(tuple(answer.items), 0, max(1, count), count)
    return Page(tuple(answer.items[number * per_page : (number + 1) * per_page]), number, per_page, count)
