"""When nothing is let through: outages and quotas, on a clock of the test's own."""

import asyncio
import math

import pytest

from aiolosant import LosantClient, LosantError, NewExperienceGroup, RetryPolicy, TransportError, by_tag
from aiolosant._http.pace import Gate, Pace
from aiolosant.emulator import Emulator, Fault, RequestRecord

from .conftest import client_of
from .tenants import tenants


class Quota:
    """A server that takes so many requests a window, and a client that asks as the gate lets it."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.gate = Gate()
        self.now = 0.0
        self.refused = 0
        self._window, self._taken = -1, 0

    def work(self, requests: int) -> float:
        """Send so many requests, each of which takes 20 ms; return when the last was taken."""
        done = 0
        while done < requests:
            self.now += max(0.02, self.gate.delay(self.now, 0))
            window = int(self.now // self.seconds)
            if window != self._window:
                self._window, self._taken = window, 0
            if self._taken < self.most:
                self._taken += 1
                done += 1
                self.gate.good(self.now)
            else:
                self.refused += 1
                self.gate.bad(self.now, down=False)
        return self.now


@pytest.mark.parametrize(("most", "seconds"), [(50, 4), (100, 10), (600, 60)])
def test_a_quota_is_learned_at_its_first_end_and_then_waited_out(most: int, seconds: float) -> None:
    """Five windows take little longer than five windows, and few requests in each are refused once it is known."""
    quota = Quota(most, seconds)
    quota.work(most + 1)  # learned
    learned = quota.refused
    end = quota.work(4 * most)
    assert end <= 5.3 * seconds + 2
    assert learned <= 8 / 0.02 * 0.1 + seconds + 10
    assert quota.refused - learned <= 4 * (1 if seconds >= 5 else 3)


def test_near_the_end_of_a_known_quota_one_request_at_a_time_finds_out() -> None:
    """Sixty-four at a time would all be refused when it is used up; and the next window begins with all of them."""
    quota = Quota(50, 4)
    quota.work(51)
    gate, now = quota.gate, quota.now
    for taken in range(1, 40):
        gate.good(now + taken * 0.01)
    assert gate.delay(now + 0.5, 9) == 0
    assert gate.delay(now + 0.5, 10) == math.inf
    assert gate.delay(now + 0.5, 0) == 0
    assert gate.delay(now + 5, 64) == 0


def test_a_quota_that_takes_more_is_forgotten() -> None:
    """Others may have used a part of it before; one at a time would be slow."""
    quota = Quota(50, 60)
    quota.work(51)
    gate, now = quota.gate, quota.now
    for taken in range(1, 53):
        gate.good(now + taken * 0.01)
        assert gate.delay(now + taken * 0.01, 1) == (0 if taken < 48 else math.inf)
    gate.good(now + 1)
    assert gate.delay(now + 1, 9) == 0


def test_a_quota_is_still_known_after_an_idle_minute() -> None:
    """Windows come and go without a refusal that tells of them; three refusals say that the next is used up."""
    quota = Quota(50, 4)
    quota.work(51)
    learned, quota.now = quota.refused, quota.now + 60
    quota.work(101)
    assert quota.refused - learned <= 6


def test_a_limit_by_rate_is_no_quota() -> None:
    """One request a second is taken, the others are refused: nobody waits for a window to end."""
    gate, now, taken = Gate(), 0.0, 0
    while now < 60:
        now += max(0.05, gate.delay(now, 0))
        if now >= taken:
            taken += 1
            gate.good(now)
        else:
            gate.bad(now, down=False)
    assert taken >= 30


def test_an_outage_lets_one_request_at_a_time_find_out() -> None:
    """After five failures in a row; the first that is taken opens the gate for all."""
    gate = Gate()
    for n in range(4):
        gate.bad(n * 0.01, down=True)
    assert gate.delay(0.04, 3) == 0
    gate.bad(0.05, down=True)
    assert gate.delay(0.05, 0) == pytest.approx(0.25)
    assert gate.delay(0.3, 0) == 0
    assert gate.delay(0.3, 1) == float("inf")
    gate.bad(0.4, down=True)
    assert 0.25 < gate.delay(0.4, 0) <= 0.5
    gate.good(1.0)
    assert gate.delay(1.0, 9) == 0


@pytest.mark.parametrize("unique", [False, True])
async def test_an_outage_slows_a_batch_down_instead_of_using_it_up(emulator: Emulator, unique: bool) -> None:
    """Two seconds of 503 in the middle: what was sent then is in doubt without an identity, all else is created."""
    until = asyncio.get_running_loop().time() + 1e9

    def outage(request: RequestRecord) -> Fault | None:
        nonlocal until
        if len(emulator.requests) >= 100 and until > request.time + 1e6:
            until = request.time + 2
        return Fault.UNAVAILABLE if until - 2 <= request.time < until else None

    emulator.before_request = outage
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.05)) as losant:
        batch = losant.experience_groups.create_many(tenants(400), unique_by=by_tag("externalId") if unique else None)
        report = await batch.report()
    assert report.failed == ()
    assert report.created + len(report.unknown) == 400
    assert len(report.unknown) <= (0 if unique else 40)
    assert len(emulator.groups()) == report.created


async def test_a_batch_ends_when_an_outage_outlasts_the_patience() -> None:
    """With an error that says how long the server was out of reach, and nothing is said to be what it is not."""
    policy = RetryPolicy(first_delay=0.01, max_delay=0.02, patience=0.3)
    losant = LosantClient("t", application_id="1" * 24, base_url="http://127.0.0.1:1", retry=policy)
    async with losant:
        with pytest.raises(
            TransportError, match=r"server has been out of reach, or failing, for \d+ seconds"
        ) as caught:
            await losant.experience_groups.create_many(NewExperienceGroup(f"{n}") for n in range(10_000)).report()
    assert caught.value.ends_batch
    assert caught.value.report.created == 0
    assert len(caught.value.report.failed) < 200


async def test_an_outcome_that_stays_unknown_says_that_an_outage_was_waited_for(emulator: Emulator) -> None:
    """Who reads it must not take it for a single lost answer."""
    emulator.inject(Fault.SERVER_ERROR, times=None)
    policy = RetryPolicy(patience=0.1)
    async with client_of(emulator, retry=policy) as losant:
        with pytest.raises(LosantError) as caught:
            await losant.experience_groups.create_many(tenants(100)).report()
    assert "out of reach, or failing, for" in str(caught.value.report.unknown[-1].error)


def test_an_idle_hour_after_an_outage_begins_anew() -> None:
    """That nobody asked does not mean that the server was out of reach."""
    gate = Gate()
    for n in range(6):
        gate.bad(n * 0.01, down=True)
    assert gate.shut_since == 0
    gate.bad(3600, down=True)
    assert not gate.shut
    assert gate.delay(3600, 9) == 0


def test_a_pause_of_a_second_is_believed_in_steps_once_the_rate_is_known() -> None:
    """It may be rounded up from milliseconds; what was too short is doubled, and a longer one is believed at once."""
    pace = Pace(16)
    for n in range(100):
        pace.tick(n * 0.01, waited=True, for_turn=True)
        pace.start(n * 0.01)
        pace.end(n * 0.01, n * 0.01, refused=n % 3 == 0, waiting=True)
    assert pace.limit_found
    held = []
    for n in range(3):
        now = 10.0 + n
        pace.pause(now, 1.0)
        held.append(pace.delay(now))
    assert held[0] < 0.3
    assert held[0] < held[1] < held[2] <= 1.0
    pace.pause(20.0, 2.0)
    assert pace.delay(20.0) == pytest.approx(2.0)


def test_a_wave_of_which_nothing_was_taken_says_nothing_of_the_rate() -> None:
    """It says when, and not how fast: whoever may not come now is not slow for it later."""
    pace = Pace(64)
    for _ in range(16):
        pace.start(0.0)
    pace.tick(0.0, waited=True, for_turn=True)
    pace.tick(1.0, waited=True, for_turn=True)
    pace.pause(1.0, 2.0)
    for _ in range(16):
        pace.end(1.0, 0.0, refused=True, waiting=True)
    assert not pace.limit_found
    assert pace.delay(1.0) == 2.0
