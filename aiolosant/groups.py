"""The verbs of experience groups: list, get, create, update, delete, their members, and many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Unpack

from ._batch.batch import Batch
from ._batch.contested import SEND_IT_AGAIN, longest
from ._batch.exactly_once import ExactlyOnce
from ._batch.jobs import Change, CreateMany, DeleteMany, UpdateMany, to_new_group
from ._batch.key_locks import KeyLocks
from ._batch.lookup import GATHER
from ._batch.members import GroupEditors, member_wishes, tag_wishes
from ._batch.subtree import delete_subtree
from ._batch.workers import Permit, Workers
from ._http.deadline import Deadline
from ._http.endpoint import GroupsEndpoint
from ._validation import check_batch, check_flag, check_id, check_items, check_tag_key
from .errors import ConfigurationError, OutcomeUnknownError, RequestTimeoutError
from .group_reads import GroupReads
from .identity import Identity
from .models import ExperienceGroup, GroupChanges, NewExperienceGroup, check_changes

_CONTESTED_BY_WHAT = "contested=True needs unique_by=, which says what there must be one of"


class ExperienceGroups(GroupReads):
    """The experience groups of one application: `LosantClient.experience_groups`.

    Follows https://docs.losant.com/rest-api/experience-groups/ and https://docs.losant.com/rest-api/experience-group/.

    Every call that sends may raise the errors of `aiolosant.errors`; those of one verb are named with it.
    """

    def __init__(self, endpoint: GroupsEndpoint, locks: KeyLocks, editors: GroupEditors) -> None:
        super().__init__(endpoint)
        self._locks = locks
        self._editors = editors

    async def create(
        self,
        group: NewExperienceGroup | Mapping[str, Any],
        *,
        unique_by: Identity | None = None,
        contested: bool = False,
    ) -> ExperienceGroup:
        """Create a group; returns it as the server made it.

        Args:
            group: What to create: a `NewExperienceGroup`, or a mapping of the API's shape.
            unique_by: What there must be one of, `by_name()` or `by_tag(key)`: if the group is there already, it is
                returned as it is, and if a response was lost, it is found out whether the group was made.
            contested: Whether other programs may create the same group at the same moment, as replicas of a service do.
                Then all get the same one, the oldest, and who made a younger one deletes it. Unless the group has been
                there for a while, this takes `RetryPolicy.settle_time` and up to a second more; three times that, if a
                response was lost. If the caller is cancelled meanwhile, it goes on by itself as long as the client is
                open. All that may create it must say so. `docs/exactly-once.md` says why this is right.

        Raises:
            OutcomeUnknownError: The request left, but nothing tells whether the group was made.
            DuplicateGroupError: There are several groups of which there must be one.
            ConfigurationError: The client's `timeout` is too short for a contested create.
            NotFoundError: There is no such application.
            BadRequestError: The server refused the group, for example for a parent that does not exist.
            TypeError: An argument is of a wrong type.
            ValueError: The group lacks what `unique_by` goes by, or a mapping is no valid group.
        """
        group = to_new_group(group)
        check_flag("contested", contested)
        if contested and unique_by is None:
            raise ValueError(_CONTESTED_BY_WHAT)
        if unique_by is None:
            return await self._transport.call(self._endpoint.create_request(group), Deadline(self._transport.timeout))
        once = ExactlyOnce(self._endpoint, unique_by, self._locks, gather=0, contested=contested)
        # One create has nobody to share permits with.
        permit = Permit(asyncio.Semaphore(0), self._transport.timeout, patient=False)
        if contested:
            return await self._create_contested(once, group, permit)
        return await self._create_once(once, group, permit)

    async def _create_contested(self, once: ExactlyOnce, group: NewExperienceGroup, permit: Permit) -> ExperienceGroup:
        """Create a group, and see to its twin even if the caller has gone or the time is up."""
        timeout = self._transport.timeout
        if timeout <= (least := longest(self._transport.retry)):
            raise ConfigurationError(
                f"a contested create may take {least:g} seconds, and timeout is {timeout:g}; see with_options(timeout=)"
            )
        creating = self._create_once(once, group, permit)
        try:
            return await Deadline(timeout).wait_for(
                self._transport.finish(creating, lambda: permit.is_unknown, at_close=least)
            )
        except RequestTimeoutError as error:
            if not permit.is_unknown:
                raise
            unknown = OutcomeUnknownError(f"{error.message}; it goes on by itself, as long as the client is open")
            unknown.advice = SEND_IT_AGAIN
            unknown.locate("POST", self._endpoint.path, permit.sent.attempts)
            raise unknown from error

    async def _create_once(self, once: ExactlyOnce, group: NewExperienceGroup, permit: Permit) -> ExperienceGroup:
        try:
            return (await once.create(group, once.key_of(group), permit)).group
        finally:
            for one in once.to_close:
                one.close()

    async def update(self, group_id: str, **changes: Unpack[GroupChanges]) -> ExperienceGroup:
        """Change the given fields of a group; returns it as it is then.

        A field that is not given stays as it is; one that is given is replaced as a whole, lists of members and
        `group_tags` too: `add_members` and `add_tags` keep what others put there. None clears `parent_id` (the group
        becomes a root) and `device_query_json`. Limits are those of `NewExperienceGroup`.
        When this raises after more than one attempt (`error.attempts`), or a TransportError or ServerError, the change
        may have been made; to repeat it does no harm.

        Raises:
            NotFoundError: There is no such group, or no such application.
            BadRequestError: The server refused the change, for example a parent that is a descendant of the group.
            TypeError: A field that does not exist or is of a wrong type, or None for one that cannot be cleared.
            ValueError: No change at all, one that breaks a limit, or `group_id` is not 24 hex digits.
        """
        request = self._endpoint.update_request(group_id, changes)
        return await self._transport.call(request, Deadline(self._transport.timeout))

    async def delete(self, group_id: str, *, subtree: bool = False) -> None:
        """Delete a group. Its children go to its parent, or become roots.

        Args:
            group_id: Its id.
            subtree: Whether to delete all below it as well that a list shows, deepest first; if one cannot be deleted,
                the groups above it are kept. Each group has the client's `timeout`.

        Raises:
            NotFoundError: There is no such group, or no such application, and no earlier attempt of this call can have
                deleted it.
            TypeError: An argument is of a wrong type.
            ValueError: `group_id` is not 24 hex digits.
        """
        check_flag("subtree", subtree)
        if subtree:
            await delete_subtree(self._endpoint, check_id("group_id", group_id), self.delete_many)
        await self._endpoint.delete(group_id, Deadline(self._transport.timeout))

    async def add_members(
        self,
        group_id: str,
        *,
        experience_user_ids: Iterable[str] = (),
        experience_endpoint_ids: Iterable[str] = (),
        device_ids: Iterable[str] = (),
    ) -> ExperienceGroup:
        """Add users, endpoints and devices to a group, and leave all others in it; returns it as it was read then.

        The API replaces whole lists, so the group is read, written and read again. Calls of one client for one group
        share readings and writes; where two contradict each other, the later one holds. Against other writers the group
        is looked at again `RetryPolicy.settle_time` after it was written, and written again if somebody undid it; so a
        call takes at least as long, unless everything was there before.

        Args:
            group_id: Its id.
            experience_user_ids: Ids of users to add.
            experience_endpoint_ids: Ids of endpoints to add.
            device_ids: Ids of devices to add.

        Raises:
            NotFoundError: There is no such group, or no such application.
            BadRequestError: The server refused the change.
            RequestTimeoutError: It did not hold within the client's `timeout`; the message says what is missing.
            ConfigurationError: The client's `timeout` is not longer than `settle_time` and a quarter.
            TypeError: An argument is of a wrong type.
            ValueError: An id is not 24 hex digits, or the group would have more than 1,000 members of a kind.
        """
        members = _members(experience_user_ids, experience_endpoint_ids, device_ids)
        wishes = member_wishes(members, present=True)
        return await self._editors.edit(self._endpoint, check_id("group_id", group_id), wishes)

    async def remove_members(
        self,
        group_id: str,
        *,
        experience_user_ids: Iterable[str] = (),
        experience_endpoint_ids: Iterable[str] = (),
        device_ids: Iterable[str] = (),
    ) -> ExperienceGroup:
        """Remove users, endpoints and devices from a group, and leave all others in it.

        It reads, writes, looks again, and raises as `add_members` does; what is not in the group is fine.
        """
        members = _members(experience_user_ids, experience_endpoint_ids, device_ids)
        wishes = member_wishes(members, present=False)
        return await self._editors.edit(self._endpoint, check_id("group_id", group_id), wishes)

    async def add_tags(self, group_id: str, tags: Mapping[str, str]) -> ExperienceGroup:
        """Set some group tags, and leave all others as they are.

        It reads, writes, looks again, and raises as `add_members` does. Limits are those of `NewExperienceGroup`.
        """
        wishes = tag_wishes(check_changes({"group_tags": tags})["group_tags"])
        return await self._editors.edit(self._endpoint, check_id("group_id", group_id), wishes)

    async def remove_tags(self, group_id: str, keys: Iterable[str]) -> ExperienceGroup:
        """Remove some group tags by their keys, and leave all others as they are.

        It reads, writes, looks again, and raises as `add_members` does; a key that is not there is fine.
        """
        wishes = tag_wishes({check_tag_key("a key", key): None for key in check_items("keys", keys)})
        return await self._editors.edit(self._endpoint, check_id("group_id", group_id), wishes)

    def create_many(
        self,
        groups: Iterable[NewExperienceGroup | Mapping[str, Any]]
        | AsyncIterable[NewExperienceGroup | Mapping[str, Any]],
        *,
        concurrency: int = 16,
        ordered: bool = False,
        unique_by: Identity | None = None,
        contested: bool = False,
    ) -> Batch:
        """Create many groups, some at a time; yields an `Outcome` for each.

        Args:
            groups: What to create, pulled as it is needed: each a `NewExperienceGroup`, or a mapping of the API's
                shape. A mapping that is no valid group is its own failed outcome.
            concurrency: How many to have under way at a time, 1 or more. Lookups ahead of them come on top.
            ordered: Whether to yield in the order of the input instead of as they complete.
            unique_by: What there must be one of, `by_name()` or `by_tag(key)`. Then the same input can be run again and
                makes only what is missing. Each group is looked up before it is sent, many in one query.
            contested: As of `create`. The second looks are shared, and an item gives up its place in `concurrency`
                while it waits for its own.

        Raises:
            TypeError: `groups` is no iterable, or one group; or `unique_by` is neither of these.
            ValueError: `concurrency` is below 1.
        """
        check_batch("groups", groups, concurrency, ordered=ordered, contested=contested)
        if contested and unique_by is None:
            raise ValueError(_CONTESTED_BY_WHAT)
        once = None
        if unique_by is not None:
            once = ExactlyOnce(self._endpoint, unique_by, self._locks, gather=GATHER, contested=contested)
        job = CreateMany(self._endpoint, once, concurrency=concurrency, contested=contested)
        return Batch(Workers(groups, job, concurrency=concurrency, transport=self._transport, ordered=ordered))

    def update_many(
        self,
        changes: Iterable[Update] | AsyncIterable[Update],
        *,
        concurrency: int = 16,
        ordered: bool = False,
    ) -> Batch:
        """Change many groups, some at a time; yields an `Outcome` for each, as `create_many` does.

        Args:
            changes: Pairs of a group's id and its changes: a mapping, by the names of `update` or of the API, or a
                function. The function is given the group as it was read up to a second before, or as long as twenty
                requests take (30 seconds at most), many in one query, and returns its changes, or None for none. If
                somebody is seen to have changed the group before a change is sent again, the function is asked again;
                what is not seen is overwritten. Each group can be there once.
            concurrency: How many to have under way at a time, 1 or more. Lookups ahead of them come on top.
            ordered: Whether to yield in the order of the input instead of as they complete.

        Raises:
            TypeError: `changes` is no iterable.
            ValueError: `concurrency` is below 1.
        """
        check_batch("changes", changes, concurrency, ordered=ordered)
        job = UpdateMany(self._endpoint, concurrency=concurrency)
        return Batch(Workers(changes, job, concurrency=concurrency, transport=self._transport, ordered=ordered))

    def delete_many(
        self, group_ids: Iterable[str] | AsyncIterable[str], *, concurrency: int = 16, ordered: bool = False
    ) -> Batch:
        """Delete many groups, some at a time; yields an `Outcome` for each, as `create_many` does.

        One that is gone already is `deleted` too. Children of a deleted group go to its parent.

        Args:
            group_ids: Their ids, pulled as they are needed.
            concurrency: How many to have under way at a time, 1 or more.
            ordered: Whether to yield in the order of the input instead of as they complete.

        Raises:
            TypeError: `group_ids` is no iterable.
            ValueError: `concurrency` is below 1.
        """
        check_batch("group_ids", group_ids, concurrency, ordered=ordered)
        job = DeleteMany(self._endpoint)
        return Batch(Workers(group_ids, job, concurrency=concurrency, transport=self._transport, ordered=ordered))


def _members(users: Iterable[str], endpoints: Iterable[str], devices: Iterable[str]) -> dict[str, Iterable[str]]:
    return {"experience_user_ids": users, "experience_endpoint_ids": endpoints, "device_ids": devices}


def parts_of(groups: object) -> tuple[GroupsEndpoint, KeyLocks]:
    """Return what an `ExperienceGroups` is made of, for `reconcile`, which makes the same calls.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(groups, ExperienceGroups):
        raise TypeError(
            f"groups must be the experience_groups of a client or an application, not {type(groups).__name__}"
        )
    return groups._endpoint, groups._locks  # noqa: SLF001 - of this module's own class


Update = tuple[str, Mapping[str, Any] | Change]
"""A group's id, and what to change: a mapping, or a function of the group."""
