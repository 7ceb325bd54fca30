"""What happens around a connection: while it is made, when it has died, and when the client is closed."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

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
from .servers import raw_server
from .threaded_server import ThreadedServer, threaded_server

APPLICATION = "575ec8687ae143cd83dc4a97"
GROUP = "575ed78e7ae143cd83dc4aab"
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
