"""The emulator as one object: starts and stops, and shows what it was asked."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import attrs
from aiohttp import web

from .routes import make_application
from .store import Store

_LOG_LENGTH = 200_000


@attrs.define
class RequestRecord:
    """One request, in the order of arrival.

    Attributes:
        method: Its HTTP method.
        path: Its path, without the query.
        query: Its query parameters.
        status: The status of the answer; None until there is one.
    """

    method: str
    path: str
    query: dict[str, str]
    status: int | None = None


class Emulator:
    """A Losant of one's own: `async with Emulator() as emulator`.

    It listens on this machine only and keeps its groups in memory.

    Args:
        port: Port to listen on; 0 for any that is free.
        data: A file to keep the groups in, made if it is not there; None for memory.
        token: The token to ask for; None to make one.

    Attributes:
        url: Its address, once it is started.
        token: The token it accepts.
        application_id: Id of the application that is there from the start.
        latency: Seconds to wait before each answer.
        requests: What it was asked, oldest first; of very many the latest only.
        peak_in_flight: The most requests that were under way at a time.
    """

    def __init__(self, *, port: int = 0, data: str | os.PathLike[str] | None = None, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self.latency = 0.0
        self.requests: list[RequestRecord] = []
        self.peak_in_flight = 0
        self._in_flight = 0
        self._port = port
        self._store = Store(data)
        self.application_id = next(iter(self._store.applications()), None) or self._store.create_application()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The address to give a client as its `base_url`."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen; from now on `url` is right."""
        app = make_application(self._store, {self.token}, self._observe)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening and close the file."""
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
    async def _observe(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        record = RequestRecord(request.method, request.path, dict(request.query))
        self.requests.append(record)
        if len(self.requests) > _LOG_LENGTH:
            del self.requests[: _LOG_LENGTH // 2]
        self._in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self._in_flight)
        try:
            await asyncio.sleep(self.latency)
            response = await handler(request)
            record.status = response.status
            return response
        finally:
            self._in_flight -= 1
