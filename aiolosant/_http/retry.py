"""When a request is sent again, and after how long: decisions without any I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import attrs

from .._validation import check_range, check_seconds
from .request import Request
from .response import Proof, Response

# After a pause that the server asked for, requests come back spread over this many seconds.
_SPREAD = 0.25
_FOR_EVER = 1e9  # seconds; a longer Retry-After is read as this
# Seconds to wait after a refusal that does not say how long: the pace is the throttle's to find.
_LONGEST_AFTER_REFUSAL = 2.0


def _seconds(_policy: object, field: attrs.Attribute[Any], value: float) -> None:
    check_seconds(field.name, value)


def _some_seconds(_policy: object, field: attrs.Attribute[Any], value: float) -> None:
    check_seconds(field.name, value, positive=True)


def _count(_policy: object, field: attrs.Attribute[Any], value: int) -> None:
    check_range(field.name, value, 1)


@attrs.frozen
class RetryPolicy:
    """How persistent a client is. Times are in seconds.

    Args:
        max_attempts: How often a request may be sent, 1 or more; 1 means no retry. What was refused with 429 is waited
            out within the call's time and does not count, nor does an attempt over a connection that was dead already,
            one with a token that had to be renewed, or one of a batch or a walk in an outage (see `patience`).
        first_delay: The longest wait before the second attempt; it doubles with each further one.
        max_delay: The longest wait that doubling leads to. What is really waited is drawn between 0 and that.
        attempt_timeout: How long the server may be silent in one attempt.
        settle_time: How long a write whose answer was lost may still take to show in a list.
        max_pause: The longest pause that a server may ask for with `Retry-After`; a longer one is an error.
        patience: How long a batch, a walk or an apply waits for a server that cannot be reached or fails at everything.
            Meanwhile one request at a time finds out whether that is over.

    Raises:
        TypeError: A value is no number.
        ValueError: A value is out of its range. Both messages name the argument.
    """

    max_attempts: int = attrs.field(default=5, validator=_count)
    first_delay: float = attrs.field(default=0.25, validator=_seconds)
    max_delay: float = attrs.field(default=30.0, validator=_seconds)
    attempt_timeout: float = attrs.field(default=20.0, validator=_some_seconds)
    settle_time: float = attrs.field(default=2.0, validator=_seconds)
    max_pause: float = attrs.field(default=60.0, validator=_seconds)
    patience: float = attrs.field(default=120.0, validator=_seconds)

    def has_attempts_left(self, attempts: int) -> bool:
        """Return whether a request that was sent so often may be sent once more."""
        return attempts < self.max_attempts

    def delay(self, attempts: int, draw: float) -> float:
        """Return the seconds to wait after `attempts` attempts: exponential with full jitter.

        `draw` is a number in [0, 1). See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
        """
        # Beyond 2 ** 64 any first delay has long reached the maximum.
        return draw * min(self.max_delay, self.first_delay * 2.0 ** min(max(attempts - 1, 0), 64))

    def delay_before_resending(
        self,
        request: Request[Any],
        response: Response[Any],
        *,
        attempts: int,
        refusals: int,
        free: bool,
        draw: float,
        left: float,
        patient: bool,
    ) -> float | None:
        """Decide whether a request is sent again. Return the seconds to wait before that; None if it is not.

        Args:
            request: What was sent.
            response: How the last attempt ended.
            attempts: How many attempts count.
            refusals: How often it was refused for having been one of too many.
            free: Whether the last attempt does not count.
            draw: A number in [0, 1).
            left: Seconds that the call has.
            patient: Whether the call's clock stands still while the throttle makes it wait.
        """
        repeatable = request.idempotent or response.proof is Proof.NOT_APPLIED
        if not response.transient or not repeatable:
            return None
        if not free and not self.has_attempts_left(attempts):
            return None
        asked = response.retry_after
        if asked is None:
            if response.refused:
                delay = min(self.delay(refusals, draw), _LONGEST_AFTER_REFUSAL)
                in_time = left > 0 if patient else delay < left
                return delay if in_time else None
            # Where the attempt is free the next one has a new connection, or waits in the throttle.
            delay = 0.0 if free else self.delay(attempts, draw)
            return delay if delay < left else None
        # The pause that the server asks for is waited out in the throttle, as everybody's.
        in_time = left > 0 if patient else left > asked
        if not in_time or asked > self.max_pause:
            return None
        # The server's word wins, but not all that wait are to come back in the same instant.
        return max(0.0, min(self.delay(attempts, draw), _SPREAD) - asked)


def parse_retry_after(value: str, now: str | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait, as a number or as a date; None if it is neither.

    See https://www.rfc-editor.org/rfc/rfc9110#name-retry-after.

    Args:
        value: The header.
        now: The response's own `Date`, which a date is compared with: our clock may be wrong.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _FOR_EVER)
    date = _parsed_date(value)
    if date is None:
        return None
    return max(0.0, (date - (_parsed_date(now or "") or datetime.now(UTC))).total_seconds())


def _parsed_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
        return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
