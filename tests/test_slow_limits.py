"""Limits of a few requests a second, each answer of which tells little, on a simulated clock."""

import itertools

import pytest

from .limited_world import World


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("limit", "burst", "steady", "least"),
    [(10, 10, False, 0.9), (10, 2, False, 0.9), (10, 1, False, 0.8), (10, 1, True, 0.9), (50, 1, True, 0.85)],
)
def test_a_slow_limit_is_found_and_kept_to(limit: float, burst: float, steady: bool, least: float, seed: int) -> None:
    """Few answers tell little of it, one by one; and a server that takes no two at once wastes what comes too soon.

    The more evenly requests arrive, the closer to its limit they may come.
    """
    jitter = (0.98, 1.05) if steady else (0.8, 1.3)
    world = World(limit=limit, burst=burst, seed=seed, workers=16, jitter=jitter)
    world.run(45)
    assert world.taken(5, 45) >= least * limit
    assert world.refused(5, 45) <= 0.05


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("limit", "burst", "least"), [(10, 10, 0.9), (10, 1, 0.8), (50, 5, 0.9)])
def test_a_slow_limit_that_asks_for_pauses_is_found(limit: float, burst: float, least: float, seed: int) -> None:
    """`Retry-After: 1` with each refusal: to wait for whole seconds would leave ten or fifty requests out each time."""
    world = World(limit=limit, burst=burst, seed=seed, workers=16, retry_after=1)
    world.run(45)
    assert world.taken(5, 45) >= least * limit
    assert world.refused(5, 45) <= 0.07


@pytest.mark.parametrize("seed", range(3))
def test_a_refusal_that_costs_seconds_brings_the_pace_down(seed: int) -> None:
    """To look for the limit between what failed and what went well would cost two more refusals each time."""
    world = World(limit=30, burst=2, seed=seed, workers=16, retry_after=2)
    world.run(60)
    assert world.taken(20, 60) >= 0.5 * 30
    assert world.refused(20, 60) <= 0.03


@pytest.mark.parametrize("seed", range(3))
def test_what_a_window_takes_at_its_start_proves_no_pace(seed: int) -> None:
    """Ten in any second: ten at once are taken, and no more for a second."""
    world = World(window=(10, 1), seed=seed, workers=16)
    world.run(60)
    assert world.taken(5, 60) >= 0.8 * 10
    assert world.refused(5, 60) <= 0.15


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("burst", [1, 2, 10])
def test_a_slow_limit_that_drops_is_found_again(burst: float, seed: int) -> None:
    """A pace that went well before the limit moved proves nothing any more."""
    world = World(limit=10, burst=burst, seed=seed, workers=16)
    world.run(30)
    world.limit = 3
    world.run(90)
    assert world.taken(45, 90) >= 0.7 * 3
    assert world.refused(45, 90) <= 0.12


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("limit", "latency"), [(50, 0.02), (1000, 0.002)])
def test_what_is_refused_by_chance_does_not_wear_a_pace_down(limit: float, latency: float, seed: int) -> None:
    """Three in a hundred, beside those of the limit."""
    world = World(limit=limit, latency=latency, noise=0.03, seed=seed, workers=16)
    world.run(60)
    assert world.taken(5, 60) >= 0.8 * limit


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("burst", [1, 2, 10])
def test_clients_that_share_a_slow_limit_never_fall_silent(burst: float, seed: int) -> None:
    """What one is refused because of the other is no quota whose window has to be waited out."""
    world = World(limit=10, burst=burst, clients=2, workers=40, latency=0.03, seed=seed)
    world.run(40)
    for client in range(2):
        times = [0.0, *(time for time, who, _ in world.answers if who == client), 40.0]
        assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("burst", [2, 5])
def test_clients_share_a_slow_limit(burst: float, seed: int) -> None:
    """Once both know it, neither gets less than three tenths of it."""
    world = World(limit=10, burst=burst, clients=2, workers=32, seed=seed)
    world.run(90)
    shares = [world.taken(30, 90, client) for client in range(2)]
    assert min(shares) >= 3
    assert sum(shares) >= 9
