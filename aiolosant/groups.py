"""The verbs of experience groups: list, get, create, update, delete, and creating many."""

from __future__ import annotations

import copy
import functools
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, Unpack

from . import wire
from .api import GroupsApi
from .batch import Batch
from .call import Call
from .checks import check_flag, check_id, check_range, check_text
from .creation import ExactlyOnce
from .keys import Identity
from .lookups import MOST_KEYS
from .models import ExperienceGroup, GroupChanges, NewExperienceGroup, Page
from .outcomes import Outcome, Tally
from .pages import MAX_PER_PAGE, KeysetPages, paginated
from .paging import Paginator
from .query import Query
from .run import BrokenOff, Run, Turn
from .transport import Transport

SortField = Literal["name", "id", "creationDate", "lastUpdated"]
SortDirection = Literal["asc", "desc"]

_SORT_FIELDS = ("name", "id", "creationDate", "lastUpdated")
_SORT_DIRECTIONS = ("asc", "desc")


class ExperienceGroups:
    """The experience groups of one application: `LosantClient.experience_groups`.

    Follows https://docs.losant.com/rest-api/experience-groups/ and https://docs.losant.com/rest-api/experience-group/.

    Every call that sends may raise the errors of `aiolosant.errors`; those of one verb are named with it.
    """

    def __init__(self, transport: Transport, application_id: str) -> None:
        self._api = GroupsApi(transport, application_id)

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
        if condition:
            params["query"] = wire.encode(condition).decode()

        fetch = functools.partial(self._api.fetch_page, params)
        start_task = self._api.transport.start_task
        return paginated(
            fetch,
            per_page=per_page,
            start_page=start_page,
            prefetch=prefetch,
            path=self._api.path,
            start_task=start_task,
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

        async def fetch(last: str | None, size: int) -> Page[ExperienceGroup]:
            conditions = [condition] if condition else []
            if last is not None:
                conditions.append({"id": {"$gt": last}})
            params: dict[str, str | int] = {"sortField": "id", "sortDirection": "asc"}
            if conditions:
                whole = conditions[0] if len(conditions) == 1 else {"$and": conditions}
                params["query"] = wire.encode(whole).decode()
            return await self._api.fetch_page(params, 0, size)

        def open_pages(size: int) -> KeysetPages[ExperienceGroup]:
            return KeysetPages(fetch, lambda group: group.id.lower(), per_page=size, after=after, path=self._api.path)

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
        return await self._api.get(group_id, self._call(), params)

    async def create(self, group: NewExperienceGroup, *, unique_by: Identity | None = None) -> ExperienceGroup:
        """Create a group; returns it as the server made it.

        Args:
            group: What to create.
            unique_by: What there must be one of, `by_name()` or `by_tag(key)`: if the group is there already, it is
                returned as it is, and if an answer was lost, it is found out whether the group was made.

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
            return await self._api.transport.call(self._api.create_request(group))
        once = self._api.exactly_once(unique_by, gather=False)
        turn = Turn(self._call())
        turn.call.start()
        try:
            return (await once.create(group, turn))[0]
        finally:
            once.close()

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
        return await self._api.update(group_id, changes, self._call())

    async def delete(self, group_id: str) -> None:
        """Delete a group. Its children go to its parent, or become roots.

        Raises:
            NotFoundError: There is no such group, or no such application, and no earlier attempt of this call can have
                deleted it.
            TypeError: `group_id` is not text.
            ValueError: It is not 24 hex digits.
        """
        await self._api.delete(group_id, self._call())

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
        once = None if unique_by is None else self._api.exactly_once(unique_by, gather=True)

        def begin(index: int, item: NewExperienceGroup | Mapping[str, Any]) -> Callable[[Turn], Awaitable[Outcome]]:
            group = _to_new_group(item)
            if once is not None:
                once.claim(group)
            return functools.partial(self._create_one, index, item, group, once)

        tally = Tally()
        run = Run(
            groups,
            begin,
            _broken_off,
            concurrency=concurrency,
            transport=self._api.transport,
            ordered=ordered,
            fill=0 if once is None else MOST_KEYS,
            on_outcome=tally.add,
            report=tally.report,
            at_end=(lambda: None) if once is None else once.close,
        )
        return Batch(run, tally)

    def _call(self) -> Call:
        return Call(self._api.transport.timeout)

    async def _create_one(
        self,
        index: int,
        item: NewExperienceGroup | Mapping[str, Any],
        group: NewExperienceGroup,
        once: ExactlyOnce | None,
        turn: Turn,
    ) -> Outcome:
        is_new = True
        if once is None:
            await turn.take()
            made = await self._api.transport.call(self._api.create_request(group), turn.call)
        else:
            made, is_new = await once.create(group, turn)
        return Outcome(index, item, made, None, "created" if is_new else "existing")


def _broken_off(
    index: int, item: NewExperienceGroup | Mapping[str, Any], error: BaseException, status: BrokenOff
) -> Outcome:
    return Outcome(index, item, None, error, status)


def _to_new_group(item: object) -> NewExperienceGroup:
    if isinstance(item, Mapping):
        return wire.new_group(item)
    if not isinstance(item, NewExperienceGroup):
        raise TypeError(f"a group must be a NewExperienceGroup or a mapping, not {type(item).__name__}")
    return item


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
    wire.encode_argument("query", query)  # what is no JSON is an error of this call, not of the first step
    return copy.deepcopy(dict(query))  # what the caller changes later is no part of it


def _checked_choice(argument: str, value: object, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(choices)}, not {value!r}")
    return choices[choices.index(value)]  # as plain text, should it be a member of an enumeration
