"""The HTTP side of the emulated API: paths, statuses, tokens; all else is the store's or the messages'."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from .globbing import glob_matches
from .query_sql import QueryError
from .schemas import (
    ID,
    MEMBER_PARAMETERS,
    ApiProblem,
    GetParameters,
    ListParameters,
    NoParameters,
    read_parameters,
    read_patch,
    read_post,
    read_query,
    validation,
)
from .store import Group, Store, TreeError

logger = logging.getLogger("aiolosant.emulator")

STORE = web.AppKey("store", Store)

_APPLICATION = "/applications/{applicationId}"
_GROUPS = _APPLICATION + "/experience/groups"
_GROUP = _GROUPS + "/{experienceGroupId}"


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_application(store: Store, *middlewares: Any) -> web.Application:
    """The emulated API as an aiohttp application, with further middlewares around it."""
    # The largest body that is allowed, full of characters that JSON escapes, stays below this.
    app = web.Application(middlewares=[*middlewares, _errors, _tokens], client_max_size=4 * 1024 * 1024)
    app[STORE] = store
    calls = [
        ("GET", _GROUPS, _list, "experienceGroups.get"),
        ("POST", _GROUPS, _create, "experienceGroups.post"),
        ("GET", _GROUP, _get, "experienceGroup.get"),
        ("PATCH", _GROUP, _update, "experienceGroup.patch"),
        ("DELETE", _GROUP, _delete, "experienceGroup.delete"),
        ("GET", _APPLICATION, _application, "application.get"),
        ("GET", _APPLICATION + "/experience/users", _member_list("experienceUsers"), "experienceUsers.get"),
        ("GET", _APPLICATION + "/experience/endpoints", _member_list("experienceEndpoints"), "experienceEndpoints.get"),
        ("GET", _APPLICATION + "/devices", _member_list("devices"), "devices.get"),
    ]
    for method, path, handler, scope in calls:
        app.router.add_route(method, path, _scoped(handler, scope))
    return app


def _scoped(handler: Handler, scope: str) -> Handler:
    """A handler for tokens that have its scope, all of its resource's, or one for everything."""
    resource, _, action = scope.partition(".")
    everything = {"all.Application", "all.Organization", "all.User"}
    allowed = everything | {f"{resource}.*", scope}
    if action == "get":
        allowed |= {f"{wide}.read" for wide in everything}

    async def check(request: web.Request) -> web.StreamResponse:
        if not _scopes(request) & allowed:
            raise ApiProblem(403, "Forbidden", f"The token has none of the scopes {', '.join(sorted(allowed))}")
        return await handler(request)

    return check


def error_response(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error in Losant's shape."""
    response = _json({"type": kind, "message": message}, status)
    response.headers.update(headers or {})
    return response


def http_error_response(error: web.HTTPException) -> web.Response:
    """An error of aiohttp's own in Losant's shape."""
    # By name, because the interpreter's phrases for statuses differ between its versions.
    return error_response(error.status, type(error).__name__.removeprefix("HTTP"), error.reason)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiProblem as problem:
        return error_response(problem.status, problem.kind, problem.message)
    except web.HTTPNotFound:
        return error_response(404, "NotFound", f"the emulator does not answer {request.method} {request.path}")
    except web.HTTPException as error:  # aiohttp's own: no such path or method, a body that is too large
        return http_error_response(error)
    except ConnectionError:
        return web.Response(status=499)  # the client has gone; this reaches nobody
    except Exception:  # whatever else is a mistake of the emulator's: told here, and in the log
        logger.exception("%s %s", request.method, request.path_qs)
        return error_response(500, "InternalServerError", "the emulator failed; its log says why")


@web.middleware
async def _tokens(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.match_info.http_exception is not None:  # no such path or method; the others look at the scopes too
        _scopes(request)
    return await handler(request)


def _scopes(request: web.Request) -> set[str]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    scopes = request.app[STORE].scopes(token) if scheme == "Bearer" and token.isascii() else None
    if scopes is None:
        raise ApiProblem(401, "Unauthorized", "Unauthorized")
    return scopes


async def _list(request: web.Request) -> web.Response:
    application_id = _application_id(request)
    wanted = read_parameters(ListParameters, request.query)
    query = wanted.query.strip()  # a blank one filters nothing
    try:
        groups, total = request.app[STORE].page(
            application_id,
            sort_field=wanted.sort_field,
            descending=wanted.sort_direction.lower() == "desc",
            # A query overrides a filter, and without a field a filter means nothing.
            name_glob=wanted.filter if wanted.filter_field and not query else "",
            query=read_query(query) if query else None,
            offset=wanted.page * wanted.per_page,
            limit=wanted.per_page,
        )
    except QueryError as problem:
        raise validation(f"query is not valid: {problem}") from None
    links = _wants_links(request)
    return _json(
        {
            "_type": "experienceGroups",
            **({"_links": {"self": {"href": request.path_qs}}} if links else {}),
            "items": [written(group, links=links) for group in groups],
            "count": len(groups),
            "totalCount": total,
            "page": wanted.page,
            "perPage": wanted.per_page,
            "sortField": wanted.sort_field,
            "sortDirection": wanted.sort_direction,
            "filter": wanted.filter,
            "filterField": wanted.filter_field,
            "applicationId": application_id,
        }
    )


async def _create(request: web.Request) -> web.Response:
    application_id = _application_id(request)
    read_parameters(NoParameters, request.query)
    fields = read_post(await request.read())
    try:
        group = request.app[STORE].create(application_id, fields)
        return _json(written(group, links=_wants_links(request)), 201)
    except TreeError as problem:
        raise validation(str(problem)) from None


async def _application(request: web.Request) -> web.Response:
    application_id = _application_id(request)
    read_parameters(NoParameters, request.query)
    # As much of one as its groups need; https://docs.losant.com/rest-api/application/ has more.
    return _json({"id": application_id, "applicationId": application_id, "name": "Emulated application"})


async def _get(request: web.Request) -> web.Response:
    application_id, group_id = _application_id(request), _group_id(request)
    wanted = read_parameters(GetParameters, request.query)
    store = request.app[STORE]
    group = store.get(application_id, group_id)
    if group is None:
        raise _no_group()
    # Devices that only a device query brings into a group are not counted (assumed to be rare in tests).
    if wanted.include_direct_device_count:
        group["directDeviceCount"] = len(store.device_ids(application_id, group["id"], descendants=False))
    if wanted.include_total_device_count:
        group["totalDeviceCount"] = len(store.device_ids(application_id, group["id"], descendants=True))
    return _json(written(group, links=_wants_links(request)))


async def _update(request: web.Request) -> web.Response:
    application_id, group_id = _application_id(request), _group_id(request)
    read_parameters(NoParameters, request.query)
    changes = read_patch(await request.read())
    try:
        group = request.app[STORE].update(application_id, group_id, changes)
    except TreeError as problem:
        raise validation(str(problem)) from None
    if group is None:
        raise _no_group()
    return _json(written(group, links=_wants_links(request)))


async def _delete(request: web.Request) -> web.Response:
    application_id, group_id = _application_id(request), _group_id(request)
    read_parameters(NoParameters, request.query)
    if not request.app[STORE].delete(application_id, group_id):
        raise _no_group()
    return _json({"success": True})


def _application_id(request: web.Request) -> str:
    application_id = request.match_info["applicationId"]
    if not ID.fullmatch(application_id):
        raise validation("applicationId must be 24 hex digits")
    if application_id.lower() not in request.app[STORE].applications():
        raise ApiProblem(404, "NotFound", "Application was not found")
    return application_id.lower()


def _group_id(request: web.Request) -> str:
    group_id = request.match_info["experienceGroupId"]
    if not ID.fullmatch(group_id):
        raise validation("experienceGroupId must be 24 hex digits")
    return group_id


def _no_group() -> ApiProblem:
    return ApiProblem(404, "NotFound", "Experience Group was not found")


def _wants_links(request: web.Request) -> bool:
    # Links come unless they are declined (assumed: Losant's own clients always say).
    return request.query.get("_links") != "false"


def written(group: Group, *, links: bool = False) -> Group:
    """Return a group of the store as the API writes it."""
    path = f"/applications/{group['applicationId']}/experience/groups/{group['id']}"
    return {
        "_type": "experienceGroup",
        "_etag": f'"{group["lastUpdated"]:x}-{group["id"][-6:]}"',
        **({"_links": {"self": {"href": path}}} if links else {}),
        **group,
        "creationDate": _date(group["creationDate"]),
        "lastUpdated": _date(group["lastUpdated"]),
    }


def _member_list(kind: str) -> Handler:
    """The list of what groups have for members: users, endpoints, devices."""

    async def list_members(request: web.Request) -> web.Response:
        application_id = _application_id(request)
        wanted = read_parameters(MEMBER_PARAMETERS[kind], request.query)
        members = request.app[STORE].members(application_id, kind)
        if wanted.filter and wanted.filter_field:
            members = [one for one in members if glob_matches(wanted.filter, str(one.get(wanted.filter_field, "")))]
        descending = wanted.sort_direction.lower() == "desc"
        members.sort(key=lambda one: (str(one.get(wanted.sort_field, "")), one["id"]), reverse=descending)
        start = wanted.page * wanted.per_page
        items = members[start : start + wanted.per_page]
        return _json(
            {"_type": kind, "items": items, "count": len(items), "totalCount": len(members)}
            | {"applicationId": application_id}
            | msgspec.to_builtins(wanted)
        )

    return list_members


def _date(milliseconds: int) -> str:
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@functools.lru_cache(maxsize=10_000)
def _second(seconds: int) -> str:
    # Groups that were made together share their second, and dates are most of the work of a page.
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")
