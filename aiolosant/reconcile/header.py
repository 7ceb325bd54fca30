"""The names of the columns of a CSV: which field each is, and all that is wrong with them at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

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
    unlike: list[str] = []
    for original in originals:
        name = columns.get(original, original)
        names.append(name or None)
        if not name or original in levels or _is_known(name):
            continue
        likely = _likely(name, levels)
        if likely and likely not in taken:
            problems.append(f"there is no column {name!r}: did you mean {likely!r}?")
        else:
            unlike.append(name)
    if unlike:
        told = ", ".join(map(repr, unlike))
        which = f"is no column {told}" if len(unlike) == 1 else f"are no columns {told}"
        problems.append(
            f"there {which}; there are {', '.join(PLAIN_COLUMNS)} and {TAG}KEY: rename by --map OLD=NEW, "
            "or leave out by --ignore-columns"
        )
    known = [name for name in names if name is not None]
    problems += [f"there are two columns {name!r}" for name in dict.fromkeys(known) if known.count(name) > 1]
    if "name" not in known and not levels and not any("'name'" in problem for problem in problems):
        problems.append("there is no column 'name', which every group needs")
    return Header(originals, names, problems)


def _is_known(name: str) -> bool:
    plain = name in PLAIN_COLUMNS or name in READ_OVER or name in MEMBER_NAMES or name in ("groupTags", "membersMode")
    return plain or name.startswith("_") or (name.startswith(TAG) and name != TAG)


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
