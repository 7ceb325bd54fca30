"""What happens around a connection: while it is made, when it has died, and when the client is closed."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aiolosant import (
    ConfigurationError,
    LosantClient,
    NewExperienceGroup,
    NotFoundError,
    RequestTimeoutError,
    RetryPolicy,
    TransportError,
    by_name,
)
from aiolosant.emulator import Emulator

from .conftest import client_of
from .servers import answer, raw_server
from .threaded_server import ThreadedServer, threaded_server

APPLICATION = "575ec8687ae143cd83dc4a97"
GROUP = "575ed78e7ae143cd83dc4aab"
BODY = b'{"id": "%s", "name": "a"}' % GROUP.encode()
INTERNAL_ERROR = b"\x15\x03\x03\x00\x02\x02\x50"  # a TLS alert


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with threaded_server() as server:
        yield server


def client(url: str, **options: Any) -> LosantClient:
    return LosantClient("t", application_id=APPLICATION, base_url=url, **options)


@pytest.mark.parametrize("turns", [0, 3, 6])
async def test_the_time_that_a_connection_takes_is_no_silence_of_the_server(server: ThreadedServer, turns: int) -> None:
    """The loop stands still while connections are made: what is written after that has all the time for its answer."""
    async with client(server.url, retry=RetryPolicy(attempt_timeout=1)) as losant:
        creating = [asyncio.create_task(losant.experience_groups.create(NewExperienceGroup(f"{n}"))) for n in range(16)]
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(1.1)  # noqa: ASYNC251 - the loop stands still
        assert {group.name for group in await asyncio.gather(*creating)} == {f"{n}" for n in range(16)}
    assert server.twice == []


async def test_an_answer_that_flows_beyond_the_time_of_the_call_is_no_silence() -> None:
    """What it says is that the answer was not whole by then."""

    async def for_ever(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async with raw_server(for_ever) as raw, client(raw.url, timeout=0.2) as losant:
        with pytest.raises(RequestTimeoutError, match="no whole answer within the time of the call"):
            await losant.experience_groups.get(GROUP)


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_a_write_without_a_body_is_not_written_to_a_dead_connection(server: ThreadedServer, end: str) -> None:
    """So that the one attempt that reaches the server says whether the group was there."""
    async with client(server.url) as losant:
        for write in (lambda: losant.experience_groups.delete(GROUP), lambda: losant.request("POST", "/other")):
            await losant.experience_groups.get(GROUP)
            server.end_connections(end)
            time.sleep(0.05)  # noqa: ASYNC251 - the loop stands still
            server.requests.clear()
            server.refusals.append((404, '{"type": "NotFound", "message": "no such group"}'))
            with pytest.raises(NotFoundError):
                await write()
            assert len(server.requests) == 1


async def test_a_handshake_that_fails_is_tried_again() -> None:
    """It says nothing about certificates, and a balancer that is restarted ends some."""
    connections = 0

    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(1)
        writer.write(INTERNAL_ERROR)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(alert, "127.0.0.1", 0) as tls:
        url = f"https://127.0.0.1:{tls.sockets[0].getsockname()[1]}"
        policy = RetryPolicy(max_attempts=3, first_delay=0.001)
        async with client(url, retry=policy) as losant:
            with pytest.raises(TransportError) as caught:
                await losant.request("GET", "/me")
    assert connections == 3
    assert "TLS handshake failed" in str(caught.value)
    assert "SSL_CERT_FILE" not in str(caught.value)


async def test_a_close_that_is_cancelled_leaves_nothing_open(emulator: Emulator) -> None:
    """A second Ctrl-C does not wait for contested creates to be decided."""
    losant = client_of(emulator, retry=RetryPolicy(settle_time=5))
    groups = losant.experience_groups
    creating = asyncio.create_task(groups.create(NewExperienceGroup("a"), unique_by=by_name(), contested=True))
    while not emulator.groups() or losant.stats().in_flight:
        await asyncio.sleep(0.001)
    closing = asyncio.create_task(losant.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(ConfigurationError, match="is closed"):
        await groups.get(GROUP)
    await asyncio.gather(creating, return_exceptions=True)


async def test_whoever_waits_for_a_parallel_scan_that_is_closed_goes_on(
    emulator: Emulator, losant: LosantClient
) -> None:
    """As with every other walk."""
    emulator.create_groups([{"name": f"{n}"} for n in range(60)])
    walk = aiter(losant.experience_groups.scan(per_page=5, parallel=4))
    await anext(walk)
    emulator.latency = 0.2

    async def rest() -> int:
        return sum([1 async for _ in walk])

    reading = asyncio.create_task(rest())
    before = len(emulator.requests)
    while len(emulator.requests) == before:
        await asyncio.sleep(0.001)
    await walk.aclose()
    assert await reading < 60
    sent = losant.stats().attempts
    await losant.experience_groups.list().count()
    assert losant.stats().attempts == sent + 1  # nothing was begun behind the end


async def test_a_shorter_promise_cuts_no_request_that_is_under_way() -> None:
    """The connections of before are closed when the last of their requests has ended."""
    gate = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await answer("HTTP/1.1 200 OK", BODY)(reader, writer)

    short = answer("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2", BODY)
    async with raw_server(wait, short) as server, client(server.url, retry=RetryPolicy(max_attempts=1)) as losant:
        slow = asyncio.create_task(losant.experience_groups.get(GROUP))
        while not server.requests:
            await asyncio.sleep(0)
        await losant.experience_groups.get(GROUP)
        for _ in range(20):
            await asyncio.sleep(0)
        gate.set()
        assert (await slow).id == GROUP


async def test_a_connection_that_is_used_no_more_is_closed_while_the_client_lives_on() -> None:
    """A service that runs for months keeps none of those that a shorter promise has replaced."""
    ended = asyncio.Event()

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2", BODY)(reader, writer)
        assert await reader.read() == b""
        ended.set()
        raise ConnectionError

    async with raw_server(answer_once) as server, client(server.url) as losant:
        await losant.experience_groups.get(GROUP)
        await ended.wait()


@pytest.mark.parametrize(("promised", "kept"), [(5, 4.0), (1, 0.5)])
async def test_a_connection_is_kept_for_a_little_less_than_the_server_says(
    server: ThreadedServer, monkeypatch: pytest.MonkeyPatch, promised: int, kept: float
) -> None:
    """What it says took time to arrive: a second less, or half of it where that is less."""
    times: list[float | None] = []

    class Connector(aiohttp.TCPConnector):
        def __init__(self, **options: Any) -> None:
            times.append(options.get("keepalive_timeout"))
            super().__init__(**options)

    monkeypatch.setattr(aiohttp, "TCPConnector", Connector)
    server.headers = f"Keep-Alive: timeout={promised}\r\n"
    async with client(server.url) as losant:
        for _ in range(2):
            await losant.experience_groups.get(GROUP)
    assert times[1:] == [kept]


async def test_a_callers_session_need_not_be_of_tcp(tmp_path: Path) -> None:
    """Such as one of a Unix socket; that nobody listens there is an error of ours."""
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(tmp_path / "nobody"))) as session:
        once = RetryPolicy(max_attempts=1)
        losant = LosantClient(
            "t", application_id=APPLICATION, base_url="http://127.0.0.1:1", session=session, retry=once
        )
        async with losant:
            with pytest.raises(TransportError, match="no answer"):
                await losant.experience_groups.get(GROUP)


@pytest.mark.parametrize("steps", range(8))
async def test_closing_at_any_moment_of_a_create_leaves_no_session_open(emulator: Emulator, steps: int) -> None:
    """It is made, or the caller is told that the client is closed."""
    losant = client_of(emulator)
    creating = asyncio.create_task(losant.experience_groups.create(NewExperienceGroup("a")))
    for _ in range(steps):
        await asyncio.sleep(0)
    await losant.close()
    (ended,) = await asyncio.gather(creating, return_exceptions=True)
    assert isinstance(ended, ConfigurationError) == (not emulator.groups())
    del losant, creating, ended
    gc.collect()  # a session that was left open would complain
