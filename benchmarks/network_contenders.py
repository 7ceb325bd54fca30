"""Who is sent through bad networks: ours, the usual script (aiohttp, a semaphore, tenacity), Losant's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp
import attrs
import tenacity
from losant_rest import Client

from aiolosant import LosantClient, LosantError, NewExperienceGroup, RetryPolicy, by_tag

from .stub_server import APPLICATION_ID, TOKEN

_SILENCE = 2.0  # seconds that each waits for an answer


@attrs.define
class Told:
    """What a client says of the groups that it was to create, delete or read, by name or id."""

    done: set[str] = attrs.field(factory=set)
    failed: set[str] = attrs.field(factory=set)


@attrs.frozen
class Place:
    """Where a client is to work.

    Attributes:
        url: The address.
        token: Returns the token that is good now.
        connections: How many connections its session may have; None for any number.
        at_once: How many groups it creates or deletes at a time.
    """

    url: str
    token: Callable[[], str] = lambda: TOKEN
    connections: int | None = None
    at_once: int = 16


class Contender(Protocol):
    """What each of them does."""

    async def create(self, names: Iterable[str]) -> Told:
        """Create groups."""
        ...

    async def delete(self, group_ids: Iterable[str]) -> Told:
        """Delete groups."""
        ...

    async def read(self) -> Told:
        """Read all groups."""
        ...


class Ours:
    """`create_many`, with `unique_by` or without, `delete_many` and `scan`."""

    def __init__(self, losant: LosantClient, place: Place, *, unique: bool) -> None:
        self._groups = losant.experience_groups
        self._at_once = place.at_once
        self._unique_by = by_tag("externalId") if unique else None

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Place, *, unique: bool) -> AsyncIterator[Ours]:
        """Connect, with a session of the caller's if its connections are to be few."""

        async def token() -> str:
            return place.token()

        options: dict[str, Any] = {"application_id": APPLICATION_ID, "base_url": place.url, "allow_http": True}
        options["retry"] = RetryPolicy(attempt_timeout=_SILENCE, settle_time=0.2)
        if place.connections is None:
            async with LosantClient(token, **options) as losant:
                yield cls(losant, place, unique=unique)
        else:
            connector = aiohttp.TCPConnector(limit=place.connections)
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                LosantClient(token, session=session, **options) as losant,
            ):
                yield cls(losant, place, unique=unique)

    async def create(self, names: Iterable[str]) -> Told:
        """Create groups."""
        told = Told()
        new = (NewExperienceGroup(name, group_tags={"externalId": name}) for name in names)
        async for outcome in self._groups.create_many(new, concurrency=self._at_once, unique_by=self._unique_by):
            name = outcome.request.name if isinstance(outcome.request, NewExperienceGroup) else ""
            if outcome.ok:
                told.done.add(name)
            elif outcome.status == "failed":
                told.failed.add(name)
        return told

    async def delete(self, group_ids: Iterable[str]) -> Told:
        """Delete groups."""
        told = Told()
        wanted = list(group_ids)
        async for outcome in self._groups.delete_many(wanted, concurrency=self._at_once):
            if outcome.ok:
                told.done.add(wanted[outcome.index])
            elif outcome.status == "failed":
                told.failed.add(wanted[outcome.index])
        return told

    async def read(self) -> Told:
        """Read all groups."""
        try:
            return Told({group.name async for group in self._groups.list(per_page=1000)})
        except LosantError:
            return Told()


class Script:
    """What a careful user writes: aiohttp, a semaphore, tenacity."""

    def __init__(self, session: aiohttp.ClientSession, place: Place) -> None:
        self._session = session
        self._place = place
        self._groups = f"/applications/{APPLICATION_ID}/experience/groups"

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Place) -> AsyncIterator[Script]:
        """Connect."""
        timeout = aiohttp.ClientTimeout(total=_SILENCE)
        connector = aiohttp.TCPConnector(limit=place.connections or 100)
        async with aiohttp.ClientSession(place.url, connector=connector, timeout=timeout) as session:
            yield cls(session, place)

    @tenacity.retry(stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_random_exponential(0.25, 30))
    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._place.token()}"}
        async with self._session.request(method, path, headers=headers, **options) as response:
            if method != "DELETE" or response.status != 404:  # what is gone need not be deleted
                response.raise_for_status()
            return await response.json(content_type=None) if response.ok else None

    async def create(self, names: Iterable[str]) -> Told:
        """Create groups."""
        return await self._each(
            names, lambda name: self._ask("POST", self._groups, json={"name": name, "groupTags": {"externalId": name}})
        )

    async def delete(self, group_ids: Iterable[str]) -> Told:
        """Delete groups."""
        return await self._each(group_ids, lambda group_id: self._ask("DELETE", f"{self._groups}/{group_id}"))

    async def read(self) -> Told:
        """Read all groups."""
        try:
            page = await self._ask("GET", self._groups, params={"perPage": 1000})
        except tenacity.RetryError:
            return Told()
        return Told({group["name"] for group in page["items"]})

    async def _each(self, items: Iterable[str], ask: Callable[[str], Awaitable[Any]]) -> Told:
        told, permits = Told(), asyncio.Semaphore(self._place.at_once)

        async def work(item: str) -> None:
            async with permits:
                try:
                    await ask(item)
                except tenacity.RetryError:
                    told.failed.add(item)
                else:
                    told.done.add(item)

        await asyncio.gather(*map(work, items))
        return told


class Official:
    """Losant's own client, which blocks, in threads."""

    def __init__(self, place: Place) -> None:
        self._groups: Any = Client(auth_token=place.token(), url=place.url)
        self._at_once = place.connections or place.at_once

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Place) -> AsyncIterator[Official]:
        """Make it; it connects for each call."""
        yield cls(place)

    async def create(self, names: Iterable[str]) -> Told:
        """Create groups."""
        post = self._groups.experience_groups.post
        return await self._each(
            names,
            lambda name: post(
                applicationId=APPLICATION_ID, experienceGroup={"name": name, "groupTags": {"externalId": name}}
            ),
        )

    async def delete(self, group_ids: Iterable[str]) -> Told:
        """Delete groups."""
        delete = self._groups.experience_group.delete
        return await self._each(
            group_ids, lambda group_id: delete(applicationId=APPLICATION_ID, experienceGroupId=group_id)
        )

    async def read(self) -> Told:
        """Read all groups."""
        told, pages = Told(), []
        get = self._groups.experience_groups.get
        await self._each(["all"], lambda _: pages.append(get(applicationId=APPLICATION_ID, perPage=1000)))
        told.done.update(group["name"] for page in pages for group in page["items"])
        return told

    async def _each(self, items: Iterable[str], call: Callable[[str], Any]) -> Told:
        told = Told()

        def work(item: str) -> None:
            try:
                call(item)
            except Exception:  # noqa: BLE001 - whatever it raises, the user takes it for a failure
                told.failed.add(item)
            else:
                told.done.add(item)

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(self._at_once) as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, work, item) for item in items))
        return told
