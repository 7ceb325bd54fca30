"""Plans and their application, against the emulator, counted on its side."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import attrs
import pytest

from aiolosant import (
    AuthenticationError,
    LosantClient,
    NewExperienceGroup,
    PermissionDeniedError,
    RetryPolicy,
    by_id,
    by_name,
    by_tag,
    reconcile,
)
from aiolosant.emulator import Emulator, Fault, RequestRecord
from aiolosant.identity import MatchBy
from aiolosant.reconcile import Change, ChangeOutcome, Plan

from ..conftest import client_of
from .records import TAG, Records, carry_out, make_plan, state, wanted


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
        await asyncio.sleep(0.001)
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
    async with client_of(emulator, retry=RetryPolicy(max_attempts=20, first_delay=0.01, settle_time=0.5)) as losant:
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
    # Two or three; some are asked for anew if they have become old on a busy machine.
    assert 2 <= sum(request.method == "GET" for request in emulator.requests) <= 8


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
    """Cancelled while everything waits for the first lookup: nothing was sent, and no task is left."""
    plan = await make_plan(losant, [{"name": str(n)} for n in range(300)], by_name())
    emulator.requests.clear()
    emulator.inject(Fault.SILENCE, times=3)
    applying = asyncio.create_task(carry_out(losant, plan))
    while not emulator.requests:
        await asyncio.sleep(0.001)
    applying.cancel()
    await asyncio.wait({applying})
    assert {request.method for request in emulator.requests} == {"GET"}


async def test_an_update_whose_answers_are_all_lost_is_unknown(emulator: Emulator) -> None:
    """It may have been done or not; planned again, it turns out."""
    emulator.create_groups([{"name": "A"}])
    records = [{"name": "A", "description": "new"}]
    async with client_of(emulator, retry=RetryPolicy(max_attempts=2, first_delay=0)) as losant:
        plan = await make_plan(losant, records, by_name())
        emulator.inject(Fault.CUT_AFTER_WRITE, times=9, method="PATCH")
        assert [outcome.status for outcome in await carry_out(losant, plan)] == ["unknown"]
        assert not (await make_plan(losant, records, by_name())).changes


async def test_deletes_run_children_first(emulator: Emulator, losant: LosantClient) -> None:
    """So that no child is handed to a grandparent on the way."""
    chain = [{"id": str(n), "name": str(n)} | ({"parentId": str(n - 1)} if n else {}) for n in range(20)]
    emulator.create_groups(chain)
    plan = await make_plan(losant, chain[:1], by_name(), prune=True)
    with_children = 0

    def count(request: RequestRecord) -> None:
        nonlocal with_children
        if request.method == "DELETE":
            group_id = request.path.rsplit("/", 1)[-1]
            with_children += any(group.get("parentId") == group_id for group in emulator.groups())

    emulator.latency, emulator.before_request = 0.002, count
    outcomes = await carry_out(losant, plan, concurrency=8)
    assert with_children == 0  # each waits for the one below it
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
    records: Records = [
        {"id": "b", "parentId": None, "name": "B", "groupTags": {TAG: "2"}},
        {"id": "new", "name": "New", "groupTags": {TAG: "3"}, "parentId": "b"},
        {"name": "A", "groupTags": {TAG: "1"}, "parentId": "new"},
    ]
    plan = await make_plan(losant, records, by_tag(TAG))
    assert list(plan.diff()) == ["~ B: moves A -> to the root", "+ B / New", "~ B / New / A: moves the root -> B / New"]
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
    """Cancelling an apply loses no create that was sent, and the next plan finds it."""
    emulator.latency = 0.05
    records = [{"name": str(n)} for n in range(50)]
    plan = await make_plan(losant, records, by_name())

    def posts() -> int:
        return sum(request.method == "POST" for request in emulator.requests)

    applying = asyncio.create_task(carry_out(losant, plan, concurrency=4))
    while posts() < 10:
        await asyncio.sleep(0.001)
    applying.cancel()
    await asyncio.wait({applying})
    assert posts() < 50
    assert (await make_plan(losant, records, by_name())).unchanged == posts()


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
