"""The emulator as one object: starts and stops, and shows what it was asked."""

from __future__ import annotations

import asyncio
import functools
import math
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import attrs
from aiohttp import web

from .faults import Fault, Faults
from .fixtures import parents_first
from .routes import Handler, error_response, http_error_response, make_application, written
from .store import Store, TreeError

_LOG_LENGTH = 200_000


@attrs.define
class RequestRecord:
    """One request, in the order of arrival.

    Attributes:
        method: Its HTTP method.
        path: Its path, without the query.
        query: Its query parameters.
        time: When it came, in seconds on the event loop's clock.
        status: The status of the answer; None until there is one, 499 if the connection was cut instead.
        body: Its body.
    """

    method: str
    path: str
    query: dict[str, str]
    time: float
    status: int | None = None
    body: bytes = b""


class Emulator:
    """A Losant of one's own: `async with Emulator() as emulator`.

    It listens on this machine only and keeps its groups in memory, unless it is told otherwise.

    Args:
        port: Port to listen on; 0 for any that is free.
        host: Address to listen on; `0.0.0.0` lets other machines in.
        data: A file to keep the groups in, made if it is not there; None for memory.
        token: The token to ask for; None for the one that `data` knows, or a new one.

    Raises:
        ValueError: `token` cannot be sent in a header.
        sqlite3.Error: `data` is no database, or another emulator has it open.

    Attributes:
        url: Its address, once it is started.
        token: The token it accepts.
        application_id: Id of the application that is there from the start.
        latency: Seconds to wait before each answer.
        rate_limit: Requests a second that are taken, with bursts of a tenth of that; the others are refused with 429.
            None for any number.
        retry_after: Seconds for the `Retry-After` of each 429; None for no such header.
        lateness: Seconds that a `Fault.LATE_WRITE` is late by.
        before_request: Called with each request before it is answered, from within the emulator. It may change what is
            there, it may return a `Fault` that the request is to meet, and a ValueError that it raises refuses the
            request with a 400 `Validation` and its text.
        requests: What it was asked, oldest first; of more than 200,000 the latest half.
        peak_in_flight: The most requests that were under way at a time.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        data: str | os.PathLike[str] | None = None,
        token: str | None = None,
    ) -> None:
        _check_token(token)
        self.latency = 0.0
        self.rate_limit: float | None = None
        self.retry_after: int | None = None
        self.lateness = 0.5
        self.before_request: Callable[[RequestRecord], Fault | None] | None = None
        self.requests: list[RequestRecord] = []
        self.peak_in_flight = 0
        self._in_flight = 0
        self._faults = Faults()
        self._silence = asyncio.Event()  # set when it ends
        self._bucket = 0.0
        self._bucket_filled = -math.inf
        self._late: set[asyncio.Task[Any]] = set()
        self._port = port
        self._host = host
        self._store = Store(data)
        self.application_id = next(iter(self._store.applications()), None) or self.create_application()
        self.token = token or self._store.first_token() or secrets.token_urlsafe(32)
        self._store.add_token(self.token, ["all.Application"])
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address to give a client as its `base_url`."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::") else self._host  # noqa: S104 - the caller's choice
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    def create_application(self) -> str:
        """Make another application; returns its id."""
        return self._store.create_application()

    def create_groups(
        self, records: Iterable[Mapping[str, Any]], *, application_id: str | None = None
    ) -> dict[Any, str]:
        """Make groups, as many as you like at once, in `application_id` or the first application.

        Args:
            records: Groups in the shape in which the API lists them, in any order. What only the server sets is read
                over. `id` is a name of the record's own, for others to say as their `parentId`; any other `parentId`
                is that of a group that is there.
            application_id: Whose groups they are.

        Returns:
            The ids of the new groups, by the `id` of their records; by themselves where a record had none.

        Raises:
            ValueError: A record breaks a rule of the API, or its parent is not there. Nothing was made.
        """
        try:
            return self._store.seed(application_id or self.application_id, parents_first(records))
        except TreeError as problem:
            raise ValueError(str(problem)) from None

    def groups(self, *, application_id: str | None = None) -> list[dict[str, Any]]:
        """Return all groups of `application_id` or the first application, by ascending id, in the API's shape."""
        return [written(group) for group in self._store.groups(application_id or self.application_id)]

    def update_group(self, group_id: str, changes: Mapping[str, Any], *, application_id: str | None = None) -> None:
        """Change fields of a group, by their API names, as somebody else would; a group that is not there stays away.

        Raises:
            ValueError: The parent is none that the group can have.
        """
        try:
            self._store.update(application_id or self.application_id, group_id, changes)
        except TreeError as problem:
            raise ValueError(str(problem)) from None

    def delete_group(self, group_id: str, *, application_id: str | None = None) -> None:
        """Delete a group, as somebody else would; its children go to its parent."""
        self._store.delete(application_id or self.application_id, group_id)

    def has_groups(self) -> bool:
        """Whether there is any group in any application."""
        return self._store.has_groups()

    def create_experience_user(
        self, email: str, *, first_name: str = "", last_name: str = "", application_id: str | None = None
    ) -> str:
        """Make an experience user, of `application_id` instead of the first application if given; returns its id."""
        fields = {"email": email, "firstName": first_name, "lastName": last_name}
        return self._store.add_member(application_id or self.application_id, "experienceUsers", fields)

    def create_experience_endpoint(self, method: str, route: str, *, application_id: str | None = None) -> str:
        """Make an experience endpoint; as `create_experience_user`."""
        fields = {"method": method, "route": route}
        return self._store.add_member(application_id or self.application_id, "experienceEndpoints", fields)

    def create_device(
        self, name: str, *, tags: Mapping[str, str] | None = None, application_id: str | None = None
    ) -> str:
        """Make a device with tags; as `create_experience_user`."""
        fields = {"name": name, "tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]}
        return self._store.add_member(application_id or self.application_id, "devices", fields)

    def create_token(self, scopes: Iterable[str] = ("all.Application",)) -> str:
        """Make another token, good for some scopes in every application; returns it.

        Raises:
            TypeError: `scopes` is one text instead of several.
        """
        if isinstance(scopes, str):
            raise TypeError("scopes must be several texts, such as ['all.Application.read']")
        token = secrets.token_urlsafe(32)
        self._store.add_token(token, scopes)
        return token

    def revoke_token(self, token: str | None = None) -> None:
        """Accept a token no more, by default the first one: from now on it is answered with 401."""
        self._store.remove_token(token or self.token)

    def inject(self, fault: Fault, times: int = 1, method: str | None = None) -> None:
        """Let the next `times` requests, of one method if it is given, meet a fault.

        Raises:
            TypeError: `fault` is no `Fault`.
            ValueError: `times` is below 1, or `method` is no HTTP method.
        """
        self._faults.script(fault, times, method)

    def inject_random(self, chances: Mapping[Fault, float], seed: int | None = None) -> None:
        """Let each request meet a fault with its probability from now on; `{}` ends it. A seed makes it repeatable.

        Raises:
            TypeError: `chances` is no mapping from `Fault`s.
            ValueError: The probabilities are negative or more than 1 together.
        """
        self._faults.draw(chances, seed)

    def withdraw_faults(self) -> None:
        """Take back all faults that were injected and not met yet, and cut the connections that are kept silent."""
        self._faults.withdraw()
        self._silence.set()
        self._silence = asyncio.Event()

    async def start(self) -> None:
        """Listen; from now on `url` is right."""
        app = make_application(self._store, self._observe)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=1)
        loop = asyncio.get_running_loop()
        try:
            await self._runner.setup()
            server: Any = self._runner.server
            no_log: Any = None
            # Losant documents no compressed bodies; one that is not what it claims would break the connection.
            protocol = functools.partial(_Protocol, server, loop=loop, access_log=no_log, auto_decompress=False)
            self._server = await loop.create_server(protocol, self._host, self._port)
        except BaseException:
            await self.close()
            raise
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and close the file."""
        self._silence.set()
        for late in self._late:
            late.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._store.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        now = asyncio.get_running_loop().time()
        record = RequestRecord(request.method, request.path, dict(request.query), now)
        self.requests.append(record)
        if len(self.requests) > _LOG_LENGTH:
            del self.requests[: _LOG_LENGTH // 2]
        self._in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            record.body = await request.read()
            await asyncio.sleep(self.latency)
            response = await self._answer(request, handler, self._fault_for(record))
        except ValueError as refusal:  # of `before_request`
            response = error_response(400, "Validation", str(refusal))
        except web.HTTPException as error:  # a body that is too large
            response = http_error_response(error)
        except ConnectionError:
            response = web.Response(status=499)  # the client has gone; this reaches nobody
        finally:
            self._in_flight -= 1
        record.status = response.status
        return response

    def _fault_for(self, record: RequestRecord) -> Fault | None:
        if not self._has_room():
            return Fault.TOO_MANY_REQUESTS
        wanted = self.before_request(record) if self.before_request is not None else None
        return wanted or self._faults.next(record.method)

    async def _answer(self, request: web.Request, handler: Handler, fault: Fault | None) -> web.StreamResponse:
        if fault is None:
            return await handler(request)
        if fault is Fault.TOO_MANY_REQUESTS:
            headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
            return error_response(429, "TooManyRequests", "Rate limit exceeded", headers)
        if fault is Fault.SERVER_ERROR:
            return error_response(500, "InternalServerError", "Internal Server Error")
        if fault is Fault.UNAVAILABLE:
            return error_response(503, "ServiceUnavailable", "Service Unavailable")
        if fault is Fault.SILENCE:
            await self._silence.wait()
            return _cut(request)
        if fault is Fault.LATE_WRITE:
            await request.read()  # while there still is a connection to read it from
            late = asyncio.get_running_loop().create_task(self._answer_late(request, handler))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
        if fault in (Fault.CUT_BEFORE_WRITE, Fault.LATE_WRITE):
            return _cut(request)
        response = await handler(request)
        if fault is Fault.BAD_GATEWAY:
            return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>", content_type="text/html")
        if fault is Fault.BROKEN_BODY and isinstance(response, web.Response) and isinstance(response.body, bytes):
            broken = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
            broken.content_length = len(response.body)
            await broken.prepare(request)
            await broken.write(response.body[: len(response.body) // 2])
        return _cut(request)

    async def _answer_late(self, request: web.Request, handler: Handler) -> None:
        await asyncio.sleep(self.lateness)
        await handler(request)

    def _has_room(self) -> bool:
        if self.rate_limit is None:
            return True
        now = asyncio.get_running_loop().time()
        most = max(1.0, self.rate_limit / 10)
        self._bucket = min(most, self._bucket + (now - self._bucket_filled) * self.rate_limit)
        self._bucket_filled = now
        if self._bucket < 1:
            return False
        self._bucket -= 1
        return True


def _check_token(token: str | None) -> None:
    if token is not None and not (token and all("!" <= character <= "~" for character in token)):
        raise ValueError("token must be visible ASCII characters without blanks")


class _Protocol(web.RequestHandler):
    """Answers in Losant's shape what aiohttp refuses before a middleware sees it, such as broken HTTP."""

    __slots__ = ()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):  # such as an `Expect` that is not known
            resp = http_error_response(resp)
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was under way already")
        response = error_response(status, "Validation", message or str(exc) or "The request is no valid HTTP")
        response.force_close()
        return response


def _cut(request: web.Request) -> web.StreamResponse:
    """Cut the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)
