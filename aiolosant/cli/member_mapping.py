"""Ids in another application: members of groups, and ids that stand inside texts of theirs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from aiolosant._http import codec
from aiolosant._http.endpoint import GroupsEndpoint
from aiolosant.reconcile import Record
from aiolosant.reconcile.members import KINDS, by_name, list_members
from aiolosant.reconcile.wanted import replaced, texts_of

Row = dict[str, Any]

_FIELDS = {name: field for name, field in codec.FIELDS.items() if field in KINDS}  # the API's names
_ID = re.compile(r"(?<![A-Fa-f0-9])[A-Fa-f0-9]{24}(?![A-Fa-f0-9])")
_TEXTS = ("device_tags", "device_query_json")

Members = Callable[[Row], None]
"""Puts the members of the other application in place of those of the first, in a row."""


def count_members(rows: list[Row]) -> Counter[str]:
    """How many members of each kind the groups have."""
    return Counter({name: sum(len(row[name]) for row in rows) for name in _FIELDS})


def keep(row: Row) -> None:
    """The ids are the same in both applications."""


def drop(row: Row) -> None:
    """Leave members alone: what is there stays, what is new has none."""
    for name in _FIELDS:
        del row[name]


def read_map(path: Path) -> dict[str, str]:
    """A JSON object from old ids to new, such as the `ids.json` of `apply --results`.

    Raises:
        ValueError: It is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except ValueError as problem:
        raise ValueError(f"{path}: expected a JSON object of old ids and new ones: {problem}") from None


class Mapped:
    """Replaces ids by a map, and leaves out those that it lacks.

    Args:
        ids: The new id of each old one.
        labels: What is known of those that have none: what they are called, and why there is none.

    Attributes:
        ids: The new id of each old one, in lower case.
        missing: What was left out, in words, by id: its kind, and what it is called where that is known.
    """

    def __init__(self, ids: Mapping[str, str], labels: Mapping[str, str] | None = None) -> None:
        self.ids: dict[str, str] = {old.lower(): new for old, new in ids.items()}
        self._labels = labels or {}
        self.missing: dict[str, str] = {}

    def __call__(self, row: Row) -> None:
        """Change a row."""
        for name in _FIELDS:
            for old in row[name]:
                if old.lower() not in self.ids:
                    self.missing[old] = f"{name} {old}" + (f" ({self._labels[old]})" if old in self._labels else "")
            row[name] = [self.ids[old.lower()] for old in row[name] if old.lower() in self.ids]


async def matched(source: GroupsEndpoint, target: GroupsEndpoint, rows: Sequence[Row]) -> Mapped:
    """A map by what members are called: users by email, endpoints by method and route, devices by name.

    What is called the same as another of its application matches nothing: it would be a guess. Users and devices are
    also looked up if a text of a group seems to name one.
    """
    ids: dict[str, str] = {}
    labels: dict[str, str] = {}
    named = {found for row in rows for text in _row_texts(row) for found in _ID.findall(text)}
    named -= {str(row["id"]) for row in rows}
    for name, field in _FIELDS.items():
        if not any(row[name] for row in rows) and not (named and field != "experience_endpoint_ids"):
            continue
        here, there = await list_members(source, field), await list_members(target, field)
        ours, theirs = by_name(field, here), by_name(field, there)
        for member_id, called in here.items():
            key = KINDS[field].normal(called)
            found = theirs.get(key, [])
            if len(ours[key]) == len(found) == 1:
                ids[member_id] = found[0]
                continue
            why = "" if not found else f": there are {max(len(found), len(ours[key]))} of that name"
            labels[member_id] = called + why
    return Mapped(ids, labels)


def _row_texts(row: Row) -> Iterator[str]:
    yield row.get("deviceQueryJson") or ""
    yield from (str(tag.get("value", "")) for tag in row.get("deviceTags", ()))


def with_ids_in_texts(
    records: Sequence[Record], ids: Mapping[str, str], groups: Mapping[str, str]
) -> tuple[list[Record], list[str]]:
    """Return records in whose texts other ids stand for those of the first application, and what could not be mapped.

    Args:
        records: The records of a copy; their ids are those of the first application.
        ids: The new id of each old one, of members and of groups that are there already.
        groups: The names of the groups of the first application, by their ids.
    """
    done, left = [], []
    for record in records:
        texts = [text for name in _TEXTS for text in texts_of(record.fields.get(name))]
        found = {one for text in texts for one in _ID.findall(text)}
        found.discard(record.id or "")  # its own, which is put in once there is one
        known = {one: ids[one.lower()] for one in found if one.lower() in ids}
        for one in sorted(found - set(known)):
            what = (
                f"the group {groups[one]!r}, which is still to be made: copy again"
                if one in groups
                else "nothing known"
            )
            left.append(f"{record.name!r} names {one} in a text: {what}")
        fields = {name: replaced(value, known) if name in _TEXTS else value for name, value in record.fields.items()}
        done.append(attrs.evolve(record, fields=fields) if known else record)
    return done, left
