"""Never lose, never duplicate: creates under faults, counted on the server's side."""

import asyncio
import enum
import gc
import itertools
from typing import Any

import pytest

from aiolosant import (
    BadRequestError,
    ConfigurationError,
    DuplicateGroupError,
    LosantClient,
    LosantError,
    NewExperienceGroup,
    RateLimitError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    TransportError,
    by_name,
    by_tag,
)
from aiolosant._batch.key_locks import KeyLock
from aiolosant.emulator import Emulator, Fault

from .conftest import client_of
from .servers import answer, raw_server
from .tenants import FAULTS, QUICK, tenants, there


@pytest.mark.parametrize("unique_by", [by_tag("externalId"), by_name()], ids=["by_tag", "by_name"])
async def test_under_faults_each_group_is_there_once(emulator: Emulator, unique_by: Any) -> None:
    """With an identity, a quarter of faulty requests loses none and makes none twice."""
    emulator.inject_random(FAULTS, seed=1)
    emulator.lateness = 0.03
    policy = RetryPolicy(max_attempts=10, first_delay=0.01, max_delay=0.05, settle_time=0.5)
    async with client_of(emulator, retry=policy) as losant:
        report = await losant.experience_groups.create_many(tenants(300), unique_by=unique_by).report()
    names = await there(emulator)
    assert report.created + report.existing == 300
    assert (report.failed, report.unknown) == ((), ())
    assert len(names) == 300
    assert set(names.values()) == {1}
    # Faults did happen: more was sent than was there to send.
    assert sum(request.method == "POST" for request in emulator.requests) > 320


async def test_without_unique_by_nothing_is_duplicated_and_failed_means_absent(emulator: Emulator) -> None:
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
    assert "group 'c' has no tag 'id', which it has to be known by" in str(outcomes[2].error)
    with pytest.raises(ValueError, match="which it has to be known by"):
        await losant.experience_groups.create(NewExperienceGroup("c"), unique_by=by_tag("id"))


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
async def test_a_consumer_may_be_cancelled_after_any_request(emulator: Emulator, unique_by: Any) -> None:
    """However much was sent when a consumer is cancelled: every create of it has an outcome."""
    emulator.latency = 0.002
    emulator.inject_random({Fault.CUT_AFTER_WRITE: 0.1, Fault.CUT_BEFORE_WRITE: 0.1}, seed=3)
    sure, unsure = 0, 0
    async with client_of(emulator, retry=QUICK) as losant:
        for n in range(25):
            new = (NewExperienceGroup(f"{n} {m}") for m in range(40))
            batch = losant.experience_groups.create_many(new, concurrency=6, unique_by=unique_by)
            consumer = asyncio.create_task(batch.report())
            before = len(emulator.requests)
            while len(emulator.requests) < before + n:
                await asyncio.sleep(0.001)
            assert not consumer.done()
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
        await asyncio.sleep(0.001)
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


async def test_a_create_that_was_refused_looks_before_it_is_sent_again(emulator: Emulator) -> None:
    """While it waited out the pause that the server asked for, somebody else has created the group."""
    emulator.retry_after = 1
    emulator.inject(Fault.TOO_MANY_REQUESTS, method="POST")
    async with client_of(emulator) as losant:
        creating = asyncio.create_task(losant.experience_groups.create(NewExperienceGroup("P"), unique_by=by_name()))
        while emulator.requests[1:] == [] or emulator.requests[1].status != 429:
            await asyncio.sleep(0.001)
        (theirs,) = emulator.create_groups([{"name": "P"}]).values()
        assert (await creating).id == theirs
    assert [request.method for request in emulator.requests] == ["GET", "POST", "GET"]


async def test_creates_that_were_refused_look_together(emulator: Emulator) -> None:
    """One look each would use up the quota that refused them."""
    emulator.retry_after = 1
    emulator.inject(Fault.TOO_MANY_REQUESTS, method="POST", times=16)
    async with client_of(emulator) as losant:
        report = await losant.experience_groups.create_many(tenants(16), concurrency=16, unique_by=by_name()).report()
    assert report.created == 16
    assert sum(request.method == "GET" for request in emulator.requests) <= 6


async def test_a_server_that_takes_every_other_request_takes_every_create(emulator: Emulator) -> None:
    """What was seen a moment ago is not looked up again after a refusal: that would take the turn of the create."""
    asked = itertools.count()
    emulator.before_request = lambda _: Fault.TOO_MANY_REQUESTS if next(asked) % 2 else None
    async with client_of(emulator, retry=QUICK) as losant:
        report = await losant.experience_groups.create_many(tenants(20), concurrency=1, unique_by=by_name()).report()
    assert report.created == 20
    assert sum(request.method == "GET" for request in emulator.requests) <= 2


async def test_a_single_create_keeps_its_budget_under_a_pause(emulator: Emulator) -> None:
    """The lookup before it is part of the call, so a pause that is too long for it is raised."""
    emulator.retry_after = 5
    emulator.inject(Fault.TOO_MANY_REQUESTS, method="GET")
    async with client_of(emulator, timeout=0.3) as losant:
        before = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await losant.experience_groups.create(next(tenants(1)), unique_by=by_name())
        assert asyncio.get_running_loop().time() - before < 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.UNAVAILABLE, ServerError),
        (Fault.TOO_MANY_REQUESTS, RateLimitError),
        (Fault.CUT_BEFORE_WRITE, TransportError),
    ],
)
async def test_a_create_whose_lookup_is_never_answered_says_why(
    emulator: Emulator, fault: Fault, kind: type[LosantError]
) -> None:
    """Its time is up, and the last answer is the cause."""
    emulator.inject(fault, times=None)
    async with client_of(emulator, timeout=0.3, retry=QUICK) as losant:
        with pytest.raises(RequestTimeoutError, match="lookup of the group; the last answer was") as caught:
            await losant.experience_groups.create(next(tenants(1)), unique_by=by_name())
    assert isinstance(caught.value.__cause__, kind)


async def test_a_cancelled_create_sends_nothing_more(emulator: Emulator) -> None:
    """Its lookup ends with it, and the slots are free again."""
    emulator.inject(Fault.SILENCE, times=8)
    async with client_of(emulator, max_in_flight=4, retry=RetryPolicy(attempt_timeout=0.2)) as losant:
        groups = losant.experience_groups
        calls = [asyncio.create_task(groups.create(group, unique_by=by_name())) for group in tenants(4)]
        while len(emulator.requests) < 4:
            await asyncio.sleep(0.001)
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
    busy = [answer("HTTP/1.1 503 No\r\nRetry-After: 0")] * 4
    policy = RetryPolicy(max_attempts=1)
    async with (
        raw_server(*busy) as server,
        LosantClient("t", base_url=server.url, application_id="1" * 24, retry=policy) as losant,
    ):
        report = await losant.experience_groups.create_many(tenants(4)).report()
    assert len(report.unknown) == 4


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
