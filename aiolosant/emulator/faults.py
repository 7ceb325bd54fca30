"""Faults that a server, a gateway or a network can have, scripted or drawn by chance."""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping

import attrs


class Fault(enum.Enum):
    """What can go wrong with one request."""

    TOO_MANY_REQUESTS = "429"
    """Refused for now; with `Retry-After` if the emulator's `retry_after` is set."""
    SERVER_ERROR = "500"
    """Failed before anything was done."""
    UNAVAILABLE = "503"
    """Failed before anything was done."""
    BAD_GATEWAY = "502"
    """Done, but a gateway lost the answer and sends a page of HTML instead."""
    CUT_BEFORE_WRITE = "cut before the write"
    """The connection is cut, and nothing was done."""
    CUT_AFTER_WRITE = "cut after the write"
    """Done, but the connection is cut instead of an answer."""
    LATE_WRITE = "late write"
    """The connection is cut at once, and what was asked for is done the emulator's `lateness` later."""
    BROKEN_BODY = "broken body"
    """Done, but the answer breaks off in its middle."""
    SILENCE = "silence"
    """Nothing is done and nothing is answered, for as long as the client waits."""


_METHODS = ("GET", "POST", "PATCH", "DELETE", "PUT", "HEAD")


@attrs.define
class _Scripted:
    fault: Fault
    times: int
    method: str | None


class Faults:
    """Decides which request meets which fault: first the scripted ones in their order, then chance."""

    def __init__(self) -> None:
        self._script: list[_Scripted] = []
        self._chances: dict[Fault, float] = {}
        self._random = random.Random()  # noqa: S311 - no secret

    def script(self, fault: Fault, times: int, method: str | None) -> None:
        """Let the next `times` requests (of one method) meet a fault."""
        if not isinstance(fault, Fault):
            raise TypeError(f"fault must be a Fault, not {type(fault).__name__}")
        if not isinstance(times, int) or times < 1:
            raise ValueError(f"times must be 1 or more, not {times!r}")
        if method is not None and method.upper() not in _METHODS:
            raise ValueError(f"method must be one of {', '.join(_METHODS)}, not {method!r}")
        self._script.append(_Scripted(fault, times, method and method.upper()))

    def withdraw(self) -> None:
        """Let no request meet a fault any more."""
        self._script.clear()
        self._chances = {}

    def draw(self, chances: Mapping[Fault, float], seed: int | None) -> None:
        """From now on let each request meet a fault with its probability."""
        if not isinstance(chances, Mapping) or not all(isinstance(fault, Fault) for fault in chances):
            raise TypeError("chances must be a mapping from Faults to probabilities, such as {Fault.UNAVAILABLE: 0.1}")
        if any(chance < 0 for chance in chances.values()) or sum(chances.values()) > 1:
            raise ValueError("the probabilities must be 0 or more, and 1 or less together")
        self._chances = dict(chances)
        self._random = random.Random(seed)  # noqa: S311 - no secret

    def next(self, method: str) -> Fault | None:
        """The fault that the next request meets, or None."""
        for scripted in self._script:
            if scripted.method in (None, method):
                scripted.times -= 1
                if scripted.times == 0:
                    self._script.remove(scripted)
                return scripted.fault
        if not self._chances:
            return None
        left = self._random.random()
        for fault, chance in self._chances.items():
            left -= chance
            if left < 0:
                return fault
        return None
