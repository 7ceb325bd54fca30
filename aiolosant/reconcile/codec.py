"""Groups in the shape in which the API lists them, and as a row of a CSV: to a record, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .._http import codec
from ..models import ExperienceGroup
from .record import Record

# What the server alone sets, and what shapes an answer (`_type`, `_links` and their kin), is read over.
_READ_OVER = {
    *("experienceGroupId", "applicationId", "creationDate", "lastUpdated", "ancestorIds"),
    *("directDeviceCount", "totalDeviceCount"),
    "error",  # what `failed.csv` says of each row
}
_LISTS = ("experienceUserIds", "experienceEndpointIds", "deviceIds")
_PLAIN_COLUMNS = ("id", "parentId", "name", "description", *_LISTS, "deviceTags", "deviceQueryJson")
_TAG = "groupTags."


def to_record(mapping: Mapping[str, Any], place: str = "a record", **more: Any) -> Record:
    """A record out of a group in the shape in which the API lists it; null is absent, but for a device query.

    Args:
        mapping: The group.
        place: Where it was read.
        more: Other attributes of the record.

    Raises:
        ValueError: Fields are missing, unknown, of a wrong type or beyond their limit. The message names them all, and
            `place`.
    """
    given, problems = {}, []
    for name, value in mapping.items():
        if name in ("id", "parentId"):
            if value is not None and (not isinstance(value, str) or not value):
                problems.append(f"{name} must be text and not empty, not {value!r}")
        elif name in codec.FIELDS:
            if value is not None or name == "deviceQueryJson":
                given[name] = value
        elif name not in _READ_OVER and not str(name).startswith("_"):
            given[name] = value  # unknown, which is told with all other problems
    try:
        group = codec.new_group(given)
    except ValueError as problem:
        problems.append(str(problem))
    if problems:
        raise ValueError(f"{place}: {'; '.join(problems)}")
    fields = {codec.FIELDS[name]: getattr(group, codec.FIELDS[name]) for name in given}
    keeps_parent = "parentId" not in mapping
    return Record(
        fields, mapping.get("id"), mapping.get("parentId"), place, keeps_parent=keeps_parent, group=group, **more
    )


def to_row(group: ExperienceGroup) -> dict[str, Any]:
    """A group in the shape in which the API lists it: all that a client may set, given or not, and its id."""
    values = {name: getattr(group, field) for name, field in codec.FIELDS.items()}
    if group.description is None:
        del values["description"]  # no record can ask for none
    tags = [codec.to_object(tag) for tag in group.device_tags]
    return {"id": group.id, **values, "deviceTags": tags, "groupTags": dict(group.group_tags)}


# As a row of a CSV.


def header_problem(columns: list[str]) -> str:
    """What is wrong with the names of the columns of a CSV; "" if nothing."""
    for column in columns:
        known = column in _PLAIN_COLUMNS or column in _READ_OVER or column.startswith("_")
        if not known and not (column.startswith(_TAG) and column != _TAG):
            hint = "; columns are separated by commas" if ";" in column or "\t" in column else ""
            return f"there is no column {column!r}; there are {', '.join(_PLAIN_COLUMNS)} and {_TAG}KEY{hint}"
        if columns.count(column) > 1:
            return f"there are two columns {column!r}"
    return ""


def from_cells(header: list[str], cells: list[str]) -> dict[str, Any]:
    """A row of a CSV in the API's shape; an empty cell is an absent field.

    Raises:
        ValueError: There are too few or too many cells, or one that cannot be read.
    """
    if len(cells) != len(header):
        raise ValueError(f"expected {len(header)} cells, got {len(cells)}")
    fields: dict[str, Any] = {}
    for column, cell in zip(header, cells, strict=True):
        if not cell:
            if column == "parentId":
                fields[column] = None  # a root, unlike in a file without the column
        elif column in _LISTS:
            fields[column] = [item.strip() for item in cell.split(";") if item.strip()]
        elif column.startswith(_TAG):
            fields.setdefault("groupTags", {})[column.removeprefix(_TAG)] = cell
        elif column == "deviceTags":
            tags = [_unescaped(tag).partition("=") for tag in re.findall(r"(?:\\.|[^;])+", cell)]
            if not all(equals for _, equals, _ in tags):
                raise ValueError(f"deviceTags must be key=value, separated by semicolons, not {cell!r}")
            fields[column] = [
                {name: text for name, text in (("key", key), ("value", value)) if text} for key, _, value in tags
            ]
        else:
            fields[column] = cell
    return fields


def columns_for(tag_keys: Iterable[str]) -> list[str]:
    """The names of the columns of a CSV, given the keys of the groups' tags."""
    return [*_PLAIN_COLUMNS, *(f"{_TAG}{key}" for key in sorted(tag_keys))]


def to_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """What `to_row` made as a row of a CSV, by column; a list that is empty cannot be told from none."""
    tags = (_escaped(f"{tag.get('key', '')}={tag.get('value', '')}") for tag in row["deviceTags"])
    cells = {name: value for name, value in row.items() if name != "groupTags"}
    cells |= {f"{_TAG}{key}": text for key, text in row["groupTags"].items()}
    cells |= {name: ";".join(row[name]) for name in _LISTS}
    return cells | {"deviceTags": ";".join(tags)}


def record_to_cells(record: Record) -> dict[str, Any]:
    """What a record asks for as a row of a CSV, by column."""
    row = {"deviceTags": (), "groupTags": {}, **dict.fromkeys(_LISTS, ())} | record.to_dict()
    return to_cells(row)


def _escaped(text: str) -> str:
    return re.sub(r"([\\;])", r"\\\1", text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
