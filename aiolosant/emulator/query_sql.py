"""Advanced queries, compiled to SQL conditions; what the published schemas do not allow is refused.

Follows https://docs.losant.com/rest-api/schemas/#advanced-experience-group-query. Values compare as in MongoDB: only
with their own kind, and null also with what is absent. Which fields there are is in `query_fields`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .globbing import folded
from .schemas import ID

# The published pattern for a tag's name is not anchored at its end.
_TAG_NAME = re.compile(r"[0-9a-zA-Z_-]")
_MOST = 100
# Keeps the recursion here short; the schema knows no limit, and SQLite's parser may take less (see `Store.page`).
_DEEPEST = 30

_COMPARISONS = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRUE = "1"
FALSE = "0"


class QueryError(Exception):
    """The query is not allowed; the text names the place."""


class UnknownFieldError(QueryError):
    """The query asks for a field that is not among those that are known."""


class Condition:
    """SQL with the values that are bound in it."""

    def __init__(self, sql: str, *values: Any) -> None:
        self.sql = sql
        self.values: list[Any] = list(values)

    def negated(self) -> Condition:
        """Return the opposite."""
        # coalesce: what SQL calls unknown is no match.
        return Condition(f"NOT coalesce({self.sql}, 0)", *self.values)


FieldCompiler = Callable[[object, str], Condition]
"""Compiles what a query asks of a field, at a place that errors name."""


def _joined(conditions: list[Condition], word: str, empty: str) -> Condition:
    if not conditions:
        return Condition(empty)
    values = [value for condition in conditions for value in condition.values]
    return Condition("(" + f" {word} ".join(condition.sql for condition in conditions) + ")", *values)


def compile_query(query: object, fields: Mapping[str, FieldCompiler]) -> Condition:
    """Return the SQL condition that a query stands for.

    Args:
        query: The query, decoded.
        fields: The fields that it may ask for.

    Raises:
        UnknownFieldError: It asks for another.
        QueryError: The query is not allowed.
    """
    return _query(query, fields, "$", 0)


def _query(query: object, fields: Mapping[str, FieldCompiler], place: str, depth: int) -> Condition:
    if depth > _DEEPEST:
        raise QueryError(f"more than {_DEEPEST} levels deep at {place}")
    if not isinstance(query, dict):
        raise QueryError(f"expected an object at {place}")
    parts = [_part(name, value, fields, f"{place}.{name}", depth) for name, value in query.items()]
    return _joined(parts, "AND", _TRUE)


def _part(name: str, value: object, fields: Mapping[str, FieldCompiler], place: str, depth: int) -> Condition:
    if name in ("$and", "$or", "$nor"):
        parts = [_query(part, fields, f"{place}[{n}]", depth + 1) for n, part in enumerate(_list(value, place))]
        if not parts:
            # "Advanced queries" in Losant's documentation: no filters under ANY and ALL give all items, and no
            # filters under NONE give no items.
            return Condition(FALSE if name == "$nor" else _TRUE)
        either = _joined(parts, "AND" if name == "$and" else "OR", _TRUE)
        return either.negated() if name == "$nor" else either
    if name not in fields:
        raise UnknownFieldError(f"unknown field at {place}")
    return fields[name](value, place)


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

AnyOf = Callable[[str, list[Any]], Condition]
"""Makes the condition that one of a field's ids passes a test; `{}` stands in the test for that id."""


def _id(value: object, place: str) -> str | None:
    if value is None or (isinstance(value, str) and ID.fullmatch(value)):
        return value.lower() if value else None
    raise QueryError(f"expected an id of 24 hex digits or null at {place}")


def id_field(any_of: AnyOf, absent: str) -> FieldCompiler:
    """A field of ids, and the SQL of its having none."""

    def compile_field(value: object, place: str) -> Condition:
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
            is_absent = Condition(absent)
            if operator in ("$gt", "$lt"):
                return Condition(FALSE)
            return is_absent.negated() if operator == "$ne" else is_absent
        if operator == "$ne":
            return any_of("{} = ?", [wanted]).negated()
        return any_of("{} " + _COMPARISONS[operator] + " ?", [wanted])

    return compile_field


def column(name: str) -> AnyOf:
    """A column that holds an id."""
    return lambda test, ids: Condition(test.format(name), *ids)


# Texts and dates.

_TEXT_OPERATORS = {*_COMPARISONS, "$ne", "$startsWith", "$endsWith", "$contains", "$ci", "$in", "$nin"}


def comparable_field(column: str, text: str, convert: Callable[[object], object]) -> FieldCompiler:
    """A field of texts or dates. `convert` makes a value comparable with `column`; None if it never is."""

    def compile_field(value: object, place: str) -> Condition:
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

    def compile_operator(operator: str, operand: object, place: str, *, fold: bool) -> Condition:
        if operator in ("$startsWith", "$endsWith", "$contains"):
            if not isinstance(operand, str) or not operand:
                raise QueryError(f"expected a text at {place}")
            return Condition(f"text_matches(?, {text}, ?, ?)", operator, operand, fold)
        if operator in ("$in", "$nin"):
            items = _list(operand, place)
            for n, item in enumerate(items):
                if not isinstance(item, str | int | float):
                    raise QueryError(f"expected a text, number or boolean at {place}[{n}]")
            among = _joined([comparison("=", item, fold=fold) for item in items], "OR", FALSE)
            return among if operator == "$in" else among.negated()
        if isinstance(operand, dict | list):
            raise QueryError(f"expected a text, number, boolean or null at {place}")
        if operator == "$ne":
            return comparison("=", operand, fold=fold).negated()
        return comparison(_COMPARISONS[operator], operand, fold=fold)

    def comparison(sign: str, operand: object, *, fold: bool) -> Condition:
        if operand is None and sign in ("=", ">=", "<="):
            return Condition(f"{column} IS NULL")
        wanted = convert(operand)
        if wanted is None:
            return Condition(FALSE)
        if fold and isinstance(wanted, str):
            return Condition(f"fold({column}) {sign} fold(?)", wanted)
        return Condition(f"{column} {sign} ?", wanted)

    return compile_field


def as_text(value: object) -> str | None:
    """A value of a query that compares with a text."""
    return value if isinstance(value, str) else None


def as_milliseconds(value: object) -> float | None:
    """A value of a query that compares with a date."""
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
    # A date without a zone is taken as UTC (assumed). In whole numbers, since floats miss some milliseconds.
    since = (date if date.tzinfo else date.replace(tzinfo=UTC)) - _EPOCH
    milliseconds, rest = divmod(since, timedelta(milliseconds=1))
    return milliseconds + rest / timedelta(milliseconds=1) if rest else milliseconds


def iso(column: str) -> str:
    """SQL of a column of milliseconds as the API writes it."""
    return f"(strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000, 'unixepoch') || printf('.%03dZ', {column} % 1000))"


# Tags.


def tags_field(some_tag: Callable[[Condition], Condition]) -> FieldCompiler:
    """A field of tags. `some_tag` makes the condition that one of them, a `key` with a `value`, passes a test."""

    def compile_field(value: object, place: str) -> Condition:
        if isinstance(value, dict) and set(value) in ({"$eq"}, {"$ne"}):
            ((operator, operand),) = value.items()
            condition = conditions(operand, f"{place}.{operator}")
            return condition.negated() if operator == "$ne" else condition
        return conditions(value, place)

    def conditions(value: object, place: str) -> Condition:
        if value is None:  # nothing that is tagged at all (API 1.29.4)
            return some_tag(Condition(_TRUE)).negated()
        if not isinstance(value, dict):
            raise QueryError(f"expected an object or null at {place}")
        if value and set(value) <= {"$tagKey", "$tagValue"}:
            columns = {"$tagKey": "key", "$tagValue": "value"}
            tests = [_tag_test(columns[name], test, f"{place}.{name}") for name, test in value.items()]
            return some_tag(_joined(tests, "AND", _TRUE))
        return _joined([named(name, test, place) for name, test in value.items()], "AND", _TRUE)

    def named(name: str, test: object, place: str) -> Condition:
        if not _TAG_NAME.match(name):
            raise QueryError(f"no tag can be called {name!r} at {place}")
        is_named = Condition("key = ?", name)
        if test is None:
            return some_tag(is_named).negated()
        if isinstance(test, dict) and set(test) == {"$nin"}:
            # A tag that is absent is not among the values either.
            among = _tag_test("value", {"$in": test["$nin"]}, f"{place}.{name}")
            return some_tag(_joined([is_named, among], "AND", _TRUE)).negated()
        return some_tag(_joined([is_named, _tag_test("value", test, f"{place}.{name}")], "AND", _TRUE))

    return compile_field


def _tag_test(column: str, test: object, place: str) -> Condition:
    if test is None:
        return Condition(_TRUE)  # null inside $tagKey and $tagValue: any (undocumented, and assumed)
    if isinstance(test, str):
        return Condition(f"{column} = ?", _tag_text(test, place))
    if not isinstance(test, dict) or set(test) not in ({"$in"}, {"$nin"}):
        raise QueryError(f"expected a text, null, or an object of $in or $nin at {place}")
    ((operator, operand),) = test.items()
    place = f"{place}.{operator}"
    items = [_tag_text(item, f"{place}[{n}]") for n, item in enumerate(_list(operand, place))]
    word = "IN" if operator == "$in" else "NOT IN"
    return Condition(f"{column} {word} ({', '.join('?' * len(items))})", *items)


def _tag_text(value: object, place: str) -> str:
    if not isinstance(value, str) or len(value) > 255:
        raise QueryError(f"expected a text of at most 255 characters at {place}")
    return value


def text_matches(operator: str, text: str | None, part: str, fold: int) -> bool:
    """The SQL function behind `$startsWith`, `$endsWith` and `$contains`."""
    if text is None:
        return False
    if fold:
        text, part = folded(text), folded(part)
    if operator == "$startsWith":
        return text.startswith(part)
    return text.endswith(part) if operator == "$endsWith" else part in text
