"""`copy`: the groups of one application become those of another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import typer

from aiolosant import reconcile
from aiolosant.errors import ConfigurationError
from aiolosant.identity import ById
from aiolosant.reconcile.codec import to_record, to_row

from .applying import HowToApply, carry_out
from .console import confirm, printable, tell_where
from .member_mapping import Mapped, Members, Row, count_members, drop, keep, matched, read_map
from .migrate_commands import HowToPlan
from .options import Connection
from .plan_view import ask_about_deletes, show_plan, tell_warnings
from .read_commands import read_all


async def run_copy(
    connection: Connection,
    source: str,
    target: str,
    how: HowToPlan,
    apply: HowToApply,
    *,
    members: str | None,
    yes: bool,
    dry_run: bool,
) -> int:
    """Make the groups of one application those of another."""
    identity = how.identity()
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
        rows = [to_row(group) for group in await read_all(losant.experience_groups)]
        if members == "match":
            replace: Members = await matched(losant, rows, source, other, target)
        else:
            replace = chosen or _undecided(rows)
        for row in rows:
            replace(row)
        records = [to_record(row, f"group {row['id']}") for row in rows]
        groups = other.experience_groups
        plan = await reconcile.plan(groups, records, match_by=identity, prune=how.prune, read_all=read_all)
        # Ids of another application are ids of other groups, whatever they look like.
        plan = attrs.evolve(plan, warnings=tuple(one for one in plan.warnings if one.kind != "ids"))
        code = show_plan(plan, as_json=apply.as_json) if dry_run else 0
        missing = replace.missing if isinstance(replace, Mapped) else {}
        for label in missing.values():
            typer.echo(f"no match: {printable(label)}", err=True)
        if dry_run:
            return code
        plan.check(max_deletes=how.max_deletes, max_changes=how.max_changes)
        if missing:
            confirm(f"Copy without these {len(missing):,} members?", yes=yes)
        typer.echo(plan.summary(), err=apply.as_json)
        tell_warnings(plan)
        ask_about_deletes(plan, where, yes=yes)
        return await carry_out(groups, plan, where, apply)


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
