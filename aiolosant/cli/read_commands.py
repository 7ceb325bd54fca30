"""`tree` and `export`: what reads all groups."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from aiolosant._forest import Forest
from aiolosant._http import codec
from aiolosant.groups import ExperienceGroups
from aiolosant.models import ExperienceGroup
from aiolosant.reconcile import RecordWriter
from aiolosant.reconcile.make_plan import SIDE_BY_SIDE

from .choices import Connection
from .console import printable
from .parsing import parsed_query
from .progress import progress


async def run_tree(connection: Connection, application: str | None, *, depth: int | None, as_json: bool) -> None:
    """Print the groups as a tree with counts, or a JSON line a group, parents first."""
    async with connection.client(application) as losant:
        groups = await read_all(losant.experience_groups)
    if as_json:
        names = {group.id: group.name for group in groups}
        forest, below = _forest(groups)
        for group_id in forest.parents_first():
            path = [names[step] for step in forest.path(group_id)]
            if depth is None or len(path) <= depth:
                typer.echo(codec.encode({"id": group_id, "path": path, "descendants": below[group_id]}))
        return
    for line in tree_lines(groups, f"{len(groups):,} group{'' if len(groups) == 1 else 's'}", depth=depth):
        typer.echo(line)


def tree_lines(
    groups: Iterable[ExperienceGroup], title: str, *, depth: int | None = None, width: int = 0
) -> Iterator[str]:
    """Groups as a tree with the number of all below each, a line a group however deep it is.

    Args:
        groups: The groups.
        title: What stands above the tree.
        depth: Levels to show; None for all.
        width: Children to show of each group, those with the most below them; 0 for all, in order of their names.
    """
    names = {group.id: group.name for group in groups}
    forest, below = _forest(groups)
    yield title
    todo = [(line, "", 1) for line in _family(forest.roots, names, below, width)]
    while todo:
        (group_id, text, is_last), indent, level = todo.pop()
        yield f"{indent}{'└── ' if is_last else '├── '}{text}"
        if group_id is not None and (depth is None or level < depth):
            inner = indent + ("    " if is_last else "│   ")
            todo += [(line, inner, level + 1) for line in _family(forest.children(group_id), names, below, width)]


def _family(
    group_ids: list[str], names: dict[str, str], below: dict[str, int], width: int
) -> list[tuple[str | None, str, bool]]:
    """The lines of siblings, the last one first: whose each is, its text, and whether it is the last."""
    ordered = sorted(group_ids, key=lambda group_id: (-below[group_id] if width else 0, names[group_id]))
    lines: list[tuple[str | None, str]] = []
    for group_id in ordered[: width or None]:
        count = f" ({below[group_id]:,} below)" if below[group_id] else ""
        lines.append((group_id, printable(names[group_id]) + count))
    if width and len(ordered) > width:
        lines.append((None, f"... and {len(ordered) - width:,} more"))
    return [(group_id, text, n == 0) for n, (group_id, text) in enumerate(reversed(lines))]


def _forest(groups: Iterable[ExperienceGroup]) -> tuple[Forest[str], dict[str, int]]:
    """The groups as a forest, and how many are below each."""
    parents = {group.id: group.parent_id for group in groups}
    forest = Forest(parents)
    order = list(forest.parents_first())
    below = dict.fromkeys(order, 0)
    for group_id in reversed(order):
        parent = parents[group_id]
        if parent in below:
            below[parent] += 1 + below[group_id]
    return forest, below


async def read_all(groups: ExperienceGroups) -> list[ExperienceGroup]:
    """All groups, with a progress bar."""
    return [group async for group in _scanned(groups, "reading", parallel=SIDE_BY_SIDE)]


async def _scanned(
    groups: ExperienceGroups, doing: str, query: dict[str, Any] | None = None, *, parallel: int = 1
) -> AsyncGenerator[ExperienceGroup]:
    """Groups one by one, with a progress bar."""
    with progress() as bars:
        bar = bars.add_task(doing, total=None)
        count = 0
        async for page in groups.scan(query=query, parallel=parallel).by_page():
            # Each page counts what is behind the one before.
            total = None if page.total_count is None else count + page.total_count
            count += len(page.items)
            bars.update(bar, completed=count, total=total)
            for group in page.items:
                yield group


async def run_export(
    connection: Connection,
    application: str | None,
    target: Path,
    *,
    query: str | None,
    for_spreadsheet: bool,
    parallel: int,
) -> None:
    """Write all groups to a file that appears whole or not at all; one range after the other, in the order of ids."""
    condition = parsed_query(query)
    count = 0
    with RecordWriter(target, for_spreadsheet=for_spreadsheet) as writer:
        async with (
            connection.client(application) as losant,
            contextlib.aclosing(
                _scanned(losant.experience_groups, "exporting", condition, parallel=parallel)
            ) as groups,
        ):
            async for group in groups:
                writer.write(group)
                count += 1
    typer.echo(f"{count:,} groups exported", err=True)
