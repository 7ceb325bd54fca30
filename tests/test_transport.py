"""Sending: one attempt a call, and what each way of failing is called."""

import asyncio
import contextlib
import gc
import json
import logging
import pickle
import random
import re
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from aiolosant import (
    ApiError,
    ConfigurationError,
    LosantClient,
    LosantError,
    NewExperienceGroup,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseFormatError,
    RetryPolicy,
    ServerError,
    TransportError,
    by_name,
    errors,
)
from aiolosant._http import send
from aiolosant._http.transport import Transport

from .samples import sample, sample_object
from .servers import MockedResponse, Script, answer, cut, raw_server, silence

APPLICATION = "575ec8687ae143cd83dc4a97"
GROUP = "575ed78e7ae143cd83dc4aab"
GROUPS_PATH = f"/applications/{APPLICATION}/experience/groups"
TOKEN = "secret/token-of-the-test"
ONCE = RetryPolicy(max_attempts=1)
OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json"
CREATED = "HTTP/1.1 201 Created\r\nContent-Type: application/json"


def client(url: str, **options: Any) -> LosantClient:
    arguments: dict[str, Any] = {"application_id": APPLICATION, "base_url": url, "retry": ONCE} | options
    return LosantClient(TOKEN, **arguments)


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


async def test_a_reused_connection_that_breaks_is_not_resent_by_aiohttp() -> None:
    """aiohttp resends a GET on a kept connection by itself; our attempts are the server's log."""
    async with raw_server(answer(OK, sample("group")), cut) as server, client(server.url) as losant:
        await losant.experience_groups.get(GROUP)
        with pytest.raises(TransportError):
            await losant.experience_groups.get(GROUP)
    assert len(server.requests) == 2


async def test_silence_ends_in_a_timeout() -> None:
    """A server that says nothing costs no more than the timeout; a create is then unknown."""
    async with raw_server(silence, silence) as server, client(server.url, timeout=0.05) as losant:
        with pytest.raises(RequestTimeoutError, match=r"no answer within 0\.0\d+ seconds"):
            await losant.experience_groups.get(GROUP)
        with pytest.raises(OutcomeUnknownError):
            await losant.experience_groups.create(NewExperienceGroup("a"))


async def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can fill our memory with one answer."""
    monkeypatch.setattr(send, "_MAX_RESPONSE", 1 << 20)
    async with raw_server(answer(OK, b" " * (1 << 21))) as server, client(server.url) as losant:
        with pytest.raises(ResponseFormatError, match="larger than 1 MiB"):
            await losant.experience_groups.get(GROUP)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that it was raised from or in the handling of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


ECHO = f"bad header: Authorization: Bearer {TOKEN}".encode()
# As JSON may write it: escaped, and all in numbers; the second is no valid text and so quoted as it came.
ESCAPED = f"Bearer {TOKEN}".replace("/", "\\/").encode()
NUMBERS = "".join(f"\\u{ord(letter):04X}" for letter in f"Bearer {TOKEN}").encode()


@pytest.mark.parametrize(
    "script",
    [
        cut,
        answer("garbage"),
        answer(f"HTTP/1.1 200 OK\r\nAuthorization Bearer {TOKEN}"),
        answer("HTTP/1.1 401 No", ECHO),
        answer("HTTP/1.1 400 No", b'{"type": "' + ECHO + b'", "message": "' + ECHO + b'"}'),
        answer("HTTP/1.1 400 No", b'{"message": "' + ESCAPED + b'"}'),
        answer("HTTP/1.1 400 No", b'{"message": "' + NUMBERS + b'"}'),
        answer("HTTP/1.1 400 No", b'{"message": "' + NUMBERS + b'", "type": 5}'),
        answer("HTTP/1.1 400 No", b'{"error": "' + ESCAPED + b'"}'),
        answer("HTTP/1.1 500 No", ECHO),
        answer(OK, b'{"id": 1}'),
        answer(OK, ECHO),
        answer(CREATED, b"", length=100, cut=True),
    ],
)
@pytest.mark.parametrize("verb", ["get", "create"])
async def test_the_token_shows_nowhere(script: Script, verb: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not in a log, nor in a repr, message, traceback or pickle of any error and all its causes."""
    caplog.set_level(logging.DEBUG)
    async with raw_server(script) as server, client(server.url) as losant:
        groups = losant.experience_groups
        with pytest.raises(LosantError) as caught:
            await (groups.get(GROUP) if verb == "get" else groups.create(NewExperienceGroup("a")))
        texts = [repr(losant), repr(vars(groups)), *traceback.format_exception(caught.value)]
        texts += traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
        texts = [text for text in texts if "texts = " not in text]  # this very frame has the script in it
    for error in chain(caught.value):
        assert not isinstance(error, aiohttp.ClientResponseError)
        texts += [repr(error), str(error), repr(vars(error))]
    texts += [str(pickle.dumps(caught.value)), *(record.getMessage() for record in caplog.records)]
    leaks = ("token-of-the-test", r"\\u0074\\u006F\\u006B\\u0065\\u006E")
    assert not [text for text in texts if any(leak in text for leak in leaks)]


async def test_a_call_that_is_cancelled_does_not_show_the_token_either() -> None:
    """Whoever logs the traceback of a timeout of his own with its locals sees no frame that holds it."""
    async with raw_server(silence) as server, client(server.url) as losant:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await losant.experience_groups.get(GROUP)
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert "token-of-the-test" not in "".join(shown.format())
    assert "_attempt" in str([frame.name for frame in traceback.extract_tb(caught.value.__cause__.__traceback__)])  # type: ignore[union-attr]


async def test_a_knot_of_causes_is_an_error_like_any_other() -> None:
    """A hook of the caller's session may raise errors that are each other's cause."""

    async def fail(*_args: object) -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(fail)
    async with (
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        client("http://127.0.0.1:1", session=session) as losant,
    ):
        with pytest.raises(TransportError, match="first"):
            await losant.experience_groups.get(GROUP)


def subclasses(kind: type[aiohttp.ClientError]) -> set[type[aiohttp.ClientError]]:
    return {kind}.union(*(subclasses(sub) for sub in kind.__subclasses__()))


def make_aiohttp_error(kind: type[aiohttp.ClientError]) -> aiohttp.ClientError:
    error = kind.__new__(kind)
    if isinstance(error, aiohttp.ClientResponseError):
        error.message, error.status, error.headers = "secret", 400, None
        error.request_info = aiohttp.RequestInfo(URL("http://x"), "GET", None, URL("http://x"))  # type: ignore[arg-type]  # unused
        error.history = ()
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        error.errno, error.strerror = 111, "refused"
    return error


@pytest.mark.parametrize("kind", sorted(subclasses(aiohttp.ClientError), key=repr))
async def test_every_error_of_aiohttp_is_mapped(
    kind: type[aiohttp.ClientError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of aiohttp's crosses the surface."""
    error = make_aiohttp_error(kind)
    monkeypatch.setattr(kind, "__str__", lambda _self: "what aiohttp said")

    async def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setattr(aiohttp.ClientSession, "_request", fail)
    async with client("http://127.0.0.1:1") as losant:
        with pytest.raises(errors.LosantError) as caught:
            await losant.experience_groups.get(GROUP)
    expected = RequestTimeoutError if issubclass(kind, TimeoutError) else TransportError
    assert type(caught.value) is expected
    assert not any(isinstance(error, aiohttp.ClientResponseError) for error in chain(caught.value))


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


async def test_whatever_a_hook_of_the_callers_session_raises_is_ours() -> None:
    """A create that had left is unknown, though what failed was a trace of the caller's own."""

    async def fail(*_args: object) -> None:
        raise ValueError("a mistake in the caller's trace")

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(fail)
    async with (
        raw_server(answer(CREATED, sample("group"))) as server,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        client(server.url, session=session) as losant,
    ):
        with pytest.raises(OutcomeUnknownError, match="a mistake in the caller's trace"):
            await losant.experience_groups.create(NewExperienceGroup("a"))


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


ALWAYS = [cut, answer("HTTP/1.1 503 No"), answer("HTTP/1.1 429 No"), answer(OK, b"<html>")]


@pytest.mark.parametrize("script", ALWAYS)
async def test_a_read_is_resent_as_often_as_the_policy_says(script: Script) -> None:
    """What passes is tried again; the error tells how often; our attempts are the server's log."""
    policy = RetryPolicy(max_attempts=3, first_delay=0)
    async with raw_server(script, script, script) as server, client(server.url, retry=policy) as losant:
        with pytest.raises(LosantError, match="3 attempts"):
            await losant.experience_groups.get(GROUP)
    assert len(server.requests) == 3
    async with (
        raw_server(script, script, answer(OK, sample("group"))) as server,
        client(server.url, retry=policy) as losant,
    ):
        assert (await losant.experience_groups.get(GROUP)).id == GROUP


@pytest.mark.parametrize(
    "script",
    [
        answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/"),
        answer("HTTP/1.1 400 No"),
        answer(OK, b'{"id": 1}'),
    ],
)
async def test_what_will_not_change_is_not_resent(script: Script) -> None:
    """A redirect, a refusal and a wrong type are raised at once."""
    async with raw_server(script) as server, client(server.url, retry=RetryPolicy(first_delay=0)) as losant:
        with pytest.raises(LosantError, match="1 attempt"):
            await losant.experience_groups.get(GROUP)
    assert len(server.requests) == 1


@pytest.mark.parametrize("script", [answer("HTTP/1.1 302 Found"), answer(OK, b'{"id": 1, "success": "x"}')])
async def test_a_write_in_doubt_is_sent_again_until_it_is_not(script: Script) -> None:
    """An update or a delete that was answered by what nobody understands may have happened, and can be repeated."""
    policy = RetryPolicy(first_delay=0)
    changed, gone = answer(OK, sample("group")), answer("HTTP/1.1 404 No", sample("error"))
    async with raw_server(script, changed) as server, client(server.url, retry=policy) as losant:
        assert (await losant.experience_groups.update(GROUP, name="b")).id == GROUP
    async with raw_server(script, gone) as server, client(server.url, retry=policy) as losant:
        await losant.experience_groups.delete(GROUP)
    assert len(server.requests) == 2


async def test_only_who_may_try_again_makes_others_wait() -> None:
    """A 404 with a `Retry-After` holds nobody back."""
    refusal = answer("HTTP/1.1 404 No\r\nRetry-After: 30", sample("error"))
    async with (
        raw_server(refusal, answer(OK, sample("group"))) as server,
        client(server.url, timeout=5) as losant,
    ):
        with pytest.raises(errors.NotFoundError):
            await losant.experience_groups.get(GROUP)
        async with asyncio.timeout(5):
            await losant.experience_groups.get(GROUP)


@pytest.mark.parametrize("ask", ["first", "count"])
async def test_a_list_without_a_size_of_its_pages_is_read(ask: str) -> None:
    """Only ids and names are required of a server; it may give more than it was asked for."""
    page = b'{"items": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}], "totalCount": 2}'
    async with raw_server(answer(OK, page)) as server, client(server.url) as losant:
        answered: Any = await getattr(losant.experience_groups.list(), ask)()
        assert (answered.name if ask == "first" else answered) == ("a" if ask == "first" else 2)


async def test_an_update_is_resent_and_a_create_only_if_it_was_refused() -> None:
    """A create is sent again after 408, 425 and 429 alone, unless something tells groups apart."""
    policy = RetryPolicy(first_delay=0)
    changed = answer(OK, sample("group"))
    async with raw_server(cut, changed) as server, client(server.url, retry=policy) as losant:
        await losant.experience_groups.update(GROUP, name="b")
    refusals = [answer(f"HTTP/1.1 {status} No") for status in (408, 425, 429)]
    async with (
        raw_server(*refusals, answer(CREATED, sample("group"))) as server,
        client(server.url, retry=policy) as losant,
    ):
        await losant.experience_groups.create(NewExperienceGroup("a"))
    assert len(server.requests) == 4


async def test_a_delete_that_was_lost_is_done_when_the_group_is_gone() -> None:
    """A 404 on the first attempt is an error, on a later one the success of an earlier."""
    gone = answer("HTTP/1.1 404 No", sample("error"))
    policy = RetryPolicy(first_delay=0)
    async with raw_server(cut, gone) as server, client(server.url, retry=policy) as losant:
        await losant.experience_groups.delete(GROUP)
    refused = answer("HTTP/1.1 429 No")
    for scripts in ([gone], [refused, gone]):
        async with raw_server(*scripts) as server, client(server.url, retry=policy) as losant:
            with pytest.raises(errors.NotFoundError):
                await losant.experience_groups.delete(GROUP)


async def test_back_off_grows_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays are drawn below a doubling bound; a clock and a die of our own make the test certain."""
    slept: list[float] = []

    async def sleep(_self: Transport, seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(Transport, "sleep", sleep)  # nobody wants to wait
    monkeypatch.setattr(random, "random", lambda: 0.5)
    scripts = [answer("HTTP/1.1 503 No")] * 5
    async with raw_server(*scripts) as server, client(server.url, retry=RetryPolicy()) as losant:
        with pytest.raises(ServerError):
            await losant.experience_groups.get(GROUP)
    assert slept == [0.125, 0.25, 0.5, 1.0]


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_waited_for_within_limits(status: int) -> None:
    """What the server asks for wins over the back-off; more than the policy or the call allows is raised at once."""
    asks = [answer(f"HTTP/1.1 {status} No\r\nRetry-After: {seconds}") for seconds in (0, 60, 61)]
    done = answer(OK, sample("group"))
    async with raw_server(asks[0], done, asks[1], asks[2]) as server:
        async with client(server.url, retry=RetryPolicy(first_delay=30)) as losant:
            await losant.experience_groups.get(GROUP)
        for _ in range(2):
            async with client(server.url, retry=RetryPolicy(), timeout=50) as losant:
                with pytest.raises(ApiError, match="1 attempt"):
                    await losant.experience_groups.get(GROUP)


@pytest.mark.parametrize("verb", ["get", "list", "create", "unique", "batch"])
async def test_silence_costs_no_more_than_the_budget(verb: str) -> None:
    """A server that accepts and says nothing: every call returns within its time, retries and lookups included."""
    scripts = [silence] * 20
    policy = RetryPolicy(attempt_timeout=0.15, first_delay=0.01)
    async with raw_server(*scripts) as server, client(server.url, retry=policy, timeout=0.4) as losant:
        groups = losant.experience_groups
        new = NewExperienceGroup("a")
        loop = asyncio.get_running_loop()
        before = loop.time()
        if verb == "batch":
            report = await groups.create_many([new]).report()
            assert len(report.unknown) == 1
        else:
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "get": lambda: groups.get(GROUP),
                "list": lambda: groups.list().to_list(),
                "create": lambda: groups.create(new),
                "unique": lambda: groups.create(new, unique_by=by_name()),
            }
            with pytest.raises((RequestTimeoutError, OutcomeUnknownError)):
                await calls[verb]()
        assert loop.time() - before <= 0.4 * 1.05 + 0.5  # the machine's own slowness


async def test_a_patient_call_does_not_lose_time_to_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's time stands still while the server asked for a pause; a single call's does not."""
    pause = answer("HTTP/1.1 429 No\r\nRetry-After: 1")
    done = answer(OK, sample("groups"))
    policy = RetryPolicy(max_pause=5)
    async with raw_server(pause, done, pause) as server:
        async with client(server.url, retry=policy, timeout=0.5) as losant:
            page = await anext(losant.experience_groups.list(per_page=2, start_page=3).by_page())
            assert len(page.items) == 2
        async with client(server.url, retry=policy, timeout=0.5) as losant:
            with pytest.raises(errors.RateLimitError):
                await losant.experience_groups.get(GROUP)


@pytest.mark.parametrize("prefetch", [0, 2])
async def test_closing_does_not_wait_for_back_off(
    prefetch: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A call, and a page that is looked ahead for, end at once with the client, however long they would have waited."""
    page = b'{"items": [{"id": "1", "name": "a"}], "totalCount": 9, "perPage": 1}'
    failure = answer("HTTP/1.1 503 No")
    scripts = [answer(OK, page), failure, failure] if prefetch else [failure]
    policy = RetryPolicy(first_delay=1000, max_delay=1000)
    async with raw_server(*scripts) as server:
        losant = client(server.url, retry=policy, timeout=5000)
        monkeypatch.setattr(random, "random", lambda: 0.9)
        walk = aiter(losant.experience_groups.list(per_page=1, prefetch=prefetch))
        if prefetch:
            await anext(walk)
        waiting = asyncio.create_task(anext(walk))
        while sum("resending in 900" in record.getMessage() for record in caplog.records) < max(1, prefetch):
            await asyncio.sleep(0)
        await losant.close()
        with pytest.raises(ConfigurationError, match="client is closed"):
            await waiting


async def test_an_error_leaves_nothing_for_the_collector() -> None:
    """A service that meets a thousand errors an hour keeps none of them, nor what they were raised in."""
    missing = answer("HTTP/1.1 404 No", sample("error"))
    async with raw_server(*[missing] * 30) as server, client(server.url) as losant:

        async def meet() -> None:
            with contextlib.suppress(errors.NotFoundError):
                await losant.experience_groups.get(GROUP)

        for _ in range(10):
            await meet()
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await meet()
            assert gc.collect() < 20
        finally:
            gc.enable()
