"""Agreeing on one group with programs that know nothing of each other: the oldest is the group.

The argument is in docs/exactly-once.md. In short: ids grow with the seconds of the server's clock, so that all can tell
which of several twins is the oldest without talking. Whoever made one looks again when every older twin must show in a
list, and if there is one deletes its own, unless somebody has touched it. A client that finds a group which is younger
than `settle_time` and a second waits as well, so that it never returns a group that its maker is about to delete.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import Protocol

import attrs

from .._http.endpoint import GroupsEndpoint
from .._http.retry import RetryPolicy
from ..errors import DuplicateGroupError, NotFoundError
from ..models import ExperienceGroup, NewExperienceGroup, unfulfilled
from .lookup import Lookups
from .workers import Permit

logger = logging.getLogger("aiolosant")

# Ids have whole seconds: within one of them any of two twins may have the smaller id.
_SECOND = 1.0
# Seconds by which the clock of whoever writes the `Date`, perhaps a gateway, may differ from that of who writes
# `creationDate`. It is spent on the age of what was found alone; clocks of makers that differ eat into `settle_time`.
_CLOCK_MARGIN = 2.0
# Dates that a server sets one after the other in one create may differ by so much.
_SAME_MOMENT = 0.05


SEND_IT_AGAIN = (
    "Send it again with the same unique_by and contested=True: that gives the group that stays. A second one may be "
    "left; see docs/exactly-once.md."
)


class Looks(Protocol):
    """Looks for the groups with a key; those that are due at about the same time share a query."""

    async def find_anew(self, key: Hashable, *, gather: float = 0) -> Found:
        """Return what a new query finds."""
        ...


class Found(Protocol):
    """What was found under a key."""

    @property
    def groups(self) -> Sequence[ExperienceGroup]:
        """The groups, oldest first."""
        ...

    @property
    def asked(self) -> float:
        """When they were asked for, on the event loop's clock."""
        ...


@attrs.frozen
class Claim:
    """What a client knows of the twins that it may have made.

    Attributes:
        sent: What it sent.
        made: The group that the server says it made; None if no response says so.
        in_doubt: Whether another may have been made by an attempt whose response was lost.
        began: When it began to send, on the event loop's clock.
    """

    sent: NewExperienceGroup
    made: ExperienceGroup | None
    in_doubt: bool
    began: float


@attrs.frozen
class Decision:
    """How a contest ended.

    Attributes:
        group: The group that stays.
        is_own: Whether this client has made it.
    """

    group: ExperienceGroup
    is_own: bool


def longest(retry: RetryPolicy) -> float:
    """Return the seconds that the waits of one contested create add up to, if the response to one attempt is lost."""
    return 3 * retry.settle_time + 2 * _SECOND


class Contest:
    """Decides which group is the one, where several programs may create it at the same moment.

    Args:
        endpoint: Makes the requests.
        looks: Looks for the groups with a key.
        gather: Seconds that a second look waits for others to share its query.
    """

    def __init__(self, endpoint: GroupsEndpoint, looks: Looks, *, gather: float) -> None:
        self._endpoint = endpoint
        self._transport = endpoint.transport
        self._looks = looks
        self._gather = gather
        self._children: Lookups[str, bool] = Lookups(self._find_parents, self._transport, gather=gather)

    @property
    def settled_for(self) -> float:
        """Seconds until a group that was just decided upon is so old that no older one can come to light."""
        return self._transport.retry.settle_time + _SECOND + _CLOCK_MARGIN

    async def agree(self, key: Hashable, found: Found, permit: Permit) -> ExperienceGroup | None:
        """Return the group that all agree on, given what was found; None if it has gone meanwhile.

        It takes `settle_time` and a second, unless the group has been there for longer.

        Raises:
            LosantError: A request failed.
        """
        found = await self._look_until_settled(key, found, permit)
        if not found.groups:
            return None
        ages = [self._age_of(group, found.asked) for group in found.groups]
        if len(ages) > 1 and all(age is not None and age > self.settled_for for age in ages):
            ids = ", ".join(group.id for group in found.groups)
            logger.warning("%d groups are there for one, of which the oldest is used: %s", len(ages), ids)
        return found.groups[0]

    def close(self) -> None:
        """Cancel the queries that are due or under way."""
        self._children.close()

    async def decide(self, key: Hashable, claim: Claim, permit: Permit) -> Decision | None:
        """Wait until every older twin shows, delete what this client has made besides the oldest, and return that.

        None if there is no group. It takes `settle_time` and up to a second, without a response three times as long.

        Raises:
            DuplicateGroupError: One's own younger twin was touched; it was not deleted.
            LosantError: A request failed.
        """
        settle_time = self._transport.retry.settle_time
        # What was lost may land within `settle_time`, and shows within as much again.
        doubt = settle_time if claim.in_doubt else 0.0
        await self._wait(doubt + settle_time + self._left_of_second(claim.made), permit)
        found = await self._look_again(key, permit)
        if claim.made is None:  # what is found is perhaps another's, and as young as can be
            found = await self._look_until_settled(key, found, permit)
        if not found.groups:
            return None
        oldest, *younger = found.groups
        for twin in younger:
            if is_own(twin, claim, self._transport.server_ahead):
                await self._delete(twin, claim, found, permit)
        return Decision(oldest, is_own=is_own(oldest, claim, self._transport.server_ahead))

    async def _delete(self, twin: ExperienceGroup, claim: Claim, found: Found, permit: Permit) -> None:
        async def check() -> None:
            # Read by itself, since a list may not show yet that somebody has touched it.
            now = await self._endpoint.get(twin.id, permit.deadline)
            has_children = await permit.deadline.wait_for_turn(
                self._children.find_anew(twin.id.lower(), gather=self._gather)
            )
            if has_children or was_touched(now, claim):
                ids = tuple(group.id for group in found.groups)
                raise DuplicateGroupError(
                    f"{len(ids)} groups were made for one, and the younger was used already: {', '.join(ids)}", ids
                )

        try:
            await check()
            await permit.take()
            await self._endpoint.delete(twin.id, permit.deadline, precondition=check)
        except NotFoundError:
            pass  # another that was in doubt took it for its own

    async def _wait(self, seconds: float, permit: Permit) -> None:
        permit.give_up()  # nothing is sent meanwhile
        await permit.deadline.wait_for_turn(self._transport.sleep(seconds), "older twins to show")

    async def _look_until_settled(self, key: Hashable, found: Found, permit: Permit) -> Found:
        """Look again until the oldest that was found is so old that no older one can come to light."""
        wait = self._transport.retry.settle_time + _SECOND
        while found.groups:
            age = self._age_of(found.groups[0], found.asked)
            if age is not None and age > self.settled_for:
                break
            # The group is too young, or the server's time is unknown. It was there when it was asked for, so that by
            # this machine's own clock it is old enough after that.
            await self._wait(wait, permit)
            before, found = found.groups[0], await self._look_again(key, permit)
            if found.groups and found.groups[0].id == before.id:
                break
        return found

    async def _look_again(self, key: Hashable, permit: Permit) -> Found:
        look = self._looks.find_anew(key, gather=self._gather)
        return await permit.deadline.wait_for_turn(look, "a second look for twins")

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

    def _age_of(self, group: ExperienceGroup, at: float) -> float | None:
        """Return for how many seconds a group had been there at a moment, at the least; None if nothing tells."""
        ahead = self._transport.server_ahead
        if ahead is None or group.creation_date is None:
            return None
        return at + ahead - group.creation_date.timestamp()


def is_own(twin: ExperienceGroup, claim: Claim, server_ahead: float | None) -> bool:
    """Whether a group is one that this client has made, as far as anybody can tell.

    If no response told of it, only what the group is can say whose: it has what was sent, and was made since. A group
    or a server without a date is another's.
    """
    if _is_made(twin, claim):
        return True
    if not claim.in_doubt or server_ahead is None or twin.creation_date is None:
        return False
    # A `Date` has whole seconds, so that the server is up to a second further ahead.
    was_made_since = twin.creation_date.timestamp() >= claim.began + server_ahead - _SECOND
    return was_made_since and not unfulfilled(twin, attrs.asdict(claim.sent, recurse=False))


def was_touched(twin: ExperienceGroup, claim: Claim) -> bool:
    """Whether somebody has changed a group of one's own since it was made; true if that cannot be told."""
    if _is_made(twin, claim) and claim.made is not None:
        return twin.last_updated != claim.made.last_updated
    if twin.creation_date is None or twin.last_updated is None:
        return True
    return abs((twin.last_updated - twin.creation_date).total_seconds()) > _SAME_MOMENT


def _is_made(twin: ExperienceGroup, claim: Claim) -> bool:
    return claim.made is not None and twin.id.lower() == claim.made.id.lower()
