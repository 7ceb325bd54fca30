"""The one place that sends HTTP, and knows whether it was sent: attempts, their resending, and the session."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import weakref
from collections.abc import Callable, Coroutine, Hashable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from .attempt import MOST_QUOTED, Attempt, Proof, Request, judge_answer, judge_failure
from .auth import Auth, Secret
from .call import Call
from .errors import (
    AuthenticationError,
    ConfigurationError,
    LosantError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseFormatError,
    TransportError,
)
from .retry import RetryPolicy, parse_retry_after
from .throttle import Throttle

T = TypeVar("T")

logger = logging.getLogger("aiolosant")
logger.addHandler(logging.NullHandler())

_MAX_ANSWER = 128 * 1024 * 1024
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
# As Losant's own clients ask, except that links only make the pages larger.
_PARAMS = {"_actions": "false", "_links": "false", "_embedded": "true"}


class Transport:
    """Sends requests to one API over one session.

    Args:
        base_url: Address of the API, with neither a query nor a slash at its end.
        auth: Knows the token.
        session: The caller's session, which is never closed here; None for an own one, opened when first needed.
        timeout: Seconds that a call may take, all its attempts included.
        retry: When to send again.
        throttle: When to send at all.

    Attributes:
        at_close: What `close` calls before it waits.
        key_locks: One lock for each key that there must be one group of and that is being created.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: Auth,
        session: aiohttp.ClientSession | None,
        timeout: float,
        retry: RetryPolicy,
        throttle: Throttle,
    ) -> None:
        self.timeout = timeout
        self.retry = retry
        self.at_close: set[Callable[[], None]] = set()
        # Held by whoever creates the one group with a key; gone when nobody does.
        self.key_locks: weakref.WeakValueDictionary[Hashable, asyncio.Lock] = weakref.WeakValueDictionary()
        self._base_url = base_url
        self._auth = auth
        self._throttle = throttle
        self._session = session
        self._owns_session = session is None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_wire = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        # Tests put another in its place, as they do with `sleep`.
        self.draw: Callable[[], float] = random.random

    def start_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that may outlive its consumer; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the client is closed, before or meanwhile: then there is nothing to wait for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()

    async def close(self) -> None:
        """Send nothing more, let what is on the wire end, and close the session if it is our own."""
        self._closed.set()
        self._auth.close()
        self._throttle.close()
        for callback in tuple(self.at_close):
            callback()
        try:
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._quiet.wait()
        finally:
            if self._session is not None and self._owns_session:
                await self._session.close()

    async def call(self, request: Request[T], call: Call | None = None) -> T:
        """The decoded answer. What may be sent again, is, as long as the policy and the call's time allow.

        Raises:
            ApiError: The server refused the request, or failed.
            TransportError: There was no answer.
            ResponseFormatError: The answer was not understood.
            OutcomeUnknownError: Instead of these, if the request is not repeatable and may have been carried out.
            ConfigurationError: The client is closed, or was first used in another event loop.
        """
        call = call or Call(self.timeout)
        call.start()
        try:
            return await self._call(request, call)
        except LosantError as error:
            error.method, error.path, error.attempts = request.method, request.path, call.attempts
            raise

    async def _call(self, request: Request[T], call: Call) -> T:
        renewed = False
        while True:
            self._ready_session()
            token = self._auth.known
            if token is None:
                token = await call.wait_for(self._auth.token())
            attempt = await self._attempt_in_turn(request, token, call)
            if attempt.error is None:
                return attempt.result  # type: ignore[return-value]  # there is one where there is no error
            if isinstance(attempt.error, AuthenticationError) and not renewed and call.wanted:
                renewed = True
                if await call.wait_for(self._auth.renew(token)):
                    logger.warning("%s %s: resending with a new token", request.method, request.path)
                    continue
            if not await self._wait_before_resending(request, attempt, call):
                break
        if attempt.proof is Proof.UNKNOWN and not request.repeatable:
            raise OutcomeUnknownError(f"it may have been done or not: {attempt.error.message}") from attempt.error
        raise attempt.error

    async def _wait_before_resending(self, request: Request[Any], attempt: Attempt[Any], call: Call) -> bool:
        """Whether the request is to be sent again; if so, the wait before it is over."""
        pause = attempt.retry_after
        if pause is not None and pause <= self.retry.max_pause:
            logger.warning("the server asks for a pause of %g seconds", pause)
            self._throttle.pause(pause)
        resendable = attempt.passing and (request.repeatable or attempt.proof is Proof.NOT_APPLIED)
        delay = self.retry.wait(call.attempts, self.draw(), asked=pause, left=call.left(), patient=call.patient)
        if not resendable or not call.wanted or delay is None:
            return False
        logger.warning(
            "%s %s: resending in %.2f seconds, attempt %d of %d: %s",
            *(request.method, request.path, delay, call.attempts + 1, self.retry.max_attempts, attempt.error),
        )
        await self.sleep(delay)
        return True

    async def _attempt_in_turn(self, request: Request[T], token: Secret, call: Call) -> Attempt[T]:
        started = self._throttle.acquire_at_once()
        if started is None:
            started = await call.wait_patiently_for(self._throttle.acquire())
        refused = None
        try:
            session = self._ready_session()
            seconds = min(self.retry.attempt_timeout, call.left())
            if seconds <= 0:
                raise call.out_of_time()
            attempt = await self._attempt_on_wire(session, request, token, call, seconds)
            if attempt.status is not None:
                refused = attempt.status == 429
            return attempt
        finally:
            self._throttle.release(started, refused=refused)

    async def _attempt_on_wire(
        self, session: aiohttp.ClientSession, request: Request[T], token: Secret, call: Call, seconds: float
    ) -> Attempt[T]:
        doubtful_before = call.doubtful
        call.attempts += 1
        # Until the attempt has told how it ended; a cancellation in its middle leaves it at that.
        call.on_wire = call.doubtful = True
        self._on_wire += 1
        self._quiet.clear()
        try:
            attempt = await self._attempt(session, request, token, seconds)
            call.doubtful = doubtful_before or attempt.proof is Proof.UNKNOWN
            return attempt
        finally:
            call.on_wire = False
            self._on_wire -= 1
            if not self._on_wire:
                self._quiet.set()

    async def _attempt(
        self, session: aiohttp.ClientSession, request: Request[T], token: Secret, seconds: float
    ) -> Attempt[T]:
        body = None if request.body is None else _MarkedBody(request.body)
        try:
            async with asyncio.timeout(seconds):
                status, headers, answer = await self._exchange(session, request, token, body)
        except asyncio.CancelledError as cancelled:
            _forget_frames(cancelled)
            raise
        except Exception as failure:  # noqa: BLE001 - beside aiohttp's, a hook of the caller's session may raise any
            cause = failure.__cause__ if isinstance(failure, _NoHiddenResend) else failure
            sent = body.started if body else not isinstance(cause, _BEFORE_SENDING)
            attempt: Attempt[T] = judge_failure(
                _explain(cause, seconds, token), sent=sent, passing=isinstance(cause, aiohttp.ClientError | OSError)
            )
            logger.debug("%s %s: %s, %s", request.method, request.path, type(cause).__name__, attempt.proof.value)
            return attempt
        logger.debug("%s %s: %d", request.method, request.path, status)
        pause = headers.get("Retry-After")
        retry_after = None if pause is None else parse_retry_after(pause, datetime.now(UTC))
        return judge_answer(request, status, answer, retry_after, mask=token.masked_in)

    def _ready_session(self) -> aiohttp.ClientSession:
        if self._closed.is_set():
            raise ConfigurationError("the client is closed; make a new one")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise ConfigurationError("the client was first used in another event loop; make one for each")
        self._loop = loop
        if self._session is None:
            # No limit of its own: the throttle has one, and a wait for a connection would look like a slow server.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        elif self._session.closed:
            raise ConfigurationError("the session that the client was given is closed")
        return self._session

    async def _exchange(
        self, session: aiohttp.ClientSession, request: Request[Any], token: Secret, body: _MarkedBody | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {**_standing_headers(), "Authorization": f"Bearer {token.reveal()}"}
        if body is not None:
            headers["Content-Type"] = "application/json"  # a session's own default would win over the body's
        async with session.request(
            request.method,
            _url(self._base_url + request.path, tuple(request.params.items())),
            data=body,
            headers=headers,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=True,
            timeout=_NO_TIMEOUT,
            middlewares=(_no_hidden_resend,) if request.method in _RESENT_BY_AIOHTTP else (),
        ) as response:
            chunks, size = [], 0
            async for chunk in response.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > _MAX_ANSWER:
                    raise _AnswerTooLarge
            return response.status, response.headers, b"".join(chunks)


def _explain(cause: BaseException | None, seconds: float, token: Secret) -> LosantError:
    """An error of ours for whatever kept an attempt from its answer."""
    error: LosantError
    if isinstance(cause, aiohttp.ClientResponseError):
        # Its repr shows the Authorization header, so it must not travel along as a cause.
        return TransportError(f"no valid HTTP answer: {_quoted(cause.message, token)}")
    if isinstance(cause, TimeoutError):
        return RequestTimeoutError(f"no answer within {seconds:.3g} seconds")
    if isinstance(cause, _AnswerTooLarge):
        error = ResponseFormatError(f"the answer is larger than {_MAX_ANSWER >> 20} MiB")
    else:
        error = TransportError(f"no answer: {_quoted(str(cause), token) or type(cause).__name__}")
    _forget_frames(cause)
    error.__cause__ = cause
    return error


def _forget_frames(error: BaseException | None) -> None:
    """Drop the frames of an error and of all behind it: aiohttp's hold our headers, and a traceback may show locals."""
    behind, seen = [error], set()
    while behind:
        error = behind.pop()
        if error is not None and id(error) not in seen:  # a hook of the caller's may have tied a knot
            seen.add(id(error))
            error.__traceback__ = None
            behind += [error.__cause__, error.__context__]


def _quoted(text: str, token: Secret) -> str:
    return token.masked_in(text)[:MOST_QUOTED]


@functools.lru_cache(maxsize=32)
def _url(address: str, params: tuple[tuple[str, str | int], ...]) -> URL:
    # Creates all have the same; to put it together takes as long as to decode the answer.
    return URL(address).with_query({**_PARAMS, **dict(params)})


@functools.cache
def _standing_headers() -> dict[str, str]:
    from importlib.metadata import version  # here, because it takes longer to import than half of this package

    # The API version is the one that Losant's own clients were built for.
    return {
        "Accept": "application/json",
        "Accept-Version": "^1.29.3",
        "User-Agent": f"aiolosant/{version('aiolosant')}",
    }


class _MarkedBody(aiohttp.Payload):
    """A JSON body that knows whether any of it may have left."""

    _value: bytes

    def __init__(self, value: bytes) -> None:
        super().__init__(value, content_type="application/json")
        self._size = len(value)
        self.started = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.started = True
        await writer.write(self._value)


class _AnswerTooLarge(Exception):  # noqa: N818 - never leaves this module
    pass


class _NoHiddenResend(Exception):  # noqa: N818 - never leaves this module
    """Carries an error of aiohttp's past its own resending, as its cause."""


async def _no_hidden_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A client middleware that keeps aiohttp from resending a GET, PUT or DELETE behind our back.

    It does so on a reused connection that breaks, unless the error is none of its own.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        raise _NoHiddenResend from error


_RESENT_BY_AIOHTTP = ("GET", "HEAD", "PUT", "DELETE")
_BEFORE_SENDING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
