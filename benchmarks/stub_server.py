"""A server of canned answers in a process of its own: as fast as it can, so that the client is what is measured.

It knows one collection of groups of about 1 KB. A page is asked for by number or by the id that it begins behind; every
create is answered with the same group. Nothing is checked.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from .process import spawned

APPLICATION_ID = "575ec8687ae143cd83dc4a97"
TOKEN = "canned"  # noqa: S105 - nobody checks it

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_PAGE = re.compile(rb"[?&]page=(\d+)")
_PER_PAGE = re.compile(rb"[?&]perPage=(\d+)")
_BEHIND = re.compile(rb"gt%22(?::|%3A)%22([0-9a-f]{24})")


def group(n: int) -> dict[str, Any]:
    """The n-th group, as Losant answers it."""
    return {
        "_type": "experienceGroup",
        "_etag": '"17e5f8a8a3f-23b4"',
        "id": f"{n:024x}",
        "experienceGroupId": f"{n:024x}",
        "applicationId": APPLICATION_ID,
        "creationDate": "2022-01-30T17:18:11.911Z",
        "lastUpdated": "2022-06-13T04:00:00.000Z",
        "name": f"Tenant {n:06}",
        "description": "What a customer wrote about this site. " * 8,
        "experienceUserIds": [f"{n + i:024x}" for i in range(3)],
        "experienceEndpointIds": [f"{n + i:024x}" for i in range(2)],
        "deviceIds": [f"{n + i:024x}" for i in range(4)],
        "groupTags": {"externalId": str(n), "region": "eu"},
        "deviceTags": [{"key": "site", "value": str(n)}],
        "deviceQueryJson": None,
        "parentId": f"{n // 10:024x}",
        "ancestorIds": [f"{n // 10:024x}"],
    }


@contextmanager
def stub_server(count: int, *, latency: float = 0.0) -> Iterator[str]:
    """Serve `count` groups, each answer `latency` seconds late; gives the address."""
    with spawned(_run, count, latency) as url:
        yield url


def _run(pipe: Connection, count: int, latency: float) -> None:
    async def serve() -> None:
        answers = _Answers(count)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Protocol(answers, latency), "127.0.0.1", 0)
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    asyncio.run(serve())


class _Answers:
    def __init__(self, count: int) -> None:
        self.count = count
        self.created = _http(201, json.dumps(group(1)).encode())
        self.page = functools.lru_cache(maxsize=1000)(self._page)

    def _page(self, start: int, limit: int, number: int, total: int) -> bytes:
        items = ",".join(json.dumps(group(n)) for n in range(start, min(start + limit, self.count + 1)))
        rest = f'"totalCount":{total},"page":{number},"perPage":{limit},"applicationId":"{APPLICATION_ID}"'
        return _http(200, f'{{"items":[{items}],{rest}}}'.encode())

    def __call__(self, target: bytes) -> bytes:
        limit = int(_found(_PER_PAGE, target, b"100"))
        number = int(_found(_PAGE, target, b"0"))
        behind = int(_found(_BEHIND, target, b"0"), 16)
        return self.page(behind + number * limit + 1, limit, number, self.count - behind)


def _found(pattern: re.Pattern[bytes], target: bytes, default: bytes) -> bytes:
    match = pattern.search(target)
    return match[1] if match else default


def _http(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Protocol(asyncio.Protocol):
    def __init__(self, answers: _Answers, latency: float) -> None:
        self._answers = answers
        self._latency = latency
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = int(_found(_LENGTH, head, b"0"))
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            method, target, _ = head.split(b" ", 2)
            answer = self._answers.created if method == b"POST" else self._answers(target)
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._transport.write, answer)
            else:
                self._transport.write(answer)
