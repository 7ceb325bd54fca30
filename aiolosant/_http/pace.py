"""Finds out how many requests the server takes a second. Pure: time comes in as an argument.

Losant publishes no quota and sends no header that tells one; all there is to go by is which requests it refuses (429).
A window of requests in flight opens quickly until a noticeable share of them is refused. From then on requests are
paced at a learned rate: what the server let through when it refused. The rate then follows a cubic curve over time, as
TCP's congestion window does in RFC 9438: quickly back to near the limit, slowly past it, then ever faster if nothing is
refused. Where few requests are under way at a time, the fastest pace that went well guides it as well.
"""

from __future__ import annotations

import math

from .proven_pace import ProvenPace

_FIRST_WINDOW = 16.0  # requests in flight to begin with
# When to cut: a refusal adds 1 to the score and any other answer takes _FORGIVENESS off, so that up to 6 % refused at
# random, or 3 % at the limit, never add up to _SCORE_TO_CUT; and never while less than _LEAST_SHARE of the answers are
# refusals.
_FORGIVENESS = 0.06
_SCORE_TO_CUT = 8.0
_LEAST_SHARE = 0.045
_WEIGHT_AT_LIMIT = 2.0  # what a refusal adds at a pace at which refusals are nothing to wonder at
_WEIGHT_OF_PAUSE = 4.0  # what a refusal that came with a pause adds to the score
# A pause is told in whole seconds, so that one second may be rounded up from a few milliseconds. Once the rate is known
# it is believed only in steps: at first for the time of so many requests, and each time that this was too short for
# twice as long.
_ROUNDED = 1.0  # seconds
_REQUESTS_TO_HOLD = 4  # one where a proven pace guides, since a single refusal asks for little there
# After a cut: how far below the measured limit to start, and how long to take back to it.
_DEPTH = 0.15  # a share of the limit
_RECOVERY = 4.0  # seconds
_RECOVERY_REQUESTS = 400  # at a slow rate it takes as many requests instead
_LONGEST_RECOVERY = 60.0  # seconds
_SHORTEST_RECOVERY = 0.5  # seconds, after a poor measurement
# How to measure.
_SAMPLE = 150  # answers that make a good measurement; one of fewer is tested sooner
_AGREES = 0.5  # how far measurements of one limit may be apart, as a share of the greater
_SLICE = 0.5  # seconds that one slice of a measurement lasts at least
_OUTGROWN = 2.0  # how many times as fast as at its beginning the pace may become within a measurement
_LATENESS = 0.005  # seconds that timers may be late by
_SLOWEST = 0.5  # requests a second that a limit is believed to be at least
# Where few are under way at a time, so that an answer tells of the pace that is kept now, and few are answered, a pace
# that went well tells more than the share of refusals does.
_FEW = 4
_SLOW = 100  # requests a second at the most
_OVERLOAD = 0.3  # a share of refusals beyond which the limit may be far above what was taken
_DOUBTFUL = 0.2  # the confidence in a limit that is to be tested soon
_CLOSE = 1.06  # times a proven pace: one that failed and is closer than that leaves nothing to look for in between
_CAUTION = 0.98  # of a proven pace

# How many bad answers in a row shut the gate: an outage at once, refusals only if they last, since a limit by rate
# refuses in bursts.
_OUTAGE = 5
_REFUSALS = 8
_LASTING = 0.5  # seconds
# What makes a quota of a window: it let so many through, and then nothing for so many seconds.
_FEWEST_TAKEN = 5
_STRAYS = 0.05  # of what was taken; a few may be refused by chance
_SHORTEST_CLOSURE = 1.0
_REFUSED_BEFORE_END = 3  # refusals in a row that say that a window is used up, though fewer than last time were taken
_LONG_WINDOW = 5.0  # seconds; a longer one is surely a quota's, and one refusal says that it is used up
_TAKEN_BEYOND = 3  # requests taken beyond a quota that say that there is none
# How long to wait between one request that finds out and the next, in seconds.
_FIRST_GAP = 0.25
_GROWTH = 1.5
_MOST_GAP_REFUSED = 1.0
_MOST_GAP_DOWN = 5.0
_IDLE = 3.0  # seconds beyond the gap after which nobody can have waited


class Pace:
    """When the next request may start, given how the last ones ended. Times are seconds of any one clock.

    Only time in which somebody waited is counted, for a turn or after a refusal: an idle hour says nothing about the
    server.
    """

    def __init__(self, max_in_flight: int, max_rate: float = math.inf) -> None:
        self._max_in_flight = max_in_flight
        self._max_rate = max_rate
        self._window = min(_FIRST_WINDOW, max_in_flight)
        self._limit: float | None = None
        self._confidence = 1.0
        self._evidence = 0  # answers of the measurements that agree with each other
        self._proven = ProvenPace()
        self._since_cut = 0.0
        self._last_cut = -math.inf
        self._score = 0.0
        self.in_flight = 0
        self._duration = 0.0  # of a request, in seconds; the last ones count most
        self._side_by_side = 0.0  # requests in flight, as the last ones found it when they started
        self._next_start = -math.inf
        self.paused_until = -math.inf  # because the server asked for it
        self._paused_at = -math.inf
        self._asked_until = -math.inf  # the same, but without what was only held for a few requests
        self._holds = 0  # in a row, none of which was long enough
        self._refusals_are_dear = False  # whether each lets everybody wait for seconds
        self.gate = Gate()
        self._now: float | None = None
        self._current = _Slice()
        self._previous = _Slice()

    @property
    def rate(self) -> float:
        """Requests a second; infinite until a limit was found."""
        if self._limit is None:
            return self._max_rate
        rate = float(self._limit * (1 + _DEPTH * (self._since_cut / self._recovery(self._limit) - 1) ** 3))
        return min(rate, self._max_rate)

    @property
    def limit_found(self) -> bool:
        """Whether the server has shown a limit by refusing requests."""
        return self._limit is not None

    @property
    def seconds_a_request(self) -> float:
        """Seconds from one request to the next, as the last ones had it; no fewer than the rate allows."""
        return max(1 / self.rate, self._duration / max(1.0, self._side_by_side))

    def delay(self, now: float) -> float:
        """Return the seconds until a request may start; infinite while only the end of another can tell."""
        if self.in_flight >= int(self._window):
            return math.inf
        return max(0.0, self._next_start - now, self.paused_until - now, self.gate.delay(now, self.in_flight))

    def start(self, now: float) -> None:
        """A request starts."""
        self.in_flight += 1
        self._side_by_side += (self.in_flight - self._side_by_side) / 8
        gap = 1 / self.rate
        # Late timers may be made up for, but time in which nobody asked may not: the server may refuse the second of
        # two that come at once.
        self._next_start = max(self._next_start, now - _LATENESS) + gap

    def give_back(self) -> None:
        """A request that started was not sent after all."""
        self.in_flight -= 1
        self._next_start -= 1 / self.rate

    def tick(self, now: float, *, waited: bool, for_turn: bool) -> None:
        """Note that time has passed.

        Args:
            now: The time.
            waited: Whether somebody waited all the while.
            for_turn: Whether that was for a turn, and not only after a refusal.
        """
        if self._now is not None and waited and not self.gate.shut:
            # A pause that the server asked for says nothing about its rate; one of a few requests belongs to it.
            seconds = max(0.0, now - max(self._now, self._asked_until, self.gate.paused_until))
            if for_turn:  # while all that was refused only waits to be sent again, nothing is learned of a faster pace
                self._since_cut += seconds
            self._current.seconds += seconds
            if self.rate > _OUTGROWN * self._current.rate:
                # What was answered at a much slower pace says nothing about the limit.
                self._previous, self._current = _Slice(self.rate), _Slice(self.rate)
            elif self._current.seconds >= _SLICE and self._current.answers >= _SAMPLE / 2:
                self._previous, self._current = self._current, _Slice(self.rate)
        self._now = now

    def pause(self, now: float, seconds: float) -> None:
        """Let nothing start for so long, because the server asked for it.

        The refusal that came with it costs everyone time, so that fewer of them must do to bring the pace down.
        """
        if seconds <= 0:
            return
        is_new = now >= self.paused_until  # the others of a wave ask for the same pause
        if is_new:
            self._paused_at = now
        if seconds <= _ROUNDED and self._limit is not None:
            if is_new:
                is_short = self._is_slow(self._limit) and self.rate * seconds > _REQUESTS_TO_HOLD
                requests = 1 if is_short else _REQUESTS_TO_HOLD
                held = 2 ** min(self._holds, 16) * requests / self.rate
                self._holds += 1
                self.paused_until = now + min(seconds, held)
        else:
            self._refusals_are_dear |= seconds > _ROUNDED
            self._current.answers += is_new
            self._current.refused += is_new
            self.paused_until = self._asked_until = max(self.paused_until, now + seconds)
        if is_new and not self._is_slow(self._limit):
            # It stands for the requests that were held back: what is refused with a pause is worth several refusals.
            self._add(_WEIGHT_OF_PAUSE - 1, now)

    def end(self, now: float, started: float, *, refused: bool | None, waiting: bool, down: bool = False) -> None:
        """A request ended: refused, taken, or (None) without any word of the server's, which may be `down`."""
        self.in_flight -= 1
        if refused or down:
            self.gate.bad(now, down=down, started=started)
        elif refused is not None:
            self.gate.good(now)
        self._duration += (now - started - self._duration) / 8
        # Those that were on the way at the last cut are of the wave that caused it.
        if refused is None or started < self._last_cut:
            return
        if waiting:
            self._current.answers += 1
            self._current.refused += refused
        too_fast = False
        if waiting and self._is_slow(self._limit):
            too_fast = self._proven.is_exceeded(self.rate, refused=refused)
        if too_fast and not self._is_by_chance(self._previous + self._current):
            self._step_back(now)
        elif refused:
            at_limit = self._limit is not None and self.rate >= self._limit
            self._add(_WEIGHT_AT_LIMIT if at_limit else 1, now)
        else:
            if started > self._paused_at:
                self._holds = 0
            self._score = max(0.0, self._score - _FORGIVENESS)
            if self._limit is None and waiting:
                self._window = min(self._max_in_flight, self._window + 1)

    def _add(self, weight: float, now: float) -> None:
        self._score += weight
        measured = self._previous + self._current
        if self._score < _SCORE_TO_CUT or not measured.answers:
            return
        if measured.refused >= measured.answers:
            self._score = 0.0  # nothing was let through: that says when, and not how fast
        elif self._is_by_chance(measured):
            self._score = _SCORE_TO_CUT / 2  # a run of bad luck among many that went well
        else:
            self._cut(now, measured)

    @staticmethod
    def _is_by_chance(measured: _Slice) -> bool:
        """Whether so few were refused among so many that it says nothing about a limit."""
        return measured.answers >= _SAMPLE and measured.refused / measured.answers < _LEAST_SHARE

    def _is_slow(self, limit: float | None) -> bool:
        """Whether a proven pace tells more than the share of refusals does.

        It does not if each refusal costs seconds, or if there is a quota, whose window takes anything at its start.
        """
        if limit is None or self._refusals_are_dear or self.gate.knows_quota:
            return False
        return limit <= _SLOW and limit * self._duration < _FEW

    def _step_back(self, now: float) -> None:
        """Go on halfway between the pace that failed and the proven one, or just below the latter if they are close."""
        failed, proven = self.rate, self._proven.rate
        if failed > _CLOSE * proven:
            limit, self._confidence = (failed + proven) / 2, _DOUBTFUL
        else:
            limit, self._confidence = _CAUTION * proven, 1.0
        self._limit = max(_SLOWEST, limit)
        self._since_cut = self._recovery(self._limit) / 2  # where the rate is at 98 % of it
        self._last_cut = now
        self._score /= 2  # the refusals had a reason, but too many of them are a case for a measurement

    def _recovery(self, limit: float) -> float:
        """Return the seconds that it takes to get back to a limit after a cut."""
        # A slow server gives fewer answers to judge by, so its rate moves more slowly; but what was judged by a few
        # answers alone may be far too low, and is soon tested.
        in_requests = self._confidence**2 * _RECOVERY_REQUESTS / limit
        return max(self._confidence * _RECOVERY, min(in_requests, _LONGEST_RECOVERY), _SHORTEST_RECOVERY)

    def _cut(self, now: float, measured: _Slice) -> None:
        # Those that came at once were on the way for as long as a request takes.
        offered = min(self.rate, measured.answers / max(measured.seconds, self._duration))
        # Half at the most: what was measured may be from before the limit moved, and is soon measured again.
        share = measured.refused / measured.answers
        limit = max(_SLOWEST, offered * max(0.5, 1 - share))
        agrees = self._limit is not None and _AGREES * self._limit <= limit <= self._limit / _AGREES
        # At a slow pace each measurement is of a few answers; those that agree vouch for each other.
        self._evidence = measured.answers + (2 * self._evidence if agrees else 0)
        self._limit, self._confidence = limit, min(1.0, self._evidence / _SAMPLE)
        self._since_cut = 0.0
        self._proven = ProvenPace()
        if share > _OVERLOAD and self._is_slow(limit):  # perhaps a server that takes no two at once
            self._confidence = min(self._confidence, _DOUBTFUL)
            self._since_cut = self._recovery(limit) / 2
        self._last_cut = now
        self._score = 0.0
        self._current, self._previous = _Slice(self.rate), _Slice(self.rate)
        # From here on the rate is the bound.
        self._window = self._max_in_flight
        self._next_start = max(self._next_start, now)


class Gate:
    """Notices that nothing is let through, and lets one request at a time find out when that is over.

    There are two reasons for it. A server that cannot be reached, or fails at everything, would use up a whole batch.
    And a quota (so many requests a window, then nothing until the window ends) would be asked on and on: how long its
    window lasts is learned at its first end, and from then on it is waited out once.

    Attributes:
        shut: Whether only one request at a time may start, to find out.
        shut_since: When the first of the bad answers came for which the gate is shut; None while it is open.
        paused_until: Until when the quota of a window is used up.
    """

    def __init__(self) -> None:
        self.shut = False
        self.shut_since: float | None = None
        self._is_down = False
        self._last_bad = -math.inf
        self.paused_until = -math.inf
        self._bad = 0
        self._bad_since = 0.0
        self._gap = _FIRST_GAP
        self._next_probe = -math.inf
        self._opened: float | None = None  # when the first request of the window was taken
        self._is_new_window = True
        self._taken = 0  # requests in the window
        self._strays = 0  # those that were refused in the window before one that was taken
        self._quota = math.inf  # how many a window took before
        self._period = math.inf  # seconds that a window lasts
        self._closes = math.inf  # when the window ends

    def delay(self, now: float, in_flight: int) -> float:
        """Return the seconds until a request may start; infinite while only the end of another can tell."""
        if self.shut:
            return math.inf if in_flight else max(0.0, self._next_probe - now)
        if in_flight and self._taken + in_flight >= self._quota and now < self._closes:
            return math.inf  # it may be used up: one at a time finds out
        return max(0.0, self.paused_until - now)

    def good(self, now: float) -> None:
        """A request was taken."""
        if self.shut and not self._is_down:
            closed_for = now - self._bad_since
            if self._is_like_a_quota and self._opened is not None and closed_for >= _SHORTEST_CLOSURE:
                self._period, self._quota = now - self._opened, self._taken
            self._is_new_window = True
        else:
            self._strays += self._bad
        if self._is_new_window or now >= self._closes:
            self._opened, self._taken, self._strays, self._is_new_window = now, 0, 0, False
            self._closes = now + self._period
        self._taken += 1
        if self._taken > self._quota + _TAKEN_BEYOND:
            self._quota = math.inf  # it was none, or others use less of it now
        self.shut, self.shut_since, self._is_down, self._bad, self._gap = False, None, False, 0, _FIRST_GAP

    def bad(self, now: float, *, down: bool, started: float | None = None) -> None:
        """A request was refused, or (`down`) the server could not be reached or failed."""
        if (now if started is None else started) - self._last_bad > self._gap + _IDLE:
            # Nobody has asked for a while, which says nothing about the server: it begins anew.
            self.shut, self.shut_since, self._bad, self._gap = False, None, 0, _FIRST_GAP
        self._last_bad = now
        if not self._bad:
            self._bad_since, self._is_down = now, False
        self._bad += 1
        self._is_down |= down
        # An earlier refusal may be by chance, and what looks like a short window is often none.
        used_up = self._taken >= self._quota and self._period >= _LONG_WINDOW
        if self.shut and now < self._next_probe:
            pass  # it started before the gate was shut
        elif self.shut:
            self._gap = min(self._gap * _GROWTH, _MOST_GAP_DOWN if down else _MOST_GAP_REFUSED)
            self._next_probe = now + self._gap
        elif down:
            if self._bad >= _OUTAGE:
                self._shut(now)
        elif (used_up or self._bad >= _REFUSED_BEFORE_END) and self._is_like_a_quota and now < self._closes < math.inf:
            self.paused_until, self._quota = self._closes, self._taken
            self._bad = 0
            self._is_new_window = True
        elif self._bad >= _REFUSALS and now - self._bad_since >= _LASTING:
            self._shut(now)

    @property
    def knows_quota(self) -> bool:
        """Whether the server takes so many requests a window, as far as is known."""
        return self._quota < math.inf

    @property
    def _is_like_a_quota(self) -> bool:
        """Whether the window took some, and all of them before it refused any: a limit by rate refuses in between."""
        return not self._is_new_window and self._taken >= _FEWEST_TAKEN and self._strays <= _STRAYS * self._taken

    def _shut(self, now: float) -> None:
        self.shut, self.shut_since, self._next_probe = True, self._bad_since, now + self._gap


class _Slice:
    """What was answered in a stretch of time, which began at a rate."""

    __slots__ = ("answers", "rate", "refused", "seconds")

    def __init__(self, rate: float = math.inf, answers: int = 0, refused: int = 0, seconds: float = 0.0) -> None:
        self.rate = rate
        self.answers = answers
        self.refused = refused
        self.seconds = seconds

    def __add__(self, other: _Slice) -> _Slice:
        return _Slice(
            self.rate, self.answers + other.answers, self.refused + other.refused, self.seconds + other.seconds
        )
