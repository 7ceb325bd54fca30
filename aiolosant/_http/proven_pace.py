"""The fastest pace that went well, which tells of a limit where the share of refusals does not. Pure.

A server that takes no two requests at once, as gateways without a burst do, wastes time on what comes too soon: at a
pace just beyond its limit it takes every other request, so that what it took looks like little more than half of the
limit. What it took in a row just before is the better guide.
"""

from __future__ import annotations

_PROOF = 8  # requests taken in a row at a pace prove it
# When a pace is too fast: a refusal adds 1 and any other answer takes _FORGIVENESS off. So two refusals with at most
# one answer between them are too many, and that is what a server gives that takes every other request.
_TOO_FAST = 1.75
_FORGIVENESS = 0.25


class ProvenPace:
    """What the answers of the last requests prove, if each was sent at the pace that is kept when it is answered.

    Attributes:
        rate: The fastest proven pace, in requests a second; 0 if none is.
    """

    def __init__(self) -> None:
        self.rate = 0.0
        self._in_a_row = 0
        self._began_at = 0.0
        self._score = 0.0

    def is_exceeded(self, rate: float, *, refused: bool) -> bool:
        """Note how a request at a pace ended, and return whether that pace is too fast and a slower one is proven."""
        if refused:
            return self._refused(rate)
        self._score = max(0.0, self._score - _FORGIVENESS)
        if not self._in_a_row:
            self._began_at = rate
        self._in_a_row += 1
        if self._in_a_row == _PROOF:
            self.rate, self._in_a_row = max(self.rate, self._began_at), 0
        return False

    def _refused(self, rate: float) -> bool:
        self._in_a_row = 0
        self._score += 1
        if rate <= self.rate:
            self.rate = 0.0  # it is good no more
        if self._score < _TOO_FAST:
            return False
        self._score = 0.0
        return self.rate > 0
