"""What one attempt at a request proved about the server's state, decided without any I/O."""

from __future__ import annotations

import enum


class Proof(enum.Enum):
    """What is known after an attempt at a write."""

    NOT_APPLIED = "not applied"
    APPLIED = "applied"
    UNKNOWN = "unknown"


def proof_of_status(status: int) -> Proof:
    """What the status of an answer proves, if its body is whole and understood.

    A 4xx refuses the request before anything is done. A 3xx or 5xx may come from a gateway that had already passed the
    request on.
    """
    if 200 <= status < 300:
        return Proof.APPLIED
    return Proof.NOT_APPLIED if 400 <= status < 500 else Proof.UNKNOWN


def proof_of_failure(*, sent: bool) -> Proof:
    """What an attempt without an answer proves, given whether a byte of the request may have left."""
    return Proof.UNKNOWN if sent else Proof.NOT_APPLIED
