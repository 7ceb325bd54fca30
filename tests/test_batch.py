"""Creating many: over real sockets where the server counts, over made-up work where it does not matter."""

import asyncio
import contextlib
import contextvars
import gc
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import attrs
import pytest

from aiolosant import (
    AuthenticationError,
    BatchReport,
    ConfigurationError,
    LosantClient,
    NewExperienceGroup,
    NotFoundError,
    Outcome,
    TransportError,
)
from aiolosant._batch.workers import Workers
from aiolosant._http.transport import Transport
from aiolosant.emulator import Emulator

from .conftest import client_of


def named(count: int) -> Iterator[NewExperienceGroup]:
    return (NewExperienceGroup(f"Tenant {n}") for n in range(count))


async def asynchronously(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


def posts(emulator: Emulator) -> int:
    return sum(request.method == "POST" for request in emulator.requests)


async def test_ten_thousand_from_a_generator(emulator: Emulator, losant: LosantClient) -> None:
    """Never more than 8 in flight and 8 reached, and the generator never far ahead of the outcomes."""
    pulled = yielded = furthest = 0

    def source() -> Iterator[NewExperienceGroup]:
        nonlocal pulled, furthest
        for group in named(10_000):
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
    assert indexes == set(range(10_000))
    assert await losant.experience_groups.list().count() == 10_000


async def test_nothing_happens_before_the_first_outcome_is_asked_for(emulator: Emulator, losant: LosantClient) -> None:
    """A batch is lazy: made but not walked, it pulls and sends nothing."""
    source = named(3)
    losant.experience_groups.create_many(source)
    await asyncio.sleep(0)
    assert posts(emulator) == 0
    assert len(list(source)) == 3


@pytest.mark.parametrize("make", [list, iter, asynchronously])
async def test_any_kind_of_input_will_do(losant: LosantClient, make: Any) -> None:
    """Lists, iterators, async iterators; NewExperienceGroups or mappings of the API's shape."""
    items = [NewExperienceGroup("a"), {"name": "b", "groupTags": {"k": "v"}}]
    outcomes = [o async for o in losant.experience_groups.create_many(make(items), ordered=True)]
    assert [o.group.name for o in outcomes if o.group] == ["a", "b"]
    assert [o.request for o in outcomes] == items


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


@pytest.mark.parametrize("make", [iter, asynchronously])
async def test_an_input_that_raises_stops_the_batch(losant: LosantClient, make: Any) -> None:
    """The input's own error comes after the outcomes of what was pulled before it, with the report."""

    def source() -> Iterator[NewExperienceGroup]:
        yield from named(20)
        raise OSError("the file broke off")

    outcomes = []
    with pytest.raises(OSError, match="the file broke off") as caught:
        async for outcome in losant.experience_groups.create_many(make(source()), concurrency=4):
            outcomes.append(outcome)  # noqa: PERF401 - what came before the error counts
    assert len(outcomes) == 20
    created = sum(outcome.ok for outcome in outcomes)
    report: BatchReport = caught.value.report  # type: ignore[attr-defined]  # errors of the input get one as well
    assert created == report.created == await losant.experience_groups.list().count()


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


async def test_a_slow_async_input_is_not_waited_for(losant: LosantClient) -> None:
    """Outcomes come as soon as they are there, though the next item is not."""
    more = asyncio.Event()

    async def source() -> AsyncIterator[NewExperienceGroup]:
        yield NewExperienceGroup("first")
        await more.wait()
        yield NewExperienceGroup("second")

    walker = aiter(losant.experience_groups.create_many(source()))
    assert (await anext(walker)).index == 0
    more.set()
    assert (await anext(walker)).index == 1
    with pytest.raises(StopAsyncIteration):
        await anext(walker)


async def test_a_stuck_async_input_does_not_outlive_its_batch(losant: LosantClient) -> None:
    """Leaving, closing and closing the client end the wait for an input that never comes."""
    ended = 0

    async def source() -> AsyncIterator[NewExperienceGroup]:
        nonlocal ended
        yield NewExperienceGroup("first")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended += 1

    async for _ in losant.experience_groups.create_many(source()):
        break
    await losant.experience_groups.list().count()
    assert ended == 1
    batch = losant.experience_groups.create_many(source())
    await anext(batch)
    await batch.aclose()
    assert ended == 2
    batch = losant.experience_groups.create_many(source())
    await anext(batch)
    waiting = asyncio.create_task(anext(batch))
    await asyncio.sleep(0)
    await losant.close()
    with pytest.raises(ConfigurationError):
        await waiting
    assert ended == 3


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
    assert await batch.report() == BatchReport(30, 0, (), ())


async def test_the_report_drains_the_batch(losant: LosantClient) -> None:
    """`await batch.report()` is the whole run in one line; only what went wrong is kept."""
    items: list[NewExperienceGroup | Mapping[str, Any]] = [*named(20), {"name": ""}]
    report = await losant.experience_groups.create_many(items).report()
    assert (report.created, report.existing, report.unknown) == (20, 0, ())
    assert [outcome.index for outcome in report.failed] == [20]


async def test_a_mistake_in_the_work_is_raised_not_lost(losant: LosantClient, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_batch_that_is_forgotten_is_collected(losant: LosantClient) -> None:
    """Nothing keeps a batch alive once its walk has ended or was left: services run for months."""
    before = {id(workers) for workers in gc.get_objects() if isinstance(workers, Workers)}  # of other tests
    walked = losant.experience_groups.create_many(named(3))
    await walked.report()
    left = losant.experience_groups.create_many(named(3))
    async for _ in left:
        break
    del walked, left
    await losant.experience_groups.list().count()
    gc.collect()
    left_behind = [workers for workers in gc.get_objects() if isinstance(workers, Workers)]
    assert [workers for workers in left_behind if id(workers) not in before] == []


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


async def test_an_async_input_that_is_cancelled_from_within_is_an_error(losant: LosantClient) -> None:
    """What the input waits for was cancelled: the rest of the input is lost, which is not its end."""

    async def source() -> AsyncIterator[NewExperienceGroup]:
        yield NewExperienceGroup("first")
        reader = asyncio.ensure_future(asyncio.sleep(60))
        reader.cancel()
        await reader

    with pytest.raises(RuntimeError, match="the input of the batch was cancelled") as caught:
        await losant.experience_groups.create_many(source()).report()
    assert caught.value.report.created == 1  # type: ignore[attr-defined]  # errors of the input get one as well


async def test_an_async_input_runs_in_one_task(losant: LosantClient) -> None:
    """A timeout or a context variable that spans items works as in any other generator."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def source() -> AsyncIterator[NewExperienceGroup]:
        token = variable.set("mine")
        task = asyncio.current_task()
        for group in named(60):
            assert variable.get() == "mine"
            assert asyncio.current_task() is task
            yield group
        variable.reset(token)

    report = await losant.experience_groups.create_many(source(), concurrency=4).report()
    assert report.created == 60


async def test_a_mapping_is_read_when_it_is_pulled(losant: LosantClient) -> None:
    """A reader that reuses one mapping for all its rows makes different groups."""

    def rows() -> Iterator[dict[str, Any]]:
        row: dict[str, Any] = {"groupTags": {}}
        for n in range(20):
            row["name"] = row["groupTags"]["row"] = f"{n}"
            yield row

    await losant.experience_groups.create_many(rows()).report()
    groups = await losant.experience_groups.list().to_list()
    assert {(group.name, group.group_tags["row"]) for group in groups} == {(f"{n}", f"{n}") for n in range(20)}


async def test_an_item_that_cannot_even_be_read_is_its_own_failure(losant: LosantClient) -> None:
    """Whatever a mapping does when it is looked at, the others go on."""

    class Broken(dict[str, Any]):
        def __iter__(self) -> Iterator[str]:
            raise KeyError("row 7 is gone")

        keys = __iter__  # type: ignore[assignment]  # broken throughout

    items: list[Any] = [NewExperienceGroup("a"), Broken(name="b"), NewExperienceGroup("c")]
    outcomes = [outcome async for outcome in losant.experience_groups.create_many(items, ordered=True)]
    assert [outcome.status for outcome in outcomes] == ["created", "failed", "created"]
    assert isinstance(outcomes[1].error, KeyError)


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


async def test_a_frozen_error_of_the_input_is_raised_as_it_is(losant: LosantClient) -> None:
    """An error that takes no attribute comes without a report, but it comes."""

    @attrs.frozen
    class FrozenError(Exception):
        row: int

    def source() -> Iterator[NewExperienceGroup]:
        yield NewExperienceGroup("a")
        raise FrozenError(2)

    with pytest.raises(FrozenError):
        await losant.experience_groups.create_many(source()).report()


async def test_leaving_leaves_no_task(emulator: Emulator, losant: LosantClient) -> None:
    """Some ticks after `break`, without closing anything, no task of the batch is left."""
    before = asyncio.all_tasks()
    async for _ in losant.experience_groups.create_many(named(100), concurrency=5):
        break
    for _ in range(1000):
        if not {task for task in asyncio.all_tasks() - before if "Workers." in repr(task)}:
            break
        await asyncio.sleep(0.001)
    else:
        pytest.fail("tasks are left")
    sent = posts(emulator)
    await losant.experience_groups.list().count()
    assert posts(emulator) == sent <= 11


async def test_a_report_after_single_steps_drains_the_rest(losant: LosantClient) -> None:
    """`anext(batch)` and then `report()` walk the batch together."""
    batch = losant.experience_groups.create_many(named(30))
    assert (await anext(batch)).ok
    assert (await batch.report()).created == 30


async def test_text_of_a_subclass_is_sent_as_text(losant: LosantClient) -> None:
    """Templates and number libraries have texts of their own kinds."""

    class Markup(str):
        __slots__ = ()

    new = NewExperienceGroup(Markup("a"), group_tags={Markup("k"): Markup("v")})
    group = await losant.experience_groups.create(new)
    assert (group.name, group.group_tags) == ("a", {"k": "v"})


async def test_a_refused_item_of_a_slow_input_is_told_at_once(losant: LosantClient) -> None:
    """An item that is no group has its outcome though the input says nothing more yet."""
    told = asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        yield {"name": ""}
        await told.wait()
        yield {"name": "x"}

    statuses = []
    async for outcome in losant.experience_groups.create_many(source()):
        statuses.append(outcome.status)
        told.set()
    assert statuses == ["failed", "created"]


async def test_an_input_that_says_it_is_empty_is_asked_all_the_same(losant: LosantClient) -> None:
    """An async iterator with a length, such as a queue's, is no empty iterable."""

    class Queue:
        def __init__(self) -> None:
            self.left = 3

        def __len__(self) -> int:
            return 0

        def __aiter__(self) -> "Queue":
            return self

        async def __anext__(self) -> NewExperienceGroup:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return NewExperienceGroup(f"Tenant {self.left}")

    assert (await losant.experience_groups.create_many(Queue()).report()).created == 3


@pytest.mark.parametrize("leave", ["break", "aclose", "end"])
async def test_an_input_that_nobody_else_has_is_closed(losant: LosantClient, leave: str) -> None:
    """With the batch, though that is kept: the file that a generator reads does not stay open."""
    closed = []

    def rows() -> Iterator[NewExperienceGroup]:
        try:
            yield from (NewExperienceGroup(str(n)) for n in range(5 if leave == "end" else 500))
        finally:
            closed.append("rows")

    async def async_rows() -> AsyncIterator[NewExperienceGroup]:
        try:
            for group in rows():
                yield group
        finally:
            closed.append("async rows")

    kept = []
    for given in (rows, async_rows):
        batch = losant.experience_groups.create_many(given())
        kept.append(batch)
        async for _ in batch:
            if leave == "aclose":
                await batch.aclose()
            if leave == "break":
                break
        await losant.experience_groups.list().first()
    assert closed == ["rows", "rows", "async rows"]


async def test_an_input_that_fails_item_by_item_does_not_starve_the_loop(losant: LosantClient) -> None:
    """Whatever else the service does goes on, and a cancellation is heard."""
    turns = 0

    async def other_work() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(other_work())
    seen = 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            async for _ in losant.experience_groups.create_many({"nam": "x"} for _ in itertools.count()):
                seen += 1
    other.cancel()
    assert seen >= 100
    assert turns >= seen // 100 - 1


@pytest.mark.parametrize("end", ["aclose", "close"])
async def test_an_input_that_swallows_a_cancellation_ends_all_the_same(losant: LosantClient, end: str) -> None:
    """What it gives after that is an item that was never sent."""
    more = asyncio.Event()

    async def stubborn() -> AsyncIterator[NewExperienceGroup]:
        yield NewExperienceGroup("first")
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await more.wait()
            yield NewExperienceGroup("later")

    batch = losant.experience_groups.create_many(stubborn())
    assert (await anext(batch)).ok
    async with asyncio.timeout(5):
        await (batch.aclose() if end == "aclose" else losant.close())
    if end == "aclose":
        (later,) = (await batch.report()).failed
        assert "not sent" in str(later.error)


async def test_a_batch_that_is_closed_before_its_first_step_has_none(losant: LosantClient) -> None:
    """As any other iterator that was closed."""
    batch = losant.experience_groups.create_many(named(3))
    await batch.aclose()
    assert await anext(batch, None) is None
