"""Four programs create the same groups at the same moment: how often each is there, and what everybody was told.

Beside the same without `contested=True`. Counted by the server. What it costs is in requests for each create that was
asked for, and in seconds.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from typing import Any

from aiolosant import LosantClient, NewExperienceGroup, RetryPolicy, by_tag
from aiolosant.emulator import Emulator, Fault

from .table import Row

PROGRAMS = 4
GOOD = ("created", "existing")
FAULTS = {
    Fault.UNAVAILABLE: 0.04,
    Fault.CUT_AFTER_WRITE: 0.04,
    Fault.CUT_BEFORE_WRITE: 0.03,
    Fault.BROKEN_BODY: 0.02,
    Fault.LATE_WRITE: 0.02,
}


async def run(scale: float) -> list[Row]:
    """Without and with faults, five seeds each, and one run without `contested`."""
    count = int(500 * scale)
    rows = [_measured(count, faulty=False, seed=1, contested=False)]
    for faulty in (False, True):
        rows += [_measured(count, faulty=faulty, seed=seed, contested=True) for seed in range(1, 6)]
    return rows


def _measured(count: int, *, faulty: bool, seed: int, contested: bool) -> Row:
    context = multiprocessing.get_context("spawn")
    with Emulator() as emulator:
        emulator.lateness = 0.7
        emulator.inject_random(FAULTS if faulty else {}, seed=seed)
        begin, told = context.Barrier(PROGRAMS + 1), context.Queue()
        options = {"token": emulator.token, "application_id": emulator.application_id, "base_url": emulator.url}
        programs = [
            context.Process(target=_program, args=(options, count, contested, begin, told)) for _ in range(PROGRAMS)
        ]
        for program in programs:
            program.start()
        begin.wait()
        before = time.perf_counter()
        answers: list[dict[str, tuple[str, str]]] = [told.get() for _ in programs]
        seconds = time.perf_counter() - before
        for program in programs:
            program.join()
        emulator.inject_random({})
        there = {group["name"]: group["id"] for group in emulator.groups()}
        names = Counter(group["name"] for group in emulator.groups())
        wrong = sum(answer[name][1] != there.get(name) for answer in answers for name in answer)
        return {
            "contested": "yes" if contested else "no",
            "faults": "15 %" if faulty else "none",
            "seed": seed,
            "twice": sum(number - 1 for number in names.values()),
            "not there": count - len(names),
            "failed or unknown": sum(
                status not in ("created", "existing") for one in answers for status, _ in one.values()
            ),
            "told of another": wrong,
            "requests a create": f"{len(emulator.requests) / (PROGRAMS * count):.2f}",
            "seconds": f"{seconds:.1f}",
        }


def _program(options: dict[str, Any], count: int, contested: bool, begin: Barrier, told: Any) -> None:  # noqa: FBT001 - across processes
    told.put(asyncio.run(_create(options, count, begin, contested=contested)))


async def _create(
    options: dict[str, Any], count: int, begin: Barrier, *, contested: bool
) -> dict[str, tuple[str, str]]:
    policy = RetryPolicy(max_attempts=10)
    async with LosantClient(**options, retry=policy, trust_env=False) as losant:
        await losant.experience_groups.list().count()
        begin.wait()
        batch = losant.experience_groups.create_many(
            _groups(count), concurrency=16, unique_by=by_tag("externalId"), contested=contested
        )
        return {
            outcome.request.name: (outcome.status, outcome.group.id if outcome.group else "") async for outcome in batch
        }


def _groups(count: int) -> Iterator[NewExperienceGroup]:
    return (NewExperienceGroup(f"Tenant {n}", group_tags={"externalId": f"{n}"}) for n in range(count))
