"""The way back: a plan that undoes what an apply has done, as its journal tells."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from .._forest import Forest
from ..groups import ExperienceGroups, parts_of
from ..identity import by_id, without_id
from ..models import ExperienceGroup, NewExperienceGroup, comparable, differing, normal_id, unfulfilled
from .change import Change, shown_path
from .journal import Entry, Run, check_application, read_runs
from .make_plan import ReadAll, read_all_groups
from .plan import Plan
from .planner import compare
from .record import Record
from .warnings import PlanWarning

_FIELDS = tuple(field.name for field in attrs.fields(NewExperienceGroup) if field.name != "parent_id")


async def undo(
    groups: ExperienceGroups, journal: str | os.PathLike[str], *, read_all: ReadAll = read_all_groups
) -> Plan:
    """Plan the way back from what was applied with a journal. Reads only; `apply` carries the plan out.

    Groups that were created are deleted, those that were changed get their old values back, and those that were deleted
    come back with members, tags and children, but under new ids. What others have touched since is left, and told in
    the plan's `warnings`. Where a kill left it unknown whether a write happened, the live groups tell.

    Args:
        groups: The groups of the application.
        journal: The folder that `apply(journal=)` wrote to; all its runs are undone.
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
    return _Undoing(runs, live).plan(live, application_id)


class _Undoing:
    """What has to be undone.

    Attributes:
        first: Each group as it was before the first change; None for one that was made.
        last: Each group as it was left by the last change; None for one that was deleted.
        changed: Which fields of each were changed.
        orphans: The id of the deleted parent of each group that lost it.
    """

    def __init__(self, runs: Sequence[Run], live: Sequence[ExperienceGroup]) -> None:
        self.live = {group.id.lower(): group for group in live}
        self.forest = Forest({group_id: normal_id(group.parent_id) for group_id, group in self.live.items()})
        self.first: dict[str, ExperienceGroup | None] = {}
        self.last: dict[str, ExperienceGroup | None] = {}
        self.changed: dict[str, set[str]] = defaultdict(set)
        self.orphans: dict[str, str] = {}
        self.warnings: list[PlanWarning] = []
        for run in runs:
            for entry in run.entries:
                self._note(entry)
        for run in runs:  # when all that is known is known
            for entry in run.entries:
                if entry.action == "create" and entry.status in (None, "unknown"):
                    self._note_doubtful_create(run, entry)

    def plan(self, live: Sequence[ExperienceGroup], application_id: str | None) -> Plan:
        """Return the plan."""
        records = [*self._restored(), *self._returned()]
        plan = compare(records, live, match_by=by_id(), application_id=application_id)
        deletes = self._deletes({normal_id(record.id): normal_id(record.parent_id) for record in records})
        warnings = (*plan.warnings, *self.warnings)
        return attrs.evolve(plan, changes=(*plan.changes, *deletes), warnings=warnings)

    def _note(self, entry: Entry) -> None:
        if entry.status not in (None, "unknown", "done"):
            return
        if entry.action == "create":
            if entry.group is not None:
                self.first.setdefault(entry.group.id.lower(), None)
                self.last[entry.group.id.lower()] = entry.group
        elif entry.before is not None:
            group_id = entry.before.id.lower()
            self.first.setdefault(group_id, entry.before)
            if entry.action == "delete":
                self.last[group_id] = None
                self.orphans |= dict.fromkeys(map(str.lower, entry.orphans), group_id)
            else:
                self.changed[group_id] |= set(entry.fields)
                self.last[group_id] = entry.group or attrs.evolve(entry.before, **entry.fields)

    def _note_doubtful_create(self, run: Run, entry: Entry) -> None:
        """Find out whether a create happened whose outcome nobody wrote down: a group has exactly what was sent."""
        identity = without_id(run.match_by)
        key = identity.key_of_fields(entry.fields)
        wanted = {"parent_id": None, **entry.fields}
        for group_id, group in self.live.items():
            is_it = identity.key_of(group) == key and not unfulfilled(group, wanted)
            is_new = group.creation_date is None or group.creation_date.timestamp() > run.started.timestamp() - 3600
            if is_it and is_new and group_id not in self.first:
                self.first[group_id], self.last[group_id] = None, group

    def _restored(self) -> Iterator[Record]:
        """Yield what live groups should be again."""
        for group_id, group in self.live.items():
            before, after = self.first.get(group_id), self.last.get(group_id)
            fields: dict[str, Any] = {"name": group.name}
            parent_id, moves = None, False
            if before is not None and after is not None:
                for name in sorted(self.changed[group_id]):
                    now, then, was = (comparable(name, getattr(one, name)) for one in (group, before, after))
                    if now == then:
                        continue
                    if now != was:
                        self._left(group, f"somebody has changed its {name} since, which is left as it is")
                    elif name == "parent_id":
                        parent_id, moves = before.parent_id, True
                    else:
                        fields[name] = _settable(name, getattr(before, name))
            if group_id in self.orphans and not moves:
                parent_id, moves = self._parent_before(group), True
                if parent_id is None:
                    continue
            if moves or len(fields) > 1 or fields["name"] != group.name:
                where = shown_path([self.live[step].name for step in self.forest.path(group_id)])
                yield Record(fields, group.id, self._known(parent_id), where, keeps_parent=not moves)

    def _parent_before(self, orphan: ExperienceGroup) -> str | None:
        """Return the deleted parent of a group that went up when it was deleted; None if it is to be left."""
        deleted = self.orphans[orphan.id.lower()]
        if deleted in self.live:  # it was not deleted after all
            return None
        step: str | None = deleted
        while step is not None and step not in self.live:
            before = self.first.get(step)
            step = normal_id(before.parent_id) if before is not None else None
        if normal_id(orphan.parent_id) != step:
            self._left(orphan, "somebody has moved it since, which is left as it is")
            return None
        return deleted

    def _returned(self) -> Iterator[Record]:
        """Yield the groups that were deleted."""
        names = {(normal_id(group.parent_id), group.name): group for group in self.live.values()}
        for group_id, before in self.first.items():
            if before is None or self.last[group_id] is not None or group_id in self.live:
                continue
            there = names.get((normal_id(before.parent_id), before.name))
            if there is not None and there.id.lower() not in self.first:
                self._left(there, "it was deleted, and is there again under this id, which is left as it is")
            fields = {name: _settable(name, getattr(before, name)) for name in _FIELDS if getattr(before, name)}
            yield Record(fields, group_id, self._known(before.parent_id), f"the deleted {shown_path([before.name])}")

    def _known(self, parent_id: str | None) -> str | None:
        """Return a parent that is there, or comes back; None for one that somebody else has deleted."""
        parent = normal_id(parent_id)
        comes_back = parent in self.first and self.first[parent] is not None and self.last[parent] is None
        return parent_id if parent in self.live or comes_back else None

    def _deletes(self, moved: dict[str | None, str | None]) -> list[Change]:
        """Return the deletes of what was made, children first; what others use is left."""
        made = {group_id for group_id, before in self.first.items() if before is None and group_id in self.live}
        for group_id in tuple(made):
            after = self.last[group_id]
            group = self.live[group_id]
            if after is not None and (names := differing(group, after)):
                self._left(group, f"it was made, and somebody has changed its {', '.join(names)} since: it is left")
                made.discard(group_id)
        order = [group_id for group_id in self.forest.parents_first() if group_id in made]
        changes: list[Change] = []
        for group_id in reversed(order):
            final = {child: moved.get(child, group_id) for child in self.forest.children(group_id)}
            if any(parent == group_id and child not in made for child, parent in final.items()):
                self._left(
                    self.live[group_id], "it was made, and there is a group of somebody else's below: it is left"
                )
                made.discard(group_id)
                continue
            path = tuple(self.live[step].name for step in self.forest.path(group_id))
            group = self.live[group_id]
            changes.append(Change("delete", path, group.id, {}, current=group, old_path=path))
        return changes

    def _left(self, group: ExperienceGroup, why: str) -> None:
        self.warnings.append(PlanWarning("undo", f"{shown_path([group.name])} ({group.id}): {why}", "", (group.id,)))


def _settable(name: str, value: Any) -> Any:
    return "" if name == "description" and value is None else value  # Losant takes no null there
