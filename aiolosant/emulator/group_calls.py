"""The calls about groups.

Follows https://docs.losant.com/rest-api/experience-groups/ and https://docs.losant.com/rest-api/experience-group/.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime

from .operation import Call, Operation
from .parameters import GroupListParameters, GroupParameters, read_query
from .query_fields import GROUP_FIELDS
from .query_sql import compile_query
from .schemas import ApiProblem, GroupPatch, GroupPost
from .store import Group

_GROUPS = "/applications/{applicationId}/experience/groups"
_GROUP = _GROUPS + "/{experienceGroupId}"


def _list(call: Call) -> object:
    wanted: GroupListParameters = call.parameters
    query = call.prepared
    groups, total = call.state.listed().page(
        call.application_id,
        sort_field=wanted.sort_field,
        descending=wanted.sort_direction == "desc",
        # A query overrides a filter, and without a field a filter means nothing.
        name_glob=wanted.filter if wanted.filter_field and query is None else "",
        query=query,
        offset=wanted.page * wanted.per_page,
        limit=wanted.per_page,
    )
    return {
        "_type": "experienceGroups",
        **({"_links": {"self": {"href": call.target}}} if call.links else {}),
        "items": [written(group, links=call.links) for group in groups],
        "count": len(groups),
        "totalCount": total,
        "page": wanted.page,
        "perPage": wanted.per_page,
        "sortField": wanted.sort_field,
        "sortDirection": wanted.sort_direction,
        "filter": wanted.filter,
        "filterField": wanted.filter_field or "",
        "applicationId": call.application_id,
    }


def _checked_query(wanted: GroupListParameters) -> object:
    query = read_query(wanted.query)
    if query is not None:
        compile_query(query, GROUP_FIELDS)
    return query


def _create(call: Call) -> object:
    return written(call.state.groups.create(call.application_id, call.body), links=call.links)


def _get(call: Call) -> object:
    wanted: GroupParameters = call.parameters
    group = _found(call.state.groups.get(call.application_id, call.ids["experienceGroupId"]))
    if wanted.include_direct_device_count:
        group["directDeviceCount"] = call.state.groups.device_count(group["id"], descendants=False)
    if wanted.include_total_device_count:
        group["totalDeviceCount"] = call.state.groups.device_count(group["id"], descendants=True)
    return written(group, links=call.links)


def _update(call: Call) -> object:
    group = call.state.groups.update(call.application_id, call.ids["experienceGroupId"], call.body)
    return written(_found(group), links=call.links)


def _delete(call: Call) -> object:
    if not call.state.groups.delete(call.application_id, call.ids["experienceGroupId"]):
        _found(None)
    return {"success": True}


def _found(group: Group | None) -> Group:
    if group is None:
        raise ApiProblem(404, "NotFound", "Experience Group was not found")
    return group


GROUP_OPERATIONS = (
    Operation("GET", _GROUPS, "experienceGroups.get", _list, GroupListParameters, prepare=_checked_query),
    Operation("POST", _GROUPS, "experienceGroups.post", _create, body=GroupPost, status=201),
    Operation("GET", _GROUP, "experienceGroup.get", _get, GroupParameters),
    Operation("PATCH", _GROUP, "experienceGroup.patch", _update, body=GroupPatch),
    Operation("DELETE", _GROUP, "experienceGroup.delete", _delete),
)


def written(group: Group, *, links: bool = False) -> Group:
    """Return a group of the store as the API writes it."""
    path = f"/applications/{group['applicationId']}/experience/groups/{group['id']}"
    return {
        "_type": "experienceGroup",
        "_etag": f'"{group["lastUpdated"]:x}-{group["id"][-6:]}"',
        **({"_links": {"self": {"href": path}}} if links else {}),
        **group,
        "creationDate": written_date(group["creationDate"]),
        "lastUpdated": written_date(group["lastUpdated"]),
    }


def written_date(milliseconds: int) -> str:
    """Return a date as the API writes it."""
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@functools.lru_cache(maxsize=10_000)
def _second(seconds: int) -> str:
    # Groups that were made together share their second, and dates are most of the work of a page.
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
