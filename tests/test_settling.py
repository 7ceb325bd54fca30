"""What is settled after a lost response, how long that takes, and what others see of it meanwhile."""

import asyncio
from collections.abc import Iterator

import pytest

from aiolosant import (
    BadRequestError,
    DuplicateGroupError,
    LosantClient,
    NewExperienceGroup,
    OutcomeUnknownError,
    RetryPolicy,
    by_name,
    by_tag,
)
from aiolosant._batch.key_locks import KeyLocks
from aiolosant._batch.workers import Permit
from aiolosant.emulator import Emulator, Fault, RequestRecord

from .conftest import client_of
from .tenants import QUICK, tenants, there


@pytest.mark.parametrize("fault", [Fault.CUT_AFTER_WRITE, Fault.BAD_GATEWAY, Fault.BROKEN_BODY])
async def test_a_lost_answer_is_settled_by_looking(emulator: Emulator, losant: LosantClient, fault: Fault) -> None:
    """A group that was made though its answer was lost is found, and not sent again."""
    emulator.inject(fault, method="POST")
    (outcome,) = [o async for o in losant.experience_groups.create_many(tenants(1), unique_by=by_name())]
    assert (outcome.status, outcome.error) == ("created", None)
    assert [request.method for request in emulator.requests] == ["GET", "POST", "GET"]


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE_WRITE, Fault.SERVER_ERROR, Fault.UNAVAILABLE])
async def test_a_lost_request_is_sent_again_once_it_is_surely_not_there(emulator: Emulator, fault: Fault) -> None:
    """Looked for at once and after settle_time, sent again, and looked for once more."""
    emulator.inject(fault, method="POST")
    async with client_of(emulator, retry=QUICK) as losant:
        group = await losant.experience_groups.create(next(tenants(1)), unique_by=by_tag("externalId"))
    assert group.name == "Tenant 0"
    assert [request.method for request in emulator.requests] == ["GET", "POST", "GET", "GET", "POST", "GET"]


async def test_a_write_that_lands_too_late_is_reported_with_both_ids(emulator: Emulator) -> None:
    """When it was given up and sent again: the group is there twice, and the outcome says so; nothing is deleted."""

    def land_late(request: RequestRecord) -> Fault | None:
        posts = sum(one.method == "POST" for one in emulator.requests)
        if request.method == "POST" and posts == 1:
            return Fault.CUT_BEFORE_WRITE
        if request.method == "POST":  # the first lands just before the second
            emulator.create_groups([{"name": "Tenant 0"}])
        return None

    emulator.before_request = land_late
    async with client_of(emulator, retry=QUICK) as losant:
        (outcome,) = [o async for o in losant.experience_groups.create_many(tenants(1), unique_by=by_name())]
    ids = {group["id"] for group in emulator.groups()}
    assert outcome.status == "unknown"
    assert isinstance(outcome.error, DuplicateGroupError)
    assert set(outcome.error.ids) == ids
    assert len(ids) == 2
    assert all(group_id in str(outcome.error) for group_id in ids)


async def test_a_refusal_after_a_doubt_does_not_call_the_group_missing(emulator: Emulator) -> None:
    """The lost first write may still land, so the outcome stays unknown though the second was refused."""
    emulator.lateness = 10
    async with client_of(emulator, retry=QUICK) as losant:
        groups = losant.experience_groups
        parent = await groups.create(NewExperienceGroup("parent"))
        emulator.inject(Fault.LATE_WRITE, method="POST")
        new = NewExperienceGroup("orphan", parent_id=parent.id)
        creating = asyncio.create_task(groups.create(new, unique_by=by_name()))
        while sum(request.method == "POST" for request in emulator.requests) < 2:
            await asyncio.sleep(0.001)
        await groups.delete(parent.id)
        with pytest.raises(OutcomeUnknownError, match="is no group of this application") as caught:
            await creating
    assert isinstance(caught.value.__cause__, BadRequestError)


async def test_attempts_end_in_an_unknown_outcome(emulator: Emulator) -> None:
    """A write that is lost again and again is unknown in the end: the last may still land."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, times=99, method="POST")
    policy = RetryPolicy(max_attempts=3, first_delay=0.01, settle_time=0.01)
    async with client_of(emulator, retry=policy) as losant:
        with pytest.raises(OutcomeUnknownError, match="4 attempts"):
            await losant.experience_groups.create(next(tenants(1)), unique_by=by_name())
    # The first went over a connection that the lookup had used before, and so does not count.
    assert sum(request.method == "POST" for request in emulator.requests) == 4


async def test_one_unknown_does_not_stall_the_rest(emulator: Emulator) -> None:
    """Waiting for a settlement gives up the place: at one at a time the others go on meanwhile."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
    async with (
        client_of(emulator, retry=RetryPolicy(settle_time=30)) as losant,
        losant.experience_groups.create_many(tenants(30), concurrency=1, unique_by=by_name()) as batch,
    ):
        order = [(await anext(batch)).index for _ in range(29)]
    assert order == list(range(1, 30))
    assert emulator.peak_in_flight <= 2


async def test_what_waits_for_settlement_is_bounded(emulator: Emulator) -> None:
    """However many are lost, no more than a bounded number waits, and the input is pulled no further."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, times=10_000, method="POST")
    pulled = 0

    def source() -> Iterator[NewExperienceGroup]:
        nonlocal pulled
        for group in tenants(5000):
            pulled += 1
            yield group

    async with client_of(emulator, retry=RetryPolicy(settle_time=30)) as losant:
        batch = losant.experience_groups.create_many(source(), concurrency=4, unique_by=by_name())
        waiting = asyncio.create_task(anext(batch))
        while sum(request.method == "POST" for request in emulator.requests) < 15:
            await asyncio.sleep(0.001)
        assert pulled <= 4 + 8 + 400 + 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        report = await batch.report()
    sent = sum(request.method == "POST" for request in emulator.requests)
    assert sent == len(report.unknown)
    assert len(report.failed) == pulled - sent


async def test_leaving_a_batch_leaves_what_is_unsettled_unknown(emulator: Emulator) -> None:
    """After `break` nothing waits for a settlement any more; what was sent is `unknown`, not `failed`."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, times=3, method="POST")
    async with client_of(emulator, retry=RetryPolicy(settle_time=30)) as losant:
        batch = losant.experience_groups.create_many(tenants(200), concurrency=4, unique_by=by_name())
        async for _ in batch:
            break
        report = await batch.report()
    names = await there(emulator)
    assert len(report.unknown) == 3
    assert report.created == len(names)
    assert {outcome.index for outcome in report.failed}.isdisjoint(int(name.split()[1]) for name in names)


async def test_a_create_that_was_cancelled_and_is_asked_for_again_makes_one_group(emulator: Emulator) -> None:
    """Its write may be still on the way: the next one waits until it must have landed, and looks."""

    def land_between_the_looks(request: RequestRecord) -> Fault | None:
        if request.method == "POST":
            return Fault.CUT_BEFORE_WRITE
        if sum(one.method == "GET" for one in emulator.requests) == 3 and not emulator.has_groups():
            emulator.create_groups([{"name": "x", "groupTags": {"k": "v"}}])
        return None

    emulator.before_request = land_between_the_looks
    new = NewExperienceGroup("x", group_tags={"k": "v"})
    async with client_of(emulator, retry=RetryPolicy(settle_time=1)) as losant:
        groups = losant.experience_groups
        first = asyncio.create_task(groups.create(new, unique_by=by_tag("k")))
        while len(emulator.requests) < 2:
            await asyncio.sleep(0.001)
        first.cancel()
        await asyncio.wait({first})
        made = await groups.create(new, unique_by=by_tag("k"))
    assert [group["id"] for group in emulator.groups()] == [made.id]
    assert [request.method for request in emulator.requests] == ["GET", "POST", "GET", "GET"]


async def test_a_batch_that_was_left_and_is_run_again_makes_what_is_missing(emulator: Emulator) -> None:
    """In one client at once: what the first left unknown is waited for by the second."""
    emulator.lateness = 0.05
    emulator.inject(Fault.LATE_WRITE, times=10, method="POST")
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.3)) as losant:
        left = losant.experience_groups.create_many(tenants(20), unique_by=by_tag("externalId"), concurrency=10)
        step = asyncio.create_task(anext(left))
        while sum(request.method == "POST" for request in emulator.requests) < 10:
            await asyncio.sleep(0.001)
        step.cancel()
        await asyncio.wait({step})
        assert len((await left.report()).unknown) >= 10  # some more may have been begun
        again = await losant.experience_groups.create_many(tenants(20), unique_by=by_tag("externalId")).report()
    assert (again.created + again.existing, again.failed) == (20, ())
    assert again.existing >= 10
    assert sum((await there(emulator)).values()) == 20


async def test_a_key_lock_is_discarded_after_settle_time() -> None:
    """A service that runs for months keeps none that is settled by time."""
    locks = KeyLocks()
    for n in range(100):
        locks[n].doubt(0)
    locks["x"].doubt(0.2)
    while len(locks) > 1:
        await asyncio.sleep(0)
    assert 0 < await locks["x"].take(Permit(asyncio.Semaphore(0), 60)) <= 0.2
    while len(locks):
        await asyncio.sleep(0)


async def test_a_provider_that_fails_after_a_doubt_leaves_the_doubt(emulator: Emulator) -> None:
    """A token that cannot be had any more does not make a lost write undone."""
    tokens = iter([emulator.token])

    async def provider() -> str:
        return next(tokens, None) or fail()

    def fail() -> str:
        raise RuntimeError("vault is sealed")

    async with client_of(emulator, token=provider, retry=QUICK) as losant:
        emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
        creating = asyncio.create_task(losant.experience_groups.create(next(tenants(1)), unique_by=by_name()))
        while not any(request.method == "POST" for request in emulator.requests):
            await asyncio.sleep(0.001)
        emulator.revoke_token()
        with pytest.raises(OutcomeUnknownError, match="vault is sealed"):
            await creating


async def test_an_item_that_settles_does_not_lose_its_time_to_others(emulator: Emulator) -> None:
    """Its clock stands still while it waits for its place behind those that were pulled meanwhile."""
    emulator.latency = 0.01
    emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
    async with client_of(emulator, retry=QUICK, timeout=0.8) as losant:
        report = await losant.experience_groups.create_many(tenants(150), concurrency=1, unique_by=by_name()).report()
    assert report.created == 150


async def test_what_could_not_be_settled_says_where_and_how_often(emulator: Emulator) -> None:
    """Errors made while settling name the request and its attempts, and give one advice."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
    async with client_of(emulator, retry=RetryPolicy(max_attempts=1, settle_time=0.01)) as losant:
        creating = asyncio.create_task(losant.experience_groups.create(next(tenants(1)), unique_by=by_name()))
        while not any(request.method == "POST" for request in emulator.requests):
            await asyncio.sleep(0.001)
        emulator.inject(Fault.SERVER_ERROR, times=9, method="GET")
        with pytest.raises(OutcomeUnknownError, match="looking for it: Internal Server Error") as caught:
            await creating
    assert (caught.value.method, caught.value.attempts) == ("POST", 1)
    assert str(caught.value).count("Look whether") == 1
    assert "Try again later" not in str(caught.value)


@pytest.mark.parametrize("fault", [Fault.CUT_AFTER_WRITE, None])
async def test_nothing_is_settled_for_a_batch_that_was_left(emulator: Emulator, fault: Fault | None) -> None:
    """An attempt that is on the wire when its batch is left ends, and is not followed by a look or another attempt."""
    async with client_of(emulator, retry=QUICK) as losant:
        batch = losant.experience_groups.create_many(tenants(1), unique_by=by_name())
        if fault is not None:
            emulator.inject(fault, method="POST")
        walk = asyncio.create_task(anext(batch))
        while not any(request.method == "GET" for request in emulator.requests):
            await asyncio.sleep(0.001)
        emulator.latency = 0.05
        while not any(request.method == "POST" for request in emulator.requests):
            await asyncio.sleep(0.001)
        walk.cancel()
        await asyncio.gather(walk, return_exceptions=True)
        report = await batch.report()
    assert (report.created, len(report.unknown)) == ((1, 0) if fault is None else (0, 1))
    assert [request.method for request in emulator.requests] == ["GET", "POST"]


async def test_a_resent_create_that_was_left_on_the_wire_stays_in_doubt(emulator: Emulator) -> None:
    """Its first attempt may still land, and nobody is left to look whether it did."""
    async with client_of(emulator, retry=QUICK) as losant:
        batch = losant.experience_groups.create_many(tenants(1), unique_by=by_name())
        emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
        walk = asyncio.create_task(anext(batch))
        while sum(request.method == "GET" for request in emulator.requests) < 3:
            await asyncio.sleep(0.001)
        emulator.latency = 0.05
        while sum(request.method == "POST" for request in emulator.requests) < 2:
            await asyncio.sleep(0.001)
        walk.cancel()
        await asyncio.gather(walk, return_exceptions=True)
        report = await batch.report()
    assert (report.created, len(report.unknown)) == (0, 1)
    assert [request.method for request in emulator.requests] == ["GET", "POST", "GET", "GET", "POST"]
