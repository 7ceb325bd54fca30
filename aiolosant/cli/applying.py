"""Carrying out a plan at the command line: progress, interruptions, sums, and how to go on."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import attrs
import typer

from aiolosant._http import codec
from aiolosant.client import retry_from_env
from aiolosant.errors import LosantError, TransportError
from aiolosant.groups import ExperienceGroups, parts_of
from aiolosant.reconcile import Applying, Change, ChangeOutcome, Plan, apply
from aiolosant.reconcile.report import Ended, write_report

from .choices import HowToApply
from .console import FAILED, INTERRUPTED, drop_output, printable, settling_on_interrupt
from .plan_view import change_as_object
from .progress import Ticker, progress
from .where import Where

# How many changes that did not go well are told of one by one, beside the unknown ones.
_MOST_TOLD = 20
_NOT_SENT = "not sent"


async def carry_out(groups: ExperienceGroups, plan: Plan, where: Where, how: HowToApply) -> int:
    """Apply a plan, tell of it, and return the exit code.

    Raises:
        PlanError: The plan is another application's.
        OSError: The results cannot be written.
        LosantError: What would fail every change, after what was sent has been told of.
    """
    tally = _Tally(as_json=how.as_json)
    throttle = parts_of(groups)[0].transport.throttle
    with progress() as bars, settling_on_interrupt():
        bar = bars.add_task("applying", total=len(plan.changes))
        outcomes = apply(groups, plan, concurrency=how.concurrency, journal=how.results)

        def add(outcome: ChangeOutcome) -> None:
            tally.add(outcome)
            bars.advance(bar)
            ticker.done += 1

        async with Ticker("applied", len(plan.changes), throttle) as ticker:
            ending = await _drain(outcomes, add, tally)
    tally.add_not_begun(plan.changes)
    tally.sum_up()
    if ending.interrupted and tally.unknown:
        typer.echo(f"aiolosant: waiting for what may still land of {tally.unknown:,}", err=True)
        await asyncio.sleep(retry_from_env().settle_time)  # so that the next run sees it
    if how.report is not None:
        try:
            write_report(how.report, plan, where.label, tally.ended)
        except OSError as error:  # what was done is told all the same
            typer.echo(f"aiolosant: {how.report} cannot be written: {error}", err=True)
        else:
            typer.echo(f"aiolosant: {how.report} has the plan and what became of it", err=True)
    left = len(plan.changes) - tally.well
    if left:
        way = "plan anew" if tally.stale and tally.stale == left else f"to go on: {_again()}"
        typer.echo(f"aiolosant: {left:,} of {len(plan.changes):,} not done; {way}", err=True)
    if how.results is not None and tally.ended:
        typer.echo(f"aiolosant: to take it back: aiolosant undo {shlex.quote(str(how.results))}", err=True)
    if ending.fatal is not None:
        raise ending.fatal
    if ending.interrupted:
        return INTERRUPTED
    return FAILED if left else 0


@attrs.define
class _Ending:
    """How a run ended.

    Attributes:
        interrupted: Whether somebody asked for its end.
        fatal: What would have failed every change; the last of several.
    """

    interrupted: bool = False
    fatal: LosantError | None = None


async def _drain(outcomes: Applying, add: Callable[[ChangeOutcome], None], tally: _Tally) -> _Ending:
    """Take all outcomes, those too that settle after an interruption, a full disk or a fatal error."""
    ending, walk, why = _Ending(), aiter(outcomes), ""
    try:
        async for outcome in walk:
            add(outcome)
    except asyncio.CancelledError:
        ending.interrupted, why = True, "interrupted"
    except BrokenPipeError:
        drop_output()
        why = "nobody reads the output any more"
    except OSError as error:  # a full disk, be it of the output or of the results
        try:
            sys.stdout.flush()
        except OSError:
            drop_output()
        why = str(error)
    except LosantError as error:
        ending.fatal = error
    if why:
        typer.echo(f"aiolosant: {why}; stopping", err=True)
    while True:
        try:
            await outcomes.aclose()
            async for outcome in walk:  # what has settled since
                tally.add(outcome)
        except asyncio.CancelledError:
            ending.interrupted = True
        except OSError:  # told already; what it kept from being written is told by the counts
            continue
        except LosantError as error:
            ending.fatal = error
        else:
            return ending


class _Tally:
    """Counts outcomes, and tells of those that did not go well; with `as_json` of each.

    What was never sent, because the run ended before, is counted as that, and listed only as JSON.

    Attributes:
        well: How many went well.
        unknown: How many outcomes are unknown.
        ended: All outcomes, with their times.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.well = 0
        self.ended: list[Ended] = []
        self._began = time.monotonic()
        self._to_tell = 0  # outcomes that did not go well, of which the first are told one by one
        self._as_json = as_json
        self._counts: Counter[str] = Counter()

    def add(self, outcome: ChangeOutcome) -> None:
        self.ended.append(Ended(outcome, time.monotonic() - self._began))
        status = _NOT_SENT if _was_never_sent(outcome) else outcome.status
        self._counts[status] += 1
        self.well += outcome.ok
        if self._as_json:
            _tell_as_json(outcome.change, status, outcome)
        elif status == "unknown":
            self._tell(outcome)
        elif not outcome.ok and status != _NOT_SENT:
            self._to_tell += 1
            if self._to_tell <= _MOST_TOLD:
                self._tell(outcome)

    def add_not_begun(self, changes: Sequence[Change]) -> None:
        """Count the changes that the end of the run kept from being begun, so that the sum is the whole plan."""
        begun = {id(ended.outcome.change) for ended in self.ended}
        for change in changes:
            if id(change) not in begun:
                self._counts[_NOT_SENT] += 1
                if self._as_json:
                    _tell_as_json(change, _NOT_SENT)

    def sum_up(self) -> None:
        if self._counts:
            counts = ", ".join(f"{count:,} {status}" for status, count in sorted(self._counts.items()) if count)
            typer.echo(counts, err=self._as_json)
        if self._to_tell > _MOST_TOLD:
            typer.echo(f"... and {self._to_tell - _MOST_TOLD:,} more; --json tells of each", err=True)

    @staticmethod
    def _tell(outcome: ChangeOutcome) -> None:
        typer.echo(printable(f"{outcome.status}: {outcome.change}: {outcome.error}"), err=True)

    @property
    def unknown(self) -> int:
        return self._counts["unknown"]

    @property
    def stale(self) -> int:
        return self._counts["stale"]


def _was_never_sent(outcome: ChangeOutcome) -> bool:
    """Whether a change failed because the run ended before its turn, and for no reason of its own."""
    return outcome.status == "failed" and type(outcome.error) is TransportError and outcome.error.attempts == 0


def _tell_as_json(change: Change, status: str, outcome: ChangeOutcome | None = None) -> None:
    told = change_as_object(change) | {"status": status}
    if outcome is not None and outcome.group is not None:
        told["id"] = outcome.group.id
    if outcome is not None and outcome.error is not None:
        told["error"] = str(outcome.error)
    typer.echo(codec.encode(told))


def _again() -> str:
    """The command as it was given."""
    return shlex.join(["aiolosant", *sys.argv[1:]])
