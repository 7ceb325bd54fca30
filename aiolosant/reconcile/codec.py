"""Groups in the shape in which the API lists them, and as a row of a CSV: to a record, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .._http import codec
from ..models import ExperienceGroup, NewExperienceGroup
from .record import Record

# What the server alone sets, and what shapes an answer (`_type`, `_links` and their kin), is read over.
READ_OVER = {
    *("experienceGroupId", "applicationId", "creationDate", "lastUpdated", "ancestorIds"),
    *("directDeviceCount", "totalDeviceCount"),
    "error",  # what `failed.csv` says of each row
}
_LISTS = ("experienceUserIds", "experienceEndpointIds", "deviceIds")
PLAIN_COLUMNS = ("id", "parentId", "name", "description", *_LISTS, "deviceTags", "deviceQueryJson")
MEMBER_NAMES = {
    "experienceUserEmails": "experience_user_ids",
    "experienceEndpoints": "experience_endpoint_ids",
    "deviceNames": "device_ids",
}
"""What members may be called by in place of their ids, and whose ids these are."""
TAG = "groupTags."
_CLEARED: dict[str, Any] = {"description": "", **dict.fromkeys((*_LISTS, *MEMBER_NAMES, "deviceTags"), ())}
# What a spreadsheet would take for a formula; with an apostrophe in front it does not.
_FORMULA = re.compile(r"[=+\-@\t\r]")
_COMMA_BETWEEN = re.compile(r"(?<!\\),(?=[^,;=]+=)")  # what follows looks like another device tag
# What it would take for a number or a date, and write in another way.
_NUMBER = re.compile(
    r"0\d+|\d+(?:[.,]\d+)?[eE]\d+|\d*[.,]\d*0|\d{16,}|\d+[/.:\-]\d+(?:[/.:\-]\d+)*(?:[ T].*)?|\d+[.,]\d+"
)


def to_record(mapping: Mapping[str, Any], place: str = "a record", **more: Any) -> Record:
    """A record out of a group in the shape in which the API lists it.

    Null is absent, but for a description and a device query, which it clears, and for `parentId`, which is a root.

    Args:
        mapping: The group.
        place: Where it was read.
        more: Other attributes of the record.

    Raises:
        ValueError: Fields are missing, unknown, of a wrong type or beyond their limit. The message names them all, and
            `place`.
    """
    given: dict[str, Any] = {}
    ids: dict[str, str | None] = {}
    members: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for name, value in mapping.items():
        if name in ("id", "parentId"):
            if isinstance(value, int) and not isinstance(value, bool):  # as programs write them
                ids[name] = str(value)
            elif value is None or (name == "parentId" and value == "") or (isinstance(value, str) and value):
                ids[name] = str(value) if value else None
            else:
                problems.append(f"{name} must be text and not empty, not {value!r}")
        elif name == "description" and value is None:
            given[name] = ""
        elif name in codec.FIELDS:
            if value is not None or name == "deviceQueryJson":
                given[name] = value
        elif name in MEMBER_NAMES:
            if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
                members[MEMBER_NAMES[name]] = tuple(value)
            elif value is not None:
                problems.append(f"{name} must be a list of texts, not {value!r}")
        elif name == "membersMode":
            if value not in ("replace", "add", None):
                problems.append(f"membersMode must be replace or add, not {value!r}")
            more["members_mode"] = value or "replace"
        elif name not in READ_OVER and not str(name).startswith("_"):
            given[name] = value  # unknown, which is told with all other problems
    group: NewExperienceGroup | None = None
    try:
        group = codec.new_group(given)
    except ValueError as problem:
        problems.append(str(problem))
    if problems or group is None:
        raise ValueError(f"{place}: {'; '.join(problems)}")
    fields = {codec.FIELDS[name]: getattr(group, codec.FIELDS[name]) for name in given}
    more |= {"members": members, "keeps_parent": "parentId" not in mapping, "group": group}
    return Record(fields, ids.get("id"), ids.get("parentId"), place, **more)


def to_row(group: ExperienceGroup) -> dict[str, Any]:
    """A group in the shape in which the API lists it: all that a client may set, given or not, and its id."""
    values = {name: getattr(group, field) for name, field in codec.FIELDS.items()}
    values["description"] = group.description or ""  # null, "" and absent all mean none
    tags = [codec.to_object(tag) for tag in group.device_tags]
    return {"id": group.id, **values, "deviceTags": tags, "groupTags": dict(group.group_tags)}


# As a row of a CSV.


def from_cells(cells: Mapping[str, str], *, clears: bool = False) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A row of a CSV in the API's shape, and the keys of the tags that it clears.

    Args:
        cells: The cells, by the fields that they are.
        clears: Whether an empty cell clears its field; otherwise it is an absent one.

    Raises:
        ValueError: A cell cannot be read.
    """
    fields: dict[str, Any] = {}
    cleared: list[str] = []
    for column, text in cells.items():
        if is_empty(column, text):
            if column == "parentId" or (column == "deviceQueryJson" and clears):
                fields[column] = None  # a root, unlike in a file without the column
            elif clears and column in _CLEARED:
                fields[column] = _CLEARED[column]
            elif clears and column == "groupTags":
                fields["groupTags"] = {**fields.get("groupTags", {})}
            elif clears and column.startswith(TAG):
                cleared.append(column.removeprefix(TAG))
            continue
        cell = unguarded(text)
        if column in _LISTS or column == "experienceUserEmails":
            fields[column] = [item.strip() for item in re.split("[;,]", cell) if item.strip()]
        elif column in MEMBER_NAMES:
            fields[column] = [item.strip() for item in cell.split(";") if item.strip()]
        elif column == "groupTags":
            fields["groupTags"] = {**_tags_of(cell), **fields.get("groupTags", {})}
        elif column.startswith(TAG):
            fields.setdefault("groupTags", {})[column.removeprefix(TAG)] = cell
        elif column == "deviceTags":
            tags = [_unescaped(tag).partition("=") for tag in re.findall(r"(?:\\.|[^;])+", cell)]
            if not all(equals for _, equals, _ in tags):
                raise ValueError(f"deviceTags must be key=value, separated by semicolons, not {cell!r}")
            if _COMMA_BETWEEN.search(cell):
                raise ValueError(
                    f"deviceTags must be separated by semicolons (a comma within one is \\,), not {cell!r}"
                )
            fields[column] = [
                {name: text for name, text in (("key", key), ("value", value)) if text} for key, _, value in tags
            ]
        else:
            fields[column] = cell
    return fields, tuple(cleared)


def _guarded(cell: str, for_spreadsheet: bool) -> str:  # noqa: FBT001 - within this module
    return (
        f"'{cell}" if (cell.startswith("'") and _is_guarded(cell)) or (for_spreadsheet and _needs_guard(cell)) else cell
    )


def unguarded(cell: str) -> str:
    """Return a cell without the apostrophe that keeps a spreadsheet from understanding it."""
    return cell[1:] if cell.startswith("'") and _is_guarded(cell) else cell


def _is_guarded(cell: str) -> bool:
    return _needs_guard(cell.lstrip("'"))


def _needs_guard(cell: str) -> bool:
    """Whether a spreadsheet would make something else of a cell: a formula, a number or a date."""
    return bool(_FORMULA.match(cell) or _NUMBER.fullmatch(cell))


def is_empty(column: str, text: str) -> bool:
    """Whether a cell is empty: blanks are text where text may be anything, and nothing elsewhere."""
    return not text if column in ("name", "description") or column.startswith(TAG) else not text.strip()


def _tags_of(cell: str) -> Mapping[str, Any]:
    try:
        pairs = json.loads(cell, object_pairs_hook=list)
    except (ValueError, RecursionError):
        pairs = None
    if isinstance(pairs, list) and all(isinstance(pair, tuple) for pair in pairs):
        if len(dict(pairs)) == len(pairs):
            return dict(pairs)
        raise ValueError(f"groupTags has a key twice: {cell!r}")
    example = '{"region": "eu"}'
    raise ValueError(f"groupTags must be a JSON object such as {example}, or a column {TAG}KEY a tag, not {cell!r}")


def columns_for(tag_keys: Iterable[str]) -> list[str]:
    """The names of the columns of a CSV, given the keys of the groups' tags."""
    return [*PLAIN_COLUMNS, *(f"{TAG}{key}" for key in sorted(tag_keys))]


def to_cells(row: Mapping[str, Any], *, for_spreadsheet: bool = False) -> dict[str, Any]:
    """What `to_row` made as a row of a CSV, by column; a list that is empty cannot be told from none.

    With `for_spreadsheet` an apostrophe keeps each cell that looks like a formula from being one; `from_cells` takes it
    off again.
    """
    tags = (_escaped(f"{tag.get('key', '')}={tag.get('value', '')}") for tag in row["deviceTags"])
    cells = {name: value for name, value in row.items() if name != "groupTags"}
    cells |= {f"{TAG}{key}": text for key, text in row["groupTags"].items()}
    cells |= {name: ";".join(row[name]) for name in _LISTS}
    cells["deviceTags"] = ";".join(tags)
    return {name: _guarded(cell, for_spreadsheet) if isinstance(cell, str) else cell for name, cell in cells.items()}


def record_to_cells(record: Record) -> dict[str, Any]:
    """What a record asks for as a row of a CSV, by column."""
    row = {"deviceTags": (), "groupTags": {}, **dict.fromkeys(_LISTS, ())} | record.to_dict()
    return to_cells(row | {"membersMode": record.members_mode})


def _escaped(text: str) -> str:
    return _COMMA_BETWEEN.sub(r"\\,", re.sub(r"([\\;])", r"\\\1", text))


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
