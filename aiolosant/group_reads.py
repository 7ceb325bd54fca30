"""The verbs that read experience groups: list, scan, get."""

from __future__ import annotations

import asyncio
import copy
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ._batch.lookup import MOST_KEYS
from ._http import codec
from ._http.deadline import Deadline
from ._http.endpoint import GroupsEndpoint
from ._paging.keyset import KeysetPages
from ._paging.numbered import paginated
from ._paging.paginator import PageIterator, Paginator
from ._paging.parallel import ParallelPages
from ._validation import check_flag, check_id, check_items, check_range, check_text
from .models import MAX_PER_PAGE, ExperienceGroup, Page
from .query import Query

SortField = Literal["name", "id", "creationDate", "lastUpdated"]
SortDirection = Literal["asc", "desc"]

_SORT_FIELDS = ("name", "id", "creationDate", "lastUpdated")
_SORT_DIRECTIONS = ("asc", "desc")


class GroupReads:
    """The part of `ExperienceGroups` that reads."""

    def __init__(self, endpoint: GroupsEndpoint) -> None:
        self._endpoint = endpoint
        self._transport = endpoint.transport

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
        self,
        *,
        query: Mapping[str, Any] | Query | None = None,
        per_page: int = 1000,
        after: str | None = None,
        parallel: int = 1,
    ) -> Paginator[ExperienceGroup]:
        """The groups that match, by ascending id: an exact reading of a collection that others change meanwhile.

        Every group that is there and matches throughout comes exactly once, and any other at most once, whatever is
        created, renamed, moved and deleted meanwhile. Each page is asked for by what it begins behind (`id` greater
        than the last one's), not by its number.

        Args:
            query: An Advanced Experience Group Query: built with `Q`, or a dict. None for all groups.
            per_page: Groups to ask for at a time, 1 to 1,000.
            after: Id of a group to go on behind, such as the last one of a scan that was broken off.
            parallel: How many ranges of ids to read side by side, 1 or more. Of more than one, groups come in the order
                of their ids within a range alone, so that a scan that is broken off cannot go on with `after`.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: `per_page` or `parallel` is out of its range, or `after` is no id.
        """
        check_range("per_page", per_page, 1, MAX_PER_PAGE)
        check_range("parallel", parallel, 1)
        condition = _checked_query(query)
        if after is not None:
            after = check_id("after", after).lower()

        def open_pages(size: int) -> PageIterator[ExperienceGroup]:
            if parallel == 1 or size == 1:  # `first` and `count` need no ranges
                return self._range(condition, size, after, None)
            open_ranges = functools.partial(self._ranges, condition, size, after, parallel)
            return ParallelPages(open_ranges, self._transport.start_task)

        return Paginator(open_pages, per_page=per_page)

    def _range(
        self, query: Mapping[str, Any], per_page: int, after: str | None, until: str | None
    ) -> KeysetPages[ExperienceGroup]:
        fetch = functools.partial(self._endpoint.fetch_page_after, query, until=until)
        return KeysetPages(fetch, _id_of, per_page=per_page, after=after, path=self._endpoint.path)

    async def _ranges(
        self, query: Mapping[str, Any], per_page: int, after: str | None, parallel: int
    ) -> tuple[Page[ExperienceGroup], Sequence[KeysetPages[ExperienceGroup]]]:
        """Return the first page, and a walk for each range of ids behind it, split at ids that are there now."""
        head = self._range(query, per_page, after, None)
        first = await anext(head)
        left = (first.total_count or 0) - len(first.items)
        if left <= 0 or not first.items:  # it is all there is, or nobody knows how much there is
            return first, [head]
        last, count = _id_of(first.items[-1]), min(parallel, -(-left // per_page))
        tasks = [
            self._transport.start_task(self._endpoint.fetch_page_after(query, last, 1, number=left * n // count))
            for n in range(1, count)
        ]
        try:
            splits = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        ids = dict.fromkeys(_id_of(group) for page in splits for group in page.items)
        return first, [
            self._range(query, per_page, low, high) for low, high in itertools.pairwise([last, *sorted(ids), None])
        ]

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

    async def get_many(self, group_ids: Iterable[str]) -> dict[str, ExperienceGroup]:
        """Many groups by their ids, 100 in one query; an id that has no group is left out.

        Raises:
            NotFoundError: There is no such application.
            TypeError: `group_ids` is text, or an id is not.
            ValueError: An id is not 24 hex digits.
        """
        given = {check_id(f"group_ids[{n}]", one): None for n, one in enumerate(check_items("group_ids", group_ids))}
        ids = list(dict.fromkeys(one.lower() for one in given))
        queries = [
            self._transport.start_task(self._endpoint.find_by_ids(ids[start : start + MOST_KEYS]))
            for start in range(0, len(ids), MOST_KEYS)
        ]
        try:
            answers = await asyncio.gather(*queries)
        finally:
            for query in queries:
                query.cancel()
        found = {group_id: group for answer in answers for group_id, group in answer.items()}
        return {one: group for one in given if (group := found[one.lower()]) is not None}


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
