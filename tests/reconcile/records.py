"""Records of random trees, and what the server makes of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from aiolosant import (
    LosantClient,
    reconcile,
)
from aiolosant.identity import MatchBy
from aiolosant.reconcile import ChangeOutcome, Plan, Record

Records = list[dict[str, Any]]
TAG = "externalId"


@st.composite
def forests(draw: st.DrawFn) -> Records:
    """Records of random trees, shuffled: the number that a group is known by, a parent, and something to differ in."""
    records: Records = []
    for number in draw(st.lists(st.integers(0, 7), unique=True, max_size=8)):
        record: dict[str, Any] = {"id": f"local {number}", "name": f"Group {number}", "parentId": None}
        record["groupTags"] = {TAG: str(number)}
        if draw(st.booleans()) and records:
            record["parentId"] = draw(st.sampled_from(records))["id"]
        if draw(st.booleans()):
            record["description"] = draw(st.sampled_from(["", "one", "two"]))
        if draw(st.booleans()):
            record["deviceIds"] = draw(st.lists(st.sampled_from(["a" * 24, "B" * 24]), unique=True))
        records.append(record)
    return draw(st.permutations(records))


def renamed(records: Records, suffix: str) -> Records:
    return [record | {"name": record["name"] + suffix} for record in records]


async def carry_out(losant: LosantClient, plan: Plan, **options: Any) -> list[ChangeOutcome]:
    return [outcome async for outcome in reconcile.apply(losant.experience_groups, plan, **options)]


async def make_plan(
    losant: LosantClient, records: Sequence[Record | Mapping[str, Any]], by: MatchBy, **options: Any
) -> Plan:
    return await reconcile.plan(losant.experience_groups, records, match_by=by, **options)


async def state(losant: LosantClient) -> Counter[tuple[str, ...]]:
    """The paths of names of all groups."""
    groups = {group.id: group async for group in losant.experience_groups.scan()}
    return Counter(
        (*(groups[ancestor].name for ancestor in group.ancestor_ids), group.name) for group in groups.values()
    )


def wanted(records: Records) -> Counter[tuple[str, ...]]:
    by_local = {record["id"]: record for record in records}

    def path(record: Mapping[str, Any]) -> tuple[str, ...]:
        above = path(by_local[record["parentId"]]) if record.get("parentId") else ()
        return (*above, record["name"])

    return Counter(map(path, records))
