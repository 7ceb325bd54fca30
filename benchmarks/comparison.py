"""Ours beside the floor, Losant's own client and the usual script: CPU and wall time, as ratios within one run."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import attrs

from .contenders import CONTENDERS, Floor, Official, Ours
from .stub_server import stub_server
from .table import Row

ROUNDS = 7
Arm = Any
Work = Callable[[Arm], Awaitable[int]]


@attrs.frozen
class _Job:
    name: str
    groups: int
    latency: float
    work: Work
    rounds: int
    arms: tuple[type[Any], ...] = CONTENDERS


async def run(scale: float, latency: float = 0.0) -> list[Row]:
    """Every job, all its arms in turn, again and again; `latency` in seconds for those that name none."""
    jobs = [
        _Job("list 20,000 by 1,000", int(20_000 * scale), latency, lambda arm: arm.read(1000, kept=[]), ROUNDS),
        _Job("list 20,000 by 100", int(20_000 * scale), latency, lambda arm: arm.read(100, kept=[]), ROUNDS),
        _Job("walk 20,000 by 1,000", int(20_000 * scale), latency, lambda arm: arm.read(1000), ROUNDS),
        _Job("walk 20,000 by 100", int(20_000 * scale), latency, lambda arm: arm.read(100), ROUNDS),
        _Job("create 5,000, 32 at a time", 1, latency, lambda arm: arm.create(int(5000 * scale), 32), 5),
        _Job("create 3,000 at 50 ms, 64", 1, 0.05, lambda arm: arm.create(int(3000 * scale), 64), 3, (Ours, Floor)),
        _Job(
            "walk 5,000 at 50 ms by 100",
            int(5000 * scale),
            0.05,
            lambda arm: arm.read(100, prefetch=8),
            3,
            (Ours, Floor, Official),
        ),
    ]
    rows: list[Row] = []
    for job in jobs:
        print(f"{job.name} ...", file=sys.stderr)  # noqa: T201 - progress
        rows += await _measure(job)
    return rows


async def _measure(job: _Job) -> list[Row]:
    cpu: dict[str, list[float]] = {arm.name: [] for arm in job.arms}
    wall: dict[str, list[float]] = {arm.name: [] for arm in job.arms}
    with stub_server(job.groups, latency=job.latency) as url:
        async with AsyncExitStack() as stack:
            arms = [await stack.enter_async_context(arm.open(url)) for arm in job.arms]
            done = {await job.work(arm) for arm in arms}  # connected, cached and warm
            for n in range(job.rounds):
                for arm in arms[n % len(arms) :] + arms[: n % len(arms)]:
                    gc.collect()
                    cpu_before, wall_before = time.process_time(), time.perf_counter()
                    done.add(await job.work(arm))
                    cpu[arm.name].append(time.process_time() - cpu_before)
                    wall[arm.name].append(time.perf_counter() - wall_before)
    if len(done) != 1:
        raise RuntimeError(f"{job.name}: the arms did not do the same work: {done}")
    (count,) = done
    return [
        {
            "work": job.name,
            "arm": name,
            "CPU us a group": statistics.median(cpu[name]) / count * 1e6,
            "spread": f"{min(cpu[name]) / count * 1e6:.0f}-{max(cpu[name]) / count * 1e6:.0f}",
            "CPU of ours": _ratio(cpu[name], cpu[Ours.name]),
            "wall s": f"{statistics.median(wall[name]):.2f}",
            "wall of ours": _ratio(wall[name], wall[Ours.name]),
        }
        for name in cpu
    ]


def _ratio(theirs: list[float], ours: list[float]) -> str:
    """How many times ours they take: the median over the rounds, in which both met the same weather."""
    return f"{statistics.median(their / our for their, our in zip(theirs, ours, strict=True)):.2f}"
