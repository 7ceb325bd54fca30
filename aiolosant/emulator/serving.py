"""A server on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import msgspec
from aiohttp import web

from .operation import Answer, error_answer
from .traffic import http_error_answer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# The largest body that is allowed, full of characters that JSON escapes, stays below this.
_LARGEST_BODY = 4 * 1024 * 1024
# Seconds that requests have to end when the server stops; then they are cut.
_LAST_SECONDS = 0.05


class ServingThread:
    """Listens, and answers with a handler, on a thread and an event loop of its own.

    Args:
        handler: Answers a request.
        host: Name or address to listen on.
        port: Port to listen on; 0 for any that is free.
    """

    def __init__(self, handler: Handler, host: str, port: int) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> tuple[str, int]:
        """Listen; returns the address and the port once connections are taken.

        Raises:
            OSError: The port is in use, or the address is not this machine's.
        """
        listening: Future[tuple[str, int]] = Future()
        # A daemon, so that an emulator that nobody closes keeps no interpreter alive.
        self._thread = threading.Thread(
            target=asyncio.run, args=(self._serve(listening),), name="aiolosant emulator", daemon=True
        )
        self._thread.start()
        try:
            return listening.result()
        except BaseException:
            self._thread.join()
            raise

    def stop(self) -> None:
        """Listen no more, cut what is under way, and wait until the thread has ended. Twice does no harm."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    async def _serve(self, listening: Future[tuple[str, int]]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.ServerRunner(
            web.Server(self._handler, request_factory=_request), shutdown_timeout=_LAST_SECONDS, handle_signals=False
        )
        try:
            await runner.setup()
            server: Any = runner.server
            no_log: Any = None
            # Losant documents no compressed bodies; one that is not what it claims would break the connection.
            protocol = functools.partial(_Protocol, server, loop=self._loop, access_log=no_log, auto_decompress=False)
            family, address = await self._address()
            listener = await self._loop.create_server(protocol, address, self._port, family=family)
        except BaseException as error:  # noqa: BLE001 - raised by `start`, on the thread that wants to know
            await runner.cleanup()
            listening.set_exception(error)
            return
        listening.set_result((address, listener.sockets[0].getsockname()[1]))
        try:
            await self._stop.wait()
        finally:
            listener.close()
            await runner.cleanup()

    async def _address(self) -> tuple[int, str]:
        """One address, whatever a name stands for, so that there is one port."""
        found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        return family, str(address[0])


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_BODY)


class _Protocol(web.RequestHandler):
    """Answers in Losant's shape what aiohttp refuses before the handler sees it, such as broken HTTP."""

    __slots__ = ()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):  # such as an `Expect` that is not known
            resp = _bare_response(http_error_answer(resp))
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
        response = _bare_response(error_answer(status, "Validation", message or str(exc) or "This is no valid HTTP"))
        response.force_close()
        return response


def _bare_response(answer: Answer) -> web.Response:
    body = msgspec.json.encode(answer.content)
    return web.Response(status=answer.status, body=body, content_type="application/json")
