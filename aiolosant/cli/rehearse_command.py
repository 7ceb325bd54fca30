"""`rehearse`: a plan is really carried out, on a copy of the live application in the emulator, and killed once."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer

from aiolosant import reconcile
from aiolosant._tree import GroupTree
from aiolosant.client import LosantClient
from aiolosant.emulator import Emulator, Fault, RequestRecord
from aiolosant.errors import LosantError
from aiolosant.groups import ExperienceGroups, parts_of
from aiolosant.models import ExperienceGroup
from aiolosant.reconcile import ChangeOutcome, Plan
from aiolosant.reconcile.members import resolved

from .choices import Connection, HowToPlan, Pace
from .console import FAILED, printable
from .migrate_commands import identity_of, resolve
from .plan_view import show_plan
from .read_commands import read_all
from .reading import read_files
from .where import tell_where

_SMALL_REQUESTS = 5
_MOST_TOLD = 20


async def run_rehearse(
    connection: Connection,
    application: str | None,
    files: Sequence[Path],
    how: HowToPlan,
    *,
    concurrency: int,
    pace: Pace,
    everything: bool,
) -> int:
    """Carry a plan out on a copy; return 1 if something did not go well, or did not end as planned."""
    identity, records = identity_of(how), read_files(files, how.read)
    async with connection.client(application) as losant:
        where = await tell_where(losant)
        groups = losant.experience_groups
        latency = await _latency(groups) if pace.latency is None else pace.latency / 1000
        under = None if how.under is None else await resolve(groups, how.under)
        live = await read_all(groups)
        tree = GroupTree(live)
        records = await resolved(parts_of(groups)[0], records)  # the copy has no users, endpoints and devices
    with Emulator(application_id=where.application_id) as emulator:
        emulator.create_groups(map(tree.by_id.__getitem__, tree.parents_first()), keep_ids=True)
        rehearsal = _Rehearsal(emulator, concurrency)
        plan = await rehearsal.plan(records, match_by=identity, prune=how.prune, under=under)
        show_plan(plan, as_json=False, everything=everything)
        plan.check(max_deletes=how.max_deletes, max_changes=how.max_changes)
        emulator.latency, emulator.rate_limit = latency, pace.rate_limit
        began = time.monotonic()
        cut_off = await rehearsal.apply_and_die(plan)
        again = await rehearsal.plan(records, match_by=identity, prune=how.prune, under=under)
        outcomes = await rehearsal.apply(again)
        seconds = time.monotonic() - began
        left = await rehearsal.plan(records, match_by=identity, prune=how.prune, under=under)
        _tell(plan, live, emulator, cut_off=cut_off, outcomes=outcomes, seconds=seconds)
        expected = len(live) + plan.count("create") - plan.count("delete")
        wrong = [outcome for outcome in outcomes if not outcome.ok]
        for outcome in wrong[:_MOST_TOLD]:
            typer.echo(printable(f"{outcome.status}: {outcome.change}: {outcome.error}"), err=True)
        if wrong or left.changes or len(emulator.groups()) != expected:
            ended = f"{len(wrong):,} failed, {len(left.changes):,} changes are left"
            count = f"{len(emulator.groups()):,} groups instead of {expected:,}"
            typer.echo(f"aiolosant: it did not end as planned: {ended}, {count}", err=True)
            return FAILED
        typer.echo("it ended as planned; nothing was written live")
        return 0


class _Rehearsal:
    """Clients of the copy: each dies, or is closed, with its work."""

    def __init__(self, emulator: Emulator, concurrency: int) -> None:
        self._emulator = emulator
        self._concurrency = concurrency

    def _client(self) -> LosantClient:
        return LosantClient(
            self._emulator.token,
            application_id=self._emulator.application_id,
            base_url=self._emulator.url,
            trust_env=False,  # it is in this very process
        )

    async def plan(self, records: Sequence[reconcile.Record], **options: object) -> Plan:
        async with self._client() as losant:
            return await reconcile.plan(losant.experience_groups, records, **options)  # type: ignore[arg-type]  # as given

    async def apply(self, plan: Plan) -> list[ChangeOutcome]:
        async with self._client() as losant:
            run = reconcile.apply(losant.experience_groups, plan, concurrency=self._concurrency)
            return [outcome async for outcome in run]

    async def apply_and_die(self, plan: Plan) -> int:
        """Apply half of a plan; then what is on the wire loses its answers, as by a kill. Return how many did."""
        middle, writes, lost = len(plan.changes) // 2, 0, 0

        def die(request: RequestRecord) -> Fault | None:
            nonlocal writes, lost
            writes += request.method != "GET"
            if writes <= middle:
                return None
            lost += request.method != "GET"
            dead.set_soon()
            return Fault.CUT_AFTER_WRITE if lost <= self._concurrency else Fault.CUT_BEFORE_WRITE

        dead = _Flag()
        self._emulator.before_request = die
        async with self._client() as losant:
            applying = asyncio.ensure_future(self._walk(losant.experience_groups, plan))
            dying = asyncio.ensure_future(dead.wait())
            await asyncio.wait({applying, dying}, return_when=asyncio.FIRST_COMPLETED)
            for task in (applying, dying):
                task.cancel()
            await asyncio.wait({applying, dying})
        self._emulator.before_request = None
        return min(lost, self._concurrency)

    async def _walk(self, groups: ExperienceGroups, plan: Plan) -> None:
        try:
            async for _ in reconcile.apply(groups, plan, concurrency=self._concurrency):
                pass
        except LosantError:  # of the dead connection; the next run finds out what was done
            return


class _Flag:
    """Set on the emulator's thread, waited for in the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def set_soon(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()


async def _latency(groups: ExperienceGroups) -> float:
    """Return how many seconds a small request takes, at the median."""
    seconds = []
    for _ in range(_SMALL_REQUESTS):
        began = time.monotonic()
        await groups.list(per_page=1).first()
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def _tell(
    plan: Plan,
    live: Sequence[ExperienceGroup],
    emulator: Emulator,
    *,
    cut_off: int,
    outcomes: Sequence[ChangeOutcome],
    seconds: float,
) -> None:
    methods = Counter(request.method for request in emulator.requests)
    asked = ", ".join(f"{count:,} {method}" for method, count in sorted(methods.items()))
    done = len(plan.changes) - len(outcomes)
    typer.echo(f"killed after about {done:,} of {len(plan.changes):,} changes, {cut_off:,} of them without an answer")
    typer.echo(f"then {len(outcomes):,} more: {', '.join(_counted(outcomes)) or 'nothing was left to do'}")
    typer.echo(f"groups: {len(live):,} before, {len(emulator.groups()):,} after")
    typer.echo(f"requests: {sum(methods.values()):,} ({asked})")
    limit = "no limit" if emulator.rate_limit is None else f"{emulator.rate_limit:g} requests a second"
    typer.echo(f"time to expect: {seconds:,.0f} s, at {emulator.latency * 1000:.0f} ms a request and {limit}")


def _counted(outcomes: Sequence[ChangeOutcome]) -> list[str]:
    counts = Counter(outcome.status for outcome in outcomes)
    return [f"{count:,} {status}" for status, count in sorted(counts.items())]
