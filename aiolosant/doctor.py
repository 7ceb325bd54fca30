"""What holds of a live Losant: `examine` reads, `probe` writes into a marked subtree of its own and removes it.

This package assumes several things that Losant does not document. Each finding says whether one holds where you are,
and what of ours breaks if it does not.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import attrs

from ._http import codec
from ._http.deadline import Deadline
from ._http.endpoint import GroupsEndpoint
from ._http.request import Request
from .client import LosantClient
from .errors import BadRequestError, LosantError, NotFoundError
from .groups import ExperienceGroups, parts_of
from .models import ExperienceGroup, NewExperienceGroup

Verdict = Literal["as assumed", "otherwise", "unknown"]

MARK = "aiolosantDoctor"
"""The key of the group tag that everything carries which a probe makes."""
_NAME = "aiolosant doctor"
_WRITES = 50  # that are measured until they show in a list
_AT_A_TIME = 10
_LOOK_EVERY = 0.02  # seconds
_LONGEST_LOOK = 30.0  # seconds
_WORST_CLOCK = 60.0  # seconds
# What is recommended on top of the worst that was seen.
_MARGIN = 1.5
_LEAST = 0.5  # seconds


@attrs.frozen
class Finding:
    """What was found out.

    Attributes:
        name: What it is about, in a few words.
        verdict: Whether it is `as assumed`, `otherwise`, or `unknown`.
        seen: What was seen, in a sentence.
        breaks: What of this package breaks if it is not as assumed.
    """

    name: str
    verdict: Verdict
    seen: str
    breaks: str = ""

    def __str__(self) -> str:
        breaks = f" Then {self.breaks}." if self.verdict == "otherwise" and self.breaks else ""
        return f"{self.verdict:<10}  {self.name}: {self.seen}.{breaks}"


@attrs.frozen
class Report:
    """All findings; as text it can be pasted into an issue, since it holds no secret.

    Attributes:
        findings: In the order in which they were made.
        settle_time: What to give to `RetryPolicy(settle_time=)` or LOSANT_SETTLE_TIME, in seconds; None if it was not
            measured.
    """

    findings: tuple[Finding, ...]
    settle_time: float | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is otherwise than assumed."""
        return all(finding.verdict != "otherwise" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        return {"settleTime": self.settle_time, "findings": [attrs.asdict(finding) for finding in self.findings]}

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.findings]
        if self.settle_time is not None:
            lines.append(f"recommended: LOSANT_SETTLE_TIME={self.settle_time:g}")
        return "\n".join(lines)


Check = Callable[[], Awaitable[Finding]]


async def _checked(name: str, check: Check) -> Finding:
    try:
        return await check()
    except LosantError as error:
        return Finding(name, "unknown", f"it could not be found out: {error}".rstrip("."))


async def examine(losant: LosantClient) -> Report:
    """Find out what reading tells: the application, the latency, the clock, whether groups may be read.

    Raises:
        ConfigurationError: The client has no application.
    """
    groups = losant.experience_groups
    endpoint, _ = parts_of(groups)
    transport = endpoint.transport

    async def application() -> Finding:
        found = await losant.request("GET", endpoint.path.removesuffix("/experience/groups"))
        name, api = found.get("name"), found.get("id")
        return Finding("application", "as assumed", f"it is called {name!r}, and its id is {api}")

    async def reading() -> Finding:
        return Finding("reading", "as assumed", f"there are {await groups.list().count():,} groups")

    async def latency() -> Finding:
        seconds = []
        for _ in range(5):
            before = asyncio.get_running_loop().time()
            await groups.list(per_page=1).first()
            seconds.append(asyncio.get_running_loop().time() - before)
        return Finding("latency", "as assumed", f"a small request takes {statistics.median(seconds) * 1000:.0f} ms")

    async def clock() -> Finding:
        if transport.server_ahead is None:
            breaks = "contested creates wait for groups that have been there for long"
            return Finding("clock", "otherwise", "the server does not tell its time", breaks)
        ahead = transport.server_ahead + asyncio.get_running_loop().time() - time.time()
        verdict: Verdict = "as assumed" if abs(ahead) < _WORST_CLOCK else "otherwise"
        words = f"the server's is {abs(ahead):.0f} seconds {'ahead of' if ahead > 0 else 'behind'} this machine's"
        return Finding("clock", verdict, words, "dates in logs differ; nothing of ours relies on this machine's clock")

    checks = {"application": application, "reading": reading, "latency": latency, "clock": clock}
    return Report(tuple([await _checked(name, check) for name, check in checks.items()]))


async def probe(groups: ExperienceGroups) -> Report:
    """Find out what nobody documents, by writing into a marked subtree that is removed again, whatever happens.

    What an earlier probe left, because it was killed, is removed first. It makes some 60 groups.

    Raises:
        LosantError: The subtree could not be made, or not be removed; its groups carry the tag `aiolosantDoctor`.
    """
    endpoint, _ = parts_of(groups)
    await _remove(groups, await _marked(groups))
    probing = _Probe(groups, endpoint)
    whole = False
    try:
        report = await probing.run()
        whole = True
    finally:
        # Also when it was cancelled: what was made is removed before that goes on.
        seconds = 0.0 if whole else endpoint.transport.retry.settle_time
        removing = asyncio.ensure_future(_remove_all(groups, probing, seconds=seconds))
        while not removing.done():
            try:
                await asyncio.shield(removing)
            except asyncio.CancelledError:
                continue
        removing.result()
    return report


async def _marked(groups: ExperienceGroups) -> list[ExperienceGroup]:
    return await groups.scan(query={"groupTags": {"$tagKey": MARK}}).to_list()


async def _remove_all(groups: ExperienceGroups, probing: _Probe, *, seconds: float) -> None:
    """Remove what a probe has made, and what shows of it so many seconds later: creates that were cut off may land."""
    known = tuple(probing.made)
    await _remove(groups, known)
    await asyncio.sleep(seconds)
    deleted = {group.id for group in known}
    own = [group for group in await _marked(groups) if group.group_tags[MARK].startswith(probing.run_id)]
    await _remove(groups, [group for group in own if group.id not in deleted])


async def _remove(groups: ExperienceGroups, made: Sequence[ExperienceGroup]) -> None:
    report = await groups.delete_many([group.id for group in made]).report()
    for outcome in (*report.failed, *report.unknown):
        if outcome.error is not None:
            raise outcome.error


class _Probe:
    """One probe: the checks, and the groups that they share.

    Attributes:
        run_id: What the mark of each of its groups begins with.
        made: The groups that it has made and not deleted.
    """

    def __init__(self, groups: ExperienceGroups, endpoint: GroupsEndpoint) -> None:
        self.run_id = secrets.token_hex(4)
        self.made: list[ExperienceGroup] = []
        self._groups = groups
        self._endpoint = endpoint
        self._count = 0
        self._root_id = ""

    async def run(self) -> Report:
        self._root_id = (await self._create()).id
        writes, settle_time = await self._writes()
        checks: dict[str, Check] = {
            "keyset": self._keyset,
            "query by tag": self._by_tag,
            "query by name": self._by_name,
            "filter": self._filter,
            "empty $or and $nor": self._empty,
            "perPage beyond 1000": self._large_page,
            "page past the end": self._past_the_end,
            "PATCH of tags": self._patch,
            "children of a deleted group": self._children,
            "duplicate names": self._duplicates,
            "errors": self._errors,
        }
        findings = [writes, *[await _checked(name, check) for name, check in checks.items()]]
        return Report(tuple(findings), settle_time)

    async def _create(self, name: str = "", parent_id: str | None = None) -> ExperienceGroup:
        self._count += 1
        tags = {MARK: f"{self.run_id}-{self._count}"}
        above = parent_id or self._root_id or None
        new = NewExperienceGroup(name or f"{_NAME} {self._count}", group_tags=tags, parent_id=above)
        made = await self._groups.create(new)
        self.made.append(made)
        return made

    async def _writes(self) -> tuple[Finding, float | None]:
        loop, turns = asyncio.get_running_loop(), asyncio.Semaphore(_AT_A_TIME)

        async def measured() -> float:
            async with turns:
                made = await self._create()
                written = loop.time()
                while loop.time() - written < _LONGEST_LOOK:
                    if await self._groups.list(query={"id": made.id}).count():
                        return loop.time() - written
                    await asyncio.sleep(_LOOK_EVERY)
                return _LONGEST_LOOK

        async with asyncio.TaskGroup() as tasks:
            measuring = [tasks.create_task(measured()) for _ in range(_WRITES)]
        seconds = [task.result() for task in measuring]
        worst = max(seconds)
        if worst >= _LONGEST_LOOK:
            seen = f"some do not show in a list within {_LONGEST_LOOK:g} seconds"
            return Finding("writes", "otherwise", seen, "nothing tells whether a lost create was made"), None
        recommended = max(_LEAST, round(worst * _MARGIN + 0.05, 1))
        verdict: Verdict = "as assumed" if worst < self._endpoint.transport.retry.settle_time else "otherwise"
        seen = f"they show in a list after {statistics.median(seconds):.2f} seconds, at the worst {worst:.2f}"
        return Finding("writes", verdict, seen, "settle_time is too short: set LOSANT_SETTLE_TIME"), recommended

    async def _keyset(self) -> Finding:
        wanted = sorted(group.id.lower() for group in self.made)
        scan = self._groups.scan(query={"groupTags": {"$tagKey": MARK}}, per_page=7)
        found = [group.id.lower() async for group in scan]
        verdict: Verdict = "as assumed" if found == wanted else "otherwise"
        return Finding(
            "keyset", verdict, f"{len(found)} of {len(wanted)} came in order", "scan, plan and lookups lose groups"
        )

    async def _by_tag(self) -> Finding:
        some = self.made[3]
        found = await self._groups.list(query={"groupTags": {MARK: some.group_tags[MARK]}}).to_list()
        return _same("query by tag", [some.id], found, "by_tag makes groups twice")

    async def _by_name(self) -> Finding:
        some = self.made[4]
        query = {"$and": [{"parentId": self._root_id}, {"name": some.name}]}
        return _same("query by name", [some.id], await self._groups.list(query=query).to_list(), "by_name makes twins")

    async def _filter(self) -> Finding:
        count = await self._groups.list(filter=f"{_NAME.upper()} ?").count()
        verdict: Verdict = "as assumed" if count >= 9 else "otherwise"
        seen = f"{count} are found by capitals and a wildcard"
        return Finding("filter", verdict, seen, "the emulator's filter differs from Losant's")

    async def _empty(self) -> Finding:
        one = {"id": self._root_id}
        either = await self._groups.list(query={"$and": [one, {"$or": []}]}).count()
        neither = await self._groups.list(query={"$and": [one, {"$nor": []}]}).count()
        verdict: Verdict = "as assumed" if (either, neither) == (1, 0) else "otherwise"
        seen = f"an empty $or lets {either} of 1 through, an empty $nor {neither}"
        return Finding("empty $or and $nor", verdict, seen, "the emulator's queries differ from Losant's")

    async def _large_page(self) -> Finding:
        try:
            answer = await self._raw(perPage=1001)
        except BadRequestError:
            return Finding("perPage beyond 1000", "as assumed", "it is refused")
        seen = f"it is taken, and becomes {answer.get('perPage')}"
        return Finding(
            "perPage beyond 1000", "otherwise", seen, "the emulator refuses what Losant takes; nothing of ours asks"
        )

    async def _past_the_end(self) -> Finding:
        answer = await self._raw(page=1_000_000)
        verdict: Verdict = "as assumed" if answer.get("items") == [] else "otherwise"
        return Finding(
            "page past the end", verdict, f"it has {len(answer.get('items', ()))} items", "lists may not end"
        )

    async def _patch(self) -> Finding:
        some = self.made[5]
        tags = {MARK: some.group_tags[MARK], "b": "2"}
        await self._groups.update(some.id, group_tags={**tags, "a": "1"})
        after = await self._groups.update(some.id, group_tags=tags)
        verdict: Verdict = "as assumed" if dict(after.group_tags) == tags else "otherwise"
        seen = "group_tags are replaced as a whole" if verdict == "as assumed" else "group_tags are merged"
        return Finding("PATCH of tags", verdict, seen, "remove_tags and apply cannot remove tags")

    async def _children(self) -> Finding:
        parent = await self._create()
        child = await self._create(parent_id=parent.id)
        await self._groups.delete(parent.id)
        self.made.remove(parent)
        name, breaks = "children of a deleted group", "a plan's warnings of what moves up are wrong"
        try:
            after = await self._groups.get(child.id)
        except NotFoundError:
            self.made.remove(child)
            return Finding(name, "otherwise", "they are deleted with it", "deletes take whole subtrees: never prune")
        where = {self._root_id: "they go to its parent", None: "they become roots"}
        seen = where.get(after.parent_id, "they keep a parent that is not there")
        return Finding(name, "as assumed" if after.parent_id == self._root_id else "otherwise", seen, breaks)

    async def _duplicates(self) -> Finding:
        await self._create(f"{_NAME} twin")
        try:
            await self._create(f"{_NAME} twin")
        except BadRequestError:
            return Finding("duplicate names", "otherwise", "they are refused", "nothing: by_name is safer than assumed")
        return Finding("duplicate names", "as assumed", "two groups under one parent may have one name")

    async def _errors(self) -> Finding:
        try:
            await self._groups.get("f" * 24)
        except NotFoundError as error:
            return Finding("errors", "as assumed", f"a group that is not there is a 404 {error.type}")
        return Finding("errors", "unknown", "there is a group whose id is all f")

    async def _raw(self, **params: int) -> Any:
        request = Request(method="GET", path=self._endpoint.path, decode=codec.decode_any, params=params)
        transport = self._endpoint.transport
        return await transport.call(request, Deadline(transport.timeout))


def _same(name: str, wanted: list[str], found: Sequence[ExperienceGroup], breaks: str) -> Finding:
    verdict: Verdict = "as assumed" if [group.id for group in found] == wanted else "otherwise"
    return Finding(name, verdict, f"it finds {len(found)} of {len(wanted)}", breaks)
