"""JSON to models and back: msgspec for what the API answers, cattrs for what callers and files give.

What the API answers is decoded for speed. It is a `msgspec.ValidationError`, which is a ValueError, if the JSON is
well-formed but not of the documented shape, with a text such as "Expected `str`, got `int` - at `$.items[3].name`".
What callers give is checked as the models check it, and every problem of a mapping is told at once.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import attrs
import msgspec

from ..models import DeviceTag, ExperienceGroup, FrozenDict, NewExperienceGroup, Page, camel, iso_text, page_size

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")


FIELDS = {camel(field.name): field.name for field in attrs.fields(NewExperienceGroup)}
"""The fields of a group that a client may set: the API's names, and the models'."""


# What callers and files give, with cattrs. One hook gives every attrs class the API's names. What has its default is
# left out of a create, which means the same.


@functools.cache
def _converter() -> Converter:
    from cattrs import Converter  # here, because whoever only reads need not wait for the import
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

    def names(cls: type) -> dict[str, Any]:
        return {field.name: override(rename=camel(field.name)) for field in attrs.fields(cls)}

    def checked_names(cls: type) -> dict[str, Any]:
        return {
            field.name: override(
                rename=camel(field.name), struct_hook=_checked_by(field.evolve(name=camel(field.name)))
            )
            for field in attrs.fields(cls)
        }

    converter = Converter()
    converter.register_unstructure_hook_factory(
        attrs.has,
        lambda cls: make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, **names(cls)),
    )
    converter.register_unstructure_hook(datetime, iso_text)
    converter.register_structure_hook(
        NewExperienceGroup,
        make_dict_structure_fn(
            NewExperienceGroup, converter, _cattrs_forbid_extra_keys=True, **checked_names(NewExperienceGroup)
        ),
    )
    return converter


def _checked_by(field: Any) -> Callable[[Any, Any], Any]:
    """Return a hook that converts and checks one value as the model does, under the name of `field`."""

    def check(value: Any, _type: Any) -> Any:
        if field.name == "deviceTags":
            value = _device_tags(value)
        elif value is None and field.name not in ("parentId", "deviceQueryJson"):
            raise TypeError(f"{field.name} must not be null; leave it out instead")
        checked = field.converter(value) if field.converter else value
        field.validator(None, field, checked)
        return checked

    return check


def _device_tags(value: Any) -> Any:
    """Make tags of mappings; what is something else is left to the model's check."""
    if not isinstance(value, list | tuple):
        return value
    return [_device_tag(f"deviceTags[{n}]", tag) for n, tag in enumerate(value)]


def _device_tag(place: str, tag: Any) -> Any:
    if not isinstance(tag, Mapping):
        return tag
    if unknown := set(tag) - {"key", "value"}:
        raise ValueError(f"{place} has only key and value, not {', '.join(sorted(map(str, unknown)))}")
    for part, text in tag.items():
        if not isinstance(text, str):
            raise TypeError(f"{place}.{part} must be text, not {type(text).__name__}")
    return DeviceTag(**tag)


def new_group(mapping: Mapping[str, Any]) -> NewExperienceGroup:
    """Make a group to be created out of a mapping of the API's shape.

    Raises:
        ValueError: Fields are missing, unknown, of a wrong type or beyond their limit. The message names them all, by
            the API's names.
    """
    from cattrs.errors import ClassValidationError

    try:
        return _converter().structure(mapping, NewExperienceGroup)
    except ClassValidationError as error:
        raise ValueError("; ".join(map(_problem, error.exceptions))) from None


def _problem(error: BaseException) -> str:
    # Not cattrs' own text, which names the model's fields.
    from cattrs.errors import ForbiddenExtraKeysError

    if isinstance(error, ForbiddenExtraKeysError):
        unknown = ", ".join(repr(name) for name in sorted(map(str, error.extra_fields)))
        return f"there is no field {unknown}; a group has {', '.join(FIELDS)}"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return str(error)


def _plain_text(value: object) -> str:
    """Text of a subclass, such as a template's markup, as plain text."""
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _to_builtins(value: object) -> Any:
    return msgspec.to_builtins(value, enc_hook=_plain_text)


_encoder = msgspec.json.Encoder(enc_hook=_plain_text)


def to_object(message: NewExperienceGroup | ExperienceGroup | DeviceTag) -> dict[str, Any]:
    """Return a group as the API writes it, without the fields that have their default."""
    return _converter().unstructure(message)  # type: ignore[no-any-return]  # cattrs cannot say


def to_changes(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes by the models' names, given those or the API's; device tags may be mappings.

    Raises:
        TypeError: A name is not text.
        ValueError: One field is named in both ways, or a device tag has another part than `key` and `value`.
    """
    changes: dict[str, Any] = {}
    for given, value in mapping.items():
        if not isinstance(given, str):
            raise TypeError(f"a name of a field must be text, not {type(given).__name__}")
        name = FIELDS.get(given, given)
        if name in changes:
            raise ValueError(f"{name} is given twice")
        changes[name] = _device_tags(value) if name == "device_tags" else value
    return changes


def changes_to_object(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of an update as the API writes them: every field that is given, empty or not."""
    return {camel(name): _converter().unstructure(value) for name, value in changes.items()}


def encode(value: object) -> bytes:
    """Return the JSON of dicts, lists, texts and numbers."""
    return _encoder.encode(value)


def encode_argument(argument: str, value: object) -> bytes:
    """Return the JSON of what a caller gave.

    Raises:
        TypeError: Something in it has no form in JSON.
        ValueError: A number in it is not finite, it contains itself, or it is no valid Unicode. Both name `argument`.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_to_builtins)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as problem:
        kind = TypeError if isinstance(problem, TypeError) else ValueError
        raise kind(f"{argument} cannot be written as JSON: {problem}") from None


# What the API answers, with msgspec: straight from the bytes into a Struct that mirrors the attrs class, without dicts
# in between. It knows the path to whatever has a wrong type.


def _mirror(cls: type, hints: Mapping[str, Any], **options: Any) -> Any:
    """Return a Struct with the fields of the attrs class `cls`, in their order, under the API's names."""
    fields: list[Any] = []
    for attribute in attrs.fields(cls):
        required = attribute.default is attrs.NOTHING
        hint = hints[attribute.name]
        fields.append((attribute.name, hint) if required else (attribute.name, hint | None, None))
    return msgspec.defstruct(cls.__name__, fields, rename="camel", **options)


_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
_Answered = _mirror(
    ExperienceGroup,
    get_type_hints(ExperienceGroup) | {"creation_date": _AwareDatetime, "last_updated": _AwareDatetime},
    gc=False,  # it lives for a moment and has no cycles
)


def _list_of(item: Any, *counts: str) -> Any:
    fields: list[Any] = [(name, int | None, None) for name in counts]
    return msgspec.defstruct("List", [("items", GenericAlias(list, item)), *fields], rename="camel")


_Success = msgspec.defstruct("Success", [("success", bool)])

_group_decoder = msgspec.json.Decoder(_Answered)
_page_decoder = msgspec.json.Decoder(_list_of(_Answered, "page", "per_page", "total_count"))
_any_list_decoder = msgspec.json.Decoder(_list_of(dict[str, Any], "page", "per_page", "limit", "offset", "total_count"))
_ERROR_TYPE = re.compile(r"[A-Z]\w*")
_BEGINNING = 5000  # bytes
_success_decoder = msgspec.json.Decoder(_Success)


def decode_group(body: bytes) -> ExperienceGroup:
    """Decode the group that get, create and update answer."""
    return _to_group(_group_decoder.decode(body))


def decode_page(body: bytes, *, number: int, per_page: int) -> Page[ExperienceGroup]:
    """Decode the page that list answers; `number` and `per_page` are what was asked for, should it not say."""
    page: Any = _page_decoder.decode(body)
    return Page(
        items=tuple(map(_to_group, page.items)),
        number=number if page.page is None else page.page,
        per_page=page_size(per_page, number, len(page.items), page.total_count)
        if page.per_page is None
        else page.per_page,
        total_count=page.total_count,
    )


def decode_any(body: bytes) -> Any:
    """Decode any JSON as dicts, lists, texts and numbers; None for no body at all."""
    return msgspec.json.decode(body) if body else None


def decode_any_list(body: bytes) -> Any:
    """Decode what any list of the API answers: `items`, and what it says of pages, None for what it does not say."""
    return _any_list_decoder.decode(body)


def decode_success(body: bytes) -> None:
    """Check what a delete answers, `{"success": true}`; there is nothing in it to return."""
    answer: Any = _success_decoder.decode(body)
    if not answer.success:
        raise ValueError("Expected `true`, got `false` - at `$.success`")


def decode_error(body: bytes) -> tuple[str, str]:
    """Decode the type and message of an error. In another format, such as a gateway's, the type is "".

    Losant's types are names such as `NotFound`, unlike the URIs of https://www.rfc-editor.org/rfc/rfc9457; only its
    server framework's answer to what is no JSON has a code instead.
    """
    beginning = body.strip()[:_BEGINNING].decode(errors="replace")
    try:
        error = msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError):  # another format, or nested deeper than anybody reads
        return "", beginning
    kind, message = error.get("type", ""), error.get("message")
    if not kind and error.get("code") == "InvalidContent":
        kind = "InvalidContent"
    is_losants = isinstance(kind, str) and isinstance(message, str) and _ERROR_TYPE.fullmatch(kind)
    return kind if is_losants else "", message if isinstance(message, str) and message else beginning


def _make_to_group() -> Callable[[Any], ExperienceGroup]:
    """Return a function that fills an `ExperienceGroup` from a decoded Struct, a line for each field.

    The class's own `__init__`, with sixteen keywords and converters for what others may pass, takes twice as long, and
    that is a third of all work on a list. attrs makes its `__init__` in the same way.
    """
    fields = attrs.fields(ExperienceGroup)
    names: dict[str, Any] = {f"set_{field.name}": vars(ExperienceGroup)[field.name].__set__ for field in fields}
    names |= {"new": object.__new__, "cls": ExperienceGroup, "FrozenDict": FrozenDict}
    values = {field.name: f"answered.{field.name}" + (" or ()" if field.default == () else "") for field in fields}
    values["group_tags"] = "FrozenDict(answered.group_tags or ())"
    lines = [f"    set_{name}(group, {value})" for name, value in values.items()]
    exec("\n".join(["def to_group(answered):", "    group = new(cls)", *lines, "    return group"]), names)  # noqa: S102 - of our own fields
    return names["to_group"]  # type: ignore[no-any-return]  # what exec made


_to_group = _make_to_group()
