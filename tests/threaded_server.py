"""A small Losant of raw sockets in a thread of its own: it lives on while the client's event loop stands still."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_DRIPS = 8


class ThreadedServer:
    """Creates, finds, changes and deletes groups; its connections can be closed, reset or silenced at any moment.

    Attributes:
        url: Its first address.
        port: Its port.
        names: The names of the groups that were created, one for each create.
        connections: How many connections were made.
        requests: Method and path of each request.
        hangs_up: Whether it closes each connection after a response that promised to keep it.
        headers: Further headers of each response.
        refusals: Responses, as status and body, that the next requests get instead of what they asked for.
        refuse: Asked for such a response before each request; None if there is none.
        token: The only token that is accepted; None for any.
        delay: Seconds until it answers.
        dripping: Seconds over which it sends a body, in a few pieces.
        deleted: The ids of the groups that were deleted.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.connections = 0
        self.requests: list[tuple[str, str]] = []
        self.hangs_up = False
        self.headers = ""
        self.refusals: list[tuple[int, str]] = []
        self.refuse: Callable[[], tuple[int, str] | None] = lambda: None
        self.token: str | None = None
        self.delay = 0.0
        self.dripping = 0.0
        self.deleted: set[str] = set()
        self._tags: list[dict[str, str]] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._silent: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    @property
    def twice(self) -> list[str]:
        """The names of groups that were created more than once."""
        return [name for name, times in Counter(self.names).items() if times > 1]

    def end_connections(self, how: str) -> int:
        """Let all connections end by a `fin` or an `rst`, or fall into `silence`; return how many there were."""
        with self._lock:
            ended = list(self._open)
            if how == "silence":
                self._silent.update(ended)
                return len(ended)
            self._open.clear()
        for connection in ended:
            with contextlib.suppress(OSError):  # the client may have been quicker
                if how == "rst":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()
                else:
                    connection.shutdown(socket.SHUT_RDWR)
        return len(ended)

    def move(self, host: str) -> None:
        """Leave the address, which then refuses connections, for another one of this machine."""
        self.close()
        self._listener = socket.create_server((host, self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever accepts
        self._listener.close()
        self.end_connections("fin")

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        try:
            while line := file.readline():
                method, target, _ = line.decode().split()
                length, token = 0, ""
                while (header := file.readline()) not in (b"\r\n", b""):
                    if header.lower().startswith(b"content-length:"):
                        length = int(header[15:])
                    if header.lower().startswith(b"authorization: bearer "):
                        token = header[22:].decode().strip()
                body = file.read(length)
                time.sleep(self.delay)
                with self._lock:
                    if connection in self._silent:
                        continue
                    self.requests.append((method, target))
                    refusal = self.refusals.pop(0) if self.refusals else self.refuse()
                    if refusal is None and self.token not in (None, token):
                        refusal = (401, '{"type": "Unauthorized", "message": "Invalid token"}')
                    status, content = refusal or self._answer(method, target, body)
                head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content.encode())}\r\n{self.headers}\r\n"
                self._send(connection, head.encode(), content.encode())
                if self.hangs_up:
                    break
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            file.close()
            connection.close()

    def _send(self, connection: socket.socket, head: bytes, content: bytes) -> None:
        if not self.dripping:
            connection.sendall(head + content)
            return
        connection.sendall(head)
        size = len(content) // _DRIPS + 1
        for start in range(0, len(content), size):
            time.sleep(self.dripping / _DRIPS)
            connection.sendall(content[start : start + size])

    def _answer(self, method: str, target: str, body: bytes) -> tuple[int, str]:
        path, _, query = target.partition("?")
        if method == "POST":
            new = json.loads(body)
            self.names.append(new["name"])
            self._tags.append(new.get("groupTags", {}))
            return 201, json.dumps(self._group(len(self.names) - 1))
        if method == "GET" and path.endswith("/groups"):
            condition = json.loads(urllib.parse.parse_qs(query).get("query", ["{}"])[0])
            wanted = condition.get("groupTags", {}).get("externalId", {}).get("$in")
            items = [
                self._group(n)
                for n, tags in enumerate(self._tags)
                if wanted is None or tags.get("externalId") in wanted
            ]
            return 200, json.dumps({"items": items, "totalCount": len(items), "page": 0, "perPage": 1000})
        if method == "DELETE":
            self.deleted.add(path.rsplit("/", 1)[-1])
            return 200, '{"success": true}'
        return 200, json.dumps({"id": path.rsplit("/", 1)[-1], "name": "a group"})

    def _group(self, n: int) -> dict[str, Any]:
        return {"id": f"{n + 1:024x}", "name": self.names[n], "groupTags": self._tags[n]}


@contextmanager
def threaded_server() -> Iterator[ThreadedServer]:
    """A server for one test."""
    server = ThreadedServer()
    try:
        yield server
    finally:
        server.close()
