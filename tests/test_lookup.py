"""Lookups share queries: who waits for whom, how long, and what is remembered."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from aiolosant import LosantClient, TransportError
from aiolosant._batch.lookup import MOST_KEYS, Lookups
from aiolosant._http.transport import Transport
from aiolosant.groups import parts_of

from . import virtual_time


class Server:
    """Finds every key, and remembers the questions."""

    def __init__(self) -> None:
        self.questions: list[list[str]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    async def find(self, keys: Sequence[str]) -> dict[str, str]:
        self.questions.append(list(keys))
        await self.answers.wait()
        if self.error:
            raise self.error
        return {key: f"{key}!" for key in keys}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def lookups(server: Server, transport: Transport) -> AsyncIterator[Lookups[str, str]]:
    lookups = Lookups(server.find, transport, gather=0.01)
    yield lookups
    lookups.close()


@pytest.fixture
async def transport(losant: LosantClient) -> Transport:
    return transport_of(losant)


def transport_of(losant: LosantClient) -> Transport:
    """The transport of a client, as the client hands it to its groups."""
    endpoint, _ = parts_of(losant.experience_groups)
    return endpoint.transport


async def started(*coroutines: Any) -> list[asyncio.Task[Any]]:
    """Tasks of these lookups, at the point where each waits."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    await asyncio.sleep(0)
    return tasks


async def test_concurrent_lookups_share_one_query(server: Server, lookups: Lookups[str, str]) -> None:
    """And each gets its own answer."""
    assert await asyncio.gather(*(lookups.find(key) for key in ("a", "b", "a"))) == ["a!", "b!", "a!"]
    assert server.questions == [["a", "b"]]


async def test_what_was_found_a_moment_ago_is_not_asked_again(server: Server, lookups: Lookups[str, str]) -> None:
    """It is used once, and not at all by whoever asks anew."""
    for key in "ab":
        lookups.expect(key)
    await lookups.find("a")
    await lookups.find("b")
    assert server.questions == [["a", "b"]]
    await lookups.find("b")
    await lookups.find_anew("b")
    assert server.questions == [["a", "b"], ["b"], ["b"]]


async def test_expected_keys_join_a_query(server: Server, lookups: Lookups[str, str]) -> None:
    """As many as a query can hold, in their order; what has been forgotten is not."""
    for n in range(MOST_KEYS + 10):
        lookups.expect(str(n))
    lookups.forget("3")
    assert await lookups.find("0") == "0!"
    await lookups.find("50")
    expected = [str(n) for n in range(MOST_KEYS + 1) if n != 3]
    assert server.questions == [expected]


async def test_a_full_query_does_not_wait(server: Server, lookups: Lookups[str, str]) -> None:
    """With as many keys as one query may hold; what comes then is the next."""
    tasks = await started(*(lookups.find(str(n)) for n in range(MOST_KEYS)))
    await asyncio.sleep(0)
    assert [len(keys) for keys in server.questions] == [MOST_KEYS]
    tasks += await started(lookups.find("one more"))
    await asyncio.gather(*tasks)
    assert [len(keys) for keys in server.questions] == [MOST_KEYS, 1]


async def test_without_gathering_every_question_is_asked_at_once(server: Server, transport: Transport) -> None:
    """One that stands alone has nobody to wait for."""
    lookups = Lookups(server.find, transport, gather=0)
    tasks = await started(lookups.find("a"), lookups.find("b"))
    await asyncio.sleep(0)
    assert server.questions == [["a"], ["b"]]
    await asyncio.gather(*tasks)


async def test_a_settling_lookup_joins_the_next_query(server: Server, lookups: Lookups[str, str]) -> None:
    """What settles waits longer for others, and goes as soon as any question is asked."""
    tasks = await started(lookups.find_anew("settles", gather=0.1), lookups.find("first"))
    await asyncio.gather(*tasks)
    assert server.questions == [["settles", "first"]]


async def test_an_answer_that_is_under_way_is_waited_for(server: Server, lookups: Lookups[str, str]) -> None:
    """Instead of being asked for a second time; whoever asks anew asks a second time."""
    server.answers.clear()
    tasks = await started(lookups.find("a"))
    while not server.questions:
        await asyncio.sleep(0)
    tasks += await started(lookups.find("a"), lookups.find_anew("a"))
    server.answers.set()
    assert await asyncio.gather(*tasks) == ["a!"] * 3
    assert server.questions == [["a"], ["a"]]


async def test_an_error_is_everyones_own_and_is_not_remembered(server: Server, lookups: Lookups[str, str]) -> None:
    """Whoever raises it writes on it where it went through; whoever asks later asks anew."""
    server.error = TransportError("cut")
    first, second = await asyncio.gather(lookups.find("a"), lookups.find("b"), return_exceptions=True)
    assert isinstance(first, TransportError)
    assert str(first) == str(second)
    assert first is not second
    server.error = None
    assert await lookups.find("a") == "a!"


async def test_closing_asks_nothing_more(server: Server, lookups: Lookups[str, str]) -> None:
    """Whoever waits is told so, whether the question was asked already or not."""
    server.answers.clear()
    asked = await started(*(lookups.find(str(n)) for n in range(MOST_KEYS)))
    await asyncio.sleep(0)
    waiting = await started(lookups.find("waits"))
    lookups.close()
    answers = await asyncio.gather(*asked, *waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {TransportError}
    assert len(server.questions) == 1


async def test_one_callers_cancellation_is_not_the_others(server: Server, lookups: Lookups[str, str]) -> None:
    """Who waits for the same key still gets it."""
    first, second = await started(lookups.find("a"), lookups.find("a"))
    first.cancel()
    assert await second == "a!"
    assert first.cancelled()


async def test_keys_that_went_along_in_a_query_that_failed_go_along_again(
    server: Server, lookups: Lookups[str, str]
) -> None:
    """One failed query does not make a query of its own for each of them."""
    for key in "abc":
        lookups.expect(key)
    server.error = TransportError("cut")
    with pytest.raises(TransportError):
        await lookups.find("a")
    server.error = None
    await lookups.find("b")
    await lookups.find("c")
    assert server.questions == [["a", "b", "c"], ["b", "c"]]


async def ask_for_all(workers: int, seconds_each: float, latency: float) -> tuple[float, int]:
    """Let some workers use 2,000 expected keys, one each and each for so long; returns the time, and the queries."""
    queries = 0

    async def find(keys: Sequence[str]) -> dict[str, str]:
        nonlocal queries
        queries += 1
        await asyncio.sleep(latency)
        return dict.fromkeys(keys, "")

    async with LosantClient("token", application_id="5" * 24) as losant:
        lookups: Lookups[str, str] = Lookups(find, transport_of(losant), gather=0.01)
        keys = [str(n) for n in range(2000)]
        for key in keys:
            lookups.expect(key)
        left = iter(keys)

        async def work() -> None:
            for key in left:
                await lookups.find(key)
                await asyncio.sleep(seconds_each)

        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(work() for _ in range(workers)))
        return asyncio.get_running_loop().time() - began, queries


def test_what_is_used_up_at_once_is_looked_up_far_ahead() -> None:
    """Twenty queries, one after the other, would take six tenths of a second."""
    seconds, queries = virtual_time.run(lambda: ask_for_all(16, seconds_each=0, latency=0.03))
    assert seconds <= 0.13
    assert queries == 20


def test_no_more_is_looked_up_ahead_than_is_used_while_it_is_new() -> None:
    """64 at a time with 200 ms each: what is older than a second has to be looked up again."""
    seconds, queries = virtual_time.run(lambda: ask_for_all(64, seconds_each=0.2, latency=0.2))
    assert queries <= 30
    assert seconds <= 1.3 * 2000 / 64 * 0.2
