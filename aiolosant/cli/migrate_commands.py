"""`plan`, `apply` and `copy`: what should be, the difference, and doing it."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from aiolosant import reconcile
from aiolosant._http import codec
from aiolosant.client import LosantClient, retry_from_env
from aiolosant.errors import ConfigurationError, LosantError
from aiolosant.groups import ExperienceGroups
from aiolosant.identity import ById, MatchBy, by_id, by_name, by_tag
from aiolosant.reconcile import Change, ChangeOutcome, Plan, Record, apply, read_records
from aiolosant.reconcile.codec import to_record, to_row

from .console import (
    CHANGES,
    FAILED,
    INTERRUPTED,
    client,
    confirm,
    drop_output,
    parsed_time,
    printable,
    progress,
    settling_on_interrupt,
)
from .member_mapping import Mapped, Members, Row, count_members, drop, keep, matched, read_map
from .read_commands import read_all

# How many changes that did not go well are told of one by one.
_MOST_TOLD = 20


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


async def run_plan(application: str | None, file: Path, *, match_by: str, prune: bool, as_json: bool) -> int:
    """Print what `apply` would do; 3 if that is anything."""
    identity, records = parsed_match_by(match_by), read_records(file)
    async with client(application) as losant:
        plan = await _plan(losant.experience_groups, records, identity, prune=prune)
    return _show(plan, as_json=as_json)


async def run_apply(
    application: str | None,
    file: Path,
    *,
    match_by: str,
    prune: bool,
    yes: bool,
    concurrency: int,
    patience: str,
    as_json: bool,
) -> int:
    """Make it so; 1 if not everything went well."""
    identity, records = parsed_match_by(match_by), read_records(file)
    retry = retry_from_env(patience=parsed_time("--patience", patience))
    async with client(application, retry=retry) as losant:
        groups = losant.experience_groups
        plan = await _plan(groups, records, identity, prune=prune)
        return await _apply(groups, plan, yes=yes, concurrency=concurrency, as_json=as_json)


async def _plan(groups: ExperienceGroups, records: Sequence[Record], match_by: MatchBy, *, prune: bool) -> Plan:
    return await reconcile.plan(groups, records, match_by=match_by, prune=prune, read_all=read_all)


def _show(plan: Plan, *, as_json: bool) -> int:
    """Print what would be done; 3 if that is anything, even if nobody reads it to its end."""
    try:
        for change in plan.changes:
            typer.echo(codec.encode(_as_object(change)) if as_json else printable(str(change)))
        if not as_json:
            typer.echo(plan.summary())
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    return CHANGES if plan.changes else 0


def _as_object(change: Change) -> dict[str, object]:
    fields = codec.changes_to_object(change.fields)
    return {"action": change.action, "path": change.path, "id": change.group_id, "fields": fields}


async def _apply(groups: ExperienceGroups, plan: Plan, *, yes: bool, concurrency: int, as_json: bool) -> int:
    typer.echo(plan.summary(), err=as_json)
    if deletes := sum(change.action == "delete" for change in plan.changes):
        confirm(f"Delete {deletes:,} groups?", yes=yes)
    tally = _Tally(as_json=as_json)
    why, fatal = "", None
    with progress() as bars, settling_on_interrupt():
        bar = bars.add_task("applying", total=len(plan.changes))
        outcomes = apply(groups, plan, concurrency=concurrency)
        walk = aiter(outcomes)
        try:
            async for outcome in walk:
                tally.add(outcome)
                bars.advance(bar)
        except asyncio.CancelledError:
            why = "interrupted"
        except BrokenPipeError:
            drop_output()
            why = "nobody reads the output any more"
        except LosantError as error:
            fatal = error
        if why:
            tally.stopping = True
            typer.echo(f"aiolosant: {why}; stopping", err=True)
        while True:
            try:
                await outcomes.aclose()
                async for outcome in walk:  # what has settled since
                    tally.add(outcome)
                break
            except asyncio.CancelledError:
                why = "interrupted"
            except LosantError as error:
                fatal = error
    tally.sum_up()
    if why == "interrupted" and tally.unknown:
        typer.echo(f"aiolosant: waiting for what may still land of {tally.unknown:,}", err=True)
        await asyncio.sleep(retry_from_env().settle_time)  # so that the next run sees it
    if left := len(plan.changes) - tally.well:
        typer.echo(f"aiolosant: {left:,} of {len(plan.changes):,} not done; to go on: {_again()}", err=True)
    if fatal is not None:
        raise fatal
    if why == "interrupted":
        return INTERRUPTED
    return FAILED if left else 0


class _Tally:
    """Counts outcomes, and tells of those that did not go well; with `as_json` of each.

    Attributes:
        well: How many went well.
        unknown: Of how many nobody knows.
        stopping: Whether what was never sent is only counted, since somebody has stopped it.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.well = 0
        self.stopping = False
        self._not_sent = 0
        self._as_json = as_json
        self._counts: Counter[str] = Counter()

    def add(self, outcome: ChangeOutcome) -> None:
        self._counts[outcome.status] += 1
        self.well += outcome.ok
        if self._as_json:
            _tell_as_json(outcome)
        elif self.stopping and outcome.status == "failed" and getattr(outcome.error, "attempts", 1) == 0:
            self._not_sent += 1
            self._counts["failed"] -= 1
            self._counts["not sent"] += 1
        elif not outcome.ok and self._not_well() <= _MOST_TOLD:
            typer.echo(printable(f"{outcome.status}: {outcome.change}: {outcome.error}"), err=True)

    def sum_up(self) -> None:
        if self._counts:
            counts = ", ".join(f"{count:,} {status}" for status, count in sorted(self._counts.items()) if count)
            typer.echo(counts, err=self._as_json)
        if self._not_well() > _MOST_TOLD and not self._as_json:
            typer.echo(f"... and {self._not_well() - _MOST_TOLD:,} more; --json tells of each", err=True)

    @property
    def unknown(self) -> int:
        return self._counts["unknown"]

    def _not_well(self) -> int:
        return self._counts.total() - self.well - self._not_sent


def _tell_as_json(outcome: ChangeOutcome) -> None:
    told = _as_object(outcome.change) | {"status": outcome.status}
    if outcome.group is not None:
        told["id"] = outcome.group.id
    if outcome.error is not None:
        told["error"] = str(outcome.error)
    typer.echo(codec.encode(told))


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
    patience: str,
    as_json: bool,
    dry_run: bool,
) -> int:
    """Make the groups of one application those of another."""
    retry = retry_from_env(patience=parsed_time("--patience", patience))
    identity = parsed_match_by(match_by)
    if isinstance(identity, ById):
        raise ConfigurationError("--match-by must be name or tag:KEY: groups have other ids in another application")
    if source.lower() == target.lower():
        raise ConfigurationError("--from-application and --to-application are the same")
    chosen = _chosen(members)  # a file that cannot be read is told of before anything is
    from_token = os.environ.get("LOSANT_FROM_API_TOKEN")
    overrides: dict[str, Any] = {"token": from_token} if from_token else {}
    async with (
        LosantClient.from_env(application_id=source, retry=retry, **overrides) as losant,
        LosantClient.from_env(application_id=target, retry=retry) as other,
    ):
        rows = [to_row(group) for group in await read_all(losant.experience_groups)]
        if members == "match":
            replace: Members = await matched(losant, rows, source, other, target)
        else:
            replace = chosen or _undecided(rows)
        for row in rows:
            replace(row)
        records = [to_record(row, f"group {row['id']}") for row in rows]
        plan = await _plan(other.experience_groups, records, identity, prune=prune)
        code = _show(plan, as_json=as_json) if dry_run else 0
        missing = replace.missing if isinstance(replace, Mapped) else {}
        for label in missing.values():
            typer.echo(f"no match: {printable(label)}", err=True)
        if dry_run:
            return code
        if missing:
            confirm(f"Copy without these {len(missing):,} members?", yes=yes)
        return await _apply(other.experience_groups, plan, yes=yes, concurrency=concurrency, as_json=as_json)


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
