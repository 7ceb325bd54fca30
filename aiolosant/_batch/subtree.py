"""Deleting a group's whole subtree, so that a failure in the middle leaves a tree with its top in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from .._http.endpoint import GroupsEndpoint
from ..errors import TransportError
from ..models import ExperienceGroup
from .batch import Batch

# How often to look for what others have put below the group meanwhile, and for deletes that a list does not show yet.
_MOST_LOOKS = 10


async def delete_subtree(
    endpoint: GroupsEndpoint, group_id: str, delete_many: Callable[[Iterable[str]], Batch]
) -> None:
    """Delete all below a group, deepest first, until there is nothing; the group itself stays.

    Args:
        endpoint: Makes the requests.
        group_id: The group.
        delete_many: Deletes groups by their ids.

    Raises:
        LosantError: One could not be deleted; those above it were left.
    """
    deleted: set[str] = set()
    looks = 0
    while below := await endpoint.find_all({"ancestorId": group_id}):
        looks += 1
        left = [group for group in below if group.id not in deleted]
        if looks > _MOST_LOOKS:
            what = "a list still shows groups that were deleted" if not left else "others put more groups below it"
            raise TransportError(f"after {looks} looks {what}; nothing above them was deleted", path=endpoint.path)
        if not left:  # a list may show what was deleted for a while
            await endpoint.transport.sleep(endpoint.transport.retry.settle_time)
        for level in _levels(left):
            async with delete_many(level) as outcomes:
                async for outcome in outcomes:
                    if outcome.error is not None:
                        raise outcome.error
            deleted.update(level)


def _levels(groups: Iterable[ExperienceGroup]) -> list[list[str]]:
    """The ids of groups that are equally deep, the deepest first."""
    by_depth: defaultdict[int, list[str]] = defaultdict(list)
    for group in groups:
        by_depth[len(group.ancestor_ids)].append(group.id)
    return [by_depth[depth] for depth in sorted(by_depth, reverse=True)]
