"""The one place that sends HTTP: one attempt at a time, each answer read whole, each failure an error of ours."""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

import aiohttp
import attrs
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from .attempt import Proof, proof_of_failure, proof_of_status
from .errors import (
    ConfigurationError,
    LosantError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseFormatError,
    TransportError,
    api_error_class,
)
from .wire import decode_error

T = TypeVar("T")

logger = logging.getLogger("aiolosant")
logger.addHandler(logging.NullHandler())

_MAX_ANSWER = 128 * 1024 * 1024
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
# As Losant's own clients ask, except that links only make the pages larger.
_PARAMS = {"_actions": "false", "_links": "false", "_embedded": "true"}


@attrs.frozen
class Request(Generic[T]):
    """One call of the API.

    Attributes:
        decode: Makes the result of the body of a 2xx, or raises ValueError.
        repeatable: Whether doing it twice is the same as doing it once.
    """

    method: str
    path: str
    decode: Callable[[bytes], T]
    params: Mapping[str, str | int] = attrs.field(factory=dict)
    body: bytes | None = None
    repeatable: bool = True


@attrs.frozen
class Attempt(Generic[T]):
    """How one attempt ended, and what that proves: it has a result, or an error."""

    proof: Proof
    result: T | None = None
    error: LosantError | None = None


class Transport:
    """Sends requests to one API with one token over one session.

    Args:
        base_url: Address of the API, with neither a query nor a slash at its end.
        token: The API token.
        session: The caller's session, which is never closed here; None for an own one, opened when first needed.
        timeout: Seconds that a call may take.

    Attributes:
        at_close: What `close` calls before it waits.
    """

    def __init__(self, base_url: str, *, token: str, session: aiohttp.ClientSession | None, timeout: float) -> None:
        self._base_url = base_url
        self._token = token
        self._session = session
        self._owns_session = session is None
        self._timeout = timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.at_close: set[Callable[[], None]] = set()

    def start_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that may outlive its consumer; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Send nothing more, let what is on the wire end, and close the session if it is our own."""
        self._closed = True
        for callback in tuple(self.at_close):
            callback()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._session is not None and self._owns_session:
            await self._session.close()

    async def call(self, request: Request[T]) -> T:
        """The decoded answer.

        Raises:
            ApiError: The server refused the request, or failed.
            TransportError: There was no answer.
            ResponseFormatError: The answer was not understood.
            OutcomeUnknownError: Instead of these, if the request is not repeatable and may have been carried out.
            ConfigurationError: The client is closed, or was first used in another event loop.
        """
        self._check_usable()
        attempt = await self._attempt(request)
        error = attempt.error
        if error is None:
            return attempt.result  # type: ignore[return-value]  # there is one where there is no error
        if attempt.proof is Proof.UNKNOWN and not request.repeatable:
            unknown = OutcomeUnknownError(f"it may have been done or not: {error.message}")
            unknown.__cause__ = error
            error = unknown
        error.method, error.path = request.method, request.path
        raise error

    async def _attempt(self, request: Request[T]) -> Attempt[T]:
        body = None if request.body is None else _MarkedBody(request.body)
        try:
            async with asyncio.timeout(self._timeout):
                status, answer = await self._exchange(request, body)
        except _FAILURES as failure:
            cause = failure.__cause__ if isinstance(failure, _NoHiddenResend) else failure
            proof = proof_of_failure(sent=body.started if body else not isinstance(cause, _BEFORE_SENDING))
            logger.debug("%s %s: %s, %s", request.method, request.path, type(cause).__name__, proof.value)
            return Attempt(proof, error=self._failure(cause))
        logger.debug("%s %s: %d", request.method, request.path, status)
        proof = proof_of_status(status)
        if proof is not Proof.APPLIED:
            kind, message = decode_error(answer)
            message = message or "no explanation"
            return Attempt(proof, error=api_error_class(status)(status, kind, message, request.method, request.path))
        try:
            return Attempt(proof, result=request.decode(answer))
        except ValueError as problem:
            return Attempt(Proof.UNKNOWN, error=ResponseFormatError(f"the answer was not understood: {problem}"))

    def _failure(self, cause: BaseException | None) -> LosantError:
        error: LosantError
        if isinstance(cause, aiohttp.ClientResponseError):
            # Its repr shows the Authorization header, so it must not travel along as a cause.
            return TransportError(f"no valid HTTP answer: {cause.message}")
        if isinstance(cause, TimeoutError):
            error = RequestTimeoutError(f"no answer within {self._timeout:g} seconds")
        elif isinstance(cause, _AnswerTooLarge):
            error = ResponseFormatError(f"the answer is larger than {_MAX_ANSWER >> 20} MiB")
        else:
            error = TransportError(f"no answer: {cause or type(cause).__name__}")
        error.__cause__ = cause
        return error

    def _check_usable(self) -> None:
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise ConfigurationError("the client was first used in another event loop; make one for each")
        self._loop = loop
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
        elif self._session.closed:
            raise ConfigurationError("the session that the client was given is closed")

    async def _exchange(self, request: Request[Any], body: _MarkedBody | None) -> tuple[int, bytes]:
        assert self._session is not None  # noqa: S101 - _check_usable has seen to it
        async with self._session.request(
            request.method,
            URL(self._base_url + request.path),
            params={**_PARAMS, **request.params},
            data=body,
            headers={**_standing_headers(), "Authorization": f"Bearer {self._token}"},
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=True,
            timeout=_NO_TIMEOUT,
            middlewares=(_no_hidden_resend,),
        ) as response:
            chunks, size = [], 0
            async for chunk in response.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > _MAX_ANSWER:
                    raise _AnswerTooLarge
            return response.status, b"".join(chunks)


@functools.cache
def _standing_headers() -> dict[str, str]:
    version = importlib.metadata.version("aiolosant")
    # The API version is the one that Losant's own clients were built for.
    return {"Accept": "application/json", "Accept-Version": "^1.29.3", "User-Agent": f"aiolosant/{version}"}


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


_FAILURES = (aiohttp.ClientError, OSError, _NoHiddenResend, _AnswerTooLarge)
_BEFORE_SENDING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
