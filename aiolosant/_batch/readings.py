"""Readings of groups by their ids, shared by those that are about to change them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import attrs

from .._http.endpoint import GroupsEndpoint
from ..models import ExperienceGroup
from .lookup import GATHER, Lookups
from .workers import Permit


@attrs.frozen
class Reading:
    """A group as it was read.

    Attributes:
        group: The group; None if it is not there.
        time: When it was asked for, on the event loop's clock.
    """

    group: ExperienceGroup | None
    time: float


class Readings:
    """Reads groups a moment before they are changed, many in one query.

    Args:
        endpoint: Makes the requests.
    """

    def __init__(self, endpoint: GroupsEndpoint) -> None:
        self._throttle = endpoint.transport.throttle

        async def read(group_ids: Sequence[str]) -> dict[str, Reading]:
            now = asyncio.get_running_loop().time()
            found = await endpoint.find_by_ids(group_ids)
            return {group_id: Reading(group, now) for group_id, group in found.items()}

        self._lookups: Lookups[str, Reading] = Lookups(read, endpoint.transport, gather=GATHER)

    def expect(self, group_id: str) -> None:
        """Say that a group will be read."""
        self._lookups.expect(group_id.lower())

    def forget(self, group_id: str) -> None:
        """Say that a group will not be read any more."""
        self._lookups.forget(group_id.lower())

    async def read(self, group_id: str, permit: Permit) -> Reading:
        """Return a group as it was read a moment ago, or is read now."""
        return await permit.deadline.wait_for_turn(self._lookups.find(group_id.lower()))

    async def read_again(self, group_id: str, before: Reading, permit: Permit) -> Reading:
        """Return what is known before a change is sent again: an earlier reading, as long as that is news.

        What was refused was surely not done; after any other failure the group is read anew.
        """
        # As old as it will be when the change is sent.
        age = asyncio.get_running_loop().time() + self._throttle.pause_left - before.time
        if not permit.sent.in_doubt and age <= self._lookups.max_age():
            return before
        return await self._lookups.find_anew(group_id.lower())

    def close(self) -> None:
        """Read nothing more."""
        self._lookups.close()
