"""Advanced queries: the emulator's SQL against a plain evaluation of the same query."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiolosant.emulator.database import open_database
from aiolosant.emulator.query_fields import GROUP_FIELDS
from aiolosant.emulator.query_sql import QueryError, compile_query
from aiolosant.emulator.store import Store

from .api import Api

NAMES = ["Acme", "acme two", "Beta", "", "Köln", "KÖLN 2", "a%b", "a_b"]
VALUES = ["eu", "us", "EU"]
APPLICATION = "a" * 24
IDS = [f"{n:024x}" for n in range(1, 7)]


def evaluate(query: dict[str, Any], group: dict[str, Any]) -> bool:
    """Whether a group matches, after MongoDB's rules and as simply as possible."""
    return all(evaluate_part(name, value, group) for name, value in query.items())


def evaluate_part(name: str, value: Any, group: dict[str, Any]) -> bool:
    if name == "$and":
        return all(evaluate(part, group) for part in value)
    if name in ("$or", "$nor"):
        if not value:  # none under ANY gives all, none under NONE gives none
            return name == "$or"
        return any(evaluate(part, group) for part in value) == (name == "$or")
    if name == "groupTags":
        return evaluate_tags(value, group["groupTags"])
    operators = value if isinstance(value, dict) else {"$eq": value}
    fold = operators.get("$ci", False)
    values = {
        "ancestorId": group["ancestorIds"] or [None],
        "experienceUserId": group["experienceUserIds"] or [None],
        "experienceEndpointId": group["experienceEndpointIds"] or [None],
    }.get(name, [group.get(name)])
    return all(any_value(operator, operand, values, fold) for operator, operand in operators.items())


def any_value(operator: str, operand: Any, values: list[Any], fold: bool) -> bool:
    if operator == "$ci":
        return True
    if operator in ("$ne", "$nin"):
        return not any_value({"$ne": "$eq", "$nin": "$in"}[operator], operand, values, fold)
    if operator == "$in":
        return any(any_value("$eq", item, values, fold) for item in operand)
    return any(compare(operator, value, operand, fold) for value in values)


def compare(operator: str, value: Any, operand: Any, fold: bool) -> bool:
    if value is None or operand is None:
        return value is operand and operator in ("$eq", "$gte", "$lte")
    if isinstance(operand, bool) or isinstance(value, str) != isinstance(operand, str):
        return False
    if fold and isinstance(value, str):
        value, operand = value.lower(), operand.lower()
    if operator in ("$startsWith", "$endsWith", "$contains"):
        test = {"$startsWith": str.startswith, "$endsWith": str.endswith, "$contains": str.__contains__}[operator]
        return bool(test(value, operand))
    signs = {"$eq": "__eq__", "$gt": "__gt__", "$gte": "__ge__", "$lt": "__lt__", "$lte": "__le__"}
    return bool(getattr(value, signs[operator])(operand))


def evaluate_tags(value: dict[str, Any] | None, tags: dict[str, str]) -> bool:
    if value is None:
        return not tags
    if set(value) == {"$ne"}:
        return not evaluate_tags(value["$ne"], tags)
    if set(value) == {"$eq"}:
        return evaluate_tags(value["$eq"], tags)
    if value and set(value) <= {"$tagKey", "$tagValue"}:
        key_test, text_test = value.get("$tagKey"), value.get("$tagValue")
        return any(
            (key_test is None or tag_test(key_test, key)) and (text_test is None or tag_test(text_test, text))
            for key, text in tags.items()
        )
    return all(name not in tags if test is None else tag_test(test, tags.get(name)) for name, test in value.items())


def tag_test(test: Any, text: str | None) -> bool:
    if isinstance(test, dict):
        return text in test["$in"] if "$in" in test else text not in test["$nin"]
    return test is not None and test == text


texts = st.sampled_from([name for name in NAMES if name])
comparable = st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.sampled_from(NAMES))
text_operators = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"), comparable),
        **dict.fromkeys(("$startsWith", "$endsWith", "$contains"), texts),
        **{operator: st.lists(comparable.filter(lambda x: x is not None), max_size=3) for operator in ("$in", "$nin")},
        "$ci": st.booleans(),
    },
)
ids = st.sampled_from(IDS)
id_operators = st.one_of(
    *(st.fixed_dictionaries({op: ids | st.none()}) for op in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")),
    *(st.fixed_dictionaries({op: st.lists(ids, max_size=3)}) for op in ("$in", "$nin")),
)
tag_values = st.sampled_from(VALUES)
tag_tests = st.one_of(
    tag_values,
    st.none(),
    *(st.fixed_dictionaries({op: st.lists(tag_values | st.sampled_from("ab"), max_size=2)}) for op in ("$in", "$nin")),
)
tag_conditions = st.one_of(
    st.fixed_dictionaries({}, optional={"a": tag_tests, "b": tag_tests}),
    st.fixed_dictionaries({"$tagKey": st.sampled_from("ab") | tag_tests}, optional={"$tagValue": tag_tests}),
    st.fixed_dictionaries({"$tagValue": tag_tests}),
)
ID_FIELDS = ["id", "parentId", "ancestorId", "experienceUserId", "experienceEndpointId"]
fields = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(ID_FIELDS, ids | st.none() | id_operators),
        "name": comparable | text_operators,
        "groupTags": st.one_of(
            tag_conditions,
            st.none(),
            *(st.fixed_dictionaries({operator: tag_conditions | st.none()}) for operator in ("$eq", "$ne")),
        ),
    },
)
JOINS = ["$and", "$or", "$nor"]
queries = st.recursive(
    fields, lambda part: st.fixed_dictionaries({}, optional=dict.fromkeys(JOINS, st.lists(part, max_size=3)))
)


@pytest.fixture(scope="module")
def store() -> Any:
    """A small forest with all kinds of fields, and the groups in it."""
    database = open_database(None)
    store, application = Store(database, iter(IDS)), APPLICATION
    groups: list[dict[str, Any]] = []
    for n in range(len(IDS)):
        new: dict[str, Any] = {"name": NAMES[n] or "x"}
        if n in (1, 2, 4):
            new["parentId"] = groups[n // 2]["id"]
        if n % 2:
            new["groupTags"] = {"a": VALUES[n % 3], **({"b": "us"} if n > 2 else {})}
        if n % 3 == 0:
            new["experienceUserIds"] = [IDS[n].upper(), IDS[1]]
        if n % 3 == 1:
            new["experienceEndpointIds"] = [IDS[2]]
        groups.append(store.create(application, new))
    for group in groups:
        group["experienceUserIds"] = [user.lower() for user in group["experienceUserIds"]]
    yield store, application, groups
    database.close()


@given(query=queries)
def test_sql_and_a_plain_evaluation_agree(store: Any, query: dict[str, Any]) -> None:
    """Every field and operator, nested at will, finds the same groups."""
    database, application, groups = store
    found, total = database.page(
        application, sort_field="id", descending=False, name_glob="", query=query, offset=0, limit=100
    )
    assert [group["id"] for group in found] == [group["id"] for group in groups if evaluate(query, group)]
    assert total == len(found)


async def test_dates_compare_as_text_or_milliseconds(api: Api) -> None:
    """ISO text, epoch milliseconds and parts of the text; what is no date matches nothing."""
    _, group = await api("POST", json={"name": "a"})
    date = group["creationDate"]

    async def matches(condition: Any) -> bool:
        status, page = await api("GET", query=json.dumps({"creationDate": condition}))
        assert status == 200
        return bool(page["totalCount"])

    milliseconds = 1000 * datetime.fromisoformat(date).timestamp()
    for yes in (date, round(milliseconds), {"$gte": date}, {"$startsWith": date[:4]}, {"$contains": "t", "$ci": True}):
        assert await matches(yes)
    for no in ({"$gt": date}, {"$lt": round(milliseconds)}, "soon", True, None, {"$contains": "t"}, {"$nin": [date]}):
        assert not await matches(no)
    assert await matches({"$ne": "soon", "$endsWith": "Z", "$in": ["x", date], "$lte": "2999-01-01"})


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ([], r"\$"),
        ({"colour": "red"}, r"\$\.colour"),
        ({"$and": {}}, r"\$\.\$and"),
        ({"$or": [{}] * 101}, r"more than 100 items at \$\.\$or"),
        ({"$or": [{}, {"name": {"$like": "a"}}]}, r"\$\.\$or\[1\]\.name\.\$like"),
        ({"id": "x"}, r"\$\.id"),
        ({"id": {"$gt": 5}}, r"\$\.id\.\$gt"),
        ({"id": {}}, "exactly one operator"),
        ({"id": {"$gt": None, "$lt": None}}, "exactly one operator"),
        ({"id": {"$in": [None]}}, r"\$\.id\.\$in"),
        ({"id": {"$in": ["0" * 24] * 101}}, "more than 100"),
        ({"id": {"$startsWith": "0"}}, r"\$\.id\.\$startsWith"),
        ({"name": []}, r"\$\.name"),
        ({"name": {"$eq": {}}}, r"\$\.name\.\$eq"),
        ({"name": {"$startsWith": ""}}, r"\$\.name\.\$startsWith"),
        ({"name": {"$contains": 5}}, r"\$\.name\.\$contains"),
        ({"name": {"$ci": "yes"}}, r"\$\.name\.\$ci"),
        ({"name": {"$in": [None]}}, r"\$\.name\.\$in\[0\]"),
        ({"name": {"$in": "a"}}, r"\$\.name\.\$in"),
        ({"groupTags": "a"}, r"\$\.groupTags"),
        ({"groupTags": {"$eq": "a"}}, r"\$\.groupTags\.\$eq"),
        ({"groupTags": {"$tagName": "a"}}, r"\$tagName"),
        ({"groupTags": {"a": 5}}, r"\$\.groupTags\.a"),
        ({"groupTags": {"a": {"$gt": "b"}}}, r"\$\.groupTags\.a"),
        ({"groupTags": {"a": {"$in": [5]}}}, r"\$\.groupTags\.a\.\$in\[0\]"),
        ({"groupTags": {"a": {"$nin": ["x" * 256]}}}, r"\$\.groupTags\.a"),
        ({"groupTags": {"$tagKey": {"$in": [], "$nin": []}}}, r"\$\.groupTags\.\$tagKey"),
    ],
)
def test_what_the_schema_does_not_allow_is_refused(query: object, place: str) -> None:
    """The error names the place."""
    with pytest.raises(QueryError, match=place):
        compile_query(query, GROUP_FIELDS)


@pytest.mark.parametrize("text", ["{", "[" * 1000, '{"$and": [' * 40 + "{}" + "]}" * 40, '{"colour": 1}'])
async def test_a_query_that_is_not_allowed_is_a_400(api: Api, text: str) -> None:
    """No JSON, too deep, or an unknown field: always Losant's error shape."""
    status, error = await api("GET", query=text)
    assert (status, error["type"]) == (400, "Validation")


async def test_a_query_overrides_a_filter(api: Api) -> None:
    """As documented: with a query the filter is dropped."""
    for name in ("a", "b"):
        await api("POST", json={"name": name})
    _, page = await api("GET", query='{"name": "b"}', filter="a", filterField="name")
    assert [group["name"] for group in page["items"]] == ["b"]
