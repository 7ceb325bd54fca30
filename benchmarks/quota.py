"""A server that takes so many requests in each window of some seconds."""

from __future__ import annotations

from collections.abc import Callable

from aiolosant.emulator import Fault, RequestRecord


def quota(most: float, seconds: float) -> Callable[[RequestRecord], Fault | None]:
    """For `Emulator.before_request`: take so many in each window, and refuse all others without a word of when."""
    began, taken = 0.0, 0

    def fault(request: RequestRecord) -> Fault | None:
        nonlocal began, taken
        if request.time - began >= seconds:
            began, taken = request.time, 0
        taken += 1
        return Fault.TOO_MANY_REQUESTS if taken > most else None

    return fault
