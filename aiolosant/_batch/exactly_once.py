"""The exactly-once create: look up, send, settle what is unknown, send again only what is surely not there.

Losant has no idempotency keys, so that a create whose response was lost can only be settled by looking for the group.
That takes something to know it by (an `Identity`), and reads that see what was written, after `settle_time` at most.
"""

from __future__ import annotations

import asyncio
import functools
import math
import urllib.parse
from collections.abc import Callable, Hashable, Sequence

import attrs

from .._http import codec
from .._http.endpoint import GroupsEndpoint
from .._http.transport import locate
from ..errors import DuplicateGroupError, LosantError, OutcomeUnknownError, RequestTimeoutError
from ..identity import ByName, ByTag, Identity
from ..models import ExperienceGroup, NewExperienceGroup
from .contested import SEND_IT_AGAIN, Claim, Contest, longest
from .key_locks import KeyLock, KeyLocks
from .lookup import GATHER_SECOND_LOOKS, GATHER_SETTLING, Lookups
from .workers import Permit

# What surely fits into a request line of 8 KiB.
_MOST_BYTES = 6000


@attrs.frozen
class Found:
    """What a lookup found under one key.

    Attributes:
        groups: The groups with this key, oldest first.
        lock: The lock of the key, which is kept from being discarded meanwhile.
        creates: `KeyLock.creates` when the question was asked.
        asked: When that was, on the event loop's clock.
    """

    groups: list[ExperienceGroup]
    lock: KeyLock
    creates: int
    asked: float


@attrs.frozen
class Created:
    """How an exactly-once create ended.

    Attributes:
        group: The group that is there now.
        is_new: Whether this create made it; otherwise it was there before.
        was_answered: Whether the server's response to the create says so; otherwise it was found by looking.
    """

    group: ExperienceGroup
    is_new: bool
    was_answered: bool


class ExactlyOnce:
    """Creates groups of which there must be one each.

    Args:
        endpoint: Makes the requests.
        identity: What tells a group from others.
        locks: The locks of the client.
        gather: Seconds that a lookup waits for others to share its query.
        contested: Whether programs that know nothing of each other may create the same group at the same moment.

    Attributes:
        lookups: The shared lookups of this batch.
        to_close: All that has to be closed in the end.

    Raises:
        TypeError: `identity` is neither `by_name()` nor `by_tag(key)`.
    """

    def __init__(
        self, endpoint: GroupsEndpoint, identity: Identity, locks: KeyLocks, *, gather: float, contested: bool = False
    ) -> None:
        if not isinstance(identity, ByName | ByTag):
            raise TypeError(f"unique_by must be by_name() or by_tag(key), not {type(identity).__name__}")
        self._endpoint = endpoint
        self._transport = endpoint.transport
        self._identity = identity
        self._locks = locks
        self.lookups: Lookups[Hashable, Found] = Lookups(self._look_up, self._transport, gather=gather)
        second_looks = GATHER_SECOND_LOOKS if gather else 0.0
        self._contest = Contest(endpoint, self.lookups, gather=second_looks) if contested else None
        self.to_close = (self.lookups,) if self._contest is None else (self.lookups, self._contest)

    def key_of(self, group: NewExperienceGroup) -> Hashable:
        """Return what a group is known by.

        Raises:
            ValueError: It has nothing of the kind.
        """
        key = self._identity.key_of(group)
        if key is None:
            tag = self._identity.tag if isinstance(self._identity, ByTag) else ""
            raise ValueError(f"group {group.name!r} has no tag {tag!r}, which it has to be known by")
        return key

    def describe(self, key: Hashable) -> str:
        """Return a key in words."""
        return self._identity.describe(key)

    async def create(
        self,
        group: NewExperienceGroup,
        key: Hashable,
        permit: Permit,
        *,
        fresh: bool = False,
        before_sending: Callable[[], None] | None = None,
    ) -> Created:
        """Return the group, created unless it is there already.

        Args:
            group: What there must be one of.
            key: What it is known by, as `key_of` says.
            permit: Its permit to be under way.
            fresh: Whether no group with this key can exist yet, so that it is sent without a lookup.
            before_sending: Called once it is known that the group is not there, and before it is sent.

        Raises:
            DuplicateGroupError: There are several with this key, from before or because a lost write landed late.
            OutcomeUnknownError: It could not be settled whether the group was made.
            LosantError: Any other: the group was surely not made.
        """
        lock, settled = self._lock(key), False
        waits = lock.waiting or lock.locked()
        try:
            doubtful_for = await lock.take(permit)
            try:
                # Those that waited for another create of the same group share its outcome.
                there = lock.group_since(self._transport.throttle.seconds_of_news) if waits else None
                if there is None and (doubtful_for or not fresh):
                    there = await self._find_before(key, lock, doubtful_for, permit)
                if there is not None:
                    created = Created(there, is_new=False, was_answered=False)
                else:
                    if before_sending is not None:
                        before_sending()
                    if self._contest is None:
                        created = await self._send(group, key, lock, permit, fresh=fresh)
                    else:
                        created = await self._send_contested(group, key, lock, permit, self._contest)
                settled = True
                if lock.waiting or self._contest is not None:
                    lock.settle(created.group, remembered=0.0 if self._contest is None else self._contest.settled_for)
                return created
            finally:
                lock.creates += permit.sent.attempts > 0
                if not settled and permit.is_unknown:
                    lock.doubt(self._transport.retry.settle_time)
                lock.release()
        except LosantError as error:
            locate(error, "POST", self._endpoint.path, permit.sent)
            raise

    async def _find_before(
        self, key: Hashable, lock: KeyLock, doubtful_for: float, permit: Permit
    ) -> ExperienceGroup | None:
        """Look for the group before it is sent; for `doubtful_for` seconds an earlier write may still land."""
        deadline = permit.deadline
        try:
            found = await deadline.wait_for_turn(self.lookups.find(key), "a lookup of the group")
        except RequestTimeoutError as error:
            if (failure := self._transport.observer.failure) is None:
                raise
            raise RequestTimeoutError(f"{error.message}; the last answer was: {failure}") from failure
        if found.creates != lock.creates:  # it was asked before another create had ended, and may be stale
            found = await deadline.wait_for_turn(self.lookups.find_anew(key), "a lookup of the group")
        if not found.groups and doubtful_for:
            await deadline.wait_for_turn(self._transport.sleep(doubtful_for), "an earlier create that may still land")
            found = await deadline.wait_for_turn(self.lookups.find_anew(key), "a lookup of the group")
        lock.looked, there = found.asked, self._only(key, found)
        if there is None or self._contest is None:
            return there
        settled = lock.group_since(self._contest.settled_for)
        if settled is not None and settled.id == there.id:
            return there
        there = await self._contest.agree(key, found, permit)
        await permit.take()
        return there

    async def _send(
        self, group: NewExperienceGroup, key: Hashable, lock: KeyLock, permit: Permit, *, fresh: bool
    ) -> Created:
        precondition = None if fresh else functools.partial(self._check_absent, key, lock)
        request = self._endpoint.create_request(group, precondition)
        retry = self._transport.retry
        doubt: OutcomeUnknownError | None = None
        while True:
            try:
                made = await self._transport.call(request, permit.deadline, permit.sent)
            except OutcomeUnknownError as error:
                doubt, lock.looked = error, -math.inf
            except _ThereError as error:
                return Created(error.group, is_new=doubt is not None, was_answered=False)
            except Exception as error:
                if doubt is None:
                    raise
                # This attempt made nothing (perhaps the token provider failed), but an earlier one may still land.
                raise _still_unknown(doubt, "then", error) from error
            else:
                if doubt is not None:  # an attempt before may have landed late as well
                    await self._settle(key, permit, doubt, retry.settle_time)
                return Created(made, is_new=True, was_answered=True)
            there = await self._settle(key, permit, doubt, 0.0, retry.settle_time)
            if there is None and not retry.has_attempts_left(permit.sent.counted):
                raise doubt
            self._transport.observer.create_settled(self._endpoint.path, there.id if there else None)
            if there:
                return Created(there, is_new=True, was_answered=False)
            await permit.take()

    async def _send_contested(
        self, group: NewExperienceGroup, key: Hashable, lock: KeyLock, permit: Permit, contest: Contest
    ) -> Created:
        request = self._endpoint.create_request(group, functools.partial(self._check_absent, key, lock))
        retry, sent, began = self._transport.retry, permit.sent, asyncio.get_running_loop().time()
        undecided = OutcomeUnknownError("it was made, but it could not be found out whether it is the one that stays")
        undecided.advice = SEND_IT_AGAIN
        doubt = undecided
        while True:
            made: ExperienceGroup | None = None
            try:
                made = await self._transport.call(request, permit.deadline, sent)
                permit.unsettled, doubt = True, undecided
            except OutcomeUnknownError as error:
                doubt, lock.looked = error, -math.inf
            except _ThereError as error:
                if not sent.in_doubt:
                    there = await contest.agree(key, error.found, permit)
                    if there is not None:
                        return Created(there, is_new=False, was_answered=False)
                    await permit.take()
                    continue
            except Exception as error:
                if not sent.in_doubt:
                    raise
                raise _still_unknown(doubt, "then", error) from error
            permit.deadline.allow(max(longest(retry), retry.patience))  # whoever has made a twin sees to it
            try:
                claim = Claim(group, made, in_doubt=sent.in_doubt, began=began)
                decided = await contest.decide(key, claim, permit)
            except DuplicateGroupError:
                raise
            except Exception as error:
                raise _still_unknown(doubt, "looking for it", error) from error
            if sent.in_doubt and decided is not None and decided.is_own:
                self._transport.observer.create_settled(self._endpoint.path, decided.group.id)
            permit.unsettled = False
            if decided is not None:
                was_answered = made is not None and decided.group.id == made.id
                return Created(decided.group, is_new=decided.is_own, was_answered=was_answered)
            if made is not None or not retry.has_attempts_left(sent.counted):
                raise doubt
            await permit.take()

    async def _settle(
        self, key: Hashable, permit: Permit, doubt: OutcomeUnknownError, *waits: float
    ) -> ExperienceGroup | None:
        """Look for what may have been made after each of these waits, which add up. Return the first that is found.

        The permit is given up meanwhile.
        """
        if permit.deadline.expired:
            raise doubt
        permit.give_up()
        try:
            for wait in waits:
                await permit.deadline.wait_for(self._transport.sleep(wait))
                # The lookup has a timeout of its own, and the clock of a patient item stands still meanwhile.
                found = await permit.deadline.wait_for_turn(self.lookups.find_anew(key, gather=GATHER_SETTLING))
                if there := self._only(key, found):
                    return there
        except DuplicateGroupError:
            raise
        except Exception as error:
            raise _still_unknown(doubt, "looking for it", error) from error
        return None

    async def _check_absent(self, key: Hashable, lock: KeyLock) -> None:
        """Raise `_ThereError` if the group exists by now: before what was refused is sent again.

        What was seen a moment ago needs no second look: where few requests are taken, that would take the turn of each.
        """
        throttle = self._transport.throttle
        if asyncio.get_running_loop().time() + throttle.paused_for - lock.looked <= throttle.seconds_of_news:
            return
        found = await self.lookups.find_anew(key, gather=GATHER_SETTLING)
        lock.looked = found.asked
        if there := self._only(key, found):
            raise _ThereError(there, found)

    def _only(self, key: Hashable, found: Found) -> ExperienceGroup | None:
        if len(found.groups) > 1 and self._contest is None:  # else the oldest is the group
            ids = tuple(group.id for group in found.groups)
            raise DuplicateGroupError(f"{len(ids)} groups have the {self.describe(key)}: {', '.join(ids)}", ids)
        return found.groups[0] if found.groups else None

    async def _look_up(self, keys: Sequence[Hashable]) -> dict[Hashable, Found]:
        found: dict[Hashable, Found] = {}
        for key in keys:
            lock = self._lock(key)
            found[key] = Found([], lock, lock.creates, asyncio.get_running_loop().time())
        left = list(keys)
        while left:
            query = self._identity.query(some := left)
            while len(some) > 1 and len(urllib.parse.quote(codec.encode(query))) > _MOST_BYTES:
                some = some[: len(some) * 3 // 4]
                query = self._identity.query(some)
            left = left[len(some) :]
            for group in await self._endpoint.find_all(query):
                if (key := self._identity.key_of(group)) in found:
                    found[key].groups.append(group)
        return found

    def _lock(self, key: Hashable) -> KeyLock:
        # One application is the same, however its id is written.
        return self._locks[self._endpoint.path.lower(), self._identity, key]


class _ThereError(Exception):
    """Ends a call that would have created what is there."""

    def __init__(self, group: ExperienceGroup, found: Found) -> None:
        super().__init__(group)
        self.group = group
        self.found = found


def _still_unknown(doubt: OutcomeUnknownError, when: str, error: Exception) -> OutcomeUnknownError:
    reason = error.message if isinstance(error, LosantError) else str(error)
    still = OutcomeUnknownError(f"{doubt.message}; {when}: {reason}")
    still.advice = doubt.advice
    return still
