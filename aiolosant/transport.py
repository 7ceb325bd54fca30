"""Calls across their attempts: each in its turn, sent again where that is safe, within its time; and the session."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiohttp

from .attempt import Attempt, Proof, Request
from .auth import Auth, Secret
from .call import Call
from .errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    LosantError,
    OutcomeUnknownError,
)
from .exchange import exchange
from .ledger import Ledger
from .retry import RetryPolicy
from .throttle import Throttle

T = TypeVar("T")

logger = logging.getLogger("aiolosant")
logger.addHandler(logging.NullHandler())


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
        ledger: Which groups are being created, and which may still be by a write whose answer was lost.
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
        self.ledger = Ledger()
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
            OutcomeUnknownError: Instead of these, if the request is not idempotent and may have been carried out.
            ConfigurationError: The client is closed, or was first used in another event loop.
        """
        call = call or Call(self.timeout)
        call.start()
        try:
            return await self._call(request, call)
        except LosantError as error:
            error.locate(request.method, request.path, call.attempts)
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
        error: LosantError = attempt.error
        if attempt.proof is Proof.UNKNOWN and not request.idempotent:
            error = OutcomeUnknownError(f"it may have been done or not: {attempt.error.message}")
            error.__cause__ = attempt.error
        try:
            raise error
        finally:
            del attempt, error  # which its frame would hold in a circle, for the collector to find

    async def _wait_before_resending(self, request: Request[Any], attempt: Attempt[Any], call: Call) -> bool:
        """Whether the request is to be sent again; if so, the wait before it is over."""
        pause = attempt.error.retry_after if isinstance(attempt.error, ApiError) else None
        if pause is not None and attempt.transient and pause <= self.retry.max_pause:
            logger.warning("the server asks for a pause of %g seconds", pause)
            self._throttle.pause(pause)
        resendable = attempt.transient and (request.idempotent or attempt.proof is Proof.NOT_APPLIED)
        delay = self.retry.wait(call.attempts, self.draw(), asked=pause, left=call.left(), patient=call.patient)
        if not resendable or not call.wanted or delay is None:
            return False
        logger.warning(
            "%s %s: resending in %.2f seconds, attempt %d of %d: %s",
            *(request.method, request.path, delay, call.attempts + 1, self.retry.max_attempts, attempt.error),
        )
        with self._throttle.backing_off() if attempt.status == 429 else contextlib.nullcontext():
            await self.sleep(delay)
        if call.check is not None:
            await call.check()
        return True

    async def _attempt_in_turn(self, request: Request[T], token: Secret, call: Call) -> Attempt[T]:
        slot = self._throttle.acquire_nowait()
        if slot is None:
            slot = await call.wait_patiently_for(self._throttle.acquire(urgent=call.urgent))
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
            self._throttle.release(slot, refused=refused)

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
            attempt = await exchange(session, self._base_url, request, token, seconds)
            call.doubtful = doubtful_before or attempt.proof is Proof.UNKNOWN
            return attempt
        finally:
            call.on_wire = False
            self._on_wire -= 1
            if not self._on_wire:
                self._quiet.set()

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
