"""`list`: what is asked for most, so that it imports little."""

from __future__ import annotations

import typer

from aiolosant._http import codec
from aiolosant.group_reads import SortField

from .choices import Connection
from .console import printable
from .parsing import parsed_query


async def run_list(
    connection: Connection,
    application: str | None,
    *,
    name_filter: str,
    query: str | None,
    sort: SortField,
    descending: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print groups in order, as lines or as JSON Lines."""
    async with connection.client(application) as losant:
        if limit == 0:
            return
        groups = losant.experience_groups.list(
            filter=name_filter,
            query=parsed_query(query),
            sort_field=sort,
            sort_direction="desc" if descending else "asc",
            per_page=min(limit or 1000, 1000),
        )
        left = limit
        async for group in groups:
            typer.echo(codec.encode(codec.to_object(group)) if as_json else f"{group.id}  {printable(group.name)}")
            left = None if left is None else left - 1
            if left == 0:
                break
