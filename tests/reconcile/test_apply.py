"""Plans and their application, against the emulator, counted on its side."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiolosant import (
    AuthenticationError,
    LosantClient,
    NewExperienceGroup,
    PermissionDeniedError,
    PlanError,
    RetryPolicy,
    by_id,
    by_name,
    by_tag,
    reconcile,
)
from aiolosant._batch import lookup
from aiolosant.emulator import Emulator, Fault, RequestRecord
from aiolosant.identity import MatchBy
from aiolosant.reconcile import Change, ChangeOutcome, Plan, Record

from ..conftest import client_of

Records = list[dict[str, Any]]
TAG = "externalId"


@st.composite
def forests(draw: st.DrawFn) -> Records:
    """Records of random trees, shuffled: the number that a group is known by, a parent, and something to differ in."""
    records: Records = []
    for number in draw(st.lists(st.integers(0, 7), unique=True, max_size=8)):
        record: dict[str, Any] = {"id": f"local {number}", "name": f"Group {number}", "groupTags": {TAG: str(number)}}
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


async def make_plan(losant: LosantClient, records: Sequence[Mapping[str, Any]], by: MatchBy, **options: Any) -> Plan:
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


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(before=forests(), after=forests(), prune=st.booleans(), match=st.sampled_from(["name", "tag", "id"]))
async def test_after_apply_a_second_plan_is_empty(before: Records, after: Records, prune: bool, match: str) -> None:
    """Whatever was there, and whatever goes by what; with `prune` there is then nothing else."""
    identities: dict[str, MatchBy] = {"name": by_name(), "tag": by_tag(TAG), "id": by_id()}
    by = identities[match]
    if match == "tag":
        after = renamed(after, "!")
    async with Emulator() as emulator, client_of(emulator) as losant:
        ids = emulator.create_groups(before)
        if match == "id":
            local = {record["id"]: ids.get(record["id"], record["id"]) for record in after}
            after = [
                record
                | {"id": local[record["id"]]}
                | ({"parentId": local[up]} if (up := record.get("parentId")) else {})
                for record in after
            ]
        emulator.requests.clear()
        if prune and not after:
            with pytest.raises(PlanError, match="no records"):
                await make_plan(losant, after, by, prune=True)
            return
        plan = await make_plan(losant, after, by, prune=prune)
        assert {request.method for request in emulator.requests} == {"GET"}
        assert [outcome.status for outcome in await carry_out(losant, plan) if outcome.status != "done"] == []
        again = await make_plan(losant, after, by, prune=prune)
        assert again.changes == ()
        assert again.unchanged == len(after)
        there = await state(losant)
        assert wanted(after) <= there
        if prune:
            assert wanted(after) == there


@settings(max_examples=40, deadline=None)
@given(data=st.data(), before=forests(), after=forests())
async def test_the_order_of_records_does_not_matter(data: st.DataObject, before: Records, after: Records) -> None:
    """Any permutation of the records makes the same changes."""
    async with Emulator() as emulator, client_of(emulator) as losant:
        emulator.create_groups(before)
        plan = await make_plan(losant, after, by_tag(TAG))
        other = await make_plan(losant, data.draw(st.permutations(after)), by_tag(TAG))
        assert sorted(plan.diff()) == sorted(other.diff())


@settings(max_examples=30, deadline=None)
@given(before=forests(), after=forests(), stop=st.integers(0, 6), by=st.sampled_from([by_name(), by_tag(TAG)]))
async def test_an_interrupted_apply_run_again_ends_in_the_same_state(
    before: Records, after: Records, stop: int, by: MatchBy
) -> None:
    """Left after some outcomes, and planned again."""
    async with Emulator() as emulator, client_of(emulator) as losant:
        emulator.create_groups(before)
        async with reconcile.apply(losant.experience_groups, await make_plan(losant, after, by), concurrency=2) as run:
            seen = 0
            async for _ in run:
                seen += 1
                if seen > stop:
                    break
        await carry_out(losant, await make_plan(losant, after, by))
        there = await state(losant)
        assert wanted(after) <= there
        assert max(there.values(), default=1) == 1 or by != by_name()
        assert not (await make_plan(losant, after, by)).changes


@pytest.mark.parametrize("fault", [Fault.CUT_AFTER_WRITE, Fault.BAD_GATEWAY])
async def test_a_move_below_a_new_group_whose_answer_is_lost_is_done(
    emulator: Emulator, losant: LosantClient, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again, it is where the plan wants it, though the plan did not know that id yet."""
    emulator.create_groups([{"name": "X", "groupTags": {TAG: "x"}}, {"name": "Z", "groupTags": {TAG: "z"}}])
    records = [
        {"id": "p", "name": "P", "groupTags": {TAG: "p"}},
        {"name": "X", "groupTags": {TAG: "x"}, "parentId": "p"},
    ]
    plan = await make_plan(losant, records, by_tag(TAG), prune=True)
    emulator.inject(fault, method="PATCH")
    monkeypatch.setattr(random, "random", lambda: 0.0)
    assert [outcome.status for outcome in await carry_out(losant, plan)] == ["done", "done", "done"]
    assert not (await make_plan(losant, records, by_tag(TAG), prune=True)).changes


async def test_what_somebody_else_made_in_place_of_a_lost_create_is_stale(emulator: Emulator) -> None:
    """It is found by its tag, but it is not as the plan wants it."""
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.05)) as losant:
        plan = await make_plan(losant, [{"name": "P", "groupTags": {TAG: "p"}}], by_tag(TAG))
        emulator.inject(Fault.CUT_BEFORE_WRITE, method="POST")
        applying = asyncio.create_task(carry_out(losant, plan))
        while not any(request.method == "POST" for request in emulator.requests):
            await asyncio.sleep(0)
        emulator.create_groups([{"name": "Theirs", "groupTags": {TAG: "p"}}])
        assert [outcome.status for outcome in await applying] == ["stale"]


async def test_tags_that_a_csv_has_no_cell_for_do_not_make_a_group_another(
    emulator: Emulator, losant: LosantClient, tmp_path: Path
) -> None:
    """Somebody made it with one tag more: it is as the plan wants it."""
    file = tmp_path / "groups.csv"
    file.write_text(f"name,groupTags.{TAG}\nP,p\n")
    records = reconcile.read_records(file)
    plan = await reconcile.plan(losant.experience_groups, records, match_by=by_tag(TAG))
    emulator.create_groups([{"name": "P", "groupTags": {TAG: "p", "extra": "1"}}])
    assert [outcome.status for outcome in await carry_out(losant, plan)] == ["existing"]


async def test_what_settles_after_a_cancellation_comes_from_the_same_walk(
    emulator: Emulator, losant: LosantClient
) -> None:
    """Whoever goes on with it learns of everything that was done."""
    plan = await make_plan(losant, [{"name": f"{n}"} for n in range(100)], by_name())
    emulator.latency = 0.02
    walk = aiter(reconcile.apply(losant.experience_groups, plan, concurrency=8))
    outcomes: list[ChangeOutcome] = []

    async def consume() -> None:
        async for outcome in walk:
            outcomes.append(outcome)

    consuming = asyncio.create_task(consume())
    while sum(request.method == "POST" for request in emulator.requests) < 20:
        await asyncio.sleep(0)
    consuming.cancel()
    await asyncio.wait({consuming})
    outcomes += [outcome async for outcome in walk]
    done = [outcome.group.id for outcome in outcomes if outcome.status == "done" and outcome.group]
    assert sorted(done) == [group.id async for group in losant.experience_groups.scan()]
    assert 0 < len(done) < 100


async def test_a_tree_is_made_whatever_the_order_of_its_records(emulator: Emulator, losant: LosantClient) -> None:
    """Children first in the file: each is sent once, with the id that its parent has been given."""
    records = [{"id": str(n), "name": str(n)} | ({"parentId": str(n // 2)} if n else {}) for n in range(200)]
    plan = await make_plan(losant, records[::-1], by_name())
    outcomes = await carry_out(losant, plan, concurrency=32)
    assert Counter(outcome.status for outcome in outcomes) == {"done": 200}
    assert sum(request.method == "POST" for request in emulator.requests) == 200
    assert await state(losant) == wanted([record | {"parentId": record.get("parentId")} for record in records])


async def test_a_child_does_not_wait_for_its_level(emulator: Emulator, losant: LosantClient) -> None:
    """While one root waits for its answer, the grandchildren of another are made."""
    slow, quick = (
        [
            {"id": f"{name}{n}", "name": f"{name}{n}"} | ({"parentId": f"{name}{n - 1}"} if n else {})
            for n in range(depth)
        ]
        for name, depth in (("slow", 9), ("quick", 5))
    )
    emulator.inject(Fault.SILENCE, method="POST")
    plan = await make_plan(losant, slow + quick, by_name())
    names = []
    async with reconcile.apply(losant.experience_groups, plan) as run:
        async for outcome in run:
            names.append(outcome.change.path[-1])
            if len(names) == 5:
                break
        assert names == [record["name"] for record in quick]
        emulator.withdraw_faults()  # the silence ends, or leaving would wait for it


@pytest.mark.parametrize("by", [by_name(), by_tag(TAG)], ids=["name", "tag"])
async def test_creates_are_exactly_once_under_faults(emulator: Emulator, by: MatchBy) -> None:
    """A third of all requests meets a fault, and each group is there once."""
    records = [
        {"id": str(n), "name": f"Group {n}", "groupTags": {TAG: str(n)}} | ({"parentId": str(n // 3)} if n else {})
        for n in range(120)
    ]
    emulator.lateness = 0.05
    faults = [Fault.CUT_AFTER_WRITE, Fault.BAD_GATEWAY, Fault.LATE_WRITE, Fault.CUT_BEFORE_WRITE, Fault.BROKEN_BODY]
    async with client_of(emulator, retry=RetryPolicy(max_attempts=20, first_delay=0.01, settle_time=0.1)) as losant:
        plan = await make_plan(losant, records, by)
        emulator.inject_random(dict.fromkeys(faults, 0.06), seed=3)
        outcomes = await carry_out(losant, plan, concurrency=16)
        emulator.inject_random({})
        assert Counter(outcome.status for outcome in outcomes) == {"done": 120}
        there = await state(losant)
    assert there == wanted(records)


async def test_what_a_failed_parent_leaves_undone_is_skipped(emulator: Emulator, losant: LosantClient) -> None:
    """Its children are skipped with a reason, others are done, and nothing is deleted."""
    emulator.create_groups([{"name": "Old"}])
    plan = await make_plan(
        losant,
        [
            {"id": "a", "name": "A"},
            {"id": "b", "name": "B", "parentId": "a"},
            {"name": "C", "parentId": "b"},
            {"name": "D", "parentId": "e"},
            {"id": "e", "name": "E"},
        ],
        by_name(),
        prune=True,
    )
    assert list(plan.diff()) == ["+ A", "+ E", "+ A / B", "+ E / D", "+ A / B / C", "- Old"]

    def refuse(request: RequestRecord) -> None:
        if b'"name":"A"' in request.body:
            raise ValueError("not this one")

    emulator.before_request = refuse
    outcomes = {outcome.change.path[-1]: outcome for outcome in await carry_out(losant, plan)}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "A": "failed",
        "B": "skipped",
        "C": "skipped",
        "D": "done",
        "E": "done",
        "Old": "skipped",
    }
    assert str(outcomes["B"].error).startswith("A comes first, and that did not go well.")
    assert "nothing is deleted unless all else goes well" in str(outcomes["Old"].error)
    assert await state(losant) == Counter([("E",), ("E", "D"), ("Old",)])


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


async def test_what_others_wait_for_comes_first(emulator: Emulator, losant: LosantClient) -> None:
    """With one request at a time: the longest chain, not the order of the file."""
    records = [{"name": f"Leaf {n}"} for n in range(30)]
    records += [{"id": "a", "name": "A"}, {"id": "b", "name": "B", "parentId": "a"}, {"name": "C", "parentId": "b"}]
    outcomes = await carry_out(losant, await make_plan(losant, records, by_name()), concurrency=1)
    assert [outcome.change.path[-1] for outcome in outcomes].index("B") < 6


@pytest.mark.parametrize("by", [by_name(), by_tag(TAG)], ids=["name", "tag"])
async def test_lookups_are_shared(emulator: Emulator, losant: LosantClient, by: MatchBy) -> None:
    """A hundred keys a query, of all creates by tag, and by name of those whose parent is there."""
    records = [{"id": f"{n}", "name": f"{n}", "groupTags": {TAG: f"{n}"}} for n in range(200)]
    records += [{"id": f"c{n}", "name": f"{n}", "groupTags": {TAG: f"c{n}"}, "parentId": f"{n}"} for n in range(100)]
    plan = await make_plan(losant, records, by)
    emulator.requests.clear()
    assert {outcome.status for outcome in await carry_out(losant, plan, concurrency=8)} == {"done"}
    assert sum(request.method == "GET" for request in emulator.requests) == (2 if by == by_name() else 3)


async def test_what_has_come_meanwhile_is_found(emulator: Emulator, losant: LosantClient) -> None:
    """A group that somebody made after the plan is `existing`, and its children are looked for as well."""
    records = [{"id": "a", "name": "A"}, {"id": "b", "name": "B", "parentId": "a"}, {"name": "C", "parentId": "b"}]
    plan = await make_plan(losant, records, by_name())
    emulator.create_groups(records[:2])
    outcomes = [(outcome.change.path[-1], outcome.status) for outcome in await carry_out(losant, plan)]
    assert outcomes == [("A", "existing"), ("B", "existing"), ("C", "done")]
    assert await state(losant) == wanted([record | {"id": record.get("id", "c")} for record in records])


async def test_a_lookup_that_fails_fails_what_it_was_for(emulator: Emulator) -> None:
    """Nothing is sent blindly: the creates that it was to tell of are failed, and what is below them skipped."""
    async with client_of(emulator, retry=RetryPolicy(max_attempts=1)) as losant:
        plan = await make_plan(losant, [{"id": "a", "name": "A"}, {"name": "B", "parentId": "a"}], by_name())
        emulator.inject(Fault.UNAVAILABLE, method="GET")
        outcomes = await carry_out(losant, plan)
    assert [(outcome.change.path[-1], outcome.status) for outcome in outcomes] == [("A", "failed"), ("B", "skipped")]
    assert "503" in str(outcomes[0].error)
    assert {request.method for request in emulator.requests} == {"GET"}


async def test_leaving_during_the_lookups_leaves_nothing(emulator: Emulator, losant: LosantClient) -> None:
    """A timeout while everything waits for the first lookup: nothing was sent, and no task is left."""
    plan = await make_plan(losant, [{"name": str(n)} for n in range(300)], by_name())
    emulator.requests.clear()
    emulator.inject(Fault.SILENCE, times=3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await carry_out(losant, plan)
    assert {request.method for request in emulator.requests} == {"GET"}


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
    policy = RetryPolicy(first_delay=0.5, max_delay=0.5)
    async with client_of(emulator, retry=policy) as losant, client_of(emulator) as human:
        monkeypatch.setattr(random, "random", lambda: 0.5)
        plan = await make_plan(losant, records, by_name(), prune=True)
        emulator.inject(fault, method=method)
        applying = asyncio.create_task(carry_out(losant, plan))
        while emulator.requests[-1].method != method or not emulator.requests[-1].status:
            await asyncio.sleep(0)
        await human.experience_groups.update(ids, description="a human's")
        (outcome,) = await applying
        assert outcome.status == status
        assert "somebody has changed it since the plan was made: description" in str(outcome.error)
        assert (await human.experience_groups.get(ids)).description == "a human's"


async def test_a_change_follows_the_look_at_its_group_at_once(emulator: Emulator) -> None:
    """However many wait for the server's pace: between the two hardly anybody else gets a turn."""
    emulator.create_groups({"name": f"{n}"} for n in range(60))
    async with client_of(emulator, max_in_flight=1) as losant:
        plan = await make_plan(losant, [{"name": f"{n}", "description": "x"} for n in range(60)], by_name())
        emulator.requests.clear()
        assert {outcome.status for outcome in await carry_out(losant, plan, concurrency=20)} == {"done"}
    order = [(request.method, request.path) for request in emulator.requests]
    assert len(order) == 120
    assert max(order.index(("PATCH", path)) - order.index(("GET", path)) for _, path in order) <= 3


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
    monkeypatch.setattr(lookup, "_MAX_AGE", 0.05)
    records = [{"name": f"{n:03}", "groupTags": {TAG: f"{n:03}"}} for n in range(120)]
    plan = await make_plan(losant, records, by)
    emulator.latency = 0.01
    applying = asyncio.create_task(carry_out(losant, plan, concurrency=2))
    while sum(request.method == "POST" for request in emulator.requests) < 20:
        await asyncio.sleep(0)
    emulator.create_groups([records[90], records[119]])  # the first is looked up by then, the last is not
    statuses = Counter(outcome.status for outcome in await applying)
    assert statuses == {"done": 118, "existing": 2}
    assert set(Counter([group.name async for group in losant.experience_groups.scan()]).values()) == {1}


async def test_an_update_whose_answers_are_all_lost_is_unknown(emulator: Emulator) -> None:
    """It may have been done or not; planned again, it turns out."""
    emulator.create_groups([{"name": "A"}])
    records = [{"name": "A", "description": "new"}]
    async with client_of(emulator, retry=RetryPolicy(max_attempts=2, first_delay=0)) as losant:
        plan = await make_plan(losant, records, by_name())
        emulator.inject(Fault.CUT_AFTER_WRITE, times=2, method="PATCH")
        assert [outcome.status for outcome in await carry_out(losant, plan)] == ["unknown"]
        assert not (await make_plan(losant, records, by_name())).changes


async def test_deletes_run_children_first(emulator: Emulator, losant: LosantClient) -> None:
    """So that no child is handed to a grandparent on the way."""
    chain = [{"id": str(n), "name": str(n)} | ({"parentId": str(n - 1)} if n else {}) for n in range(20)]
    emulator.create_groups(chain)
    plan = await make_plan(losant, chain[:1], by_name(), prune=True)
    emulator.latency, emulator.peak_in_flight = 0.002, 0
    outcomes = await carry_out(losant, plan, concurrency=8)
    assert emulator.peak_in_flight == 1  # each waits for the one below it
    assert [outcome.change.path[-1] for outcome in outcomes] == [str(n) for n in range(19, 0, -1)]
    assert {outcome.status for outcome in outcomes} == {"done"}


async def test_no_more_are_under_way_than_asked_for(emulator: Emulator, losant: LosantClient) -> None:
    """Creates, updates and deletes alike, by the server's count."""
    emulator.create_groups({"name": f"{kind} {n}"} for kind in ("changed", "old") for n in range(20))
    records = [{"name": f"new {n}"} for n in range(20)]
    records += [{"name": f"changed {n}", "description": "x"} for n in range(20)]
    plan = await make_plan(losant, records, by_name(), prune=True)
    assert plan.summary() == "20 to create, 20 to update, 20 to delete, 0 unchanged"
    emulator.latency, emulator.peak_in_flight = 0.005, 0
    assert {outcome.status for outcome in await carry_out(losant, plan, concurrency=3)} == {"done"}
    # The one lookup for all creates goes beside the changes.
    assert 3 <= emulator.peak_in_flight <= 4
    kept = await make_plan(losant, records[:20], by_name(), prune=True)
    emulator.peak_in_flight = 0
    assert {outcome.status for outcome in await carry_out(losant, kept, concurrency=3)} == {"done"}
    assert emulator.peak_in_flight == 3


async def test_groups_trade_places(emulator: Emulator, losant: LosantClient) -> None:
    """A parent goes below its own child: the child moves up first."""
    emulator.create_groups([{"id": "a", "name": "A", "groupTags": {TAG: "1"}}])
    emulator.create_groups(
        [{"name": "B", "groupTags": {TAG: "2"}, "parentId": (await losant.experience_groups.list().to_list())[0].id}]
    )
    records = [
        {"id": "b", "name": "B", "groupTags": {TAG: "2"}},
        {"id": "new", "name": "New", "groupTags": {TAG: "3"}, "parentId": "b"},
        {"name": "A", "groupTags": {TAG: "1"}, "parentId": "new"},
    ]
    plan = await make_plan(losant, records, by_tag(TAG))
    assert list(plan.diff()) == ["~ B: parent_id", "+ B / New", "~ B / New / A: parent_id"]
    assert {outcome.status for outcome in await carry_out(losant, plan)} == {"done"}
    assert await state(losant) == Counter([("B",), ("B", "New"), ("B", "New", "A")])


async def test_what_would_fail_everything_ends_it(emulator: Emulator) -> None:
    """A token without the scope to write: what was sent is told, then the error is raised."""
    token = emulator.create_token(["all.Application.read"])
    async with client_of(emulator, token=token) as losant:
        plan = await make_plan(losant, [{"name": str(n)} for n in range(100)], by_name())
        statuses = set()
        with pytest.raises(PermissionDeniedError, match="scope"):
            async for outcome in reconcile.apply(losant.experience_groups, plan, concurrency=4):
                statuses.add(outcome.status)
    assert statuses == {"failed"}
    assert sum(request.method == "POST" for request in emulator.requests) <= 4


async def test_an_unknown_token_ends_a_plan(emulator: Emulator) -> None:
    """Reading fails as any other read does."""
    async with client_of(emulator, token="wrong") as losant:
        with pytest.raises(AuthenticationError):
            await make_plan(losant, [], by_name())


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"match_by": "name"}, "match_by must be by_name"),
        ({"records": None}, "records must be an iterable of records, not NoneType"),
        ({"records": {"name": "A"}}, "records must be an iterable of records, not dict"),
        ({"groups": None}, "groups must be the experience_groups of a client or an application, not NoneType"),
        ({"records": [{"nam": "A"}, {"name": ""}]}, r"records\[0\]: .*; records\[1\]: "),
        ({"records": [3]}, r"records\[0\] must be a Record or a mapping, not int"),
        ({"records": [{"name": "A"}, {"name": ""}]}, r"records\[1\]: name must have 1 to 255"),
        ({"records": [{"name": "A", "color": "red"}]}, r"records\[0\]: there is no field 'color'"),
    ],
)
async def test_bad_arguments_of_plan_send_nothing(
    emulator: Emulator, losant: LosantClient, arguments: Any, error: str
) -> None:
    """Wrong arguments are named before anything is read."""
    with pytest.raises((TypeError, ValueError), match=error):
        await reconcile.plan(**{"groups": losant.experience_groups, "records": [], "match_by": by_name()} | arguments)
    assert emulator.requests == []


async def test_bad_arguments_of_apply_are_named(losant: LosantClient) -> None:
    """A plan, and one or more at a time."""
    plan = await make_plan(losant, [], by_name())
    with pytest.raises(TypeError, match="plan must be a Plan"):
        reconcile.apply(losant.experience_groups, [], concurrency=1)  # type: ignore[arg-type]  # the point
    with pytest.raises(ValueError, match="concurrency must be 1 or more"):
        reconcile.apply(losant.experience_groups, plan, concurrency=0)


async def test_by_id_is_for_plans_alone(losant: LosantClient) -> None:
    """A create has no id to go by."""
    with pytest.raises(TypeError, match="unique_by must be by_name"):
        await losant.experience_groups.create(NewExperienceGroup("A"), unique_by=by_id())  # type: ignore[arg-type]


async def test_cancelling_settles_what_is_on_the_wire(emulator: Emulator, losant: LosantClient) -> None:
    """A timeout around an apply loses no create that was sent, and the next plan finds it."""
    emulator.latency = 0.05
    records = [{"name": str(n)} for n in range(50)]
    plan = await make_plan(losant, records, by_name())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await carry_out(losant, plan, concurrency=4)
    posts = sum(request.method == "POST" for request in emulator.requests)
    assert 0 < posts < 50
    assert (await make_plan(losant, records, by_name())).unchanged == posts


async def test_records_of_ones_own_are_checked_before_anything_is_sent(
    emulator: Emulator, losant: LosantClient
) -> None:
    """A `Record` is public, and may hold what no group can have; so may a `Change`."""
    groups = losant.experience_groups
    with pytest.raises(ValueError, match=r"records\[1\]: name must have 1 to 255 characters, not 300"):
        await reconcile.plan(groups, [Record({"name": "a"}), Record({"name": "x" * 300})], match_by=by_name())
    assert emulator.requests == []
    bad = Plan((Change("create", ("x",), None, {"name": "x" * 300}),), 0, by_name())
    outcomes = [outcome async for outcome in reconcile.apply(groups, bad)]
    assert [outcome.status for outcome in outcomes] == ["failed"]


async def test_a_step_at_a_time(losant: LosantClient) -> None:
    """`anext` works as `async for` does, and a plan is applied once."""
    groups = losant.experience_groups
    plan = await reconcile.plan(groups, [{"name": "a"}, {"name": "b"}], match_by=by_name())
    applying = reconcile.apply(groups, plan)
    assert {(await anext(applying)).change.path for _ in range(2)} == {("a",), ("b",)}
    with pytest.raises(StopAsyncIteration):
        await anext(applying)
    with pytest.raises(RuntimeError, match="iterated over only once"):
        aiter(applying)


async def test_an_error_that_ends_an_apply_has_no_report_of_a_batch(emulator: Emulator) -> None:
    """It would count updates as creates."""
    async with client_of(emulator) as losant:
        plan = await reconcile.plan(losant.experience_groups, [{"name": "a"}], match_by=by_name())
    async with client_of(emulator, token="another-token") as losant:
        with pytest.raises(AuthenticationError) as caught:
            async for _ in reconcile.apply(losant.experience_groups, plan):
                pass
    assert caught.value.report is None


async def test_deletes_go_children_first_whatever_the_case_of_ids(losant: LosantClient) -> None:
    """Hex digits are what they are."""
    groups = losant.experience_groups
    top = await groups.create(NewExperienceGroup("top"))
    below = await groups.create(NewExperienceGroup("below", parent_id=top.id))
    loud = attrs.evolve(below, parent_id=top.id.upper())
    changes = [Change("delete", (group.name,), group.id, {}, current=group) for group in (top, loud)]
    outcomes = [o async for o in reconcile.apply(groups, Plan(tuple(changes), 0, by_name()), concurrency=1)]
    assert [(o.change.path, o.status) for o in outcomes] == [(("below",), "done"), (("top",), "done")]


async def test_what_is_skipped_does_not_keep_others_from_being_looked_up_together(
    emulator: Emulator, losant: LosantClient
) -> None:
    """A hundred below a root that is refused, and three hundred more: as many lookups as hundreds."""
    records = [{"id": "bad", "name": "bad", "groupTags": {TAG: "bad"}}]
    records += [{"name": f"b{n}", "groupTags": {TAG: f"b{n}"}, "parentId": "bad"} for n in range(100)]
    records += [{"name": f"g{n}", "groupTags": {TAG: f"g{n}"}} for n in range(300)]
    plan = await make_plan(losant, records, by_tag(TAG))

    def refuse(request: RequestRecord) -> None:
        if b'"name":"bad"' in request.body:
            raise ValueError("not this one")

    emulator.before_request = refuse
    emulator.requests.clear()
    statuses = Counter(outcome.status for outcome in await carry_out(losant, plan))
    assert statuses == {"failed": 1, "skipped": 100, "done": 300}
    assert sum(request.method == "GET" for request in emulator.requests) <= 8
