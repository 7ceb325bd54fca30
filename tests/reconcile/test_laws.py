"""What holds of plans and their application whatever the trees: laws, tried on random ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiolosant import (
    PlanError,
    by_id,
    by_name,
    by_tag,
    reconcile,
)
from aiolosant.emulator import Emulator
from aiolosant.identity import MatchBy

from ..conftest import client_of
from .records import TAG, Records, carry_out, forests, make_plan, renamed, state, wanted


@settings(max_examples=40)
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


@settings(max_examples=40)
@given(data=st.data(), before=forests(), after=forests())
async def test_the_order_of_records_does_not_matter(data: st.DataObject, before: Records, after: Records) -> None:
    """Any permutation of the records makes the same changes."""
    async with Emulator() as emulator, client_of(emulator) as losant:
        emulator.create_groups(before)
        plan = await make_plan(losant, after, by_tag(TAG))
        other = await make_plan(losant, data.draw(st.permutations(after)), by_tag(TAG))
        assert sorted(plan.diff()) == sorted(other.diff())


@settings(max_examples=30)
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
