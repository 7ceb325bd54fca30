"""How a plan that was kept stands against what is live now. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from ..identity import ByName, without_id
from ..models import ExperienceGroup, differing
from .change import Change, other_than_wanted
from .plan import Plan


def standing_of(plan: Plan, live: Sequence[ExperienceGroup]) -> str:
    """Return in words how many changes are left, are there already, or are stale since others were at the group."""
    groups = {group.id.lower(): group for group in live}
    identity = without_id(plan.match_by)
    there: set[Hashable] = {identity.key_of(group) for group in live}
    if isinstance(identity, ByName):
        names = {group.id: group.name for group in live}
        there = {tuple(names.get(one, "") for one in (*group.ancestor_ids, group.id)) for group in live}
    counts: Counter[str] = Counter()
    for change in plan.changes:
        if change.action == "create":
            key = change.path if isinstance(identity, ByName) else identity.key_of_fields(change.fields)
            counts["there already" if key is not None and key in there else "left"] += 1
        else:
            counts[_standing(change, groups.get((change.group_id or "").lower()))] += 1
    return ", ".join(f"{counts[words]:,} {words}" for words in ("left", "there already", "stale") if counts[words])


def _standing(change: Change, group: ExperienceGroup | None) -> str:
    if group is None:
        return "there already" if change.action == "delete" else "stale"
    if change.action == "update" and not other_than_wanted(change, change.fields, group) and change.parent is None:
        return "there already"
    before = change.current
    return "stale" if before is not None and differing(before, group) else "left"
