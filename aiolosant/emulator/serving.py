"""A server on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, cast

from aiohttp import web

from .operation import error_response
from .responses import bare_response, http_error_response

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
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Transport] = set()
        self._wanted_end = asyncio.Event()
        # A daemon, so that an emulator that nobody closes keeps no interpreter alive.
        self._thread = threading.Thread(target=self._run, name="aiolosant emulator", daemon=True)
        self._listening: Future[tuple[str, int]] = Future()

    def start(self) -> tuple[str, int]:
        """Listen; returns the address and the port once connections are taken. Call it once.

        Raises:
            OSError: The port is in use, or the address is not this machine's.
            OverflowError: There is no such port.
        """
        self._thread.start()
        try:
            return self._listening.result()
        except BaseException:  # be it an interrupt
            self.stop()
            raise

    def stop(self) -> None:
        """Listen no more, cut what is under way, and wait until the thread has ended. Twice does no harm.

        Raises:
            RuntimeError: This is the thread itself.
        """
        if self._thread is threading.current_thread():
            raise RuntimeError("an emulator cannot be closed by its own before_request; close it where it was started")
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._wanted_end.set)
        if self._thread.ident is None:  # never started
            self._loop.close()
        else:
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # A runner of aiohttp's knows how to end; its own sites cannot have our protocol.
        runner = web.ServerRunner(web.Server(self._handler, request_factory=_request), shutdown_timeout=_LAST_SECONDS)
        try:
            await runner.setup()
            server: Any = runner.server
            no_log: Any = None
            # Losant documents no compressed bodies; one that is not what it claims would break the connection.
            options = {"loop": self._loop, "access_log": no_log, "auto_decompress": False}
            protocol = functools.partial(_Protocol, self._connections, server, **options)
            family, address = await self._address()
            listener = await self._loop.create_server(protocol, address, self._port, family=family)
        except BaseException as error:  # noqa: BLE001 - raised by `start`, on the thread that wants to know
            await runner.cleanup()
            self._listening.set_exception(error)
            return
        self._listening.set_result((address, listener.sockets[0].getsockname()[1]))
        try:
            await self._wanted_end.wait()
        finally:
            # The loop makes a connection known to the runner some turns after it accepted it. If the listener was
            # closed meanwhile, the connection would stay open, and nobody would know of it.
            with contextlib.suppress(NotImplementedError):  # Windows' loop
                for listening in listener.sockets:
                    self._loop.remove_reader(listening.fileno())
            await _some_turns()
            listener.close()
            await runner.cleanup()
            for connection in tuple(self._connections):
                connection.abort()  # those too that still have an answer to write, which nobody reads
            await _some_turns()  # they let go of their sockets in the next turn

    async def _address(self) -> tuple[int, str]:
        """One address, whatever a name stands for, so that there is one port."""
        found = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        return family, str(address[0])


async def _some_turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_BODY)


class _Protocol(web.RequestHandler):
    """Answers in Losant's shape what aiohttp refuses before the handler sees it, such as broken HTTP.

    It overrides what aiohttp (3.12 to 3.14) does with such a request; the tests send some.
    """

    __slots__ = ("_connection", "_connections")

    def __init__(self, connections: set[asyncio.Transport], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connections = connections
        self._connection: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection = cast("asyncio.Transport", transport)
        self._connections.add(self._connection)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):  # such as an `Expect` that is not known
            resp = bare_response(http_error_response(resp))
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
        response = bare_response(error_response(status, "Validation", message or str(exc) or "This is no valid HTTP"))
        response.force_close()
        return response
