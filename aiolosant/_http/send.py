"""The one place that sends an HTTP request, and knows whether a byte of it left."""

from __future__ import annotations

import asyncio
import functools
from typing import TypeVar

import aiohttp
import attrs
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from ..errors import LosantError, RequestTimeoutError, ResponseFormatError, TransportError
from .auth import Secret
from .connections import Connections, Lease
from .request import IDEMPOTENT, Request
from .response import MOST_QUOTED, Response, classify, classify_failure
from .retry import parse_retry_after

T = TypeVar("T")

MAX_RESPONSE = 128 * 1024 * 1024
"""Bytes of an answer that are read at most, so that a broken server does not fill the memory."""
_AT_ONCE = 32 * 1024  # bytes that are written to a socket in one go
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
# As Losant's own clients ask, except that links only make the pages larger.
_PARAMS = {"_actions": "false", "_links": "false", "_embedded": "true"}


@attrs.define
class Silence:
    """How long the server may say nothing.

    Attributes:
        seconds: Seconds between what it says. A response that keeps flowing is read on.
        until: When the attempt has to be over all the same, on the event loop's clock.
        heard: Whether a part of an answer has come.
        timer: Runs when the silence may be over, and looks whether it is; a timer for each silence would cost more
            than all else here.
    """

    seconds: float
    until: float
    heard: bool = False
    timer: asyncio.TimerHandle | None = None
    _began: float = 0.0
    _ends: float = 0.0

    def begin(self, scope: asyncio.Timeout) -> None:
        """Let a silence begin now, which ends `scope` when it has lasted too long."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        self._ends = min(self._began + self.seconds, self.until)
        if self.timer is None:
            scope.reschedule(None)  # it may have been about to end
            self.timer = loop.call_at(self._ends, self._look, scope)

    @property
    def allowed(self) -> float:
        """For how many seconds the server may be silent now."""
        return self._ends - self._began

    @property
    def has_time(self) -> bool:
        """Whether the attempt has time left."""
        return asyncio.get_running_loop().time() < self.until

    def _look(self, scope: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        self.timer = None
        if loop.time() < self._ends:
            self.timer = loop.call_at(self._ends, self._look, scope)
        else:  # it takes one more turn of the loop: if that stood still, what has come meanwhile is read first
            scope.reschedule(0)


async def send(
    connections: Connections, lease: Lease, address: str, request: Request[T], token: Secret, silence: Silence
) -> Response[T]:
    """Send a request once, read the response whole, and return what that proved.

    Failures are returned and not raised; only a cancellation is passed on.

    Args:
        connections: Learns how the attempt went.
        lease: What to send with.
        address: The URL without its query.
        request: What to send.
        token: Goes into the header, and nowhere else.
        silence: How long the server may say nothing.
    """
    body = None
    try:
        async with asyncio.timeout(None) as scope:
            silence.begin(scope)
            if request.body is not None:
                body = _MarkedBody(request.body, silence, scope)
            headers = {**_HEADERS, "User-Agent": connections.user_agent, "Authorization": f"Bearer {token.text}"}
            if body is not None:
                headers["Content-Type"] = "application/json"  # a session's own default would win over the body's
            async with lease.session.request(
                request.method,
                _url(address, tuple(request.params.items())),
                data=body,
                headers=headers,
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=True,
                timeout=_NO_TIMEOUT,
                proxy=lease.proxy,
                middlewares=(_no_hidden_resend,) if request.method in IDEMPOTENT else (),
            ) as response:
                answered = asyncio.get_running_loop().time()
                content = await _read(response, scope, silence)
    except asyncio.CancelledError as cancelled:
        _forget_frames(cancelled)
        raise
    except Exception as failure:  # noqa: BLE001 - beside aiohttp's, a hook of the caller's session may raise any
        cause = failure.__cause__ if isinstance(failure, _NoHiddenResend) else failure
        sent = body.started if body else not isinstance(cause, _BEFORE_SENDING)
        transient = isinstance(cause, aiohttp.ClientError | OSError) and not isinstance(cause, _NO_TRUST)
        transient = transient and getattr(cause, "status", None) != 407  # the proxy will not change its mind
        # Over a session without any response so far no connection can have been dead already.
        stale = lease.is_own and lease.has_answered and not isinstance(cause, _BEFORE_SENDING)
        failed: Response[T] = classify_failure(
            _explain(cause, silence, token), sent=sent, transient=transient, stale=stale
        )
        connections.failed(lease, cause)
        return failed
    finally:
        if silence.timer is not None:
            silence.timer.cancel()
    keep_alive = response.headers.get("Keep-Alive")
    if keep_alive or not lease.has_answered:
        connections.answered(lease, keep_alive)
    pause, date = response.headers.get("Retry-After"), response.headers.get("Date")
    if date and date != connections.date:
        connections.date, connections.date_seen = date, answered
        connections.server_name = response.headers.get("Server", "")
    retry_after = None if pause is None else parse_retry_after(pause, date)
    return classify(
        request, response.status, content, retry_after, mask=lambda text: lease.masked(token.masked_in(text))
    )


async def _read(response: aiohttp.ClientResponse, scope: asyncio.Timeout, silence: Silence) -> bytes:
    chunks, size = [], 0
    silence.heard = True
    while not response.content.at_eof():
        silence.begin(scope)
        chunk = await response.content.readany()
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_RESPONSE:
            raise _ResponseTooLarge
    return b"".join(chunks)


def _explain(cause: BaseException | None, silence: Silence, token: Secret) -> LosantError:
    """Return an error of ours for whatever kept an attempt from its response."""
    error: LosantError
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        error = TransportError(f"no answer: the proxy refused the connection with {cause.status}")
        if cause.status == 407:
            error.advice = "Give the proxy's user name and password in HTTPS_PROXY."
        return error
    if isinstance(cause, aiohttp.ClientResponseError):
        # Its repr shows the Authorization header, so it must not travel along as a cause.
        return TransportError(f"no valid HTTP answer: {_quoted(cause.message, token)}")
    if isinstance(cause, TimeoutError):
        if silence.heard and not silence.has_time:
            return RequestTimeoutError("no whole answer within the time of the call")
        return RequestTimeoutError(f"no answer within {silence.allowed:.3g} seconds of silence")
    if isinstance(cause, _ResponseTooLarge):
        error = ResponseFormatError(f"the answer is larger than {MAX_RESPONSE >> 20} MiB")
    elif isinstance(cause, aiohttp.ClientProxyConnectionError):
        error = TransportError(f"no answer: the proxy cannot be reached: {_quoted(str(cause), token)}")
        error.advice = "Check HTTPS_PROXY and HTTP_PROXY, name the host in NO_PROXY, or pass trust_env=False."
    else:
        text = str(cause).replace(" ssl:default", "")  # which aiohttp says of every address, encrypted or not
        error = TransportError(f"no answer: {_quoted(text, token) or type(cause).__name__}")
    if isinstance(cause, _NO_TRUST):
        error.advice = (
            "The server's certificate is not trusted here: name your certificate authority in SSL_CERT_FILE, or pass a "
            "session= of your own with an ssl context."
        )
    elif isinstance(cause, aiohttp.ClientConnectorSSLError):
        error.advice = "The TLS handshake failed, which may pass; if it does not, check that base_url speaks https."
    if isinstance(cause, aiohttp.ClientConnectorError):
        # Its own repr shows the proxy's password.
        cause = getattr(cause, "os_error", None) or getattr(cause, "certificate_error", None)
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


# The API version is the one that Losant's own clients were built for.
_HEADERS = {
    "Accept": "application/json",
    "Accept-Version": "^1.29.3",
}


class _MarkedBody(aiohttp.Payload):
    """A JSON body that knows whether any of it may have been sent, and from when on the server owes an answer."""

    _value: bytes

    def __init__(self, value: bytes, silence: Silence, scope: asyncio.Timeout) -> None:
        super().__init__(value, content_type="application/json")
        self._size = len(value)
        self._silence = silence
        self._scope = scope
        self.started = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        # A transport that is closing takes what is written to it without a word, and sends nothing.
        transport = getattr(writer, "transport", None)
        if transport is not None and transport.is_closing():
            raise ConnectionResetError("the connection was closed before anything was sent")
        if self._scope.expired() or not self._silence.has_time:
            raise TimeoutError  # nothing was sent
        self._silence.begin(self._scope)  # what the connection took was not the server's silence
        self.started = True
        await writer.write(self._value)
        if transport is not None and transport.is_closing() and len(self._value) < _AT_ONCE:
            # The very first write to the socket failed: the operating system took none of it.
            self.started = transport.get_extra_info("sslcontext") is not None


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


_NO_TRUST = aiohttp.ClientConnectorCertificateError
_BEFORE_SENDING = (
    aiohttp.ClientHttpProxyError,
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)
