"""What `create_many`, `update_many` and `delete_many` do with each item."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from .._http import codec
from .._http.endpoint import GroupsEndpoint
from .._validation import check_id
from ..errors import (
    AuthenticationError,
    ConfigurationError,
    LosantError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
)
from ..models import ExperienceGroup, NewExperienceGroup, check_changes, differing, unfulfilled
from .exactly_once import ExactlyOnce
from .lookup import MOST_KEYS, MOST_STOCK
from .outcome import BatchReport, Outcome
from .readings import Premise, Reading, Readings
from .workers import GaveUp, Item, Permit

_WAITING = 5_000  # items that wait for their second look
_AHEAD = 8  # items that are ready as soon as a permit is free
# Errors that every further item would get too.
FATAL = (AuthenticationError, PermissionDeniedError, ConfigurationError)


def look_ahead(concurrency: int) -> int:
    """Return how many items to pull ahead: what some lookups hold, and those that have given up their permit."""
    return max(4 * MOST_KEYS, 4 * concurrency)


class _GroupJob:
    """What the jobs share: outcomes and their counts.

    Args:
        endpoint: Makes the requests.

    Attributes:
        ahead: How many items to pull beyond those under way.
        fatal: Errors of an item that end the batch.
    """

    ahead = _AHEAD
    fatal: tuple[type[LosantError], ...] = FATAL

    def __init__(self, endpoint: GroupsEndpoint) -> None:
        self._endpoint = endpoint
        self._transport = endpoint.transport
        self._counts = {"created": 0, "existing": 0, "updated": 0, "deleted": 0}
        self._others: dict[str, list[Outcome]] = {"failed": [], "unknown": []}
        self._application_is_there = False

    def gave_up(self, item: Item, error: BaseException, status: GaveUp) -> Outcome:
        """Return the outcome of an item that did not go well."""
        outcome = Outcome(item.index, item.given, None, error, status)
        self._others[status].append(outcome)
        return outcome

    def report(self) -> BatchReport:
        """Return what has become of the items so far."""
        return BatchReport(**self._counts, failed=tuple(self._others["failed"]), unknown=tuple(self._others["unknown"]))

    def close(self) -> None:
        """Let go of what is kept for items to come."""

    async def _check_application(self) -> None:
        """Raise the 404 of an application that is not there: that of a group says nothing about the other items."""
        if not self._application_is_there:
            try:
                await self._endpoint.fetch_page({}, {}, 0, 1)
            except NotFoundError as error:
                error.ends_batch = True
                raise
            self._application_is_there = True


class CreateMany(_GroupJob):
    """The job of `create_many`.

    Args:
        endpoint: Makes the requests.
        once: Creates what must be there only once; None if nothing tells groups apart.
        concurrency: How many creates are under way at a time.
        contested: Whether each waits for a second look, and gives up its permit meanwhile.
    """

    fatal: tuple[type[LosantError], ...] = (*FATAL, NotFoundError)  # it gets a 404 only if the application is unknown

    def __init__(
        self, endpoint: GroupsEndpoint, once: ExactlyOnce | None, *, concurrency: int, contested: bool = False
    ) -> None:
        super().__init__(endpoint)
        self._once = once
        self._seen: set[bytes] = set()
        self.ahead = _AHEAD + (_WAITING if contested else look_ahead(concurrency) if once else 0)
        if once is not None:
            once.lookups.look_further = self._pull_further

    def accept(self, item: Item) -> None:
        """Read the item as a group.

        Raises:
            TypeError: It is neither a group nor a mapping.
            ValueError: It is no valid group, it repeats another's key, or it has nothing to be known by.
        """
        item.prepared = to_new_group(item.given)
        if self._once is None:
            return
        key = item.key = self._once.key_of(item.prepared)
        # A digest takes less memory than a key: an input may have a million.
        digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
        if digest in self._seen:
            raise ValueError(f"the input has another group with the {self._once.describe(key)}")
        self._seen.add(digest)
        self._once.lookups.expect(key)

    def _pull_further(self, keys: int) -> None:
        # Some more than that, so that there is something to look up when it becomes more again.
        self.ahead = max(self.ahead, min(MOST_STOCK, 4 * keys))

    async def do(self, item: Item, permit: Permit) -> Outcome:
        """Create the group."""
        if self._once is None:
            request = self._endpoint.create_request(item.prepared)
            group, is_new = await self._transport.call(request, permit.deadline, permit.sent), True
        else:
            created = await self._once.create(item.prepared, item.key, permit)
            group, is_new = created.group, created.is_new
        outcome = Outcome(item.index, item.given, group, None, "created" if is_new else "existing")
        self._counts[outcome.status] += 1
        return outcome

    def close(self) -> None:
        """Look up nothing more."""
        if self._once is not None:
            for one in self._once.to_close:
                one.close()


Change = Callable[[ExperienceGroup], Mapping[str, Any] | None]
"""What a group is to be changed to, given the group as it is; None or nothing to leave it as it is."""


class UpdateMany(_GroupJob):
    """The job of `update_many`: items are pairs of a group's id and its changes, or a function that returns them.

    Args:
        endpoint: Makes the requests.
        concurrency: How many updates are under way at a time.
    """

    def __init__(self, endpoint: GroupsEndpoint, *, concurrency: int) -> None:
        super().__init__(endpoint)
        self._readings = Readings(endpoint)
        self._seen: set[str] = set()
        self.ahead = look_ahead(concurrency)

    def accept(self, item: Item) -> None:
        """Check the pair.

        Raises:
            TypeError: It is none, or its changes are neither a mapping nor a function.
            ValueError: The id is none or is there before, or a change breaks a limit.
        """
        if not isinstance(item.given, tuple | list) or len(item.given) != 2:
            raise TypeError(f"an item must be a pair of an id and changes, not {type(item.given).__name__}")
        group_id, changes = item.given
        item.key = check_id("group_id", group_id).lower()
        # In which order several changes of one group would be made nobody could say.
        if item.key in self._seen:
            raise ValueError(f"the input has another change of the group {group_id}")
        self._seen.add(item.key)
        if callable(changes):
            self._readings.expect(item.key)
        elif isinstance(changes, Mapping):
            item.prepared = self._endpoint.update_request(item.key, codec.to_changes(changes))
        else:
            raise TypeError(f"changes must be a mapping or a function, not {type(changes).__name__}")

    async def do(self, item: Item, permit: Permit) -> Outcome:
        """Update the group."""
        try:
            if item.prepared is None:
                group = await self._change(item.key, item.given[1], permit)
            else:
                group = await self._transport.call(item.prepared, permit.deadline, permit.sent)
        except NotFoundError:
            await self._check_application()
            raise
        except _FunctionError as error:
            return self.gave_up(item, error.cause, "failed")
        self._counts["updated"] += 1
        return Outcome(item.index, item.given, group, None, "updated")

    def close(self) -> None:
        """Read nothing more."""
        self._readings.close()

    async def _change(self, group_id: str, function: Change, permit: Permit) -> ExperienceGroup:
        reading = await self._readings.read(group_id, permit)
        while True:
            group = reading.group
            if group is None:  # or it is too new for a list to show it
                group = await self._endpoint.get(group_id, permit.deadline)
            try:
                changes = codec.to_changes(_returned(function(group)))
                if not changes:
                    return group
                changes = check_changes(changes)
                check = functools.partial(_check_unchanged, group, changes)
                premise = Premise(self._readings, attrs.evolve(reading, group=group), permit, check)
                request = self._endpoint.update_request(group.id, changes, premise, premise.is_news)
            except Exception as error:
                raise _FunctionError(error) from error
            try:
                with premise:
                    return await self._transport.call(request, permit.deadline, permit.sent)
            except _DoneError as done:
                return done.group
            except _ReadAgainError as news:
                if permit.sent.in_doubt:
                    raise OutcomeUnknownError("it may have been done, and somebody has changed it since") from None
                reading = news.reading  # and decide anew


def _check_unchanged(before: ExperienceGroup, changes: Mapping[str, Any], again: Reading) -> None:
    """Raise what has become of a group, if it is not what its changes were made for."""
    if again.group is None or differing(before, again.group):
        if again.group is not None and not unfulfilled(again.group, changes):
            raise _DoneError(again.group)
        raise _ReadAgainError(again)


class DeleteMany(_GroupJob):
    """The job of `delete_many`: items are ids."""

    def accept(self, item: Item) -> None:
        """Check the id.

        Raises:
            TypeError: It is not text.
            ValueError: It is not 24 hex digits.
        """
        item.key = check_id("group_id", item.given)

    async def do(self, item: Item, permit: Permit) -> Outcome:
        """Delete the group. One that is gone already is fine."""
        try:
            await self._endpoint.delete(item.key, permit.deadline, permit.sent)
        except NotFoundError:
            await self._check_application()
        self._counts["deleted"] += 1
        return Outcome(item.index, item.given, None, None, "deleted")


def _returned(changes: object) -> Mapping[str, Any]:
    if inspect.iscoroutine(changes):
        changes.close()
    if changes is not None and not isinstance(changes, Mapping):
        raise TypeError(f"a function must return a mapping of changes or None, not {type(changes).__name__}")
    return changes or {}


class _FunctionError(Exception):
    """Carries what a function of the caller's raised past the handling of errors of requests."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


class _ReadAgainError(Exception):
    """Ends a call whose changes were made for a group that is another by now."""

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self.reading = reading


class _DoneError(Exception):
    """Ends a call whose changes have been made."""

    def __init__(self, group: ExperienceGroup) -> None:
        super().__init__(group)
        self.group = group


def to_new_group(item: object) -> NewExperienceGroup:
    """Return an item as a group.

    Raises:
        TypeError: It is neither a group nor a mapping.
        ValueError: It is no valid group.
    """
    if isinstance(item, Mapping):
        return codec.new_group(item)
    if not isinstance(item, NewExperienceGroup):
        raise TypeError(f"a group must be a NewExperienceGroup or a mapping, not {type(item).__name__}")
    return item
