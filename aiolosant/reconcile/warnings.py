"""What a plan warns of: what is allowed, and perhaps not meant. Pure."""

from __future__ import annotations

import json
import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Literal

import attrs

from .._http import codec
from ..identity import ByTag, MatchBy
from ..models import ExperienceGroup, camel, normal_id
from .change import Change, shown
from .record import Record


@attrs.frozen
class PlanWarning:
    """Something of a plan that is allowed, and perhaps not meant.

    Attributes:
        kind: `look-alike` (a create beside a group that differs only in case, blanks or Unicode form), `rename` (a
            create and a delete that look like one), `ids` (records carry ids of live groups and are matched
            otherwise), `empty` (empty cells leave values that are there), or `undo` (what an undo leaves).
        message: What it is, and what to do, in a sentence.
        place: Where the record was read; "" for what is about no single one.
        group_ids: The live groups that it is about.
    """

    kind: Literal["look-alike", "rename", "ids", "empty", "undo"]
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
        for group in siblings.get((normal_id(change.fields.get("parent_id")), _folded(name)), ()):
            if group.name != name:
                same = "which differs only in case, blanks or Unicode form: correct the file, or rename the group"
            elif isinstance(match_by, ByTag):
                same = f"which has no tag {match_by.tag!r} of its own: --adopt-by name takes it instead"
                if match_by.tag in group.group_tags:
                    same = f"whose tag {match_by.tag!r} is {group.group_tags[match_by.tag]!r}"
            else:
                continue
            one, other = _told_apart(name, group.name), _told_apart(group.name, name)
            message = f"{one} would be created beside {other} ({group.id}), {same}"
            yield PlanWarning("look-alike", message, _place(change), (group.id,))


def renames(changes: Sequence[Change]) -> Iterator[PlanWarning]:
    """Warn of a create and a delete under one parent that have the same tags, members or children."""
    names_below: dict[int, set[str]] = defaultdict(set)
    children: dict[str | None, set[str]] = defaultdict(set)
    doomed: dict[str | None, list[Change]] = defaultdict(list)
    for change in changes:
        if change.action == "create" and change.parent is not None:
            names_below[change.parent].add(change.path[-1])
        if change.action == "delete" and change.current is not None:
            children[normal_id(change.current.parent_id)].add(change.current.name)
            doomed[normal_id(change.current.parent_id)].append(change)
    for index, change in enumerate(changes):
        if change.action != "create" or change.parent is not None:
            continue
        for other in doomed.get(normal_id(change.fields.get("parent_id")), ()):
            group = other.current
            if group is None:
                continue
            below = children.get(normal_id(group.id), set())
            what = next((field for field in _TELLING if _same(change.fields.get(field), getattr(group, field))), "")
            if what or (below and below == names_below[index]):
                alike = camel(what) if what else "children"
                message = (
                    f"{shown(change.path[-1])} would be created and {shown(group.name)} ({group.id}) deleted, with the "
                    f"same {alike}: if that is a rename, match by a tag or by the id"
                )
                yield PlanWarning("rename", message, _place(change), (group.id,))
                break


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
        message = f"{count} not taken for it: if the file is an export of this application, say --match-by id"
        yield PlanWarning("ids", message, lost[0].place, tuple(record.id for record in lost if record.id))


def empty_cells(records: Iterable[tuple[Record, ExperienceGroup]]) -> Iterator[PlanWarning]:
    """Warn of empty cells that leave the values which live groups have there."""
    places: dict[str, list[str]] = defaultdict(list)
    for record, group in records:
        for column in record.empty:
            if _value(group, column):
                places[column].append(record.place)
    for column, found in places.items():
        groups = "a live group has a value" if len(found) == 1 else f"{len(found):,} live groups have values"
        message = f"{column} is empty where {groups}, which will stay: --empty clear clears it"
        yield PlanWarning("empty", message, found[0])


_TELLING = ("experience_user_ids", "experience_endpoint_ids", "device_ids", "device_query_json", "group_tags")


def _same(wanted: Any, there: Any) -> bool:
    if isinstance(wanted, tuple):
        return bool(wanted) and {one.lower() for one in wanted} == {one.lower() for one in there}
    return bool(wanted) and wanted == there


def _value(group: ExperienceGroup, column: str) -> object:
    if column.startswith("groupTags."):
        return group.group_tags.get(column.removeprefix("groupTags."))
    return getattr(group, codec.FIELDS[column]) if column in codec.FIELDS else None


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _told_apart(name: str, other: str) -> str:
    """Return a name so that it differs from another in what can be seen."""
    alike = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    return ascii(name) if alike and name != other else json.dumps(name, ensure_ascii=not name.isprintable())


def _place(change: Change) -> str:
    return change.record.place if change.record is not None else ""
