"""Faults that a server, a gateway or a network can have, scripted or drawn by chance."""

from __future__ import annotations

import enum
import random
import threading
from collections.abc import Mapping

import attrs

from .globbing import glob_matches


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
    CUT_BEFORE_WRITE = "cut-before-write"
    """The connection is cut, and nothing was done."""
    CUT_AFTER_WRITE = "cut-after-write"
    """Done, but the connection is cut instead of an answer."""
    LATE_WRITE = "late-write"
    """The connection is cut at once, and what was asked for is done the emulator's `lateness` later."""
    BROKEN_BODY = "broken-body"
    """Done, but the answer breaks off in its middle."""
    SILENCE = "silence"
    """Nothing is done and nothing is answered, for as long as the client waits."""


def fault_named(name: str) -> Fault:
    """The fault with a name such as `503`, `cut-after-write` or `CUT_AFTER_WRITE`.

    Raises:
        ValueError: There is none; the message has them all.
    """
    for fault in Fault:
        if name.strip().lower().replace("_", "-") in (fault.value, fault.name.lower().replace("_", "-")):
            return fault
    raise ValueError(f"there is no fault {name!r}; there are {', '.join(fault.value for fault in Fault)}")


def parsed_chances(text: str) -> dict[Fault, float]:
    """The probabilities of a text such as `cut-after-write=5%,429=0.1`.

    Raises:
        ValueError: It is not of this form.
    """
    chances = {}
    for part in text.split(","):
        name, _, chance = part.partition("=")
        try:
            share = float(chance.strip().removesuffix("%")) / (100 if chance.strip().endswith("%") else 1)
        except ValueError:
            raise ValueError(f"faults must be such as 'cut-after-write=5%,429=10%', not {text!r}") from None
        if not 0 <= share <= 1:
            raise ValueError(f"a share of faults must be 0% to 100%, or 0 to 1, not {chance}")
        chances[fault_named(name)] = share
    return chances


_BEGINNINGS = ("*", "/applications", "/me")  # of the paths that are served
_METHODS = ("GET", "POST", "PATCH", "DELETE", "PUT", "HEAD")


@attrs.define
class _Scripted:
    fault: Fault
    times: int | None
    method: str | None
    path: str | None


class Faults:
    """Decides which request meets which fault: first the scripted ones in their order, then chance.

    It may be used from any thread.

    Attributes:
        withdrawals: How often all faults were withdrawn; silence that began before the last of them is over.
    """

    def __init__(self) -> None:
        self.withdrawals: int = 0
        self._lock = threading.Lock()
        self._script: list[_Scripted] = []
        self._chances: dict[Fault, float] = {}
        self._random = random.Random()  # noqa: S311 - no secret

    def script(self, fault: Fault, *, times: int | None, method: str | None, path: str | None) -> None:
        """Let the next `times` requests (of one method, to one path) meet a fault; None for all from now on."""
        if not isinstance(fault, Fault):
            raise TypeError(f"fault must be a Fault, such as Fault.UNAVAILABLE, not {fault!r}")
        if times is not None and (not isinstance(times, int) or times < 1):
            raise ValueError(f"times must be 1 or more, or None, not {times!r}")
        if method is not None and method.upper() not in _METHODS:
            raise ValueError(f"method must be one of {', '.join(_METHODS)}, not {method!r}")
        if path is not None and not (isinstance(path, str) and path.startswith(_BEGINNINGS) and "=" not in path):
            raise ValueError(
                "path must be a glob of the whole path, without a query, that begins with '*' or '/applications', "
                f"such as '*/experience/users'; not {path!r}"
            )
        with self._lock:
            self._script.append(_Scripted(fault, times, method and method.upper(), path))

    def draw(self, chances: Mapping[Fault, float], seed: int | None) -> None:
        """From now on let each request meet a fault with its probability."""
        if not isinstance(chances, Mapping) or not all(isinstance(fault, Fault) for fault in chances):
            raise TypeError("chances must be a mapping from Faults to probabilities, such as {Fault.UNAVAILABLE: 0.1}")
        if not all(0 <= chance <= 1 for chance in chances.values()) or sum(chances.values()) > 1 + 1e-9:
            raise ValueError("the probabilities must be 0 or more, and 1 or less together")
        with self._lock:
            self._chances = dict(chances)
            self._random = random.Random(seed)  # noqa: S311 - no secret

    def withdraw(self) -> None:
        """Let no request meet a fault any more."""
        with self._lock:
            self._script.clear()
            self._chances = {}
            self.withdrawals += 1

    def next(self, method: str, path: str) -> Fault | None:
        """The fault that the next request meets, or None."""
        with self._lock:
            for scripted in self._script:
                if scripted.method in (None, method) and (scripted.path is None or glob_matches(scripted.path, path)):
                    if scripted.times is not None:
                        scripted.times -= 1
                        if scripted.times == 0:
                            self._script.remove(scripted)
                    return scripted.fault
            left = self._random.random() if self._chances else 1.0
            for fault, chance in self._chances.items():
                left -= chance
                if left < 0:
                    return fault
        return None
