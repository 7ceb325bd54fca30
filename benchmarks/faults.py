"""Creates under faults, counted on the server: what is there twice, what is lost, and what the client said of it.

A quarter of all requests meets a fault: refused (429), failed (500, 503), done but answered by a gateway's HTML (502),
cut before or after the write, cut and done late, or done with an answer that breaks off. The arm `blind retry` is what
many scripts do: tenacity around plain aiohttp, sending again whatever failed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator

import aiohttp
import tenacity

from aiolosant import LosantClient, NewExperienceGroup, RetryPolicy, by_name, by_tag
from aiolosant.emulator import Emulator, Fault
from aiolosant.identity import Identity

from .table import Row

FAULTY = 0.25
FAULTS: dict[Fault, float] = {fault: FAULTY / 8 for fault in Fault if fault is not Fault.SILENCE}
LATENCY = 0.02
LATENESS = 0.7
CONCURRENCY = 32
TAG = "externalId"
# At five, the default, one group in some 30,000 meets a fault each time and ends as `unknown`.
ATTEMPTS = 10


async def run(scale: float) -> list[Row]:
    """All arms, each on an emulator of its own."""
    count = int(10_000 * scale)
    rows = []
    arms: list[tuple[str, Identity | None, bool]] = [
        ("by_tag, no faults", by_tag(TAG), False),
        ("by_tag", by_tag(TAG), True),
        ("by_name", by_name(), True),
        ("no identity", None, True),
    ]
    for name, identity, faulty in arms:
        print(f"{name} ...", file=sys.stderr)  # noqa: T201 - progress
        rows += await _ours(name, count, identity, faulty=faulty)
    print("blind retry ...", file=sys.stderr)  # noqa: T201 - progress
    rows.append(await _blind(count))
    return rows


def _tenants(count: int) -> Iterator[NewExperienceGroup]:
    return (NewExperienceGroup(f"Tenant {n}", group_tags={TAG: str(n)}) for n in range(count))


def _start(emulator: Emulator, *, faulty: bool) -> None:
    emulator.latency = LATENCY
    emulator.lateness = LATENESS
    emulator.inject_random(FAULTS if faulty else {}, seed=1)


async def _names(emulator: Emulator) -> Counter[str]:
    """What is on the server once everything late has landed."""
    emulator.inject_random({})
    emulator.latency = 0
    await asyncio.sleep(2 * LATENESS)
    async with LosantClient(emulator.token, application_id=emulator.application_id, base_url=emulator.url) as observer:
        return Counter([group.name async for group in observer.experience_groups.list(per_page=1000)])


async def _ours(name: str, count: int, identity: Identity | None, *, faulty: bool) -> list[Row]:
    async with Emulator() as emulator:
        _start(emulator, faulty=faulty)
        options = {"application_id": emulator.application_id, "base_url": emulator.url}
        rows = []
        policy = RetryPolicy(max_attempts=ATTEMPTS)
        async with LosantClient(emulator.token, retry=policy, **options) as losant:  # type: ignore[arg-type]  # texts all
            for again in ("", ", again") if identity and faulty else ("",):
                emulator.requests.clear()
                before = time.perf_counter()
                statuses: dict[str, str] = {}
                batch = losant.experience_groups.create_many(
                    _tenants(count), concurrency=CONCURRENCY, unique_by=identity
                )
                async for outcome in batch:
                    statuses[f"Tenant {outcome.index}"] = outcome.status
                seconds = time.perf_counter() - before
                requests = Counter(request.method for request in emulator.requests)
                rows.append(_row(name + again, count, statuses, await _names(emulator), requests, seconds))
                _start(emulator, faulty=False)
        return rows


async def _blind(count: int) -> Row:
    async with Emulator() as emulator:
        _start(emulator, faulty=True)
        url = f"{emulator.url}/applications/{emulator.application_id}/experience/groups"
        statuses = {}
        places = asyncio.Semaphore(CONCURRENCY)

        @tenacity.retry(
            wait=tenacity.wait_random_exponential(0.25, max=30),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            reraise=True,
        )
        async def post(group: NewExperienceGroup) -> None:
            body = {"name": group.name, "groupTags": dict(group.group_tags)}
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                await response.json()

        async def create(group: NewExperienceGroup) -> None:
            async with places:
                try:
                    await post(group)
                    statuses[group.name] = "created"
                except aiohttp.ClientError:
                    statuses[group.name] = "failed"

        before = time.perf_counter()
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {emulator.token}"}) as session:
            await asyncio.gather(*(create(group) for group in _tenants(count)))
        seconds = time.perf_counter() - before
        requests = Counter(request.method for request in emulator.requests)
        return _row("blind retry", count, statuses, await _names(emulator), requests, seconds)


def _row(
    name: str, count: int, statuses: dict[str, str], names: Counter[str], requests: Counter[str], seconds: float
) -> Row:
    said = Counter(statuses.values())
    missing = [name for name in statuses if name not in names]
    return {
        "arm": name,
        "asked for": count,
        **{status: said[status] for status in ("created", "existing", "failed", "unknown")},
        "there": len(names),
        "twice": sum(number > 1 for number in names.values()),
        "not there": count - len(names),
        "wrongly reported": sum(statuses[name] in ("created", "existing") for name in missing)
        + sum(statuses[name] == "failed" for name in names),
        "POSTs": requests["POST"],
        "GETs": requests["GET"],
        "seconds": seconds,
    }
