"""Never lose, never duplicate: creates under faults, counted on the server's side."""

import asyncio
import enum
import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from aiolosant import (
    BadRequestError,
    ConfigurationError,
    DuplicateGroupError,
    LosantClient,
    NewExperienceGroup,
    OutcomeUnknownError,
    RateLimitError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    by_name,
    by_tag,
)
from aiolosant._batch.key_locks import KeyLock, KeyLocks
from aiolosant._http.deadline import Deadline
from aiolosant.emulator import Emulator, Fault

from .conftest import client_of
from .servers import answer, raw_server

QUICK = RetryPolicy(first_delay=0.01, max_delay=0.05, settle_time=0.05)
FAULTS: dict[Fault, float] = {fault: 0.25 / 8 for fault in Fault if fault is not Fault.SILENCE}


def tenants(count: int) -> Iterator[NewExperienceGroup]:
    return (NewExperienceGroup(f"Tenant {n}", group_tags={"externalId": str(n)}) for n in range(count))


async def there(emulator: Emulator) -> Counter[str]:
    """How often each name is on the server, once late writes have landed."""
    emulator.inject_random({})
    await asyncio.sleep(emulator.lateness)
    async with client_of(emulator) as observer:
        return Counter([group.name async for group in observer.experience_groups.list(per_page=1000)])


@pytest.mark.parametrize("unique_by", [by_tag("externalId"), by_name()], ids=["by_tag", "by_name"])
async def test_under_faults_each_group_is_there_once(emulator: Emulator, unique_by: Any) -> None:
    """With an identity, a quarter of faulty requests loses none and makes none twice."""
    emulator.inject_random(FAULTS, seed=1)
    emulator.lateness = 0.03
    policy = RetryPolicy(max_attempts=10, first_delay=0.01, max_delay=0.05, settle_time=0.05)
    async with client_of(emulator, retry=policy) as losant:
        report = await losant.experience_groups.create_many(tenants(300), unique_by=unique_by).report()
    names = await there(emulator)
    assert report.created + report.existing == 300
    assert (report.failed, report.unknown) == ((), ())
    assert len(names) == 300
    assert set(names.values()) == {1}
    # Faults did happen: more was sent than was there to send.
    assert sum(request.method == "POST" for request in emulator.requests) > 320


async def test_without_an_identity_none_is_there_twice_and_none_is_called_what_it_is_not(emulator: Emulator) -> None:
    """What is missing or unsure has an outcome that says so; `failed` only what is surely not there."""
    emulator.inject_random(FAULTS, seed=2)
    emulator.lateness = 0.03
    statuses: dict[str, str] = {}
    async with client_of(emulator, retry=QUICK) as losant:
        async for outcome in losant.experience_groups.create_many(tenants(300)):
            statuses[f"Tenant {outcome.index}"] = outcome.status
    names = await there(emulator)
    assert set(names.values()) == {1}
    assert len(statuses) == 300
    for name, status in statuses.items():
        assert {"created": name in names, "failed": name not in names, "unknown": True}[status]
    assert 20 < sum(status == "unknown" for status in statuses.values()) < 150


async def test_the_same_input_run_again_makes_nothing(emulator: Emulator, losant: LosantClient) -> None:
    """A second run finds everything, with at most 2 % as many questions as groups."""
    groups = losant.experience_groups
    await groups.create_many(tenants(1000), concurrency=32).report()
    for unique_by in (by_tag("externalId"), by_name()):
        emulator.requests.clear()
        report = await groups.create_many(tenants(1000), unique_by=unique_by).report()
        assert (report.created, report.existing) == (0, 1000)
        assert {request.method for request in emulator.requests} == {"GET"}
        assert len(emulator.requests) <= 20


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
    """Later than settle_time: the group is there twice, and the outcome says so; nothing is deleted."""
    emulator.inject(Fault.LATE_WRITE, method="POST")
    emulator.lateness = 0.9  # after the second look at 0.6 s, before the last at 1.1 s
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.4)) as losant:
        (outcome,) = [o async for o in losant.experience_groups.create_many(tenants(1), unique_by=by_name())]
        ids = {group.id async for group in losant.experience_groups.list()}
    assert outcome.status == "unknown"
    assert isinstance(outcome.error, DuplicateGroupError)
    assert set(outcome.error.ids) == ids
    assert len(ids) == 2
    assert all(group_id in str(outcome.error) for group_id in ids)


async def test_several_live_groups_under_one_key_are_an_error(emulator: Emulator, losant: LosantClient) -> None:
    """Which one is meant cannot be known, so nothing is sent."""
    groups = losant.experience_groups
    twins = [await groups.create(NewExperienceGroup("twin")) for _ in range(2)]
    emulator.requests.clear()
    with pytest.raises(DuplicateGroupError, match="2 groups have the name 'twin' under the root") as caught:
        await groups.create(NewExperienceGroup("twin"), unique_by=by_name())
    assert caught.value.ids == tuple(twin.id for twin in twins)
    (outcome,) = [o async for o in groups.create_many([NewExperienceGroup("twin")], unique_by=by_name())]
    assert outcome.status == "failed"
    assert {request.method for request in emulator.requests} == {"GET"}


async def test_create_gets_what_is_there_already(losant: LosantClient) -> None:
    """Get-or-create: the group that is there comes back as it is, names being their parent's own."""
    groups = losant.experience_groups
    root = await groups.create(NewExperienceGroup("a", description="first"), unique_by=by_name())
    again = await groups.create(NewExperienceGroup("a", description="second"), unique_by=by_name())
    assert again == root
    child = await groups.create(NewExperienceGroup("a", parent_id=root.id.upper()), unique_by=by_name())
    assert child.parent_id == root.id
    for parent in (root.id, root.id.upper()):
        assert child == await groups.create(NewExperienceGroup("a", parent_id=parent), unique_by=by_name())


async def test_a_key_that_repeats_is_its_items_error(losant: LosantClient) -> None:
    """So is a group that has nothing to be known by; both before anything is sent for them."""
    items: list[NewExperienceGroup | dict[str, Any]] = [
        NewExperienceGroup("a", group_tags={"id": "1"}),
        NewExperienceGroup("b", group_tags={"id": "1"}),
        NewExperienceGroup("c", group_tags={"other": "1"}),
        {"name": "d", "groupTags": {"id": "2"}},
    ]
    batch = losant.experience_groups.create_many(items, unique_by=by_tag("id"), ordered=True)
    outcomes = [outcome async for outcome in batch]
    assert [outcome.status for outcome in outcomes] == ["created", "failed", "failed", "created"]
    assert "the input has another group with the tag id=1" in str(outcomes[1].error)
    assert "group 'c' has nothing to know it by" in str(outcomes[2].error)
    with pytest.raises(ValueError, match="nothing to know it by"):
        await losant.experience_groups.create(NewExperienceGroup("c"), unique_by=by_tag("id"))


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
            await asyncio.sleep(0)
        await groups.delete(parent.id)
        with pytest.raises(OutcomeUnknownError, match="is no group of this application") as caught:
            await creating
    assert isinstance(caught.value.__cause__, BadRequestError)


async def test_attempts_end_in_an_unknown_outcome(emulator: Emulator) -> None:
    """A write that is lost again and again is unknown in the end: the last may still land."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, times=99, method="POST")
    policy = RetryPolicy(max_attempts=3, first_delay=0.01, settle_time=0.01)
    async with client_of(emulator, retry=policy) as losant:
        with pytest.raises(OutcomeUnknownError, match="3 attempts"):
            await losant.experience_groups.create(next(tenants(1)), unique_by=by_name())
    assert sum(request.method == "POST" for request in emulator.requests) == 3


async def test_one_unknown_does_not_stall_the_rest(emulator: Emulator) -> None:
    """Waiting for a settlement gives up the place: at one at a time the others go on meanwhile."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.3)) as losant:
        batch = losant.experience_groups.create_many(tenants(30), concurrency=1, unique_by=by_name())
        order = [outcome.index async for outcome in batch]
    assert order[-1] == 0
    assert order[:-1] == list(range(1, 30))
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
        before = -1
        while pulled != before:
            before = pulled
            await asyncio.sleep(0.3)
        assert pulled <= 100 + (4 + 8 + 100)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        report = await batch.report()
    sent = sum(request.method == "POST" for request in emulator.requests)
    assert 100 <= sent == len(report.unknown)
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


async def test_a_lookup_that_fails_is_the_failure_of_all_that_share_it(emulator: Emulator) -> None:
    """Before the first send nothing is there, so these are failed; each has its outcome."""
    emulator.inject(Fault.SERVER_ERROR, times=99, method="GET")
    policy = RetryPolicy(max_attempts=2, first_delay=0)
    async with client_of(emulator, retry=policy) as losant:
        report = await losant.experience_groups.create_many(tenants(30), unique_by=by_name()).report()
    assert len(report.failed) == 30
    assert all(isinstance(outcome.error, ServerError) for outcome in report.failed)
    assert {request.method for request in emulator.requests} == {"GET"}


async def test_long_keys_are_split_over_several_queries(emulator: Emulator, losant: LosantClient) -> None:
    """A query stays within what fits into a request line, whatever the names are made of."""
    new = [NewExperienceGroup("ü" * 240 + f"{n}") for n in range(40)]
    groups = losant.experience_groups
    assert (await groups.create_many(new, unique_by=by_name()).report()).created == 40
    assert (await groups.create_many(new, unique_by=by_name()).report()).existing == 40
    assert len([request for request in emulator.requests if request.method == "GET"]) >= 2 * 40 * 1440 / 6000


async def test_a_pause_that_is_too_long_stops_a_batch(emulator: Emulator) -> None:
    """`Retry-After: 3600` is raised at once, from a call and from a batch."""
    emulator.retry_after = 3600
    emulator.inject(Fault.TOO_MANY_REQUESTS, times=99)
    async with client_of(emulator) as losant:
        before = asyncio.get_running_loop().time()
        with pytest.raises(RateLimitError) as caught:
            await losant.experience_groups.list().count()
        assert caught.value.retry_after == 3600
        with pytest.raises(RateLimitError) as stopped:
            await losant.experience_groups.create_many(tenants(1000), concurrency=4).report()
        assert asyncio.get_running_loop().time() - before < 30
    assert stopped.value.report.created == 0
    assert len(emulator.requests) <= 1 + 4


@pytest.mark.parametrize("unique_by", [None, by_name()], ids=["plain", "by_name"])
async def test_a_hundred_cancellations_lose_no_outcome(emulator: Emulator, unique_by: Any) -> None:
    """Whenever a consumer is cancelled: no task is left, and every create that was sent has an outcome."""
    emulator.latency = 0.002
    emulator.inject_random({Fault.CUT_AFTER_WRITE: 0.1, Fault.CUT_BEFORE_WRITE: 0.1}, seed=3)
    sure, unsure = 0, 0
    async with client_of(emulator, retry=QUICK) as losant:
        for n in range(50):
            new = (NewExperienceGroup(f"{n} {m}") for m in range(40))
            batch = losant.experience_groups.create_many(new, concurrency=6, unique_by=unique_by)
            consumer = asyncio.create_task(batch.report())
            await asyncio.sleep(0.001 * (n % 25))
            consumer.cancel()
            await asyncio.gather(consumer, return_exceptions=True)
            report = await batch.report()
            sure += report.created + report.existing
            unsure += len(report.unknown)
    names = await there(emulator)
    assert sure <= len(names) <= sure + unsure
    assert set(names.values()) == {1}


def test_identities_are_checked(losant: LosantClient) -> None:
    """Only `by_name()` and `by_tag(key)` tell groups apart here; a tag key must be one."""
    with pytest.raises(TypeError, match="unique_by must be by_name"):
        losant.experience_groups.create_many([], unique_by="name")  # type: ignore[arg-type]  # it is what the test is about
    with pytest.raises(ValueError, match="key must be 1 to 255 letters"):
        by_tag("a b")
    with pytest.raises(TypeError, match="key must be text"):
        by_tag(5)  # type: ignore[arg-type]  # as above


async def test_texts_of_different_types_are_one_key(emulator: Emulator, losant: LosantClient) -> None:
    """A member of an enumeration and a plain text with its value name the same group."""

    class Site(str, enum.Enum):  # noqa: UP042 - unlike a StrEnum it has a str() of its own as well
        A = "a"

    items = [NewExperienceGroup("a", group_tags={"k": "v"}), NewExperienceGroup(Site.A, group_tags={"k": "v"})]
    report = await losant.experience_groups.create_many(items, unique_by=by_name()).report()
    assert (report.created, len(report.failed)) == (1, 1)
    assert await losant.experience_groups.list().count() == 1


async def test_creates_of_one_group_in_one_client_wait_for_each_other(emulator: Emulator, losant: LosantClient) -> None:
    """However many ask for it at once, alone or in batches, it is made once."""
    emulator.latency = 0.01
    before = {id(lock) for lock in gc.get_objects() if isinstance(lock, KeyLock)}  # of other tests
    groups = losant.experience_groups
    batches = [groups.create_many(tenants(40), unique_by=by_name()).report() for _ in range(3)]
    singles = [groups.create(NewExperienceGroup("x"), unique_by=by_name()) for _ in range(5)]
    made = await asyncio.gather(*singles)
    reports = await asyncio.gather(*batches)
    assert len({group.id for group in made}) == 1
    assert sum(report.created for report in reports) == 40
    assert sum(report.existing for report in reports) == 80
    gc.collect()
    assert [lock for lock in gc.get_objects() if isinstance(lock, KeyLock) and id(lock) not in before] == []


async def test_a_lookup_from_during_another_create_is_not_relied_on(emulator: Emulator, losant: LosantClient) -> None:
    """It says that the group is not there, though it is by the time that the key is free."""
    new = NewExperienceGroup("x")
    emulator.latency = 0.2
    first = asyncio.create_task(losant.experience_groups.create(new, unique_by=by_name()))
    while not any(request.method == "POST" for request in emulator.requests):
        await asyncio.sleep(0)
    emulator.latency = 0  # the lookup of the batch is answered before the create is done
    report = await losant.experience_groups.create_many([new], unique_by=by_name()).report()
    assert (report.created, report.existing) == (0, 1)
    assert [group["id"] for group in emulator.groups()] == [(await first).id]


async def test_two_spellings_of_an_application_are_one(emulator: Emulator, losant: LosantClient) -> None:
    """Hex digits are the same in upper case, and so is what waits for each other."""
    emulator.latency = 0.02
    spellings = [emulator.application_id, emulator.application_id.upper()]
    creates = [
        losant.application(spelling).experience_groups.create(NewExperienceGroup("x"), unique_by=by_name())
        for spelling in spellings
    ]
    assert len({group.id for group in await asyncio.gather(*creates)}) == 1


async def test_a_create_that_was_cancelled_and_is_asked_for_again_makes_one_group(emulator: Emulator) -> None:
    """Its write may be still on the way: the next one waits until it must have landed, and looks."""
    emulator.lateness = 0.05
    emulator.inject(Fault.LATE_WRITE, method="POST")
    new = NewExperienceGroup("x", group_tags={"k": "v"})
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.3)) as losant:
        groups = losant.experience_groups
        first = asyncio.create_task(groups.create(new, unique_by=by_tag("k")))
        while len(emulator.requests) < 2:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        made = await groups.create(new, unique_by=by_tag("k"))
        assert [group.id async for group in groups.scan()] == [made.id]
    assert [request.method for request in emulator.requests] == ["GET", "POST", "GET", "GET", "GET"]


async def test_a_batch_that_was_left_and_is_run_again_makes_what_is_missing(emulator: Emulator) -> None:
    """In one client at once: what the first left unknown is waited for by the second."""
    emulator.lateness = 0.05
    emulator.inject(Fault.LATE_WRITE, times=10, method="POST")
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.3)) as losant:
        left = losant.experience_groups.create_many(tenants(20), unique_by=by_tag("externalId"), concurrency=10)
        step = asyncio.create_task(anext(left))
        while sum(request.method == "POST" for request in emulator.requests) < 10:
            await asyncio.sleep(0)
        step.cancel()
        await asyncio.wait({step})
        assert len((await left.report()).unknown) == 10
        again = await losant.experience_groups.create_many(tenants(20), unique_by=by_tag("externalId")).report()
    assert (again.created, again.existing, again.failed) == (10, 10, ())
    assert sum((await there(emulator)).values()) == 20


async def test_a_create_that_was_refused_looks_before_it_is_sent_again(emulator: Emulator) -> None:
    """While it waited out the pause that the server asked for, somebody else has created the group."""
    emulator.retry_after = 1
    emulator.inject(Fault.TOO_MANY_REQUESTS, method="POST")
    async with client_of(emulator) as losant:
        creating = asyncio.create_task(losant.experience_groups.create(NewExperienceGroup("P"), unique_by=by_name()))
        while emulator.requests[1:] == [] or emulator.requests[1].status != 429:
            await asyncio.sleep(0)
        (theirs,) = emulator.create_groups([{"name": "P"}]).values()
        assert (await creating).id == theirs
    assert [request.method for request in emulator.requests] == ["GET", "POST", "GET"]


async def test_doubts_are_forgotten_in_time() -> None:
    """A service that runs for months keeps none that is settled by time."""
    locks = KeyLocks()
    for n in range(100):
        locks[n].doubt(0)
    locks["x"].doubt(0.2)
    while len(locks) > 1:
        await asyncio.sleep(0)
    assert 0 < await locks["x"].take(Deadline(60)) <= 0.2
    while len(locks):
        await asyncio.sleep(0)


async def test_a_single_create_keeps_its_budget_under_a_pause(emulator: Emulator) -> None:
    """The lookup before it is part of the call, so a pause that is too long for it is raised."""
    emulator.retry_after = 5
    emulator.inject(Fault.TOO_MANY_REQUESTS, method="GET")
    async with client_of(emulator, timeout=0.3) as losant:
        before = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await losant.experience_groups.create(next(tenants(1)), unique_by=by_name())
        assert asyncio.get_running_loop().time() - before < 3


async def test_a_cancelled_create_sends_nothing_more(emulator: Emulator) -> None:
    """Its lookup ends with it, and the slots are free again."""
    emulator.inject(Fault.SILENCE, times=8)
    async with client_of(emulator, max_in_flight=4, retry=RetryPolicy(attempt_timeout=0.2)) as losant:
        groups = losant.experience_groups
        calls = [asyncio.create_task(groups.create(group, unique_by=by_name())) for group in tenants(4)]
        while len(emulator.requests) < 4:
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        emulator.withdraw_faults()
        assert await groups.list().count() == 0
    assert len(emulator.requests) == 5


async def test_closing_ends_a_create_that_looks_up(emulator: Emulator) -> None:
    """Whoever waits for a lookup is told that the client was closed, and does not wait for ever."""

    async def provider() -> str:
        await asyncio.get_running_loop().create_future()
        return ""

    losant = client_of(emulator, token=provider)
    creating = asyncio.create_task(losant.experience_groups.create(next(tenants(1)), unique_by=by_name()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await losant.close()
    with pytest.raises(ConfigurationError):
        await creating


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
            await asyncio.sleep(0)
        emulator.revoke_token()
        with pytest.raises(OutcomeUnknownError, match="vault is sealed"):
            await creating


async def test_a_long_pause_in_a_503_stops_a_batch_too(emulator: Emulator) -> None:
    """Whatever the status, what every other item would have to wait for ends the batch; a short pause does not."""
    unavailable = answer("HTTP/1.1 503 No\r\nRetry-After: 3600")
    async with (
        raw_server(*[unavailable] * 8) as server,
        LosantClient("t", base_url=server.url, application_id="1" * 24) as losant,
    ):
        with pytest.raises(ServerError) as caught:
            await losant.experience_groups.create_many(tenants(1000), concurrency=2, unique_by=by_name()).report()
    assert caught.value.retry_after == 3600
    assert len(server.requests) <= 2
    busy = [answer("HTTP/1.1 429 No\r\nRetry-After: 0")] * 4
    policy = RetryPolicy(max_attempts=1)
    async with (
        raw_server(*busy) as server,
        LosantClient("t", base_url=server.url, application_id="1" * 24, retry=policy) as losant,
    ):
        report = await losant.experience_groups.create_many(tenants(4)).report()
    assert len(report.failed) == 4


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
            await asyncio.sleep(0)
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
            await asyncio.sleep(0)
        emulator.latency = 0.05
        while not any(request.method == "POST" for request in emulator.requests):
            await asyncio.sleep(0)
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
            await asyncio.sleep(0)
        emulator.latency = 0.05
        while sum(request.method == "POST" for request in emulator.requests) < 2:
            await asyncio.sleep(0)
        walk.cancel()
        await asyncio.gather(walk, return_exceptions=True)
        report = await batch.report()
    assert (report.created, len(report.unknown)) == (0, 1)
    assert [request.method for request in emulator.requests] == ["GET", "POST", "GET", "GET", "POST"]


async def test_leaving_a_batch_looks_up_nothing_more(emulator: Emulator, losant: LosantClient) -> None:
    """Keys that still wait for others to share their query are not asked for."""
    batch = losant.experience_groups.create_many(tenants(3), unique_by=by_name())
    walk = asyncio.create_task(anext(batch))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    walk.cancel()
    await asyncio.gather(walk, return_exceptions=True)
    await asyncio.sleep(0.03)  # three times what they would have waited
    assert emulator.requests == []


async def test_a_refusal_is_raised_as_it_is(emulator: Emulator, losant: LosantClient) -> None:
    """What the server refused at once was never in doubt."""
    orphan = NewExperienceGroup("a", parent_id="0" * 24)
    with pytest.raises(BadRequestError):
        await losant.experience_groups.create(orphan, unique_by=by_name())
    report = await losant.experience_groups.create_many([orphan], unique_by=by_name()).report()
    assert isinstance(report.failed[0].error, BadRequestError)


async def test_a_create_that_ran_out_of_time_says_where(emulator: Emulator) -> None:
    """A lookup that was not answered in time ends in an error that names the create and that it was never sent."""
    emulator.inject(Fault.SILENCE, times=9)
    async with client_of(emulator, timeout=0.1) as losant:
        with pytest.raises(RequestTimeoutError, match=r"\(POST /applications/.*, 0 attempts\)"):
            await losant.experience_groups.create(next(tenants(1)), unique_by=by_name())
