"""The calls about users, endpoints and devices, as far as groups have them.

Follows https://docs.losant.com/rest-api/experience-users/, https://docs.losant.com/rest-api/experience-endpoints/ and
https://docs.losant.com/rest-api/devices/. Who is in which group is told from either side, and is one list of the group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from .globbing import glob_matches
from .group_calls import written_date
from .members import Kind, Member
from .operation import Call, Operation
from .parameters import (
    DeviceListParameters,
    DeviceParameters,
    EndpointDeleteParameters,
    EndpointListParameters,
    EndpointParameters,
    PagedParameters,
    UserListParameters,
    read_query,
)
from .query_fields import DEVICE_FIELDS, USER_FIELDS, has_email, has_one_of, members_of
from .query_sql import Condition, UnknownFieldError, compile_query
from .schemas import ApiProblem, EndpointPatch, EndpointPost, UserPatch, UserPost, validation

_DATES = ("creationDate", "lastUpdated", "passwordLastUpdated")
_MOST_MEMBERS = 1000
_LIST_OF: dict[Kind, str] = {"experienceUsers": "experienceUserIds", "experienceEndpoints": "experienceEndpointIds"}


# Users.


def _list_users(call: Call) -> object:
    wanted: UserListParameters = call.parameters
    if call.prepared is not None:  # a query overrides all other filters
        return _page(call, "experienceUsers", [call.prepared], filtered=False)
    return _page(
        call, "experienceUsers", _of_group(wanted.experience_group_id, ancestors=wanted.include_ancestor_groups)
    )


def _checked_user_query(wanted: UserListParameters) -> Condition | None:
    query = read_query(wanted.query)
    return None if query is None else compile_query(query, USER_FIELDS)


def _of_group(group_id: str | None, *, ancestors: bool = False) -> list[Condition]:
    return [] if group_id is None else [members_of(group_id, ancestors=ancestors)]


def _create_user(call: Call) -> object:
    _check_email(call, None)
    return _create(call, "experienceUsers", {"firstName": "", "lastName": "", "userTags": {}})


def _update_user(call: Call) -> object:
    _check_email(call, call.ids["experienceUserId"])
    return _update(call, "experienceUsers", "experienceUserId")


def _check_email(call: Call, own_id: str | None) -> None:
    # Two users of one application cannot log in with the same address (undocumented for the API, and assumed).
    if (email := call.body.get("email")) is None:
        return
    others = call.state.members.find(call.application_id, "experienceUsers", has_email(email))
    if any(user["id"] != (own_id or "").lower() for user in others):
        raise validation(f"email {email} is another user's")


# Endpoints.


def _list_endpoints(call: Call) -> object:
    wanted: EndpointListParameters = call.parameters
    if wanted.version != "develop":  # there is one version here
        return _page(call, "experienceEndpoints", [Condition("0")])
    return _page(call, "experienceEndpoints", _of_group(wanted.experience_group_id))


def _create_endpoint(call: Call) -> object:
    defaults = {"description": "", "enabled": True, "access": "public", "endpointTags": {}}
    return _create(call, "experienceEndpoints", defaults)


def _update_endpoint(call: Call) -> object:
    return _update(call, "experienceEndpoints", "experienceEndpointId")


# Devices.


def _list_devices(call: Call) -> object:
    wanted: DeviceListParameters = call.parameters
    conditions, is_query = call.prepared
    if wanted.query_deleted:  # nothing is deleted here
        conditions = [Condition("0")]
    return _page(call, "devices", conditions, filtered=not is_query)


def _checked_device_filters(wanted: DeviceListParameters) -> tuple[list[Condition], bool]:
    """The conditions of a list of devices, and whether they are those of a query, which overrides the rest."""
    query = read_query(wanted.query)
    if query is not None:
        try:
            return [compile_query(query, DEVICE_FIELDS)], True
        except UnknownFieldError as problem:
            message = f"The emulator of aiolosant does not know this part of a device query: {problem}"
            raise ApiProblem(501, "NotImplemented", message) from None
    conditions = [] if wanted.tag_filter is None else _tagged(wanted.tag_filter)
    for field, value in (("deviceClass", wanted.device_class), ("parentId", wanted.parent_id)):
        if value is not None:
            conditions.append(has_one_of(field, _texts(value)))
    return conditions, False


def _tagged(text: str) -> list[Condition]:
    """Devices that have each of these tags, as `tagFilter` gives them: an array of keys, values, or both."""
    try:
        tags = msgspec.json.decode(text, type=list[dict[Literal["key", "value"], str]])
    except ValueError as problem:
        raise validation(f"tagFilter is not valid: {problem}") from None
    return [compile_query({"tags": {f"$tag{part.title()}": tag[part] for part in tag}}, DEVICE_FIELDS) for tag in tags]


def _texts(text: str) -> list[str]:
    """One text, or a JSON array of several."""
    try:
        return msgspec.json.decode(text, type=list[str])
    except ValueError:
        return [text]


# All of them.


def _page(call: Call, kind: Kind, conditions: Iterable[Condition], *, filtered: bool = True) -> object:
    wanted = call.parameters
    members = call.state.members.find(call.application_id, kind, *conditions)
    if filtered and wanted.filter and wanted.filter_field:
        members = [one for one in members if glob_matches(wanted.filter, str(one.get(wanted.filter_field, "")))]
    members.sort(
        key=lambda one: (str(one.get(wanted.sort_field, "")), one["id"]), reverse=wanted.sort_direction == "desc"
    )
    page: dict[str, Any] = {}
    items = members
    if isinstance(paging := call.parameters, PagedParameters):
        start = paging.page * paging.per_page
        items = members[start : start + paging.per_page]
        page = {"page": paging.page, "perPage": paging.per_page}
    return {
        "_type": kind,
        "items": [_written(call, kind, item) for item in items],
        "count": len(items),
        "totalCount": len(members),
        "applicationId": call.application_id,
        "sortField": wanted.sort_field,
        "sortDirection": wanted.sort_direction,
        "filter": wanted.filter,
        "filterField": wanted.filter_field or "",
        **page,
    }


def _create(call: Call, kind: Kind, defaults: Mapping[str, Any]) -> object:
    wanted = _wanted_groups(call)
    _check_room(call, kind, "", wanted)
    member_id = call.state.members.add(call.application_id, kind, {**defaults, **_own_fields(call)})
    _put_into_groups(call, kind, member_id, wanted)
    return _get(call, kind, member_id)


def _update(call: Call, kind: Kind, id_name: str) -> object:
    member, wanted = _found(call, kind, call.ids[id_name]), _wanted_groups(call)
    _check_room(call, kind, member["id"], wanted)
    call.state.members.update(member, _own_fields(call))
    _put_into_groups(call, kind, member["id"], wanted)
    return _get(call, kind, member["id"])


def _own_fields(call: Call) -> dict[str, Any]:
    return {name: value for name, value in call.body.items() if name not in ("password", "experienceGroupIds")}


def _wanted_groups(call: Call) -> set[str] | None:
    """The groups that a body names; None if it says nothing of groups."""
    if "experienceGroupIds" not in call.body:
        return None
    wanted = {group_id.lower() for group_id in call.body["experienceGroupIds"]}
    if missing := [one for one in wanted if call.state.groups.get(call.application_id, one) is None]:
        raise validation(f"experienceGroupIds: {', '.join(missing)} are no groups of this application")  # assumed
    return wanted


def _check_room(call: Call, kind: Kind, member_id: str, wanted: set[str] | None) -> None:
    """Refuse what would make a group too large, before anything is written."""
    for group_id in wanted or ():
        group = call.state.groups.get(call.application_id, group_id)
        if group and sum(one.lower() != member_id for one in group[_LIST_OF[kind]]) >= _MOST_MEMBERS:
            raise validation(f"group {group_id} would have more than {_MOST_MEMBERS} members")


def _put_into_groups(call: Call, kind: Kind, member_id: str, wanted: set[str] | None) -> None:
    """Let a member be in these groups, and in no others."""
    if wanted is None:
        return
    before = {group["id"] for group in call.state.members.groups_of(call.application_id, member_id)}
    for group_id in before ^ wanted:
        group = call.state.groups.get(call.application_id, group_id)
        others = [one for one in group[_LIST_OF[kind]] if one.lower() != member_id] if group else []
        changed = [*others, member_id] if group_id in wanted else others
        call.state.groups.update(call.application_id, group_id, {_LIST_OF[kind]: changed})


def _get(call: Call, kind: Kind, member_id: str) -> object:
    return _written(call, kind, _found(call, kind, member_id))


def _delete(call: Call, kind: Kind, member_id: str) -> object:
    member = _found(call, kind, member_id)
    _put_into_groups(call, kind, member["id"], set())
    call.state.members.delete(member["id"])
    return {"success": True}


def _found(call: Call, kind: Kind, member_id: str) -> Member:
    member = call.state.members.get(call.application_id, kind, member_id)
    if member is None:
        words = {"experienceUsers": "Experience User", "experienceEndpoints": "Experience Endpoint"}
        raise ApiProblem(404, "NotFound", f"{words.get(kind, 'Device')} was not found")
    return member


def _written(call: Call, kind: Kind, member: Member) -> dict[str, Any]:
    one = kind.removesuffix("s")
    item = {"_type": one, f"{one}Id": member["id"], **member}
    item |= {name: written_date(member[name]) for name in _DATES if name in member}
    if kind == "devices":
        if call.parameters.tags_as_object:
            item["tags"] = {tag["key"]: [] for tag in member["tags"]}
            for tag in member["tags"]:
                item["tags"][tag["key"]].append(tag["value"])
        if call.parameters.attributes_as_object:
            item["attributes"] = {attribute["name"]: attribute for attribute in member["attributes"]}
        return item
    item["experienceGroups"] = call.state.members.groups_of(call.application_id, member["id"])
    return item


_USERS = "/applications/{applicationId}/experience/users"
_USER = _USERS + "/{experienceUserId}"
_ENDPOINTS = "/applications/{applicationId}/experience/endpoints"
_ENDPOINT = _ENDPOINTS + "/{experienceEndpointId}"
_DEVICES = "/applications/{applicationId}/devices"
_DEVICE = _DEVICES + "/{deviceId}"


def _get_one(kind: Kind, id_name: str) -> Any:
    return lambda call: _get(call, kind, call.ids[id_name])


def _delete_one(kind: Kind, id_name: str) -> Any:
    return lambda call: _delete(call, kind, call.ids[id_name])


MEMBER_OPERATIONS = (
    Operation("GET", _USERS, "experienceUsers.get", _list_users, UserListParameters, prepare=_checked_user_query),
    Operation("POST", _USERS, "experienceUsers.post", _create_user, body=UserPost, status=201),
    Operation("GET", _USER, "experienceUser.get", _get_one("experienceUsers", "experienceUserId")),
    Operation("PATCH", _USER, "experienceUser.patch", _update_user, body=UserPatch),
    Operation("DELETE", _USER, "experienceUser.delete", _delete_one("experienceUsers", "experienceUserId")),
    Operation("GET", _ENDPOINTS, "experienceEndpoints.get", _list_endpoints, EndpointListParameters),
    Operation("POST", _ENDPOINTS, "experienceEndpoints.post", _create_endpoint, body=EndpointPost, status=201),
    Operation(
        "GET",
        _ENDPOINT,
        "experienceEndpoint.get",
        _get_one("experienceEndpoints", "experienceEndpointId"),
        EndpointParameters,
    ),
    Operation("PATCH", _ENDPOINT, "experienceEndpoint.patch", _update_endpoint, body=EndpointPatch),
    Operation(
        "DELETE",
        _ENDPOINT,
        "experienceEndpoint.delete",
        _delete_one("experienceEndpoints", "experienceEndpointId"),
        EndpointDeleteParameters,
    ),
    Operation("GET", _DEVICES, "devices.get", _list_devices, DeviceListParameters, prepare=_checked_device_filters),
    Operation("GET", _DEVICE, "device.get", _get_one("devices", "deviceId"), DeviceParameters),
)
