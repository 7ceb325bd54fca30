"""Looks up ahead which groups of a plan are there already, many in one query and never far ahead of their creates."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ..lookups import MOST_KEYS
from ..models import ExperienceGroup

Look = Callable[[int], Coroutine[Any, Any, ExperienceGroup | None]]


class Scout:
    """Finds the live groups of creates, by their places in the plan, before it is their turn.

    Args:
        look: Looks one up; those that look at the same time share a query.
        places: What there is to look up, in the order in which it will probably be asked for.
        start_task: Makes a task of a coroutine.
    """

    def __init__(
        self, look: Look, places: Iterable[int], start_task: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
    ) -> None:
        self._look = look
        self._left = dict.fromkeys(places)
        self._start_task = start_task
        self._asked: dict[int, asyncio.Task[ExperienceGroup | None]] = {}

    async def find(self, place: int) -> ExperienceGroup | None:
        """The live group of a create, or None; raises what looking raises. Each place is asked for once."""
        due = [place] if place in self._left else []
        if len(self._asked) <= MOST_KEYS // 2:
            others = (other for other in self._left if other != place)
            due += itertools.islice(others, MOST_KEYS - len(due))
        for each in due:
            self._ask(each)
        return await self._asked.pop(place)

    def drop(self, place: int) -> None:
        """Forget a create that will not be asked for."""
        self._left.pop(place, None)
        if task := self._asked.pop(place, None):
            task.cancel()

    def close(self) -> None:
        """Look up nothing more."""
        self._left.clear()
        for task in self._asked.values():
            task.cancel()

    def _ask(self, place: int) -> None:
        del self._left[place]
        task = self._asked[place] = self._start_task(self._look(place))
        task.add_done_callback(_seen)


def _seen(task: asyncio.Task[Any]) -> None:
    """Note that a lookup failed, so that one that nobody came to ask for is no complaint."""
    if not task.cancelled():
        task.exception()
