"""Advanced Experience Group Queries, compiled to SQL conditions; what the published schema does not allow is refused.

Follows https://docs.losant.com/rest-api/schemas/#advanced-experience-group-query. Values compare as in MongoDB: only
with their own kind, and null also with what is absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from .schemas import ID

# The published pattern for a tag's name is not anchored at its end.
_TAG_NAME = re.compile(r"[0-9a-zA-Z_-]")
_MOST = 100
# Keeps the recursion here short; the schema knows no limit, and SQLite's parser may take less (see `Store.page`).
_DEEPEST = 30

_COMPARISONS = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_TRUE = "1"
_FALSE = "0"


class QueryError(Exception):
    """The query is not allowed; the text names the place."""


class _Condition:
    """SQL with the values that are bound in it."""

    def __init__(self, sql: str, *values: Any) -> None:
        self.sql = sql
        self.values = list(values)

    def negated(self) -> _Condition:
        # coalesce: what SQL calls unknown is no match.
        return _Condition(f"NOT coalesce({self.sql}, 0)", *self.values)


def _joined(conditions: list[_Condition], word: str, empty: str) -> _Condition:
    if not conditions:
        return _Condition(empty)
    values = [value for condition in conditions for value in condition.values]
    return _Condition("(" + f" {word} ".join(condition.sql for condition in conditions) + ")", *values)


def compile_query(query: object) -> tuple[str, list[Any]]:
    """The SQL condition on the table `groups` that a query stands for, and its values.

    Raises:
        QueryError: The query is not allowed.
    """
    condition = _query(query, "$", 0)
    return condition.sql, condition.values


def _query(query: object, place: str, depth: int) -> _Condition:
    if depth > _DEEPEST:
        raise QueryError(f"more than {_DEEPEST} levels deep at {place}")
    if not isinstance(query, dict):
        raise QueryError(f"expected an object at {place}")
    return _joined([_part(name, value, f"{place}.{name}", depth) for name, value in query.items()], "AND", _TRUE)


def _part(name: str, value: object, place: str, depth: int) -> _Condition:
    if name in ("$and", "$or", "$nor"):
        parts = [_query(part, f"{place}[{n}]", depth + 1) for n, part in enumerate(_list(value, place))]
        if name == "$and":
            return _joined(parts, "AND", _TRUE)
        either = _joined(parts, "OR", _FALSE)
        return either if name == "$or" else either.negated()
    if name not in _FIELDS:
        raise QueryError(f"unknown field at {place}")
    return _FIELDS[name](value, place)


def _list(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise QueryError(f"expected an array at {place}")
    if len(value) > _MOST:
        raise QueryError(f"more than {_MOST} items at {place}")
    return value


def _operators(value: object, place: str, allowed: set[str]) -> dict[str, Any]:
    """The operators of a field; a bare value is `$eq`."""
    if not isinstance(value, dict):
        return {"$eq": value}
    for operator in value:
        if operator not in allowed:
            raise QueryError(f"unknown operator at {place}.{operator}")
    return value


# Ids. A field holds one id (or none), or a set of them.

AnyOf = Callable[[str, list[Any]], _Condition]
"""Makes the condition that one of a field's ids passes a test; `{}` stands in the test for that id."""


def _id(value: object, place: str) -> str | None:
    if value is None or (isinstance(value, str) and ID.fullmatch(value)):
        return value.lower() if value else None
    raise QueryError(f"expected an id of 24 hex digits or null at {place}")


def _id_field(any_of: AnyOf, absent: str) -> Callable[[object, str], _Condition]:
    def compile_field(value: object, place: str) -> _Condition:
        operators = _operators(value, place, {*_COMPARISONS, "$ne", "$in", "$nin"})
        if len(operators) != 1:
            raise QueryError(f"expected exactly one operator at {place}")
        ((operator, operand),) = operators.items()
        if operator in ("$in", "$nin"):
            place = f"{place}.{operator}"
            ids = [_id(item, f"{place}[{n}]") for n, item in enumerate(_list(operand, place))]
            if None in ids:
                raise QueryError(f"expected ids at {place}")
            among = any_of("{} IN (" + ", ".join("?" * len(ids)) + ")", ids)
            return among if operator == "$in" else among.negated()
        wanted = _id(operand, f"{place}.{operator}" if isinstance(value, dict) else place)
        if wanted is None:
            is_absent = _Condition(absent)
            if operator in ("$gt", "$lt"):
                return _Condition(_FALSE)
            return is_absent.negated() if operator == "$ne" else is_absent
        if operator == "$ne":
            return any_of("{} = ?", [wanted]).negated()
        return any_of("{} " + _COMPARISONS[operator] + " ?", [wanted])

    return compile_field


def _column(name: str) -> AnyOf:
    return lambda test, ids: _Condition(test.format(f"groups.{name}"), *ids)


def _members(name: str) -> AnyOf:
    members = f"json_each(groups.fields, '$.{name}')"
    return lambda test, ids: _Condition(f"EXISTS (SELECT 1 FROM {members} WHERE {test.format('lower(value)')})", *ids)  # noqa: S608 - values are bound


def _ancestors(test: str, ids: list[Any]) -> _Condition:
    """Whatever is below a group that fulfils the test."""
    return _Condition(
        f"groups.id IN (WITH RECURSIVE below(id) AS (SELECT id FROM groups WHERE {test.format('parent_id')}"  # noqa: S608 - values are bound
        " UNION SELECT child.id FROM groups AS child JOIN below ON child.parent_id = below.id) SELECT id FROM below)",
        *ids,
    )


# Texts and dates.

_TEXT_OPERATORS = {*_COMPARISONS, "$ne", "$startsWith", "$endsWith", "$contains", "$ci", "$in", "$nin"}


def _comparable_field(
    column: str, text: str, convert: Callable[[object], object]
) -> Callable[[object, str], _Condition]:
    """A field that is always there. `convert` makes a value comparable with `column`; None if it never is."""

    def compile_field(value: object, place: str) -> _Condition:
        operators = _operators(value, place, _TEXT_OPERATORS)
        fold = operators.get("$ci", False)
        if not isinstance(fold, bool):
            raise QueryError(f"expected true or false at {place}.$ci")
        conditions = [
            compile_operator(operator, operand, f"{place}.{operator}" if isinstance(value, dict) else place, fold=fold)
            for operator, operand in operators.items()
            if operator != "$ci"
        ]
        return _joined(conditions, "AND", _TRUE)

    def compile_operator(operator: str, operand: object, place: str, *, fold: bool) -> _Condition:
        if operator in ("$startsWith", "$endsWith", "$contains"):
            if not isinstance(operand, str) or not operand:
                raise QueryError(f"expected a text at {place}")
            return _Condition(f"text_matches(?, {text}, ?, ?)", operator, operand, fold)
        if operator in ("$in", "$nin"):
            items = _list(operand, place)
            for n, item in enumerate(items):
                if not isinstance(item, str | int | float):
                    raise QueryError(f"expected a text, number or boolean at {place}[{n}]")
            among = _joined([comparison("=", item, fold=fold) for item in items], "OR", _FALSE)
            return among if operator == "$in" else among.negated()
        if isinstance(operand, dict | list):
            raise QueryError(f"expected a text, number, boolean or null at {place}")
        if operator == "$ne":
            return comparison("=", operand, fold=fold).negated()
        return comparison(_COMPARISONS[operator], operand, fold=fold)

    def comparison(sign: str, operand: object, *, fold: bool) -> _Condition:
        wanted = convert(operand)
        if wanted is None:
            return _Condition(_FALSE)
        if fold and isinstance(wanted, str):
            return _Condition(f"fold({column}) {sign} fold(?)", wanted)
        return _Condition(f"{column} {sign} ?", wanted)

    return compile_field


def _as_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _as_milliseconds(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            return float(value)  # SQLite knows no integers beyond 64 bits
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    try:
        date = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    # A date without a zone is taken as UTC (assumed).
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1000


def _iso(column: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000, 'unixepoch') || printf('.%03dZ', {column} % 1000)"


# Tags.


def _tags(value: object, place: str) -> _Condition:
    if not isinstance(value, dict):
        raise QueryError(f"expected an object at {place}")
    if set(value) in ({"$eq"}, {"$ne"}):
        ((operator, operand),) = value.items()
        if not isinstance(operand, dict):
            raise QueryError(f"expected an object at {place}.{operator}")
        condition = _tag_conditions(operand, f"{place}.{operator}")
        return condition.negated() if operator == "$ne" else condition
    return _tag_conditions(value, place)


def _tag_conditions(value: dict[str, Any], place: str) -> _Condition:
    if value and set(value) <= {"$tagKey", "$tagValue"}:
        columns = {"$tagKey": "key", "$tagValue": "value"}
        return _some_tag(*(_tag_test(columns[name], test, f"{place}.{name}") for name, test in value.items()))
    conditions = []
    for name, test in value.items():
        if not _TAG_NAME.match(name):
            raise QueryError(f"no tag can be called {name!r} at {place}")
        named = _Condition("key = ?", name)
        if test is None:
            conditions.append(_some_tag(named).negated())
        elif isinstance(test, dict) and set(test) == {"$nin"}:
            # A tag that is absent is not among the values either.
            among = _tag_test("value", {"$in": test["$nin"]}, f"{place}.{name}")
            conditions.append(_some_tag(named, among).negated())
        else:
            conditions.append(_some_tag(named, _tag_test("value", test, f"{place}.{name}")))
    return _joined(conditions, "AND", _TRUE)


def _some_tag(*tests: _Condition) -> _Condition:
    test = _joined(list(tests), "AND", _TRUE)
    return _Condition(f"groups.id IN (SELECT group_id FROM tags WHERE {test.sql})", *test.values)  # noqa: S608 - values are bound


def _tag_test(column: str, test: object, place: str) -> _Condition:
    if test is None:
        return _Condition(_FALSE)  # no tag is without a key or a value
    if isinstance(test, str):
        return _Condition(f"{column} = ?", _tag_text(test, place))
    if not isinstance(test, dict) or set(test) not in ({"$in"}, {"$nin"}):
        raise QueryError(f"expected a text, null, or an object of $in or $nin at {place}")
    ((operator, operand),) = test.items()
    place = f"{place}.{operator}"
    items = [_tag_text(item, f"{place}[{n}]") for n, item in enumerate(_list(operand, place))]
    word = "IN" if operator == "$in" else "NOT IN"
    return _Condition(f"{column} {word} ({', '.join('?' * len(items))})", *items)


def _tag_text(value: object, place: str) -> str:
    if not isinstance(value, str) or len(value) > 255:
        raise QueryError(f"expected a text of at most 255 characters at {place}")
    return value


_FIELDS: dict[str, Callable[[object, str], _Condition]] = {
    "id": _id_field(_column("id"), _FALSE),
    "parentId": _id_field(_column("parent_id"), "groups.parent_id IS NULL"),
    "ancestorId": _id_field(_ancestors, "groups.parent_id IS NULL"),
    # An empty list of members is taken as absent (assumed).
    "experienceUserId": _id_field(
        _members("experienceUserIds"), "coalesce(json_array_length(groups.fields, '$.experienceUserIds'), 0) = 0"
    ),
    "experienceEndpointId": _id_field(
        _members("experienceEndpointIds"),
        "coalesce(json_array_length(groups.fields, '$.experienceEndpointIds'), 0) = 0",
    ),
    "name": _comparable_field("groups.name", "groups.name", _as_text),
    "creationDate": _comparable_field("groups.creation_date", _iso("groups.creation_date"), _as_milliseconds),
    "lastUpdated": _comparable_field("groups.last_updated", _iso("groups.last_updated"), _as_milliseconds),
    "groupTags": _tags,
}


def text_matches(operator: str, text: str, part: str, fold: int) -> bool:
    """The SQL function behind `$startsWith`, `$endsWith` and `$contains`."""
    if fold:
        text, part = text.casefold(), part.casefold()
    if operator == "$startsWith":
        return text.startswith(part)
    return text.endswith(part) if operator == "$endsWith" else part in text
