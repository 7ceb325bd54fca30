"""What one attempt at a request proved about the server's state, decided without any I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import attrs
import msgspec

from .errors import LosantError, ResponseFormatError, api_error_class
from .wire import decode_error

T = TypeVar("T")

# Refused before anything was done, and not for what the request says: too slow, too early, too many.
_REFUSED_FOR_NOW = (408, 425, 429)
MOST_QUOTED = 500
"""How many characters of an answer an error shows."""


class Proof(enum.Enum):
    """What is known of a request after an attempt at it."""

    NOT_APPLIED = "not applied"
    APPLIED = "applied"
    UNKNOWN = "unknown"


@attrs.frozen
class Request(Generic[T]):
    """One call of the API.

    Attributes:
        method: HTTP method.
        path: Path below the address of the API, starting with a slash.
        decode: Makes the result of the body of a 2xx, or raises ValueError.
        params: Query parameters.
        body: JSON; None for no body.
        idempotent: Whether doing it twice is the same as doing it once; see https://www.rfc-editor.org/rfc/rfc9110#name-idempotent-methods.
    """

    method: str
    path: str
    decode: Callable[[bytes], T]
    params: Mapping[str, str | int] = attrs.field(factory=dict, kw_only=True)
    body: bytes | None = attrs.field(default=None, kw_only=True)
    idempotent: bool = attrs.field(default=True, kw_only=True)


@attrs.frozen
class Attempt(Generic[T]):
    """How one attempt ended.

    Attributes:
        proof: What it proved.
        result: The decoded answer, where there is no error.
        error: What went wrong.
        transient: Whether the same request may do better later.
        status: The status of the answer; None if there was none.
    """

    proof: Proof
    result: T | None = None
    error: LosantError | None = None
    transient: bool = False
    status: int | None = None


def judge_answer(
    request: Request[T],
    status: int,
    body: bytes,
    retry_after: float | None = None,
    *,
    mask: Callable[[str], str] = lambda text: text,
) -> Attempt[T]:
    """What an answer that was read whole proves.

    A 4xx refuses a request before anything is done. A 3xx or 5xx may come from a gateway that had already passed the
    request on, and so does a 2xx that cannot be understood.

    Args:
        request: What is answered.
        status: The status of the answer.
        body: Its body.
        retry_after: Seconds that the server asked to wait.
        mask: Takes out of a text what it must not show, should the answer quote our own headers.
    """
    reads = request.method in ("GET", "HEAD")
    if not 200 <= status < 300:
        kind, message = (mask(text)[:MOST_QUOTED] for text in decode_error(body))
        refusal = api_error_class(status)(
            status, kind, message or "no explanation", request.method, request.path, retry_after=retry_after
        )
        if status < 400:
            refusal.advice = "Check base_url: redirects are not followed, so that the token goes nowhere else."
        return Attempt(
            Proof.NOT_APPLIED if 400 <= status < 500 else Proof.UNKNOWN,
            error=refusal,
            # A redirect tells a read where it went wrong; a write it leaves in doubt.
            transient=status in _REFUSED_FOR_NOW or status >= 500 or (status < 400 and not reads),
            status=status,
        )
    try:
        return Attempt(Proof.APPLIED, result=request.decode(body), status=status)
    except (ValueError, RecursionError) as problem:
        error = ResponseFormatError(f"the answer was not understood: {mask(str(problem))[:MOST_QUOTED]}")
        # What is no JSON broke off or comes from elsewhere; JSON of a wrong shape will have it the next time too, which
        # is of no help to a read. A write it leaves in doubt.
        transient = not reads or not isinstance(problem, msgspec.ValidationError | RecursionError)
        return Attempt(Proof.UNKNOWN, error=error, transient=transient, status=status)


def judge_failure(error: LosantError, *, sent: bool, transient: bool) -> Attempt[T]:
    """What an attempt without an answer proves, given whether a byte of it may have left."""
    return Attempt(Proof.UNKNOWN if sent else Proof.NOT_APPLIED, error=error, transient=transient)
