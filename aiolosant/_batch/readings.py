"""Readings of groups by their ids, shared by those that are about to change them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import attrs

from .._http.endpoint import GroupsEndpoint
from ..models import ExperienceGroup
from .lookup import GATHER, GATHER_SETTLING, Lookups
from .workers import Permit


@attrs.frozen
class Reading:
    """A group as it was read.

    Attributes:
        group_id: Its id in lower case.
        group: The group; None if it is not there.
        time: When it was answered, on the event loop's clock: the question may have waited for its turn.
        children: The ids of those right below it, in lower case; none if they were not asked for.
    """

    group_id: str
    group: ExperienceGroup | None
    time: float
    children: frozenset[str] = frozenset()


class Readings:
    """Reads groups a moment before they are changed, many in one query.

    Args:
        endpoint: Makes the requests.
        with_children: Whether to read as well which groups are right below them.
    """

    def __init__(self, endpoint: GroupsEndpoint, *, with_children: bool = False) -> None:
        self._throttle = endpoint.transport.throttle

        async def read(group_ids: Sequence[str]) -> dict[str, Reading]:
            found = await endpoint.find_by_ids(group_ids)
            time = asyncio.get_running_loop().time()
            return {group_id: Reading(group_id, group, time) for group_id, group in found.items()}

        async def read_with_children(group_ids: Sequence[str]) -> dict[str, Reading]:
            these = {"$in": list(group_ids)}  # twice a hundred ids are 6.5 KB of URL, below the usual limit of 8
            found = await endpoint.find_all({"$or": [{"id": these}, {"parentId": these}]})
            time = asyncio.get_running_loop().time()
            groups = {group.id.lower(): group for group in found}
            children: dict[str, set[str]] = {group_id: set() for group_id in group_ids}
            for group_id, group in groups.items():
                if (parent := (group.parent_id or "").lower()) in children:
                    children[parent].add(group_id)
            return {one: Reading(one, groups.get(one), time, frozenset(children[one])) for one in group_ids}

        how = read_with_children if with_children else read
        self._lookups: Lookups[str, Reading] = Lookups(how, endpoint.transport, gather=GATHER)

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

    async def renew(self, reading: Reading) -> Reading:
        """Return the group of a held reading as it is now, in a query that is shared with other held ones."""
        return await self._lookups.renew(reading.group_id)

    def newer(self, reading: Reading) -> Reading | None:
        """Return a later reading of the group of a held one, which a query for others has brought; None for none."""
        return self._lookups.newer(reading.group_id)

    def hold(self, reading: Reading) -> None:
        """Say that a change rests on a reading and waits for its turn, until `let_go`."""
        self._lookups.hold(reading.group_id, reading.time)

    def let_go(self, reading: Reading) -> None:
        """Say that no change rests on a reading any more."""
        self._lookups.let_go(reading.group_id)

    def is_news(self, reading: Reading) -> bool:
        """Whether a reading may still be relied on."""
        return asyncio.get_running_loop().time() - reading.time <= self._throttle.seconds_of_news

    def close(self) -> None:
        """Read nothing more."""
        self._lookups.close()


class Premise:
    """The reading that a change rests on, kept up to date until its `with` block ends.

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

    def __enter__(self) -> Self:
        self._readings.hold(self._reading)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._readings.let_go(self._reading)

    def is_news(self) -> bool:
        """Whether the change may be sent, now that its turn has come. What others have read meanwhile will do."""
        if self._readings.is_news(self._reading):
            return True
        newer = self._readings.newer(self._reading)
        if newer is None or not self._readings.is_news(newer):
            return False
        self._rest_on(newer)
        return True

    async def __call__(self) -> None:
        """Read the group again, unless that is of no use: what was refused was surely not done."""
        if self._permit.sent.in_doubt:
            self._rest_on(await self._readings.read_anew(self._reading.group_id))
        elif not self._readings.is_news(self._reading):
            self._rest_on(await self._readings.renew(self._reading))

    def _rest_on(self, reading: Reading) -> None:
        self._reading = reading
        self._readings.hold(reading)
        self._check(reading)
