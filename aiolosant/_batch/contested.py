"""Agreeing on one group with programs that know nothing of each other: the oldest is the group.

The argument is in docs/exactly-once.md. In short: ids grow with the seconds of the server's clock, so that all can tell
which of several twins is the oldest without talking. Whoever made one looks again when every older twin must show in a
list, and if there is one deletes its own, unless somebody has touched it. Whoever finds one that is younger than that
waits as well, so that nobody is told of a group that its maker is about to delete.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from .._http.endpoint import GroupsEndpoint
from ..errors import DuplicateGroupError, NotFoundError
from ..models import ExperienceGroup, NewExperienceGroup, unfulfilled
from .lookup import GATHER_SECOND_LOOKS, GATHER_SETTLING, Lookups
from .workers import Permit

# Ids have whole seconds: within one of them any of two twins may have the smaller id.
_SECOND = 1.0
# Dates that a server sets one after the other in one create may differ by so much.
_SAME_MOMENT = 0.05


class Looks(Protocol):
    """Looks for the groups with a key; those that are due at about the same time share a query."""

    async def find_anew(self, key: Hashable, *, gather: float = 0) -> Found:
        """Return what a new query finds."""


class Found(Protocol):
    """What was found under a key."""

    @property
    def groups(self) -> Sequence[ExperienceGroup]:
        """The groups, oldest first."""


@attrs.frozen
class Claim:
    """What a client knows of the twins that it may have made.

    Attributes:
        sent: What it sent.
        made: The group that the server says it made; None if no response says so.
        in_doubt: Whether another may have been made by an attempt whose response was lost.
        began: When it began to send, on the clock of `time.time`.
    """

    sent: NewExperienceGroup
    made: ExperienceGroup | None
    in_doubt: bool
    began: float


class Contest:
    """Decides which group is the one, where several programs may create it at the same moment.

    Args:
        endpoint: Makes the requests.
        looks: Looks for the groups with a key.
    """

    def __init__(self, endpoint: GroupsEndpoint, looks: Looks) -> None:
        self._endpoint = endpoint
        self._transport = endpoint.transport
        self._looks = looks
        self._children: Lookups[str, bool] = Lookups(self._find_parents, self._transport, gather=GATHER_SETTLING)

    async def agree(self, key: Hashable, there: ExperienceGroup, permit: Permit) -> ExperienceGroup | None:
        """Return the group that all agree on, given the oldest that was found; None if it has gone meanwhile."""
        if self._young_for(there) <= 0:
            return there
        found = await self._look_until_settled(key, [there], permit)
        return found[0] if found else None

    async def decide(self, key: Hashable, claim: Claim, permit: Permit) -> ExperienceGroup | None:
        """Return the oldest group, and delete what this client has made besides; None if there is no group.

        Raises:
            DuplicateGroupError: One's own younger twin was touched; nothing was deleted.
        """
        await self._wait(self._transport.retry.settle_time + self._left_of_second(claim.made), permit)
        found = await self._look_again(key, permit)
        if claim.made is None:  # what is found is perhaps another's, and as young as can be
            found = await self._look_until_settled(key, found, permit)
        if not found:
            return None
        oldest, *younger = found
        own = [twin for twin in younger if self.is_own(twin, claim)]
        touched = [twin for twin in own if self._was_touched(twin, claim)]
        if own and not touched:
            touched = [
                twin for twin in own if await permit.deadline.wait_for_turn(self._children.find(twin.id.lower()))
            ]
        if touched:
            ids_of_all = tuple(twin.id for twin in found)
            raise DuplicateGroupError(
                f"{len(found)} groups were made for one, and the younger was used already: {', '.join(ids_of_all)}",
                ids_of_all,
            )
        await permit.take()
        for twin in own:
            try:
                await self._endpoint.delete(twin.id, permit.deadline)
            except NotFoundError:
                continue  # another that was in doubt took it for its own
        return oldest

    async def _wait(self, seconds: float, permit: Permit) -> None:
        permit.give_up()  # nothing is sent meanwhile
        await permit.deadline.wait_for_turn(self._transport.sleep(seconds))

    async def _look_until_settled(
        self, key: Hashable, found: Sequence[ExperienceGroup], permit: Permit
    ) -> Sequence[ExperienceGroup]:
        """Look again until the oldest that was found is so old that no older one can come to light."""
        while found and (young_for := self._young_for(found[0])) > 0:
            await self._wait(young_for, permit)
            before, found = found[0], await self._look_again(key, permit)
            if found and found[0].id == before.id:
                break
        return found

    async def _look_again(self, key: Hashable, permit: Permit) -> Sequence[ExperienceGroup]:
        found = await permit.deadline.wait_for_turn(self._looks.find_anew(key, gather=GATHER_SECOND_LOOKS))
        return found.groups

    async def _has_children(self, twin: ExperienceGroup, permit: Permit) -> bool:
        return await permit.deadline.wait_for_turn(self._children.find(twin.id.lower()))

    async def _find_parents(self, group_ids: Sequence[str]) -> dict[str, bool]:
        """Return which of some groups have children."""
        children = await self._endpoint.find_all({"parentId": {"$in": list(group_ids)}})
        parents = {child.parent_id.lower() for child in children if child.parent_id}
        return {group_id: group_id in parents for group_id in group_ids}

    def _left_of_second(self, made: ExperienceGroup | None) -> float:
        """Return the seconds in which another twin may still get a smaller id than one's own."""
        if made is None or made.creation_date is None:
            return _SECOND
        return _SECOND - made.creation_date.microsecond / 1e6

    def _young_for(self, group: ExperienceGroup) -> float:
        """Return for how many seconds an older group may still come to light."""
        age = self._age_of(group)
        return self._transport.retry.settle_time + _SECOND - (0.0 if age is None else age)

    def _age_of(self, group: ExperienceGroup) -> float | None:
        """Return for how many seconds a group has been there at the least; None if nothing tells."""
        ahead = self._transport.server_ahead
        if ahead is None or group.creation_date is None:
            return None
        return time.time() + ahead - group.creation_date.timestamp()

    def is_own(self, twin: ExperienceGroup, claim: Claim) -> bool:
        """Whether a group is one that this client has made."""
        if claim.made is not None and twin.id.lower() == claim.made.id.lower():
            return True
        # No response told of it, so that only what it is can say whose.
        wanted = attrs.asdict(claim.sent, recurse=False)
        return claim.in_doubt and not unfulfilled(twin, wanted) and self._was_made_since(twin, claim.began)

    def _was_made_since(self, twin: ExperienceGroup, began: float) -> bool:
        ahead = self._transport.server_ahead
        if ahead is None or twin.creation_date is None:
            return True
        return twin.creation_date.timestamp() >= began + ahead - _SECOND

    def _was_touched(self, twin: ExperienceGroup, claim: Claim) -> bool:
        if claim.made is not None and twin.id.lower() == claim.made.id.lower():
            return twin.last_updated != claim.made.last_updated
        return _seconds_between(twin.creation_date, twin.last_updated) > _SAME_MOMENT


def _seconds_between(one: datetime | None, other: datetime | None) -> float:
    return 0.0 if one is None or other is None else abs((other - one).total_seconds())
