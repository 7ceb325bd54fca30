"""A model of contested creates: the real decisions, in virtual time, against a server with delays and lost answers."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiolosant import (
    DuplicateGroupError,
    ExperienceGroup,
    NewExperienceGroup,
    NotFoundError,
    OutcomeUnknownError,
    RetryPolicy,
    by_tag,
)
from aiolosant._batch.contested import Claim, is_own, was_touched
from aiolosant._batch.exactly_once import Created, ExactlyOnce
from aiolosant._batch.key_locks import KeyLocks
from aiolosant._batch.workers import Permit
from aiolosant._http.transport import Sent

from . import virtual_time

SETTLE = 2.0
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SENT = NewExperienceGroup("Acme", group_tags={"externalId": "7"})
LOST_FOR_GOOD, ANSWERED, ANSWER_LOST, LATE = "never made", "answered", "answer lost", "late"


@attrs.define
class Server:
    """Groups with ids as MongoDB makes them, and lists that show a write up to `SETTLE` seconds late."""

    chance: random.Random
    groups: dict[str, ExperienceGroup] = attrs.field(factory=dict)
    shows_at: dict[str, float] = attrs.field(factory=dict)
    ever: set[str] = attrs.field(factory=set)
    used_at_once: str = ""

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def make(self) -> ExperienceGroup:
        group_id = f"{int(self.now):08x}{self.chance.getrandbits(64):016x}"  # within a second any order
        date = EPOCH + timedelta(seconds=self.now)
        tags = SENT.group_tags
        group = ExperienceGroup(id=group_id, name="Acme", group_tags=tags, creation_date=date, last_updated=date)
        touched = attrs.evolve(group, last_updated=date + timedelta(seconds=1))
        self.groups[group_id] = touched if self.used_at_once == "touched" else group
        self.shows_at[group_id] = self.now + self.chance.random() * SETTLE * 0.95
        self.ever.add(group_id)
        return group

    async def delay(self) -> None:
        await asyncio.sleep(self.chance.random() * 0.3)

    def children_of(self, group_ids: Sequence[str]) -> list[ExperienceGroup]:
        if self.used_at_once != "child":
            return []
        return [ExperienceGroup(id="c" * 24, name="below", parent_id=one) for one in group_ids if one in self.groups]

    def listed(self) -> list[ExperienceGroup]:
        return [self.groups[one] for one in sorted(self.groups) if self.shows_at[one] <= self.now]


class Transport:
    """Stands in for the transport: each attempt at a create has the fate that is next."""

    def __init__(self, server: Server, fates: Sequence[str]) -> None:
        self.server = server
        self.retry = RetryPolicy(settle_time=SETTLE)
        self.throttle = SimpleNamespace(seconds_of_news=1.0)
        self.observer = SimpleNamespace(create_settled=lambda *_: None)
        self._fates = list(fates)

    @property
    def server_ahead(self) -> float:
        return (EPOCH + timedelta(seconds=int(self.server.now))).timestamp() - self.server.now  # as coarse as a `Date`

    async def call(self, request: Any, _deadline: object, sent: Sent) -> ExperienceGroup:
        fate = self._fates.pop(0) if self._fates else ANSWERED
        sent.request = request
        sent.attempts += 1
        await self.server.delay()
        made = self.server.make() if fate in (ANSWERED, ANSWER_LOST) else None
        if fate == LATE:
            asyncio.get_running_loop().call_later(self.server.chance.random() * SETTLE * 0.95, self.server.make)
        await self.server.delay()
        if made is not None and fate == ANSWERED:
            return made
        sent.in_doubt = True
        raise OutcomeUnknownError("it may have been done or not")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def start_task(self, coroutine: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(coroutine)


class Endpoint:
    """Stands in for the endpoint: reads and deletes in a server, each with a delay before and after."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.path = "/groups"
        self._server = transport.server

    def create_request(self, _group: NewExperienceGroup, precondition: Any = None) -> Any:
        return SimpleNamespace(method="POST", path=self.path, precondition=precondition)

    async def find_all(self, query: dict[str, Any]) -> list[ExperienceGroup]:
        await self._server.delay()
        parents = query.get("parentId", {}).get("$in")
        found = self._server.children_of(parents) if parents else self._server.listed()
        await self._server.delay()
        return found

    async def get(self, group_id: str, _deadline: object) -> ExperienceGroup:
        await self._server.delay()
        if group_id not in self._server.groups:
            raise NotFoundError(404, "NotFound", "gone", "GET", "/", attempts=1)
        return self._server.groups[group_id]

    async def delete(self, group_id: str, _deadline: object, **_others: object) -> None:
        await self._server.delay()
        if self._server.groups.pop(group_id, None) is None:
            raise NotFoundError(404, "NotFound", "gone", "DELETE", "/", attempts=1)


async def create(server: Server, start: float, fates: Sequence[str]) -> Created:
    """Create the group in a client of its own, whose attempts have these fates."""
    await asyncio.sleep(start)
    endpoint: Any = Endpoint(Transport(server, fates))
    once = ExactlyOnce(endpoint, by_tag("externalId"), KeyLocks(), gather=0.1, contested=True)
    try:
        return await once.create(SENT, once.key_of(SENT), Permit(asyncio.Semaphore(0), 1000))
    finally:
        for one in once.to_close:
            one.close()


plans = st.lists(
    st.tuples(
        st.floats(0, 4),
        st.lists(st.sampled_from([ANSWER_LOST, LATE, LOST_FOR_GOOD]), max_size=2),
    ),
    min_size=2,
    max_size=5,
)


@settings(max_examples=150)
@given(plan=plans, seed=st.integers(0, 2**32))
def test_one_group_is_left_and_everybody_is_told_of_it(plan: list[tuple[float, list[str]]], seed: int) -> None:
    """Whenever they begin, whatever is lost or late: never two, never none, and it is the oldest of all."""

    async def work() -> None:
        server = Server(random.Random(seed))  # noqa: S311 - no secret
        told = await asyncio.gather(*(create(server, start, fates) for start, fates in plan))
        await asyncio.sleep(10 * SETTLE)
        assert list(server.groups) == [min(server.ever)]
        assert {one.group.id for one in told} == {min(server.ever)}
        if not any(fates for _, fates in plan):  # without a lost response everybody knows who made it
            assert [one.is_new for one in told].count(True) == 1

    virtual_time.run(work)


@pytest.mark.parametrize("use", ["touched", "child"])
@settings(max_examples=50)
@given(seed=st.integers(0, 2**32))
def test_a_group_that_is_used_is_never_deleted(use: str, seed: int) -> None:
    """Somebody uses each group as soon as it is made: all stay, and each maker of a younger one says so."""

    async def work() -> None:
        server = Server(random.Random(seed), used_at_once=use)  # noqa: S311 - no secret
        ended = await asyncio.gather(*(create(server, 0.0, []) for _ in range(4)), return_exceptions=True)
        assert set(server.groups) == server.ever
        assert [isinstance(one, DuplicateGroupError) for one in ended].count(True) == len(server.ever) - 1

    virtual_time.run(work)


def dated(group_id: str, *, made: float | None, touched: float | None) -> ExperienceGroup:
    dates = [None if at is None else EPOCH + timedelta(seconds=at) for at in (made, touched)]
    return ExperienceGroup(
        id=group_id, name="Acme", group_tags=SENT.group_tags, creation_date=dates[0], last_updated=dates[1]
    )


@pytest.mark.parametrize(
    ("twin", "in_doubt", "is_ours"),
    [
        (dated("a" * 24, made=9, touched=9), False, True),  # what the response told of
        (dated("A" * 24, made=9, touched=99), False, True),
        (dated("b" * 24, made=12, touched=12), False, False),  # no response was lost
        (dated("b" * 24, made=12, touched=12), True, True),
        (dated("b" * 24, made=9.5, touched=9.5), True, True),  # a `Date` may be a second behind
        (dated("b" * 24, made=8, touched=8), True, False),  # before anything was sent
        (dated("b" * 24, made=None, touched=None), True, False),  # nothing says when
        (attrs.evolve(dated("b" * 24, made=12, touched=12), name="Other"), True, False),
    ],
)
def test_a_group_is_ones_own_if_a_response_says_so_or_nothing_speaks_against_it(
    twin: ExperienceGroup, in_doubt: bool, is_ours: bool
) -> None:
    """In doubt it has what was sent, and was made since."""
    made = dated("a" * 24, made=9, touched=9)
    claim = Claim(SENT, made, in_doubt=in_doubt, began=10.0)
    assert is_own(twin, claim, EPOCH.timestamp()) is is_ours
    assert is_own(twin, claim, None) is (twin.id.lower() == made.id)


@pytest.mark.parametrize(
    ("twin", "touched"),
    [
        (dated("a" * 24, made=9, touched=9), True),  # the response said 9.001
        (dated("a" * 24, made=9, touched=9.001), False),
        (dated("b" * 24, made=12, touched=12.001), False),  # a server may set its two dates one after the other
        (dated("b" * 24, made=12, touched=13), True),
        (dated("b" * 24, made=12, touched=None), True),  # nothing tells
    ],
)
def test_a_group_was_touched_unless_its_dates_say_otherwise(twin: ExperienceGroup, touched: bool) -> None:
    """They are those of its response, or of the moment in which it was made."""
    claim = Claim(SENT, dated("a" * 24, made=9, touched=9.001), in_doubt=True, began=8.0)
    assert was_touched(twin, claim) is touched


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
