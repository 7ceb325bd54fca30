"""Making a plan: check the records, read what is live, compare."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import attrs

from .._validation import check_id
from ..errors import PlanError
from ..groups import ExperienceGroups, parts_of
from ..identity import ById, ByName, ByTag, MatchBy
from ..models import ExperienceGroup, NewExperienceGroup
from .codec import to_record
from .members import resolved
from .plan import Plan
from .planner import check_prune, compare
from .record import Record

SIDE_BY_SIDE = 8
"""How many ranges of an application are read at a time."""

ReadAll = Callable[[ExperienceGroups], Awaitable[list[ExperienceGroup]]]
"""Reads all groups of an application."""


async def read_all_groups(groups: ExperienceGroups) -> list[ExperienceGroup]:
    """Return all groups of an application."""
    return await groups.scan(parallel=SIDE_BY_SIDE).to_list()


async def plan(
    groups: ExperienceGroups,
    records: Iterable[Record | Mapping[str, Any]],
    *,
    match_by: MatchBy,
    prune: bool = False,
    under: str | None = None,
    read_all: ReadAll = read_all_groups,
) -> Plan:
    """Say what would have to change for the groups to be what the records say. Reads only.

    Args:
        groups: The groups of one application.
        records: What should be, in any order: from `read_records`, or mappings in the shape in which the API lists a
            group. `id` is any text, for others to name as their `parentId`; a `parentId` that is no record's id is a
            live group's; null is a root. A field that is absent is left alone, and so is the parent of a live group; a
            new one without any `parentId` is a root.
        match_by: Which live group a record is: `by_name()`, `by_tag(key)` or `by_id()`.
        prune: Whether to delete what no record wants; under `by_tag` only groups that carry the tag.
        under: The id of a live group: only what is below it is looked at, changed and deleted, and a record without a
            parent goes right below it. None for the whole application.
        read_all: Reads the live groups; for a caller who shows the progress of it.

    Raises:
        PlanError: No plan can be made: mappings that are no records, cycles, unknown parents, two records or two live
            groups where there must be one, or no records at all with `prune`. It is a ValueError as well.
        LosantError: Reading failed.
        TypeError: An argument is of a wrong type.
    """
    if not isinstance(match_by, ByName | ByTag | ById):
        raise TypeError(f"match_by must be by_name(), by_tag(key) or by_id(), not {type(match_by).__name__}")
    endpoint, _ = parts_of(groups)
    if under is not None:
        check_id("under", under)
    if isinstance(records, str | bytes | Mapping) or not isinstance(records, Iterable):
        raise TypeError(f"records must be an iterable of records, not {type(records).__name__}")
    checked, problems = [], []
    for n, record in enumerate(records):
        try:
            checked.append(_checked_record(record, f"records[{n}]"))
        except ValueError as problem:
            problems.append(str(problem))
    if problems:
        raise PlanError.of(problems)
    check_prune(checked, prune=prune)
    checked = await resolved(endpoint, checked)
    live = await read_all(groups)
    return compare(checked, live, match_by=match_by, prune=prune, under=under, application_id=endpoint.application_id)


def _checked_record(record: object, place: str) -> Record:
    if isinstance(record, Mapping):
        return to_record(record, place)
    if not isinstance(record, Record):
        raise TypeError(f"{place} must be a Record or a mapping, not {type(record).__name__}")
    if record.group is not None:
        return record
    try:
        group = NewExperienceGroup(**record.fields)
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"{place}: {problem}") from None
    fields = {name: getattr(group, name) for name in record.fields}
    if fields.get("description", "") is None:  # the API has no null here
        fields["description"] = ""
    return attrs.evolve(record, fields=fields, group=group)
