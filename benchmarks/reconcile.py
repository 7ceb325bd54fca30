"""Migrations: a tree whose `apply` is killed ten times, and how close a skewed tree comes to its bound.

The first is counted on the server; the second is timed beside its longest chain, one by one, and as many groups without
parents, in the same run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aiolosant import LosantClient, NewExperienceGroup, by_name, by_tag, reconcile
from aiolosant.emulator import Emulator, Fault
from aiolosant.emulator.fixtures import synthetic

from .faults import FAULTS, LATENESS
from .process import served
from .table import Row

KILLS = 10
SETTLE = 2.5
"""Longer than a write can be late: a resumed run must read what the killed one has done."""


async def run(scale: float) -> list[Row]:
    """All arms."""
    killed = [
        await _killed(int(10_000 * scale), number, faults)
        for number in (signal.SIGKILL, signal.SIGINT)
        for faults in ({}, FAULTS)
    ]
    return killed + [await _skewed(int(3000 * scale), identity) for identity in ("by_name", "by_tag")]


async def _killed(count: int, number: signal.Signals, faults: dict[Fault, float]) -> Row:
    name = f"{number.name}{', with faults' if faults else ''}"
    print(f"{name} ...", file=sys.stderr)  # noqa: T201 - progress
    records = synthetic(count)
    dice = random.Random(1)  # noqa: S311 - no secret
    async with Emulator() as emulator:
        emulator.lateness = LATENESS
        emulator.inject_random(faults, seed=1)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tree.jsonl"
            file.write_text("".join(json.dumps(record) + "\n" for record in records))
            codes: Counter[int] = Counter()
            for kill in range(KILLS):
                goal = _posts(emulator) + dice.randint(1, max(1, count // KILLS))
                process = await _start_apply(emulator, file)
                ended = asyncio.ensure_future(process.wait())
                while _posts(emulator) < goal and not ended.done():  # noqa: ASYNC110 - what was seen can only be polled
                    await asyncio.sleep(0.01)
                if not ended.done():
                    process.send_signal(number)
                codes[await ended] += 1
                print(f"  {kill + 1} of {KILLS}, {goal:,} POSTs", file=sys.stderr)  # noqa: T201 - progress
                await asyncio.sleep(SETTLE if faults else 0.1)
            process = await _start_apply(emulator, file)
            last = await process.wait()
            while last == 1:  # some were left undone by faults: said so, and to be run again
                process = await _start_apply(emulator, file)
                last = await process.wait()
        posts = _posts(emulator)
        emulator.inject_random({})
        async with _client(emulator) as losant:
            there = Counter([path async for path in _paths(losant)])
    wanted = Counter(_wanted_paths(records))
    return {
        "arm": name,
        "groups": count,
        "exit codes": ", ".join(f"{times} x {code}" for code, times in sorted(codes.items())) + f", then {last}",
        "POSTs": posts,
        "there": there.total(),
        "twice": sum(times > 1 for times in there.values()),
        "not there": len(wanted - there),
        "not wanted": len(there - wanted),
    }


def _posts(emulator: Emulator) -> int:
    return sum(request.method == "POST" for request in emulator.requests)


async def _start_apply(emulator: Emulator, file: Path) -> asyncio.subprocess.Process:
    environment = {
        "LOSANT_API_URL": emulator.url,
        "LOSANT_API_TOKEN": emulator.token,
        "LOSANT_APPLICATION_ID": emulator.application_id,
    }
    command = (sys.executable, "-m", "aiolosant", "apply", str(file), "--concurrency", "32")
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(*command, env=os.environ | environment, stdout=quiet, stderr=quiet)


def _client(emulator: Emulator) -> LosantClient:
    return LosantClient(emulator.token, application_id=emulator.application_id, base_url=emulator.url)


async def _paths(losant: LosantClient) -> Any:
    groups = {group.id: group async for group in losant.experience_groups.list(per_page=1000)}
    for group in groups.values():
        yield (*(groups[above].name for above in group.ancestor_ids), group.name)


def _wanted_paths(records: Any) -> list[tuple[str, ...]]:
    paths: dict[str | None, tuple[str, ...]] = {None: ()}
    for record in records:
        paths[record["id"]] = (*paths[record.get("parentId")], record["name"])
    return [path for local, path in paths.items() if local is not None]


async def _skewed(count: int, identity: str) -> Row:
    """A chain, from every link of which leaves hang, at 20 ms and 32 at a time; beside it a chain and a flat batch."""
    print(f"skewed tree, {identity} ...", file=sys.stderr)  # noqa: T201 - progress
    known = by_name() if identity == "by_name" else by_tag("externalId")
    depth = count // 32
    records = [_record(f"link {n}", f"link {n - 1}" if n else None) for n in range(depth)]
    dice = random.Random(1)  # noqa: S311 - no secret
    # Most leaves hang high: those that hang low come late, and no order of work could use the time before.
    hung = (f"link {int(depth * dice.random() ** 2)}" for _ in range(count - depth))
    records += [_record(f"leaf {n}", link) for n, link in enumerate(hung)]
    seconds: dict[str, list[float]] = {"chain": [], "flat": [], "tree": []}
    for _ in range(3):  # alternating, each on an empty application
        with served(0, latency=0.02) as options:
            async with LosantClient(**options) as losant:
                groups = losant.experience_groups
                await groups.list().first()  # connected, and warm
                chain = [{**record, "id": f"c {record['id']}"} for record in records[:depth]]
                before = time.perf_counter()
                parent = None
                for record in chain:
                    parent = (await groups.create(NewExperienceGroup(f"c {record['name']}", parent_id=parent))).id
                seconds["chain"].append(time.perf_counter() - before)
                before = time.perf_counter()
                flat = (NewExperienceGroup(f"flat {n}", group_tags={"externalId": f"flat {n}"}) for n in range(count))
                await groups.create_many(flat, concurrency=32, unique_by=known).report()
                seconds["flat"].append(time.perf_counter() - before)
                plan = await reconcile.plan(groups, records, match_by=known)
                before = time.perf_counter()
                outcomes = [outcome.ok async for outcome in reconcile.apply(groups, plan, concurrency=32)]
                seconds["tree"].append(time.perf_counter() - before)
                if outcomes != [True] * count:
                    raise RuntimeError(f"{outcomes.count(False)} of {len(outcomes)} changes did not go well")
    chain_time, flat_time, tree_time = (sorted(times)[1] for times in seconds.values())
    return {
        "arm": f"skewed tree, {identity}",
        "groups": count,
        f"chain of {depth}, s": f"{chain_time:.2f}",
        "flat, s": f"{flat_time:.2f}",
        "count * 20 ms / 32, s": f"{count * 0.02 / 32:.2f}",
        "tree, s": f"{tree_time:.2f}",
        "of the longer": f"{tree_time / max(chain_time, flat_time):.2f}",
    }


def _record(name: str, parent: str | None) -> dict[str, Any]:
    record: dict[str, Any] = {"id": name, "name": name, "groupTags": {"externalId": name}}
    return record | {"parentId": parent} if parent else record
