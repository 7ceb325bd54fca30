"""Networks as people have them: what each client makes of them, counted by a server of raw sockets in a thread.

Beside ours: the usual script (an aiohttp session, a semaphore, tenacity around each create) and Losant's own client in
threads. `lost` are groups that were asked for and are not there; `told wrongly` those that a client calls created
though they are not there, or failed though they are.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
import tenacity
from losant_rest import Client

from aiolosant import LosantClient, NewExperienceGroup, RetryPolicy, by_tag
from tests.threaded_server import ThreadedServer, threaded_server

from .stub_server import APPLICATION_ID, TOKEN
from .table import Row

_AT_ONCE = 16
_HTML = "<html><h1>Forbidden by the gateway</h1></html>"


@attrs.define
class Told:
    """What a client says of the groups that it was to create, by name."""

    created: set[str] = attrs.field(factory=set)
    failed: set[str] = attrs.field(factory=set)


class Ours:
    """`create_many`, with `unique_by` or without."""

    def __init__(self, losant: LosantClient, *, unique: bool) -> None:
        self._groups = losant.experience_groups
        self._unique_by = by_tag("externalId") if unique else None

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, unique: bool) -> AsyncIterator[Ours]:
        """Connect."""
        policy = RetryPolicy(attempt_timeout=2, settle_time=0.2)
        async with LosantClient(TOKEN, application_id=APPLICATION_ID, base_url=url, retry=policy) as losant:
            yield cls(losant, unique=unique)

    async def create(self, names: list[str]) -> Told:
        """Create groups, some at a time."""
        told = Told()
        new = (NewExperienceGroup(name, group_tags={"externalId": name}) for name in names)
        async for outcome in self._groups.create_many(new, concurrency=_AT_ONCE, unique_by=self._unique_by):
            name = outcome.request.name if isinstance(outcome.request, NewExperienceGroup) else ""
            if outcome.ok:
                told.created.add(name)
            elif outcome.status == "failed":
                told.failed.add(name)
        return told


class Script:
    """What a careful user writes: aiohttp, a semaphore, tenacity."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Script]:
        """Connect."""
        timeout = aiohttp.ClientTimeout(total=2)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(url, headers=headers, timeout=timeout) as session:
            yield cls(session)

    async def create(self, names: list[str]) -> Told:
        """Create groups, some at a time."""
        told, permits = Told(), asyncio.Semaphore(_AT_ONCE)

        @tenacity.retry(stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_random_exponential(0.25, 30))
        async def post(name: str) -> None:
            body = {"name": name, "groupTags": {"externalId": name}}
            path = f"/applications/{APPLICATION_ID}/experience/groups"
            async with self._session.post(path, json=body) as response:
                response.raise_for_status()
                await response.json(content_type=None)

        async def work(name: str) -> None:
            async with permits:
                try:
                    await post(name)
                except tenacity.RetryError:
                    told.failed.add(name)
                else:
                    told.created.add(name)

        await asyncio.gather(*map(work, names))
        return told


class Official:
    """Losant's own client, which blocks, in threads."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Official]:
        """Make it; it connects for each call."""
        yield cls(Client(auth_token=TOKEN, url=url))

    async def create(self, names: list[str]) -> Told:
        """Create groups, some at a time."""
        told = Told()

        def post(name: str) -> None:
            body = {"name": name, "groupTags": {"externalId": name}}
            try:
                self._client.experience_groups.post(applicationId=APPLICATION_ID, experienceGroup=body)
            except Exception:  # noqa: BLE001 - whatever it raises, the user takes it for a failure
                told.failed.add(name)
            else:
                told.created.add(name)

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, post, name) for name in names))
        return told


_ARMS: dict[str, Callable[[str], Any]] = {
    "aiolosant, unique_by": lambda url: Ours.open(url, unique=True),
    "aiolosant": lambda url: Ours.open(url, unique=False),
    "aiohttp + tenacity": Script.open,
    "losant-rest": Official.open,
}


def _dead(how: str) -> Callable[[ThreadedServer], None]:
    def end(server: ThreadedServer) -> None:
        server.end_connections(how)
        time.sleep(0.05)  # the event loop stands still

    return end


def _hangs_up(server: ThreadedServer) -> None:
    server.hangs_up = True


def _quota(server: ThreadedServer) -> None:
    began, taken = time.monotonic(), 0

    def refuse() -> tuple[int, str] | None:
        nonlocal began, taken
        if time.monotonic() - began >= 4:
            began, taken = time.monotonic(), 0
        taken += 1
        return (429, '{"type": "TooManyRequests", "message": "Too many"}') if taken > 50 else None

    server.refuse = refuse


def _for_a_while(seconds: float, status: int, body: str) -> Callable[[ThreadedServer], None]:
    def begin(server: ThreadedServer) -> None:
        until = time.monotonic() + seconds
        server.refuse = lambda: (status, body) if time.monotonic() < until else None

    return begin


_RETRY_IN = '{"type": "TooManyRequests", "message": "Over rate limit, request throttled. Retry in 2 seconds"}'
_SITUATIONS: dict[str, tuple[int, Callable[[ThreadedServer], None]]] = {
    "idle connections closed": (200, _dead("fin")),
    "idle connections reset": (200, _dead("rst")),
    "idle connections silent": (200, _dead("silence")),
    "hangs up on keep-alive": (200, _hangs_up),
    "50 in 4 s, then 429": (150, _quota),
    '429 "Retry in 2 seconds"': (100, _for_a_while(2, 429, _RETRY_IN)),
    "a gateway's 403, for 1 s": (200, _for_a_while(1, 403, _HTML)),
    "503 to all, for 4 s": (400, _for_a_while(4, 503, "")),
}


async def run(scale: float) -> list[Row]:
    """Every situation, every client; the server is a new one each time."""
    rows: list[Row] = []
    for situation, (count, begin) in _SITUATIONS.items():
        for name, open_client in _ARMS.items():
            print(f"{situation}, {name} ...", file=sys.stderr)  # noqa: T201 - progress
            rows.append(await _try(situation, max(20, int(count * scale)), begin, name, open_client))
    return rows


async def _try(
    situation: str, count: int, begin: Callable[[ThreadedServer], None], name: str, open_client: Callable[[str], Any]
) -> Row:
    with threaded_server() as server:
        async with open_client(server.url) as client:
            await client.create([f"warm {n}" for n in range(2 * _AT_ONCE)])
            names = [f"{n}" for n in range(count)]
            begin(server)
            started = time.perf_counter()
            told = await client.create(names)
            seconds = time.perf_counter() - started
        there = set(server.names)
        return {
            "situation": situation,
            "client": name,
            "asked for": count,
            "done": len(told.created),
            "twice": len([one for one in server.twice if not one.startswith("warm")]),
            "lost": len(set(names) - there),
            "told wrongly": len(told.created - there) + len(told.failed & there),
            "seconds": f"{seconds:.1f}",
        }
