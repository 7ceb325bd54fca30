"""The same work by four clients: ours, the floor, Losant's own, and the usual script.

The floor is what the wire costs: one aiohttp session, `orjson`, no models, no retries, nothing checked. The usual
script is what one writes first: httpx, `gather` behind a semaphore, pydantic models.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import orjson
import pydantic
from losant_rest import Client
from pydantic.alias_generators import to_camel

from aiolosant import LosantClient, NewExperienceGroup

from .stub_server import APPLICATION_ID, TOKEN

PATH = f"/applications/{APPLICATION_ID}/experience/groups"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}


class Ours:
    """aiolosant as the README shows it."""

    name = "aiolosant"

    def __init__(self, losant: LosantClient) -> None:
        self._groups = losant.experience_groups

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Ours]:
        """Connect."""
        async with LosantClient(TOKEN, application_id=APPLICATION_ID, base_url=url) as losant:
            yield cls(losant)

    async def read(self, per_page: int, prefetch: int = 0, kept: list[Any] | None = None) -> int:
        """Read all groups, and keep them; returns how many."""
        count = 0
        async for group in self._groups.list(per_page=per_page, prefetch=prefetch):
            count += bool(group.name)
            if kept is not None:
                kept.append(group)
        return count

    async def create(self, count: int, concurrency: int) -> int:
        """Create groups, some at a time; returns how many."""
        new = (NewExperienceGroup(f"Tenant {n}", group_tags={"externalId": str(n)}) for n in range(count))
        created = 0
        async for outcome in self._groups.create_many(new, concurrency=concurrency):
            created += outcome.ok
        return created


class Floor:
    """What the wire costs."""

    name = "floor"

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Floor]:
        """Connect."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(url, headers=HEADERS, connector=connector) as session:
            yield cls(session)

    async def _page(self, number: int, per_page: int) -> Any:
        params: dict[str, str | int] = {
            "sortField": "name",
            "sortDirection": "asc",
            "page": number,
            "perPage": per_page,
        }
        async with self._session.get(PATH, params=params) as response:
            return orjson.loads(await response.read())

    async def read(self, per_page: int, prefetch: int = 0, kept: list[Any] | None = None) -> int:  # noqa: ARG002 - page after page
        """Read all groups, and keep them; returns how many."""
        count = number = 0
        while True:
            page = await self._page(number, per_page)
            for group in page["items"]:
                count += bool(group["name"])
                if kept is not None:
                    kept.append(group)
            number += 1
            if count >= page["totalCount"]:
                return count

    async def create(self, count: int, concurrency: int) -> int:
        """Create groups, some at a time; returns how many."""
        numbers = iter(range(count))
        created = 0

        async def work() -> None:
            nonlocal created
            for n in numbers:
                body = orjson.dumps({"name": f"Tenant {n}", "groupTags": {"externalId": str(n)}})
                headers = {"Content-Type": "application/json"}
                async with self._session.post(PATH, data=body, headers=headers) as response:
                    created += bool(orjson.loads(await response.read())["id"])

        await asyncio.gather(*(work() for _ in range(concurrency)))
        return created


class Official:
    """Losant's own client; it blocks, so that more at a time takes threads."""

    name = "losant-rest"

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Official]:
        """Make it; it connects for each call."""
        yield cls(Client(auth_token=TOKEN, url=url))

    async def read(self, per_page: int, prefetch: int = 0, kept: list[Any] | None = None) -> int:  # noqa: ARG002 - as above
        """Read all groups, and keep them; returns how many."""
        return await asyncio.to_thread(self._read, per_page, kept)

    def _read(self, per_page: int, kept: list[Any] | None) -> int:
        count = number = 0
        while True:
            page = self._client.experience_groups.get(
                applicationId=APPLICATION_ID, page=str(number), perPage=str(per_page)
            )
            for group in page["items"]:
                count += bool(group["name"])
                if kept is not None:
                    kept.append(group)
            number += 1
            if count >= page["totalCount"]:
                return count

    async def create(self, count: int, concurrency: int) -> int:
        """Create groups, some at a time; returns how many."""

        def post(n: int) -> int:
            body = {"name": f"Tenant {n}", "groupTags": {"externalId": str(n)}}
            made = self._client.experience_groups.post(applicationId=APPLICATION_ID, experienceGroup=body)
            return bool(made["id"])

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(concurrency) as pool:
            return sum(await asyncio.gather(*(loop.run_in_executor(pool, post, n) for n in range(count))))


class _Group(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=to_camel, populate_by_name=True)

    id: str = ""
    name: str
    description: str | None = None
    experience_user_ids: list[str] = []
    experience_endpoint_ids: list[str] = []
    device_ids: list[str] = []
    device_tags: list[dict[str, str]] = []
    group_tags: dict[str, str] = {}
    device_query_json: str | None = None
    parent_id: str | None = None
    ancestor_ids: list[str] = []
    application_id: str | None = None
    creation_date: pydantic.AwareDatetime | None = None
    last_updated: pydantic.AwareDatetime | None = None


class Script:
    """What one writes first."""

    name = "httpx + pydantic"

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Script]:
        """Connect."""
        async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=60) as client:
            yield cls(client)

    async def read(self, per_page: int, prefetch: int = 0, kept: list[Any] | None = None) -> int:  # noqa: ARG002 - page after page
        """Read all groups, and keep them; returns how many."""
        count = number = 0
        while True:
            response = await self._client.get(PATH, params={"page": number, "perPage": per_page})
            response.raise_for_status()
            page = response.json()
            for group in map(_Group.model_validate, page["items"]):
                count += bool(group.name)
                if kept is not None:
                    kept.append(group)
            number += 1
            if count >= page["totalCount"]:
                return count

    async def create(self, count: int, concurrency: int) -> int:
        """Create groups, some at a time; returns how many."""
        places = asyncio.Semaphore(concurrency)

        async def post(n: int) -> int:
            new = _Group(name=f"Tenant {n}", group_tags={"externalId": str(n)})
            async with places:
                body = new.model_dump(by_alias=True, exclude_defaults=True)
                response = await self._client.post(PATH, json=body)
                response.raise_for_status()
                return bool(_Group.model_validate(response.json()).id)

        return sum(await asyncio.gather(*(post(n) for n in range(count))))


CONTENDERS = (Ours, Floor, Official, Script)
