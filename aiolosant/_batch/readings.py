"""Readings of groups by their ids, shared by those that are about to change them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import attrs

from .._http.endpoint import GroupsEndpoint
from ..models import ExperienceGroup
from .lookup import GATHER, GATHER_SETTLING, Lookups
from .workers import Permit


@attrs.frozen
class Reading:
    """A group as it was read.

    Attributes:
        group: The group; None if it is not there.
        time: When it was answered, on the event loop's clock: the question may have waited for its turn.
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
            found = await endpoint.find_by_ids(group_ids)
            now = asyncio.get_running_loop().time()
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

    async def read_anew(self, group_id: str) -> Reading:
        """Return a group as it is read now, in a query that others may share."""
        return await self._lookups.find_anew(group_id.lower(), gather=GATHER_SETTLING)

    def is_news(self, reading: Reading, *, times: int = 1) -> bool:
        """Whether a reading is no older than so many times what may be relied on."""
        return asyncio.get_running_loop().time() - reading.time <= times * self._throttle.seconds_of_news

    def close(self) -> None:
        """Read nothing more."""
        self._lookups.close()


class Premise:
    """The reading that a change rests on, kept up to date until the change is sent.

    It is awaited before a change is sent again, or after its turn has come too late.

    Args:
        readings: Reads the group.
        reading: What was read.
        permit: Knows whether the change may have been made already.
        check: Called with what was read anew; what it raises ends the change.
    """

    def __init__(
        self, readings: Readings, reading: Reading, permit: Permit, check: Callable[[Reading], object]
    ) -> None:
        self._readings = readings
        self._reading = reading
        self._permit = permit
        self._check = check

    def is_news(self) -> bool:
        """Whether the change may be sent, now that its turn has come: the wait for that may take as long as news lasts.

        Otherwise a slow server would get mostly readings.
        """
        return self._readings.is_news(self._reading, times=2)

    async def __call__(self) -> None:
        """Read the group again, unless that is of no use: what was refused was surely not done."""
        group = self._reading.group
        if group is None or (not self._permit.sent.in_doubt and self._readings.is_news(self._reading)):
            return
        self._reading = await self._readings.read_anew(group.id)
        self._check(self._reading)
