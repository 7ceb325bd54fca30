"""The retry policy: decisions without I/O."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiolosant import RateLimitError, RetryPolicy, ServerError, TransportError
from aiolosant._http.codec import decode_any
from aiolosant._http.request import Request
from aiolosant._http.response import Proof, Response
from aiolosant._http.retry import parse_retry_after

REQUEST = Request[Any](method="POST", path="/", decode=decode_any)
NOW = "Fri, 02 Jan 2026 03:04:05 GMT"


@given(attempts=st.integers(1, 10_000), draw=st.floats(0, 1, exclude_max=True))
def test_a_delay_is_drawn_below_a_doubling_bound(attempts: int, draw: float) -> None:
    """Full jitter: between nothing and first_delay * 2 ** (attempts - 1), never more than max_delay."""
    policy = RetryPolicy(first_delay=0.25, max_delay=30)
    bound = 30 if attempts > 7 else min(30, 0.25 * 2 ** (attempts - 1))
    assert policy.delay(attempts, draw) == pytest.approx(draw * bound)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("3600", 3600),
        (" 7 ", 7),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60),
        ("Fri, 02 Jan 2026 03:05:05 -0000", 60),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
        ("Mon, 01 Jan 2024 00:00:00 +9999999999999999", None),
        ("Mon, 99999999999999999999 Jan 2024 00:00:00 GMT", None),
        ("Fri, 99 Jan 2026 03:05:05 GMT", None),
    ],
)
def test_retry_after_is_read_as_a_number_or_a_date(header: str, seconds: float | None) -> None:
    """Seconds or a date; nonsense is ignored; a date in the past asks for no wait."""
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"max_attempts": 0}, ValueError, "max_attempts must be 1 or more, not 0"),
        ({"max_attempts": 1.5}, TypeError, "max_attempts must be an integer, not float"),
        ({"first_delay": "1"}, TypeError, "first_delay must be a number of seconds, not str"),
        ({"attempt_timeout": True}, TypeError, "attempt_timeout must be a number of seconds, not bool"),
        ({"first_delay": -1}, ValueError, "first_delay must be 0 or more seconds, not -1"),
        ({"max_delay": float("nan")}, ValueError, "max_delay must be 0 or more seconds"),
        ({"attempt_timeout": 0}, ValueError, "attempt_timeout must be more than 0 seconds"),
        ({"attempt_timeout": float("inf")}, ValueError, "attempt_timeout must be more than 0 seconds"),
        ({"settle_time": float("inf")}, ValueError, "settle_time must be 0 or more seconds"),
        ({"max_pause": -0.1}, ValueError, "max_pause must be 0 or more seconds"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    """A policy names the argument that is wrong."""
    with pytest.raises(kind, match=message):
        RetryPolicy(**arguments)


def test_the_defaults_are_promised() -> None:
    """What a client does that is not told otherwise, in seconds but for the first."""
    assert attrs.astuple(RetryPolicy()) == (5, 0.25, 30.0, 20.0, 2.0, 60.0, 120.0)


@pytest.mark.parametrize(
    ("attempts", "asked", "left", "patient", "expected"),
    [
        (1, None, 60, False, 0.125),
        (2, None, 60, False, 0.25),
        (2, None, 0.25, False, None),  # it would be too late
        (4, None, 60, False, 1.0),
        (5, None, 60, False, None),  # often enough
        (1, 10, 60, False, 0.0),  # the throttle makes everyone wait
        (1, 0, 60, False, 0.125),  # little, but not all in the same instant
        (4, 0, 60, False, 0.25),
        (1, 10, 10, False, None),
        (1, 10, 10, True, 0.0),
        (1, 10, 0, True, None),
        (1, 60, 90, False, 0.0),
        (1, 61, 90, False, None),  # longer than a server may ask
        (1, 61, 90, True, None),
        (5, 10, 60, True, None),
    ],
)
def test_whether_to_send_again_and_when(
    attempts: int, asked: float | None, left: float, patient: bool, expected: float | None
) -> None:
    """By the attempts and the time that are left, and by what the server asks for."""
    refusal = ServerError(503, "", "", None, None, retry_after=asked)
    response = Response[Any](Proof.NOT_APPLIED, error=refusal, transient=True, status=503)
    delay = RetryPolicy().delay_before_resending(
        REQUEST, response, attempts=attempts, refusals=attempts, free=False, draw=0.5, left=left, patient=patient
    )
    assert delay == expected


def test_a_refusal_for_now_uses_up_no_attempt() -> None:
    """It is waited out as long as there is time; the back-off grows with the refusals, not with the attempts."""
    response = Response[Any](
        Proof.NOT_APPLIED, error=RateLimitError(429, "", "", None, None), transient=True, refused=True
    )
    policy = RetryPolicy(max_attempts=1)
    delays = [
        policy.delay_before_resending(
            REQUEST, response, attempts=0, refusals=refusals, free=True, draw=0.5, left=left, patient=False
        )
        for refusals, left in ((1, 60), (5, 60), (5, 1))
    ]
    assert delays == [0.125, 2.0, None]


def test_an_attempt_over_a_dead_connection_is_repeated_at_once() -> None:
    """It does not count, and the next one has a new connection."""
    response = Response[Any](Proof.NOT_APPLIED, error=TransportError("cut"), transient=True, stale=True)
    delay = RetryPolicy(max_attempts=1).delay_before_resending(
        REQUEST, response, attempts=0, refusals=0, free=True, draw=0.5, left=60, patient=False
    )
    assert delay == 0


@pytest.mark.parametrize(
    ("proof", "transient", "idempotent", "resent"),
    [
        (Proof.NOT_APPLIED, True, False, True),
        (Proof.UNKNOWN, True, False, False),
        (Proof.UNKNOWN, True, True, True),
        (Proof.NOT_APPLIED, False, True, False),
    ],
)
def test_what_may_have_been_applied_is_sent_again_only_if_that_does_no_harm(
    proof: Proof, transient: bool, idempotent: bool, resent: bool
) -> None:
    """A create only if it was surely not applied; and nothing that will not change."""
    response = Response[Any](proof, error=TransportError("cut"), transient=transient)
    request = attrs.evolve(REQUEST, idempotent=idempotent)
    delay = RetryPolicy().delay_before_resending(
        request, response, attempts=1, refusals=0, free=False, draw=0.5, left=60, patient=False
    )
    assert (delay is not None) is resent


def test_a_refused_call_that_nobody_waits_for_is_not_sent_again() -> None:
    """Not even a patient one, whose clock stands still as long as somebody does."""
    refused = Response[Any](
        Proof.NOT_APPLIED, error=RateLimitError(429, "", "", None, None), transient=True, refused=True
    )
    asked: dict[str, Any] = {"attempts": 1, "refusals": 1, "free": True, "draw": 0.5, "patient": True}
    assert RetryPolicy().delay_before_resending(REQUEST, refused, left=1, **asked) is not None
    assert RetryPolicy().delay_before_resending(REQUEST, refused, left=float("-inf"), **asked) is None
