"""What others change, create and delete between a plan and its application is respected."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from aiolosant import (
    LosantClient,
    RetryPolicy,
    by_name,
    by_tag,
)
from aiolosant._http import throttle
from aiolosant.emulator import Emulator, Fault, RequestRecord
from aiolosant.identity import MatchBy

from ..conftest import client_of
from .records import TAG, carry_out, make_plan, state, wanted


async def test_what_somebody_else_made_in_place_of_a_lost_create_is_stale(emulator: Emulator) -> None:
    """It is found by its tag, but it is not as the plan wants it."""
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.05)) as losant:
        plan = await make_plan(losant, [{"name": "P", "groupTags": {TAG: "p"}}], by_tag(TAG))
        emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
        applying = asyncio.create_task(carry_out(losant, plan))
        while not any(request.method == "POST" for request in emulator.requests):
            await asyncio.sleep(0.001)
        emulator.create_groups([{"name": "Theirs", "groupTags": {TAG: "p"}}])
        assert [outcome.status for outcome in await applying] == ["stale"]


async def test_what_somebody_has_changed_is_left_alone(emulator: Emulator, losant: LosantClient) -> None:
    """Updates and deletes are read again first; what is so already needs nothing."""
    groups = losant.experience_groups
    ids = emulator.create_groups({"id": name, "name": name} for name in ("A", "B", "C", "D", "E", "F"))
    records = [{"name": name, "description": "new"} for name in ("A", "B", "C")]
    plan = await make_plan(losant, records, by_name(), prune=True)
    assert plan.summary() == "3 to update, 3 to delete, 0 unchanged"
    await groups.update(ids["A"], group_tags={"by": "somebody"})
    await groups.update(ids["B"], description="new")
    outcomes = {outcome.change.path[-1]: outcome for outcome in await carry_out(losant, plan)}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "A": "stale",
        "B": "existing",
        "C": "done",
        **dict.fromkeys("DEF", "skipped"),
    }
    assert "changed it since the plan was made: group_tags" in str(outcomes["A"].error)
    plan = await make_plan(losant, records, by_name(), prune=True)
    await groups.update(ids["D"], description="kept by somebody")
    await groups.delete(ids["E"])
    statuses = {outcome.change.path[-1]: outcome.status for outcome in await carry_out(losant, plan)}
    assert statuses == {"A": "done", "D": "stale", "E": "existing", "F": "done"}
    assert {group.name async for group in groups.list()} == {"A", "B", "C", "D"}


async def test_a_deleted_group_is_stale(emulator: Emulator, losant: LosantClient) -> None:
    """An update of what is gone makes nothing."""
    ids = emulator.create_groups([{"id": "a", "name": "A"}])
    plan = await make_plan(losant, [{"name": "A", "description": "new"}], by_name())
    await losant.experience_groups.delete(ids["a"])
    (outcome,) = await carry_out(losant, plan)
    assert (outcome.status, outcome.ok, outcome.group) == ("stale", False, None)
    assert await losant.experience_groups.list().count() == 0


async def test_what_has_come_meanwhile_is_found(emulator: Emulator, losant: LosantClient) -> None:
    """A group that somebody made after the plan is `existing`, and its children are looked for as well."""
    records = [{"id": "a", "name": "A"}, {"id": "b", "name": "B", "parentId": "a"}, {"name": "C", "parentId": "b"}]
    plan = await make_plan(losant, records, by_name())
    emulator.create_groups(records[:2])
    outcomes = [(outcome.change.path[-1], outcome.status) for outcome in await carry_out(losant, plan)]
    assert outcomes == [("A", "existing"), ("B", "existing"), ("C", "done")]
    assert await state(losant) == wanted([record | {"id": record.get("id", "c")} for record in records])


@pytest.mark.parametrize(("method", "status"), [("PATCH", "stale"), ("DELETE", "existing")])
async def test_what_vanishes_between_the_look_and_the_write(
    emulator: Emulator, losant: LosantClient, method: str, status: str
) -> None:
    """Deleted by somebody in that moment: an update is stale, a delete has nothing to do."""
    emulator.create_groups([{"name": "A"}, {"name": "Kept"}])
    wanted = [{"name": "Kept"}] if method == "DELETE" else [{"name": "Kept"}, {"name": "A", "description": "new"}]
    plan = await make_plan(losant, wanted, by_name(), prune=True)
    (doomed,) = (group["id"] for group in emulator.groups() if group["name"] == "A")

    def vanish(request: RequestRecord) -> None:
        if request.method == method:  # somebody is quick
            emulator.delete_group(doomed)

    emulator.before_request = vanish
    (outcome,) = await carry_out(losant, plan)
    assert outcome.status == status


@pytest.mark.parametrize(
    ("method", "fault", "status"),
    [
        ("PATCH", Fault.TOO_MANY_REQUESTS, "stale"),
        ("DELETE", Fault.TOO_MANY_REQUESTS, "stale"),
        ("PATCH", Fault.UNAVAILABLE, "unknown"),  # it may have been done before it was changed
        ("PATCH", Fault.CUT_BEFORE_WRITE, "unknown"),
    ],
)
async def test_what_is_changed_during_back_off_is_not_overwritten(
    emulator: Emulator, method: str, fault: Fault, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that has to be sent again is read again first: somebody may have changed the group meanwhile."""
    (ids,) = emulator.create_groups([{"id": "a", "name": "A"}]).values()
    emulator.create_groups([{"name": "Kept"}])
    records = [{"name": "Kept"}] + ([{"name": "A", "description": "new"}] if method == "PATCH" else [])

    def change(request: RequestRecord) -> None:
        if request.method == "GET" and method in counted(emulator):
            emulator.update_group(ids, {"description": "a human's"})

    async with client_of(emulator, retry=RetryPolicy(first_delay=0.01)) as losant:
        plan = await make_plan(losant, records, by_name(), prune=True)
        emulator.inject(fault, method=method)
        monkeypatch.setattr(throttle, "MOST_NEWS", 0.3)
        emulator.retry_after = 1  # after which the reading is no news any more
        emulator.before_request = change
        (outcome,) = await carry_out(losant, plan)
    assert outcome.status == status
    assert "somebody has changed it since the plan was made: description" in str(outcome.error)
    assert [group["description"] for group in emulator.groups() if group["id"] == ids] == ["a human's"]


async def test_changes_share_the_looks_at_their_groups(emulator: Emulator) -> None:
    """A hundred in one query, also when they wait for the server's pace one by one."""
    emulator.create_groups({"name": f"{n}"} for n in range(60))
    async with client_of(emulator, max_in_flight=1) as losant:
        plan = await make_plan(losant, [{"name": f"{n}", "description": "x"} for n in range(60)], by_name())
        emulator.requests.clear()
        assert {outcome.status for outcome in await carry_out(losant, plan, concurrency=20)} == {"done"}
    methods = Counter(request.method for request in emulator.requests)
    assert methods["PATCH"] == 60
    assert methods["GET"] <= 3


async def test_a_group_is_read_with_all_its_children_before_it_is_deleted(emulator: Emulator) -> None:
    """In the same query as a hundred others; and one of which there are more children than fit a page stays."""
    ids = emulator.create_groups({"id": f"{n}", "name": f"{n}"} for n in range(60))
    async with client_of(emulator) as losant:
        plan = await make_plan(losant, [{"name": "kept"}], by_name(), prune=True)
        emulator.create_groups({"name": f"late {n}", "parentId": ids["0"]} for n in range(1100))
        emulator.requests.clear()
        outcomes = await carry_out(losant, plan)
    assert Counter(outcome.status for outcome in outcomes) == {"done": 60, "stale": 1}
    assert ids["0"] in [group["id"] for group in emulator.groups()]
    assert sum(request.method == "GET" for request in emulator.requests) <= 4


@pytest.mark.parametrize(
    ("theirs", "status"),
    [
        ({"name": "A", "groupTags": {TAG: "1"}, "description": "x"}, "existing"),
        ({"name": "A", "groupTags": {TAG: "1"}, "description": "other"}, "stale"),
        ({"name": "B", "groupTags": {TAG: "1"}, "description": "x"}, "stale"),
    ],
)
async def test_what_somebody_creates_meanwhile_is_existing_only_if_it_is_as_wanted(
    emulator: Emulator, losant: LosantClient, theirs: dict[str, Any], status: str
) -> None:
    """Otherwise it is not as the plan wants it, and nothing is deleted on the strength of it."""
    emulator.create_groups([{"name": "Old", "groupTags": {TAG: "old"}}])
    ours = {"name": "A", "groupTags": {TAG: "1"}, "description": "x"}
    plan = await make_plan(losant, [ours], by_tag(TAG), prune=True)
    emulator.create_groups([theirs])
    outcomes = await carry_out(losant, plan)
    assert [outcome.status for outcome in outcomes] == [status, "done" if status == "existing" else "skipped"]


@pytest.mark.parametrize("by", [by_name(), by_tag(TAG)], ids=["name", "tag"])
async def test_what_another_client_creates_during_an_apply_is_found(
    emulator: Emulator, losant: LosantClient, by: MatchBy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup is no older than a moment when its group is sent, however long the apply takes."""
    monkeypatch.setattr(throttle, "MOST_NEWS", 0.05)
    records = [{"name": f"{n:03}", "groupTags": {TAG: f"{n:03}"}} for n in range(120)]
    plan = await make_plan(losant, records, by)
    emulator.latency = 0.01
    applying = asyncio.create_task(carry_out(losant, plan, concurrency=2))
    while sum(request.method == "POST" for request in emulator.requests) < 20:
        await asyncio.sleep(0.001)
    emulator.create_groups([records[90], records[119]])  # the first is looked up by then, the last is not
    statuses = Counter(outcome.status for outcome in await applying)
    assert statuses == {"done": 118, "existing": 2}
    assert set(Counter([group.name async for group in losant.experience_groups.scan()]).values()) == {1}


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_what_waits_for_its_turn_is_read_again_along_with_others(
    emulator: Emulator, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody changes meanwhile, or puts below it, is seen, for a few queries in all."""
    monkeypatch.setattr(throttle, "MOST_NEWS", 0.2)
    ids = list(emulator.create_groups({"name": f"{n}"} for n in range(60)).values())
    emulator.create_groups([{"name": "kept"}])
    records = [{"name": "kept"}] + [{"name": f"{n}", "description": "x"} for n in range(60) if method == "PATCH"]

    def interfere(request: RequestRecord) -> None:
        if counted(emulator)[method] == 3:
            for left in set(ids) - {one.path.split("/")[-1] for one in emulator.requests}:
                if method == "PATCH":
                    emulator.update_group(left, {"description": "a human's"})
                else:
                    emulator.create_groups([{"name": "new", "parentId": left}])

    async with client_of(emulator, max_rate=50) as losant:
        plan = await make_plan(losant, records, by_name(), prune=True)
        emulator.requests.clear()
        emulator.before_request = interfere
        outcomes = await carry_out(losant, plan, concurrency=32)
    statuses = Counter(outcome.status for outcome in outcomes)
    assert statuses["stale"] >= 30
    assert statuses["stale"] + statuses["done"] == 60
    assert counted(emulator)["GET"] <= 30


async def test_what_is_read_slowly_can_still_be_acted_upon(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer takes longer than news lasts, and other requests are ahead of it: a delete comes to its end."""
    monkeypatch.setattr(throttle, "MOST_NEWS", 0.1)
    emulator.create_groups({"name": f"{n}"} for n in range(20))
    emulator.create_groups([{"name": "kept"}])
    async with client_of(emulator, max_in_flight=8) as losant:
        plan = await make_plan(losant, [{"name": "kept"}], by_name(), prune=True)
        emulator.latency = 0.2
        others = [asyncio.create_task(losant.experience_groups.list().count()) for _ in range(20)]
        outcomes = await carry_out(losant, plan, concurrency=4)
        await asyncio.gather(*others)
    assert Counter(outcome.status for outcome in outcomes) == {"done": 20}


def counted(emulator: Emulator) -> Counter[str]:
    return Counter(request.method for request in emulator.requests)
