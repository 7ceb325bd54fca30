"""A plan that deletes some groups, whatever any record says. Pure."""

from __future__ import annotations

from collections.abc import Collection

from .._tree import GroupTree
from ..identity import ById
from ..models import normal_id
from .change import Change
from .plan import Plan


def delete_of(tree: GroupTree, group_id: str, orphans: tuple[str, ...] = ()) -> Change:
    """Return the delete of a live group.

    Args:
        tree: All live groups.
        group_id: Which.
        orphans: Its children that stay.
    """
    group, path = tree.by_id[group_id], tree.path(group_id)
    return Change("delete", path, group.id, {}, current=group, old_path=path, orphans=orphans)


def plan_deletes(tree: GroupTree, found: Collection[str], *, subtree: bool, application_id: str | None) -> Plan:
    """Return the plan that deletes groups, and with `subtree` all below them; otherwise that moves up.

    Args:
        tree: All live groups.
        found: The ids of the groups, in lower case.
        subtree: Whether to delete what is below them as well.
        application_id: Whose groups they are.
    """
    doomed, order = {group_id for group_id in found if group_id in tree.by_id}, []
    for group_id in tree.parents_first():
        if subtree and normal_id(tree.by_id[group_id].parent_id) in doomed:
            doomed.add(group_id)
        if group_id in doomed:
            order.append(group_id)
    changes = tuple(
        delete_of(tree, group_id, tuple(child for child in tree.children(group_id) if child not in doomed))
        for group_id in reversed(order)
    )
    live = len(tree.by_id)
    return Plan(changes, live - len(changes), ById(), live=live, application_id=application_id)
