"""Faults: what the client sees of them, and what is on the server afterwards."""

import asyncio
from typing import Any

import aiohttp
import pytest

from aiolosant.emulator import Emulator, Fault

from .api import Api

GROUP = {"name": "a"}


async def post(api: Api) -> int | str:
    """The status of a create, or the name of what kept it from one."""
    try:
        async with api.session.post(api.root, json=GROUP, headers=api.headers) as response:
            await response.read()
            return response.status
    except aiohttp.ClientError as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("fault", "seen", "written"),
    [
        (Fault.TOO_MANY_REQUESTS, 429, 0),
        (Fault.SERVER_ERROR, 500, 0),
        (Fault.UNAVAILABLE, 503, 0),
        (Fault.BAD_GATEWAY, 502, 1),
        (Fault.CUT_BEFORE_WRITE, "ServerDisconnectedError", 0),
        (Fault.CUT_AFTER_WRITE, "ServerDisconnectedError", 1),
        (Fault.LATE_WRITE, "ServerDisconnectedError", 0),
        (Fault.BROKEN_BODY, "ClientPayloadError", 1),
    ],
)
async def test_a_fault_does_what_it_says(
    emulator: Emulator, api: Api, fault: Fault, seen: int | str, written: int
) -> None:
    """Each fault has its own answer or none, and its own effect; it comes once unless it is told otherwise."""
    emulator.inject(fault)
    emulator.lateness = 3600 if fault is Fault.LATE_WRITE else 0
    assert await post(api) in (seen, "ClientOSError" if isinstance(seen, str) else seen)
    assert (await api("GET"))[1]["totalCount"] == written
    assert await post(api) == 201


async def test_silence_lasts_until_the_client_gives_up(emulator: Emulator, api: Api) -> None:
    """Nothing is answered and nothing is done; the emulator can still be closed at once."""
    emulator.inject(Fault.SILENCE, times=2)
    asking = [asyncio.create_task(post(api)) for _ in range(2)]
    while len(emulator.requests) < 2:
        await asyncio.sleep(0.001)
    asking[0].cancel()
    emulator.close()
    assert await asking[1] in ("ServerDisconnectedError", "ClientOSError")


async def test_faults_are_scripted_in_order_and_by_method(emulator: Emulator, api: Api) -> None:
    """The first that fits a request is the one it meets."""
    emulator.inject(Fault.SERVER_ERROR, times=2, method="POST")
    emulator.inject(Fault.UNAVAILABLE)
    assert (await api("GET"))[0] == 503
    assert [await post(api) for _ in range(3)] == [500, 500, 201]


async def test_random_faults_are_repeatable(emulator: Emulator, api: Api) -> None:
    """The same seed draws the same faults; `{}` ends them; the log has what was answered."""
    drawn = []
    for _ in range(2):
        emulator.inject_random({Fault.SERVER_ERROR: 0.3, Fault.UNAVAILABLE: 0.3}, seed=7)
        drawn.append([await post(api) for _ in range(30)])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {201, 500, 503}
    assert [request.status for request in emulator.requests] == drawn[0] * 2
    emulator.inject_random({})
    assert [await post(api) for _ in range(10)] == [201] * 10
    with pytest.raises(ValueError, match="1 or less together"):
        emulator.inject_random({Fault.SERVER_ERROR: 0.6, Fault.UNAVAILABLE: 0.6})


async def test_a_rate_limit_refuses_what_is_too_many(emulator: Emulator, api: Api) -> None:
    """A bucket of a tenth of a second's requests; `Retry-After` only if it is wanted."""
    emulator.rate_limit = 50
    assert [await post(api) for _ in range(5)] == [201] * 5
    emulator.rate_limit = 0.1
    assert 429 in [await post(api) for _ in range(3)]
    emulator.rate_limit = None
    emulator.retry_after = 7
    emulator.inject(Fault.TOO_MANY_REQUESTS)
    async with api.session.get(api.root, headers=api.headers) as response:
        assert response.headers["Retry-After"] == "7"
        assert await response.json() == {
            "type": "TooManyRequests",
            "message": "Over rate limit, request throttled. Retry in 7 seconds",
        }
    assert (await api("GET"))[0] == 200


@pytest.mark.parametrize(("arguments", "kind"), [((Fault.SILENCE, 0), ValueError), (("429", 1), TypeError)])
async def test_wrong_faults_are_refused(emulator: Emulator, arguments: tuple[Any, ...], kind: type[Exception]) -> None:
    """A fault is one of `Fault`, and comes at least once."""
    with pytest.raises(kind, match="must be"):
        emulator.inject(arguments[0], times=arguments[1])


@pytest.mark.parametrize("path", ["/experience/groups", "experience/groups", "*/groups?page=1", 7])
async def test_a_fault_for_a_path_that_nobody_asks_is_refused(emulator: Emulator, path: Any) -> None:
    """Otherwise a test would pass without its fault."""
    with pytest.raises(ValueError, match="begins with"):
        emulator.inject(Fault.UNAVAILABLE, path=path)


async def test_a_late_write_lands_unless_the_emulator_was_reset(emulator: Emulator, api: Api) -> None:
    """What one test left behind is not in the next one's way; nor is a request that was kept waiting."""
    emulator.lateness = 0
    emulator.inject(Fault.LATE_WRITE)
    await post(api)
    while not emulator.groups():
        await asyncio.sleep(0.001)
    emulator.lateness = 0.05
    emulator.inject(Fault.LATE_WRITE)
    await post(api)
    emulator.latency = 0.05
    waiting = asyncio.create_task(post(api))
    while len(emulator.requests) < 3:
        await asyncio.sleep(0.001)
    emulator.reset()
    assert await waiting in ("ServerDisconnectedError", "ClientOSError")
    emulator.lateness = 0.1
    emulator.inject(Fault.LATE_WRITE)
    await post(api)  # behind the earlier ones
    while not emulator.groups():
        await asyncio.sleep(0.001)
    assert len(emulator.groups()) == 1


@pytest.mark.parametrize("wrong", ["503", True, 5])
async def test_a_hook_that_is_mistaken_is_told(emulator: Emulator, api: Api, wrong: Any) -> None:
    """It does nothing by halves: what it returns is a fault or nothing, and what it raises is in the answer."""
    hook: Any = lambda _request: wrong  # noqa: E731 - the subject
    emulator.before_request = hook
    status, error = await api("POST", json=GROUP)
    assert (status, error["type"]) == (500, "InternalServerError")
    assert "before_request must return a Fault or None" in error["message"]

    def fail(_request: object) -> None:
        raise KeyError("oops")

    emulator.before_request = fail
    status, error = await api("POST", json=GROUP)
    assert (status, "KeyError('oops')" in error["message"]) == (500, True)
    assert [request.status for request in emulator.requests] == [500, 500]
    assert emulator.groups() == []
