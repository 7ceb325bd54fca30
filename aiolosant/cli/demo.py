"""`aiolosant demo`: a real tree of groups, built and read on the embedded emulator."""

from __future__ import annotations

import itertools
import time
import zoneinfo
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.tree import Tree

from aiolosant.client import LosantClient
from aiolosant.emulator import Emulator
from aiolosant.groups import ExperienceGroups
from aiolosant.models import ExperienceGroup, NewExperienceGroup

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
    async with Emulator() as emulator:
        emulator.latency = latency
        client = LosantClient(emulator.token, application_id=emulator.application_id, base_url=emulator.url)
        async with client as losant:
            groups = losant.experience_groups
            started = time.perf_counter()
            created = await _build(groups, [*_time_zones(), *_tenants(tenants)], concurrency)
            build_seconds = time.perf_counter() - started
            build_peak = emulator.peak_in_flight

            before = len(emulator.requests)
            everything = await groups.list().to_list()
            pages = len(emulator.requests) - before
            matching = [group.name async for group in groups.list(filter=_FILTER)]

        console.print(_part_of_tree(everything))
        console.print(f"\n[bold]list(filter={_FILTER!r})[/]: {', '.join(matching)}\n")
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


async def _build(groups: ExperienceGroups, paths: Sequence[NamePath], concurrency: int) -> int:
    """Create a group for each path, level by level, so that parents come first; returns how many."""
    ids: dict[NamePath, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("creating groups", total=len(paths))
        for _, level in itertools.groupby(sorted(paths, key=len), key=len):
            wanted = list(level)
            new = (NewExperienceGroup(name=path[-1], parent_id=ids.get(path[:-1])) for path in wanted)
            async for outcome in groups.create_many(new, concurrency=concurrency):
                if outcome.group is None:
                    raise outcome.error or RuntimeError("an outcome with neither a group nor an error")
                ids[wanted[outcome.index]] = outcome.group.id
                progress.advance(bar)
    return len(ids)


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


def _part_of_tree(groups: Sequence[ExperienceGroup]) -> Tree:
    children: dict[str | None, list[ExperienceGroup]] = {}
    for group in groups:
        children.setdefault(group.parent_id, []).append(group)

    def grow(branch: Tree, parent_id: str | None) -> None:
        # Those with children of their own first: they show that this is a tree.
        family = sorted(children.get(parent_id, []), key=lambda group: -len(children.get(group.id, [])))
        for group in family[:_SHOWN_CHILDREN]:
            below = len(children.get(group.id, []))
            grow(branch.add(f"{group.name} [dim]({below} below)[/]" if below else group.name), group.id)
        if len(family) > _SHOWN_CHILDREN:
            branch.add(f"[dim]... and {len(family) - _SHOWN_CHILDREN} more[/]")

    tree = Tree(f"[bold]{len(groups):,} groups[/], a part of them:")
    grow(tree, None)
    return tree
