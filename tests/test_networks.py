"""Networks as they are: connections that are dead, servers that hang up, gateways that talk, tokens that change."""

import asyncio
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest

from aiolosant import (
    ConfigurationError,
    GatewayError,
    LosantClient,
    NewExperienceGroup,
    NotFoundError,
    OutcomeUnknownError,
    RequestTimeoutError,
    RetryPolicy,
    by_tag,
)
from aiolosant.emulator import Emulator, RequestRecord

from .conftest import client_of
from .servers import raw_server
from .threaded_server import ThreadedServer, threaded_server

APPLICATION = "575ec8687ae143cd83dc4a97"
GROUP = "575ed78e7ae143cd83dc4aab"
HTML = "<html><h1>Not here</h1></html>"


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with threaded_server() as server:
        yield server


def client(server: ThreadedServer, **options: Any) -> LosantClient:
    return LosantClient("t", application_id=APPLICATION, base_url=server.url, **options)


def tenants(first: int, last: int) -> Iterator[NewExperienceGroup]:
    return (NewExperienceGroup(f"{n}", group_tags={"externalId": f"{n}"}) for n in range(first, last))


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("concurrency", [1, 16])
async def test_creates_after_the_loop_stood_still_are_all_created(
    server: ThreadedServer, end: str, concurrency: int
) -> None:
    """The server closed its idle connections meanwhile: nothing is written to them, and nothing is in doubt."""
    async with client(server) as losant:
        await losant.experience_groups.create_many(tenants(0, 32), concurrency=16).report()
        server.end_connections(end)
        time.sleep(0.05)  # noqa: ASYNC251 - the loop stands still
        report = await losant.experience_groups.create_many(tenants(32, 72), concurrency=concurrency).report()
    assert (report.created, report.unknown) == (40, ())
    assert (len(server.names), server.twice) == (72, [])


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_single_calls_after_the_loop_stood_still_succeed(server: ThreadedServer, end: str) -> None:
    """Each kind of call, with no attempt to spare."""
    async with client(server, retry=RetryPolicy(max_attempts=1)) as losant:
        groups = losant.experience_groups
        for call in (
            lambda: groups.create(NewExperienceGroup("a")),
            lambda: groups.update(GROUP, name="b"),
            lambda: groups.delete(GROUP),
            lambda: groups.get(GROUP),
            lambda: groups.list().to_list(),
        ):
            await groups.get(GROUP)
            server.end_connections(end)
            time.sleep(0.02)  # noqa: ASYNC251 - as above
            await call()
    assert server.names == ["a"]


@pytest.mark.parametrize("end", ["fin", "rst", "silence"])
async def test_a_pool_of_dead_connections_fails_no_exactly_once_create(server: ThreadedServer, end: str) -> None:
    """Thirty at once, however they died: the second attempt has a connection of its own."""
    policy = RetryPolicy(max_attempts=2, attempt_timeout=0.5, first_delay=0.01, settle_time=0.05)
    async with client(server, retry=policy) as losant:
        groups = losant.experience_groups
        await groups.create_many(tenants(0, 60), concurrency=30).report()
        assert server.end_connections(end) > 1
        report = await groups.create_many(tenants(60, 260), concurrency=30, unique_by=by_tag("externalId")).report()
    assert (report.created, report.failed, report.unknown) == (200, (), ())
    assert server.twice == []


async def test_a_server_that_hangs_up_on_its_promise_costs_at_most_one_create(server: ThreadedServer) -> None:
    """It says nothing of closing, and closes after each response; from the first loss on creates do not rely on it."""
    server.hangs_up = True
    async with client(server) as losant:
        report = await losant.experience_groups.create_many(tenants(0, 40), concurrency=1).report()
    assert len(report.unknown) <= 1
    assert report.created >= 39
    assert server.twice == []


async def test_a_keep_alive_header_is_obeyed(server: ThreadedServer) -> None:
    """What the server keeps for less than aiohttp does is not used for longer; a promise of more changes nothing."""
    async with client(server) as losant:
        for header, connections in (("", 1), ("Keep-Alive: timeout=60\r\n", 1), ("Keep-Alive: timeout=5\r\n", 2)):
            server.headers = header
            for _ in range(3):
                await losant.experience_groups.get(GROUP)
            assert server.connections == connections


async def test_a_gateways_404_is_no_word_of_losants(server: ThreadedServer) -> None:
    """A delete is not done by it, a read tries again, and what comes in the end names what came."""
    server.refusals = [(404, HTML), (404, '{"type": "NotFound", "message": "gone"}')]
    async with client(server, retry=RetryPolicy(first_delay=0)) as losant:
        groups = losant.experience_groups
        await groups.delete(GROUP)  # in doubt after the first, gone by the second
        server.refusals = [(404, HTML)] * 9
        with pytest.raises(GatewayError, match=r"404, and not from Losant: <html><h1>Not here.*5 attempts") as caught:
            await groups.delete(GROUP)
        assert not isinstance(caught.value, NotFoundError)
        server.refusals = [(403, HTML)]
        assert (await groups.get(GROUP)).id == GROUP
    assert pickle.loads(pickle.dumps(caught.value)).status == 404  # noqa: S301 - our own


async def test_a_gateways_403_stops_no_batch(server: ThreadedServer) -> None:
    """It says "not now": what it met is in doubt without an identity, and done with one."""
    async with client(server, retry=RetryPolicy(settle_time=0.01)) as losant:
        groups = losant.experience_groups
        server.refusals = [(403, HTML)]
        report = await groups.create_many(tenants(0, 20)).report()
        assert (report.created, len(report.unknown)) == (19, 1)
        server.refusals = [(403, HTML)]
        report = await groups.create_many(tenants(20, 40), unique_by=by_tag("externalId")).report()
        assert (report.created, report.unknown) == (20, ())
    assert server.twice == []


async def test_a_407_says_what_the_proxy_wants(server: ThreadedServer) -> None:
    """A user name and a password."""
    server.refusals = [(407, "")]
    async with client(server, retry=RetryPolicy(max_attempts=1)) as losant:
        with pytest.raises(GatewayError, match="user name and password in HTTPS_PROXY"):
            await losant.experience_groups.get(GROUP)


async def test_a_refusal_for_now_uses_up_no_attempt(server: ThreadedServer) -> None:
    """However often it comes, it is waited out within the call's time."""
    server.refusals = [(429, "")] * 12
    async with client(server, retry=RetryPolicy(max_attempts=1, first_delay=0.001)) as losant:
        assert (await losant.experience_groups.create(NewExperienceGroup("a"))).name == "a"


async def test_losants_own_words_say_how_long_to_wait(server: ThreadedServer) -> None:
    """It has no header for that; what it asks for is waited for, and told if it is too long."""
    words = "Over rate limit, request throttled. Retry in {} seconds"
    body = '{"type": "TooManyRequests", "message": "%s"}'
    server.refusals = [(429, body % words.format(1))]
    async with client(server) as losant:
        before = asyncio.get_running_loop().time()
        await losant.experience_groups.get(GROUP)
        assert asyncio.get_running_loop().time() - before >= 1
        server.refusals = [(429, body % words.format(90))]
        with pytest.raises(Exception, match="Wait 90 seconds, as the server asks"):
            await losant.experience_groups.get(GROUP)


async def test_a_response_that_keeps_flowing_is_read_to_its_end() -> None:
    """It is silence that ends an attempt, not the time that a page takes."""
    body = b'{"id": "%s", "name": "a"}' % GROUP.encode()

    async def slowly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for n in range(0, len(body), 4):
            writer.write(body[n : n + 4])
            await asyncio.sleep(0.05)

    policy = RetryPolicy(max_attempts=1, attempt_timeout=0.4)
    async with (
        raw_server(slowly) as raw,
        LosantClient("t", application_id=APPLICATION, base_url=raw.url, retry=policy) as losant,
    ):
        assert (await losant.experience_groups.get(GROUP)).id == GROUP  # in more than half a second


async def test_an_answer_that_came_while_the_loop_stood_still_is_read(server: ThreadedServer) -> None:
    """It is the caller who was silent for longer than the server may be: the create is known to be done."""
    async with client(server, retry=RetryPolicy(max_attempts=1, attempt_timeout=0.3)) as losant:
        await losant.experience_groups.get(GROUP)
        asked, stands_still = threading.Event(), threading.Event()

        def wait() -> None:
            asked.set()
            stands_still.wait()

        server.refuse = wait
        creating = asyncio.create_task(losant.experience_groups.create(NewExperienceGroup("a")))
        while not asked.is_set():
            await asyncio.sleep(0)
        stands_still.set()
        time.sleep(0.4)  # noqa: ASYNC251 - as it says
        assert (await creating).name == "a"


async def test_waiting_for_the_callers_few_connections_is_no_silence(emulator: Emulator) -> None:
    """A hundred calls over two connections wait for their turn, and the server is blamed for nothing."""
    emulator.latency = 0.05
    connector = aiohttp.TCPConnector(limit=2)
    policy = RetryPolicy(max_attempts=1, attempt_timeout=2)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        client_of(emulator, session=session, retry=policy) as losant,
    ):
        counts = await asyncio.gather(*(losant.experience_groups.list().count() for _ in range(100)))
    assert counts == [0] * 100
    assert emulator.peak_in_flight == 2


async def test_a_provider_that_hangs_is_given_up_and_asked_afresh(emulator: Emulator) -> None:
    """The call that waits for it says so; the next one asks again."""
    asked = 0

    async def provider() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.get_running_loop().create_future()
        return emulator.token

    async with client_of(emulator, token=provider, timeout=0.2) as losant:
        with pytest.raises(RequestTimeoutError, match="waiting for the token provider"):
            await losant.experience_groups.get(GROUP)
        with pytest.raises(NotFoundError):
            await losant.experience_groups.get(GROUP)
    assert asked == 2


async def test_a_provider_that_calls_its_own_client_is_told_so(emulator: Emulator) -> None:
    """It would wait for itself."""

    async def provider() -> str:
        await losant.experience_groups.list().count()
        return emulator.token

    async with client_of(emulator, token=provider) as losant:
        with pytest.raises(ConfigurationError, match="calls its own client"):
            await losant.experience_groups.get(GROUP)


async def test_rotations_of_the_token_under_waiting_calls_fail_none(emulator: Emulator) -> None:
    """The token is read when the request is sent; a flight's worth of requests is refused at a rotation, not more."""
    emulator.latency = 0.01
    tokens = [emulator.create_token() for _ in range(3)]
    current = 0

    async def provider() -> str:
        return tokens[current]

    def rotate(_request: RequestRecord) -> None:
        nonlocal current
        if len(emulator.requests) >= (200, 500, 10_000)[current]:
            emulator.revoke_token(tokens[current])
            current += 1

    emulator.before_request = rotate
    async with client_of(emulator, token=provider, max_in_flight=16) as losant:
        counts = await asyncio.gather(*(losant.experience_groups.list().count() for _ in range(800)))
    assert counts == [0] * 800
    assert current == 2
    assert 0 < sum(request.status == 401 for request in emulator.requests) <= 2 * 16


async def test_a_create_on_a_connection_that_a_gateway_cuts_is_in_doubt(server: ThreadedServer) -> None:
    """What was written may have been applied: it is not sent again without an identity."""
    async with client(server, retry=RetryPolicy(attempt_timeout=0.3)) as losant:
        await losant.experience_groups.get(GROUP)
        server.end_connections("silence")
        with pytest.raises(OutcomeUnknownError):
            await losant.experience_groups.create(NewExperienceGroup("a"))
    assert server.names == []


async def test_slips_with_lists_and_clients_are_told_what_to_write(losant: LosantClient) -> None:
    """A plain `for`, an `await`, pickling; `aclosing` and `async with` do what they say."""
    groups = losant.experience_groups
    with pytest.raises(TypeError, match="async for"):
        list(groups.list())
    with pytest.raises(TypeError, match="to_list"):
        await groups.list()
    with pytest.raises(TypeError, match="one in each process"):
        pickle.dumps(losant)
    async with aclosing(groups.list()) as listed:
        assert [group async for group in listed] == []
    async with groups.scan() as scanned:
        walk = scanned.by_page()
    assert [page async for page in walk] == []


async def test_a_provider_that_does_not_wait_does_not_block_the_loop(emulator: Emulator) -> None:
    """Calls that come just when it has returned have the token, and everybody else has the loop."""

    async def provider() -> str:
        return emulator.token

    async with client_of(emulator, token=provider) as losant, asyncio.timeout(20):
        calls = []
        for _ in range(10):
            calls.append(asyncio.create_task(losant.experience_groups.list().count()))
            await asyncio.sleep(0)
        assert await asyncio.gather(*calls) == [0] * 10


async def test_a_gateways_page_for_a_while_slows_a_batch_down_as_an_outage_does(server: ThreadedServer) -> None:
    """It does not use up the input, nor is it taken for a word of Losant's that all is well."""
    until = time.monotonic() + 1
    server.refuse = lambda: (403, HTML) if time.monotonic() < until else None
    async with client(server) as losant:
        report = await losant.experience_groups.create_many(tenants(0, 200)).report()
    assert report.failed == ()
    assert report.created + len(report.unknown) == 200
    assert report.created >= 150
    assert len(server.names) == report.created


async def test_a_page_waits_out_more_refusals_than_its_time_would_allow(server: ThreadedServer) -> None:
    """The clock of a walk stands still while the server's limit makes it wait."""
    server.refusals = [(429, "")] * 9
    policy = RetryPolicy(max_attempts=1, first_delay=0.05, max_delay=0.2)
    async with client(server, retry=policy, timeout=0.3) as losant:
        assert await losant.experience_groups.list().to_list() == []
