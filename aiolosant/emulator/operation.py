"""What one call of the emulated API is: its path and scope, what it takes, and who answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import msgspec

from .parameters import NoParameters
from .state import State


@attrs.frozen
class Call:
    """One request that may be answered: it was checked, and its token may make it.

    Attributes:
        state: What the emulator knows.
        application_id: The application of the path; "" for a path without one.
        ids: The other ids of the path, by their names.
        parameters: The query string, read.
        prepared: What the operation's `prepare` made of it.
        body: The body, by the API's names.
        links: Whether links are wanted.
        target: Path and query, as they were sent.
    """

    state: State
    application_id: str
    ids: Mapping[str, str]
    parameters: Any
    prepared: Any
    body: Mapping[str, Any]
    links: bool
    target: str


@attrs.frozen
class Operation:
    """One operation of the API that the emulator has.

    Attributes:
        method: Its HTTP method.
        path: Its path, with `{names}`.
        scope: The scope that is its own, such as `experienceGroups.get`.
        answer: Makes the content of the answer.
        parameters: What its query string may say.
        prepare: Makes of the parameters what takes more than their types to check, such as a query; None for nothing.
        body: What its body may say; None if it has none.
        status: The status of an answer that went well.
    """

    method: str
    path: str
    scope: str
    answer: Callable[[Call], object]
    parameters: type[msgspec.Struct] = NoParameters
    body: type[msgspec.Struct] | None = None
    status: int = 200
    prepare: Callable[[Any], Any] | None = None


@attrs.frozen
class ApiRequest:
    """A request as it arrived.

    Attributes:
        method: Its method.
        path: Its path, decoded.
        target: Path and query, as they were sent.
        query: Its query parameters.
        headers: Its headers, whose names have no case.
        body: Its body.
    """

    method: str
    path: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen
class ApiResponse:
    """What is answered.

    Attributes:
        status: The status.
        content: What becomes the JSON of the body.
        headers: Headers beside the usual ones.
    """

    status: int
    content: object
    headers: Mapping[str, str] = attrs.field(factory=dict)


def error_response(status: int, kind: str, message: str) -> ApiResponse:
    """An error in Losant's shape."""
    return ApiResponse(status, {"type": kind, "message": message})
