"""How a batch ends before its time: by break, aclose, a cancellation, or with the client."""

import asyncio
import gc
from typing import Any

import pytest

from aiolosant import (
    ConfigurationError,
    LosantClient,
    Outcome,
    TransportError,
)
from aiolosant._batch.workers import Workers
from aiolosant.emulator import Emulator

from .batches import named, posts


async def test_leaving_the_loop_sends_nothing_more(emulator: Emulator, losant: LosantClient) -> None:
    """After `break` what is on the wire ends by itself, and nothing else is sent or pulled."""
    emulator.latency = 0.01
    source = named(1000)
    async for _ in losant.experience_groups.create_many(source, concurrency=5):
        break
    await losant.close()
    assert posts(emulator) <= 2 * 5
    assert all(request.status == 201 for request in emulator.requests)
    assert len(list(source)) >= 1000 - 5 - 8 - 1


async def test_an_abandoned_batch_still_reports(emulator: Emulator, losant: LosantClient) -> None:
    """After `break`, `report` waits for what was sent and counts it; what was never sent is failed."""
    emulator.latency = 0.01
    batch = losant.experience_groups.create_many(named(1000), concurrency=5)
    async for _ in batch:
        break
    report = await batch.report()
    assert report.created == posts(emulator) == await losant.experience_groups.list().count()
    assert {type(outcome.error) for outcome in report.failed} == {TransportError}
    assert report.unknown == ()


async def test_closing_waits_for_what_is_on_the_wire(emulator: Emulator, losant: LosantClient) -> None:
    """`aclose` and `async with` end a batch without losing sight of what was sent."""
    emulator.latency = 0.01
    async with losant.experience_groups.create_many(named(1000), concurrency=5) as batch:
        assert (await anext(batch)).ok
    report = await batch.report()
    assert report.created == posts(emulator) == await losant.experience_groups.list().count()
    walker = aiter(losant.experience_groups.create_many(named(3)))
    await anext(walker)
    await walker.aclose()
    assert [outcome.ok async for outcome in walker] == [True, True]


async def test_cancelling_the_consumer_waits_for_what_is_on_the_wire(emulator: Emulator, losant: LosantClient) -> None:
    """A cancelled consumer leaves no task, and what was sent has its outcome."""
    emulator.latency = 0.02
    batch = losant.experience_groups.create_many(named(1000), concurrency=5)

    async def consume() -> None:
        async for _ in batch:
            pass

    consumer = asyncio.create_task(consume())
    while posts(emulator) < 7:
        await asyncio.sleep(0.001)
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    report = await batch.report()
    assert report.created == posts(emulator) == await losant.experience_groups.list().count()


async def test_a_second_cancellation_does_not_wait(emulator: Emulator, losant: LosantClient) -> None:
    """Who cancels twice has the consumer back at once; the client still owns what is on the wire."""
    emulator.latency = 0.05
    walker = aiter(losant.experience_groups.create_many(named(1000), concurrency=5))
    consumer = asyncio.create_task(anext(walker))
    while posts(emulator) < 5:
        await asyncio.sleep(0.001)
    consumer.cancel()
    await asyncio.sleep(0)
    assert not consumer.done()
    consumer.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert consumer.cancelled()
    await losant.close()
    assert [request.status for request in emulator.requests] == [201] * 5


async def test_closing_the_client_ends_a_batch(emulator: Emulator, losant: LosantClient) -> None:
    """Those on the wire settle and are yielded, then the consumer is told that the client was closed."""
    emulator.latency = 0.02
    outcomes: list[Outcome] = []

    async def consume() -> None:
        async for outcome in losant.experience_groups.create_many(named(1000), concurrency=5):
            outcomes.append(outcome)  # noqa: PERF401 - what came before the error counts

    consumer = asyncio.create_task(consume())
    while posts(emulator) < 7:
        await asyncio.sleep(0.001)
    await losant.close()
    with pytest.raises(ConfigurationError, match="closed"):
        await consumer
    assert sum(outcome.ok for outcome in outcomes) == posts(emulator)


async def test_a_batch_that_is_forgotten_is_collected(losant: LosantClient) -> None:
    """Nothing keeps a batch alive once its walk has ended or was left: services run for months."""
    before = {id(workers) for workers in gc.get_objects() if isinstance(workers, Workers)}  # of other tests
    walked = losant.experience_groups.create_many(named(3))
    await walked.report()
    left = losant.experience_groups.create_many(named(3))
    async for _ in left:
        break
    del walked, left

    def kept() -> list[Workers[Any]]:
        gc.collect()
        return [one for one in gc.get_objects() if isinstance(one, Workers) and id(one) not in before]

    while kept():  # as long as an attempt of it is on the wire; for ever, if anything keeps it
        await asyncio.sleep(0.01)


async def test_tasks_that_are_cancelled_from_outside_have_outcomes(emulator: Emulator, losant: LosantClient) -> None:
    """Whoever cancels every task of the loop gets an outcome for every item that was pulled, and no hang."""
    batch = losant.experience_groups.create_many(named(12), concurrency=4)
    walk = asyncio.create_task(batch.report())
    while not (work := [task for task in asyncio.all_tasks() if "Workers._work_on" in repr(task)]):
        await asyncio.sleep(0)
    for task in work:
        task.cancel()
    report = await walk
    assert len(work) == len(report.failed) + len(report.unknown) == 4
    assert report.created == 8


async def test_leaving_leaves_no_task(emulator: Emulator, losant: LosantClient) -> None:
    """Some ticks after `break`, without closing anything, no task of the batch is left."""
    before = asyncio.all_tasks()
    async for _ in losant.experience_groups.create_many(named(100), concurrency=5):
        break
    while {task for task in asyncio.all_tasks() - before if "Workers." in repr(task)}:  # for ever, if one is left
        await asyncio.sleep(0.001)
    sent = posts(emulator)
    await losant.experience_groups.list().count()
    assert posts(emulator) == sent <= 11


async def test_a_batch_that_is_closed_before_its_first_step_has_none(losant: LosantClient) -> None:
    """As any other iterator that was closed."""
    batch = losant.experience_groups.create_many(named(3))
    await batch.aclose()
    assert await anext(batch, None) is None
