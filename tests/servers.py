"""Servers that misbehave, and mocked answers: what the emulator is too well-bred for."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class MockedResponse(aiohttp.ClientResponse):
    """What aioresponses makes, with the argument that newer aiohttp insists on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
            kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


class RawServer:
    """Counts requests and answers each with a script of its own."""

    def __init__(self, *scripts: Script) -> None:
        self.requests: list[bytes] = []
        self.url = ""
        self._scripts = list(scripts)
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                self.requests.append(head + await reader.readexactly(length))
                await self._scripts.pop(0)(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._connections.discard(task)

    async def close(self) -> None:
        for task in tuple(self._connections):
            task.cancel()
        while self._connections:
            await asyncio.sleep(0)


@asynccontextmanager
async def raw_server(*scripts: Script) -> AsyncIterator[RawServer]:
    """A server that answers its n-th request with the n-th script."""
    raw = RawServer(*scripts)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield raw
        for _ in range(5):  # what was accepted just now is still to be known, and a closed server would not let it
            await asyncio.sleep(0)
        server.close()
        await raw.close()


def answer(head: str, body: bytes = b"", *, length: int | None = None, cut: bool = False) -> Script:
    """A script that sends a status line and headers, then `body`; `cut` closes the connection after it."""

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = head.splitlines()
        if length != -1:
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        if cut:
            writer.close()
            raise ConnectionError

    return script


async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A script that closes the connection without a word."""
    writer.close()
    raise ConnectionError


async def silence(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """A script that never answers."""
    await asyncio.get_running_loop().create_future()
