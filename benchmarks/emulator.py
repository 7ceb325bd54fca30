"""What a page of 100 costs the emulator as the collection grows: by every sort field, far down, and by keyset."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from .process import served
from .table import Row

SORT_FIELDS = ("name", "id", "creationDate", "lastUpdated")
ROUNDS = 30
Params = Mapping[str, str | int]


async def run(scale: float) -> list[Row]:
    """Milliseconds a page, over one connection, of 1,000 groups and of 100,000; both alternate."""
    large = int(100_000 * scale)
    with served(1000) as small_options, served(large) as large_options:
        async with _session(small_options) as small_session, _session(large_options) as large_session:
            rows = []
            for page in (0, large // 100 * 9 // 10):
                for field in SORT_FIELDS:  # of the 1,000 groups always their first page
                    name = f"by {field}, page {page}"
                    large_params: Params = {"sortField": field, "page": page}
                    rows.append(await _compare(name, small_session, {"sortField": field}, large_session, large_params))
            behind = [await _keyset(session) for session in (small_session, large_session)]
            rows.append(await _compare("by keyset, in the middle", small_session, behind[0], large_session, behind[1]))
            return rows


def _session(options: dict[str, Any]) -> aiohttp.ClientSession:
    url = f"{options['base_url']}/applications/{options['application_id']}/"
    return aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {options['token']}"})


async def _keyset(session: aiohttp.ClientSession) -> Params:
    """What asks for the page behind the middle one of all groups."""
    total = (await _page(session, {"perPage": 1}))["totalCount"]
    (middle,) = (await _page(session, {"sortField": "id", "perPage": 1, "page": total // 2}))["items"]
    return {"sortField": "id", "query": f'{{"id": {{"$gt": "{middle["id"]}"}}}}'}


async def _page(session: aiohttp.ClientSession, params: Params) -> Any:
    async with session.get("experience/groups", params=params) as response:
        return await response.json()


async def _compare(
    name: str, small: aiohttp.ClientSession, small_params: Params, large: aiohttp.ClientSession, large_params: Params
) -> Row:
    arms = {small: small_params, large: large_params}
    seconds: dict[aiohttp.ClientSession, list[float]] = {small: [], large: []}
    for _ in range(ROUNDS):
        for session, params in arms.items():
            before = time.perf_counter()
            page = await _page(session, params)
            seconds[session].append(time.perf_counter() - before)
            if page["count"] != 100:
                raise RuntimeError(f"{name}: {page['count']} groups instead of 100")
    medians = [statistics.median(seconds[session]) * 1000 for session in arms]
    columns = {"ms of 1,000": f"{medians[0]:.2f}", "ms of all": f"{medians[1]:.2f}"}
    return {"page of 100": name, **columns, "ratio": f"{medians[1] / medians[0]:.2f}"}
