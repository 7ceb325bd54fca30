"""A request: what one call of the API sends, and how its response is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")

READS = ("GET", "HEAD")
"""Methods that change nothing."""
IDEMPOTENT = (*READS, "PUT", "DELETE")
"""Methods that have the same effect sent twice as once. Losant's PATCH has it as well, since it replaces fields."""


@attrs.frozen(kw_only=True)
class Request(Generic[T]):
    """One call of the API.

    Attributes:
        method: HTTP method.
        path: Path below the address of the API, starting with a slash.
        decode: Makes the result out of the body of a 2xx, or raises ValueError.
        params: Query parameters.
        body: JSON; None for no body.
        idempotent: Whether sending it twice has the same effect as sending it once; see https://www.rfc-editor.org/rfc/rfc9110#name-idempotent-methods.
        precondition: Awaited before each retry: what the request rests on was true when it was first sent, and may be
            out of date by then. What it raises ends the call.
        is_news: Whether what the request rests on is still news, asked when its turn has come; if it is not, the
            precondition is awaited first. None if it always is.
        urgent: Whether it goes before all that wait for the server's pace, because what it rests on was read a moment
            ago.
    """

    method: str
    path: str
    decode: Callable[[bytes], T]
    params: Mapping[str, str | int] = attrs.field(factory=dict)
    body: bytes | None = None
    idempotent: bool = True
    precondition: Callable[[], Awaitable[object]] | None = None
    is_news: Callable[[], bool] | None = None
    urgent: bool = False
