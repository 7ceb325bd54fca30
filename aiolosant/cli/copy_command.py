"""`copy`: the groups of one application become those of another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import typer

from aiolosant import reconcile
from aiolosant.errors import ConfigurationError
from aiolosant.groups import ExperienceGroups, parts_of
from aiolosant.identity import ById, MatchBy
from aiolosant.models import ExperienceGroup
from aiolosant.reconcile import Plan, Record
from aiolosant.reconcile.codec import to_record, to_row
from aiolosant.reconcile.report import check_name as check_report_name

from .applying import carry_out
from .choices import Connection, HowToApply, HowToPlan
from .console import confirm, printable
from .member_mapping import Mapped, Members, Row, count_members, drop, keep, matched, read_map, with_ids_in_texts
from .migrate_commands import identity_of, resolve
from .parsing import parsed_query
from .plan_view import ask_about_deletes, show_plan, tell_warnings
from .read_commands import read_all
from .where import tell_where


async def run_copy(
    connection: Connection,
    source: str,
    target: str,
    how: HowToPlan,
    apply: HowToApply,
    *,
    members: str | None,
    root: str | None,
    query: str | None,
    yes: bool,
    dry_run: bool,
) -> int:
    """Make the groups of one application those of another."""
    check_report_name(apply.report)
    identity = identity_of(how)
    if isinstance(identity, ById):
        raise ConfigurationError("--match-by must be name or tag:KEY: groups have other ids in another application")
    from_url = os.environ.get("LOSANT_FROM_API_URL")
    if source.lower() == target.lower() and not from_url:
        raise ConfigurationError("--from-application and --to-application are the same")
    chosen = _chosen(members)  # a file that cannot be read is told of before anything is
    given = {"token": os.environ.get("LOSANT_FROM_API_TOKEN"), "base_url": from_url}
    overrides: dict[str, Any] = {name: value for name, value in given.items() if value}
    async with connection.client(source, **overrides) as losant, connection.client(target) as other:
        await tell_where(losant)
        where = await tell_where(other)
        here, groups = losant.experience_groups, other.experience_groups
        found = await _selected(here, root=root, query=query)
        names = {group.id: group.name for group in found}
        rows = [to_row(group) | {"parentId": group.parent_id if group.parent_id in names else None} for group in found]
        if members == "match":
            replace: Members = await matched(parts_of(here)[0], parts_of(groups)[0], rows)
        else:
            replace = chosen or _undecided(rows)
        for row in rows:
            replace(row)
        records = [to_record(row, f"group {row['id']}") for row in rows]
        live = await read_all(groups)
        plan = await _plan(groups, records, live, identity, how)
        ids = (replace.ids if isinstance(replace, Mapped) else {}) | {
            old.lower(): new for old, new in plan.matched.items()
        }
        records, unmapped = with_ids_in_texts(records, ids, names)
        plan = await _plan(groups, records, live, identity, how)
        code = show_plan(plan, as_json=apply.as_json) if dry_run else 0
        missing = replace.missing if isinstance(replace, Mapped) else {}
        for label in (*missing.values(), *unmapped):
            typer.echo(f"no match: {printable(label)}", err=True)
        if dry_run:
            return code
        plan.check(max_deletes=how.max_deletes, max_changes=how.max_changes)
        if missing:
            confirm(f"Copy without these {len(missing):,} members?", yes=yes)
        if unmapped and members != "keep":
            confirm(
                f"Copy {len(unmapped):,} text{'' if len(unmapped) == 1 else 's'} with ids of the first application?",
                yes=yes,
            )
        typer.echo(plan.summary(), err=apply.as_json)
        tell_warnings(plan)
        ask_about_deletes(plan, where, yes=yes)
        return await carry_out(groups, plan, where, apply)


async def _selected(groups: ExperienceGroups, *, root: str | None, query: str | None) -> list[ExperienceGroup]:
    """Return the groups to copy: all, those at and below one, those that a query finds, or what both have."""
    if root is not None:
        root = await resolve(groups, root)
    condition = parsed_query(query)
    live = await read_all(groups) if condition is None else await groups.scan(query=condition).to_list()
    below = [group for group in live if root in (None, group.id.lower(), *(one.lower() for one in group.ancestor_ids))]
    if not below and root is not None and condition is None:
        raise ValueError(f"there is no group {root} in the first application")
    return below


async def _plan(
    groups: ExperienceGroups,
    records: Sequence[Record],
    live: list[ExperienceGroup],
    identity: MatchBy,
    how: HowToPlan,
) -> Plan:
    async def read(_groups: ExperienceGroups) -> list[ExperienceGroup]:
        return live

    plan = await reconcile.plan(groups, records, match_by=identity, prune=how.prune, read_all=read)
    # Ids of another application are ids of other groups, whatever they look like; and there is no file to correct.
    return attrs.evolve(plan, warnings=tuple(one for one in plan.warnings if one.kind not in ("ids", "value")))


def _chosen(members: str | None) -> Members | None:
    """What `--members` says of itself; None where that takes a look at the groups."""
    if members in (None, "match"):
        return None
    return {"keep": keep, "drop": drop}.get(members) or Mapped(read_map(Path(members)))


def _undecided(rows: list[Row]) -> Members:
    """Nobody has said what becomes of the members; there must be none."""
    counts = count_members(rows)
    if counts.total():
        told = ", ".join(f"{count:,} {field}" for field, count in counts.items() if count)
        raise ConfigurationError(
            f"the groups have members ({told}), which have other ids in another application; "
            "say --members match, drop, keep, or a file of old ids and new ones"
        )
    return drop
