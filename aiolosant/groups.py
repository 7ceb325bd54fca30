"""The verbs of experience groups: list, get, create, update, delete, and creating many."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Literal, Unpack

from ._batch.batch import Batch
from ._batch.exactly_once import ExactlyOnce
from ._batch.jobs import CreateMany
from ._batch.key_locks import KeyLocks
from ._batch.workers import Permit, Workers
from ._http import codec
from ._http.deadline import Deadline
from ._http.endpoint import GroupsEndpoint
from ._paging.keyset import KeysetPages
from ._paging.numbered import paginated
from ._paging.paginator import Paginator
from ._validation import check_flag, check_id, check_range, check_text
from .identity import Identity
from .models import MAX_PER_PAGE, ExperienceGroup, GroupChanges, NewExperienceGroup
from .query import Query

SortField = Literal["name", "id", "creationDate", "lastUpdated"]
SortDirection = Literal["asc", "desc"]

_SORT_FIELDS = ("name", "id", "creationDate", "lastUpdated")
_SORT_DIRECTIONS = ("asc", "desc")
# Seconds that the lookup of a batch waits for an asynchronous input to give more keys to share it with.
_GATHER = 0.01


class ExperienceGroups:
    """The experience groups of one application: `LosantClient.experience_groups`.

    Follows https://docs.losant.com/rest-api/experience-groups/ and https://docs.losant.com/rest-api/experience-group/.

    Every call that sends may raise the errors of `aiolosant.errors`; those of one verb are named with it.
    """

    def __init__(self, endpoint: GroupsEndpoint, locks: KeyLocks) -> None:
        self._endpoint = endpoint
        self._transport = endpoint.transport
        self._locks = locks

    def list(
        self,
        *,
        sort_field: SortField = "name",
        sort_direction: SortDirection = "asc",
        filter: str | None = None,  # noqa: A002 - Losant's own name for it
        filter_field: Literal["name"] = "name",
        query: Mapping[str, Any] | Query | None = None,
        per_page: int = 100,
        start_page: int = 0,
        prefetch: int = 0,
    ) -> Paginator[ExperienceGroup]:
        """The groups that match, read page by page while they are walked over; nothing is sent before.

        A walk by page numbers sees the list as it is at each page: what others create, delete or rename meanwhile can
        make it skip a group or give one twice. `scan` does not.

        Args:
            sort_field: What to sort by: `name`, `id`, `creationDate` or `lastUpdated`.
            sort_direction: `asc` or `desc`.
            filter: A glob (`my*group`) for the filter field; None or blank for all.
            filter_field: The field that the filter is for; there is only `name`.
            query: An Advanced Experience Group Query, instead of a filter: built with `Q`, or a dict.
            per_page: Groups to ask for at a time, 1 to 1,000.
            start_page: Zero-based number of the first page, in pages of `per_page`.
            prefetch: How many pages to request ahead while the current one is used up, 0 or more.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: An argument is not one of these, or there are both a filter and a query: the server would
                drop the filter.
        """
        filter = _checked_filter(filter)  # noqa: A001 - as above
        params: dict[str, str | int] = {
            "sortField": _checked_choice("sort_field", sort_field, _SORT_FIELDS),
            "sortDirection": _checked_choice("sort_direction", sort_direction, _SORT_DIRECTIONS),
        }
        field = _checked_choice("filter_field", filter_field, ("name",))
        condition = _checked_query(query)
        if filter and condition:
            raise ValueError("filter and query exclude each other; put the filter's condition into the query")
        if filter:
            params |= {"filterField": field, "filter": filter}
        return paginated(
            functools.partial(self._endpoint.fetch_page, params, condition),
            per_page=per_page,
            start_page=start_page,
            prefetch=prefetch,
            path=self._endpoint.path,
            start_task=self._transport.start_task,
        )

    def scan(
        self, *, query: Mapping[str, Any] | Query | None = None, per_page: int = 1000, after: str | None = None
    ) -> Paginator[ExperienceGroup]:
        """The groups that match, by ascending id: an exact reading of a collection that others change meanwhile.

        Every group that is there and matches throughout comes exactly once, and any other at most once, whatever is
        created, renamed, moved and deleted meanwhile. Each page is asked for by what it begins behind (`id` greater
        than the last one's), not by its number.

        Args:
            query: An Advanced Experience Group Query: built with `Q`, or a dict. None for all groups.
            per_page: Groups to ask for at a time, 1 to 1,000.
            after: Id of a group to go on behind, such as the last one of a scan that was broken off.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: `per_page` is out of its range, or `after` is no id.
        """
        check_range("per_page", per_page, 1, MAX_PER_PAGE)
        condition = _checked_query(query)
        if after is not None:
            after = check_id("after", after).lower()

        fetch = functools.partial(self._endpoint.fetch_page_after, condition)

        def open_pages(size: int) -> KeysetPages[ExperienceGroup]:
            return KeysetPages(fetch, _id_of, per_page=size, after=after, path=self._endpoint.path)

        return Paginator(open_pages, per_page=per_page)

    async def get(
        self, group_id: str, *, include_direct_device_count: bool = False, include_total_device_count: bool = False
    ) -> ExperienceGroup:
        """One group.

        Args:
            group_id: Its id.
            include_direct_device_count: Whether to count the devices of the group itself.
            include_total_device_count: Whether to count those of its descendants as well.

        Raises:
            NotFoundError: There is no such group, or no such application.
            TypeError: An argument is of a wrong type.
            ValueError: `group_id` is not 24 hex digits.
        """
        params: dict[str, str | int] = {}
        check_flag("include_direct_device_count", include_direct_device_count)
        check_flag("include_total_device_count", include_total_device_count)
        if include_direct_device_count:
            params["includeDirectDeviceCount"] = "true"
        if include_total_device_count:
            params["includeTotalDeviceCount"] = "true"
        return await self._endpoint.get(group_id, Deadline(self._transport.timeout), params)

    async def create(self, group: NewExperienceGroup, *, unique_by: Identity | None = None) -> ExperienceGroup:
        """Create a group; returns it as the server made it.

        Args:
            group: What to create.
            unique_by: What there must be one of, `by_name()` or `by_tag(key)`: if the group is there already, it is
                returned as it is, and if a response was lost, it is found out whether the group was made.

        Raises:
            OutcomeUnknownError: The request left, but nothing tells whether the group was made.
            DuplicateGroupError: There are several groups of which there must be one.
            NotFoundError: There is no such application.
            BadRequestError: The server refused the group, for example for a parent that does not exist.
            TypeError: An argument is of a wrong type.
            ValueError: The group lacks what `unique_by` goes by.
        """
        if not isinstance(group, NewExperienceGroup):
            raise TypeError(f"group must be a NewExperienceGroup, not {type(group).__name__}")
        if unique_by is None:
            return await self._transport.call(self._endpoint.create_request(group), Deadline(self._transport.timeout))
        once = ExactlyOnce(self._endpoint, unique_by, self._locks, gather=0)
        # One create has nobody to share permits with.
        permit = Permit(asyncio.Semaphore(0), self._transport.timeout, patient=False)
        try:
            return (await once.create(group, once.key_of(group), permit)).group
        finally:
            once.lookups.close()

    async def update(self, group_id: str, **changes: Unpack[GroupChanges]) -> ExperienceGroup:
        """Change the given fields of a group; returns it as it is then.

        A field that is not given stays as it is; one that is given is replaced as a whole, `group_tags` too. None
        clears `parent_id` (the group becomes a root) and `device_query_json`. Limits are those of `NewExperienceGroup`.
        When this raises a TransportError or ServerError the change may have been made; to repeat it does no harm.

        Raises:
            NotFoundError: There is no such group, or no such application.
            BadRequestError: The server refused the change, for example a parent that is a descendant of the group.
            TypeError: A field that does not exist or is of a wrong type, or None for one that cannot be cleared.
            ValueError: No change at all, one that breaks a limit, or `group_id` is not 24 hex digits.
        """
        request = self._endpoint.update_request(group_id, changes)
        return await self._transport.call(request, Deadline(self._transport.timeout))

    async def delete(self, group_id: str) -> None:
        """Delete a group. Its children go to its parent, or become roots.

        Raises:
            NotFoundError: There is no such group, or no such application, and no earlier attempt of this call can have
                deleted it.
            TypeError: `group_id` is not text.
            ValueError: It is not 24 hex digits.
        """
        await self._endpoint.delete(group_id, Deadline(self._transport.timeout))

    def create_many(
        self,
        groups: Iterable[NewExperienceGroup | Mapping[str, Any]]
        | AsyncIterable[NewExperienceGroup | Mapping[str, Any]],
        *,
        concurrency: int = 16,
        ordered: bool = False,
        unique_by: Identity | None = None,
    ) -> Batch:
        """Create many groups, some at a time; yields an `Outcome` for each.

        Args:
            groups: What to create, pulled as it is needed: `NewExperienceGroup`s, or mappings of the API's shape. A
                mapping that is no valid group is its own failed outcome.
            concurrency: How many to have under way at a time, 1 or more.
            ordered: Whether to yield in the order of the input instead of as they complete.
            unique_by: What there must be one of, `by_name()` or `by_tag(key)`. Then the same input can be run again and
                makes only what is missing. Each group is looked up before it is sent, many in one query.

        Raises:
            TypeError: `groups` is no iterable, or one group; or `unique_by` is neither of these.
            ValueError: `concurrency` is below 1.
        """
        if isinstance(groups, str | bytes | Mapping) or not isinstance(groups, Iterable | AsyncIterable):
            raise TypeError(f"groups must be an iterable or async iterable of groups, not {type(groups).__name__}")
        check_range("concurrency", concurrency, 1)
        check_flag("ordered", ordered)
        once = None
        if unique_by is not None:
            once = ExactlyOnce(self._endpoint, unique_by, self._locks, gather=_GATHER)
        job = CreateMany(self._endpoint, once, concurrency=concurrency)
        return Batch(Workers(groups, job, concurrency=concurrency, transport=self._transport, ordered=ordered))


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


def _id_of(group: ExperienceGroup) -> str:
    return group.id.lower()


def _checked_filter(value: object) -> str:
    text = "" if value is None else check_text("filter", value)
    return text if text.strip() else ""


def _checked_query(query: object) -> dict[str, Any]:
    if query is None:
        return {}
    if isinstance(query, Query):
        return query.to_dict()
    if not isinstance(query, Mapping):
        raise TypeError(f"query must be a Query or a mapping, not {type(query).__name__}")
    codec.encode_argument("query", query)  # what is no JSON is an error of this call, not of the first step
    return copy.deepcopy(dict(query))  # what the caller changes later is no part of it


def _checked_choice(argument: str, value: object, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(choices)}, not {value!r}")
    return choices[choices.index(value)]  # as plain text, should it be a member of an enumeration
