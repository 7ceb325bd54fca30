"""What can be observed of a client: events, counts, log records; and clients that share one pace."""

import asyncio
import logging
from typing import Any

import pytest

from aiolosant import (
    ConfigurationError,
    LosantClient,
    NewExperienceGroup,
    NotFoundError,
    RequestTimeoutError,
    RetryPolicy,
    ServerError,
    by_name,
)
from aiolosant.emulator import Emulator, Fault
from aiolosant.events import AttemptEnded, Event, Paused, Resending, Settled, TokenRenewed

from .conftest import client_of

QUICK = RetryPolicy(first_delay=0.01, settle_time=0.05)
LIST = "/applications/{id}/experience/groups"


async def test_each_attempt_is_an_event(emulator: Emulator) -> None:
    """With its route, status, what it proved, its number and times; what is told once is not told again."""
    events: list[Event] = []
    emulator.inject(Fault.UNAVAILABLE)
    async with client_of(emulator, retry=QUICK, on_event=events.append) as losant:
        group = await losant.experience_groups.create(NewExperienceGroup("a"), unique_by=by_name())
        with pytest.raises(NotFoundError):
            await losant.experience_groups.get("F" * 24)
    attempts = [event for event in events if isinstance(event, AttemptEnded)]
    assert [(one.method, one.route, one.status, one.proved, one.number) for one in attempts] == [
        ("GET", LIST, 503, "unknown", 1),
        ("GET", LIST, 200, "applied", 2),
        ("POST", LIST, 201, "applied", 1),
        ("GET", LIST + "/{id}", 404, "not applied", 1),
    ]
    assert attempts[0].path == f"/applications/{group.application_id}/experience/groups"
    assert all(one.waited >= 0 < one.took for one in attempts)
    assert [type(one.error).__name__ for one in attempts] == ["ServerError", "NoneType", "NoneType", "NotFoundError"]
    (resending,) = (event for event in events if isinstance(event, Resending))
    assert (resending.number, resending.route, type(resending.error).__name__) == (2, LIST, "ServerError")
    assert 0 <= resending.delay <= 0.01


async def test_what_was_lost_is_told_to_be_settled(emulator: Emulator) -> None:
    """Whether it had been made or not."""
    events: list[Event] = []
    async with client_of(emulator, retry=QUICK, on_event=events.append) as losant:
        emulator.inject(Fault.CUT_AFTER_WRITE, method="POST")
        made = await losant.experience_groups.create(NewExperienceGroup("a"), unique_by=by_name())
        emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
        await losant.experience_groups.create(NewExperienceGroup("b"), unique_by=by_name())
        stats = losant.stats()
    settled = [event for event in events if isinstance(event, Settled)]
    assert [event.group_id for event in settled] == [made.id, None]
    assert settled[0].route == LIST
    assert (stats.settled, stats.unknown, stats.attempts) == (2, 2, len(emulator.requests))


async def test_pauses_and_new_tokens_are_told(emulator: Emulator) -> None:
    """As they happen."""
    events: list[Event] = []
    tokens = [emulator.create_token(), emulator.create_token()]

    async def provide() -> str:
        return tokens.pop(0)

    emulator.revoke_token(tokens[0])
    emulator.retry_after = 0
    async with client_of(emulator, token=provide, retry=QUICK, on_event=events.append) as losant:
        await losant.experience_groups.list().count()
        emulator.inject(Fault.TOO_MANY_REQUESTS)
        await losant.experience_groups.list().count()
        stats = losant.stats()
    assert [type(event) for event in events if not isinstance(event, AttemptEnded)] == [TokenRenewed, Paused, Resending]
    assert Paused(0) in events
    assert (stats.refused, stats.in_flight, stats.waiting, stats.limit_found) == (1, 0, 0, False)


async def test_a_handler_that_raises_harms_nothing(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""

    def handle(_event: Event) -> None:
        raise RuntimeError("out of order")

    async with client_of(emulator, on_event=handle) as losant:
        assert await losant.experience_groups.list().count() == 0
    assert "on_event raised" in caplog.text
    assert "out of order" in caplog.text


async def test_log_records_carry_the_same(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """As attributes of the record, for loggers that write JSON."""
    caplog.set_level(logging.DEBUG)
    emulator.inject(Fault.UNAVAILABLE)
    async with client_of(emulator, retry=QUICK) as losant:
        await losant.experience_groups.list().count()
    records: list[Any] = [record for record in caplog.records if record.name == "aiolosant"]
    assert [(record.levelname, record.method, record.route, record.number) for record in records] == [
        ("DEBUG", "GET", LIST, 1),
        ("WARNING", "GET", LIST, 2),
        ("DEBUG", "GET", LIST, 2),
    ]
    assert (records[0].status, records[0].proved, records[1].delay <= 0.01) == (503, "unknown", True)


async def test_no_more_requests_a_second_start_than_are_wanted(emulator: Emulator) -> None:
    """Whatever the server would take."""
    async with client_of(emulator, max_rate=50) as losant:
        assert losant.stats().rate == 50
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(losant.experience_groups.get("f" * 24) for _ in range(20)), return_exceptions=True)
        assert asyncio.get_running_loop().time() - began >= 18 / 50
    assert len(emulator.requests) == 20


async def test_a_program_says_its_name(emulator: Emulator) -> None:
    """Before ours."""
    async with client_of(emulator, user_agent="portal/1.2") as losant:
        await losant.experience_groups.list().count()
    async with client_of(emulator) as losant:
        await losant.experience_groups.list().count()
    agents = [request.headers["user-agent"] for request in emulator.requests]
    assert agents[0] == f"portal/1.2 {agents[1]}"


async def test_with_options_changes_only_what_is_given(emulator: Emulator) -> None:
    """The session, the token, the pace; closing it closes nothing, and what it is made of is not changed."""
    emulator.latency = 0.05
    async with client_of(emulator) as losant:
        async with losant.with_options(timeout=0.01) as impatient:
            with pytest.raises(RequestTimeoutError, match="no answer"):
                await impatient.experience_groups.get("f" * 24)
        assert await losant.experience_groups.list().count() == 0
        again = losant.with_options(retry=RetryPolicy(max_attempts=1)).with_options(background=True)
        emulator.inject(Fault.UNAVAILABLE)
        with pytest.raises(ServerError, match="503"):
            await again.experience_groups.get("f" * 24)
        assert losant.stats() == again.stats()
    with pytest.raises(ConfigurationError, match="the client is closed"):
        await again.experience_groups.list().count()


async def test_what_is_in_the_background_lets_all_others_go_first(emulator: Emulator) -> None:
    """Whoever waits in front of a request handler does not wait for a migration."""
    emulator.latency = 0.005
    async with client_of(emulator, max_in_flight=1) as losant:
        slow, quick = losant.with_options(background=True).experience_groups, losant.experience_groups
        migration = [asyncio.create_task(slow.create(NewExperienceGroup(f"{n}"))) for n in range(20)]
        while not emulator.requests:
            await asyncio.sleep(0.001)
        await asyncio.gather(*(quick.list(per_page=n + 1).first() for n in range(5)))
        methods = [request.method for request in emulator.requests]
        assert methods.index("GET") <= 2
        assert methods[methods.index("GET") :][:5] == ["GET"] * 5
        await asyncio.gather(*migration)
    assert len(emulator.groups()) == 20


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"max_rate": 0}, ValueError, "max_rate must be a number of requests a second, more than 0, not 0"),
        ({"max_rate": "5"}, TypeError, "max_rate"),
        ({"user_agent": "a\nb"}, ValueError, "user_agent must be visible"),
        ({"user_agent": ""}, ValueError, "user_agent"),
        ({"on_event": 5}, TypeError, "on_event must be callable"),
    ],
)
def test_options_that_cannot_be_are_refused(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    """Before anything is sent."""
    with pytest.raises(kind, match=message):
        LosantClient("token", **arguments)
    losant: Any = LosantClient("token")
    for name, value in (("timeout", 0), ("retry", 5), ("background", 1)):
        with pytest.raises((TypeError, ValueError), match=name):
            losant.with_options(**{name: value})
