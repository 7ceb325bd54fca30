"""What an attacker found in the pool of workers: no outcome is lost, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from aiolosant import AuthenticationError, LosantClient, NewExperienceGroup, OutcomeUnknownError, RetryPolicy, by_tag
from aiolosant.emulator import Emulator, Fault

from .batches import named
from .conftest import client_of
from .tenants import QUICK, tenants


async def test_batches_of_the_same_keys_do_not_wait_for_each_other_in_a_circle(emulator: Emulator) -> None:
    """A create that settles holds its key and wants a permit; one that waits for a key must hold none."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, times=4, method="POST")
    first, second = tenants(2)
    async with client_of(emulator, retry=QUICK) as losant, asyncio.timeout(20):
        groups = losant.experience_groups
        batches = [
            groups.create_many(items, unique_by=by_tag("externalId"), concurrency=1)
            for items in ([first, second], [second, first])
        ]
        reports = await asyncio.gather(*(batch.report() for batch in batches))
    assert [(report.created, report.existing) for report in reports] == [(1, 1), (1, 1)]
    assert len(emulator.groups()) == 2


@pytest.mark.parametrize("unique", [False, True])
async def test_what_was_pulled_before_the_input_raised_at_once_has_outcomes(losant: LosantClient, unique: bool) -> None:
    """Even if the input raises before anything has begun."""

    def rows() -> Iterator[NewExperienceGroup]:
        yield from tenants(5)
        raise OSError("the file broke off")

    outcomes = []
    with pytest.raises(OSError, match="broke off"):
        async for outcome in losant.experience_groups.create_many(
            rows(), unique_by=by_tag("externalId") if unique else None
        ):
            outcomes.append(outcome)  # noqa: PERF401 - what came before the error counts
    assert sorted(outcome.index for outcome in outcomes) == list(range(5))


async def test_several_fatal_errors_while_the_input_cleans_up_lose_no_outcome(emulator: Emulator) -> None:
    """The input is cancelled once, and may take its time."""
    pulled, cleaned = 0, False

    async def rows() -> AsyncIterator[NewExperienceGroup]:
        nonlocal pulled, cleaned
        try:
            for group in named(100):
                pulled += 1
                yield group
        finally:
            while sum(request.status == 401 for request in emulator.requests) < 4:
                await asyncio.sleep(0.001)
            cleaned = True

    emulator.latency = 0.01
    async with client_of(emulator, token="wrong") as losant:
        with pytest.raises(AuthenticationError) as caught:
            await losant.experience_groups.create_many(rows(), concurrency=4).report()
    assert cleaned
    assert len(caught.value.report.failed) == pulled


async def test_several_consumers_of_one_iterator_all_come_to_its_end(losant: LosantClient) -> None:
    """Each outcome goes to one of them, and nobody waits for more."""
    iterator = aiter(losant.experience_groups.create_many(named(10)))

    async def consume() -> int:
        return len([outcome async for outcome in iterator])

    async with asyncio.timeout(20):
        assert sum(await asyncio.gather(*(consume() for _ in range(3)))) == 10


async def test_an_input_that_raises_no_exception_ends_the_batch_with_it(losant: LosantClient) -> None:
    """A `BaseException` of a framework's is not the end of the input."""

    class StopEverything(BaseException):
        pass

    def rows() -> Iterator[NewExperienceGroup]:
        yield from named(3)
        raise StopEverything

    with pytest.raises(StopEverything):
        await losant.experience_groups.create_many(rows()).report()


async def test_an_outcome_that_the_end_of_a_batch_cut_off_says_which_request_it_was(emulator: Emulator) -> None:
    """And how often that was sent."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, times=99, method="POST")
    async with client_of(emulator, retry=RetryPolicy(settle_time=60)) as losant:
        batch = losant.experience_groups.create_many(tenants(1), unique_by=by_tag("externalId"))
        step = asyncio.create_task(anext(batch))
        while [request.method for request in emulator.requests].count("GET") < 2:
            await asyncio.sleep(0.001)
        step.cancel()
        await asyncio.wait({step})
        (outcome,) = (await batch.report()).unknown
    error: Any = outcome.error
    assert isinstance(error, OutcomeUnknownError)
    assert (error.method, error.attempts) == ("POST", 1)
