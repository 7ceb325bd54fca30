"""`get_many`, `update_many`, `delete_many` and whole subtrees, counted on the server's side."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from aiolosant import (
    BatchReport,
    ExperienceGroup,
    LosantClient,
    NotFoundError,
    RetryPolicy,
    ServerError,
)
from aiolosant._http import throttle
from aiolosant.emulator import Emulator, Fault, RequestRecord

from .conftest import client_of

FAULTS = {Fault.UNAVAILABLE: 0.08, Fault.CUT_AFTER_WRITE: 0.06, Fault.CUT_BEFORE_WRITE: 0.06, Fault.BAD_GATEWAY: 0.05}
QUICK = RetryPolicy(first_delay=0.01, settle_time=0.05, max_attempts=12)
NOWHERE = "f" * 24


def seed(emulator: Emulator, count: int) -> list[str]:
    return list(emulator.create_groups([{"id": str(n), "name": f"{n}"} for n in range(count)]).values())


def counted(emulator: Emulator) -> Counter[str]:
    return Counter(request.method for request in emulator.requests)


async def test_six_hundred_are_read_in_a_query_for_each_hundred(emulator: Emulator, losant: LosantClient) -> None:
    """By the ids that were given, in whatever case; who is not there is not in it."""
    ids = seed(emulator, 600)
    found = await losant.experience_groups.get_many([*ids, ids[0], ids[1].upper(), NOWHERE])
    assert [found[group_id].name for group_id in ids] == [f"{n}" for n in range(600)]
    assert (found[ids[1].upper()].id, NOWHERE in found, len(found)) == (ids[1], False, 601)
    assert len(emulator.requests) == 7
    assert await losant.experience_groups.get_many([]) == {}
    with pytest.raises(TypeError, match="group_ids must be several texts"):
        await losant.experience_groups.get_many(ids[0])
    with pytest.raises(ValueError, match=r"group_ids\[1\] must be 24 hex digits"):
        await losant.experience_groups.get_many([ids[0], "x"])


@pytest.mark.parametrize("chances", [{}, FAULTS])
async def test_six_hundred_updates_are_made(emulator: Emulator, chances: dict[Fault, float]) -> None:
    """Mappings by either names, and functions of the group as it is; no more at a time than asked for, but lookups."""
    ids = seed(emulator, 600)
    emulator.latency = 0.002
    emulator.inject_random(chances, seed=1)

    def describe(group: ExperienceGroup) -> dict[str, Any]:
        return {"description": f"was {group.name}", "name": f"{group.name}!"}

    kinds: list[Any] = [{"name": "new"}, {"deviceTags": [{"key": "a"}], "groupTags": {"k": "v"}}, describe]
    async with client_of(emulator, retry=QUICK) as losant:
        pairs = ((group_id, kinds[n % 3]) for n, group_id in enumerate(ids))
        outcomes = [outcome async for outcome in losant.experience_groups.update_many(pairs, concurrency=12)]
    assert {outcome.status for outcome in outcomes} == {"updated"}
    assert sorted(outcome.index for outcome in outcomes) == list(range(600))
    groups = emulator.groups()
    assert [group["name"] for group in groups[::3]] == ["new"] * 200
    assert all(group["deviceTags"] == [{"key": "a"}] for group in groups[1::3])
    assert [group["description"] for group in groups[2::3]] == [f"was {n}" for n in range(2, 600, 3)]
    assert [group["name"] for group in groups[2::3]] == [f"{n}!" for n in range(2, 600, 3)]
    assert emulator.peak_in_flight <= 12 + 4
    if not chances:
        assert counted(emulator)["PATCH"] == 600
        assert counted(emulator)["GET"] <= 10


@pytest.mark.parametrize("chances", [{}, FAULTS])
async def test_five_hundred_deletes_are_made(emulator: Emulator, chances: dict[Fault, float]) -> None:
    """One that is gone already is fine, and found out by one look at the application."""
    ids = seed(emulator, 500)
    for group_id in ids[:50]:
        emulator.delete_group(group_id)
    emulator.latency = 0.002
    emulator.inject_random(chances, seed=2)
    async with client_of(emulator, retry=QUICK) as losant:
        report = await losant.experience_groups.delete_many(ids, concurrency=10).report()
    assert report == BatchReport(deleted=500)
    assert emulator.groups() == []
    assert emulator.peak_in_flight <= 10
    if not chances:
        assert counted(emulator) == {"DELETE": 500, "GET": counted(emulator)["GET"]}
        assert counted(emulator)["GET"] <= 10


async def test_what_one_item_lacks_is_its_own_outcome(emulator: Emulator, losant: LosantClient) -> None:
    """A group that is not there, a mistake in a function, a change that cannot be, a pair that is none."""
    a, b, *more = seed(emulator, 9)

    async def unfit(_group: ExperienceGroup) -> dict[str, Any]:
        return {}

    def mistaken(_group: ExperienceGroup) -> dict[str, Any]:
        raise KeyError("region")

    items: list[Any] = [
        (NOWHERE, {"name": "x"}),
        ("e" * 24, lambda _group: {"name": "x"}),
        (a, mistaken),
        (more[0], lambda _group: {"colour": "red"}),
        (more[1], {"name": ""}),
        (more[2], {"name": "x", "nme": 1}),
        (more[3], {}),
        ("x", {"name": "x"}),
        (more[4], 5),
        a,
        (more[5], lambda _group: 5),
        (more[6], unfit),
        (b, lambda _group: None),
        (b.upper(), {"name": "twice"}),
    ]
    outcomes = [outcome async for outcome in losant.experience_groups.update_many(items, ordered=True)]
    assert [type(outcome.error) for outcome in outcomes] == [
        *(NotFoundError, NotFoundError, KeyError, TypeError, ValueError, TypeError, ValueError),
        *(ValueError, TypeError, TypeError, TypeError, TypeError, type(None), ValueError),
    ]
    assert [outcome.status for outcome in outcomes] == ["failed"] * 12 + ["updated", "failed"]
    assert "must return a mapping of changes or None, not coroutine" in str(outcomes[11].error)
    assert "the input has another change of the group" in str(outcomes[13].error)
    assert outcomes[12].group is not None
    assert [outcome.request for outcome in outcomes] == items
    deleted = [outcome async for outcome in losant.experience_groups.delete_many([a, 5, "x"], ordered=True)]  # type: ignore[list-item]  # the subject
    assert [(outcome.status, outcome.group) for outcome in deleted] == [("deleted", None), *[("failed", None)] * 2]


@pytest.mark.parametrize(
    "batch",
    [
        lambda groups: groups.delete_many([NOWHERE] * 50, concurrency=4),
        lambda groups: groups.update_many([(f"{n:024x}", {"name": "a"}) for n in range(50)], concurrency=4),
        lambda groups: groups.update_many(
            [(f"{n:024x}", lambda _group: {"name": "a"}) for n in range(50)], concurrency=4
        ),
    ],
)
async def test_an_application_that_is_not_there_ends_a_batch(
    emulator: Emulator, losant: LosantClient, batch: Callable[[Any], Any]
) -> None:
    """A 404 for every group says so, and no group is told to be deleted."""
    with pytest.raises(NotFoundError, match="Application was not found") as caught:
        await batch(losant.application("e" * 24).experience_groups).report()
    assert caught.value.report.deleted == caught.value.report.updated == 0
    assert len(emulator.requests) < 30


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [(Fault.TOO_MANY_REQUESTS, "updated", "theirs, ours"), (Fault.CUT_BEFORE_WRITE, "unknown", "theirs")],
)
async def test_a_function_is_asked_again_when_somebody_was_faster(
    emulator: Emulator, fault: Fault, status: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a change is resent the group is read again; what may have been done is not done over somebody's change."""
    (group_id,) = seed(emulator, 1)
    emulator.inject(fault, method="PATCH")
    monkeypatch.setattr(throttle, "MOST_NEWS", 0.3)
    emulator.retry_after = 1  # after which the reading is no news any more

    def interfere(request: RequestRecord) -> None:
        if request.method == "GET" and counted(emulator)["PATCH"] == 1:
            emulator.update_group(group_id, {"name": "theirs"})

    emulator.before_request = interfere
    async with client_of(emulator, retry=QUICK) as losant:
        pair = (group_id, lambda group: {"name": f"{group.name}, ours"})
        (outcome,) = [one async for one in losant.experience_groups.update_many([pair])]
    assert (outcome.status, emulator.groups()[0]["name"]) == (status, name)


async def test_a_change_whose_answer_was_lost_is_made_once(emulator: Emulator) -> None:
    """A function that adds to the name is not asked to add again."""
    (group_id,) = seed(emulator, 1)
    emulator.inject(Fault.CUT_AFTER_WRITE, method="PATCH")
    async with client_of(emulator, retry=QUICK) as losant:
        pair = (group_id, lambda group: {"name": f"{group.name}+"})
        (outcome,) = [one async for one in losant.experience_groups.update_many([pair])]
    assert (outcome.status, emulator.groups()[0]["name"]) == ("updated", "0+")


async def test_a_subtree_is_deleted_deepest_first(emulator: Emulator, losant: LosantClient) -> None:
    """With what others put below it meanwhile; its neighbours stay."""
    ids = emulator.create_groups(
        [
            {"id": "stay", "name": "stay"},
            {"id": "top", "name": "top", "parentId": "stay"},
            *({"id": f"{n}", "name": f"{n}", "parentId": "top" if n < 5 else f"{n // 5 - 1}"} for n in range(150)),
        ]
    )
    emulator.requests.clear()
    added = False

    def add(request: RequestRecord) -> None:
        nonlocal added
        if request.method == "DELETE" and not added:
            added = True
            emulator.create_groups([{"name": "late", "parentId": ids["top"]}])

    emulator.before_request = add
    depth = {group["id"]: len(group["ancestorIds"]) for group in emulator.groups()}
    await losant.experience_groups.delete(ids["top"], subtree=True)
    assert [group["name"] for group in emulator.groups()] == ["stay"]
    deleted = [request.path[-24:] for request in emulator.requests if request.method == "DELETE"]
    first = [depth[group_id] for group_id in deleted[:150]]
    assert first == sorted(first, reverse=True)
    assert deleted[-1] == ids["top"]
    with pytest.raises(NotFoundError):
        await losant.experience_groups.delete(ids["top"], subtree=True)


async def test_nothing_above_what_could_not_be_deleted_is(emulator: Emulator) -> None:
    """The error is that of the group that stays."""
    ids = emulator.create_groups([{"id": "1", "name": "a"}, {"id": "2", "name": "b", "parentId": "1"}])
    emulator.inject(Fault.SERVER_ERROR, times=None, method="DELETE")
    async with client_of(emulator, retry=RetryPolicy(max_attempts=2, first_delay=0, patience=0)) as losant:
        with pytest.raises(ServerError, match=ids["2"]):
            await losant.experience_groups.delete(ids["1"], subtree=True)
    assert len(emulator.groups()) == 2


async def test_lists_that_lag_are_waited_for(emulator: Emulator) -> None:
    """Deleted groups that a list still shows are not taken for new ones."""
    ids = emulator.create_groups([{"id": "1", "name": "a"}, {"id": "2", "name": "b", "parentId": "1"}])
    emulator.staleness = 0.15
    async with client_of(emulator, retry=RetryPolicy(settle_time=0.1)) as losant:
        await losant.experience_groups.delete(ids["1"], subtree=True)
    assert emulator.groups() == []
    assert counted(emulator)["DELETE"] == 2


async def test_a_batch_of_updates_can_be_left(emulator: Emulator, losant: LosantClient) -> None:
    """After `break` nothing new is sent."""
    ids = seed(emulator, 100)
    emulator.latency = 0.002
    async with losant.experience_groups.update_many(((one, {"name": "x"}) for one in ids), concurrency=4) as batch:
        async for _ in batch:
            break
    report = await batch.report()
    assert 1 <= report.updated < 20
    assert counted(emulator)["PATCH"] == report.updated
