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
from ..errors import PlanError
from ..identity import ById, ByTag, MatchBy, without_id
from ..models import ExperienceGroup, FrozenDict, comparable, normal_id
from .plan import Change, Plan, Record

Node = str | int
"""A live group, by its id; or the place of a record that has none yet."""


def compare(
    records: Sequence[Record], live: Sequence[ExperienceGroup], *, match_by: MatchBy, prune: bool = False
) -> Plan:
    """The changes that make what is live what the records want.

    Args:
        records: What should be; in any order.
        live: All groups of the application.
        match_by: Which live group a record is.
        prune: Whether to delete groups that no record is (under `by_tag` only those that carry the tag), except for
            those that a record names as its parent, and their ancestors.

    Raises:
        PlanError: The records contradict each other or the live groups.
    """
    check_prune(records, prune=prune)
    comparison = _Comparison(records, live, match_by)
    comparison.link()
    comparison.match()
    comparison.check_tree()
    changes, unchanged = comparison.changes()
    if prune:
        changes += comparison.deletes()
    return Plan(tuple(changes), unchanged, match_by)


def check_prune(records: Sequence[Record], *, prune: bool) -> None:
    """Refuse to delete everything, which needs no look at what is live.

    Raises:
        PlanError: There are no records, and what no record wants shall be deleted.
    """
    if prune and not records:
        raise PlanError.of(["there are no records: prune would delete every group"])


class _Comparison:
    def __init__(self, records: Sequence[Record], live: Sequence[ExperienceGroup], match_by: MatchBy) -> None:
        self.records = records
        self.live = {group.id.lower(): group for group in live}
        self.match_by = match_by
        self.identity = without_id(match_by)
        self.problems: list[str] = []
        self.parents: dict[int, Node | None] = {}  # of a record: another's place, a live group's id, or None
        self.named: set[str] = set()  # live groups that records name as their parents without having them
        self.forest: Forest[Any] = Forest({})
        self.nodes: dict[int, Node] = {}
        self.wanted: dict[str, int] = {}  # the record of each live group that has one
        self.final: dict[Node, Node | None] = {}  # the parent that each group will have

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
                self.parents[n] = None
            elif parent_id in places:
                self.parents[n] = places[parent_id]
            elif parent_id.lower() in self.live:
                self.parents[n] = parent_id.lower()
                self.named.add(parent_id.lower())
            else:
                self._complain(n, f"has the parentId {parent_id!r}, which is no record's id and no live group's")
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
        by_id = list(self.nodes)
        keys: dict[Hashable, int] = {}
        for n in self.forest.parents_first():
            if n in self.nodes:
                continue
            self.nodes[n] = n
            key = self._record_key(n)
            if key is None:
                continue
            if key in keys:
                self._complain(n, f"is the same group as {self._place(keys[key])}: the {self._describe(key)}")
                continue
            keys[key] = n
            found = by_key.get(key, [])
            if len(found) > 1:
                self._complain(n, f"is one of {len(found)} groups with the {self._describe(key)}: {_ids(found)}")
            elif found:
                self._claim(n, found[0].id.lower())
        # A record that is matched by id must not share its final parent and name with another record, or the next plan
        # could not tell them apart.
        for n in by_id:
            if (other := keys.get(key := self._record_key(n))) is not None and self.nodes[other] != self.nodes[n]:
                self._complain(other, f"is the same group as {self._place(n)}: the {self._describe(key)}")
        self._raise_problems()

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
            fields = dict(self._differing(record, group))
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
                merges_tags=record.merges_tags,
            )
            if group is None:
                created[node] = len(changes)
            if moves:
                settled[node] = len(changes)
            changes.append(change)
        return changes, len(self.records) - len(changes)

    def deletes(self) -> list[Change]:
        """The deletes of what no record wants, children first."""
        forest = Forest({group_id: normal_id(group.parent_id) for group_id, group in self.live.items()})
        final = Forest(self.final)
        kept = {*self.wanted, *(above for group_id in self.named for above in final.path(group_id))}
        keys: dict[Hashable, list[ExperienceGroup]] = defaultdict(list)
        doomed: dict[str, Change] = {}
        for group_id in forest.parents_first():
            group = self.live[group_id]
            key = self.identity.key_of(group)
            if group_id in kept or key is None:
                continue
            keys[key].append(group)
            path = tuple(self.live[step].name for step in forest.path(group_id))
            doomed[group_id] = Change("delete", path, group.id, {}, current=group)
        for key, groups in keys.items():
            if len(groups) > 1 and not isinstance(self.match_by, ById):
                self.problems.append(f"prune: {len(groups)} live groups have the {self._describe(key)}: {_ids(groups)}")
        self._raise_problems()
        for group_id, change in doomed.items():
            if moved_up := sum(below not in doomed for below in final.children(group_id)):
                doomed[group_id] = attrs.evolve(change, moved_up=moved_up)
        return list(doomed.values())[::-1]

    def _record_key(self, n: int) -> Hashable | None:
        """What a record's live group would be known by."""
        record = self.records[n]
        if not isinstance(self.identity, ByTag):
            return (self._parent(n), record.name)
        key = self.identity.key_of_fields(record.fields)
        if key is None:
            self._complain(n, f"has no group tag {self.identity.tag!r}")
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
        parent = self.parents[n]
        return self.nodes[parent] if isinstance(parent, int) else parent

    @staticmethod
    def _differing(record: Record, group: ExperienceGroup | None) -> Iterator[tuple[str, Any]]:
        for name, value in record.fields.items():
            if name == "group_tags" and record.merges_tags and group is not None:
                value = FrozenDict({**group.group_tags, **value})
            if group is None or comparable(name, value) != comparable(name, getattr(group, name)):
                yield name, value

    def _place(self, n: int) -> str:
        return self.records[n].place

    def _complain(self, n: int, what: str) -> None:
        self.problems.append(f"{self._place(n)}: {self.records[n].name!r} {what}")

    def _raise_problems(self) -> None:
        if self.problems:
            raise PlanError.of(self.problems)


def _ids(groups: Sequence[ExperienceGroup]) -> str:
    return ", ".join(group.id for group in groups)
