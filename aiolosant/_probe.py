"""The checks of the doctor that write: what they make carries a mark, and is removed again."""

from __future__ import annotations

import asyncio
import secrets
import statistics
from collections.abc import Sequence
from typing import Any

from ._findings import Check, Report, Seen, as_assumed, checked, otherwise, unknown
from ._http import codec
from ._http.deadline import Deadline
from ._http.endpoint import GroupsEndpoint
from ._http.request import Request
from .errors import BadRequestError, GatewayError, LosantError, NotFoundError, OutcomeUnknownError, ResponseFormatError
from .groups import ExperienceGroups
from .models import DeviceTag, ExperienceGroup, NewExperienceGroup

MARK = "aiolosantDoctor"
"""The key of the group tag that everything carries which a probe makes."""

_NAME = "aiolosant doctor"
_MEASURED = 50  # writes that are measured until they show in a list
_AT_A_TIME = 10
_LOOK_EVERY = 0.02  # seconds
_LONGEST_LOOK = 30.0  # seconds
_MARGIN = 0.15  # seconds beyond the worst that was seen
_TRIES = 3  # of a create whose response is lost: what it made is found by its mark


async def remove_marked(groups: ExperienceGroups, run_id: str = "") -> None:
    """Remove what probes have made, or one of them, that shows in a list.

    Raises:
        LosantError: Some could not be removed; it says how many, and what to do.
    """
    # By page numbers and by the key alone: other ways of asking may be what is not as assumed.
    listed = groups.list(query={"groupTags": {"$tagKey": MARK}}, per_page=1000)
    marked = [group async for group in listed if group.group_tags.get(MARK, "").startswith(run_id)]
    await _remove(groups, marked)


async def _remove(groups: ExperienceGroups, made: Sequence[ExperienceGroup]) -> None:
    doomed = [group.id for group in made if MARK in group.group_tags]
    try:
        report = await groups.delete_many(doomed).report()
    except LosantError as error:  # such as a token that may not delete
        raise _left(len(doomed) - error.report.deleted, error) from error
    left = [*report.failed, *report.unknown]
    if left:
        raise _left(len(left), left[0].error) from left[0].error


def _left(count: int, error: BaseException | None) -> LosantError:
    left = LosantError(f"{count} groups with the tag {MARK} could not be removed: {error}")
    left.advice = "Run the probe again, with a token that may delete: it removes them first."
    return left


class Probe:
    """One probe: the checks, and the groups that they make.

    Args:
        groups: The groups of the application.
        endpoint: The same, for requests that have no verb.
    """

    def __init__(self, groups: ExperienceGroups, endpoint: GroupsEndpoint) -> None:
        self._groups = groups
        self._endpoint = endpoint
        self._run_id = secrets.token_hex(4)
        self._made: dict[str, ExperienceGroup] = {}
        self._count = 0
        self._root_id = ""
        self._settle_time: float | None = None

    async def run(self) -> Report:
        """Make the subtree, and check everything in it.

        Raises:
            LosantError: The subtree cannot be made.
        """
        self._root_id = (await self._create()).id
        checks: dict[str, Check] = {
            "writes": self._writes,
            "keyset": self._keyset,
            "query by tag": self._by_tag,
            "query by name": self._by_name,
            "filter": self._filter,
            "empty $or and $nor": self._empty,
            "perPage beyond 1000": self._large_page,
            "page past the end": self._past_the_end,
            "PATCH of tags and lists": self._patch,
            "children of a deleted group": self._children,
            "duplicate names": self._duplicates,
            "errors": self._errors,
        }
        findings = [await checked(name, check) for name, check in checks.items()]
        return Report(tuple(findings), self._settle_time)

    async def remove(self, *, seconds: float) -> None:
        """Remove what was made by its ids, and what shows of it so many seconds later: what was cut off may land.

        Raises:
            LosantError: Some could not be removed.
        """
        await _remove(self._groups, tuple(self._made.values()))
        await asyncio.sleep(seconds)
        await remove_marked(self._groups, self._run_id)

    async def _create(self, name: str = "", parent_id: str | None = None, **fields: Any) -> ExperienceGroup:
        for _ in range(_TRIES - 1):
            try:
                return await self._create_once(name, parent_id, fields)
            except OutcomeUnknownError:  # what it made, if it did, carries the mark
                continue
        return await self._create_once(name, parent_id, fields)

    async def _create_once(self, name: str, parent_id: str | None, fields: dict[str, Any]) -> ExperienceGroup:
        self._count += 1
        tags = {MARK: f"{self._run_id}-{self._count}"}
        above = parent_id or self._root_id or None
        new = NewExperienceGroup(name or f"{_NAME} {self._count}", group_tags=tags, parent_id=above, **fields)
        made = await self._groups.create(new)
        self._made[made.id] = made
        return made

    async def _writes(self) -> Seen:
        numbers = iter(range(_MEASURED))
        seconds: list[float] = []

        async def measure() -> None:
            while next(numbers, None) is not None:
                seconds.append(await self._seconds_until_shown())

        # Each to its end, so that nothing is made any more when a check has failed.
        ended = await asyncio.gather(*(measure() for _ in range(_AT_A_TIME)), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error
        worst = max(seconds)
        if worst >= _LONGEST_LOOK:
            seen = f"some do not show in a list within {_LONGEST_LOOK:g} seconds"
            return otherwise(seen, "nothing tells whether a lost create was made")
        self._settle_time = round(worst + _MARGIN, 2)
        holds = worst < self._endpoint.transport.retry.settle_time
        seen = f"they show in a list after {statistics.median(seconds):.2f} seconds, at the worst {worst:.2f}"
        return Seen(holds, seen, "settle_time is too short: set LOSANT_SETTLE_TIME")

    async def _seconds_until_shown(self) -> float:
        clock = asyncio.get_running_loop().time
        made = await self._create()
        written = clock()
        while clock() - written < _LONGEST_LOOK:
            if await self._groups.list(query={"id": made.id}).count():
                return clock() - written
            await asyncio.sleep(_LOOK_EVERY)
        return _LONGEST_LOOK

    async def _keyset(self) -> Seen:
        # Names that fall while ids rise, so that a list by name does not look like one by id.
        there = [await self._create(f"{_NAME} {letter}") for letter in "zyxwvutsrq"]
        breaks = "scan, plan and lookups lose groups"
        scan = self._groups.scan(query={"parentId": self._root_id}, per_page=3)
        try:
            found = [group.id.lower() async for group in scan]
        except ResponseFormatError as error:
            return otherwise(f"a scan is not in the order of ids ({error.message})", breaks)
        wanted = {group.id.lower() for group in there}
        came = [group_id for group_id in found if group_id in wanted]
        holds = came == sorted(wanted) and found == sorted(set(found))
        return Seen(
            holds, f"{len(set(came))} of {len(wanted)} came, {'' if holds else 'not '}each once in order", breaks
        )

    async def _by_tag(self) -> Seen:
        some = await self._create()
        await self._create()  # which has another value
        found = await self._groups.list(query={"groupTags": {MARK: some.group_tags[MARK]}}).to_list()
        return _same([some], found, "by_tag makes groups twice, or takes one for another")

    async def _by_name(self) -> Seen:
        some = await self._create(f"{_NAME} Case")
        await self._create(f"{_NAME} CASE")
        query = {"$and": [{"parentId": self._root_id}, {"name": some.name}]}
        found = await self._groups.list(query=query).to_list()
        return _same([some], found, "by_name makes twins, or takes one for another")

    async def _filter(self) -> Seen:
        unique = f"{_NAME} {secrets.token_hex(4)}"
        for ending in ("a", "b", "cc"):
            await self._create(f"{unique} {ending}")
        found = await self._groups.list(filter=f"{unique.upper()} ?").count()
        seen = f"{found} of 2 are found by capitals and a wildcard"
        return Seen(found == 2, seen, "list(filter=) finds other groups than the emulator's")

    async def _empty(self) -> Seen:
        one = {"id": self._root_id}
        either = await self._groups.list(query={"$and": [one, {"$or": []}]}).count()
        neither = await self._groups.list(query={"$and": [one, {"$nor": []}]}).count()
        seen = f"an empty $or lets {either} of 1 through, an empty $nor {neither}"
        return Seen(
            (either, neither) == (1, 0), seen, "queries with an empty list find other groups than the emulator's"
        )

    async def _large_page(self) -> Seen:
        try:
            answer = await self._raw(perPage=1001)
        except BadRequestError:
            return as_assumed("it is refused")
        return otherwise(f"it is taken, and becomes {answer.get('perPage')}")  # nothing of ours asks for it

    async def _past_the_end(self) -> Seen:
        breaks = "a list may end with an error, if groups are deleted meanwhile"
        try:
            answer = await self._raw(page=1_000_000)
        except (BadRequestError, NotFoundError) as error:
            return otherwise(f"it is refused with {error.status}", breaks)
        return Seen(answer.get("items") == [], f"it has {len(answer.get('items', ()))} items", breaks)

    async def _patch(self) -> Seen:
        some = await self._create(device_tags=[DeviceTag("a", "1")])
        tags, lists = {MARK: some.group_tags[MARK], "b": "2"}, [DeviceTag("b", "2")]
        await self._groups.update(some.id, group_tags={**tags, "a": "1"})
        after = await self._groups.update(some.id, group_tags=tags, device_tags=lists)
        holds = dict(after.group_tags) == tags and list(after.device_tags) == lists
        seen = "both are replaced as a whole" if holds else "what is there is kept beside what is sent"
        return Seen(holds, seen, "updates, remove_tags, remove_members and apply cannot remove anything")

    async def _children(self) -> Seen:
        parent = await self._create()
        child = await self._create(parent_id=parent.id)
        await self._groups.delete(parent.id)
        del self._made[parent.id]
        try:
            after = await self._groups.get(child.id)
        except (NotFoundError, GatewayError):
            del self._made[child.id]
            return otherwise("they are deleted with it", "deletes take whole subtrees: never prune")
        where = {self._root_id: "they go to its parent", None: "they become roots"}
        seen = where.get(after.parent_id, "they keep a parent that is not there")
        return Seen(after.parent_id == self._root_id, seen, "a plan's warnings of what moves up are wrong")

    async def _duplicates(self) -> Seen:
        await self._create(f"{_NAME} twin")
        try:
            await self._create(f"{_NAME} twin")
        except BadRequestError:
            return otherwise("two groups under one parent may not have one name")  # safer than assumed
        return as_assumed("two groups under one parent may have one name")

    async def _errors(self) -> Seen:
        breaks = "errors are taken for a gateway's: what is gone, refused or forbidden is not told as such"
        try:
            await self._groups.get("f" * 24)
        except NotFoundError as error:
            return as_assumed(f"a group that is not there is a 404 {error.type}")
        except GatewayError as error:
            return otherwise(f"a group that is not there is answered in another shape ({error.message})", breaks)
        return unknown("there is a group whose id is all f")

    async def _raw(self, **params: int) -> Any:
        request = Request(method="GET", path=self._endpoint.path, decode=codec.decode_any, params=params)
        transport = self._endpoint.transport
        return await transport.call(request, Deadline(transport.timeout))


def _same(wanted: Sequence[ExperienceGroup], found: Sequence[ExperienceGroup], breaks: str) -> Seen:
    holds = [group.id for group in found] == [group.id for group in wanted]
    return Seen(holds, f"it finds {len(found)} of {len(wanted)}", breaks)
