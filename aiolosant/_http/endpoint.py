"""The calls of Losant's API for the groups of one application: requests out, models back."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from .._validation import check_id
from ..errors import NotFoundError, ResponseFormatError
from ..models import MAX_PER_PAGE, ExperienceGroup, NewExperienceGroup, Page, check_changes
from . import codec
from .deadline import Deadline
from .request import Request
from .transport import Sent, Transport

Params = Mapping[str, str | int]


class GroupsEndpoint:
    """The calls for the groups of one application.

    Follows https://docs.losant.com/rest-api/experience-groups/ and https://docs.losant.com/rest-api/experience-group/.

    Args:
        transport: Sends.
        application_id: Id of the application.

    Attributes:
        path: Path of the list of groups.
        application_id: As the argument.
    """

    def __init__(self, transport: Transport, application_id: str) -> None:
        self.transport = transport
        self.application_id = application_id
        self.path: str = f"/applications/{application_id}/experience/groups"

    async def fetch_page(
        self, params: Params, query: Mapping[str, Any], number: int, per_page: int
    ) -> Page[ExperienceGroup]:
        """Return one page of the list that `params` and an advanced query ask for; an empty query matches all."""
        params = {**params, "page": number, "perPage": per_page}
        if query:
            params["query"] = codec.encode(query).decode()
        decode = functools.partial(codec.decode_page, number=number, per_page=per_page)
        request = Request(method="GET", path=self.path, decode=decode, params=params)
        return await self.transport.call(request, Deadline(self.transport.timeout, patient=True))

    async def fetch_page_after(
        self, query: Mapping[str, Any], after: str | None, per_page: int, *, until: str | None = None, number: int = 0
    ) -> Page[ExperienceGroup]:
        """Return the groups that match a query, by ascending id, from the first whose id is greater than `after`.

        None is greater than `until`; with `number` so many pages of them are left out.
        """
        bounds = (("$gt", after), ("$lte", until))
        parts = [query] if query else []
        parts += [{"id": {operator: bound}} for operator, bound in bounds if bound is not None]
        condition = {"$and": parts} if len(parts) > 1 else parts[0] if parts else {}
        return await self.fetch_page({"sortField": "id", "sortDirection": "asc"}, condition, number, per_page)

    async def find_all(self, query: Mapping[str, Any]) -> list[ExperienceGroup]:
        """Return all groups that match a query, by ascending id.

        Raises:
            ResponseFormatError: The server counts more groups than it gives.
        """
        found: list[ExperienceGroup] = []
        while True:
            last = found[-1].id.lower() if found else None
            page = await self.fetch_page_after(query, last, MAX_PER_PAGE)
            if last is not None and page.items and page.items[0].id.lower() <= last:
                break
            found += page.items
            counted = page.per_page if page.total_count is None else page.total_count + 1
            if len(page.items) < counted and (page.total_count is None or len(page.items) >= page.total_count):
                return found
            if not page.items:
                break
        message = (
            f"the list makes no progress: {page.total_count} groups are behind {last or 'the start'}, and none comes"
        )
        raise ResponseFormatError(message, method="GET", path=self.path, attempts=1)

    async def find_by_ids(self, group_ids: Sequence[str]) -> dict[str, ExperienceGroup | None]:
        """Return groups by their ids in lower case, None for those that are not there; at most 100 at a time."""
        found: dict[str, ExperienceGroup | None] = {group_id.lower(): None for group_id in group_ids}
        for group in await self.find_all({"id": {"$in": list(found)}}):
            found[group.id.lower()] = group
        return found

    async def get(self, group_id: str, deadline: Deadline, params: Params | None = None) -> ExperienceGroup:
        """Return one group."""
        path = self._group_path(group_id)
        request = Request(method="GET", path=path, decode=codec.decode_group, params=params or {})
        return await self.transport.call(request, deadline)

    def create_request(
        self, group: NewExperienceGroup, precondition: Callable[[], Awaitable[object]] | None = None
    ) -> Request[ExperienceGroup]:
        """Return the request that creates a group."""
        body = codec.encode(codec.to_object(group))
        return Request(
            method="POST",
            path=self.path,
            decode=codec.decode_group,
            body=body,
            idempotent=False,
            precondition=precondition,
        )

    def update_request(
        self,
        group_id: str,
        changes: Mapping[str, Any],
        precondition: Callable[[], Awaitable[object]] | None = None,
        is_news: Callable[[], bool] | None = None,
    ) -> Request[ExperienceGroup]:
        """Check the changes to a group, and return the request that makes them."""
        path = self._group_path(group_id)
        body = codec.encode(codec.changes_to_object(check_changes(changes)))
        return Request(
            method="PATCH",
            path=path,
            decode=codec.decode_group,
            body=body,
            precondition=precondition,
            is_news=is_news,
            urgent=precondition is not None,
        )

    async def delete(
        self,
        group_id: str,
        deadline: Deadline,
        sent: Sent | None = None,
        precondition: Callable[[], Awaitable[object]] | None = None,
        is_news: Callable[[], bool] | None = None,
    ) -> None:
        """Delete a group. If an earlier attempt of this call may have deleted it, it is no error that it is gone."""
        sent = Sent() if sent is None else sent
        request = Request(
            method="DELETE",
            path=self._group_path(group_id),
            decode=codec.decode_success,
            precondition=precondition,
            is_news=is_news,
            urgent=precondition is not None,
        )
        try:
            await self.transport.call(request, deadline, sent)
        except NotFoundError:
            if not sent.in_doubt:
                raise

    def _group_path(self, group_id: str) -> str:
        return f"{self.path}/{check_id('group_id', group_id)}"
