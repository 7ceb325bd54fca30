"""How a plan is shown before anything is done, and what is asked about it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import typer

from aiolosant._http import codec
from aiolosant.reconcile import Change, Plan
from aiolosant.reconcile.report import write_report

from .console import CHANGES, confirm, confirm_name, drop_output, printable
from .where import Where

# How many lines are shown of a plan, and how many deletes and warnings are told of one by one.
_MOST_LINES = 300
_MOST_OF_A_KIND = 100
_MOST_TOLD = 20
# A share of the live groups from which on a delete is confirmed by the application's name.
_LARGE_SHARE = 0.25
_IN_A_FILE = re.compile(r"(^|: )(line \d|items\[)")
_KINDS = (("create", "to create"), ("update", "to update"), ("delete", "to delete"))


def show_plan(plan: Plan, *, as_json: bool, everything: bool = False) -> int:
    """Print what would be done; return 3 if that is anything, even if nobody reads it to its end."""
    try:
        for line in _json_lines(plan) if as_json else _lines(plan, everything=everything):
            typer.echo(line)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    tell_warnings(plan)
    return CHANGES if plan.changes else 0


def change_as_object(change: Change) -> dict[str, object]:
    """Return a change as a line of JSON has it."""
    content: dict[str, object] = {"action": change.action, "path": change.path, "id": change.group_id}
    content["fields"] = codec.changes_to_object(change.fields)
    content["differences"] = [
        {"field": one.field, "old": one.old, "new": one.new}
        for one in change.differences()
        if change.action == "update"
    ]
    if change.record is not None:
        content["place"] = change.record.place
    return content


def _json_lines(plan: Plan) -> Iterable[bytes]:
    return (codec.encode(change_as_object(change)) for change in plan.changes)


def _lines(plan: Plan, *, everything: bool) -> Iterable[str]:
    if everything or len(plan.changes) <= _MOST_LINES:
        yield from map(_line, plan.changes)
    else:
        for action, words in _KINDS:
            some = [change for change in plan.changes if change.action == action]
            yield from map(_line, some[:_MOST_OF_A_KIND])
            if len(some) > _MOST_OF_A_KIND:
                yield f"... and {len(some) - _MOST_OF_A_KIND:,} more {words}; --all shows them"
    yield plan.summary()


def _line(change: Change) -> str:
    place = change.record.place if change.record is not None else ""
    return printable(f"{change}  ({place})" if _IN_A_FILE.search(place) else str(change))


def tell_warnings(plan: Plan) -> None:
    """Print what a plan warns of, on stderr."""
    for warning in plan.warnings[:_MOST_TOLD]:
        typer.echo(f"warning: {printable(str(warning))}", err=True)
    if len(plan.warnings) > _MOST_TOLD:
        more = len(plan.warnings) - _MOST_TOLD
        typer.echo(f"... and {more:,} more warnings; `plan --report FILE.html` has all", err=True)


def ask_about_deletes(plan: Plan, where: Where, *, yes: bool) -> None:
    """List what goes, and ask; for a large share for the application's name.

    Raises:
        ValueError: Nobody is there to be asked.
        Declined: Whoever was asked did not agree.
    """
    doomed = [change for change in plan.changes if change.action == "delete"]
    if not doomed:
        return
    for change in doomed[:_MOST_TOLD]:
        typer.echo(printable(str(change)), err=True)
    if len(doomed) > _MOST_TOLD:
        typer.echo(f"... and {len(doomed) - _MOST_TOLD:,} more; --dry-run shows them", err=True)
    if moved_up := sum(change.moved_up for change in doomed):
        typer.echo(f"{moved_up:,} groups below them stay, and move up", err=True)
    groups = f"{len(doomed):,} group{'s' if len(doomed) > 1 else ''}"
    question = f"Delete {groups} of {plan.live:,} in {where.label}?" if plan.live else f"Delete {groups}?"
    if plan.live >= 10 and len(doomed) >= _LARGE_SHARE * plan.live:
        confirm_name(question, where.name or where.application_id, yes=yes)
    else:
        confirm(question, yes=yes)


def report_plan(plan: Plan, where: Where, path: Path | None) -> None:
    """Write a page about a plan, if one was asked for.

    Raises:
        ValueError: The name of the file ends neither in .html nor in .md.
        OSError: It cannot be written.
    """
    if path is not None:
        write_report(path, plan, where.label)
        typer.echo(f"aiolosant: {path} has the plan", err=True)
