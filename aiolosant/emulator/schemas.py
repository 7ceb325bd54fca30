"""What requests may say, as strictly as Losant's schemas have it, and how answers look.

Follows the published schemas experienceGroupPost, experienceGroupPatch and error (API version 1.29.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

ID = re.compile(r"[A-Fa-f0-9]{24}")
Id = Annotated[str, Meta(pattern=rf"^{ID.pattern}\Z")]
Ids = Annotated[list[Id], Meta(max_length=1000)]
TagKey = Annotated[str, Meta(pattern=r"^[0-9a-zA-Z_-]{1,255}\Z")]
TagValue = Annotated[str, Meta(min_length=1, max_length=255)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]


class ApiProblem(Exception):  # noqa: N818 - an answer, not a failure of the emulator
    """Ends a request with an error in Losant's shape."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


def validation(message: str) -> ApiProblem:
    """The answer to what the documentation does not allow."""
    return ApiProblem(400, "Validation", message)


class DeviceTag(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Devices by tag."""

    key: TagKey | UnsetType = UNSET
    value: TagValue | UnsetType = UNSET


class GroupPatch(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The body of an update: every field is optional."""

    name: Name | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=32767)] | UnsetType = UNSET
    experience_user_ids: Ids | UnsetType = UNSET
    experience_endpoint_ids: Ids | UnsetType = UNSET
    device_ids: Ids | UnsetType = UNSET
    group_tags: dict[TagKey, TagValue] | UnsetType = UNSET
    device_tags: Annotated[list[DeviceTag], Meta(max_length=100)] | UnsetType = UNSET
    device_query_json: Annotated[str, Meta(max_length=8192)] | UnsetType | None = UNSET
    parent_id: Id | UnsetType | None = UNSET


class GroupPost(GroupPatch, kw_only=True):
    """The body of a create: an update that must have a name."""

    name: Name


_post = msgspec.json.Decoder(GroupPost)
_patch = msgspec.json.Decoder(GroupPatch)


def read_post(body: bytes) -> dict[str, Any]:
    """The given fields of a create, by their API names."""
    return _read(_post, body)


def read_patch(body: bytes) -> dict[str, Any]:
    """The given fields of an update, by their API names."""
    return _read(_patch, body)


def _read(decoder: msgspec.json.Decoder[Any], body: bytes) -> dict[str, Any]:
    try:
        return msgspec.to_builtins(decoder.decode(body))  # type: ignore[no-any-return]  # a Struct becomes a dict
    except ValueError as problem:  # every error of msgspec and of UTF-8 is one
        raise validation(f"Body is not valid: {problem}") from None


def read_query(text: str) -> object:
    """The JSON of an advanced query."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as problem:
        raise validation(f"query is not valid JSON: {problem}") from None


class ListParameters(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The query string of a list."""

    sort_field: Literal["name", "id", "creationDate", "lastUpdated"] = "name"
    sort_direction: Literal["asc", "desc", "ASC", "DESC", ""] = "asc"
    page: Annotated[int, Meta(ge=0, le=2**31)] = 0  # the upper bound is assumed
    per_page: Annotated[int, Meta(ge=1, le=1000)] = 100
    filter_field: Literal["name", ""] = ""
    filter: str = ""
    query: str = ""


class GetParameters(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The query string of a get."""

    include_direct_device_count: bool = False
    include_total_device_count: bool = False


class NoParameters(msgspec.Struct, forbid_unknown_fields=True):
    """The query string of everything else."""


class _MemberParameters(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    sort_direction: Literal["asc", "desc", "ASC", "DESC", ""] = "asc"
    page: Annotated[int, Meta(ge=0, le=2**31)] = 0
    per_page: Annotated[int, Meta(ge=1, le=1000)] = 100
    filter: str = ""


class UserParameters(_MemberParameters):
    """The query string of a list of experience users."""

    sort_field: Literal["email", "id", "firstName", "lastName"] = "email"
    filter_field: Literal["email", "firstName", "lastName", ""] = ""


class EndpointParameters(_MemberParameters):
    """The query string of a list of experience endpoints."""

    sort_field: Literal["order", "method", "route", "id"] = "order"
    filter_field: Literal["method", "route", ""] = ""


class DeviceParameters(_MemberParameters):
    """The query string of a list of devices."""

    sort_field: Literal["name", "id"] = "name"
    filter_field: Literal["name", ""] = ""


MEMBER_PARAMETERS: dict[str, Any] = {
    "experienceUsers": UserParameters,
    "experienceEndpoints": EndpointParameters,
    "devices": DeviceParameters,
}


# Every call takes these; they shape what is not modelled here.
_SHAPING = ("_actions", "_links", "_embedded")


P = TypeVar("P", bound=msgspec.Struct)


def read_parameters(shape: type[P], query: Mapping[str, str]) -> P:
    """A query string, checked against `shape`."""
    shaping = {name: query[name] for name in _SHAPING if name in query}
    own = {name: value for name, value in query.items() if name not in _SHAPING}
    try:
        msgspec.convert(shaping, dict[str, bool], strict=False)
        return msgspec.convert(own, shape, strict=False)
    except msgspec.ValidationError as problem:
        raise validation(f"Query string is not valid: {problem}") from None
