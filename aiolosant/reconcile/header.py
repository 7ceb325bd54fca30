"""The names of a CSV's columns and of JSON's fields: which field each is, and all that is wrong with them at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from .codec import MEMBER_NAMES, PLAIN_COLUMNS, READ_OVER, TAG

# What other programs call things, beside other ways to write the same name.
_ALSO_KNOWN = {
    "parent": "parentId",
    "parentgroup": "parentId",
    "title": "name",
    "groupname": "name",
    "label": "name",
    "notes": "description",
    "comment": "description",
    "comments": "description",
    "users": "experienceUserIds",
    "emails": "experienceUserEmails",
    "useremails": "experienceUserEmails",
    "email": "experienceUserEmails",
    "devices": "deviceNames",
    "endpoints": "experienceEndpoints",
    "tags": "groupTags",
}

_TAG_COLUMN = re.compile(r"(?:group[ _]?)?tags?[.:_ ]+(.+)", re.IGNORECASE)


@attrs.define
class Header:
    """The columns of a CSV.

    Attributes:
        originals: What the file calls each column.
        names: Which field each is; None for what is left out.
        problems: What is wrong.
    """

    originals: list[str]
    names: list[str | None]
    problems: list[str]


def read_header(cells: Sequence[str], columns: Mapping[str, str | None], levels: Sequence[str]) -> Header:
    """Find out which field each column is."""
    originals = [cell.strip() for cell in cells]
    problems = [f"there is no column {name!r} to rename or leave out" for name in columns if name not in originals]
    problems += [f"there is no column {name!r} for the levels" for name in levels if name not in originals]
    problems += [f"the level {name!r} is named twice" for name in dict.fromkeys(levels) if list(levels).count(name) > 1]
    problems += [f"the level {name!r} cannot be renamed or left out as well" for name in levels if name in columns]
    if levels and (both := [name for name in ("name", "parentId") if name in originals and name not in columns]):
        problems.append(f"with levels there is no {' and no '.join(both)}: leave that out by --ignore-columns")
    taken = {columns.get(original, original) for original in originals}
    names: list[str | None] = []
    likely: dict[str, str] = {}
    for original in originals:
        name = columns.get(original, original)
        names.append(name or None)
        if name and original not in levels and not (_is_field(name) or (name.startswith(TAG) and name != TAG)):
            likely[name] = _likely(name, levels)
    problems += [problem for _, problem in _unknown("column", likely, taken, f"{TAG}KEY")]
    known = [name for name in names if name is not None]
    problems += [f"there are two columns {name!r}" for name in dict.fromkeys(known) if known.count(name) > 1]
    if "name" not in known and not levels and not any("'name'" in problem for problem in problems):
        problems.append("there is no column 'name', which every group needs")
    return Header(originals, names, problems)


class UnknownFields:
    """Fields of JSON and YAML that no group has: told once, however many groups have them."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}  # of the groups that have it, by the field
        self._known: set[str] = set()
        self._unnamed: list[str] = []  # those of them without a name, which one of the fields may be

    def without(self, fields: Mapping[str, Any], place: str) -> Mapping[str, Any]:
        """Return a group's fields without unknown ones; if there are any, with a name, so that it can be looked at."""
        unknown = {name for name in fields if not _is_field(name)}
        if not unknown:
            return fields
        for name in unknown:
            self._places.setdefault(name, []).append(place)
        known = {name: value for name, value in fields.items() if name not in unknown}
        self._known |= known.keys()
        if "name" not in known:
            self._unnamed.append(place)
        return {"name": "?", **known}

    def problems(self) -> list[str]:
        """Return what is wrong, and where that is first."""
        likely = {name: _likely(name, ()) for name in sorted(self._places)}
        told = [
            f"{_all(max((self._places[name] for name in names), key=len))}: {problem}"
            for names, problem in _unknown("field", likely, self._known, "groupTags")
        ]
        if self._unnamed and "name" not in likely.values():
            told.append(f"{_all(self._unnamed)}: name is missing")
        return told


def _all(places: Sequence[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1:,} more"


def _is_field(name: str) -> bool:
    """Whether a file may say this of a group; what begins with an underscore is read over."""
    names = (PLAIN_COLUMNS, READ_OVER, MEMBER_NAMES, ("groupTags", "membersMode"))
    return name.startswith("_") or any(name in some for some in names)


def _unknown(
    what: str, likely: Mapping[str, str], taken: Collection[str | None], tags: str
) -> Iterator[tuple[list[str], str]]:
    """Yield unknown names and what is wrong with them: each that may be another's, then all others together."""
    unlike: list[str] = []
    for name, meant in likely.items():
        if meant and meant != name and meant not in taken:
            yield [name], f"there is no {what} {name!r}: did you mean {meant!r}?"
        else:
            unlike.append(name)
    if unlike:
        told = ", ".join(map(repr, unlike))
        which = f"is no {what} {told}" if len(unlike) == 1 else f"are no {what}s {told}"
        there = f"{', '.join(PLAIN_COLUMNS)} and {tags}"
        yield unlike, f"there {which}; there are {there}: rename by --map OLD=NEW, or leave out by --ignore-columns"


def _likely(name: str, levels: Iterable[str]) -> str:
    """Return which column was probably meant; "" for none."""
    candidates = {_bare(one): one for one in (*PLAIN_COLUMNS, *MEMBER_NAMES, "groupTags", *levels)} | _ALSO_KNOWN
    bare = _bare(name)
    if found := _TAG_COLUMN.fullmatch(name):
        return TAG + found[1]
    close = difflib.get_close_matches(bare, candidates, 1, 0.75)
    return candidates.get(bare) or (candidates[close[0]] if close else "")


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
