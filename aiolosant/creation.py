"""The exactly-once create: look up, send, settle what is unknown, send again only what is surely not there.

Losant has no idempotency keys, so that a create whose answer was lost can only be settled by looking for the group.
That takes something to know it by (an `Identity`), and reads that see what was written, after `settle_time` at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import math
from collections.abc import AsyncGenerator, Callable, Hashable
from typing import Any

from .attempt import Request
from .call import Call
from .errors import DuplicateGroupError, LosantError, OutcomeUnknownError
from .keys import Identity
from .lookups import MOST_KEYS, Find, Lookups
from .models import ExperienceGroup, NewExperienceGroup
from .run import Turn
from .transport import Transport

logger = logging.getLogger("aiolosant")

# How old, in seconds, the news that a group is not there may be when it is sent: others may create it, too.
_MAX_AGE = 1.0


class _ThereError(Exception):
    """Ends a call that would have created what is there."""

    def __init__(self, group: ExperienceGroup) -> None:
        super().__init__(group)
        self.group = group


class ExactlyOnce:
    """Creates groups of which there must be one each.

    Args:
        transport: Sends.
        request: Makes the request that creates a group.
        identity: What tells a group from others.
        find: Lists all groups that match a query.
        scope: Where keys are unique, such as the path of an application's groups.
        gather: Whether lookups wait a moment for others to share a query.
    """

    def __init__(
        self,
        transport: Transport,
        request: Callable[[NewExperienceGroup], Request[ExperienceGroup]],
        identity: Identity,
        find: Find,
        *,
        scope: str,
        gather: bool,
    ) -> None:
        self._transport = transport
        self._scope = scope
        self._request = request
        self._identity = identity
        self._lookups = Lookups(find, identity, transport, gather=gather)
        self._seen: set[bytes] = set()
        self._absent_at: dict[Hashable, float] = {}  # when what is about to be sent was last seen not to be there

    def close(self) -> None:
        """Look up nothing more."""
        self._lookups.close()

    def claim(self, group: NewExperienceGroup) -> None:
        """Note that an input has this group.

        Raises:
            ValueError: The input had another with the same key, or the group has nothing that identifies it.
        """
        key = self._key_of(group)
        # A digest instead of the key: a million of them stay small.
        digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
        if digest in self._seen:
            raise ValueError(f"the input has another group with the {self._identity.describe(key)}")
        self._seen.add(digest)

    async def look(self, group: NewExperienceGroup) -> ExperienceGroup | None:
        """The live group that there must be one of, or None; a `create` that soon follows need not look again.

        Raises:
            DuplicateGroupError: There are several.
            LosantError: The lookup failed.
        """
        return await self._look_unless_known(self._key_of(group))

    async def create(
        self, group: NewExperienceGroup, turn: Turn, *, fresh: bool = False
    ) -> tuple[ExperienceGroup, bool]:
        """The group, and whether it was made now rather than there before.

        Args:
            group: What there must be one of.
            turn: Its place among those under way.
            fresh: Whether it cannot be there yet, so that it is sent without a look.

        Raises:
            DuplicateGroupError: There are several with this key, from before or because a lost write landed late.
            OutcomeUnknownError: It could not be settled whether the group was made.
            LosantError: Any other: the group was surely not made.
        """
        try:
            return await self._create(group, turn, fresh=fresh)
        except LosantError as error:
            if error.method is None:  # what went wrong before anything was sent has no request of its own
                request = self._request(group)
                error.locate(request.method, request.path, turn.call.attempts)
            raise

    async def _create(self, group: NewExperienceGroup, turn: Turn, *, fresh: bool) -> tuple[ExperienceGroup, bool]:
        key = self._key_of(group)
        async with self._alone(key, turn) as doubtful_for:
            fresh = fresh and not doubtful_for
            try:
                # Before it has a place, so that many share a query; and after, if it had to wait long for that.
                there = None if fresh else await turn.call.wait_patiently_for(self._look_unless_known(key))
                if there is None and doubtful_for:
                    # A call before this one was left in doubt, perhaps cancelled: its write may be still on its way.
                    await turn.call.wait_patiently_for(self._transport.sleep(doubtful_for))
                    there = await turn.call.wait_patiently_for(self._lookup(key))
                if there is None:
                    await turn.take()
                    there = None if fresh else await turn.call.wait_patiently_for(self._look_unless_known(key))
            finally:
                self._absent_at.pop(key, None)
            if there is not None:
                return there, False
            if not fresh:
                turn.call.check = functools.partial(self._check_absent, key, turn.call)
            return await self._send(group, key, turn)

    async def _check_absent(self, key: Hashable, call: Call) -> None:
        """Before what was refused is sent again: others had time to create it."""
        call.urgent = True
        if there := await self._lookup(key):
            raise _ThereError(there)

    async def _look_unless_known(self, key: Hashable) -> ExperienceGroup | None:
        """Look for a group, unless it was seen not to be there a moment ago; others that are due share the query."""
        now = asyncio.get_running_loop().time()
        if now - self._absent_at.get(key, -math.inf) <= _MAX_AGE:
            return None
        due = [other for other, at in self._absent_at.items() if now - at > _MAX_AGE / 2 and other != key]
        others = due[: MOST_KEYS - 1]
        found: Any
        found, *rest = await asyncio.gather(self._lookup(key), *map(self._lookups.find, others), return_exceptions=True)
        now = asyncio.get_running_loop().time()
        for other, groups in zip(others, rest, strict=True):
            if groups == [] and other in self._absent_at:
                self._absent_at[other] = now
        if isinstance(found, BaseException):
            raise found
        if found is None:
            self._absent_at[key] = now
        return found  # type: ignore[no-any-return]  # gather mixes it with the others

    @contextlib.asynccontextmanager
    async def _alone(self, key: Hashable, turn: Turn) -> AsyncGenerator[float]:
        """Wait for whoever else in this client creates the same group; yields for how long that may still land."""
        ledger, full_key = self._transport.ledger, (self._scope, self._identity, key)
        lock = ledger.lock(full_key)
        await turn.call.wait_patiently_for(lock.acquire())
        try:
            yield ledger.doubtful_for(full_key)
        except BaseException:
            if turn.call.doubtful:
                ledger.doubt(full_key, self._transport.retry.settle_time)
            raise
        finally:
            lock.release()

    async def _send(self, group: NewExperienceGroup, key: Hashable, turn: Turn) -> tuple[ExperienceGroup, bool]:
        doubt: OutcomeUnknownError | None = None
        while True:
            try:
                made = await self._transport.call(self._request(group), turn.call)
            except OutcomeUnknownError as error:
                doubt = error
            except _ThereError as error:
                return error.group, doubt is not None
            except Exception as error:
                if doubt is None:
                    raise
                # This attempt made nothing (even a token provider may have failed), but an earlier one may still land.
                raise self._still_unknown(doubt, turn, "then", error) from error
            else:
                if doubt is not None:
                    await self._check_single(key, turn, doubt)
                return made, True
            if there := await self._find_made(key, turn, doubt):
                return there, True
            if turn.call.attempts >= self._transport.retry.max_attempts:
                raise doubt
            logger.warning("%s: not there, so resending", doubt.message)

    async def _find_made(self, key: Hashable, turn: Turn, doubt: OutcomeUnknownError) -> ExperienceGroup | None:
        """Look for what may have been made: at once, and again when it should have landed."""
        if not turn.call.wanted:
            raise doubt
        async with turn.given_up():
            for after in (0.0, self._transport.retry.settle_time):
                if there := await self._settle(key, turn, doubt, after=after):
                    return there
        return None

    async def _check_single(self, key: Hashable, turn: Turn, doubt: OutcomeUnknownError) -> None:
        """After a resend, look whether an attempt before it has landed late as well."""
        if not turn.call.wanted:
            raise doubt
        async with turn.given_up():
            await self._settle(key, turn, doubt, after=self._transport.retry.settle_time)

    async def _settle(
        self, key: Hashable, turn: Turn, doubt: OutcomeUnknownError, *, after: float
    ) -> ExperienceGroup | None:
        try:
            await turn.call.wait_for(self._transport.sleep(after))
            # A lookup has a time of its own; an item of a batch must not lose its time to a pause of the server's.
            return await turn.call.wait_patiently_for(self._lookup(key, settling=True))
        except DuplicateGroupError as error:
            error.locate(doubt.method, doubt.path, turn.call.attempts)
            raise
        except Exception as error:
            raise self._still_unknown(doubt, turn, "looking for it", error) from error

    @staticmethod
    def _still_unknown(doubt: OutcomeUnknownError, turn: Turn, when: str, error: Exception) -> OutcomeUnknownError:
        reason = error.message if isinstance(error, LosantError) else str(error)
        return OutcomeUnknownError(
            f"{doubt.message}; {when}: {reason}", method=doubt.method, path=doubt.path, attempts=turn.call.attempts
        )

    async def _lookup(self, key: Hashable, *, settling: bool = False) -> ExperienceGroup | None:
        found = await self._lookups.find(key, settling=settling)
        if len(found) > 1:
            ids = tuple(group.id for group in found)
            raise DuplicateGroupError(
                f"{len(ids)} groups have the {self._identity.describe(key)}: {', '.join(ids)}", ids
            )
        return found[0] if found else None

    def _key_of(self, group: NewExperienceGroup) -> Hashable:
        key = self._identity.key_of(group)
        if key is None:
            raise ValueError(f"group {group.name!r} has nothing to know it by: {self._identity!r}")
        return key
