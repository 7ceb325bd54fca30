"""Members of groups in another application: users, endpoints and devices have other ids there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from aiolosant.client import LosantClient

Row = dict[str, Any]

_FIELDS = {
    "experienceUserIds": ("experience/users", lambda user: str(user["email"]).casefold()),
    "experienceEndpointIds": ("experience/endpoints", lambda one: f"{str(one['method']).upper()} {one['route']}"),
    "deviceIds": ("devices", lambda device: str(device["name"])),
}


Members = Callable[[Row], None]
"""Puts the members of the other application in place of those of the first, in a row."""


def count_members(rows: list[Row]) -> Counter[str]:
    """How many members of each kind the groups have."""
    return Counter({field: sum(len(row[field]) for row in rows) for field in _FIELDS})


def keep(row: Row) -> None:
    """The ids are the same in both applications."""


def drop(row: Row) -> None:
    """Leave members alone: what is there stays, what is new has none."""
    for field in _FIELDS:
        del row[field]


def read_map(path: Path) -> dict[str, str]:
    """A JSON object from old ids to new.

    Raises:
        ValueError: It is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except ValueError as problem:
        raise ValueError(f"{path}: expected a JSON object of old ids and new ones: {problem}") from None


class Mapped:
    """Replaces ids by a map, and leaves out those that it lacks.

    Attributes:
        missing: What was left out, in words, by id: its kind, and what it is called where that is known.
    """

    def __init__(self, ids: Mapping[str, str], labels: Mapping[str, str] | None = None) -> None:
        self._ids = {old.lower(): new for old, new in ids.items()}
        self._labels = labels or {}
        self.missing: dict[str, str] = {}

    def __call__(self, row: Row) -> None:
        """Change a row."""
        for field in _FIELDS:
            for old in row[field]:
                if old.lower() not in self._ids:
                    self.missing[old] = f"{field} {old}" + (f" ({self._labels[old]})" if old in self._labels else "")
            row[field] = [self._ids[old.lower()] for old in row[field] if old.lower() in self._ids]


async def matched(losant: LosantClient, rows: list[Row], source: str, other: LosantClient, target: str) -> Mapped:
    """A map by what members are called: users by email, endpoints by method and route, devices by name.

    What is called the same as another of its application matches nothing: it would be a guess.
    """
    ids: dict[str, str] = {}
    labels: dict[str, str] = {}
    for field, (path, name_of) in _FIELDS.items():
        if not any(row[field] for row in rows):
            continue
        here = await _names(losant, source, path, name_of)
        there = _by_unique_name(await _names(other, target, path, name_of))
        labels |= here
        ids |= {member: there[name] for name, member in _by_unique_name(here).items() if name in there}
    return Mapped(ids, labels)


async def _names(losant: LosantClient, application: str, path: str, name_of: Callable[[Row], str]) -> dict[str, str]:
    """The names of all members, by id."""
    listed = losant.paginate(f"/applications/{application}/{path}", per_page=1000)
    return {str(member["id"]): name_of(member) async for member in listed}


def _by_unique_name(names: Mapping[str, str]) -> dict[str, str]:
    """The ids of the members that share their name with no other, by name."""
    counts = Counter(names.values())
    return {name: member for member, name in names.items() if counts[name] == 1}
