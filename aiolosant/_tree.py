"""Groups as the trees that they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ._forest import Forest
from .models import ExperienceGroup, normal_id


class GroupTree:
    """All groups of an application, by their ids in lower case.

    Args:
        groups: The groups, in any order.

    Attributes:
        by_id: The groups.
    """

    def __init__(self, groups: Iterable[ExperienceGroup]) -> None:
        self.by_id: dict[str, ExperienceGroup] = {group.id.lower(): group for group in groups}
        self._forest = Forest({group_id: normal_id(group.parent_id) for group_id, group in self.by_id.items()})

    def path(self, group_id: str) -> tuple[str, ...]:
        """Return the names from the root down to a group."""
        return tuple(self.by_id[step].name for step in self._forest.path(group_id))

    def children(self, group_id: str) -> list[str]:
        """Return the ids of a group's children."""
        return self._forest.children(group_id)

    def parents_first(self) -> Iterator[str]:
        """Return the ids of all groups, each behind its parent's."""
        return self._forest.parents_first()

    def below(self, group_id: str) -> dict[str, ExperienceGroup]:
        """Return all groups below one."""
        below, todo = {}, list(self.children(group_id))
        while todo:
            step = todo.pop()
            below[step] = self.by_id[step]
            todo += self.children(step)
        return below
