"""Sending: one attempt a call, and what each way of failing is called."""

import asyncio
import json
import re
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from aiolosant import (
    ApiError,
    ConfigurationError,
    LosantError,
    NewExperienceGroup,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseFormatError,
    ServerError,
    TransportError,
    errors,
)
from aiolosant._http import send

from .samples import sample, sample_object
from .servers import MockedResponse, Script, answer, cut, raw_server, silence
from .wire import (
    CREATED,
    GROUP,
    GROUPS_PATH,
    OK,
    TOKEN,
    client,
)


async def test_the_exact_request_of_a_create() -> None:
    """URL, query string, headers and body of a create are as documented, and as Losant's own client sends them."""
    url = f"https://api.losant.com{GROUPS_PATH}?_actions=false&_embedded=true&_links=false"
    with aioresponses() as mocked:
        mocked.post(url, status=201, body=sample("group"), response_class=MockedResponse)
        async with client("https://api.losant.com") as losant:
            tags = {"region": "eu"}
            group = await losant.experience_groups.create(NewExperienceGroup("My Great Group", group_tags=tags))
        ((call,),) = mocked.requests.values()
    assert group.id == sample_object("group")["id"]
    assert call.kwargs["data"].decode() == '{"name":"My Great Group","groupTags":{"region":"eu"}}'
    assert call.kwargs["data"].content_type == "application/json"
    assert call.kwargs["headers"].pop("User-Agent").startswith("aiolosant/")
    assert call.kwargs["headers"] == {
        "Accept": "application/json",
        "Accept-Version": "^1.29.3",
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
    }
    assert call.kwargs["allow_redirects"] is False


async def test_the_exact_request_of_a_list() -> None:
    """Each parameter of a list goes out under its documented name."""
    url = URL(f"https://api.losant.com{GROUPS_PATH}").with_query(
        {
            "_actions": "false",
            "_links": "false",
            "_embedded": "true",
            "sortField": "creationDate",
            "sortDirection": "desc",
            "filterField": "name",
            "filter": "my*group + more",
            "page": "3",
            "perPage": "2",
        }
    )
    with aioresponses() as mocked:
        mocked.get(url, body=sample("groups"), response_class=MockedResponse)
        async with client("https://api.losant.com") as losant:
            groups = losant.experience_groups.list(
                sort_field="creationDate", sort_direction="desc", filter="my*group + more", per_page=2, start_page=3
            )
            first = await anext(aiter(groups))
    assert first.name == "Bare"


async def test_a_query_goes_out_as_json_text() -> None:
    """An advanced query is one parameter, without a filter beside it."""
    with aioresponses() as mocked:
        empty = b'{"items": [], "totalCount": 0}'
        mocked.get(re.compile(".*"), body=empty, response_class=MockedResponse)
        async with client("https://api.losant.com") as losant:
            assert await losant.experience_groups.list(query={"name": {"$contains": "a&b"}}).to_list() == []
        ((_, url),) = mocked.requests
    assert url.query["query"] == '{"name":{"$contains":"a&b"}}'
    assert "filter" not in url.query


async def test_a_body_in_chunks_is_read_whole() -> None:
    """An answer that comes in pieces is one answer."""
    body = sample("group")

    async def slowly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{OK}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for n in range(0, len(body), 100):
            writer.write(body[n : n + 100])
            await writer.drain()
            await asyncio.sleep(0)

    async with raw_server(slowly) as server, client(server.url) as losant:
        assert (await losant.experience_groups.get(GROUP)).name == "My Great Group"


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        (cut, TransportError, "no answer"),
        (answer("HTTP/1.1 500 Oops", b""), ServerError, "500: no explanation"),
        (answer("HTTP/1.1 500 Oops", b"{}"), ServerError, "500: {}"),
        (answer("HTTP/1.1 502 Bad Gateway", b"<h1>Bad</h1>"), ServerError, "502: <h1>Bad</h1>"),
        (
            answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/other"),
            ApiError,
            "302: no explanation .*Check base_url",
        ),
        (answer(OK, b'{"id": "1", "na', length=100, cut=True), TransportError, "no answer"),
        (answer(OK, b'{"id": "1", "na', length=-1, cut=True), ResponseFormatError, "was not understood"),
        (answer(OK, b'{"id": 1}'), ResponseFormatError, r"`str`, got `int` - at `\$\.id`"),
        (answer(OK, b"<html>"), ResponseFormatError, "was not understood"),
        (answer("garbage"), TransportError, "no valid HTTP answer"),
        (answer("HTTP/1.1 409 Conflict", b'{"type": "Conflict", "message": "busy"}'), ApiError, "409 Conflict: busy"),
    ],
)
async def test_a_read_that_fails_has_an_error_of_ours(script: Script, kind: type[LosantError], message: str) -> None:
    """Each way of failing is one error of the tree, after one request; aiohttp resends nothing behind our back."""
    async with raw_server(script) as server, client(server.url) as losant:
        with pytest.raises(kind, match=message) as caught:
            await losant.experience_groups.get(GROUP)
    assert type(caught.value) is kind
    assert (caught.value.method, caught.value.path) == ("GET", f"{GROUPS_PATH}/{GROUP}")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "script",
    [
        cut,
        answer("HTTP/1.1 500 Oops", b"{}"),
        answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/other"),
        answer(CREATED, b'{"id": "1", "na', length=100, cut=True),
        answer(CREATED, b'{"id": "1", "na', length=-1, cut=True),
        answer(CREATED, b'{"id": 1}'),
        answer(CREATED),
        answer("garbage"),
    ],
)
async def test_a_create_without_a_clear_answer_is_unknown(script: Script) -> None:
    """Once a byte of a create has left, only a clear answer says what became of it."""
    async with raw_server(script) as server, client(server.url) as losant:
        with pytest.raises(OutcomeUnknownError, match="may have been done"):
            await losant.experience_groups.create(NewExperienceGroup("a"))
    assert len(server.requests) == 1


async def test_a_create_that_never_left_did_not_happen() -> None:
    """A refused connection is a TransportError, not an unknown outcome."""
    async with raw_server() as server:
        pass
    async with client(server.url) as losant:
        with pytest.raises(TransportError, match="no answer"):
            await losant.experience_groups.create(NewExperienceGroup("a"))


async def test_a_reused_connection_that_breaks_costs_no_attempt() -> None:
    """It may have been dead already, so that the request is sent once more over a new one; aiohttp resends nothing."""
    scripts = [answer(OK, sample("group")), cut, answer(OK, sample("group"))]
    async with raw_server(*scripts) as server, client(server.url) as losant:
        await losant.experience_groups.get(GROUP)
        await losant.experience_groups.get(GROUP)
    assert len(server.requests) == 3


async def test_silence_ends_in_a_timeout() -> None:
    """A server that says nothing costs no more than the timeout; a create is then unknown."""
    async with raw_server(silence, silence) as server, client(server.url, timeout=0.05) as losant:
        with pytest.raises(RequestTimeoutError, match=r"no answer within 0\.0\d+ seconds of silence"):
            await losant.experience_groups.get(GROUP)
        with pytest.raises(OutcomeUnknownError):
            await losant.experience_groups.create(NewExperienceGroup("a"))


async def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can fill our memory with one answer."""
    monkeypatch.setattr(send, "MAX_RESPONSE", 1 << 20)
    async with raw_server(answer(OK, b" " * (1 << 21))) as server, client(server.url) as losant:
        with pytest.raises(ResponseFormatError, match="larger than 1 MiB"):
            await losant.experience_groups.get(GROUP)


async def test_a_callers_session_is_used_and_left_open() -> None:
    """Our own session is always closed, the caller's never; its raise_for_status and timeouts do not apply."""
    async with (
        raw_server(answer(OK, sample("group")), answer("HTTP/1.1 404 No", sample("error"))) as server,
        aiohttp.ClientSession(raise_for_status=True, timeout=aiohttp.ClientTimeout(total=1e-9)) as session,
    ):
        async with client(server.url, session=session) as losant:
            await losant.experience_groups.get(GROUP)
            with pytest.raises(errors.NotFoundError):
                await losant.experience_groups.get(GROUP)
        assert not session.closed


async def test_a_callers_session_that_is_closed_is_a_configuration_error() -> None:
    """The message says whose session is closed."""
    session = aiohttp.ClientSession()
    await session.close()
    async with client("http://127.0.0.1:1", session=session) as losant:
        with pytest.raises(ConfigurationError, match="session that the client was given is closed"):
            await losant.experience_groups.get(GROUP)


async def test_cancelling_a_call_leaves_nothing() -> None:
    """A call that is cancelled ends at once, and the client still works."""
    async with raw_server(silence, answer(OK, sample("group"))) as server, client(server.url) as losant:
        call = asyncio.create_task(losant.experience_groups.get(GROUP))
        while not server.requests:
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await losant.experience_groups.get(GROUP)).id == GROUP


async def test_an_answer_that_is_too_deep_is_refused() -> None:
    """JSON that nests without end is an answer that cannot be understood, not a RecursionError."""
    body = b'{"id": "1", "name": "a", "x": ' + b"[" * 100_000
    async with raw_server(answer(OK, body)) as server, client(server.url) as losant:
        with pytest.raises(ResponseFormatError, match="was not understood"):
            await losant.experience_groups.get(GROUP)


async def test_closing_lets_a_single_call_end() -> None:
    """A create on the wire has its answer, though the client is closed meanwhile."""
    gate = asyncio.Event()

    async def wait(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await answer(CREATED, sample("group"))(_reader, writer)

    async with raw_server(wait) as server:
        losant = client(server.url)
        creating = asyncio.create_task(losant.experience_groups.create(NewExperienceGroup("a")))
        while not server.requests:
            await asyncio.sleep(0)
        closing = asyncio.create_task(losant.close())
        await asyncio.sleep(0)
        gate.set()
        assert (await creating).id == GROUP
        await closing


async def test_a_close_that_is_cancelled_still_closes_the_session() -> None:
    """Our own session is closed in the end, however impatient the caller is."""
    async with raw_server(silence) as server:
        losant = client(server.url)
        call = asyncio.create_task(losant.experience_groups.get(GROUP))
        while not server.requests:
            await asyncio.sleep(0)
        closing = asyncio.create_task(losant.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(LosantError):
            await call


async def test_a_server_that_counts_fewer_items_a_page_is_followed() -> None:
    """Asked for 100 a page it gives 50, says so or not, and no item is left out."""

    def page(number: int, *, says: bool) -> bytes:
        items = [{"id": "1", "name": str(n)} for n in range(120)[number * 50 : (number + 1) * 50]]
        return json.dumps(
            {"items": items, "totalCount": 120} | ({"page": number, "perPage": 50} if says else {})
        ).encode()

    for says in (True, False):
        scripts = [answer(OK, page(number, says=says)) for number in range(3)]
        async with raw_server(*scripts) as server, client(server.url) as losant:
            names = [group.name async for group in losant.experience_groups.list(per_page=100)]
        assert names == [str(n) for n in range(120)]
        assert len(server.requests) == 3


@pytest.mark.parametrize("ask", ["first", "count"])
async def test_a_list_without_a_size_of_its_pages_is_read(ask: str) -> None:
    """Only ids and names are required of a server; it may give more than it was asked for."""
    page = b'{"items": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}], "totalCount": 2}'
    async with raw_server(answer(OK, page)) as server, client(server.url) as losant:
        answered: Any = await getattr(losant.experience_groups.list(), ask)()
        assert (answered.name if ask == "first" else answered) == ("a" if ask == "first" else 2)
