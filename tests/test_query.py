"""The query builder, held against the emulator."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aiolosant import LosantClient, NewExperienceGroup, Q, Query
from aiolosant.emulator.query_fields import GROUP_FIELDS
from aiolosant.emulator.query_sql import compile_query

ID = "575ed78e7ae143cd83dc4aab"
DATE = datetime(2022, 1, 30, 17, 18, 11, 911_000, tzinfo=UTC)
ISO = "2022-01-30T17:18:11.911Z"
ID_FIELDS = ["id", "parent_id", "ancestor_id", "experience_user_id", "experience_endpoint_id"]
API_NAMES = ["id", "parentId", "ancestorId", "experienceUserId", "experienceEndpointId"]

BUILT: list[tuple[Query, dict[str, Any]]] = [
    (Q.name == "a", {"name": {"$eq": "a"}}),
    (Q.name != "a", {"name": {"$ne": "a"}}),
    (Q.name > "a", {"name": {"$gt": "a"}}),
    (Q.name >= "a", {"name": {"$gte": "a"}}),
    (Q.name < "a", {"name": {"$lt": "a"}}),
    (Q.name <= "a", {"name": {"$lte": "a"}}),
    (Q.name.eq("a", ci=True), {"name": {"$eq": "a", "$ci": True}}),
    (Q.name.ne("a", ci=True), {"name": {"$ne": "a", "$ci": True}}),
    (Q.name.startswith("a"), {"name": {"$startsWith": "a"}}),
    (Q.name.endswith("a", ci=True), {"name": {"$endsWith": "a", "$ci": True}}),
    (Q.name.contains("a"), {"name": {"$contains": "a"}}),
    (Q.name.in_("a", "b", ci=True), {"name": {"$in": ["a", "b"], "$ci": True}}),
    (Q.name.not_in("a", "b"), {"name": {"$nin": ["a", "b"]}}),
    (Q.creation_date >= DATE, {"creationDate": {"$gte": ISO}}),
    (Q.last_updated < 1643563091911, {"lastUpdated": {"$lt": 1643563091911}}),
    (Q.creation_date.startswith("2022-01"), {"creationDate": {"$startsWith": "2022-01"}}),
    (Q.creation_date.in_(ISO), {"creationDate": {"$in": [ISO]}}),
    (Q.group_tags["region"] == "eu", {"groupTags": {"region": "eu"}}),
    (Q.group_tags["region"] != "eu", {"groupTags": {"$ne": {"region": "eu"}}}),
    (Q.group_tags["region"].in_("eu", "us"), {"groupTags": {"region": {"$in": ["eu", "us"]}}}),
    (Q.group_tags["region"].not_in("eu"), {"groupTags": {"region": {"$nin": ["eu"]}}}),
    (Q.group_tags["region"].is_null(), {"groupTags": {"region": None}}),
    (Q.group_tags["region"].is_not_null(), {"groupTags": {"$tagKey": "region"}}),
    (Q.group_tags.any(key="region", value="eu"), {"groupTags": {"$tagKey": "region", "$tagValue": "eu"}}),
    (Q.group_tags.any(key_in=["a", "b"]), {"groupTags": {"$tagKey": {"$in": ["a", "b"]}}}),
    (Q.group_tags.any(value_not_in=["a"]), {"groupTags": {"$tagValue": {"$nin": ["a"]}}}),
    (Q.group_tags.is_null(), {"groupTags": {"$eq": None}}),
    (Q.group_tags.is_not_null(), {"groupTags": {"$ne": None}}),
    (~(Q.name == "a"), {"$nor": [{"name": {"$eq": "a"}}]}),
    *((getattr(Q, field) == ID, {name: {"$eq": ID}}) for field, name in zip(ID_FIELDS, API_NAMES, strict=True)),
    *((getattr(Q, field) != ID, {name: {"$ne": ID}}) for field, name in zip(ID_FIELDS, API_NAMES, strict=True)),
    *((getattr(Q, field) > ID, {name: {"$gt": ID}}) for field, name in zip(ID_FIELDS, API_NAMES, strict=True)),
    *((getattr(Q, field) <= ID, {name: {"$lte": ID}}) for field, name in zip(ID_FIELDS, API_NAMES, strict=True)),
    *((getattr(Q, field).in_(ID), {name: {"$in": [ID]}}) for field, name in zip(ID_FIELDS, API_NAMES, strict=True)),
    *((getattr(Q, field).not_in(ID), {name: {"$nin": [ID]}}) for field, name in zip(ID_FIELDS, API_NAMES, strict=True)),
]
for field, name in zip(ID_FIELDS, API_NAMES, strict=True):
    BUILT.append((getattr(Q, field).is_null(), {name: {"$eq": None}}))
    BUILT.append((getattr(Q, field).is_not_null(), {name: {"$ne": None}}))


@pytest.mark.parametrize(("query", "expected"), BUILT)
def test_every_field_and_operator_is_built_as_the_schema_has_it(query: Query, expected: dict[str, Any]) -> None:
    """What is built is JSON of the published shape, and the emulator, which is as strict, takes it."""
    assert query.to_dict() == expected
    compile_query(query.to_dict(), GROUP_FIELDS)


def test_conditions_are_joined_flat_and_in_order() -> None:
    """`&` and `|` of several make one list; mixed ones nest."""
    a, b, c = Q.name == "a", Q.name == "b", Q.name == "c"
    assert (a & b & c).to_dict() == {"$and": [a.to_dict(), b.to_dict(), c.to_dict()]}
    assert (a | (b | c)).to_dict() == {"$or": [a.to_dict(), b.to_dict(), c.to_dict()]}
    assert ((a & b) | ~c).to_dict() == {"$or": [{"$and": [a.to_dict(), b.to_dict()]}, {"$nor": [c.to_dict()]}]}


def test_more_than_a_hundred_conditions_become_a_tree() -> None:
    """The schema takes at most 100 in one list."""
    query = Q.name == "0"
    for n in range(1, 250):
        query = query | (Q.name == str(n))

    def count(condition: dict[str, Any]) -> int:
        parts = condition.get("$or")
        if parts is None:
            return 1
        assert len(parts) <= 100
        return sum(map(count, parts))

    assert count(query.to_dict()) == 250
    compile_query(query.to_dict(), GROUP_FIELDS)


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda: Q.id == "x", ValueError, "id must be 24 hex digits"),
        (lambda: Q.parent_id == None, TypeError, "parentId is compared with None by is_null"),  # noqa: E711 - it is what the test is about
        (lambda: Q.id.in_(*[ID] * 101), ValueError, "100 values at once, not 101"),
        (lambda: Q.name == 5, TypeError, "name is compared with text, not int"),
        (lambda: Q.name.startswith(""), ValueError, "not empty"),
        (lambda: Q.name.in_(*"a" * 101), ValueError, "100 values at once"),
        (lambda: Q.creation_date > datetime(2022, 1, 1), ValueError, "no time zone"),  # noqa: DTZ001 - as above
        (lambda: Q.creation_date > float("nan"), ValueError, "finite numbers"),
        (lambda: Q.creation_date > True, TypeError, "not bool"),
        (lambda: Q.creation_date.contains(5), TypeError, "parts of text, not int"),  # type: ignore[arg-type]  # as above
        (lambda: Q.group_tags["a b"], ValueError, "a key of group_tags must be"),
        (lambda: Q.group_tags["a"] != None, TypeError, "group_tags are compared with None by is_null"),  # noqa: E711 - as above
        (lambda: Q.group_tags["a"] == 5, TypeError, "group_tags are compared with text"),
        (lambda: Q.group_tags["a"] == "x" * 256, ValueError, "at most 255"),
        (lambda: Q.group_tags["a"].in_(*"a" * 101), ValueError, "100 values"),
        (lambda: Q.group_tags.any(), ValueError, "needs a key or a value"),
        (lambda: Q.group_tags.any(key="a", key_in=["b"]), ValueError, "one way only"),
        (lambda: Q.group_tags.any(key_in="ab"), TypeError, "several texts"),
        (lambda: (Q.name == "a") and (Q.name == "b"), TypeError, "joined by & and |"),
        (lambda: (Q.name == "a") & "b", TypeError, "unsupported operand"),  # type: ignore[operator]  # as above
        (lambda: Q.group_tags == {"region": "eu"}, TypeError, r"one by one, such as Q\.group_tags"),
        (lambda: Q.name.in_(["a", "b"]), TypeError, r"several are in_\(\*names\)"),  # type: ignore[arg-type]  # as above
        (lambda: Q.nmae, AttributeError, "nmae"),  # type: ignore[attr-defined]  # as above
    ],
)
def test_what_the_schema_does_not_allow_cannot_be_built(build: Any, kind: type[Exception], message: str) -> None:
    """Wrong values, too many of them, and `and` instead of `&`."""
    with pytest.raises(kind, match=message):
        build()


async def test_a_list_takes_what_was_built(losant: LosantClient) -> None:
    """The README's own question, asked."""
    groups = losant.experience_groups
    acme = await groups.create(NewExperienceGroup("ACME", group_tags={"region": "eu"}))
    child = await groups.create(NewExperienceGroup("Acme 2", parent_id=acme.id, group_tags={"region": "us"}))
    await groups.create(NewExperienceGroup("Acme 3", parent_id=acme.id))
    query = (Q.name.startswith("Acme", ci=True) & Q.group_tags["region"].in_("eu", "us")) | Q.parent_id.is_null()
    assert [group.id async for group in groups.list(query=query)] == [acme.id, child.id]
    with pytest.raises(ValueError, match="exclude each other"):
        groups.list(query=query, filter="a*")


def test_a_query_is_frozen() -> None:
    """What is done to its dict is not done to it."""
    query = Q.name == "a"
    query.to_dict()["name"] = "b"
    assert query.to_dict() == {"name": {"$eq": "a"}}
