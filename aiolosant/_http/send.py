"""The one place that sends an HTTP request, and knows whether a byte of it left."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from ..errors import LosantError, RequestTimeoutError, ResponseFormatError, TransportError
from .auth import Secret
from .request import IDEMPOTENT, Request
from .response import MOST_QUOTED, Response, classify, classify_failure
from .retry import parse_retry_after

T = TypeVar("T")

logger = logging.getLogger("aiolosant")

_MAX_RESPONSE = 128 * 1024 * 1024
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
# As Losant's own clients ask, except that links only make the pages larger.
_PARAMS = {"_actions": "false", "_links": "false", "_embedded": "true"}


async def send(
    session: aiohttp.ClientSession, base_url: str, request: Request[T], token: Secret, seconds: float
) -> Response[T]:
    """Send a request once, read the response whole, and return what that proved.

    Failures are returned and not raised; only a cancellation is passed on.

    Args:
        session: What to send with.
        base_url: Address of the API, without a slash at its end.
        request: What to send.
        token: Goes into the header, and nowhere else.
        seconds: How long it may take.
    """
    body = None if request.body is None else _MarkedBody(request.body)
    try:
        async with asyncio.timeout(seconds):
            status, headers, content = await _exchange(session, base_url + request.path, request, token, body)
    except asyncio.CancelledError as cancelled:
        _forget_frames(cancelled)
        raise
    except Exception as failure:  # noqa: BLE001 - beside aiohttp's, a hook of the caller's session may raise any
        cause = failure.__cause__ if isinstance(failure, _NoHiddenResend) else failure
        sent = body.started if body else not isinstance(cause, _BEFORE_SENDING)
        transient = isinstance(cause, aiohttp.ClientError | OSError)
        response: Response[T] = classify_failure(_explain(cause, seconds, token), sent=sent, transient=transient)
        logger.debug("%s %s: %s, %s", request.method, request.path, type(cause).__name__, response.proof.value)
        return response
    logger.debug("%s %s: %d", request.method, request.path, status)
    pause = headers.get("Retry-After")
    retry_after = None if pause is None else parse_retry_after(pause, datetime.now(UTC))
    return classify(request, status, content, retry_after, mask=token.masked_in)


async def _exchange(
    session: aiohttp.ClientSession, address: str, request: Request[Any], token: Secret, body: _MarkedBody | None
) -> tuple[int, Mapping[str, str], bytes]:
    headers = {**_standing_headers(), "Authorization": f"Bearer {token.text}"}
    if body is not None:
        headers["Content-Type"] = "application/json"  # a session's own default would win over the body's
    async with session.request(
        request.method,
        _url(address, tuple(request.params.items())),
        data=body,
        headers=headers,
        allow_redirects=False,
        raise_for_status=False,
        auto_decompress=True,
        timeout=_NO_TIMEOUT,
        middlewares=(_no_hidden_resend,) if request.method in IDEMPOTENT else (),
    ) as response:
        chunks, size = [], 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_RESPONSE:
                raise _ResponseTooLarge
        return response.status, response.headers, b"".join(chunks)


def _explain(cause: BaseException | None, seconds: float, token: Secret) -> LosantError:
    """Return an error of ours for whatever kept an attempt from its response."""
    error: LosantError
    if isinstance(cause, aiohttp.ClientResponseError):
        # Its repr shows the Authorization header, so it must not travel along as a cause.
        return TransportError(f"no valid HTTP answer: {_quoted(cause.message, token)}")
    if isinstance(cause, TimeoutError):
        return RequestTimeoutError(f"no answer within {seconds:.3g} seconds")
    if isinstance(cause, _ResponseTooLarge):
        error = ResponseFormatError(f"the answer is larger than {_MAX_RESPONSE >> 20} MiB")
    else:
        error = TransportError(f"no answer: {_quoted(str(cause), token) or type(cause).__name__}")
    _forget_frames(cause)
    error.__cause__ = cause
    return error


def _forget_frames(error: BaseException | None) -> None:
    """Drop the frames of an error and of its causes: aiohttp's hold our headers, and tracebacks may show locals."""
    behind, seen = [error], set()
    while behind:
        error = behind.pop()
        if error is not None and id(error) not in seen:  # a hook of the caller's may have made causes a cycle
            seen.add(id(error))
            error.__traceback__ = None
            behind += [error.__cause__, error.__context__]


def _quoted(text: str, token: Secret) -> str:
    return token.masked_in(text)[:MOST_QUOTED]


@functools.lru_cache(maxsize=32)
def _url(address: str, params: tuple[tuple[str, str | int], ...]) -> URL:
    # All creates have the same URL, and to put it together takes as long as to decode the response.
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
    """A JSON body that knows whether any of it may have been sent."""

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


class _ResponseTooLarge(Exception):  # noqa: N818 - never leaves this module
    pass


class _NoHiddenResend(Exception):  # noqa: N818 - never leaves this module
    """Carries an error of aiohttp's, as its cause, past aiohttp's own resending."""


async def _no_hidden_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A client middleware that keeps aiohttp from resending a GET, PUT or DELETE by itself.

    aiohttp resends on a reused connection that breaks, but only after errors of its own classes.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        raise _NoHiddenResend from error


_BEFORE_SENDING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
