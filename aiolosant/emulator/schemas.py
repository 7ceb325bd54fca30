"""What the bodies of requests may say, as strictly as Losant's schemas have it, and how a refusal looks.

Follows the published schemas of API version 1.30.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

ID = re.compile(r"[A-Fa-f0-9]{24}")
Id = Annotated[str, Meta(pattern=rf"^{ID.pattern}\Z")]
Ids = Annotated[list[Id], Meta(max_length=1000)]
TagKey = Annotated[str, Meta(pattern=r"^[0-9a-zA-Z_-]{1,255}\Z")]
TagValue = Annotated[str, Meta(min_length=1, max_length=255)]
Tags = dict[TagKey, TagValue]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=1024)]
# The schema says only that it is an address (`format: email`).
Email = Annotated[str, Meta(max_length=1024, pattern=r"^[^@\s]+@[^@\s]+\Z")]
Password = Annotated[str, Meta(min_length=8, max_length=2048)]
Description = Annotated[str, Meta(max_length=32767)]


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
    """The body of an update of a group: every field is optional."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    experience_user_ids: Ids | UnsetType = UNSET
    experience_endpoint_ids: Ids | UnsetType = UNSET
    device_ids: Ids | UnsetType = UNSET
    group_tags: Tags | UnsetType = UNSET
    device_tags: Annotated[list[DeviceTag], Meta(max_length=100)] | UnsetType = UNSET
    device_query_json: Annotated[str, Meta(max_length=8192)] | UnsetType | None = UNSET
    parent_id: Id | UnsetType | None = UNSET


class GroupPost(GroupPatch, kw_only=True):
    """The body of a create: an update that must have a name."""

    name: Name  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride]  # required here


class UserPatch(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The body of an update of a user."""

    email: Email | UnsetType = UNSET
    first_name: Text | UnsetType = UNSET
    last_name: Text | UnsetType = UNSET
    password: Annotated[str, Meta(min_length=8, max_length=2048)] | UnsetType = UNSET
    token_cutoff: datetime | UnsetType = UNSET
    user_tags: Tags | UnsetType = UNSET
    experience_group_ids: Ids | UnsetType = UNSET


class UserPost(UserPatch, kw_only=True):
    """The body of a create of a user."""

    email: Email  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride]  # required here
    password: Password  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride]  # as above


class Reply(msgspec.Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """What an endpoint answers by itself."""

    value: str
    type: Literal["page", "redirect"]
    status_code: Annotated[int, Meta(ge=100, le=599)] | UnsetType = UNSET


ENDPOINT_METHODS = ("delete", "get", "options", "patch", "post", "put")


class EndpointPatch(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The body of an update of an endpoint."""

    description: Description | UnsetType = UNSET
    route: Annotated[str, Meta(min_length=1, max_length=1024)] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    method: Literal["delete", "get", "options", "patch", "post", "put"] | UnsetType = UNSET
    access: Literal["public", "authenticated", "group", "device"] | UnsetType = UNSET
    device_id_template: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    endpoint_tags: Tags | UnsetType = UNSET
    experience_group_ids: Ids | UnsetType = UNSET
    static_reply: Reply | UnsetType | None = UNSET
    unauthorized_reply: Reply | UnsetType | None = UNSET


class EndpointPost(EndpointPatch, kw_only=True):
    """The body of a create of an endpoint."""

    route: Annotated[str, Meta(min_length=1, max_length=1024)]  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride]  # required here
    method: Literal["delete", "get", "options", "patch", "post", "put"]  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride]  # required here


def read_body(shape: type[msgspec.Struct], body: bytes) -> dict[str, Any]:
    """The given fields of a body, by their API names.

    Raises:
        NoJsonError: It is no JSON.
        ApiProblem: It is not of its shape.
    """
    try:
        decoded = msgspec.json.decode(body)
    except (ValueError, RecursionError) as problem:
        raise NoJsonError(f"Body is no JSON: {problem}") from None
    try:
        return msgspec.to_builtins(msgspec.convert(decoded, shape))  # type: ignore[no-any-return]  # a Struct becomes a dict
    except ValueError as problem:
        raise validation(f"Body is not valid: {problem}") from None


class NoJsonError(Exception):
    """The body of a request is no JSON."""
