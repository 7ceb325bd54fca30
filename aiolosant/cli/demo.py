"""`aiolosant demo`: a real tree of groups, built and read on the embedded emulator."""

from __future__ import annotations

import time
import zoneinfo
from collections.abc import Iterator

import typer
from rich.console import Console
from rich.table import Table

from aiolosant import reconcile
from aiolosant.client import LosantClient
from aiolosant.emulator import Emulator
from aiolosant.groups import ExperienceGroups
from aiolosant.identity import by_name

from .progress import progress
from .read_commands import tree_lines

NamePath = tuple[str, ...]

_SHOWN_CHILDREN = 4
_FILTER = "port*"


async def run_demo(*, tenants: int, concurrency: int, latency: float) -> None:
    """Build the tree of the world's time zones, and `tenants` more groups, list them and tell what it took.

    Args:
        tenants: Synthetic groups to add.
        concurrency: Most creates under way at a time.
        latency: Seconds that the emulator takes for each answer.
    """
    console = Console()
    records = [_record(path) for path in (*_time_zones(), *_tenants(tenants))]
    async with Emulator() as emulator:
        emulator.latency = latency
        application_id, address = emulator.application_id, emulator.url
        client = LosantClient(emulator.token, application_id=application_id, base_url=address, trust_env=False)
        async with client as losant:
            groups = losant.experience_groups
            plan = await reconcile.plan(groups, records, match_by=by_name())
            console.print(f"[bold]plan[/]: {plan.summary()}")
            started = time.perf_counter()
            created = await _apply(groups, plan, concurrency)
            build_seconds = time.perf_counter() - started
            build_peak = emulator.peak_in_flight

            before = len(emulator.requests)
            everything = await groups.list().to_list()
            pages = len(emulator.requests) - before
            matching = [group.name async for group in groups.list(filter=_FILTER)]
            again = await reconcile.plan(groups, records, match_by=by_name())

        for line in tree_lines(everything, f"{len(everything):,} groups, a part of them:", width=_SHOWN_CHILDREN):
            typer.echo(line)
        console.print(f"\n[bold]list(filter={_FILTER!r})[/]: {', '.join(matching)}")
        console.print(f"[bold]plan[/], once more: {again.summary()}\n")
        summary = Table("what", "how many", title="What the emulator counted", title_justify="left")
        summary.columns[1].justify = "right"
        rows = {
            "groups created": f"{created:,}",
            "groups listed": f"{len(everything):,} in {pages} pages",
            "requests in all": f"{len(emulator.requests):,}",
            "most requests in flight": f"{build_peak} of {concurrency} allowed",
            "time to create": f"{build_seconds:.1f} s ({created / build_seconds:,.0f} a second)",
        }
        for what, how_many in rows.items():
            summary.add_row(what, how_many)
        console.print(summary)


async def _apply(groups: ExperienceGroups, plan: reconcile.Plan, concurrency: int) -> int:
    """Do what the plan says; returns how many groups were created."""
    created = 0
    with progress() as bars:
        bar = bars.add_task("creating groups", total=len(plan.changes))
        async for outcome in reconcile.apply(groups, plan, concurrency=concurrency):
            if not outcome.ok:
                raise outcome.error or RuntimeError("a change that neither went well nor has an error")
            created += 1
            bars.advance(bar)
    return created


def _record(path: NamePath) -> dict[str, str]:
    record = {"id": "/".join(path), "name": path[-1]}
    return record | {"parentId": "/".join(path[:-1])} if path[1:] else record


def _time_zones() -> Iterator[NamePath]:
    """The paths of the IANA time zones and of all regions and areas above them."""
    names = (name.replace("_", " ") for name in zoneinfo.available_timezones())
    zones = [tuple(name.split("/")) for name in names if "/" in name and not name.startswith("Etc/")]
    yield from sorted({zone[:length] for zone in zones for length in range(1, len(zone) + 1)})


def _tenants(number: int) -> Iterator[NamePath]:
    if number:
        yield ("Tenants",)
    for n in range(number):
        yield ("Tenants", f"Tenant {n:06}")
