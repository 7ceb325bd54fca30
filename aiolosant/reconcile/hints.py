"""What was probably meant by a parent or a tag that is not there, in words for the end of a problem."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Sequence

from .record import Record

MOST_HINTS = 20
"""Problems that get a hint: each takes a look at all records."""
_MOST_COMPARED = 2_000  # ids


def hint_for_parent(parent_id: str, ids: Iterable[str], records: Iterable[Record]) -> str:
    """Return which record was probably meant; "" if that cannot be said.

    Args:
        parent_id: The id that no record and no live group has.
        ids: The ids of the records.
        records: The other records, one of which may have it as its name.
    """
    named = next((record for record in records if record.name == parent_id), None)
    if (hint := _did_you_mean(parent_id, ids)) or named is None:
        return hint
    if named.id is not None:
        return f", but a record's name; did you mean its id {named.id!r}?"
    return ", but a record's name: give the records ids (a copy of the names will do, if each is there once)"


def hint_for_tag(tag: str, record: Record, records: Sequence[Record]) -> str:
    """Return which tag of a record was probably meant; "" if other records have the tag that was asked for."""
    if any(tag in (one.fields.get("group_tags") or ()) for one in records):
        return ""
    return _did_you_mean(tag, record.fields.get("group_tags") or ())


def _did_you_mean(text: str, ids: Iterable[str]) -> str:
    """Return which id was probably meant: one that differs in blanks, case, lost zeros or a spreadsheet's `.0`."""

    def bare(one: str) -> str:
        return re.sub(r"(?<=\d)\.0+$", "", one.strip().casefold()).lstrip("0")

    some = list(itertools.islice(ids, _MOST_COMPARED))  # a broken file may have thousands of such
    found = [one for one in some if bare(one) == bare(text)]
    found = found or difflib.get_close_matches(text, some, 1, 0.85)
    return f"; did you mean {found[0]!r}?" if found else ""
