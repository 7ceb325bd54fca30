"""What the query strings of requests may say, read as Losant's server framework reads them.

Only what is declared is read; the rest is ignored, or refused by a strict emulator. Follows the published description
of the API, version 1.30.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .schemas import ID, Id, validation


class NoParameters(msgspec.Struct, rename="camel"):
    """The query string of calls that take nothing but what every call takes."""


class SortedParameters(msgspec.Struct, rename="camel", kw_only=True):
    """What every list takes. Each has a `sort_field` and a `filter_field` of its own."""

    sort_direction: Literal["asc", "desc"] = "asc"
    filter: str = ""


class PagedParameters(SortedParameters, kw_only=True):
    """What every list in pages takes."""

    # Declared as text without bounds; what is beyond them is private code, and refused here (assumed).
    page: Annotated[int, Meta(ge=0, le=2**31)] = 0
    per_page: Annotated[int, Meta(ge=1, le=1000)] = 100


class GroupListParameters(PagedParameters, kw_only=True):
    """The query string of a list of groups."""

    sort_field: Literal["name", "id", "creationDate", "lastUpdated"] = "name"
    filter_field: Literal["name"] | UnsetType = UNSET
    query: str | None = None


class GroupParameters(msgspec.Struct, rename="camel"):
    """The query string of a get."""

    include_direct_device_count: bool = False
    include_total_device_count: bool = False


class UserListParameters(PagedParameters, kw_only=True):
    """The query string of a list of users."""

    sort_field: Literal["firstName", "lastName", "email", "id", "creationDate", "lastLogin", "lastUpdated"] = "email"
    filter_field: Literal["firstName", "lastName", "email"] | UnsetType = UNSET
    experience_group_id: Annotated[str, Meta(pattern=rf"^({ID.pattern}|any|none)\Z")] | None = None
    include_ancestor_groups: bool = False
    query: str | None = None


class EndpointListParameters(SortedParameters, kw_only=True):
    """The query string of a list of endpoints, which is not paged."""

    sort_field: Literal["order", "method", "route", "id", "creationDate", "requestCount", "lastUpdated"] = "order"
    filter_field: Literal["method", "route"] | UnsetType = UNSET
    experience_group_id: Id | None = None
    request_count_duration: str | None = None
    version: str = "develop"


class EndpointParameters(msgspec.Struct, rename="camel"):
    """The query string of a get of an endpoint."""

    version: str = "develop"


class EndpointDeleteParameters(msgspec.Struct, rename="camel"):
    """The query string of a delete of an endpoint; there are no workflows here."""

    include_workflows: str | None = None


class DeviceParameters(msgspec.Struct, rename="camel", kw_only=True):
    """The query string of a get of a device."""

    exclude_connection_info: bool = False
    tags_as_object: bool = False
    attributes_as_object: bool = False


class DeviceListParameters(PagedParameters, kw_only=True):
    """The query string of a list of devices."""

    sort_field: Literal["name", "id", "creationDate", "lastUpdated", "connectionStatus", "deletedAt"] = "name"
    filter_field: Literal["name"] | UnsetType = UNSET
    device_class: str | None = None
    tag_filter: str | None = None
    parent_id: str | None = None
    query: str | None = None
    query_deleted: bool = False
    exclude_connection_info: bool = False
    tags_as_object: bool = False
    attributes_as_object: bool = False


class SummaryParameters(msgspec.Struct, rename="camel"):
    """The query string of a get of an application, whose summary is not modelled here."""

    summary_exclude: str = ""
    summary_include: str = ""


class MeParameters(SummaryParameters):
    """The query string of a get of oneself."""

    include_recent: bool = False


class Shaping(msgspec.Struct):
    """What every call takes, and what shapes its answer. Only links are modelled here."""

    actions: bool = msgspec.field(name="_actions", default=True)
    links: bool = msgspec.field(name="_links", default=True)
    embedded: bool = msgspec.field(name="_embedded", default=True)


P = TypeVar("P", bound=msgspec.Struct)

_FLATTENED = re.compile(r"(\w+)\[(\d{1,4})\]\[(\w+)\]")
_EVERYWHERE = {"_actions", "_links", "_embedded", "access_token"}


def read_parameters(shape: type[P], query: Mapping[str, str], *, strict: bool) -> P:
    """A query string, checked against `shape`.

    Raises:
        ApiProblem: A parameter has a value that it cannot have, or it is not declared and that is asked for.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    query = _unflattened(query)
    if strict and (unknown := set(query) - set(fields) - _EVERYWHERE):
        raise validation(f"Query string is not valid: undeclared {', '.join(sorted(unknown))} (the emulator is strict)")
    given = {
        name: _flag(query[name]) if field.type is bool else query[name]
        for name, field in fields.items()
        if name in query
    }
    try:
        return msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as problem:
        raise validation(f"Query string is not valid: {problem}") from None


def _unflattened(query: Mapping[str, str]) -> Mapping[str, str]:
    """A query string in which `name[0][key]=text`, as Losant's own clients send arrays, is `name` with JSON."""
    plain: dict[str, str] = {}
    arrays: dict[str, dict[int, dict[str, str]]] = {}
    for name, text in query.items():
        if found := _FLATTENED.fullmatch(name):
            arrays.setdefault(found[1], {}).setdefault(int(found[2]), {})[found[3]] = text
        else:
            plain[name] = text
    return plain | {name: msgspec.json.encode(list(items.values())).decode() for name, items in arrays.items()}


def _flag(text: str) -> bool:
    return text in ("true", "1", "yes")  # as the framework reads them: anything else is false, and never a 400


def read_query(text: str | None) -> dict[str, Any] | None:
    """The JSON of an advanced query; None if there is none.

    Raises:
        ApiProblem: It is no JSON object.
    """
    if text is None:
        return None
    try:
        query = msgspec.json.decode(text)
    except (ValueError, RecursionError) as problem:
        raise validation(f"query is not valid JSON: {problem}") from None
    if not isinstance(query, dict):  # `null` and blank are none either: it is declared as an object
        raise validation("query is not a JSON object")
    return query
