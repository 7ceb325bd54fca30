"""Which change of a plan may happen when: pure bookkeeping of what waits for what."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence

import attrs

from ..models import normal_id
from .change import Change


@attrs.frozen
class Step:
    """A change that is ready.

    Attributes:
        index: Where it stands in the plan.
        change: The change.
        obstacle: Why it must not happen after all; None if it may.
    """

    index: int
    change: Change
    obstacle: str | None


class Schedule:
    """Hands out each change as soon as what it needs has ended, one way or the other.

    A create or a move needs what is above it to be in place. A delete needs the deletes below it, because what still
    hangs below a deleted group moves up, and that all else has gone well. Of those that are ready the one with the
    longest chain behind it comes first: whatever waits longest for others should not wait for its turn as well.

    Attributes:
        left: How many have not been handed out.
    """

    def __init__(self, changes: Sequence[Change]) -> None:
        self.left: int = len(changes)
        self._ready: list[tuple[int, int]] = []  # a heap
        self._changes = changes
        self._missing = [0] * len(changes)
        self._dependents: dict[int, list[int]] = defaultdict(list)
        self._obstacles: dict[int, str] = {}
        self._obstacle_to_deletes: str | None = None
        deletes = {
            normal_id(change.group_id): index for index, change in enumerate(changes) if change.action == "delete"
        }
        self._deletes = tuple(deletes.values())
        self._others_left = len(changes) - len(deletes)
        for index, change in enumerate(changes):
            if change.depends_on is not None:
                self._wait(index, change.depends_on)
            elif change.action == "delete":
                self._missing[index] += 1  # everything but deletes
                above = normal_id(change.current.parent_id) if change.current else None
                if above in deletes:
                    self._wait(deletes[above], index)
        self._chains = [0] * len(changes)  # how many must follow one another behind each
        for index in reversed(range(len(changes))):
            self._chains[index] = max((self._chains[other] + 1 for other in self._dependents[index]), default=0)
        for index, change in enumerate(changes):
            if change.action != "delete":
                self._look_at(index)
        if not self._others_left:
            self._release_deletes()

    def next(self) -> Step | None:
        """The change to do next; None while none is ready."""
        if not self._ready:
            return None
        _, index = heapq.heappop(self._ready)
        self.left -= 1
        change, obstacle = self._changes[index], self._obstacles.get(index)
        if change.action == "delete":
            obstacle = self._obstacle_to_deletes or obstacle
        return Step(index, change, obstacle)

    def urgency(self, index: int) -> int:
        """Return how urgent a change is; the smallest number comes first."""
        return -self._chains[index]

    def by_urgency(self) -> list[int]:
        """The indexes of all changes, those with the longest chains behind them first."""
        return sorted(range(len(self._changes)), key=lambda index: (self.urgency(index), index))

    def ended(self, index: int, *, ok: bool) -> None:
        """Note that a change has ended, and whether all is as it wanted."""
        change = self._changes[index]
        name = " / ".join(change.path)
        for dependent in self._dependents.pop(index, ()):
            if not ok:
                self._obstacles.setdefault(dependent, f"{name} comes first, and that did not go well")
            self._missing[dependent] -= 1
            self._look_at(dependent)
        if change.action == "delete":
            return
        if not ok and self._obstacle_to_deletes is None:
            self._obstacle_to_deletes = f"nothing is deleted unless all else goes well, unlike {name}"
        self._others_left -= 1
        if not self._others_left:
            self._release_deletes()

    def _wait(self, index: int, other: int) -> None:
        self._missing[index] += 1
        self._dependents[other].append(index)

    def _release_deletes(self) -> None:
        for index in self._deletes:
            self._missing[index] -= 1
            self._look_at(index)

    def _look_at(self, index: int) -> None:
        if not self._missing[index]:
            heapq.heappush(self._ready, (self.urgency(index), index))
