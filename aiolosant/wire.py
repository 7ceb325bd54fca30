"""Between JSON and the models: the API's camelCase names, strict types, and errors with the path to what is wrong.

Every function that reads raises a `ValueError`. It is a `msgspec.ValidationError` when the JSON is well-formed but not
of the documented shape, with a text such as "Expected `str`, got `int` - at `$.items[3].name`".
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import attrs
import msgspec

from .models import DeviceTag, ExperienceGroup, FrozenDict, NewExperienceGroup, Page, iso_text

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")


def camel(name: str) -> str:
    """The API's name of a field: `parent_id` is `parentId`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


# Out. One hook gives every attrs class the API's names. What has its default is left out: for a create absent and
# default are the same.


@functools.cache
def _converter() -> Converter:
    from cattrs import Converter  # here, because whoever only reads need not wait for it
    from cattrs.gen import make_dict_unstructure_fn, override

    converter = Converter()
    converter.register_unstructure_hook_factory(
        attrs.has,
        lambda cls: make_dict_unstructure_fn(
            cls,
            converter,
            _cattrs_omit_if_default=True,
            **{field.name: override(rename=camel(field.name)) for field in attrs.fields(cls)},  # type: ignore[arg-type]  # mypy takes them for the options
        ),
    )
    converter.register_unstructure_hook(datetime, iso_text)
    return converter


def _plain_text(value: object) -> str:
    """Text of a subclass, such as a template's markup, as plain text."""
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_encoder = msgspec.json.Encoder(enc_hook=_plain_text)


def to_object(message: NewExperienceGroup | ExperienceGroup | DeviceTag) -> dict[str, Any]:
    """A group as the API writes it, without the fields that have their default."""
    return _converter().unstructure(message)  # type: ignore[no-any-return]  # cattrs cannot say


def changes_to_object(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of an update as the API writes them: every field that is given, empty or not."""
    return {camel(name): _converter().unstructure(value) for name, value in changes.items()}


def encode(value: object) -> bytes:
    """The JSON of dicts, lists, texts and numbers."""
    return _encoder.encode(value)


def encode_argument(argument: str, value: object) -> bytes:
    """The JSON of what a caller gave.

    Raises:
        TypeError: Something in it has no form in JSON.
        ValueError: A number in it is not finite, it contains itself, or it is no valid Unicode. Both name `argument`.
    """
    try:
        _check_finite(value)
        return encode(value)
    except (TypeError, ValueError, RecursionError) as problem:
        kind = TypeError if isinstance(problem, TypeError) else ValueError
        raise kind(f"{argument} cannot be written as JSON: {problem}") from None


def _check_finite(value: object) -> None:
    """Refuse what JSON cannot say and would otherwise be null."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} has no form in JSON")
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            _check_finite(part)


# In. msgspec decodes straight from the bytes into a Struct that mirrors the attrs class, without dicts in between, and
# knows the path to whatever has a wrong type.


def _mirror(cls: type, hints: Mapping[str, Any], *, absent: object, **options: Any) -> Any:
    """A Struct with the fields of the attrs class `cls`, in their order, under the API's names."""
    fields: list[Any] = []
    for attribute in attrs.fields(cls):
        required = attribute.default is attrs.NOTHING
        hint = hints[attribute.name]
        fields.append((attribute.name, hint) if required else (attribute.name, hint | type(absent), absent))
    return msgspec.defstruct(cls.__name__, fields, rename="camel", **options)


_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]
_Answered = _mirror(
    ExperienceGroup,
    get_type_hints(ExperienceGroup) | {"creation_date": _AwareDatetime, "last_updated": _AwareDatetime},
    absent=None,
    gc=False,  # it lives for a moment and has no cycles
)


def _page_of(item: Any) -> Any:
    counts: list[Any] = [(name, int | None, None) for name in ("page", "per_page", "total_count")]
    return msgspec.defstruct("Page", [("items", GenericAlias(list, item)), *counts], rename="camel")


# The API takes null for a parent and a device query alone.
_GivenTag = _mirror(DeviceTag, {"key": str, "value": str}, absent=msgspec.UNSET, forbid_unknown_fields=True)
_Given = _mirror(
    NewExperienceGroup,
    get_type_hints(NewExperienceGroup) | {"description": str, "device_tags": GenericAlias(list, _GivenTag)},
    absent=msgspec.UNSET,
    forbid_unknown_fields=True,
)
_Success = msgspec.defstruct("Success", [("success", bool)])
_Error = msgspec.defstruct("Error", [("type", str, ""), ("message", str, "")])

_group_decoder = msgspec.json.Decoder(_Answered)
_page_decoder = msgspec.json.Decoder(_page_of(_Answered))
_any_page_decoder = msgspec.json.Decoder(_page_of(dict[str, Any]))
_error_decoder = msgspec.json.Decoder(_Error)
_BEGINNING = 5000  # bytes
_success_decoder = msgspec.json.Decoder(_Success)


def decode_group(body: bytes) -> ExperienceGroup:
    """The group that get, create and update answer."""
    return _to_group(_group_decoder.decode(body))


def decode_page(body: bytes, *, number: int, per_page: int) -> Page[ExperienceGroup]:
    """The page that list answers; `number` and `per_page` are what was asked for, should the answer not say."""
    page: Any = _page_decoder.decode(body)
    return _to_page(page, tuple(map(_to_group, page.items)), number, per_page)


def _to_page(page: Any, items: tuple[T, ...], number: int, per_page: int) -> Page[T]:
    if page.per_page is None and len(page.items) > per_page:
        per_page = len(page.items)  # more than were asked for: the server has a size of its own
    more = page.total_count is not None and number * per_page + len(page.items) < page.total_count
    if page.per_page is None and page.items and more:
        # A short page that others follow: the server gives fewer at a time than it was asked for.
        per_page = min(per_page, len(page.items))
    return Page(
        items=items,
        number=number if page.page is None else page.page,
        per_page=per_page if page.per_page is None else page.per_page,
        total_count=page.total_count,
    )


def decode_any(body: bytes) -> Any:
    """Any JSON as dicts, lists, texts and numbers; None for no body at all."""
    return msgspec.json.decode(body) if body else None


def decode_any_page(body: bytes, *, number: int, per_page: int) -> Page[dict[str, Any]]:
    """A page of any list of the API; `number` and `per_page` as for `decode_page`."""
    page: Any = _any_page_decoder.decode(body)
    return _to_page(page, tuple(page.items), number, per_page)


def decode_success(body: bytes) -> None:
    """The answer to a delete, `{"success": true}`; there is nothing in it to return."""
    answer: Any = _success_decoder.decode(body)
    if not answer.success:
        raise ValueError("Expected `true`, got `false` - at `$.success`")


def decode_error(body: bytes) -> tuple[str, str]:
    """Type and message of an error; of a gateway's answer in another format the beginning is its message."""
    beginning = body.strip()[:_BEGINNING].decode(errors="replace")
    try:
        error: Any = _error_decoder.decode(body)
    except (ValueError, RecursionError):  # another format, or nested deeper than anybody reads
        return "", beginning
    return error.type, error.message or beginning


FIELDS = {camel(field.name): field.name for field in attrs.fields(NewExperienceGroup)}
"""The fields of a group that a client may set: the API's names, and the models'."""


def new_group(mapping: Mapping[str, Any]) -> NewExperienceGroup:
    """A group to be created, out of a mapping of the API's shape.

    Raises:
        ValueError: A field is missing, unknown, of a wrong type or beyond its limit; the message names it.
    """
    try:
        given: Any = msgspec.convert(dict(mapping), _Given)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    fields = _present(given)
    if "device_tags" in fields:
        fields["device_tags"] = [DeviceTag(**_present(tag)) for tag in fields["device_tags"]]
    return NewExperienceGroup(**fields)


def _present(struct: Any) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if value is not msgspec.UNSET}


def _make_to_group() -> Callable[[Any], ExperienceGroup]:
    """A function that fills an `ExperienceGroup` from a decoded Struct, a line for each field.

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
