"""A model of contested creates: the real decisions, in virtual time, against a server with delays and lost answers."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiolosant import DuplicateGroupError, ExperienceGroup, NewExperienceGroup, NotFoundError
from aiolosant._batch.contested import Claim, Contest
from aiolosant._http.retry import RetryPolicy

from . import virtual_time

SETTLE = 2.0
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SENT = NewExperienceGroup("Acme")
LOST_FOR_GOOD, ANSWERED, ANSWER_LOST, LATE = "never made", "answered", "answer lost", "late"


@attrs.define
class Server:
    """Groups with ids as MongoDB makes them, and lists that show a write up to `SETTLE` seconds late."""

    chance: random.Random
    groups: dict[str, ExperienceGroup] = attrs.field(factory=dict)
    shows_at: dict[str, float] = attrs.field(factory=dict)
    ever: set[str] = attrs.field(factory=set)
    touched_at_once: bool = False

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def make(self) -> ExperienceGroup:
        group_id = f"{int(self.now):08x}{self.chance.getrandbits(64):016x}"  # within a second any order
        date = EPOCH + timedelta(seconds=self.now)
        group = ExperienceGroup(id=group_id, name="Acme", creation_date=date, last_updated=date)
        touched = attrs.evolve(group, last_updated=date + timedelta(seconds=1))
        self.groups[group_id] = touched if self.touched_at_once else group
        self.shows_at[group_id] = self.now + self.chance.random() * SETTLE * 0.95
        self.ever.add(group_id)
        return group

    def listed(self) -> list[ExperienceGroup]:
        return [self.groups[one] for one in sorted(self.groups) if self.shows_at[one] <= self.now]


class Found:
    def __init__(self, groups: Sequence[ExperienceGroup], asked: float) -> None:
        self.groups = groups
        self.asked = asked


class Client:
    """What of the client `Contest` uses: it stands in for the endpoint, the transport, the looks and the permit."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport = self
        self.deadline = self
        self.retry = RetryPolicy(settle_time=SETTLE)
        self.throttle = self

    @property
    def server_ahead(self) -> float:
        return (EPOCH + timedelta(seconds=int(self.server.now))).timestamp() - self.server.now  # as coarse as a `Date`

    async def find_anew(self, _key: object, *, gather: float = 0) -> Found:
        await asyncio.sleep(gather)
        asked = self.server.now
        await self.delay()
        found = Found(self.server.listed(), asked)
        await self.delay()
        return found

    async def get(self, group_id: str, _deadline: object) -> ExperienceGroup:
        await self.delay()
        if group_id not in self.server.groups:
            raise NotFoundError(404, "NotFound", "gone", "GET", "/", attempts=1)
        return self.server.groups[group_id]

    async def find_all(self, _query: object) -> list[ExperienceGroup]:
        await self.delay()
        return []

    async def delete(self, group_id: str, _deadline: object, **_others: object) -> None:
        await self.delay()
        if self.server.groups.pop(group_id, None) is None:
            raise NotFoundError(404, "NotFound", "gone", "DELETE", "/", attempts=1)

    async def delay(self) -> None:
        await asyncio.sleep(self.server.chance.random() * 0.3)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait_for_turn(self, awaitable: Any) -> Any:
        return await awaitable

    async def take(self) -> None:
        await asyncio.sleep(0)

    def give_up(self) -> None:
        pass

    def start_task(self, coroutine: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(coroutine)

    @property
    def seconds_of_news(self) -> float:
        return 0.0


async def create(server: Server, start: float, fates: Sequence[str]) -> str:
    """Do as `ExactlyOnce` does, with these fates of the attempts; the id that one is told."""
    await asyncio.sleep(start)
    client: Any = Client(server)
    contest = Contest(client, client, gather=0.1)
    found = await client.find_anew("key")
    await asyncio.sleep(server.chance.random())  # it is used up to a second later
    if found.groups:
        agreed = await contest.agree("key", found, client)
        if agreed is not None:
            return agreed.id
    began, in_doubt = server.now, False
    for fate in [*fates, ANSWERED]:
        await client.delay()
        made = server.make() if fate in (ANSWERED, ANSWER_LOST) else None
        if fate == LATE:
            asyncio.get_running_loop().call_later(server.chance.random() * SETTLE * 0.95, server.make)
        in_doubt |= fate != ANSWERED
        await client.delay()
        answered = made if fate == ANSWERED else None
        claim = Claim(SENT, answered, in_doubt=in_doubt, began=began)
        decided = await contest.decide("key", claim, client)
        if decided is not None:
            return decided.id
    raise AssertionError("what was answered is there")


plans = st.lists(
    st.tuples(
        st.floats(0, 4),
        st.lists(st.sampled_from([ANSWER_LOST, LATE, LOST_FOR_GOOD]), max_size=2),
    ),
    min_size=2,
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(plan=plans, seed=st.integers(0, 2**32))
def test_one_group_is_left_and_everybody_is_told_of_it(plan: list[tuple[float, list[str]]], seed: int) -> None:
    """Whenever they begin, whatever is lost or late: never two, never none, and it is the oldest of all."""

    async def work() -> None:
        server = Server(random.Random(seed))  # noqa: S311 - no secret
        told = await asyncio.gather(*(create(server, start, fates) for start, fates in plan))
        await asyncio.sleep(10 * SETTLE)
        assert list(server.groups) == [min(server.ever)]
        assert set(told) == {min(server.ever)}

    virtual_time.run(work)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_group_that_was_touched_is_never_deleted(seed: int) -> None:
    """Somebody uses each group as soon as it is made: all stay, and who made a younger one says so."""

    async def work() -> None:
        server = Server(random.Random(seed), touched_at_once=True)  # noqa: S311 - no secret
        ended = await asyncio.gather(*(create(server, 0.0, []) for _ in range(4)), return_exceptions=True)
        assert set(server.groups) == server.ever
        if len(server.ever) > 1:
            assert any(isinstance(one, DuplicateGroupError) for one in ended)

    virtual_time.run(work)


def test_hours_pass_at_once() -> None:
    """Otherwise the model would take them; and who waits for nothing is told."""

    async def wait() -> float:
        await asyncio.sleep(7200)
        return asyncio.get_running_loop().time()

    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    assert virtual_time.run(wait) == pytest.approx(7200)
    with pytest.raises(RuntimeError, match="everybody waits"):
        virtual_time.run(wait_for_ever)
