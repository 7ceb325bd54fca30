"""A builder of Advanced Experience Group Queries that reads like the question.

    (Q.name.startswith("Acme", ci=True) & Q.group_tags["region"].in_("eu", "us")) | Q.parent_id.is_null()

Follows https://docs.losant.com/rest-api/schemas/#advanced-experience-group-query: what the published schema does not
allow cannot be built, or raises ValueError or TypeError with the name of the field.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, Final, NoReturn

import attrs

from ._validation import check_id, check_tag_key, check_text
from .models import iso_text

_MOST = 100
_MOST_TAG_TEXT = 255


@attrs.frozen
class Query:
    """A condition on groups. Join conditions with `&` and `|`, negate one with `~`.

    Built by `Q`; `ExperienceGroups.list` and `scan` take it as it is.
    """

    _condition: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The query as the API takes it, JSON's dicts and lists throughout."""
        return copy.deepcopy(self._condition)

    def __and__(self, other: Query) -> Query:
        return self._joined("$and", other)

    def __or__(self, other: Query) -> Query:
        return self._joined("$or", other)

    def __invert__(self) -> Query:
        return Query({"$nor": [self._condition]})

    def __bool__(self) -> bool:
        raise TypeError("use & and | instead of `and` and `or`, and ~ instead of `not`")

    def _joined(self, word: str, other: Query) -> Query:
        if not isinstance(other, Query):
            return NotImplemented
        parts: list[dict[str, Any]] = []
        for condition in (self._condition, other._condition):
            parts += condition[word] if set(condition) == {word} else [condition]
        # More than the schema takes at once becomes a tree.
        while len(parts) > _MOST:
            parts = [{word: parts[n : n + _MOST]} for n in range(0, len(parts), _MOST)]
        return Query({word: parts})


class _Field:
    """One field of a group, to be compared."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _checked(self, value: Any) -> Any:
        """The value as JSON has it."""
        raise NotImplementedError

    def _test(self, operator: str, operand: object, *, ci: bool = False) -> Query:
        return Query({self._name: {operator: operand} | ({"$ci": True} if ci else {})})

    def _among(self, operator: str, values: Iterable[Any], *, ci: bool = False) -> Query:
        operands = [self._checked(value) for value in values]
        if len(operands) > _MOST:
            raise ValueError(f"{self._name} can be compared with {_MOST} values at once, not {len(operands)}")
        return self._test(operator, operands, ci=ci)

    def __eq__(self, value: object) -> Query:  # type: ignore[override]  # a condition instead of an answer
        return self._test("$eq", self._checked(value))

    def __ne__(self, value: object) -> Query:  # type: ignore[override]  # as above
        return self._test("$ne", self._checked(value))

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # what has no equality has no hash

    def __gt__(self, value: Any) -> Query:
        return self._test("$gt", self._checked(value))

    def __ge__(self, value: Any) -> Query:
        return self._test("$gte", self._checked(value))

    def __lt__(self, value: Any) -> Query:
        return self._test("$lt", self._checked(value))

    def __le__(self, value: Any) -> Query:
        return self._test("$lte", self._checked(value))


class IdField(_Field):
    """A field that holds one id or several: one that meets the condition is enough; with `!=` and `not_in` none may."""

    def _checked(self, value: Any) -> str:
        if value is None:
            raise TypeError(f"{self._name} is compared with None by is_null() and is_not_null()")
        return check_id(self._name, value)

    def in_(self, *ids: str) -> Query:
        """It is one of these, 100 at the most."""
        return self._among("$in", ids)

    def not_in(self, *ids: str) -> Query:
        """It is none of these, 100 at the most."""
        return self._among("$nin", ids)

    def is_null(self) -> Query:
        """There is none, such as no parent."""
        return self._test("$eq", None)

    def is_not_null(self) -> Query:
        """There is one."""
        return self._test("$ne", None)


class TextField(_Field):
    """A text. With `ci=True` upper and lower case are the same."""

    def _checked(self, value: Any) -> str:
        if not isinstance(value, str):
            several = f"; several are in_(*{self._name}s)" if isinstance(value, list | tuple | set) else ""
            raise TypeError(f"{self._name} is compared with text, not {type(value).__name__}{several}")
        return check_text(self._name, value)

    def _part(self, operator: str, text: str, *, ci: bool) -> Query:
        if not isinstance(text, str):
            raise TypeError(f"{self._name} has parts of text, not {type(text).__name__}")
        if not text:
            raise ValueError(f"{self._name} is compared with text that is not empty")
        return self._test(operator, check_text(self._name, text), ci=ci)

    def eq(self, value: str, *, ci: bool = False) -> Query:
        """It is this text; `==` with `ci`."""
        return self._test("$eq", self._checked(value), ci=ci)

    def ne(self, value: str, *, ci: bool = False) -> Query:
        """It is another text; `!=` with `ci`."""
        return self._test("$ne", self._checked(value), ci=ci)

    def startswith(self, text: str, *, ci: bool = False) -> Query:
        """It begins with this text."""
        return self._part("$startsWith", text, ci=ci)

    def endswith(self, text: str, *, ci: bool = False) -> Query:
        """It ends with this text."""
        return self._part("$endsWith", text, ci=ci)

    def contains(self, text: str, *, ci: bool = False) -> Query:
        """It has this text in it."""
        return self._part("$contains", text, ci=ci)

    def in_(self, *values: str, ci: bool = False) -> Query:
        """It is one of these, 100 at the most."""
        return self._among("$in", values, ci=ci)

    def not_in(self, *values: str, ci: bool = False) -> Query:
        """It is none of these, 100 at the most."""
        return self._among("$nin", values, ci=ci)


class DateField(TextField):
    """A date: compared with an aware `datetime`, milliseconds since 1970, or ISO 8601 text.

    `startswith`, `endswith` and `contains` compare its ISO text.
    """

    def _checked(self, value: Any) -> Any:
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError(f"{self._name} is compared with aware dates; this one has no time zone")
            try:
                return iso_text(value)
            except OverflowError:
                raise ValueError(f"{self._name} is compared with dates of the years 1 to 9999 in UTC") from None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise TypeError(f"{self._name} is compared with a date, milliseconds or text, not {type(value).__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{self._name} is compared with finite numbers, not {value}")
        return check_text(self._name, value) if isinstance(value, str) else value


class Tag:
    """The value of one group tag: `Q.group_tags["region"]`."""

    def __init__(self, key: str) -> None:
        self._key = check_tag_key("a key of group_tags", key)

    def _test(self, test: object) -> Query:
        return Query({"groupTags": {self._key: test}})

    def __eq__(self, value: object) -> Query:  # type: ignore[override]  # a condition instead of an answer
        return self._test(_tag_text(value))

    def __ne__(self, value: object) -> Query:  # type: ignore[override]  # as above
        return Query({"groupTags": {"$ne": {self._key: _tag_text(value)}}})

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # what has no equality has no hash

    def in_(self, *values: str) -> Query:
        """It is one of these, 100 at the most."""
        return self._test({"$in": _tag_texts(values)})

    def not_in(self, *values: str) -> Query:
        """It is none of these, 100 at the most, or the group has no such tag."""
        return self._test({"$nin": _tag_texts(values)})

    def is_null(self) -> Query:
        """The group has no such tag."""
        return self._test(None)

    def is_not_null(self) -> Query:
        """The group has such a tag."""
        return Query({"groupTags": {"$tagKey": self._key}})


class Tags:
    """The tags of a group: one by its key, any, or none at all."""

    def __eq__(self, value: object) -> NoReturn:
        raise TypeError('group_tags are compared one by one, such as Q.group_tags["region"] == "north"')

    def __ne__(self, value: object) -> NoReturn:
        self.__eq__(value)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # what has no equality has no hash

    def __getitem__(self, key: str) -> Tag:
        return Tag(key)

    def is_null(self) -> Query:
        """The group has no tag."""
        return Query({"groupTags": {"$eq": None}})

    def is_not_null(self) -> Query:
        """The group has a tag, whichever."""
        return Query({"groupTags": {"$ne": None}})

    def any(
        self,
        *,
        key: str | None = None,
        key_in: Iterable[str] | None = None,
        key_not_in: Iterable[str] | None = None,
        value: str | None = None,
        value_in: Iterable[str] | None = None,
        value_not_in: Iterable[str] | None = None,
    ) -> Query:
        """The group has a tag whose key and value are as given; 100 of either at the most.

        Raises:
            ValueError: Nothing is given, or a key or value in more than one way.
        """
        tests = {"$tagKey": (key, key_in, key_not_in), "$tagValue": (value, value_in, value_not_in)}
        condition: dict[str, Any] = {}
        for name, (text, among, not_among) in tests.items():
            given = [test for test in (text, among, not_among) if test is not None]
            if len(given) > 1:
                raise ValueError(f"{name} can be given in one way only")
            if text is not None:
                condition[name] = _tag_text(text)
            elif among is not None:
                condition[name] = {"$in": _tag_texts(among)}
            elif not_among is not None:
                condition[name] = {"$nin": _tag_texts(not_among)}
        if not condition:
            raise ValueError("any() needs a key or a value")
        return Query({"groupTags": condition})


def _tag_text(value: object) -> str:
    if value is None:
        raise TypeError("group_tags are compared with None by is_null() and is_not_null()")
    if not isinstance(value, str):
        raise TypeError(f"group_tags are compared with text, not {type(value).__name__}")
    if len(value) > _MOST_TAG_TEXT:
        raise ValueError(f"group_tags are compared with at most {_MOST_TAG_TEXT} characters, not {len(value)}")
    return check_text("a value of group_tags", value)


def _tag_texts(values: Iterable[str]) -> list[str]:
    if isinstance(values, str):
        raise TypeError("group_tags are compared with several texts here, not with one")
    texts = [_tag_text(value) for value in values]
    if len(texts) > _MOST:
        raise ValueError(f"group_tags can be compared with {_MOST} values at once, not {len(texts)}")
    return texts


class Fields:
    """The fields of a group that can be asked for: `Q`."""

    id: Final = IdField("id")
    parent_id: Final = IdField("parentId")
    ancestor_id: Final = IdField("ancestorId")
    experience_user_id: Final = IdField("experienceUserId")
    experience_endpoint_id: Final = IdField("experienceEndpointId")
    name: Final = TextField("name")
    creation_date: Final = DateField("creationDate")
    last_updated: Final = DateField("lastUpdated")
    group_tags: Final = Tags()


Q = Fields()
