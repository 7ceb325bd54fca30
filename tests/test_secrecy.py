"""The token, and all that is aiohttp's, stay inside."""

import asyncio
import gc
import logging
import pickle
import traceback
import weakref
from typing import Any

import aiohttp
import pytest

from aiolosant import (
    LosantError,
    NewExperienceGroup,
    OutcomeUnknownError,
    RequestTimeoutError,
    TransportError,
    errors,
)

from .samples import sample
from .servers import Script, answer, cut, raw_server, silence
from .wire import (
    CREATED,
    GROUP,
    OK,
    TOKEN,
    chain,
    client,
    make_aiohttp_error,
    subclasses,
)

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

        async def end_when_sent(limit: asyncio.Timeout) -> None:
            while not server.requests:
                await asyncio.sleep(0.001)
            limit.reschedule(0)

        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(None) as limit:
                ending = asyncio.create_task(end_when_sent(limit))
                await losant.experience_groups.get(GROUP)
        await ending
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert "token-of-the-test" not in "".join(shown.format())
    assert "_attempt" in str([frame.name for frame in traceback.extract_tb(caught.value.__cause__.__traceback__)])  # type: ignore[union-attr]


async def test_a_cyclic_cause_chain_does_not_hang() -> None:
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


async def test_an_error_leaves_nothing_for_the_collector() -> None:
    """A service that meets a thousand errors an hour keeps none of them, nor the tasks they were raised in."""
    missing = answer("HTTP/1.1 404 No", sample("error"))
    met: list[weakref.ref[Any]] = []
    async with raw_server(*[missing] * 20) as server, client(server.url) as losant:

        async def meet() -> None:
            task = asyncio.current_task()
            assert task is not None
            met.append(weakref.ref(task))
            try:
                await losant.experience_groups.get(GROUP)
            except errors.NotFoundError as error:
                met.append(weakref.ref(error))

        gc.disable()
        try:
            for _ in range(20):
                await asyncio.create_task(meet())
            await asyncio.sleep(0)  # the loop lets go of the last task
            assert len(met) == 40
            assert [reference() for reference in met] == [None] * 40
        finally:
            gc.enable()
