"""What the client takes of a machine: memory for long runs, time to import, and CPU as a collection grows.

Memory is that of a process of its own, its peak above what it had when it was connected and warm.
"""

from __future__ import annotations

import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path

from aiolosant import LosantClient

from .contenders import Floor, Ours
from .process import spawned
from .stub_server import APPLICATION_ID, TOKEN, stub_server
from .table import Row

IMPORTS = 15
SCANS = 5
SIZES = (1_000, 10_000, 50_000, 200_000)


async def run(scale: float) -> list[Row]:
    """All three."""
    rows: list[Row] = []
    for name, work in (("listed", _list), ("scanned", _scan), ("created from a generator", _create)):
        count = int(200_000 * scale)
        _say(f"{count:,} {name}")
        rows.append(
            {"what": f"peak memory, {count:,} {name}", "result": f"{_peak(work, count):.1f} MB above the start"}
        )
    rows.append(_imports())
    for size in SIZES:
        count = int(size * scale)
        _say(f"scan of {count:,}")
        ours, floor = await _scan_cost(count, int(SIZES[-1] * scale))
        result = f"{ours:.2f} us a group, {ours / floor:.2f} times the floor's of its pages by number"
        rows.append({"what": f"CPU of a scan of {count:,}", "result": result})
    return rows


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr)  # noqa: T201 - progress


async def _list(losant: LosantClient, _count: int) -> None:
    async for _ in losant.experience_groups.list(per_page=1000):
        pass


async def _scan(losant: LosantClient, _count: int) -> None:
    async for _ in losant.experience_groups.scan():
        pass


async def _create(losant: LosantClient, count: int) -> None:
    await Ours(losant).create(count, 32)


def _peak(work: Callable[[LosantClient, int], Awaitable[None]], count: int) -> float:
    """Megabytes that some work took at most, above what the client had to begin with."""
    with stub_server(count) as url, spawned(_measure, url, work, count) as megabytes:
        return float(megabytes)


def _measure(pipe: Connection, url: str, work: Callable[[LosantClient, int], Awaitable[None]], count: int) -> None:
    import asyncio

    async def measure() -> float:
        async with LosantClient(TOKEN, application_id=APPLICATION_ID, base_url=url) as losant:
            await losant.experience_groups.list(per_page=1000).first()
            await Ours(losant).create(100, 32)
            start = _megabytes("VmRSS")
            await work(losant, count)
            return _megabytes("VmHWM") - start

    pipe.send(asyncio.run(measure()))


def _megabytes(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def _imports() -> Row:
    _say("imports")
    seconds: dict[str, list[float]] = {"aiohttp": [], "aiolosant": []}
    with tempfile.TemporaryDirectory() as compiled:
        # As installed, both: a source tree may not keep what Python compiled.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(1 + IMPORTS):
            for module, times in seconds.items():
                statement = "from aiolosant import LosantClient" if module == "aiolosant" else f"import {module}"
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run([sys.executable, "-c", statement], check=True, env=environment)  # noqa: S603 - ours
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    ours, theirs = (statistics.median(seconds[module][1:]) for module in ("aiolosant", "aiohttp"))
    return {"what": "CPU of importing the client", "result": f"{ours / theirs:.2f} times that of import aiohttp"}


async def _scan_cost(count: int, total: int) -> list[float]:
    """Microseconds a group, ours and the floor's, over `total` groups."""
    with stub_server(count) as url:
        async with LosantClient(TOKEN, application_id=APPLICATION_ID, base_url=url) as losant, Floor.open(url) as floor:
            works: list[Callable[[], Awaitable[object]]] = [lambda: _scan(losant, count), lambda: floor.read(1000)]
            costs: list[list[float]] = [[], []]
            for _ in range(1 + SCANS):
                for work, results in zip(works, costs, strict=True):
                    gc.collect()
                    before, seen = time.process_time(), 0
                    while seen < total:  # as often as it takes: the collector comes by less often in a short run
                        await work()
                        seen += count
                    results.append((time.process_time() - before) / seen * 1e6)
            return [statistics.median(results[1:]) for results in costs]
