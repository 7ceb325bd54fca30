"""The messages of Losant's API as frozen attrs classes that refuse what its published schemas forbid.

Limits follow https://docs.losant.com/rest-api/experience-groups/ and the schemas experienceGroupPost and
experienceGroupPatch (API version 1.29.3). Lengths count characters, that is Unicode code points.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, NoReturn, TypeAlias, TypedDict, TypeVar

import attrs
from attrs import field

from ._validation import check_id, check_tag_key, check_text, plain

T = TypeVar("T")
Field: TypeAlias = "attrs.Attribute[Any]"

MAX_PER_PAGE = 1000
"""The largest page that is asked for. Undocumented; it is the largest that Losant's own tools ask for."""


class FrozenDict(dict[str, str]):
    """A dict that cannot change, so that a frozen message is frozen throughout; it hashes, copies and pickles."""

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("the tags of a group cannot be changed in place")

    __setitem__: Any = _refuse
    __delitem__: Any = _refuse
    __ior__: Any = _refuse
    update: Any = _refuse
    setdefault: Any = _refuse
    pop: Any = _refuse
    popitem: Any = _refuse
    clear: Any = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # dict has no hash because it can change
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


def iso_text(date: datetime) -> str:
    """An aware date as the API writes it: ISO 8601 in UTC with milliseconds.

    Raises:
        OverflowError: It is beyond the years 1 to 9999 in UTC.
    """
    return date.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def camel(name: str) -> str:
    """The API's name of a field: `parent_id` is `parentId`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _written(value: object) -> Any:
    """A value of a field as the API writes it."""
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    if isinstance(value, DeviceTag):
        return {part: text for part, text in (("key", value.key), ("value", value.value)) if text is not None}
    if isinstance(value, datetime):
        return iso_text(value)
    return dict(value) if isinstance(value, Mapping) else value


def normal_id(value: str | None) -> str | None:
    """An id as it compares: upper and lower case of a hex digit are the same; None for None or ""."""
    return value.lower() if value else None


def _check_sequence(argument: str, value: object, maximum: int) -> tuple[object, ...]:
    if not isinstance(value, tuple):
        raise TypeError(f"{argument} must be a sequence, not {type(value).__name__}")
    if len(value) > maximum:
        raise ValueError(f"{argument} must have at most {maximum} items, not {len(value)}")
    return value


# Validators of attrs: they know the field, so that every message names it.


def _name(_message: object, field: Field, value: object) -> None:
    check_text(field.name, value, 1, 255)


def _description(_message: object, field: Field, value: object) -> None:
    if value is not None:
        check_text(field.name, value, 0, 32_767)


def _ids(_message: object, field: Field, value: object) -> None:
    for n, item in enumerate(_check_sequence(field.name, value, 1000)):
        check_id(f"{field.name}[{n}]", item)


def _device_tags(_message: object, field: Field, value: object) -> None:
    for n, tag in enumerate(_check_sequence(field.name, value, 100)):
        if not isinstance(tag, DeviceTag):
            raise TypeError(f"{field.name}[{n}] must be a DeviceTag, not {type(tag).__name__}")
        if tag.key is not None:
            check_tag_key(f"{field.name}[{n}].key", tag.key)
        if tag.value is not None:
            check_text(f"{field.name}[{n}].value", tag.value, 1, 255)


def _group_tags(_message: object, field: Field, value: object) -> None:
    if not isinstance(value, FrozenDict):
        raise TypeError(f"{field.name} must be a mapping, not {type(value).__name__}")
    for key, text in value.items():
        check_tag_key(f"a key of {field.name}", key)
        check_text(f"{field.name}[{key!r}]", text, 1, 255)


def _device_query_json(_message: object, field: Field, value: object) -> None:
    if value is None:
        return
    text = check_text(field.name, value, 0, 8192)
    try:
        query = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{field.name} must be a JSON object as text, or a dict: {problem}") from None
    if not isinstance(query, dict):
        raise ValueError(f"{field.name} must be a JSON object, not {text[:100]}")  # noqa: TRY004 - its type is text


def _parent_id(_message: object, field: Field, value: object) -> None:
    if value is not None:
        check_id(field.name, value)


# Converters: what they cannot convert they leave to the validator, which knows the field's name.


def _plain_or_none(value: str | None) -> str | None:
    return None if value is None else plain(value)


def _to_query(value: str | Mapping[str, Any] | None) -> str | None:
    if not isinstance(value, Mapping):
        return _plain_or_none(value)
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as problem:
        raise ValueError(f"device_query_json cannot be written as JSON: {problem}") from None


def _to_ids(value: Iterable[str]) -> tuple[str, ...]:
    if value == ():
        return ()
    ids = _to_tuple(value)
    return tuple(map(plain, ids)) if isinstance(ids, tuple) else ids


def _to_device_tags(value: Iterable[DeviceTag]) -> tuple[DeviceTag, ...]:
    return _to_tuple(value)


def _to_tuple(value: Iterable[T]) -> tuple[T, ...]:
    if type(value) is tuple:
        return value
    # A text or a mapping can be iterated as well, but is never what was meant.
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return tuple(value)
    return value  # type: ignore[return-value]  # left to the validator


def _to_tags(value: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        return value
    tags = FrozenDict(value)
    if all(type(key) is type(text) is str for key, text in tags.items()):
        return tags
    return FrozenDict((plain(key), plain(text)) for key, text in tags.items())


@attrs.frozen
class DeviceTag:
    """Takes into a group each device that carries this tag.

    Args:
        key: 1 to 255 letters, digits, `_` or `-`; None for any key.
        value: 1 to 255 characters; None for any value.

    The limits are checked by the `NewExperienceGroup` or the update that takes it.
    """

    key: str | None = field(default=None, converter=_plain_or_none)
    value: str | None = field(default=None, converter=_plain_or_none)


@attrs.frozen
class NewExperienceGroup:
    """A group to be created. What is not given is not sent.

    Args:
        name: 1 to 255 characters; need not be unique.
        description: At most 32,767 characters.
        experience_user_ids: At most 1,000 ids of experience users.
        experience_endpoint_ids: At most 1,000 ids of experience endpoints.
        device_ids: At most 1,000 ids of devices.
        device_tags: At most 100 tags; each device that carries one belongs to the group.
        group_tags: Keys of 1 to 255 letters, digits, `_` or `-`; values of 1 to 255 characters.
        device_query_json: An advanced device query: a JSON object as text of at most 8,192 characters, or a dict, which
            becomes that text.
        parent_id: Id of the group above; None for a root.

    Raises:
        TypeError: An argument is of a wrong type.
        ValueError: An argument breaks its limit. Both messages name the argument.
    """

    name: str = field(converter=plain, validator=_name)
    description: str | None = field(default=None, converter=_plain_or_none, validator=_description)
    experience_user_ids: tuple[str, ...] = field(default=(), converter=_to_ids, validator=_ids)
    experience_endpoint_ids: tuple[str, ...] = field(default=(), converter=_to_ids, validator=_ids)
    device_ids: tuple[str, ...] = field(default=(), converter=_to_ids, validator=_ids)
    device_tags: tuple[DeviceTag, ...] = field(default=(), converter=_to_device_tags, validator=_device_tags)
    group_tags: Mapping[str, str] = field(default=FrozenDict(), converter=_to_tags, validator=_group_tags)
    device_query_json: str | None = field(default=None, converter=_to_query, validator=_device_query_json)
    parent_id: str | None = field(default=None, converter=_plain_or_none, validator=_parent_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the group in the API's shape, as dicts, lists and texts; what has its default is left out."""
        fields = attrs.fields(type(self))
        values = {rule.name: getattr(self, rule.name) for rule in fields if getattr(self, rule.name) != rule.default}
        return {camel(name): _written(value) for name, value in values.items()}


class GroupChanges(TypedDict, total=False):
    """What `ExperienceGroups.update` may change: an absent field stays, None clears where None is allowed."""

    name: str
    description: str
    experience_user_ids: Iterable[str]
    experience_endpoint_ids: Iterable[str]
    device_ids: Iterable[str]
    device_tags: Iterable[DeviceTag]
    group_tags: Mapping[str, str]
    device_query_json: str | Mapping[str, Any] | None
    parent_id: str | None


_CLEARABLE = {"device_query_json", "parent_id"}


def check_changes(changes: Mapping[str, object]) -> dict[str, Any]:
    """The changes to a group, each checked like the same field of `NewExperienceGroup`.

    Raises:
        TypeError: A field that does not exist, a wrong type, or None for a field that cannot be cleared.
        ValueError: No change at all, or one that breaks a limit. The messages name the field.
    """
    if not changes:
        raise ValueError("at least one change is needed")
    fields = attrs.fields_dict(NewExperienceGroup)
    checked = {}
    for name, value in changes.items():
        if name not in fields:
            raise TypeError(f"a group has no field {name!r} to update; it has {', '.join(fields)}")
        if value is None and name not in _CLEARABLE:
            raise TypeError(f"{name} cannot be None; leave it out to keep it")
        rule: Any = fields[name]
        checked[name] = rule.converter(value) if rule.converter else value
        rule.validator(None, rule, checked[name])
    return checked


def _or_empty(value: tuple[Any, ...] | None) -> tuple[Any, ...]:
    return value or ()


def _tags_or_empty(value: Mapping[str, str] | None) -> Mapping[str, str]:
    return FrozenDict(value or {})


@attrs.frozen(kw_only=True)
class ExperienceGroup:
    """A group as Losant answers it; see https://docs.losant.com/experiences/groups/ for what the fields mean.

    `ancestor_ids` runs from the root down to the parent. Dates are aware, in UTC. The two device counts are None
    unless they were asked for. A field that the server left out or answered as null has its default.
    """

    id: str
    name: str
    description: str | None = None
    experience_user_ids: tuple[str, ...] = field(default=(), converter=_or_empty)
    experience_endpoint_ids: tuple[str, ...] = field(default=(), converter=_or_empty)
    device_ids: tuple[str, ...] = field(default=(), converter=_or_empty)
    device_tags: tuple[DeviceTag, ...] = field(default=(), converter=_or_empty)
    group_tags: Mapping[str, str] = field(default=FrozenDict(), converter=_tags_or_empty)
    device_query_json: str | None = None
    parent_id: str | None = None
    ancestor_ids: tuple[str, ...] = field(default=(), converter=_or_empty)
    application_id: str | None = None
    creation_date: datetime | None = None
    last_updated: datetime | None = None
    direct_device_count: int | None = None
    total_device_count: int | None = None

    @property
    def experience_group_id(self) -> str:
        """The same as `id`; the API has both."""
        return self.id

    def to_dict(self) -> dict[str, Any]:
        """Return the group in the API's shape, as dicts, lists and texts; what the server did not say is left out."""
        values = {rule.name: getattr(self, rule.name) for rule in attrs.fields(type(self))}
        given = {name: value for name, value in values.items() if value is not None or name in _CLEARABLE}
        return {"experienceGroupId": self.id} | {camel(name): _written(value) for name, value in given.items()}


@attrs.frozen
class Page(Generic[T]):
    """One page of a list, to be iterated over.

    Attributes:
        items: The items, in the list's order.
        number: Zero-based number of the page, counted in pages of `per_page`; 0 for every page of a `scan`.
        per_page: Items that a full page holds, as the server counts; it may give less than was asked for.
        total_count: How many items match in all at the moment of the answer, or in a `scan` from this page on; None if
            the server does not say.
    """

    items: tuple[T, ...]
    number: int
    per_page: int
    total_count: int | None = None

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items."""
        return iter(self.items)


def page_size(asked: int, number: int, given: int, total_count: int | None) -> int:
    """How many items a full page of a list has whose answers do not say.

    Args:
        asked: How many were asked for.
        number: The number of a page.
        given: How many items it has.
        total_count: How many there are in all; None if the list does not say.
    """
    if given > asked:
        return given  # the server has a size of its own
    more = total_count is not None and number * asked + given < total_count
    # A short page that others follow: the server gives fewer at a time than it was asked for.
    return given if more and given else asked


_CHANGEABLE = tuple(rule.name for rule in attrs.fields(NewExperienceGroup))


def comparable(name: str, value: Any) -> Hashable:
    """Normalise a field's value for comparison: the order and case of ids do not matter."""
    if name.endswith("_ids"):
        return frozenset(item.lower() for item in value)
    if name == "device_tags":
        return frozenset(value)
    if name == "description":
        return value or ""  # Losant takes no null, and says null for none
    if name == "parent_id":
        return normal_id(value)
    return value  # type: ignore[no-any-return]  # text, None, or tags that cannot change


def differing(group: ExperienceGroup, other: ExperienceGroup) -> list[str]:
    """The fields that a client may set in which two readings of a group differ."""
    return [
        name for name in _CHANGEABLE if comparable(name, getattr(group, name)) != comparable(name, getattr(other, name))
    ]


def unfulfilled(group: ExperienceGroup, fields: Mapping[str, Any]) -> list[str]:
    """The fields that a group does not have as they are wanted."""
    return [name for name, value in fields.items() if comparable(name, getattr(group, name)) != comparable(name, value)]
