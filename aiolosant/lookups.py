"""Finds groups by key, many keys in one query."""

from __future__ import annotations

import asyncio
import copy
import urllib.parse
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

from . import wire
from .errors import LosantError, TransportError
from .keys import Identity
from .models import ExperienceGroup
from .transport import Transport

Find = Callable[[dict[str, Any]], Awaitable[list[ExperienceGroup]]]
"""Lists all groups that match an advanced query."""

# The published schema's limit of a list in a query, and what surely fits into a request line of 8 KiB.
MOST_KEYS = 100
_MOST_BYTES = 6000
# How long a lookup waits for others to share its query, in seconds: before a first send, and while settling.
_GATHER = 0.01
_GATHER_SETTLING = 0.1


class Lookups:
    """Finds groups by key, many keys in one query.

    Args:
        find: Lists all groups that match a query.
        identity: Knows keys.
        transport: Owns the tasks.
        gather: Whether lookups wait a moment for others to share a query.
    """

    def __init__(self, find: Find, identity: Identity, transport: Transport, *, gather: bool) -> None:
        self._find = find
        self._identity = identity
        self._transport = transport
        self._gather = gather
        self._waiting: dict[Hashable, asyncio.Future[list[ExperienceGroup]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._asking: set[asyncio.Task[None]] = set()

    async def find(self, key: Hashable, *, settling: bool = False) -> list[ExperienceGroup]:
        """The live groups with this key, oldest first.

        Raises:
            LosantError: The query failed, for all that shared it.
        """
        loop = asyncio.get_running_loop()
        if key not in self._waiting:
            self._waiting[key] = loop.create_future()
        answer = self._waiting[key]
        if len(self._waiting) >= MOST_KEYS or not self._gather:
            self._ask()
        else:
            due = loop.time() + (_GATHER_SETTLING if settling else _GATHER)
            if self._timer is None or due < self._timer.when():
                self._cancel_timer()
                self._timer = loop.call_at(due, self._ask)
        # Shielded, because others may wait for the same key.
        return await asyncio.shield(answer)

    def close(self) -> None:
        """Ask nothing more; whoever waits is not answered."""
        self._cancel_timer()
        for task in self._asking:
            task.cancel()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self) -> None:
        self._cancel_timer()
        while self._waiting:
            keys = list(self._waiting)[:MOST_KEYS]
            while len(keys) > 1 and _size(self._identity.query(keys)) > _MOST_BYTES:
                keys = keys[: len(keys) * 3 // 4]
            task = self._transport.start_task(self._answer({key: self._waiting.pop(key) for key in keys}))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _answer(self, waiting: dict[Hashable, asyncio.Future[list[ExperienceGroup]]]) -> None:
        try:
            found = defaultdict(list)
            for group in await self._find(self._identity.query(waiting)):
                found[self._identity.key_of(group)].append(group)
        except asyncio.CancelledError:
            self._fail(waiting, TransportError("the lookup was broken off"))
            raise
        except Exception as error:  # noqa: BLE001 - raised by whoever waits for the answer
            self._fail(waiting, error)
        else:
            for key, answer in waiting.items():
                answer.set_result(found[key])

    @staticmethod
    def _fail(waiting: dict[Hashable, asyncio.Future[list[ExperienceGroup]]], error: Exception) -> None:
        for answer in waiting.values():
            # To each its own: what is raised is written on, by where it goes through.
            own = copy.copy(error) if isinstance(error, LosantError) else error
            own.__cause__ = error.__cause__
            answer.set_exception(own)
            answer.exception()  # seen: perhaps nobody waits any more


def _size(query: dict[str, Any]) -> int:
    return len(urllib.parse.quote(wire.encode(query)))
