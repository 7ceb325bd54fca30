"""Networks as people have them: what each client makes of them, counted by a server of raw sockets in a thread.

`lost` are groups that were asked for and are not there (to be deleted: still there; to be read: not read). `told
wrongly` are those that a client calls done though they are not, or failed though they are done. What cannot be counted
so (a provider that hangs, a `.netrc`, certificates, blocking calls, pickling, `aclosing`) has its tests alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from unittest import mock

import attrs

from tests.threaded_server import ThreadedServer, threaded_server

from .network_contenders import Contender, Official, Ours, Place, Script, Told
from .table import Row

_ARMS: dict[str, Callable[[Place], AbstractAsyncContextManager[Contender]]] = {
    "aiolosant, unique_by": lambda place: Ours.open(place, unique=True),
    "aiolosant": lambda place: Ours.open(place, unique=False),
    "aiohttp + tenacity": Script.open,
    "losant-rest": Official.open,
}
_WARM = 32  # groups that are created while all is well
_HTML = "<html><h1>Not found by the gateway</h1></html>"
_TOO_MANY = '{"type": "TooManyRequests", "message": "Over rate limit, request throttled.%s"}'
_HOST = "losant.test"  # a name that the benchmark resolves itself
_real_getaddrinfo = socket.getaddrinfo

Begin = Callable[[ThreadedServer], None]
Scene = Callable[[ThreadedServer], contextlib.AbstractContextManager[Place]]


@contextmanager
def _plain(server: ThreadedServer) -> Iterator[Place]:
    yield Place(server.url)


@contextmanager
def _named(server: ThreadedServer) -> Iterator[Place]:
    """Reach the server by a name whose address can move."""
    with mock.patch("socket.getaddrinfo", _at("127.0.0.1")):
        yield Place(f"http://{_HOST}:{server.port}")


@contextmanager
def _behind_proxy(server: ThreadedServer) -> Iterator[Place]:
    """Reach the server through a proxy alone, which the environment names: it is its own."""
    with mock.patch.dict(os.environ, {"http_proxy": server.url, "no_proxy": ""}):
        yield Place(f"http://{_HOST}")


@contextmanager
def _few_connections(server: ThreadedServer) -> Iterator[Place]:
    yield Place(server.url, connections=2, at_once=100)


@contextmanager
def _changing_token(server: ThreadedServer) -> Iterator[Place]:
    server.token = f"token-{0}"
    yield Place(server.url, token=lambda: str(server.token))


def _at(address: str) -> Callable[..., Any]:
    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        return _real_getaddrinfo(address if host == _HOST else host, *rest, **options)

    return getaddrinfo


def _dead(how: str) -> Begin:
    def end(server: ThreadedServer) -> None:
        server.end_connections(how)
        time.sleep(0.05)  # the event loop stands still

    return end


def _moves(server: ThreadedServer) -> None:
    server.move("127.0.0.2")
    socket.getaddrinfo = _at("127.0.0.2")


def _sets(**attributes: Any) -> Begin:
    def begin(server: ThreadedServer) -> None:
        for name, value in attributes.items():
            setattr(server, name, value)

    return begin


def _quota(server: ThreadedServer) -> None:
    began, taken = time.monotonic(), 0

    def refuse() -> tuple[int, str] | None:
        nonlocal began, taken
        if time.monotonic() - began >= 4:
            began, taken = time.monotonic(), 0
        taken += 1
        return (429, _TOO_MANY % "") if taken > 50 else None

    server.refuse = refuse


def _for_a_while(seconds: float, status: int, body: str) -> Begin:
    def begin(server: ThreadedServer) -> None:
        until = time.monotonic() + seconds
        server.refuse = lambda: (status, body) if time.monotonic() < until else None

    return begin


def _date(server: ThreadedServer) -> None:
    """Refuse until a date, on a clock that is ten minutes ahead of ours."""
    until = int(time.time()) + 3

    def refuse() -> tuple[int, str] | None:
        dates = [format_datetime(datetime.fromtimestamp(when + 600, UTC), usegmt=True) for when in (time.time(), until)]
        server.headers = f"Date: {dates[0]}\r\nRetry-After: {dates[1]}\r\n"
        if time.time() < until:
            return (429, _TOO_MANY % "")
        server.headers = ""
        return None

    server.refuse = refuse


def _rotates(server: ThreadedServer) -> None:
    """Change the token every hundred requests."""
    taken = 0

    def refuse() -> None:
        nonlocal taken
        taken += 1
        if taken % 100 == 0:
            server.token = f"token-{taken // 100}"

    server.refuse = refuse


@attrs.frozen
class _Situation:
    count: int
    begin: Begin
    verb: str = "create"
    scene: Scene = _plain


_SITUATIONS: dict[str, _Situation] = {
    "idle connections closed": _Situation(200, _dead("fin")),
    "idle connections reset": _Situation(200, _dead("rst")),
    "idle connections silent": _Situation(200, _dead("silence")),
    "hangs up on keep-alive": _Situation(200, _sets(hangs_up=True)),
    "the address moves": _Situation(200, _moves, scene=_named),
    "50 in 4 s, then 429": _Situation(150, _quota),
    '429 "Retry in 2 seconds"': _Situation(100, _for_a_while(2, 429, _TOO_MANY % " Retry in 2 seconds")),
    "429 until a date, clocks differ": _Situation(100, _date),
    "a gateway's 403, for 1 s": _Situation(200, _for_a_while(1, 403, _HTML)),
    "a gateway's 404 to deletes, 1 s": _Situation(_WARM, _for_a_while(1, 404, _HTML), "delete"),
    "503 to all, for 4 s": _Situation(400, _for_a_while(4, 503, "")),
    "the token changes": _Situation(400, _rotates, scene=_changing_token),
    "a proxy in the environment": _Situation(100, _sets(), scene=_behind_proxy),
    "two connections, 100 at once": _Situation(100, _sets(delay=0.1), scene=_few_connections),
    "a page that takes 4 s to arrive": _Situation(_WARM, _sets(dripping=4.0), "read"),
}


async def run(scale: float) -> list[Row]:
    """Every situation, every client; the server is a new one each time."""
    rows: list[Row] = []
    for name, situation in _SITUATIONS.items():
        count = max(20, int(situation.count * scale))
        for arm, open_client in _ARMS.items():
            print(f"{name}, {arm} ...", file=sys.stderr)  # noqa: T201 - progress
            rows.append({"situation": name, "client": arm} | await _try(situation, count, open_client))
    return rows


async def _try(
    situation: _Situation, count: int, open_client: Callable[[Place], AbstractAsyncContextManager[Contender]]
) -> Row:
    with threaded_server() as server, situation.scene(server) as place:
        async with open_client(place) as client:
            await client.create([f"warm {n}" for n in range(_WARM)])
            situation.begin(server)
            started = time.perf_counter()
            if situation.verb == "create":
                wanted = {str(n) for n in range(count)}
                told = await client.create(sorted(wanted))
                done = wanted & set(server.names)
            elif situation.verb == "delete":
                wanted = {f"{n + 1:024x}" for n in range(_WARM)}
                told = await client.delete(sorted(wanted))
                done = server.deleted
            else:
                told = await client.read()
                wanted = set(server.names)
                done = told.done
            seconds = time.perf_counter() - started
        return _row(wanted, done, told, server) | {"seconds": f"{seconds:.1f}"}


def _row(wanted: set[str], done: set[str], told: Told, server: ThreadedServer) -> Row:
    return {
        "asked for": len(wanted),
        "done": len(told.done & done),
        "twice": len([name for name in server.twice if not name.startswith("warm")]),
        "lost": len(wanted - done),
        "told wrongly": len(told.done - done) + len(told.failed & done),
    }
