"""Deleting a group's whole subtree, so that a failure in the middle leaves a tree with its top in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from .._http.endpoint import GroupsEndpoint
from ..errors import TransportError
from ..models import ExperienceGroup
from .batch import Batch
from .lookup import MOST_KEYS

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
        for some in _in_order(left):
            # Whoever moves a group out of the tree meanwhile keeps it.
            still = await endpoint.find_all({"$and": [{"ancestorId": group_id}, {"id": {"$in": some}}]})
            async with delete_many([group.id for group in still]) as outcomes:
                async for outcome in outcomes:
                    if outcome.error is not None:
                        raise outcome.error
            deleted.update(some)


def _in_order(groups: Iterable[ExperienceGroup]) -> Iterator[list[str]]:
    """Yield the ids of groups that are equally deep, the deepest first, as many at a time as one query can hold."""
    by_depth: defaultdict[int, list[str]] = defaultdict(list)
    for group in groups:
        by_depth[len(group.ancestor_ids)].append(group.id)
    for depth in sorted(by_depth, reverse=True):
        for start in range(0, len(by_depth[depth]), MOST_KEYS):
            yield by_depth[depth][start : start + MOST_KEYS]
