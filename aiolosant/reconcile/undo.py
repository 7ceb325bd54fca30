"""The way back: a plan that undoes what an apply has done, as its journal tells."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from .._forest import Forest
from .._tree import GroupTree
from ..groups import ExperienceGroups, parts_of
from ..identity import ById
from ..models import ExperienceGroup, NewExperienceGroup, camel, comparable, differing, normal_id, unfulfilled
from .change import Change, shown_path
from .deleting import delete_of
from .history import History, Known
from .make_plan import ReadAll, read_all_groups
from .plan import Plan
from .planner import compare
from .record import Record
from .runs import Run, check_application, read_runs
from .warnings import PlanWarning

_FIELDS = tuple(field.name for field in attrs.fields(NewExperienceGroup) if field.name != "parent_id")


async def undo(
    groups: ExperienceGroups, journal: str | os.PathLike[str], *, read_all: ReadAll = read_all_groups
) -> Plan:
    """Plan the way back from what was applied with a journal. Reads only; `apply` carries the plan out.

    Groups that were created are deleted, those that were changed get their old values back, and those that were deleted
    come back with members, tags and children, but under new ids. What others have touched since is left, and told in
    the plan's `warnings`. Where a kill left it unknown whether a write happened, the live groups tell. Groups go by
    their ids alone, whatever they are called.

    Args:
        groups: The groups of the application.
        journal: The folder that `apply(journal=)` wrote to; all its runs are undone. If the undo is applied with a
            journal, that needs a folder of its own.
        read_all: Reads the live groups; for a caller who shows the progress of it.

    Raises:
        PlanError: The folder holds no journal, or that of another application.
        OSError: It cannot be read.
        LosantError: Reading failed.
    """
    endpoint, _ = parts_of(groups)
    runs = read_runs(Path(journal))
    for run in runs:
        check_application(journal, run.application_id, endpoint.application_id)
    return undone(runs, await read_all(groups), application_id=endpoint.application_id)


def undone(runs: Sequence[Run], live: Sequence[ExperienceGroup], *, application_id: str | None) -> Plan:
    """Return the plan that undoes some runs, given all live groups."""
    undoing = _Undoing(runs, live)
    records = [*undoing.returned(), *undoing.restored()]
    plan = compare(records, live, match_by=ById(or_name=False), application_id=application_id)
    changes = (*_told_apart(plan.changes, live), *undoing.deletes(records))
    # What looks odd in the old state is no concern of its undo.
    return attrs.evolve(plan, changes=changes, warnings=tuple(undoing.warnings))


class _Undoing:
    """What has to be undone.

    Attributes:
        warnings: What is left, because others have touched it.
    """

    def __init__(self, runs: Sequence[Run], live: Sequence[ExperienceGroup]) -> None:
        self.warnings: list[PlanWarning] = []
        self._tree = GroupTree(live)
        self._live = self._tree.by_id
        self._history = History(runs, self._live)
        self._again: dict[str, str] = {}  # the live id of each deleted group that is there again
        self._returning: set[str] = set()
        for group in self._history.suspects:
            self._left(
                group, "it was perhaps made by a create that was cut off, and is not what that one sent: it is left"
            )

    def returned(self) -> Iterator[Record]:
        """Yield the groups that were deleted, but for those that an earlier undo has brought back."""
        gone = {
            group_id: known.first
            for group_id, known in self._history.known.items()
            if known.first is not None and known.last is None and group_id not in self._live
        }
        names: dict[tuple[str | None, str], list[ExperienceGroup]] = {}
        for group_id, group in self._live.items():
            if group_id not in self._history.known:
                names.setdefault((normal_id(group.parent_id), group.name), []).append(group)
        origin = self._history.origin
        for group_id in Forest({one: origin.get(one) for one in gone}).parents_first():
            first = gone[group_id]
            fields = {name: getattr(first, name) for name in _FIELDS if getattr(first, name)}
            parent = self._place(origin.get(group_id), f"the deleted {shown_path([first.name])}")
            same = names.get((self._again.get(parent or "", parent), first.name), [])
            there = next((group for group in same if not unfulfilled(group, fields)), None)
            if there is not None:
                same.remove(there)
                self._again[group_id] = there.id.lower()
                continue
            self._returning.add(group_id)
            yield Record(fields, group_id, parent, f"the deleted {shown_path([first.name])}")

    def restored(self) -> Iterator[Record]:
        """Yield what live groups should be again."""
        for group_id, known in self._history.known.items():
            if known.first is None or known.last is None:
                continue
            group = self._live.get(group_id)
            if group is None:
                message = (
                    f"{shown_path([known.last.name])} ({group_id}): somebody has deleted it since, which is left so"
                )
                self.warnings.append(PlanWarning("undo", message, "", (group_id,)))
                continue
            fields = dict(self._old_values(group, known))
            yield from self._record(group, fields)
        for group_id in self._history.orphans():
            if group_id in self._live:
                yield from self._record(self._live[group_id], {})

    def _record(self, group: ExperienceGroup, fields: dict[str, Any]) -> Iterator[Record]:
        """Yield the record of a live group, if anything is to be changed."""
        group_id, history = group.id.lower(), self._history
        origin, expected = history.origin[group_id], history.parent.get(group_id, history.origin[group_id])
        origin = self._again.get(origin or "", origin)  # an earlier undo may have put it back already
        now, moves, parent = normal_id(group.parent_id), False, None
        where = shown_path(self._tree.path(group_id))
        if origin not in (expected, now):
            if now != expected:
                self._left(group, "somebody has moved it since, which is left as it is")
            else:
                parent = self._place(origin, where)
                moves = parent is not None or origin is None
        if moves or fields:
            yield Record({"name": group.name, **fields}, group.id, parent, where, keeps_parent=not moves)

    def _old_values(self, group: ExperienceGroup, known: Known) -> Iterator[tuple[str, Any]]:
        """Yield the fields that have to get their old values back."""
        for name in sorted(known.changed - {"parent_id"}):
            now, after, before = (comparable(name, getattr(one, name)) for one in (group, known.last, known.first))
            if now in (before, after):
                if now != before:
                    value = getattr(known.first, name)
                    yield name, "" if name == "description" and value is None else value  # Losant takes no null there
            else:
                self._left(group, f"somebody has changed its {camel(name)} since, which is left as it is")

    def _place(self, parent: str | None, whose: str) -> str | None:
        """Return the id of a parent that is there, or comes back; None, which is told, for one that others deleted."""
        if parent is None or parent in self._live or parent in self._returning:
            return parent
        if parent in self._again:
            return self._again[parent]
        message = f"{whose}: the group that was above it ({parent}) is gone, so that it cannot go back there"
        self.warnings.append(PlanWarning("undo", message, "", (parent,)))
        return None

    def deletes(self, records: Sequence[Record]) -> list[Change]:
        """Return the deletes of what was made, children first; what others use is left."""
        moved = {normal_id(record.id): normal_id(record.parent_id) for record in records if not record.keeps_parent}
        made: set[str] = set()
        for group_id, known in self._history.known.items():
            group = self._live.get(group_id)
            if known.first is not None or known.last is None or group is None:
                continue
            if names := differing(group, known.last):
                self._left(
                    group, f"it was made, and somebody has changed its {', '.join(map(camel, names))} since: it is left"
                )
            else:
                made.add(group_id)
        changes: list[Change] = []
        for group_id in reversed([one for one in self._tree.parents_first() if one in made]):
            group = self._live[group_id]
            below = (child for child in self._tree.children(group_id) if moved.get(child, group_id) == group_id)
            if any(child not in made for child in below):
                self._left(group, "it was made, and there is a group below that stays: it is left")
                made.discard(group_id)
                continue
            changes.append(delete_of(self._tree, group_id))
        return changes

    def _left(self, group: ExperienceGroup, why: str) -> None:
        self.warnings.append(PlanWarning("undo", f"{shown_path([group.name])} ({group.id}): {why}", "", (group.id,)))


def _told_apart(changes: Sequence[Change], live: Sequence[ExperienceGroup]) -> Iterator[Change]:
    """Yield the changes; mark as not alone each create that shares parent and name with another group.

    `apply` does not look these up by name.
    """
    names: Counter[tuple[object, str]] = Counter((normal_id(group.parent_id), group.name) for group in live)
    # Where those that go back will be counts as well: they may be there by the time that a create is looked up.
    names.update((_parent_of(change), change.path[-1]) for change in changes if change.action != "delete")
    for change in changes:
        is_alone = change.action != "create" or names[_parent_of(change), change.path[-1]] == 1
        yield change if is_alone else attrs.evolve(change, is_alone=False)


def _parent_of(change: Change) -> object:
    if change.parent is not None:
        return change.parent
    if change.current is not None and "parent_id" not in change.fields:  # it stays where it is
        return normal_id(change.current.parent_id)
    return normal_id(change.fields.get("parent_id"))
