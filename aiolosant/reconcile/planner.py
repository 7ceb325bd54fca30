"""The pure heart of reconciling: records and live groups in, a plan out, or every problem at once.

The order of the plan keeps the tree a tree at each step. Creates and moves come parents first: a group moves below
another only when that one, and all above it, are where they will stay. Deletes come last, children first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import attrs

from .._forest import Forest
from .._tree import GroupTree
from ..errors import PlanError
from ..identity import ById, ByTag, MatchBy, without_id
from ..models import ExperienceGroup, comparable, normal_id
from .change import Change
from .deleting import delete_of
from .hints import MOST_HINTS, hint_for_parent, hint_for_tag
from .plan import Plan
from .record import Record
from .wanted import differing_fields
from .warnings import (
    PlanWarning,
    empty_cells,
    ids_of_live_groups,
    look_alikes,
    nowhere,
    odd_names,
    renames,
    spoiled_values,
    twins,
)

_ANYWHERE = object()  # below any parent

Node = str | int
"""A live group, by its id; or the place of a record that has none yet."""


def compare(
    records: Sequence[Record],
    live: Sequence[ExperienceGroup],
    *,
    match_by: MatchBy,
    prune: bool = False,
    under: str | None = None,
    application_id: str | None = None,
) -> Plan:
    """The changes that make what is live what the records want.

    Args:
        records: What should be; in any order.
        live: All groups of the application.
        match_by: Which live group a record is.
        prune: Whether to delete groups that no record is (under `by_tag` only those that carry the tag), except for
            those that a record names as its parent, and their ancestors.
        under: The id of a live group: only what is below it is looked at, changed and deleted, and a record without a
            parent goes right below it. None for the whole application.
        application_id: Whose groups they are.

    Raises:
        PlanError: The records contradict each other or the live groups.
    """
    check_prune(records, prune=prune)
    comparison = _Comparison(records, live, match_by, under)
    comparison.link()
    comparison.match()
    comparison.check_tree()
    changes, unchanged = comparison.changes()
    if prune:
        changes += comparison.deletes()
    return Plan(
        tuple(changes),
        unchanged,
        match_by,
        matched=comparison.matched(),
        warnings=tuple(comparison.warnings(changes)),
        live=len(comparison.live),
        application_id=application_id,
    )


def check_prune(records: Sequence[Record], *, prune: bool) -> None:
    """Refuse to delete everything, which needs no look at what is live.

    Raises:
        PlanError: There are no records, and what no record wants shall be deleted.
    """
    if prune and not records:
        raise PlanError.of(["there are no records: prune would delete every group"])


class _Comparison:
    def __init__(
        self, records: Sequence[Record], live: Sequence[ExperienceGroup], match_by: MatchBy, under: str | None
    ) -> None:
        self.records = records
        self.tree = GroupTree(live)
        self.all_live = self.tree.by_id
        self.top = normal_id(under)
        self.live = self._below(self.top)
        self.match_by = match_by
        self.identity = without_id(match_by)
        self.problems: list[str] = []
        self.parents: dict[int, Node | None] = {}  # of a record: another's place, a live group's id, or None
        self.named: set[str] = set()  # live groups that records name as their parents without having them
        self.forest: Forest[Any] = Forest({})
        self.nodes: dict[int, Node] = {}
        self.adopted: set[int] = set()
        self.wanted: dict[str, int] = {}  # the record of each live group that has one
        self.final: dict[Node, Node | None] = {}  # the parent that each group will have

    def _below(self, top: str | None) -> dict[str, ExperienceGroup]:
        """Return the live groups below one; all of them for None."""
        if top is None:
            return self.all_live
        if top not in self.all_live:
            raise PlanError.of([f"under: there is no live group {top}"])
        return self.tree.below(top)

    def link(self) -> None:
        """Find each record's parent."""
        places: dict[str, int] = {}
        for n, record in enumerate(self.records):
            if record.id is None:
                continue
            if record.id in places:
                self._complain(n, f"has the id {record.id!r}, as {self._place(places[record.id])} has")
            places.setdefault(record.id, n)
        for n, record in enumerate(self.records):
            parent_id = record.parent_id
            if parent_id is None:
                self.parents[n] = self.top
            elif parent_id in places:
                self.parents[n] = places[parent_id]
            elif parent_id.lower() == self.top:
                self.parents[n] = self.top
            elif parent_id.lower() in self.live:
                self.parents[n] = parent_id.lower()
                self.named.add(parent_id.lower())
            elif parent_id.lower() in self.all_live:
                self._complain(n, f"has the parentId {parent_id!r}, a live group that is not below {self.top}")
            else:
                hint = ""
                if len(self.problems) < MOST_HINTS:
                    hint = hint_for_parent(parent_id, places, [*self.records[:n], *self.records[n + 1 :]])
                self._complain(n, f"has the parentId {parent_id!r}, which is no record's id and no live group's{hint}")
        self.forest = Forest(self.parents)
        for cycle in self.forest.cycles():
            self._complain(cycle[0], f"is its own ancestor: {', '.join(self._place(n) for n in cycle)}")
        self._raise_problems()

    def match(self) -> None:
        """Find each record's live group, parents first."""
        by_key: dict[Hashable, list[ExperienceGroup]] = defaultdict(list)
        for group in self.live.values():
            by_key[self.identity.key_of(group)].append(group)
        if isinstance(self.match_by, ById):
            for n, record in enumerate(self.records):
                if record.id is not None and record.id.lower() in self.live:
                    self._claim(n, record.id.lower())
                elif record.id is not None and record.id.lower() in self.all_live:
                    self._complain(n, f"is the live group {record.id}, which is not below {self.top}")
        by_id = list(self.nodes)
        keys: dict[Hashable, int] = {}
        untagged = self._untagged()
        elsewhere = {
            self.identity.key_of(group) for group in self.all_live.values() if group.id.lower() not in self.live
        }
        for n in self.forest.parents_first():
            if n in self.nodes:
                continue
            self.nodes[n] = n
            if isinstance(self.match_by, ById) and not self.match_by.or_name:
                continue
            key = self._record_key(n)
            if key is None:
                continue
            if key in keys:
                self._complain(n, f"is the same group as {self._place(keys[key])}: the {self._describe(key)}")
                continue
            keys[key] = n
            found = by_key.get(key, [])
            if len(found) > 1:
                several = f"is one of {len(found)} groups with the {self._describe(key)}: {_ids(found)}"
                self._complain(n, f"{several}; leave one of them, or undo the run that made the others")
            elif found:
                self._claim(n, found[0].id.lower())
            elif isinstance(self.identity, ByTag) and key in elsewhere:
                self._complain(n, f"is a live group that is not below {self.top}: the {self._describe(key)}")
            elif candidates := untagged.get((self._adopted_below(n), self.records[n].name), ()):
                self._adopt(n, candidates)
        # A record that is matched by id must not share its final parent and name with another record, or the next plan
        # could not tell them apart.
        for n in by_id:
            if (other := keys.get(key := self._record_key(n))) is not None and self.nodes[other] != self.nodes[n]:
                self._complain(other, f"is the same group as {self._place(n)}: the {self._describe(key)}")
        self._raise_problems()

    def _untagged(self) -> dict[Hashable, list[ExperienceGroup]]:
        """Return the live groups that records may adopt, by parent and name."""
        untagged: dict[Hashable, list[ExperienceGroup]] = defaultdict(list)
        if isinstance(self.match_by, ByTag) and self.match_by.adopt is not None:
            for group in self.live.values():
                if self.match_by.tag not in group.group_tags:
                    untagged[normal_id(group.parent_id), group.name].append(group)
                    untagged[_ANYWHERE, group.name].append(group)
        return untagged

    def _adopted_below(self, n: int) -> Hashable:
        """Return below which parent a record may adopt: below any, if it does not say where its group is."""
        return _ANYWHERE if self.records[n].keeps_parent else self._parent(n)

    def _adopt(self, n: int, candidates: Sequence[ExperienceGroup]) -> None:
        if len(candidates) > 1:
            self._complain(n, f"could adopt any of {len(candidates)} groups of this name: {_ids(candidates)}")
        else:
            self._claim(n, candidates[0].id.lower())
            self.adopted.add(n)

    def check_tree(self) -> None:
        """Refuse what would put a live group below itself."""
        for group_id, group in self.live.items():
            self.final[group_id] = normal_id(group.parent_id)
        for n, node in self.nodes.items():
            self.final[node] = self._parent(n)
        for cycle in Forest(self.final).cycles():
            groups = ", ".join(str(node) for node in cycle if isinstance(node, str))
            moved = [self.records[n] for n, node in self.nodes.items() if node in cycle]
            place = moved[0].place if moved else "what was read (moved meanwhile; plan again)"
            self.problems.append(f"{place}: the live groups {groups} would be their own ancestors")
        self._raise_problems()

    def changes(self) -> tuple[list[Change], int]:
        """The creates and updates, parents first, and how many groups need neither."""
        changes: list[Change] = []
        records = {node: self.records[n] for n, node in self.nodes.items()}
        paths: dict[Node | None, tuple[str, ...]] = {}
        if self.top is not None:
            paths[self.top] = self.tree.path(self.top)
        created: dict[Node | None, int] = {}
        settled: dict[Node | None, int] = {}  # the last change that must come first for a node to be where it stays
        for node in Forest(self.final).parents_first():
            parent, record = self.final[node], records.get(node)
            group = None if isinstance(node, int) else self.live[node]
            paths[node] = (*paths.get(parent, ()), record.name if record else self.live[str(node)].name)
            if parent in settled:
                settled[node] = settled[parent]
            if record is None:
                continue
            fields = dict(differing_fields(record, group))
            moves = group is None or comparable("parent_id", group.parent_id) != parent
            if moves and (isinstance(parent, str) or (parent is None and group)):
                fields["parent_id"] = parent
            if not moves and not fields:
                continue
            change = Change(
                "create" if group is None else "update",
                paths[node],
                None if group is None else group.id,
                fields,
                parent=created.get(parent) if moves else None,
                depends_on=settled.get(parent) if moves else None,
                current=group,
                merges_tags=record.merges_tags and not record.cleared_tags,
                record=record,
                old_path=None if group is None else self.tree.path(group.id.lower()),
                parent_record_id=self.records[parent].id if moves and isinstance(parent, int) else None,
                adopted=isinstance(node, str) and self.wanted.get(node) in self.adopted,
            )
            if group is None:
                created[node] = len(changes)
            if moves:
                settled[node] = len(changes)
            changes.append(change)
        return changes, len(self.records) - len(changes)

    def deletes(self) -> list[Change]:
        """The deletes of what no record wants, children first."""
        final = Forest(self.final)
        staying = {self.final[node] for n, node in self.nodes.items() if self.records[n].keeps_parent}
        named = {*self.named, *(parent for parent in staying if isinstance(parent, str))}
        kept = {*self.wanted, *(above for group_id in named for above in final.path(group_id))}
        keys: dict[Hashable, list[ExperienceGroup]] = defaultdict(list)
        doomed: dict[str, Change] = {}
        for group_id in self.tree.parents_first():
            group = self.live.get(group_id)
            key = None if group is None else self.identity.key_of(group)
            if group is None or group_id in kept or key is None:
                continue
            keys[key].append(group)
            doomed[group_id] = delete_of(self.tree, group_id)
        for key, groups in keys.items():
            if len(groups) > 1 and not isinstance(self.match_by, ById):
                self.problems.append(f"prune: {len(groups)} live groups have the {self._describe(key)}: {_ids(groups)}")
        self._raise_problems()
        for group_id, change in doomed.items():
            if orphans := [below for below in final.children(group_id) if below not in doomed]:
                doomed[group_id] = attrs.evolve(
                    change, orphans=tuple(below for below in orphans if isinstance(below, str))
                )
        return list(doomed.values())[::-1]

    def matched(self) -> dict[str, str]:
        """Return the live id of each record that has an id and is there."""
        return {
            record_id: self.live[node].id
            for n, node in self.nodes.items()
            if isinstance(node, str) and (record_id := self.records[n].id) is not None
        }

    def warnings(self, changes: Sequence[Change]) -> Iterator[PlanWarning]:
        """Yield what is allowed, and perhaps not meant."""
        if not isinstance(self.match_by, ById):
            found = [(self.records[n], node if isinstance(node, str) else None) for n, node in self.nodes.items()]
            yield from ids_of_live_groups(found, self.all_live)
        creates = [change for change in changes if change.action == "create"]
        unclaimed = [group for group_id, group in self.live.items() if group_id not in self.wanted]
        alike = list(look_alikes(creates, unclaimed, self.match_by))
        alike += twins(creates, (self.live[node] for node in self.nodes.values() if isinstance(node, str)))
        yield from alike
        told = {warning.place for warning in alike}
        yield from (warning for warning in odd_names(creates) if warning.place not in told)
        yield from spoiled_values(changes)
        yield from nowhere(creates, unclaimed)
        if not isinstance(self.match_by, ByTag):
            yield from renames(changes)
        yield from empty_cells(
            (self.records[n], self.live[node]) for n, node in self.nodes.items() if isinstance(node, str)
        )

    def _record_key(self, n: int) -> Hashable | None:
        """What a record's live group would be known by."""
        record = self.records[n]
        if not isinstance(self.identity, ByTag):
            return (self._parent(n), record.name)
        key = self.identity.key_of_fields(record.fields)
        if key is None:
            hint = "; give it a row of its own, or match by name" if record.is_implied else ""
            if not hint and len(self.problems) < MOST_HINTS:
                hint = hint_for_tag(self.identity.tag, record, self.records)
            self._complain(n, f"has no group tag {self.identity.tag!r}{hint}")
        return key

    def _describe(self, key: Hashable) -> str:
        match key:
            case (int(parent), name):  # one that is still to be created
                key = (self._place(parent), name)
        return self.identity.describe(key)

    def _claim(self, n: int, group_id: str) -> None:
        if group_id in self.wanted:
            self._complain(n, f"is the live group {group_id}, as {self._place(self.wanted[group_id])} is by its id")
        self.wanted.setdefault(group_id, n)
        self.nodes[n] = group_id

    def _parent(self, n: int) -> Node | None:
        """The node of a record's parent."""
        node = self.nodes.get(n)
        if self.records[n].keeps_parent and isinstance(node, str):
            return normal_id(self.live[node].parent_id)
        parent = self.parents[n]
        return self.nodes[parent] if isinstance(parent, int) else parent

    def _place(self, n: int) -> str:
        return self.records[n].place

    def _complain(self, n: int, what: str) -> None:
        self.problems.append(f"{self._place(n)}: {self.records[n].name!r} {what}")

    def _raise_problems(self) -> None:
        if self.problems:
            raise PlanError.of(self.problems)


def _ids(groups: Sequence[ExperienceGroup]) -> str:
    return ", ".join(group.id for group in groups)
