"""`plan`, `apply` and `copy`: what should be, the difference, and doing it."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer

from aiolosant import wire
from aiolosant.client import LosantClient
from aiolosant.errors import ConfigurationError, TransportError
from aiolosant.groups import ExperienceGroups
from aiolosant.keys import ById, by_id, by_name, by_tag
from aiolosant.reconcile import Change, ChangeOutcome, Plan, Record, apply, compare, read_records
from aiolosant.reconcile.model import MatchBy
from aiolosant.reconcile.records import to_record, to_row

from .console import CHANGES, FAILED, INTERRUPTED, client, confirm, printable, progress, settling_on_interrupt
from .members import Mapped, Members, Row, count_members, drop, keep, matched, read_map
from .reading import read_all

# How many changes that did not go well are told of one by one.
_SHOWN = 20


def parsed_match_by(text: str) -> MatchBy:
    """`name`, `id` or `tag:KEY`.

    Raises:
        ValueError: It is none of these.
    """
    if text == "name":
        return by_name()
    if text == "id":
        return by_id()
    if text.startswith("tag:"):
        return by_tag(text.removeprefix("tag:"))
    raise ValueError(f"--match-by must be name, id or tag:KEY, not {text!r}")


def read_input(file: Path) -> list[Record]:
    """The records of a file, or of stdin."""
    return read_records("-" if str(file) == "-" else file)


async def run_plan(application: str | None, file: Path, *, match_by: str, prune: bool, as_json: bool) -> int:
    """Print what `apply` would do; 3 if that is anything."""
    identity, records = parsed_match_by(match_by), read_input(file)
    async with client(application) as losant:
        plan = await _plan(losant.experience_groups, records, identity, prune=prune)
    _show(plan, as_json=as_json)
    return CHANGES if plan.changes else 0


async def run_apply(
    application: str | None, file: Path, *, match_by: str, prune: bool, yes: bool, concurrency: int, as_json: bool
) -> int:
    """Make it so; 1 if not everything went well."""
    identity, records = parsed_match_by(match_by), read_input(file)
    async with client(application) as losant:
        groups = losant.experience_groups
        plan = await _plan(groups, records, identity, prune=prune)
        return await _apply(groups, plan, yes=yes, concurrency=concurrency, as_json=as_json)


async def _plan(groups: ExperienceGroups, records: Sequence[Record], match_by: MatchBy, *, prune: bool) -> Plan:
    if prune and not records:
        compare([], [], match_by=match_by, prune=True)  # says why not, before anything is read
    return compare(records, await read_all(groups), match_by=match_by, prune=prune)


def _show(plan: Plan, *, as_json: bool) -> None:
    for change in plan.changes:
        typer.echo(wire.encode(_as_object(change)) if as_json else printable(str(change)))
    if not as_json:
        typer.echo(plan.summary())


def _as_object(change: Change) -> dict[str, object]:
    fields = wire.changes_to_object(change.fields)
    return {"action": change.action, "path": change.path, "id": change.group_id, "fields": fields}


async def _apply(groups: ExperienceGroups, plan: Plan, *, yes: bool, concurrency: int, as_json: bool) -> int:
    say_to_stderr = as_json
    typer.echo(plan.summary(), err=say_to_stderr)
    deletes = sum(change.action == "delete" for change in plan.changes)
    if deletes:
        confirm(f"Delete {deletes:,} groups?", yes=yes)
    tally: Counter[str] = Counter()
    unreachable = 0
    with progress() as bars, settling_on_interrupt(bars):
        bar = bars.add_task("applying", total=len(plan.changes))
        try:
            async with apply(groups, plan, concurrency=concurrency) as outcomes:
                async for outcome in outcomes:
                    tally[outcome.status] += 1
                    bars.advance(bar)
                    if as_json:
                        _tell_as_json(outcome)
                    elif not outcome.ok and _not_well(tally) <= _SHOWN:
                        typer.echo(printable(f"{outcome.status}: {outcome.change}: {outcome.error}"), err=True)
                    if outcome.status != "skipped":
                        unreachable = unreachable + 1 if isinstance(outcome.error, TransportError) else 0
                    if unreachable > _SHOWN + concurrency:
                        typer.echo("aiolosant: the server cannot be reached any more; left", err=True)
                        break
        except asyncio.CancelledError:
            done = tally["done"] + tally["existing"]
            typer.echo(f"interrupted after {done:,} of {len(plan.changes):,} changes; to go on: {_again()}", err=True)
            return INTERRUPTED
    if plan.changes:
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(tally.items()))
        typer.echo(counts, err=say_to_stderr)
    if _not_well(tally) > _SHOWN and not as_json:
        typer.echo(f"... and {_not_well(tally) - _SHOWN:,} more; --json tells of each", err=True)
    not_done = len(plan.changes) - tally["done"] - tally["existing"]
    if not_done:
        typer.echo(f"aiolosant: {not_done:,} of {len(plan.changes):,} not done; to try again: {_again()}", err=True)
    return FAILED if not_done else 0


def _not_well(tally: Counter[str]) -> int:
    return tally.total() - tally["done"] - tally["existing"]


def _tell_as_json(outcome: ChangeOutcome) -> None:
    told = _as_object(outcome.change) | {"status": outcome.status}
    if outcome.group is not None:
        told["id"] = outcome.group.id
    if outcome.error is not None:
        told["error"] = str(outcome.error)
    typer.echo(wire.encode(told))


def _again() -> str:
    """The command as it was given."""
    return shlex.join(["aiolosant", *sys.argv[1:]])


async def run_copy(
    source: str,
    target: str,
    *,
    members: str | None,
    match_by: str,
    prune: bool,
    yes: bool,
    concurrency: int,
    as_json: bool,
    dry_run: bool,
) -> int:
    """Make the groups of one application those of another."""
    identity = parsed_match_by(match_by)
    if isinstance(identity, ById):
        raise ConfigurationError("--match-by must be name or tag:KEY: groups have other ids in another application")
    if source.lower() == target.lower():
        raise ConfigurationError("--from-application and --to-application are the same")
    chosen = read_map(Path(members)) if members not in (None, "keep", "drop", "match") else None
    from_token = os.environ.get("LOSANT_FROM_API_TOKEN")
    overrides = {"token": from_token} if from_token else {}
    async with (
        LosantClient.from_env(application_id=source, **overrides) as losant,
        LosantClient.from_env(application_id=target) as other,
    ):
        rows = [to_row(group) for group in await read_all(losant.experience_groups)]
        if chosen is not None:
            replace: Members = Mapped(chosen)
        elif members == "match":
            replace = await matched(losant, rows, source, other, target)
        else:
            replace = _kept_or_dropped(members, rows)
        for row in rows:
            replace(row)
        records = [to_record(row, f"group {row['id']}") for row in rows]
        plan = await _plan(other.experience_groups, records, identity, prune=prune)
        if dry_run:
            _show(plan, as_json=as_json)
        missing = replace.missing if isinstance(replace, Mapped) else {}
        for label in missing.values():
            typer.echo(f"no match: {printable(label)}", err=True)
        if dry_run:
            return CHANGES if plan.changes else 0
        if missing:
            confirm(f"Copy without these {len(missing):,} members?", yes=yes)
        return await _apply(other.experience_groups, plan, yes=yes, concurrency=concurrency, as_json=as_json)


def _kept_or_dropped(members: str | None, rows: list[Row]) -> Members:
    counts = count_members(rows)
    if members is None and counts.total():
        told = ", ".join(f"{count:,} {field}" for field, count in counts.items() if count)
        raise ConfigurationError(
            f"the groups have members ({told}), which have other ids in another application; "
            "say --members match, drop, keep, or a file of old ids and new ones"
        )
    return keep if members == "keep" else drop
