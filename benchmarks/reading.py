"""Reading: what look-ahead brings where each page is far away, and how much memory a long scan takes."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from aiolosant import LosantClient

from .process import served
from .table import Row


async def run_prefetch(scale: float) -> list[Row]:
    """5,000 groups in pages of 100, 50 ms away, with 8 pages on the way and with none."""
    count = int(5000 * scale)
    rows: list[Row] = []
    with served(count, latency=0.05) as options:
        async with LosantClient(**options) as losant:
            walks: dict[int, list[str]] = {}
            seconds: dict[int, list[float]] = {0: [], 8: []}
            for _ in range(3):  # alternating, so that both meet the same weather
                for prefetch in seconds:
                    before = time.perf_counter()
                    groups = losant.experience_groups.list(prefetch=prefetch)
                    walks[prefetch] = [group.id async for group in groups]
                    seconds[prefetch].append(time.perf_counter() - before)
    for prefetch, times in seconds.items():
        rows.append({"prefetch": prefetch, "groups": len(walks[prefetch]), "seconds": sorted(times)[1]})
    ratio = sorted(seconds[0])[1] / sorted(seconds[8])[1]
    same = walks[0] == walks[8] and len(walks[0]) == count
    return [*rows, {"prefetch": f"{ratio:.1f} times as fast", "groups": "same order" if same else "NOT THE SAME"}]


async def run_scan(scale: float) -> list[Row]:
    """100,000 groups scanned, 250 ms a page: one range after the other, and several side by side."""
    count = int(100_000 * scale)
    rows: list[Row] = []
    with served(count, latency=0.25) as options:
        first = 0.0
        for parallel in (1, 8, 16):
            async with LosantClient(**options) as losant:
                before = time.perf_counter()
                ids = [group.id async for group in losant.experience_groups.scan(parallel=parallel)]
                seconds = time.perf_counter() - before
            first = first or seconds
            exact = len(ids) == len(set(ids)) == count
            row: Row = {"side by side": parallel, "groups": len(ids), "each once": "yes" if exact else "NO"}
            rows.append(row | {"seconds": seconds, "times as fast": first / seconds})
    return rows


async def run_memory(scale: float) -> list[Row]:
    """100,000 groups scanned: the process's memory above what the client took to start."""
    count = int(100_000 * scale)
    with served(count) as options:
        async with LosantClient(**options) as losant:
            groups = losant.experience_groups
            await groups.scan(per_page=100).first()
            start = _resident()
            seen, highest = 0, start
            async for page in groups.scan().by_page():
                seen += len(page.items)
                highest = max(highest, _resident())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [{"groups": seen, "MB at the start": start, "highest between pages": highest - start, "peak": peak - start}]


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
