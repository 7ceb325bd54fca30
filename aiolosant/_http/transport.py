"""One call of the API: token, slot, send, classify, retry. Adds method, path and attempts to errors."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import attrs

from ..errors import AuthenticationError, LosantError, OutcomeUnknownError, RequestTimeoutError
from .auth import Auth, Secret
from .connections import Connections
from .deadline import Deadline
from .observer import Observer
from .request import READS, Request
from .response import Proof, Response
from .retry import RetryPolicy
from .send import Silence, send
from .throttle import Throttle

T = TypeVar("T")

logger = logging.getLogger("aiolosant")


@attrs.define
class Sent:
    """What has been sent for one call. Only `Transport` writes it; others read it when they stop waiting.

    Attributes:
        attempts: How often the request was sent.
        request: What was sent, or is to be; None as long as there is nothing.
        free: How many of these attempts do not count.
        refusals: How many of them were refused with 429.
        met_stale: Whether one of them failed over a connection that may have been dead already.
        outage: Seconds of an outage that was waited for in vain; 0 if there was none.
        on_wire: Whether an attempt is under way.
        in_doubt: Whether an attempt may have been applied without a response that says so.
        error: What went wrong with the last attempt that is followed by another; None if there is none.
    """

    attempts: int = 0
    request: Request[Any] | None = None
    free: int = 0
    refusals: int = 0
    met_stale: bool = False
    outage: float = 0.0
    on_wire: bool = False
    in_doubt: bool = False
    error: LosantError | None = None

    @property
    def counted(self) -> int:
        """How many attempts count for `RetryPolicy.max_attempts`."""
        return self.attempts - self.free


def locate(error: LosantError, method: str, path: str, sent: Sent) -> None:
    """Let an error say which request it was about, unless it already does."""
    if error.method is None or error.attempts == 0:
        error.locate(method, path, sent.attempts)


class Transport:
    """Sends requests to one API, each as often as it is safe and allowed.

    Args:
        base_url: Address of the API, with neither a query nor a slash at its end.
        auth: Knows the token.
        connections: Lends the session.
        timeout: Seconds that a call may take, all its attempts included.
        retry: When to send again.
        throttle: When to send at all.
        observer: Counts and tells what happens.

    Attributes:
        base_url: As the argument.
        background: Whether all other requests of the client go first.
        at_close: Callbacks that `close` runs before it waits for tasks.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: Auth,
        connections: Connections,
        timeout: float,
        retry: RetryPolicy,
        throttle: Throttle,
        observer: Observer,
    ) -> None:
        self.timeout = timeout
        self.retry = retry
        self.throttle = throttle
        self.observer = observer
        self.background = False
        self.at_close: set[Callable[[], None]] = set()
        self.base_url = base_url
        self._auth = auth
        self._connections = connections
        self._closed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._finishing: dict[asyncio.Task[Any], float] = {}  # and for how many seconds to let it end before closing

    @property
    def server_ahead(self) -> float | None:
        """Seconds that the server's clock is ahead of the event loop's, at the least; None if it never told them."""
        return self._connections.server_ahead

    @property
    def server_name(self) -> str:
        """What the server calls itself; "" if it does not say."""
        return self._connections.server_name

    @property
    def token_claims(self) -> dict[str, Any]:
        """What the token says of itself; nothing as long as it is not known, or if it is no JSON Web Token."""
        return self._auth.known.claims if self._auth.known is not None else {}

    def with_options(self, *, timeout: float, retry: RetryPolicy, background: bool) -> Transport:
        """Return a transport with other options that shares everything else with this one, its end included."""
        sibling = copy.copy(self)
        sibling.timeout, sibling.retry, sibling.background = timeout, retry, background
        return sibling

    def start_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that may outlive its consumer; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, coroutine: Coroutine[Any, Any, T], has_begun: Callable[[], bool], *, at_close: float) -> T:
        """Return the result of a coroutine that goes on if the caller is cancelled when it has begun to change things.

        What it fails with then is logged. `close` first lets it end for `at_close` seconds.
        """
        task = self.start_task(coroutine)
        self._finishing[task] = at_close
        task.add_done_callback(self._finishing.pop)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if has_begun():
                task.add_done_callback(_log_failure)
            else:
                task.cancel()
            raise

    async def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the closing of the client."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()

    async def close(self) -> None:
        """Send nothing more, let what is on the wire end, and close the session if it is our own."""
        await self._connections.in_own_loop(self._close())

    async def _close(self) -> None:
        try:
            if self._finishing:
                _, left = await asyncio.wait(tuple(self._finishing), timeout=max(self._finishing.values()))
                if left:
                    logger.warning("closed before %d creates were decided: each may leave a second group", len(left))
        finally:  # a cancellation ends that wait; they are broken off, and nothing is left open
            self._closed.set()
            self._connections.refuse()
            self._auth.close()
            self.throttle.close()
            for callback in tuple(self.at_close):
                callback()
            try:
                if self._tasks:
                    await asyncio.wait(self._tasks)
            finally:
                await self._connections.close()

    async def call(self, request: Request[T], deadline: Deadline, sent: Sent | None = None) -> T:
        """Return the decoded response. Send the request again as long as that is safe and there is time.

        Args:
            request: What to send.
            deadline: How much time there is.
            sent: Where to note what was sent; a call that is cancelled can tell it in no other way.

        Raises:
            ApiError: The server refused the request, or failed.
            TransportError: There was no response.
            ResponseFormatError: The response was not understood.
            OutcomeUnknownError: Instead of these, if the request is not idempotent and may have been applied.
            ConfigurationError: The client is closed, or was first used in another event loop.
        """
        sent = Sent() if sent is None else sent
        sent.request = request
        try:
            response = await self._attempt_until_final(request, deadline, sent)
            if response.error is None:
                return response.result  # type: ignore[return-value]  # there is one where there is no error
            final: LosantError = response.error
            if response.proof is Proof.UNKNOWN and not request.idempotent:
                final = OutcomeUnknownError(f"it may have been done or not: {response.error.message}")
                final.__cause__ = response.error
            if sent.outage:
                waited = f"The server has been out of reach, or failing, for {sent.outage:.0f} seconds."
                final.advice = f"{waited} {final.advice}"
            try:
                raise final
            finally:
                del response, final  # or the frame would hold the error that holds the frame
        except LosantError as error:
            locate(error, request.method, request.path, sent)
            raise

    async def _attempt_until_final(self, request: Request[T], deadline: Deadline, sent: Sent) -> Response[T]:
        renewals, urgent = 0, request.urgent
        while True:
            if self._auth.known is None:
                await self._wait_for_token(deadline, self._auth.token())
            response, token = await self._attempt(request, deadline, sent, urgent=urgent)
            if response is None:  # the token was being renewed when its turn came, or its news had become old
                await asyncio.sleep(0)
                if request.precondition is not None and request.is_news is not None and not request.is_news():
                    await deadline.wait_for_turn(request.precondition())
                    urgent = True
                continue
            if response.error is None:
                return response
            if isinstance(response.error, AuthenticationError) and token is not None and not deadline.expired:
                # A token that was good has run out; one that never was is replaced once.
                renewals += not token.was_good
                if renewals <= 1 and await self._wait_for_token(deadline, self._auth.renew(token)):
                    sent.free += 1
                    self.observer.token_renewed(request, self._auth.renewals)
                    continue
            if not await self._back_off(request, response, deadline, sent):
                return response
            if request.precondition is not None:
                sent.error = response.error
                await deadline.wait_for_turn(request.precondition())
                urgent = True

    @staticmethod
    async def _wait_for_token(deadline: Deadline, token: Coroutine[Any, Any, T]) -> T:
        try:
            return await deadline.wait_for(token, "the token provider")
        except RequestTimeoutError as error:
            error.ends_batch = True  # no other item would have a token either
            raise

    async def _back_off(self, request: Request[Any], response: Response[Any], deadline: Deadline, sent: Sent) -> bool:
        """Return whether the request is to be sent again, after the wait that this takes."""
        # A dead connection is met once: after that all idle ones are dropped.
        free = response.refused or (response.stale and not sent.met_stale)
        # An outage is waited out by whoever has the time: its end shows in the throttle, and not in attempts.
        outage = self.throttle.outage
        if deadline.patient and outage > self.retry.patience and response.error is not None:
            response.error.ends_batch = True
            sent.outage = 0.0 if response.refused else outage
            return False
        free = free or (deadline.patient and outage > 0)
        sent.met_stale |= response.stale
        sent.free += free
        sent.refusals += response.refused
        pause = response.retry_after
        if pause is not None and response.transient and pause <= self.retry.max_pause:
            self.throttle.pause(pause)
            self.observer.paused(pause)
        delay = self.retry.delay_before_resending(
            request,
            response,
            attempts=sent.counted,
            refusals=sent.refusals,
            free=free,
            draw=random.random(),  # noqa: S311 - jitter is no secret
            left=deadline.left(),
            patient=deadline.patient,
        )
        if delay is None:
            return False
        counted = f"after {sent.counted} that count, of {self.retry.max_attempts}"
        told = max(delay, self.throttle.paused_for)
        self.observer.resending(request, response.error, sent.attempts + 1, counted, told)
        if response.refused:
            with self.throttle.backing_off():  # the server's pace: the clock of a patient call stands still
                await deadline.wait_for_turn(self.sleep(delay), "the server's limit")
        else:
            await self.sleep(delay)
        return True

    async def _attempt(
        self, request: Request[T], deadline: Deadline, sent: Sent, *, urgent: bool
    ) -> tuple[Response[T] | None, Secret | None]:
        clock = asyncio.get_running_loop().time
        asked = clock()
        async with self.throttle.slot(deadline, urgent=urgent, background=self.background) as slot:
            began, slot.sent = clock(), False
            if request.method not in READS:
                await self._connections.look()
            token = self._auth.known
            if token is None or (request.is_news is not None and not request.is_news()):
                return None, None
            lease = self._connections.lend(is_create=not request.idempotent)
            try:
                if deadline.at <= clock():
                    raise deadline.error(self.throttle.waited_for)
                in_doubt_before = sent.in_doubt
                slot.sent = True
                sent.attempts += 1
                self.observer.attempts += 1
                # Assume the worst until the attempt has ended: if it is cancelled, nobody corrects this.
                sent.on_wire = sent.in_doubt = True
                silence = Silence(self.retry.attempt_timeout, deadline.at)
                response = await send(self._connections, lease, self.base_url + request.path, request, token, silence)
                sent.in_doubt = in_doubt_before or response.proof is Proof.UNKNOWN
            finally:
                sent.on_wire = False
                self._connections.take_back(lease)
            self.observer.failure = copy.copy(response.error)  # the error itself gets a traceback where it is raised
            self.observer.refused += response.refused
            self.observer.unknown += response.proof is Proof.UNKNOWN
            if self.observer.is_listened_to or logger.isEnabledFor(logging.DEBUG):  # it costs more than all else here
                times = {"waited": began - asked, "took": clock() - began}
                self.observer.attempt_ended(request, response, sent.attempts, **times)
            slot.down = response.transient and not response.refused
            if response.status is not None:
                slot.refused = response.refused
                token.was_good |= response.status != 401
            return response, token


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("what a cancelled caller had begun failed: %s", error)
