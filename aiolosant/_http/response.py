"""What a response, or the lack of one, proves about the server's state. Pure: it does no I/O."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
import msgspec

from ..errors import ApiError, GatewayError, LosantError, ResponseFormatError, api_error_class
from .codec import decode_error
from .request import READS, Request

T = TypeVar("T")

# The server refused the request before it did anything, and for a reason that passes: too slow, too early, too many.
_REFUSED_FOR_NOW = (408, 425, 429)
_RETRY_IN = re.compile(r"retry in (\d+(?:\.\d+)?) ?s", re.IGNORECASE)
MOST_QUOTED = 500
"""How many characters of a response an error quotes."""


class Proof(enum.Enum):
    """What is known of a request after an attempt at it."""

    NOT_APPLIED = "not applied"
    APPLIED = "applied"
    UNKNOWN = "unknown"


@attrs.frozen
class Response(Generic[T]):
    """How one attempt ended.

    Attributes:
        proof: What it proved.
        result: The decoded body, where there is no error.
        error: What went wrong.
        transient: Whether the same request may succeed later.
        status: The HTTP status; None if there was no response.
        refused: Whether the server refused the request for having had too many.
        stale: Whether there was no response over a connection that may have been dead already.
    """

    proof: Proof
    result: T | None = None
    error: LosantError | None = None
    transient: bool = False
    status: int | None = None
    refused: bool = False
    stale: bool = False

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait; None if it does not."""
        return self.error.retry_after if isinstance(self.error, ApiError) else None


def classify(
    request: Request[T],
    status: int,
    body: bytes,
    retry_after: float | None = None,
    *,
    mask: Callable[[str], str] = lambda text: text,
) -> Response[T]:
    """Say what a response that was read whole proves.

    A 4xx in Losant's shape refuses a request before anything is done. A 3xx or 5xx may come from a gateway that had
    already passed the request on, and so may a 2xx that cannot be understood.

    Args:
        request: What was sent.
        status: The HTTP status.
        body: The body.
        retry_after: Seconds that the server asks to wait.
        mask: Removes from a text what it must not show, should the response quote our own headers.
    """
    reads = request.method in READS
    if not 200 <= status < 300:
        kind, message = (mask(text)[:MOST_QUOTED] for text in decode_error(body))
        is_losants = bool(kind) or request.method == "HEAD"  # whose answer has no body to tell by
        if status == 407 or (400 <= status < 500 and status not in _REFUSED_FOR_NOW and not is_losants):
            return _gateways(status, message)
        if status == 429 and retry_after is None:
            retry_after = seconds_asked_for(message)
        refusal = api_error_class(status)(
            status, kind, message or "no explanation", None, None, retry_after=retry_after
        )
        if status < 400:
            refusal.advice = "Check base_url: redirects are not followed, so that the token goes nowhere else."
        return Response(
            Proof.NOT_APPLIED if 400 <= status < 500 else Proof.UNKNOWN,
            error=refusal,
            # A redirect tells a read that it went to the wrong place; it leaves a write in doubt.
            transient=status in _REFUSED_FOR_NOW or status >= 500 or (status < 400 and not reads),
            status=status,
            refused=status == 429,
        )
    try:
        return Response(Proof.APPLIED, result=request.decode(body), status=status)
    except (ValueError, RecursionError) as problem:
        error = ResponseFormatError(f"the answer was not understood: {mask(str(problem))[:MOST_QUOTED]}")
        # A body that is no JSON broke off or comes from elsewhere. JSON of a wrong shape will have it the next time as
        # well, so that to read it again is of no use; a write it leaves in doubt.
        transient = not reads or not isinstance(problem, msgspec.ValidationError | RecursionError)
        return Response(Proof.UNKNOWN, error=error, transient=transient, status=status)


def _gateways(status: int, message: str) -> Response[Any]:
    """Return what a 4xx without Losant's error body proves: nothing but that somebody in between says "not now"."""
    error = GatewayError(f"{status}, and not from Losant: {message or 'no explanation'}", status)
    if status == 407:  # the proxy passes nothing on, and will not change its mind
        error.advice = "Give the proxy's user name and password in HTTPS_PROXY."
        return Response(Proof.NOT_APPLIED, error=error, status=status)
    return Response(Proof.UNKNOWN, error=error, transient=True, status=status)


def seconds_asked_for(message: str) -> float | None:
    """Return the seconds that a message such as "Retry in 3 seconds" asks to wait; None if it does not.

    Losant says so in no header (as reported on its forum).
    """
    found = _RETRY_IN.search(message)
    return float(found[1]) if found else None


def classify_failure(error: LosantError, *, sent: bool, transient: bool, stale: bool = False) -> Response[Any]:
    """Say what an attempt without a response proves.

    Args:
        error: What went wrong.
        sent: Whether a byte of the request may have been sent.
        transient: Whether the same request may succeed later.
        stale: Whether it was sent over a connection that may have been dead already.
    """
    proof = Proof.UNKNOWN if sent else Proof.NOT_APPLIED
    return Response(proof, error=error, transient=transient, stale=stale and transient)
