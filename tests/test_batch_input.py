"""What a batch pulls: every kind of input, lazily, and what goes wrong with it."""

import asyncio
import contextlib
import contextvars
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import pytest

from aiolosant import (
    BatchReport,
    ConfigurationError,
    LosantClient,
    NewExperienceGroup,
)

from .batches import asynchronously, named


@pytest.mark.parametrize("make", [list, iter, asynchronously])
async def test_any_kind_of_input_will_do(losant: LosantClient, make: Any) -> None:
    """Lists, iterators, async iterators; NewExperienceGroups or mappings of the API's shape."""
    items = [NewExperienceGroup("a"), {"name": "b", "groupTags": {"k": "v"}}]
    outcomes = [o async for o in losant.experience_groups.create_many(make(items), ordered=True)]
    assert [o.group.name for o in outcomes if o.group] == ["a", "b"]
    assert [o.request for o in outcomes] == items


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
    has_ended = asyncio.Event()

    async def source() -> AsyncIterator[NewExperienceGroup]:
        nonlocal ended
        yield NewExperienceGroup("first")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended += 1
            has_ended.set()

    async for _ in losant.experience_groups.create_many(source()):
        break
    await has_ended.wait()
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
    while len(closed) < 3:  # for ever, if one is left open
        await asyncio.sleep(0.001)
    assert closed == ["rows", "rows", "async rows"]


async def test_an_input_that_fails_item_by_item_does_not_starve_the_loop(losant: LosantClient) -> None:
    """Whatever else the service does goes on, and a cancellation is heard."""
    turns = 0

    async def other_work() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    seen = 0

    async def consume() -> None:
        nonlocal seen
        async for _ in losant.experience_groups.create_many({"nam": "x"} for _ in itertools.count()):
            seen += 1

    other, consuming = asyncio.create_task(other_work()), asyncio.create_task(consume())
    while seen < 1000:
        await asyncio.sleep(0)
    consuming.cancel()
    await asyncio.wait({consuming})
    other.cancel()
    assert consuming.cancelled()
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
