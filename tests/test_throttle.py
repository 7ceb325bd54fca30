"""Finding the server's pace, on a simulated clock: no test of this module waits."""

import asyncio
import math
from contextlib import AbstractAsyncContextManager

import pytest

from aiolosant import ConfigurationError, NewExperienceGroup, RequestTimeoutError, RetryPolicy
from aiolosant._http.deadline import Deadline
from aiolosant._http.pace import Pace
from aiolosant._http.throttle import Slot, Throttle
from aiolosant.emulator import Emulator

from . import virtual_time
from .conftest import client_of
from .limited_world import World


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("limit", "latency", "most_refused"),
    [(200, 0.02, 0.03), (1000, 0.02, 0.03), (200, 0.2, 0.04)],  # what comes late is learned late
)
def test_a_hidden_limit_is_found_and_used(limit: float, latency: float, most_refused: float, seed: int) -> None:
    """At least 90 % of a limit is used after a warm-up of three seconds, and few requests are refused."""
    world = World(limit=limit, latency=latency, seed=seed)
    world.run(20)
    assert world.taken(3, 20) >= 0.9 * limit
    assert world.refused(0, 20) <= 0.04
    assert world.refused(3, 20) <= most_refused


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("workers", [4, 8, 16])
def test_a_limit_is_found_though_nobody_has_to_wait_for_a_turn(workers: int, seed: int) -> None:
    """Few workers never fill the window; that they were refused and back off is waiting for the server as well."""
    world = World(limit=50, workers=workers, seed=seed)
    world.run(20)
    assert world.refused(5, 20) <= 0.06
    assert world.taken(5, 20) >= 45


@pytest.mark.parametrize(("rate", "seconds"), [(math.inf, 1), (200, 1), (10, 2), (0.5, 30)])
async def test_news_lasts_for_as_long_as_twenty_requests_take(rate: float, seconds: float) -> None:
    """A second at least; and half a minute at most, since deletes go by it."""
    assert Throttle(16, max_rate=rate).seconds_of_news == pytest.approx(seconds)


async def test_a_batch_of_the_usual_size_finds_the_limit(emulator: Emulator) -> None:
    """Sixteen at a time, far more than the server takes: no group is given up for that."""
    emulator.rate_limit = 50
    async with client_of(emulator, retry=RetryPolicy(max_attempts=8)) as losant:
        report = await losant.experience_groups.create_many(NewExperienceGroup(f"{n}") for n in range(100)).report()
    assert (report.created, report.failed) == (100, ())
    assert sum(request.status == 429 for request in emulator.requests) < 100


@pytest.mark.parametrize("seed", range(3))
def test_a_limit_that_is_halved_is_found_again(seed: int) -> None:
    """Within five seconds the pace has settled at the new limit."""
    world = World(limit=200, seed=seed)
    world.run(10)
    world.limit = 100
    world.run(25)
    assert world.refused(15, 25) <= 0.05
    assert world.taken(15, 25) >= 90


def test_a_limit_that_is_lifted_is_outgrown() -> None:
    """Without refusals the pace grows ever faster."""
    world = World(limit=200)
    world.run(10)
    world.limit = math.inf
    world.run(30)
    assert world.taken(25, 30) >= 1000


@pytest.mark.parametrize("seed", range(3))
def test_scattered_refusals_do_not_pull_the_pace_down(seed: int) -> None:
    """With 3 % refused by chance and no limit, throughput stays above 80 % of what it is without."""
    free, noisy = World(seed=seed), World(noise=0.03, seed=seed)
    for world in (free, noisy):
        world.run(10)
    # Two of three workers that were refused are in back-off, not waiting; they do not count as throughput lost.
    assert noisy.paces[0].rate == math.inf or noisy.paces[0].rate >= 0.8 * free.taken(1, 10)


@pytest.mark.parametrize("seed", range(3))
def test_two_clients_share_a_limit(seed: int) -> None:
    """Neither gets less than a quarter of it."""
    world = World(limit=200, clients=2, seed=seed)
    world.run(60)
    shares = [world.taken(20, 60, client) for client in (0, 1)]
    assert min(shares) >= 50
    assert sum(shares) >= 180


def test_idle_time_does_not_change_the_rate() -> None:
    """The rate after a pause is the rate before it, and the first burst starts at once."""
    world = World(limit=200)
    world.run(10)
    pace = world.paces[0]
    before = pace.rate
    pace.tick(world.now, waited=False, for_turn=False)
    pace.tick(world.now + 3600, waited=False, for_turn=False)
    assert pace.rate == before
    assert pace.delay(world.now + 3600) == 0


def test_the_window_opens_until_the_first_wave() -> None:
    """16 at first, one more for each answer that somebody waited for, never more than was allowed."""
    pace = Pace(20)
    for n in range(16):
        assert pace.delay(n) == 0
        pace.start(n)
    assert pace.delay(16) == math.inf
    for _ in range(10):
        pace.end(17, 0, refused=False, waiting=True)
    started = 0
    while pace.delay(17) == 0:
        pace.start(17)
        started += 1
    assert started == 20 - 6
    small = Pace(3)
    for n in range(3):
        small.start(n)
    assert small.delay(3) == math.inf


def test_refusals_of_requests_from_before_a_cut_do_not_cut_again() -> None:
    """Those that were on the way when the pace was cut do not cut it again."""
    pace = Pace(64)
    for _ in range(16):
        pace.start(0.0)
    pace.tick(0.0, waited=True, for_turn=True)
    pace.tick(1.0, waited=True, for_turn=True)
    for n in range(10):
        pace.end(1.0, 0.0, refused=n > 0, waiting=True)
    cut_to = pace.rate
    assert cut_to < math.inf
    for _ in range(6):
        pace.end(1.0, 0.0, refused=True, waiting=True)
    assert pace.rate == cut_to


def slot(throttle: Throttle, *, urgent: bool = False) -> AbstractAsyncContextManager[Slot]:
    return throttle.slot(Deadline(60), urgent=urgent)


async def test_slots_are_granted_in_order_and_a_cancelled_wait_takes_none() -> None:
    """First come, first served; who is cancelled while it waits, or just when its slot was granted, blocks nobody."""
    throttle = Throttle(1)
    order: list[int] = []
    gates = [asyncio.Event() for _ in range(6)]

    async def take(n: int) -> None:
        async with slot(throttle):
            order.append(n)
            await gates[n].wait()

    tasks = [asyncio.create_task(take(n)) for n in range(5)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    gates[0].set()
    await tasks[0]  # the slot of task 1 goes to task 2
    tasks[3].cancel()
    gates[2].set()
    await tasks[2]
    gates[4].set()
    await tasks[4]
    assert order == [0, 2, 4]
    gates[5].set()
    await take(5)


async def test_a_call_that_ran_out_of_time_says_that_it_waited_for_its_turn() -> None:
    """It is its own client that it waited for, and not the server."""
    throttle = Throttle(1)
    async with slot(throttle):
        with pytest.raises(RequestTimeoutError, match="its turn behind the client's other requests"):
            async with throttle.slot(Deadline(0.01)):
                pytest.fail("there is but one slot")
    async with slot(throttle):
        pass


async def test_what_is_urgent_goes_first() -> None:
    """It need not queue behind those that were there before."""
    throttle = Throttle(1)
    order: list[str] = []

    async def take(name: str, *, urgent: bool) -> None:
        async with slot(throttle, urgent=urgent):
            order.append(name)

    async with slot(throttle):
        tasks = [asyncio.create_task(take(name, urgent=name == "urgent")) for name in ("a", "b", "urgent")]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["urgent", "a", "b"]


async def test_a_slot_that_is_granted_with_a_cancellation_is_given_back() -> None:
    """A caller that is cancelled in the same tick as its slot is granted does not keep it."""
    throttle = Throttle(1)

    async def take() -> None:
        async with slot(throttle):
            pytest.fail("it was cancelled")

    async with slot(throttle):
        late = asyncio.create_task(take())
        await asyncio.sleep(0)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    async with slot(throttle):
        pass


async def test_closing_turns_away_all_that_wait_and_all_that_come_later() -> None:
    """Nobody waits for ever for a client that is closed."""
    throttle = Throttle(1)

    async def take() -> None:
        async with slot(throttle):
            pytest.fail("it was closed")

    async with slot(throttle):
        waiting = asyncio.create_task(take())
        await asyncio.sleep(0)
        throttle.close()
        with pytest.raises(ConfigurationError, match="closed"):
            await waiting
    with pytest.raises(ConfigurationError, match="closed"):
        await take()


async def test_a_pause_holds_everything_back() -> None:
    """While the server asked for a pause nothing starts."""
    loop = asyncio.get_running_loop()
    throttle = Throttle(4)
    before = loop.time()
    throttle.pause(0.03)
    async with slot(throttle) as granted:
        granted.refused = False
        assert loop.time() - before >= 0.029


def test_time_in_which_nobody_waits_is_not_counted() -> None:
    """The time that the server asked to wait is not time in which it answered slowly."""
    paces = [Pace(64), Pace(64)]
    for pace, paused in zip(paces, (0.0, 100.0), strict=True):
        pace.tick(0, waited=False, for_turn=False)
        pace.tick(0.5, waited=True, for_turn=True)
        pace.tick(0.5 + paused, waited=False, for_turn=False)
        for _ in range(16):
            pace.start(0.5 + paused)
        pace.tick(1.0 + paused, waited=True, for_turn=True)
        for n in range(16):
            pace.end(1.0 + paused, 0.5 + paused, refused=n > 0, waiting=True)
    assert paces[0].rate == paces[1].rate < math.inf


def test_a_wave_that_is_answered_at_once_was_sent_no_faster_than_requests_take() -> None:
    """That somebody waited for a millisecond of it does not make sixteen of them thousands a second."""
    pace = Pace(16)
    for _ in range(16):
        pace.start(0)
    pace.tick(0.079, waited=False, for_turn=False)
    pace.tick(0.08, waited=True, for_turn=True)
    for n in range(16):
        pace.end(0.08, 0, refused=n >= 4, waiting=True)
    assert pace.rate < 1000


def test_a_lone_caller_before_the_rush_teaches_nothing() -> None:
    """Answers to calls that nobody waited behind are no measure of what the server takes."""
    world = World(limit=200)
    pace = world.paces[0]
    for n in range(1000):
        pace.tick(n * 0.02, waited=False, for_turn=False)
        pace.start(n * 0.02)
        pace.end(n * 0.02 + 0.01, n * 0.02, refused=False, waiting=False)
    world.now = 20.0
    world.run(35)
    assert world.taken(23, 35) >= 180


def test_after_an_idle_hour_the_first_wait_is_not_counted_as_long() -> None:
    """The hour before somebody waited again is no time in which the server was slow."""
    world = World(limit=200)
    world.run(10)
    pace = world.paces[0]
    pace.tick(world.now, waited=False, for_turn=False)
    before = pace.rate
    pace.tick(world.now + 3600, waited=False, for_turn=False)
    pace.tick(world.now + 3600.001, waited=True, for_turn=True)
    assert pace.rate == pytest.approx(before, rel=0.01)


def test_a_run_of_bad_luck_among_many_cuts_nothing() -> None:
    """Refusals in a row do not count as a limit while the share of all is small; a large share does."""
    for answered, is_cut in ((1000, False), (50, True)):
        pace = Pace(64)
        pace.tick(0, waited=True, for_turn=True)
        for n in range(answered):
            pace.start(n * 0.001)
            pace.tick(n * 0.001, waited=True, for_turn=True)
            pace.end(n * 0.001, n * 0.001, refused=False, waiting=True)
        for _ in range(9):
            pace.start(1)
            pace.end(1, 1, refused=True, waiting=True)
        assert (pace.rate < math.inf) is is_cut


async def test_a_turn_that_was_not_used_is_the_next_ones() -> None:
    """Nothing was sent, so that nobody has to wait for it; be it given back, or granted to one who has just left."""
    throttle = Throttle(1, max_rate=0.001)  # a request in a thousand seconds
    for _ in range(5):
        async with slot(throttle) as given:
            given.sent = False
    with pytest.raises(ValueError, match="stale"):
        async with slot(throttle) as given:
            given.sent = False
            raise ValueError("stale")
    async with slot(throttle):
        leaving = asyncio.create_task(throttle.start(urgent=False, background=False))
        await asyncio.sleep(0)
        leaving.cancel()
    assert throttle.in_flight == 0


def test_requests_start_evenly_and_not_in_bursts() -> None:
    """Of 50 a second one each 20 ms, though 20 wait at once."""
    starts: list[float] = []

    async def start(throttle: Throttle) -> None:
        async with slot(throttle):
            starts.append(asyncio.get_running_loop().time())

    async def work() -> None:
        throttle = Throttle(64, max_rate=50)
        await asyncio.gather(*(start(throttle) for _ in range(20)))

    virtual_time.run(work)
    assert starts == pytest.approx([n / 50 for n in range(20)], abs=0.006)
