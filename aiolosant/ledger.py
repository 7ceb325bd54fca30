"""Which unique groups one client is creating now, and for which of them a lost write may still land."""

from __future__ import annotations

import asyncio
import itertools
import math
import weakref
from collections.abc import Hashable


class Ledger:
    """Keys whose group is being created, and keys in doubt: a write was sent, and nobody knows what became of it."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[Hashable, asyncio.Lock] = weakref.WeakValueDictionary()
        self._in_doubt: dict[Hashable, float] = {}  # until when, the oldest first

    def lock(self, key: Hashable) -> asyncio.Lock:
        """What whoever creates the group with a key holds meanwhile; gone when nobody does."""
        return self._locks.setdefault(key, asyncio.Lock())

    def doubt(self, key: Hashable, seconds: float) -> None:
        """Note that a write may land within so many seconds, and forget what can land no more."""
        now = asyncio.get_running_loop().time()
        self._in_doubt.pop(key, None)
        self._in_doubt[key] = now + seconds
        for past in list(itertools.takewhile(lambda other: self._in_doubt[other] < now, self._in_doubt)):
            del self._in_doubt[past]

    def doubtful_for(self, key: Hashable) -> float:
        """Seconds in which a write may still land; 0 if none can."""
        return max(0.0, self._in_doubt.get(key, -math.inf) - asyncio.get_running_loop().time())
