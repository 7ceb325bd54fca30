"""Locks by key: which unique groups one client is creating now, and for which of them a lost write may still land."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Hashable

from ..models import ExperienceGroup
from .workers import Permit


class KeyLock(asyncio.Lock):
    """The lock for creating the group with one key.

    Attributes:
        creates: How often the group was sent under this lock. Whoever holds the lock counts it just before the release,
            so that a lookup from before or during a create can be told from one that came after it.
        waiting: How many wait for the lock.
        looked: When its holder last asked for the group, on the event loop's clock.
        group: The group that the last create under this lock ended with; None if there is none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.creates = 0
        self.group: ExperienceGroup | None = None
        self._group_since = -math.inf
        self._doubt_until = -math.inf
        self.waiting: int = 0
        self.looked: float = -math.inf

    async def take(self, permit: Permit) -> float:
        """Wait until nobody else in this client creates the group; `release` lets others have it.

        Never wait for a lock while holding a permit: the lock's holder may need one. The permit is given up meanwhile.

        Returns the seconds in which an earlier, lost write may still land; 0 if none can.
        """
        if self.waiting or self.locked():
            permit.give_up()
            self.waiting += 1
            try:
                await permit.deadline.wait_for_turn(self.acquire(), "another create of the same group")
            finally:
                self.waiting -= 1
            try:
                await permit.take()
            except BaseException:
                self.release()
                raise
        else:
            await self.acquire()
        return max(0.0, self._doubt_until - asyncio.get_running_loop().time())

    def settle(self, group: ExperienceGroup, *, remembered: float = 0.0) -> None:
        """Note which group there is, for whoever waits for the lock, and for so many seconds beyond that."""
        self.group, self._group_since = group, asyncio.get_running_loop().time()
        if remembered:
            self._keep(remembered)

    def group_since(self, seconds: float) -> ExperienceGroup | None:
        """Return the group that a create ended with no longer than so many seconds ago; None if none did."""
        return self.group if asyncio.get_running_loop().time() - self._group_since <= seconds else None

    def doubt(self, seconds: float) -> None:
        """Note that a write whose response was lost may land within so many seconds."""
        self._doubt_until = asyncio.get_running_loop().time() + seconds
        self._keep(seconds)

    def _keep(self, seconds: float) -> None:
        # The timer keeps the lock alive until then, even if no task holds it.
        asyncio.get_running_loop().call_later(seconds, lambda _lock: None, self)


class KeyLocks:
    """The locks of one client, by key. A lock is discarded once nothing refers to it."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[Hashable, KeyLock] = weakref.WeakValueDictionary()

    def __getitem__(self, key: Hashable) -> KeyLock:
        return self._locks.setdefault(key, KeyLock())

    def __len__(self) -> int:
        return len(self._locks)
