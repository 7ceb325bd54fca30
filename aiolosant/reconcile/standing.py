"""How a plan that was kept stands against what is live now. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..identity import without_id
from ..models import ExperienceGroup, differing
from .change import Change, other_than_wanted
from .plan import Plan


def standing_of(plan: Plan, live: Sequence[ExperienceGroup]) -> str:
    """Return in words how many changes are left, are there already, or are stale since others were at the group."""
    groups = {group.id.lower(): group for group in live}
    identity = without_id(plan.match_by)
    keys = {identity.key_of(group) for group in live}
    counts: Counter[str] = Counter()
    for change in plan.changes:
        if change.action == "create":
            key = None if change.parent is not None else identity.key_of_fields(change.fields)
            counts["there already" if key is not None and key in keys else "left"] += 1
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
