"""What a record wants of its group: tags and members that are merged, and texts that name the group's own id. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ..models import DeviceTag, ExperienceGroup, FrozenDict, comparable
from .record import Record

# An id of Losant's, or one of the placeholders in its export. Any other text might stand in a tag by chance.
_SPECIFIC = re.compile(r"[A-Fa-f0-9]{24}|~exportplaceholderid-[^~]+~")
_TEXTS = ("device_tags", "device_query_json")


def differing_fields(record: Record, group: ExperienceGroup | None) -> Iterator[tuple[str, Any]]:
    """Yield the fields in which a group is not as its record wants it; all of them if it is still to be created."""
    wanted = dict(record.fields)
    if group is not None:
        wanted |= with_own_id(own_texts(record), record.id, group.id)
        if record.merges_tags and ("group_tags" in wanted or record.cleared_tags):
            kept = {key: text for key, text in group.group_tags.items() if key not in record.cleared_tags}
            wanted["group_tags"] = FrozenDict({**kept, **wanted.get("group_tags", {})})
        if record.members_mode == "add":
            for name in [name for name in wanted if name.endswith("_ids")]:
                wanted[name] = _added(getattr(group, name), wanted[name])
    for name, value in wanted.items():
        if group is None or comparable(name, value) != comparable(name, getattr(group, name)):
            yield name, value


def own_texts(record: Record) -> dict[str, Any]:
    """Return the fields that name the record's own id, in place of which its group's id is to stand."""
    if record.id is None or not _SPECIFIC.fullmatch(record.id):
        return {}
    held = {name: record.fields[name] for name in _TEXTS if record.fields.get(name)}
    return {name: value for name, value in held.items() if any(_names(record.id, text) for text in texts_of(value))}


def _names(own: str, text: str) -> bool:
    return re.search(rf"(?<![A-Fa-f0-9]){re.escape(own)}(?![A-Fa-f0-9])", text) is not None


def texts_of(value: str | Sequence[DeviceTag] | None) -> list[str]:
    """Return the texts of a field that may hold ids."""
    if value is None or isinstance(value, str):
        return [value or ""]
    return [tag.value or "" for tag in value]


def with_own_id(fields: Mapping[str, Any], own: str | None, group_id: str) -> dict[str, Any]:
    """Return fields in whose texts the id of the group stands for that of its record."""
    return {name: replaced(value, {own: group_id} if own else {}) for name, value in fields.items()}


def replaced(value: Any, ids: Mapping[str, str]) -> Any:
    """Return the value of a field with other ids in its texts."""
    if not ids:
        return value
    # All at once, since a new id may be another's old one; and not within a longer one.
    olds = re.compile("|".join(rf"(?<![A-Fa-f0-9]){re.escape(old)}(?![A-Fa-f0-9])" for old in ids))

    def text(one: str) -> str:
        return olds.sub(lambda found: ids[found[0]], one)

    if isinstance(value, str):
        return text(value)
    if isinstance(value, tuple):
        return tuple(attrs.evolve(tag, value=text(tag.value)) if tag.value else tag for tag in value)
    return value


def _added(there: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """Return some ids and those of others that are not among them."""
    known = {one.lower() for one in there}
    return (*there, *(one for one in more if one.lower() not in known))
