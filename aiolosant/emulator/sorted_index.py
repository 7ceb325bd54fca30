"""The groups of an application in the order of one field: any page of them, however far down, costs the same."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import Any


class Order:
    """Ids sorted by a value and, among equals, by themselves, so that pages neither overlap nor leave gaps.

    A database finds the n-th row of an index by walking past the n before it; a list knows where it is. To insert into
    100,000 entries moves some hundred kilobytes, which is nothing beside writing a group.

    Args:
        entries: Pairs of value and id, in any order.
    """

    def __init__(self, entries: Iterable[tuple[Any, str]]) -> None:
        self._entries = sorted(entries)

    def add(self, value: Any, group_id: str) -> None:
        """Insert an id at its place."""
        bisect.insort(self._entries, (value, group_id))

    def remove(self, value: Any, group_id: str) -> None:
        """Take an id out; its value must be the one that it was inserted with."""
        del self._entries[bisect.bisect_left(self._entries, (value, group_id))]

    def page(
        self, offset: int, limit: int, *, descending: bool, behind: str = "", until: str = ""
    ) -> tuple[list[str], int]:
        """A stretch of the ids, and how many there are in all.

        Args:
            offset: Ids to skip.
            limit: Ids to give, at most.
            descending: Whether to begin with the greatest.
            behind: In an order by id, the id that all must be greater than; "" for all.
            until: In an order by id, the id that none may be greater than; "" for all.
        """
        first = bisect.bisect_right(self._entries, (behind, behind)) if behind else 0
        last = bisect.bisect_right(self._entries, (until, until)) if until else len(self._entries)
        total = max(0, last - first)
        start, end = min(offset, total), min(offset + limit, total)
        found = (
            self._entries[last - end : last - start][::-1] if descending else self._entries[first + start : first + end]
        )
        return [group_id for _, group_id in found], total
