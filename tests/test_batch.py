"""Creating many: over real sockets where the server counts, over made-up work where it does not matter."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from aiolosant import (
    AuthenticationError,
    BatchReport,
    LosantClient,
    NewExperienceGroup,
    NotFoundError,
    Outcome,
)
from aiolosant._http.transport import Transport
from aiolosant.emulator import Emulator

from .batches import named, posts
from .conftest import client_of


async def test_a_thousand_from_a_generator(emulator: Emulator, losant: LosantClient) -> None:
    """Never more than 8 in flight and 8 reached, and the generator never far ahead of the outcomes."""
    pulled = yielded = furthest = 0
    emulator.latency = 0.002

    def source() -> Iterator[NewExperienceGroup]:
        nonlocal pulled, furthest
        for group in named(1_000):
            pulled += 1
            furthest = max(furthest, pulled - yielded)
            yield group

    indexes = set()
    async for outcome in losant.experience_groups.create_many(source(), concurrency=8):
        assert outcome.ok
        indexes.add(outcome.index)
        yielded += 1
    assert emulator.peak_in_flight == 8
    assert furthest <= 8 + 8
    assert indexes == set(range(1_000))
    assert await losant.experience_groups.list().count() == 1_000


async def test_nothing_happens_before_the_first_outcome_is_asked_for(emulator: Emulator, losant: LosantClient) -> None:
    """A batch is lazy: made but not walked, it pulls and sends nothing."""
    source = named(3)
    losant.experience_groups.create_many(source)
    await asyncio.sleep(0)
    assert posts(emulator) == 0
    assert len(list(source)) == 3


@pytest.mark.parametrize("ordered", [False, True])
async def test_outcomes_come_as_they_complete_or_in_the_order_of_the_input(
    losant: LosantClient, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    """`ordered` holds outcomes back for those of earlier items, and pulls no further ahead for that."""
    call, pulled = Transport.call, 0

    async def first_is_slow(self: Transport, request: Any, *rest: Any) -> Any:
        if b"Tenant 0" in request.body:
            while pulled < 3 + 8:
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
        return await call(self, request, *rest)

    monkeypatch.setattr(Transport, "call", first_is_slow)

    async def source() -> AsyncIterator[NewExperienceGroup]:
        nonlocal pulled
        for group in named(30):
            pulled += 1
            yield group

    indexes: list[int] = []
    async for outcome in losant.experience_groups.create_many(source(), concurrency=3, ordered=ordered):
        assert pulled - len(indexes) <= 3 + 8 + 1
        indexes.append(outcome.index)
    assert (indexes == list(range(30))) is ordered
    assert sorted(indexes) == list(range(30))


async def test_what_the_server_refuses_is_that_items_outcome(losant: LosantClient) -> None:
    """One item's failure cancels nothing, be it refused here, there, or no group at all."""
    items: list[Any] = [
        NewExperienceGroup("a"),
        NewExperienceGroup("orphan", parent_id="0" * 24),
        {"name": ""},
        {"name": "b", "colour": "red"},
        None,
        NewExperienceGroup("c"),
    ]
    outcomes = [o async for o in losant.experience_groups.create_many(items, ordered=True)]
    assert [o.status for o in outcomes] == ["created", "failed", "failed", "failed", "failed", "created"]
    assert [o.ok for o in outcomes] == [True, False, False, False, False, True]
    assert "is no group of this application" in str(outcomes[1].error)
    assert isinstance(outcomes[2].error, ValueError)
    assert isinstance(outcomes[3].error, ValueError)
    assert outcomes[3].request is items[3]
    assert "not NoneType" in str(outcomes[4].error)


async def test_a_wrong_token_stops_the_batch(emulator: Emulator) -> None:
    """What would fail every item stops the pulling; each item that was pulled has its outcome, then it is raised."""
    pulled = 0

    def source() -> Iterator[NewExperienceGroup]:
        nonlocal pulled
        for group in named(1000):
            pulled += 1
            yield group

    outcomes = []
    async with client_of(emulator, token="wrong") as losant:
        with pytest.raises(AuthenticationError) as caught:
            async for outcome in losant.experience_groups.create_many(source(), concurrency=4):
                outcomes.append(outcome)  # noqa: PERF401 - what came before the error counts
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert sorted(outcome.index for outcome in outcomes) == list(range(pulled))
    assert pulled <= 4 + 8
    assert posts(emulator) == 4
    assert isinstance(caught.value.report, BatchReport)
    assert len(caught.value.report.failed) == pulled


async def test_an_unknown_application_stops_the_batch(losant: LosantClient) -> None:
    """A 404 on a create is about the application, so it would fail every item."""
    with pytest.raises(NotFoundError, match="Application was not found"):
        await losant.application("0" * 24).experience_groups.create_many(named(100)).report()


async def test_a_batch_is_walked_once(losant: LosantClient) -> None:
    """A second walk would create everything twice; the report after a walk is allowed, during it not."""
    batch = losant.experience_groups.create_many(named(30))
    async for _ in batch:
        with pytest.raises(RuntimeError, match="iterated over only once"):
            aiter(batch)
        with pytest.raises(RuntimeError, match="still being walked"):
            await batch.report()
    with pytest.raises(RuntimeError, match="iterated over only once"):
        aiter(batch)
    assert await batch.report() == BatchReport(created=30)


async def test_the_report_drains_the_batch(losant: LosantClient) -> None:
    """`await batch.report()` is the whole run in one line; only what went wrong is kept."""
    items: list[NewExperienceGroup | Mapping[str, Any]] = [*named(20), {"name": ""}]
    report = await losant.experience_groups.create_many(items).report()
    assert (report.created, report.existing, report.unknown) == (20, 0, ())
    assert [outcome.index for outcome in report.failed] == [20]


async def test_an_unexpected_exception_stops_the_batch(losant: LosantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody expected stops the batch with an outcome for its item, instead of a hang."""

    async def broken(*_args: object) -> None:
        raise ZeroDivisionError("a bug")

    groups = losant.experience_groups
    monkeypatch.setattr(Transport, "call", broken)
    batch = groups.create_many(named(3), concurrency=1)
    outcomes: list[Outcome] = []
    with pytest.raises(ZeroDivisionError, match="a bug"):
        async for outcome in batch:
            outcomes.append(outcome)  # noqa: PERF401 - what came before the error counts
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "failed"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"groups": [], "concurrency": 0}, ValueError, "concurrency must be 1 or more, not 0"),
        ({"groups": [], "concurrency": 1.5}, TypeError, "concurrency must be an integer, not float"),
        ({"groups": 5}, TypeError, "groups must be an iterable"),
        ({"groups": NewExperienceGroup("a")}, TypeError, "groups must be an iterable"),
        ({"groups": {"name": "a"}}, TypeError, "groups must be an iterable"),
        ({"groups": "abc"}, TypeError, "groups must be an iterable"),
    ],
)
async def test_arguments_are_checked_at_once(
    losant: LosantClient, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """A wrong argument is an error of the call, not of the first step; one group is not many."""
    with pytest.raises(kind, match=message):
        losant.experience_groups.create_many(**arguments)


async def test_a_report_after_single_steps_drains_the_rest(losant: LosantClient) -> None:
    """`anext(batch)` and then `report()` walk the batch together."""
    batch = losant.experience_groups.create_many(named(30))
    assert (await anext(batch)).ok
    assert (await batch.report()).created == 30
