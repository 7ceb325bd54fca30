"""Forests: whose parent is whose, parents first, paths from the root down, and cycles. Knows keys, not groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")


class Forest(Generic[K]):
    """Nodes by key, each with the key of its parent.

    Nothing here is recursive: a chain may be as long as memory allows.

    Args:
        parents: The key of each node's parent; None, or a key that is no node's, for a root.
    """

    def __init__(self, parents: Mapping[K, K | None]) -> None:
        self._parents = parents
        self._children: dict[K, list[K]] = {}
        self.roots: list[K] = []
        for key, parent in parents.items():
            if parent is None or parent not in parents:
                self.roots.append(key)
            else:
                self._children.setdefault(parent, []).append(key)

    def children(self, key: K) -> list[K]:
        """The keys of a node's children, in the order in which they were given."""
        return self._children.get(key, [])

    def parents_first(self) -> Iterator[K]:
        """Every node behind its parent, level by level; without those that are on or below a cycle."""
        level = self.roots
        while level:
            yield from level
            level = [child for key in level for child in self.children(key)]

    def path(self, key: K) -> list[K]:
        """The keys from the root down to a node, which must not be on or below a cycle."""
        path = []
        step: K | None = key
        while step is not None and step in self._parents:
            path.append(step)
            step = self._parents[step]
        return path[::-1]

    def cycles(self) -> list[list[K]]:
        """The nodes of each cycle, every one the child of the one before it."""
        left = set(self._parents) - set(self.parents_first())
        cycles = []
        for key in self._parents:  # not of the set, whose order is no order
            trail: list[K] = []
            step = key
            while step in left:
                left.discard(step)
                trail.append(step)
                step = self._parents[step]  # type: ignore[assignment]  # what is on or below a cycle has a parent
            if step in trail:
                cycles.append(trail[trail.index(step) :][::-1])
        return cycles
