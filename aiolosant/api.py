"""The calls of Losant's API for the groups of one application: requests out, models back."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from . import wire
from .attempt import Request
from .call import Call
from .checks import check_id
from .creation import ExactlyOnce
from .errors import NotFoundError
from .keys import ByName, ByTag, Identity
from .models import ExperienceGroup, NewExperienceGroup, Page, check_changes
from .pages import MAX_PER_PAGE, paginated
from .transport import Transport

Params = Mapping[str, str | int]


class GroupsApi:
    """The calls for the groups of one application; the caller of each says how much time it has.

    Follows https://docs.losant.com/rest-api/experience-groups/ and https://docs.losant.com/rest-api/experience-group/.

    Args:
        transport: Sends.
        application_id: Id of the application.

    Attributes:
        path: Path of the list of groups.
    """

    def __init__(self, transport: Transport, application_id: str) -> None:
        self.transport = transport
        self.path = f"/applications/{application_id}/experience/groups"

    async def fetch_page(self, params: Params, number: int, per_page: int) -> Page[ExperienceGroup]:
        """One page of the list that `params` ask for."""
        decode = functools.partial(wire.decode_page, number=number, per_page=per_page)
        request = Request("GET", self.path, decode, params={**params, "page": number, "perPage": per_page})
        return await self.transport.call(request, self.patient_call())

    async def find(self, query: dict[str, Any]) -> list[ExperienceGroup]:
        """All groups that match an advanced query, oldest first."""
        params = {"sortField": "id", "sortDirection": "asc", "query": wire.encode(query).decode()}
        fetch = functools.partial(self.fetch_page, params)
        return await paginated(fetch, per_page=MAX_PER_PAGE, start_page=0, prefetch=0, path=self.path).to_list()

    async def get(self, group_id: str, call: Call, params: Params | None = None) -> ExperienceGroup:
        """One group."""
        request = Request("GET", self._group_path(group_id), wire.decode_group, params=params or {})
        return await self.transport.call(request, call)

    def create_request(self, group: NewExperienceGroup) -> Request[ExperienceGroup]:
        """What creates a group when it is sent."""
        body = wire.encode(wire.to_object(group))
        return Request("POST", self.path, wire.decode_group, body=body, idempotent=False)

    async def update(self, group_id: str, changes: Mapping[str, Any], call: Call) -> ExperienceGroup:
        """Check the changes, make them, and return the group as it is then."""
        path = self._group_path(group_id)
        body = wire.encode(wire.changes_to_object(check_changes(changes)))
        return await self.transport.call(Request("PATCH", path, wire.decode_group, body=body), call)

    async def delete(self, group_id: str, call: Call) -> None:
        """Delete a group."""
        try:
            await self.transport.call(Request("DELETE", self._group_path(group_id), wire.decode_success), call)
        except NotFoundError:
            # Gone by an earlier attempt of ours, whose answer was lost.
            if not call.doubtful:
                raise

    def exactly_once(self, unique_by: Identity, *, gather: bool) -> ExactlyOnce:
        """Creates groups that must exist only once; for `gather` see `ExactlyOnce`."""
        if not isinstance(unique_by, ByName | ByTag):
            raise TypeError(f"unique_by must be by_name() or by_tag(key), not {type(unique_by).__name__}")
        scope = self.path.lower()  # one application, however its id is written
        return ExactlyOnce(self.transport, self.create_request, unique_by, self.find, scope=scope, gather=gather)

    def patient_call(self) -> Call:
        """A call whose clock stands still while it waits for the server's pace."""
        return Call(self.transport.timeout, patient=True)

    def _group_path(self, group_id: str) -> str:
        return f"{self.path}/{check_id('group_id', group_id)}"
