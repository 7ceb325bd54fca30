"""Several clients that know nothing of each other create the same groups: one of each stays, the oldest."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from aiolosant import (
    BadRequestError,
    DuplicateGroupError,
    ExperienceGroup,
    LosantClient,
    NewExperienceGroup,
    OutcomeUnknownError,
    RetryPolicy,
    by_name,
    by_tag,
)
from aiolosant.emulator import Emulator, Fault, RequestRecord

from .batches import named
from .conftest import client_of

TAG = by_tag("externalId")
QUICK = RetryPolicy(first_delay=0.01, settle_time=0.3, max_attempts=10)
FAULTS = {
    Fault.UNAVAILABLE: 0.04,
    Fault.CUT_AFTER_WRITE: 0.04,
    Fault.CUT_BEFORE_WRITE: 0.03,
    Fault.BROKEN_BODY: 0.02,
    Fault.LATE_WRITE: 0.02,
}


def tagged(number: int) -> NewExperienceGroup:
    return NewExperienceGroup(f"Tenant {number}", group_tags={"externalId": str(number)})


@pytest.mark.parametrize("chances", [{}, FAULTS])
@pytest.mark.parametrize("seed", [1, 2])
async def test_four_clients_at_once_make_one_of_each(emulator: Emulator, chances: Any, seed: int) -> None:
    """Everybody is told of the same one, which is there."""
    emulator.latency, emulator.lateness = 0.005, 0.2
    emulator.inject_random(chances, seed=seed)
    told: list[dict[str, str]] = []

    async def create(losant: LosantClient) -> None:
        groups = losant.experience_groups
        batch = groups.create_many((tagged(n) for n in range(40)), unique_by=TAG, contested=True)
        outcomes = [outcome async for outcome in batch]
        assert {outcome.status for outcome in outcomes} <= {"created", "existing"}
        told.append({outcome.group.name: outcome.group.id for outcome in outcomes if outcome.group})

    clients = [client_of(emulator, retry=QUICK) for _ in range(4)]
    try:
        await asyncio.gather(*(create(client) for client in clients))
    finally:
        await asyncio.gather(*(client.close() for client in clients))
    emulator.inject_random({})
    there = {group["name"]: group["id"] for group in emulator.groups()}
    assert len(emulator.groups()) == len(there) == 40
    assert told == [there] * 4


async def test_the_younger_twin_of_ones_own_is_deleted(emulator: Emulator, losant: LosantClient) -> None:
    """Somebody had made one just before, unseen."""
    theirs: dict[Any, str] = {}

    def slip_in(request: RequestRecord) -> None:
        if request.method == "POST" and not theirs:
            theirs.update(emulator.create_groups([tagged(1).to_dict()]))

    emulator.before_request = slip_in
    async with client_of(emulator, retry=QUICK) as losant:
        group = await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True)
    assert [group.id] == list(theirs.values()) == [one["id"] for one in emulator.groups()]
    assert Counter(request.method for request in emulator.requests)["DELETE"] == 1


@pytest.mark.parametrize("touch", ["update", "child"])
async def test_a_twin_that_was_touched_is_left(emulator: Emulator, touch: str) -> None:
    """It is told as a duplicate, and nothing is deleted."""

    def interfere(request: RequestRecord) -> None:
        posts = [one for one in emulator.requests if one.method == "POST"]
        if request.method == "POST" and len(posts) == 1:
            emulator.create_groups([tagged(1).to_dict()])
        elif request.method == "GET" and len(emulator.groups()) == 2:
            younger = emulator.groups()[1]["id"]
            if touch == "update":
                emulator.update_group(younger, {"description": "in use"})
            else:
                emulator.create_groups([{"name": "child", "parentId": younger}])

    emulator.before_request = interfere
    async with client_of(emulator, retry=QUICK) as losant:
        with pytest.raises(DuplicateGroupError, match="the younger was used already") as caught:
            await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True)
    assert set(caught.value.ids) == {group["id"] for group in emulator.groups() if group["name"] == "Tenant 1"}


async def test_of_several_that_were_there_before_the_oldest_is_the_group(emulator: Emulator) -> None:
    """And those of others are left alone."""
    old = {"creationDate": "2020-01-01T00:00:00.000Z"}
    records = [{"id": f"{n:024x}", **tagged(1).to_dict(), **old} for n in (7, 5, 9)]
    emulator.create_groups(records, keep_ids=True)
    async with client_of(
        emulator, retry=RetryPolicy(settle_time=3600), timeout=20_000
    ) as losant:  # old ones need not wait
        group = await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True)
    assert group.id == f"{5:024x}"
    assert len(emulator.groups()) == 3


async def test_a_group_that_is_younger_than_that_is_not_told_before_it_is_settled(emulator: Emulator) -> None:
    """Its maker may be about to delete it: an older one shows in lists only later."""
    young = tagged(1).to_dict()
    emulator.create_groups([young])

    def reveal(_request: RequestRecord) -> None:
        if len(emulator.requests) == 2:
            emulator.create_groups([{"id": "0" * 23 + "1", **young}], keep_ids=True)

    emulator.before_request = reveal
    async with client_of(emulator, retry=QUICK) as losant:
        group: ExperienceGroup = await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True)
    assert group.id == "0" * 23 + "1"


async def test_a_batch_goes_on_while_its_items_wait_for_their_second_look(emulator: Emulator) -> None:
    """Looks are shared, and hold no permit."""
    emulator.latency = 0.002
    async with client_of(emulator, retry=QUICK) as losant:
        batch = losant.experience_groups.create_many(named(300), unique_by=by_name(), contested=True, concurrency=4)
        report = await batch.report()
    assert report.created == 300
    methods = Counter(request.method for request in emulator.requests)
    assert methods["POST"] == 300
    assert methods["GET"] <= 3 + 12
    assert "DELETE" not in methods


async def test_what_is_contested_must_say_by_what(losant: LosantClient, emulator: Emulator) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match="contested=True needs unique_by="):
        await losant.experience_groups.create(tagged(1), contested=True)
    with pytest.raises(ValueError, match="contested=True needs unique_by="):
        losant.experience_groups.create_many([], contested=True)
    with pytest.raises(TypeError, match="contested must be"):
        losant.experience_groups.create_many([], unique_by=TAG, contested=1)  # type: ignore[arg-type]  # the subject
    assert emulator.requests == []


@pytest.mark.parametrize("contested", [False, True])
async def test_creates_of_one_group_in_one_client_share_its_outcome(emulator: Emulator, contested: bool) -> None:
    """Whoever waited for another's create needs no request of its own."""
    async with client_of(emulator, retry=QUICK) as losant:
        creates = [losant.experience_groups.create(tagged(1), unique_by=TAG, contested=contested) for _ in range(50)]
        made = await asyncio.gather(*creates)
        before = len(emulator.requests)
        again = await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=contested)
    assert {group.id for group in (*made, again)} == {group["id"] for group in emulator.groups()}
    assert before <= 3
    assert len(emulator.requests) == before + 1  # whoever did not wait looks, since it may be gone


async def test_a_contested_create_does_not_return_what_was_deleted_meanwhile(emulator: Emulator) -> None:
    """That it was settled a moment ago does not mean that it is still there."""
    async with client_of(emulator, retry=QUICK) as losant:
        groups = losant.experience_groups
        first = await groups.create(tagged(1), unique_by=TAG, contested=True)
        await groups.delete(first.id)
        second = await groups.create(tagged(1), unique_by=TAG, contested=True)
    assert [group["id"] for group in emulator.groups()] == [second.id]


async def test_a_create_whose_caller_is_cancelled_still_deletes_its_twin(emulator: Emulator) -> None:
    """It goes on by itself; the caller need not wait for it."""
    made = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slip_in(request: RequestRecord) -> None:
        if request.method == "POST":
            emulator.create_groups([tagged(1).to_dict()])
        elif emulator.groups():
            loop.call_soon_threadsafe(made.set)

    emulator.before_request = slip_in
    async with client_of(emulator, retry=QUICK) as losant:
        creating = asyncio.create_task(losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True))
        while len(emulator.groups()) < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        await made.wait()
        while "DELETE" not in {request.method for request in emulator.requests if request.status == 200}:
            await asyncio.sleep(0)
    assert len(emulator.groups()) == 1


async def two_that_made(emulator: Emulator, *clients: LosantClient) -> list[asyncio.Task[ExperienceGroup]]:
    """Creates of one group by two clients, each of which has made its own."""
    makers = [
        asyncio.create_task(client.experience_groups.create(tagged(1), unique_by=TAG, contested=True))
        for client in clients
    ]
    while len(emulator.groups()) < 2:
        await asyncio.sleep(0)
    while {client.stats().in_flight for client in clients} != {0}:
        await asyncio.sleep(0)
    return makers


async def test_to_close_a_client_lets_its_contested_creates_end(emulator: Emulator) -> None:
    """Otherwise each rolling deploy could leave a second group, though nobody was killed."""
    first, second = client_of(emulator, retry=QUICK), client_of(emulator, retry=QUICK)
    makers = await two_that_made(emulator, first, second)
    makers[0].cancel()
    await asyncio.gather(first.close(), second.close())
    (kept,) = emulator.groups()
    assert (await makers[1]).id == kept["id"]
    with pytest.raises(asyncio.CancelledError):
        await makers[0]


async def test_a_contested_create_whose_time_is_up_goes_on_by_itself(emulator: Emulator) -> None:
    """Its caller is told that it may have been made; the second group is deleted when the server answers again."""
    retry = attrs.evolve(QUICK, patience=60.0)
    async with client_of(emulator, retry=retry, timeout=3) as first, client_of(emulator, retry=retry) as second:
        makers = await two_that_made(emulator, first, second)
        emulator.inject(Fault.UNAVAILABLE, times=None)
        with pytest.raises(OutcomeUnknownError, match=r"goes on by itself.*Send it again"):
            await makers[0]
        emulator.withdraw_faults()
        stays = await makers[1]
        while len(emulator.groups()) > 1:
            await asyncio.sleep(0.01)
    assert [group["id"] for group in emulator.groups()] == [stays.id]


async def test_a_create_that_is_cancelled_before_it_was_sent_makes_nothing(emulator: Emulator) -> None:
    """Nothing goes on that has not begun."""
    emulator.inject(Fault.SILENCE, method="GET")
    async with client_of(emulator, retry=QUICK) as losant:
        creating = asyncio.create_task(losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True))
        while not emulator.requests:
            await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        emulator.withdraw_faults()
    assert [request.method for request in emulator.requests] == ["GET"]


async def test_old_twins_are_told_of_in_the_log(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """With their ids: their makers are gone, so that nobody deletes them."""
    old = {"creationDate": "2020-01-01T00:00:00.000Z"}
    records = [{"id": f"{n:024x}", **tagged(1).to_dict(), **old} for n in (5, 7)]
    emulator.create_groups(records, keep_ids=True)
    async with client_of(emulator, retry=QUICK) as losant:
        await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True)
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert f"{5:024x}, {7:024x}" in record.getMessage()


async def test_an_answer_that_fails_after_a_lost_one_is_not_taken_for_made(emulator: Emulator) -> None:
    """The error tells of the lost one: nobody knows whether it was made."""
    emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
    emulator.before_request = lambda request: (
        emulator.revoke_token(emulator.token) if request.method == "GET" and len(emulator.requests) > 2 else None
    )
    async with client_of(emulator, retry=QUICK) as losant:
        with pytest.raises(OutcomeUnknownError) as caught:
            await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True)
    assert "may have been done or not" in str(caught.value)
    assert "it was made" not in str(caught.value)


async def test_a_contested_create_that_was_refused_looks_before_it_is_sent_again(emulator: Emulator) -> None:
    """While it waited out the pause that the server asked for, somebody else has created the group: it is theirs."""
    emulator.retry_after = 1
    emulator.inject(Fault.TOO_MANY_REQUESTS, method="POST")
    async with client_of(emulator, retry=QUICK) as losant:
        batch = losant.experience_groups.create_many([tagged(1)], unique_by=TAG, contested=True)
        creating = asyncio.create_task(batch.report())
        while emulator.requests[1:] == [] or emulator.requests[1].status != 429:
            await asyncio.sleep(0.001)
        emulator.create_groups([tagged(1).to_dict()])
        report = await creating
    assert (report.created, report.existing) == (0, 1)
    assert len(emulator.groups()) == 1
    assert [request.method for request in emulator.requests].count("POST") == 1


async def test_a_contested_create_that_the_server_refuses_fails_with_its_words(emulator: Emulator) -> None:
    """Nothing was made, and nothing is looked for."""

    def refuse(request: RequestRecord) -> None:
        if request.method == "POST":
            raise ValueError("not in this house")

    emulator.before_request = refuse
    async with client_of(emulator, retry=QUICK) as losant:
        with pytest.raises(BadRequestError, match="not in this house"):
            await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True)
    assert [request.method for request in emulator.requests] == ["GET", "POST"]


async def test_one_old_group_is_no_twin(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said of it in the log, and it is not waited for."""
    old = {"id": "a" * 24, "creationDate": "2020-01-01T00:00:00.000Z"}
    emulator.create_groups([tagged(1).to_dict() | old], keep_ids=True)
    async with client_of(emulator, retry=QUICK) as losant:
        await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True)
    assert len(emulator.requests) == 1
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


async def test_a_group_that_only_just_seems_old_enough_is_looked_at_again(emulator: Emulator) -> None:
    """The clock that dates responses and the one that dates groups may be two seconds apart."""
    date = datetime.now(UTC) - timedelta(seconds=QUICK.settle_time + 2)
    emulator.create_groups(
        [{"id": "b" * 24, **tagged(1).to_dict(), "creationDate": date.isoformat(timespec="milliseconds")[:-6] + "Z"}],
        keep_ids=True,
    )

    def reveal(_request: RequestRecord) -> None:
        if len(emulator.requests) == 2:
            emulator.create_groups([{"id": "a" * 24, **tagged(1).to_dict()}], keep_ids=True)

    emulator.before_request = reveal
    async with client_of(emulator, retry=QUICK) as losant:
        group = await losant.experience_groups.create(tagged(1), unique_by=TAG, contested=True)
    assert group.id == "a" * 24
