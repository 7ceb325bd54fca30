"""Lookups share queries: who waits for whom, how long, and how much one query holds."""

import asyncio
import urllib.parse
from types import SimpleNamespace
from typing import Any

import pytest

from aiolosant import ExperienceGroup, TransportError, by_tag, wire
from aiolosant.lookups import MOST_KEYS, Lookups


class Server:
    """Has a group for each key that is asked for, and remembers the questions."""

    def __init__(self) -> None:
        self.questions: list[list[str]] = []
        self.sizes: list[int] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def find(self, query: dict[str, Any]) -> list[ExperienceGroup]:
        keys = query["groupTags"]["key"]["$in"]
        self.questions.append(keys)
        self.sizes.append(len(urllib.parse.quote(wire.encode(query))))
        await self.answers.wait()
        return [ExperienceGroup(id=key, name=key, group_tags={"key": key}) for key in keys]

    def lookups(self, *, gather: bool = True) -> Lookups:
        owner: Any = SimpleNamespace(start_task=asyncio.ensure_future)
        return Lookups(self.find, by_tag("key"), owner, gather=gather)


@pytest.fixture
def server() -> Server:
    return Server()


def due(lookups: Lookups) -> float:
    """Seconds until the question is asked."""
    assert lookups._timer is not None
    return lookups._timer.when() - asyncio.get_running_loop().time()


async def started(*lookups: Any) -> list[asyncio.Task[Any]]:
    """Tasks of these lookups, at the point where each waits."""
    tasks = [asyncio.ensure_future(lookup) for lookup in lookups]
    await asyncio.sleep(0)
    return tasks


async def test_those_of_one_moment_share_a_query(server: Server) -> None:
    """And each gets its own answer."""
    lookups = server.lookups()
    found = await asyncio.gather(*(lookups.find(key) for key in ("a", "b", "a")))
    assert server.questions == [["a", "b"]]
    assert [[group.id for group in groups] for groups in found] == [["a"], ["b"], ["a"]]
    assert not lookups._asking  # what has its answer is forgotten


async def test_one_that_stands_alone_does_not_wait(server: Server) -> None:
    """Without `gather` every question is asked at once."""
    lookups = server.lookups(gather=False)
    tasks = await started(lookups.find("a"))
    assert lookups._timer is None
    await asyncio.gather(*tasks)
    assert server.questions == [["a"]]


async def test_a_full_query_does_not_wait(server: Server) -> None:
    """With as many keys as one query may hold; what comes then is the next."""
    lookups = server.lookups()
    tasks = await started(*(lookups.find(str(n)) for n in range(MOST_KEYS - 1)))
    assert lookups._timer is not None
    tasks += await started(lookups.find("the last"))
    assert lookups._timer is None
    tasks += await started(lookups.find("one more"))
    await asyncio.gather(*tasks)
    assert [len(keys) for keys in server.questions] == [MOST_KEYS, 1]


async def test_the_most_urgent_says_when(server: Server) -> None:
    """A first send waits shorter than what settles, and nobody puts off what is due."""
    lookups = server.lookups()
    tasks = await started(lookups.find("settling", settling=True))
    assert 0.05 < due(lookups) <= 0.1
    tasks += await started(lookups.find("first"))
    assert due(lookups) <= 0.01
    first = lookups._timer
    tasks += await started(lookups.find("settling as well", settling=True), lookups.find("another"))
    assert lookups._timer is first
    await asyncio.gather(*tasks)
    assert server.questions == [["settling", "first", "settling as well", "another"]]


async def test_what_is_too_long_for_a_request_is_split(server: Server) -> None:
    """By its length as the request has it, and no shorter than need be; one key alone is asked for however long."""
    lookups = server.lookups()
    keys = [f"ü{n:02}" * 20 for n in range(60)]
    await asyncio.gather(*(lookups.find(key) for key in keys))
    assert [key for keys in server.questions for key in keys] == keys
    assert max(server.sizes) <= 6000
    assert [len(keys) for keys in server.questions] == [33, 27]  # three quarters at a time
    server.questions.clear()
    await asyncio.gather(lookups.find("ü" * 600), lookups.find("ä" * 600))
    assert [len(keys) for keys in server.questions] == [1, 1]
    await lookups.find("ü" * 3000)
    assert server.sizes[-1] > 6000


async def test_an_error_is_everyones_own(server: Server) -> None:
    """Whoever raises it writes on it where it went through."""

    async def fails(query: dict[str, Any]) -> list[ExperienceGroup]:
        raise TransportError("cut")

    server.find = fails  # type: ignore[method-assign]  # the one thing that this server does
    lookups = server.lookups()
    first, second = await asyncio.gather(lookups.find("a"), lookups.find("b"), return_exceptions=True)
    assert isinstance(first, TransportError)
    assert str(first) == str(second)
    assert first is not second


async def test_closing_asks_nothing_more(server: Server) -> None:
    """What waits for its moment is never asked, and whoever asked already is told so."""
    lookups = server.lookups()
    server.answers.clear()
    tasks = await started(*(lookups.find(str(n)) for n in range(MOST_KEYS)))
    await asyncio.sleep(0)
    waiting = await started(lookups.find("waits"))
    timer = lookups._timer
    lookups.close()
    assert timer is not None
    assert timer.cancelled()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(answer) for answer in answers} == {TransportError}
    assert len(server.questions) == 1
    waiting[0].cancel()
    await asyncio.wait(waiting)
