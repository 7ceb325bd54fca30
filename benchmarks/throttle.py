"""How much of a hidden limit is used, and how many requests are refused on the way, as the server counted them.

64 workers ask as fast as they may. The arm `fixed` is the usual script: a semaphore and back-off after each 429.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import sys
from collections.abc import Awaitable, Callable

import aiohttp

from aiolosant import LosantClient, LosantError, NewExperienceGroup
from aiolosant.emulator import Emulator, Fault, RequestRecord

from .quota import quota
from .table import Row

WORKERS = 64
WARM_UP = 3.0
_RATE = 50.0
_WINDOW = 4.0
Arm = Callable[[Emulator, float], Awaitable[None]]


async def run(scale: float) -> list[Row]:
    """All scenarios, one after the other."""
    rows = []
    for name, latency in (("200 a second, 20 ms", 0.02), ("200 a second, 200 ms", 0.2)):
        for arm_name, arm in (("ours", _ours), ("fixed", _fixed)):
            rows.append(await _limited(name, arm_name, arm, latency, 30 * scale))
    for limit in (_rate, _rate_with_retry_after, _quota):
        rows += [await _batch(limit, concurrency, int(1000 * scale)) for concurrency in (4, 16, 64)]
    rows += await _halved(40 * scale)
    rows += await _two_clients(40 * scale)
    rows += await _scattered(15 * scale)
    rows += await _idle(15 * scale, 60 * scale)
    return rows


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr)  # noqa: T201 - progress


async def _ours(emulator: Emulator, seconds: float) -> None:
    async with _client(emulator) as losant:
        await _work(losant, seconds)


def _client(emulator: Emulator) -> LosantClient:
    return LosantClient(
        emulator.token, application_id=emulator.application_id, base_url=emulator.url, max_in_flight=WORKERS
    )


async def _work(losant: LosantClient, seconds: float) -> int:
    """Ask with all workers for some time; how often they were answered."""
    end = asyncio.get_running_loop().time() + seconds
    done = 0

    async def worker() -> None:
        nonlocal done
        while asyncio.get_running_loop().time() < end:
            with contextlib.suppress(LosantError):
                await losant.experience_groups.list(per_page=1).first()
                done += 1

    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    return done


async def _fixed(emulator: Emulator, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    url = f"{emulator.url}/applications/{emulator.application_id}/experience/groups"
    end = loop.time() + seconds

    async def worker() -> None:
        delay = 0.25
        while loop.time() < end:
            async with session.get(url, params={"perPage": 1}) as response:
                await response.read()
            if response.status == 429:
                await asyncio.sleep(random.random() * delay)  # noqa: S311 - no secret
                delay = min(30.0, 2 * delay)
            else:
                delay = 0.25

    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": f"Bearer {emulator.token}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(worker() for _ in range(WORKERS)))


def _rates(requests: list[RequestRecord], start: float, end: float) -> tuple[float, float]:
    """Requests a second that were taken from `start` to `end` after the first, and the share that was refused."""
    first = requests[0].time
    stretch = [request for request in requests if start <= request.time - first < end]
    refused = sum(request.status == 429 for request in stretch)
    return (len(stretch) - refused) / (end - start), refused / max(1, len(stretch))


def _row(
    scenario: str, arm: str, stretch: str, requests: list[RequestRecord], start: float, end: float, limit: float
) -> Row:
    taken, refused = _rates(requests, start, end)
    used = f"{taken / limit:.1%}" if limit < math.inf else ""
    row: Row = {"scenario": scenario, "arm": arm, "stretch": stretch, "taken a second": taken}
    return row | {"of the limit": used, "refused": f"{refused:.1%}"}


async def _limited(scenario: str, arm_name: str, arm: Arm, latency: float, seconds: float) -> Row:
    _say(f"{scenario}, {arm_name}")
    async with Emulator() as emulator:
        emulator.latency, emulator.rate_limit = latency, 200
        await arm(emulator, seconds)
        return _row(scenario, arm_name, "after 3 s", emulator.requests, WARM_UP, seconds, 200)


def _rate(emulator: Emulator) -> str:
    emulator.rate_limit = _RATE
    return f"{_RATE:g} a second, a batch"


def _rate_with_retry_after(emulator: Emulator) -> str:
    emulator.retry_after = 1
    return f"{_rate(emulator)}, Retry-After: 1"


def _quota(emulator: Emulator) -> str:
    emulator.before_request = quota(_RATE * _WINDOW, _WINDOW)
    return f"{_RATE * _WINDOW:g} in {_WINDOW:g} s, a batch"


async def _batch(limit: Callable[[Emulator], str], concurrency: int, count: int) -> Row:
    """A batch of creates against 50 a second, which few at a time exceed as well as many."""
    async with Emulator() as emulator, _client(emulator) as losant:
        scenario = limit(emulator)
        _say(f"{scenario}: {count:,} creates, {concurrency} at a time")
        new = (NewExperienceGroup(f"{n}") for n in range(count))
        before = asyncio.get_running_loop().time()
        report = await losant.experience_groups.create_many(new, concurrency=concurrency).report()
        seconds = asyncio.get_running_loop().time() - before
        taken, refused = _rates(emulator.requests, 0, seconds)
        row: Row = {"scenario": scenario, "arm": f"{concurrency} at a time", "stretch": "all"}
        # Of what is created, all but the first burst or window has to wait for the limit.
        row |= {"taken a second": taken, "of the limit": f"{taken / _RATE:.1%}", "refused": f"{refused:.1%}"}
        return row | {"given up": len(report.failed)}


async def _halved(seconds: float) -> list[Row]:
    _say("halved in mid-run")
    middle = seconds / 2
    async with Emulator() as emulator:
        emulator.latency, emulator.rate_limit = 0.02, 200
        asyncio.get_running_loop().call_later(middle, setattr, emulator, "rate_limit", 100)
        await _ours(emulator, seconds)
        stretches = [("before", WARM_UP, middle, 200), ("first 5 s", middle, middle + 5, 100)]
        stretches.append(("after 5 s", middle + 5, seconds, 100))
        return [_row("200, then 100", "ours", name, emulator.requests, *rest) for name, *rest in stretches]


async def _two_clients(seconds: float) -> list[Row]:
    _say("two clients")
    async with Emulator() as emulator:
        emulator.latency, emulator.rate_limit = 0.02, 200

        async def work() -> int:
            async with _client(emulator) as losant:
                return await _work(losant, seconds)

        done = await asyncio.gather(work(), work())
        row = _row("two clients, 200 together", "ours", "after 3 s", emulator.requests, WARM_UP, seconds, 200)
        shares = ", ".join(f"{count / sum(done):.0%}" for count in done)
        return [row, {"scenario": row["scenario"], "arm": "shares", "stretch": shares}]


async def _scattered(seconds: float) -> list[Row]:
    rows = []
    for name, chance in (("no limit", 0.0), ("no limit, 3 % refused by chance", 0.03)):
        _say(name)
        async with Emulator() as emulator:
            emulator.latency = 0.02
            emulator.inject_random({Fault.TOO_MANY_REQUESTS: chance}, seed=1)
            await _ours(emulator, seconds)
            rows.append(_row(name, "ours", "all", emulator.requests, 0, seconds, math.inf))
    before, after = (float(str(row["taken a second"])) for row in rows)
    return [rows[0], rows[1] | {"of the limit": f"{after / before:.1%} of without"}]


async def _idle(seconds: float, idle: float) -> list[Row]:
    _say(f"idle for {idle:.0f} s, then a burst")
    async with Emulator() as emulator:
        emulator.latency, emulator.rate_limit = 0.02, 200
        async with _client(emulator) as losant:
            await _work(losant, seconds)
            before = _row("before an idle minute", "ours", "last 5 s", emulator.requests, seconds - 5, seconds, 200)
            await asyncio.sleep(idle)
            emulator.requests.clear()
            await _work(losant, 5)
            after = _row("after an idle minute", "ours", "first 2 s", emulator.requests, 0, 2, 200)
        return [before, after]
