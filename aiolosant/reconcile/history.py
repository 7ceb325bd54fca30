"""What became of each group in the runs of a journal, told in the journal's order. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from datetime import timedelta

import attrs

from ..identity import Identity, without_id
from ..models import ExperienceGroup, normal_id, unfulfilled
from .runs import Entry, Run

# Clocks and the time until a request arrives: a group that is older was not made by it.
_MARGIN = timedelta(seconds=2)


@attrs.define
class Known:
    """One group that a journal tells of.

    Attributes:
        first: The group before the first change; None for one that was made.
        last: The group as the last change left it; None for one that was deleted.
        changed: The fields that were changed.
    """

    first: ExperienceGroup | None
    last: ExperienceGroup | None
    changed: set[str] = attrs.field(factory=set)


class History:
    """The groups of a journal.

    Whether a write happened whose outcome nobody wrote down is told by what is live, and by what later changes found.

    Args:
        runs: The runs, oldest first.
        live: All live groups, by their ids in lower case.

    Attributes:
        known: The groups that were changed, by their ids in lower case.
        origin: The parent that each had before, also of those that went up when the one above them was deleted.
        parent: The parent that each has, if nobody else has moved it.
        suspects: Groups that were perhaps made by a create whose outcome is unknown, and that somebody has changed.
    """

    def __init__(self, runs: Sequence[Run], live: dict[str, ExperienceGroup]) -> None:
        self.known: dict[str, Known] = {}
        self.origin: dict[str, str | None] = {}
        self.parent: dict[str, str | None] = {}
        self.suspects: list[ExperienceGroup] = []
        self._live = live
        self._seen = [entry.before for run in runs for entry in run.entries if entry.before is not None]
        self._by_key: dict[Identity, dict[Hashable, list[ExperienceGroup]]] = {}
        for run in runs:
            for entry in run.entries:
                if entry.status in (None, "unknown", "done"):
                    self._note(run, entry)

    def _note(self, run: Run, entry: Entry) -> None:
        if entry.action == "create":
            made = entry.group or self._made_in_doubt(run, entry)
            if made is not None:
                self.known[made.id.lower()] = Known(None, made)
                self.parent[made.id.lower()] = normal_id(made.parent_id)
            return
        before = entry.before
        if before is None:
            return
        group_id, parent = before.id.lower(), normal_id(before.parent_id)
        known = self.known.setdefault(group_id, Known(before, before))
        self.origin.setdefault(group_id, parent)
        if entry.action == "update":
            known.changed |= set(entry.fields)
            known.last = entry.group or attrs.evolve(before, **entry.fields)
            self.parent[group_id] = normal_id(known.last.parent_id)
        elif entry.status != "done" and group_id in self._live:  # it did not happen
            known.last = before
        else:
            known.last = None
            below = {one.lower() for one in entry.orphans} | {one for one, up in self.parent.items() if up == group_id}
            for orphan in below:
                self.origin.setdefault(orphan, group_id)
                self.parent[orphan] = parent

    def _made_in_doubt(self, run: Run, entry: Entry) -> ExperienceGroup | None:
        """Return the group that a create has made whose outcome nobody wrote down; None if it made none."""
        identity = without_id(run.match_by)
        key = identity.key_of_fields(entry.fields)
        wanted = {"parent_id": None, **entry.fields}
        found = [
            group
            for group in self._with_key(identity).get(key, ())
            if group.id.lower() not in self.known
            and (group.creation_date is None or group.creation_date >= entry.at - _MARGIN)
        ]
        exact = [group for group in found if not unfulfilled(group, wanted)]
        if exact:
            return exact[0]
        self.suspects += [group for group in found if group.id.lower() in self._live]
        return None

    def _with_key(self, identity: Identity) -> dict[Hashable, list[ExperienceGroup]]:
        if identity not in self._by_key:
            by_key: dict[Hashable, list[ExperienceGroup]] = defaultdict(list)
            for group in (*self._seen, *self._live.values()):  # as it was first seen, before others changed it
                by_key[identity.key_of(group)].append(group)
            self._by_key[identity] = by_key
        return self._by_key[identity]

    def orphans(self) -> Iterator[str]:
        """Yield the ids of the groups that went up and were not changed otherwise."""
        return (group_id for group_id in self.origin if group_id not in self.known)
