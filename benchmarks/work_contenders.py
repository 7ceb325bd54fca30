"""Bulk work by ours, and by the script that a competent user writes instead: aiohttp, a semaphore and tenacity."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import aiohttp
import tenacity

from aiolosant import ExperienceGroups, LosantClient, NewExperienceGroup, by_tag, reconcile
from aiolosant.reconcile import Plan

TAG = "externalId"


class Ours:
    """aiolosant."""

    def __init__(self, losant: LosantClient, at_once: int, target: ExperienceGroups) -> None:
        self._groups = losant.experience_groups
        self._target = target
        self._at_once = at_once
        self.given_up = 0

    async def create(self, names: Iterable[str], *, unique: bool) -> None:
        """Create groups."""
        new = (NewExperienceGroup(name, group_tags={TAG: name}) for name in names)
        unique_by = by_tag(TAG) if unique else None
        report = await self._groups.create_many(new, concurrency=self._at_once, unique_by=unique_by).report()
        self.given_up += len(report.failed) + len(report.unknown)

    async def plan(self, records: Iterable[dict[str, Any]], *, prune: bool = False) -> Plan:
        """Read what is there, and say what to do."""
        return await reconcile.plan(self._groups, records, match_by=by_tag(TAG), prune=prune)

    async def apply(self, plan: Plan) -> None:
        """Do it."""
        await self._apply(self._groups, plan)

    async def copy(self) -> None:
        """Copy the tree into another application."""
        there = await self._groups.scan(per_page=1000).to_list()
        records = [
            {"id": one.id, "name": one.name, "parentId": one.parent_id, "groupTags": dict(one.group_tags)}
            for one in there
        ]
        await self._apply(self._target, await reconcile.plan(self._target, records, match_by=by_tag(TAG)))

    async def _apply(self, groups: ExperienceGroups, plan: Plan) -> None:
        async for outcome in reconcile.apply(groups, plan, concurrency=self._at_once):
            self.given_up += not outcome.ok


class Script:
    """What a competent user writes."""

    def __init__(self, session: aiohttp.ClientSession, application_id: str, target: str, at_once: int) -> None:
        self._session = session
        self._path = f"/applications/{application_id}/experience/groups"
        self._target = f"/applications/{target}/experience/groups"
        self._permits = asyncio.Semaphore(at_once)
        self.given_up = 0

    @tenacity.retry(stop=tenacity.stop_after_attempt(8), wait=tenacity.wait_random_exponential(0.25, 30))
    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        async with self._session.request(method, path, **options) as response:
            response.raise_for_status()
            return await response.json()

    async def ask(self, method: str, path: str = "", *, below: str = "", **options: Any) -> Any:
        """Send a request, again and again if need be; returns None if it was given up."""
        async with self._permits:
            try:
                return await self._ask(method, (below or self._path) + path, **options)
            except tenacity.RetryError:
                self.given_up += 1
                return None

    async def create(self, names: Iterable[str]) -> None:
        """Create groups."""
        await asyncio.gather(*(self.ask("POST", json={"name": name, "groupTags": {TAG: name}}) for name in names))

    async def create_missing(self, names: Iterable[str]) -> None:
        """Read all groups, and create those that are not among them."""
        there = {group["groupTags"].get(TAG, "") for group in await self._read()}
        await self.create(name for name in names if name not in there)

    async def copy(self) -> None:
        """Copy the tree into another application, level by level."""
        groups, made = await self._read(), {"": ""}

        async def post(group: dict[str, Any]) -> None:
            body = {"name": group["name"], "groupTags": group["groupTags"]}
            if group.get("parentId"):
                body["parentId"] = made[group["parentId"]]
            made[group["id"]] = (await self.ask("POST", below=self._target, json=body))["id"]

        while groups:
            level = [group for group in groups if (group.get("parentId") or "") in made]
            groups = [group for group in groups if (group.get("parentId") or "") not in made]
            await asyncio.gather(*map(post, level))

    async def _read(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = []
        while len(groups) % 1000 == 0:
            params = {"perPage": 1000, "page": len(groups) // 1000, "sortField": "id"}
            listed = (await self.ask("GET", params=params))["items"]
            groups += listed
            if not listed:
                break
        return groups
