"""Making a plan: what is refused before anything is read, and what reading may raise."""

from typing import Any

import pytest

from aiolosant import (
    AuthenticationError,
    LosantClient,
    by_name,
    reconcile,
)
from aiolosant.emulator import Emulator
from aiolosant.reconcile import Change, Plan, Record

from ..conftest import client_of
from .records import make_plan


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
