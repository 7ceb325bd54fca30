"""Locks by key: which unique groups one client is creating now, and for which of them a lost write may still land."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Hashable

from .workers import Permit


class KeyLock(asyncio.Lock):
    """The lock for creating the group with one key.

    Attributes:
        creates: How often the group was sent under this lock. Whoever holds the lock counts it just before the release,
            so that a lookup from before or during a create can be told from one that came after it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.creates = 0
        self._doubt_until = -math.inf
        self._waiting = 0

    async def take(self, permit: Permit) -> float:
        """Wait until nobody else in this client creates the group; `release` lets others have it.

        Never wait for a lock while holding a permit: the lock's holder may need one. The permit is given up meanwhile.

        Returns the seconds in which an earlier, lost write may still land; 0 if none can.
        """
        if self._waiting or self.locked():
            permit.give_up()
            self._waiting += 1
            try:
                await permit.deadline.wait_for_turn(self.acquire(), "another create of the same group")
            finally:
                self._waiting -= 1
            try:
                await permit.take()
            except BaseException:
                self.release()
                raise
        else:
            await self.acquire()
        return max(0.0, self._doubt_until - asyncio.get_running_loop().time())

    def doubt(self, seconds: float) -> None:
        """Note that a write whose response was lost may land within so many seconds."""
        loop = asyncio.get_running_loop()
        self._doubt_until = loop.time() + seconds
        # The timer keeps the lock alive until then, even if no task holds it.
        loop.call_later(seconds, lambda _lock: None, self)


class KeyLocks:
    """The locks of one client, by key. A lock is discarded once nothing refers to it."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[Hashable, KeyLock] = weakref.WeakValueDictionary()

    def __getitem__(self, key: Hashable) -> KeyLock:
        return self._locks.setdefault(key, KeyLock())

    def __len__(self) -> int:
        return len(self._locks)
