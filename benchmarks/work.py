"""What people do in bulk, by ours, by the script that one would write instead, and at best: time and requests.

The script checks nothing: neither whether a group is there already, nor whether somebody has changed it. At best each
change is one request, as many at a time as were asked for, or as fast as the limit lets them.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Awaitable
from typing import Any

import aiohttp
import attrs

from aiolosant import LosantClient

from .apart import Apart, Counted, World, apart
from .table import Row
from .work_contenders import Ours, Script
from .work_kinds import KINDS, Kind

_LATENCY = 0.03
_ROUNDS = 3
_WARM_UP = 5.0  # seconds in which a limit is found
_LIMITS: dict[str, tuple[int, dict[str, Any]]] = {
    "10/s": (250, {"rate_limit": 10}),
    "50/s": (800, {"rate_limit": 50}),
    "200/s": (2000, {"rate_limit": 200}),
    "50/s, Retry-After: 1": (800, {"rate_limit": 50, "retry_after": 1}),
    "100 in 10 s": (280, {"window": (100, 10.0)}),
}


async def run_work(scale: float) -> list[Row]:
    """Every kind without a limit, 16 and 64 at a time: the medians of three rounds, in which the arms take turns."""
    rows = []
    with apart() as server:
        for kind in KINDS:
            for at_once in (16, 64):
                _say(f"{kind.name}, {at_once} at a time")
                rows.append(await _rounds(server, kind, at_once, int(2000 * scale)))
    return rows


async def run_limits(scale: float) -> list[Row]:
    """Creates and mixed work under each limit, once by each arm: it is long enough to be steady."""
    rows = []
    with apart() as server:
        for limit, (count, world) in _LIMITS.items():
            for kind in KINDS:
                if kind.is_for_limits:
                    for at_once in (4, 16, 64):
                        _say(f"{limit}: {kind.name}, {at_once} at a time")
                        rows.append(await _under(server, kind, at_once, int(count * scale), limit, world))
    return rows


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr)  # noqa: T201 - progress


@attrs.frozen
class _Took:
    seconds: float
    counted: Counted
    given_up: int

    @property
    def refused(self) -> str:
        """The share of refused requests, once the limit could be known."""
        return f"{self.counted.refused_after(_WARM_UP):.1%}"


async def _ours(server: Apart, kind: Kind, at_once: int, count: int, world: dict[str, Any]) -> _Took:
    begun = server.begin(World(kind.world(count), _LATENCY))
    async with LosantClient(**server.options, max_in_flight=at_once + 16) as losant:
        ours = Ours(losant, at_once, losant.application(begun.target).experience_groups)
        prepared = await kind.prepare(ours, count)
    server.limit(World((), _LATENCY, **world))
    # A client of its own, so that it knows nothing of the server's pace.
    async with LosantClient(**server.options, max_in_flight=at_once + 16) as losant:
        ours = Ours(losant, at_once, losant.application(begun.target).experience_groups)
        return await _timed(server, ours, kind.ours(ours, count, prepared))


async def _script(server: Apart, kind: Kind, at_once: int, count: int, world: dict[str, Any]) -> _Took:
    begun = server.begin(World(kind.world(count), _LATENCY))
    server.limit(World((), _LATENCY, **world))
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {server.options['token']}"}
    async with aiohttp.ClientSession(server.options["base_url"], headers=headers, connector=connector) as session:
        script = Script(session, server.options["application_id"], begun.target, at_once)
        return await _timed(server, script, kind.script(script, count, begun.ids))


async def _timed(server: Apart, arm: Ours | Script, work: Awaitable[None]) -> _Took:
    gc.collect()
    began = time.perf_counter()
    await work
    seconds = time.perf_counter() - began
    return _Took(seconds, server.counted(), arm.given_up)


async def _rounds(server: Apart, kind: Kind, at_once: int, count: int) -> Row:
    ours: list[_Took] = []
    script: list[_Took] = []
    for n in range(_ROUNDS):
        for arm, took in ((_ours, ours), (_script, script))[:: 1 if n % 2 else -1]:
            took.append(await arm(server, kind, at_once, count, {}))
    ratios = [our.seconds / their.seconds for our, their in zip(ours, script, strict=True)]
    best = count * _LATENCY / at_once
    return {
        "work": kind.name,
        "at a time": at_once,
        "ours s": f"{statistics.median(one.seconds for one in ours):.2f}",
        "of the script": f"{statistics.median(ratios):.2f}",
        "of the best": f"{statistics.median(one.seconds for one in ours) / best:.2f}",
        "script of the best": f"{statistics.median(one.seconds for one in script) / best:.2f}",
        "requests a change": f"{max(len(one.counted.times) for one in ours) / count:.3f}",
        "given up": sum(one.given_up for one in ours + script),
    }


async def _under(server: Apart, kind: Kind, at_once: int, count: int, limit: str, world: dict[str, Any]) -> Row:
    ours = await _ours(server, kind, at_once, count, world)
    script = await _script(server, kind, at_once, count, world)
    if "window" in world:
        most, seconds = world["window"]
        best = (count - 1) // most * seconds
    else:
        best = (count - max(1, world["rate_limit"] / 10)) / world["rate_limit"]
    best = max(best, count * _LATENCY / at_once)
    return {
        "limit": limit,
        "work": kind.name,
        "at a time": at_once,
        "ours, of the best": f"{best / ours.seconds:.0%}",
        "script": f"{best / script.seconds:.0%}",
        "ours refused": ours.refused,
        "script's": script.refused,
        "requests a change": f"{(len(ours.counted.times) - sum(ours.counted.refused)) / count:.3f}",
        "given up": ours.given_up,
        "by the script": script.given_up,
    }
