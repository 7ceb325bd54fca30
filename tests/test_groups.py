"""The verbs, against the emulator."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from aiolosant import (
    BadRequestError,
    DeviceTag,
    ExperienceGroup,
    LosantClient,
    NewExperienceGroup,
    NotFoundError,
)
from aiolosant._http import codec
from aiolosant.emulator import Emulator

from .samples import sample_object

NOWHERE = "0" * 24


async def make(losant: LosantClient, *names: str) -> list[ExperienceGroup]:
    return [await losant.experience_groups.create(NewExperienceGroup(name)) for name in names]


async def test_create_get_update_and_delete_a_group(losant: LosantClient) -> None:
    """Create, get, update, delete: each answer is the group as it is then."""
    groups = losant.experience_groups
    new = codec.new_group(sample_object("group_post"))
    created = await groups.create(new)
    assert {name: getattr(created, name) for name in sample_fields(new)} == sample_fields(new)
    assert created.creation_date is not None
    assert abs(created.creation_date - datetime.now(UTC)) < timedelta(minutes=1)
    assert await groups.get(created.id) == created

    tags = (DeviceTag(value="south"),)
    updated = await groups.update(created.id, name="New name", device_tags=tags, group_tags={}, device_query_json=None)
    assert (updated.name, updated.device_tags, updated.group_tags) == ("New name", tags, {})
    assert updated.device_query_json is None
    assert updated.description == created.description

    await groups.delete(created.id)
    with pytest.raises(NotFoundError, match="Experience Group was not found"):
        await groups.get(created.id)


def sample_fields(new: NewExperienceGroup) -> dict[str, Any]:
    return {field.name: getattr(new, field.name) for field in attrs.fields(NewExperienceGroup)}


async def test_a_parent_can_be_given_and_taken_away(losant: LosantClient) -> None:
    """`parent_id=None` makes a root of a child; ancestors run from the root down."""
    groups = losant.experience_groups
    root, middle = await make(losant, "root", "middle")
    await groups.update(middle.id, parent_id=root.id)
    leaf = await groups.create(NewExperienceGroup("leaf", parent_id=middle.id))
    assert leaf.ancestor_ids == (root.id, middle.id)
    assert (await groups.update(leaf.id, parent_id=None)).ancestor_ids == ()
    with pytest.raises(BadRequestError, match="itself or one of its descendants"):
        await groups.update(root.id, parent_id=middle.id)


async def test_a_list_is_read_page_by_page(emulator: Emulator, losant: LosantClient) -> None:
    """Requests on the server: 0 after list(), 1 after the first item, 2 after item 101, none after break."""
    await losant.experience_groups.create_many(NewExperienceGroup(f"{n:04}") for n in range(250)).report()
    emulator.requests.clear()
    paginator = losant.experience_groups.list(per_page=100)
    assert len(emulator.requests) == 0
    seen = 0
    async for group in paginator:
        assert group.name == f"{seen:04}"
        seen += 1
        assert len(emulator.requests) == (seen - 1) // 100 + 1
        if seen == 101:
            break
    assert len(emulator.requests) == 2
    first, second = await paginator.to_list(), await paginator.to_list()
    assert first == second
    assert len(first) == 250
    assert [request.query["page"] for request in emulator.requests] == ["0", "1"] + ["0", "1", "2"] * 2


async def test_a_list_sorts_filters_and_starts_where_it_is_told(losant: LosantClient) -> None:
    """Every documented parameter does what it says."""
    made = await make(losant, "beta", "Alpha", "gamma", "Albatros")
    groups = losant.experience_groups
    assert [g.name async for g in groups.list()] == ["Albatros", "Alpha", "beta", "gamma"]
    assert [g.name async for g in groups.list(sort_direction="desc", per_page=3)] == [
        "gamma",
        "beta",
        "Alpha",
        "Albatros",
    ]
    for field in ("id", "creationDate", "lastUpdated"):
        assert [g.id async for g in groups.list(sort_field=field)] == [g.id for g in made]
    assert [g.name async for g in groups.list(filter="al*")] == ["Albatros", "Alpha"]
    assert [g.name async for g in groups.list(filter="?eta")] == ["beta"]
    assert [g.name async for g in groups.list(filter="  ", per_page=2, start_page=1)] == ["beta", "gamma"]
    assert await groups.list(filter="al*").count() == 2


async def test_device_counts_come_on_request(losant: LosantClient) -> None:
    """The two counts are None unless they are asked for."""
    groups = losant.experience_groups
    root = await groups.create(NewExperienceGroup("root", device_ids=["1" * 24, "2" * 24]))
    await groups.create(NewExperienceGroup("leaf", device_ids=["2" * 24, "3" * 24], parent_id=root.id))
    plain = await groups.get(root.id)
    assert (plain.direct_device_count, plain.total_device_count) == (None, None)
    counted = await groups.get(root.id, include_direct_device_count=True, include_total_device_count=True)
    assert (counted.direct_device_count, counted.total_device_count) == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"sort_field": "colour"}, ValueError, "sort_field must be one of name, id, creationDate, lastUpdated"),
        ({"sort_direction": "up"}, ValueError, "sort_direction must be one of asc, desc"),
        ({"filter_field": "id"}, ValueError, "filter_field must be one of name"),
        ({"per_page": 0}, ValueError, "per_page must be 1 to 1000, not 0"),
        ({"per_page": 1001}, ValueError, "per_page must be 1 to 1000, not 1001"),
        ({"per_page": "100"}, TypeError, "per_page must be an integer, not str"),
        ({"start_page": -1}, ValueError, "start_page must be 0 or more"),
        ({"per_page": True}, TypeError, "per_page must be an integer, not bool"),
        ({"filter": 5}, TypeError, "filter must be text, not int"),
        ({"filter": "\udcff"}, ValueError, "filter is no valid Unicode text"),
        ({"query": '{"name": "a"}'}, TypeError, "query must be a Query or a mapping, not str"),
        ({"prefetch": -1}, ValueError, "prefetch must be 0 or more"),
        ({"filter": "a*", "query": {"name": "b"}}, ValueError, "filter and query exclude each other"),
    ],
)
async def test_wrong_list_arguments_are_refused_at_once(
    losant: LosantClient, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """Bad input gets a clear error before anything is sent."""
    with pytest.raises(kind, match=message):
        losant.experience_groups.list(**arguments)


async def test_ids_are_checked_before_they_reach_a_path(emulator: Emulator, losant: LosantClient) -> None:
    """An id that is none never becomes part of a URL."""
    groups = losant.experience_groups
    for bad in ("", "../users", NOWHERE + "\n", NOWHERE + "?a=b"):
        for call in (groups.get, groups.delete):
            with pytest.raises(ValueError, match="group_id must be 24 hex digits"):
                await call(bad)
        with pytest.raises(ValueError, match="group_id must be 24 hex digits"):
            await groups.update(bad, name="a")
        with pytest.raises(ValueError, match="application_id must be 24 hex digits"):
            losant.application(bad)
    with pytest.raises(TypeError, match="group_id must be text, not int"):
        await groups.get(5)  # type: ignore[arg-type]  # it is what the test is about
    with pytest.raises(TypeError, match="group must be a NewExperienceGroup or a mapping, not str"):
        await groups.create("a")  # type: ignore[arg-type]  # as above
    with pytest.raises(ValueError, match="nme"):
        await groups.create({"nme": "a"})
    assert emulator.requests == []


async def test_a_filter_is_sent_as_it_is(losant: LosantClient) -> None:
    """Blanks are characters of names; a filter of nothing else is none."""
    groups = losant.experience_groups
    for name in (" lead", "leader"):
        await groups.create(NewExperienceGroup(name))
    assert [group.name async for group in groups.list(filter=" lead*")] == [" lead"]
    assert await groups.list(filter="  ").count() == 2
