"""What a plan warns of: what is allowed, and perhaps not meant. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from .._http import codec
from ..identity import ByTag, MatchBy
from ..models import ExperienceGroup, camel, comparable, normal_id
from .change import Change, shown, shown_value
from .codec import MEMBER_NAMES
from .record import Record


@attrs.frozen
class PlanWarning:
    """Something of a plan that is allowed, and perhaps not meant.

    Attributes:
        kind: `look-alike` (a create beside a group, or another create, that differs only in case, blanks or Unicode
            form), `rename` (a create and a delete that look like one), `ids` (records carry ids of live groups and are
            matched otherwise), `empty` (empty cells leave values that are there), `name` (a name with a blank at its
            end or with what cannot be seen, or that is an error of a spreadsheet), `value` (a description or a tag that
            a spreadsheet has spoiled), or `undo` (what an undo leaves).
        message: What it is, and what to do, in a sentence.
        place: Where the record was read; "" for what is about no single one.
        group_ids: The live groups that it is about.
    """

    kind: Literal["look-alike", "rename", "ids", "empty", "name", "value", "undo"]
    message: str
    place: str = ""
    group_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


def look_alikes(creates: Sequence[Change], live: Iterable[ExperienceGroup], match_by: MatchBy) -> Iterator[PlanWarning]:
    """Warn of creates beside a live group that no record is and that looks the same.

    Args:
        creates: The creates of a plan.
        live: The live groups that no record is.
        match_by: What the records were matched by: by a tag, one of the same name looks the same too.
    """
    siblings: dict[tuple[str | None, str], list[ExperienceGroup]] = defaultdict(list)
    for group in live:
        siblings[normal_id(group.parent_id), _folded(group.name)].append(group)
    for change in creates:
        name = change.path[-1]
        if change.parent is not None:  # which has no live children yet
            continue
        same_place = siblings.get((normal_id(change.fields.get("parent_id")), _folded(name)), ())
        for group in same_place[:_MOST_SHOWN]:
            if group.name != name:
                same = "which differs only in case, blanks or Unicode form: correct the file, or rename the group"
            elif isinstance(match_by, ByTag):
                same = f"which has no tag {match_by.tag!r}: adopt=by_name() (--adopt-by name) takes it instead"
                if match_by.tag in group.group_tags:
                    same = f"whose tag {match_by.tag!r} is {group.group_tags[match_by.tag]!r}"
            else:
                continue
            one, other = _told_apart(name, group.name), _told_apart(group.name, name)
            message = f"{one} would be created beside {other} ({group.id}), {same}"
            yield PlanWarning("look-alike", message, _place(change), (group.id,))


def twins(creates: Sequence[Change], matched: Iterable[ExperienceGroup]) -> Iterator[PlanWarning]:
    """Warn of creates that look the same as one before them, or as a live group that another record is."""
    taken: dict[tuple[object, str], tuple[str, str]] = {}  # the name, and where it is
    for group in matched:
        taken[normal_id(group.parent_id), _folded(group.name)] = group.name, group.id
    for change in creates:
        name, parent = change.path[-1], change.parent
        key = normal_id(change.fields.get("parent_id")) if parent is None else parent, _folded(name)
        other, where = taken.setdefault(key, (name, _place(change)))
        if other != name:
            message = (
                f"{_told_apart(name, other)} would be created beside {_told_apart(other, name)} ({where}), which "
                "differs only in case, blanks or Unicode form: correct the file, unless it is meant"
            )
            yield PlanWarning("look-alike", message, _place(change))


def odd_names(creates: Sequence[Change]) -> Iterator[PlanWarning]:
    """Warn of new groups with names that files get by mistake."""
    for change in creates:
        name = change.path[-1]
        if name != name.strip():
            message = f"the name {shown(name)} begins or ends with a blank; take it out of the file, unless it is meant"
            yield PlanWarning("name", message, _place(change))
        elif any(unicodedata.category(one) in ("Cc", "Cf") for one in name):
            message = f"the name {json.dumps(name)} has a character that cannot be seen; take it out of the file"
            yield PlanWarning("name", f"{message}, unless it is meant", _place(change))
        elif _SPREADSHEET_ERROR.fullmatch(name):
            yield PlanWarning("name", f"the name {name} is an error of a spreadsheet", _place(change))


def spoiled_values(changes: Iterable[Change]) -> Iterator[PlanWarning]:
    """Warn of descriptions and tags that are an error of a spreadsheet or a number that it has rounded."""
    spoiled: dict[tuple[str, str], list[tuple[Change, str]]] = defaultdict(list)
    for change in changes:
        before = _texts(change.current.description, change.current.group_tags) if change.current is not None else {}
        now = _texts(change.fields.get("description"), change.fields.get("group_tags") or {})
        for column, value in now.items():
            for what, pattern in _SPOILED.items():
                if before.get(column) != value and pattern.fullmatch(value):
                    spoiled[column, what].append((change, value))
    for (column, what), found in spoiled.items():
        change, value = found[0]
        more = f" (and {len(found) - 1:,} more like it)" if len(found) > 1 else ""
        message = f"{column} is {shown_value(value)}, {what}{more}: correct the file, unless it is meant"
        yield PlanWarning("value", message, _place(change))


def renames(changes: Sequence[Change]) -> Iterator[PlanWarning]:
    """Warn of a create and a delete under one parent that alone have the same tags, members or children."""
    created: dict[_Sign, list[Change]] = defaultdict(list)
    deleted: dict[_Sign, list[Change]] = defaultdict(list)
    below: dict[object, set[str]] = defaultdict(set)  # the names of the children that go along
    for change in changes:
        if change.action == "create" and change.parent is not None:
            below[change.parent].add(change.path[-1])
        elif change.action == "delete" and change.current is not None:
            below[normal_id(change.current.parent_id)].add(change.current.name)
    for index, change in enumerate(changes):
        group = change.current
        if change.action == "create" and change.parent is None:
            parent = normal_id(change.fields.get("parent_id"))
            for sign in _signs(parent, change.fields, below.get(index)):
                created[sign].append(change)
        elif change.action == "delete" and group is not None:
            fields = {name: getattr(group, name) for name in _TELLING}
            for sign in _signs(normal_id(group.parent_id), fields, below.get(group.id.lower())):
                deleted[sign].append(change)
    told: set[int] = set()
    for sign, creates in created.items():
        deletes = deleted.get(sign, [])
        if len(creates) == len(deletes) == 1 and id(creates[0]) not in told:
            told.add(id(creates[0]))
            gone = deletes[0]
            message = (
                f"{shown(creates[0].path[-1])} would be created and {shown(gone.path[-1])} ({gone.group_id}) deleted, "
                f"with the same {sign[1]}: if that is a rename, match by a tag or by the id"
            )
            yield PlanWarning("rename", message, _place(creates[0]), (gone.group_id or "",))


_Sign = tuple[str | None, str, Hashable]  # a parent, what is the same, and its value


def _signs(parent: str | None, fields: Mapping[str, Any], children: set[str] | None) -> Iterator[_Sign]:
    """Yield what a group could be known again by under another name."""
    for name in _TELLING:
        if value := fields.get(name):
            yield parent, camel(name), comparable(name, value)
    if children:
        yield parent, "children", frozenset(children)


def ids_of_live_groups(records: Sequence[tuple[Record, str | None]], live: Container[str]) -> Iterator[PlanWarning]:
    """Warn of records that carry the ids of live groups, and are other ones or none.

    Args:
        records: The records, each with the id of the live group that it is; None for none.
        live: The ids of all live groups, in lower case.
    """
    named = [(record, record.id.lower(), found) for record, found in records if record.id]
    lost = [record for record, wanted, found in named if wanted in live and found != wanted]
    if lost:
        count = "a record carries the id of a live group and is"
        if len(lost) > 1:
            count = f"{len(lost):,} records carry the ids of live groups and are"
        message = (
            f"{count} not taken for it: if the file is an export of this application, match by_id() (--match-by id)"
        )
        yield PlanWarning("ids", message, lost[0].place, tuple(record.id for record in lost if record.id))


def empty_cells(records: Iterable[tuple[Record, ExperienceGroup]]) -> Iterator[PlanWarning]:
    """Warn of empty cells that leave the values which live groups have there."""
    places: dict[str, list[str]] = defaultdict(list)
    for record, group in records:
        for column in record.empty:
            if column != "parentId" and _value(group, column) and not _is_set(record, column):
                places[column].append(record.place)
    for column, found in places.items():
        groups = "a live group has a value" if len(found) == 1 else f"{len(found):,} live groups have values"
        message = f"{column} is empty where {groups}, which will stay: empty='clear' (--empty clear) clears it"
        yield PlanWarning("empty", message, found[0])


# Such as #REF!, #BEZUG! and #N/A.
_SPREADSHEET_ERROR = re.compile(r"#[A-Z\u00c4\u00d6\u00dc/0]+[!?]|#N/A|#NV")
_SPOILED = {
    "an error of a spreadsheet": _SPREADSHEET_ERROR,
    "a number as a spreadsheet rounds it": re.compile(r"-?[0-9]([.,][0-9]+)?[Ee]\+[0-9]+"),  # such as 1,61E+12
}
_MOST_SHOWN = 3  # live groups of one name
_TELLING = ("experience_user_ids", "experience_endpoint_ids", "device_ids", "device_query_json", "group_tags")


def _is_set(record: Record, column: str) -> bool:
    """Whether another column sets what this one leaves, as e-mails set the ids of users."""
    field = MEMBER_NAMES.get(column) or codec.FIELDS.get(column)
    return field is not None and (field in record.fields or field in record.members)


def _value(group: ExperienceGroup, column: str) -> object:
    if column.startswith("groupTags."):
        return group.group_tags.get(column.removeprefix("groupTags."))
    field = MEMBER_NAMES.get(column) or codec.FIELDS.get(column, "")
    return getattr(group, field, None)


def nowhere(creates: Sequence[Change], live: Iterable[ExperienceGroup]) -> Iterator[PlanWarning]:
    """Warn of creates at the root that say no parent, while a live group elsewhere has the name."""
    elsewhere = {group.name: group for group in live if group.parent_id is not None}
    for change in creates:
        group = elsewhere.get(change.path[-1])
        if change.record is not None and change.record.keeps_parent and len(change.path) == 1 and group is not None:
            message = (
                f"{shown(group.name)} would be created at the root, since nothing says its parent, while there is "
                f"{group.id} of that name below another: give it a parentId, or match by a tag or by the id"
            )
            yield PlanWarning("look-alike", message, _place(change), (group.id,))


def _texts(description: object, group_tags: Mapping[str, str]) -> dict[str, str]:
    """Return the values of a group that may be any text, by their columns."""
    texts = {"description": description} if isinstance(description, str) else {}
    return texts | {f"groupTags.{tag}": value for tag, value in group_tags.items()}


def _folded(name: str) -> str:
    if not name.isascii():  # without what cannot be seen, such as a soft hyphen
        name = "".join(one for one in unicodedata.normalize("NFKC", name) if unicodedata.category(one) != "Cf")
    return " ".join(name.casefold().split())


def _told_apart(name: str, other: str) -> str:
    """Return a name so that it differs from another in what can be seen."""
    alike = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    return ascii(name) if alike and name != other else json.dumps(name, ensure_ascii=not name.isprintable())


def _place(change: Change) -> str:
    return change.record.place if change.record is not None else ""
