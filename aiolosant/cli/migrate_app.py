"""The options of the commands that migrate; what they do is in the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .choices import Connection, HowToApply, HowToPlan, HowToRead, Pace
from .console import run
from .options import (
    AdoptBy,
    All,
    Application,
    Concurrency,
    DryRun,
    Json,
    MatchBy,
    MaxChanges,
    MaxDeletes,
    NameFilter,
    Prune,
    Query,
    ReportFile,
    Results,
    Under,
    Yes,
    reads,
    talks,
)

Files = Annotated[
    list[Path],
    typer.Argument(help="JSON Lines, CSV, JSON or Losant's groups.yaml, several of them; - for standard input."),
]


@reads
def check(files: Files, match_by: MatchBy = "name", *, read: HowToRead) -> None:
    """Say what is wrong with a file, without a network, a token or an application.

    Example: aiolosant check groups.csv --match-by tag:externalId
    """
    from .migrate_commands import run_check

    with Connection().logged():
        run(lambda: run_check(files, HowToPlan(match_by, read=read)))


@talks
@reads
def plan(
    files: Files,
    match_by: MatchBy = "name",
    adopt_by: AdoptBy = None,
    prune: Prune = False,
    under: Under = None,
    max_deletes: MaxDeletes = "10%",
    max_changes: MaxChanges = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Keep the plan in this file, for `apply`.", dir_okay=False, show_default=False),
    ] = None,
    report: ReportFile = None,
    everything: All = False,
    application: Application = None,
    as_json: Json = False,
    *,
    read: HowToRead,
    connection: Connection,
) -> None:
    """Show what `apply` would do, with what is there and what will be, and send nothing but reads.

    Example: aiolosant plan groups.csv --match-by tag:externalId --out night.plan --report night.html
    """
    from .migrate_commands import run_plan

    how = HowToPlan(match_by, adopt_by, prune, under, max_deletes, max_changes, read)
    run(run_plan(connection, application, files, how, out=out, report=report, everything=everything, as_json=as_json))


@talks
@reads
def apply(
    files: Files,
    match_by: MatchBy = "name",
    adopt_by: AdoptBy = None,
    prune: Prune = False,
    under: Under = None,
    max_deletes: MaxDeletes = "10%",
    max_changes: MaxChanges = None,
    expect: Annotated[
        str | None,
        typer.Option(
            help="The digest that `plan --out` told: refuse any other plan.", metavar="DIGEST", show_default=False
        ),
    ] = None,
    results: Results = None,
    report: ReportFile = None,
    yes: Yes = False,
    everything: All = False,
    dry_run: DryRun = False,
    concurrency: Concurrency = 16,
    application: Application = None,
    as_json: Json = False,
    *,
    read: HowToRead,
    connection: Connection,
) -> None:
    """Make the groups what a file, or a plan that was kept, says: create, move, update, and with --prune delete.

    Interrupt it, run it again, and only what is missing happens. Ctrl-C lets what was sent settle first; a second one
    leaves at once. With --results it can be taken back by `undo`.

    Example: aiolosant apply groups.csv --match-by tag:externalId --concurrency 32 --results night/

    Example: aiolosant apply night.plan --results night/
    """
    from .migrate_commands import run_apply

    how = HowToPlan(match_by, adopt_by, prune, under, max_deletes, max_changes, read)
    apply_how = HowToApply(concurrency, as_json, results, report)
    run(
        run_apply(
            connection,
            application,
            files,
            how,
            apply_how,
            expect=expect,
            yes=yes,
            dry_run=dry_run,
            everything=everything,
        )
    )


@talks
def undo(
    folder: Annotated[Path, typer.Argument(help="The folder of `apply --results`.", file_okay=False)],
    results: Results = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    concurrency: Concurrency = 16,
    application: Application = None,
    as_json: Json = False,
    *,
    connection: Connection,
) -> None:
    """Take back what `apply --results` has done; what others have touched since is left, and told.

    Groups that were deleted come back with members and children, but under new ids.

    Example: aiolosant undo night/
    """
    from .migrate_commands import run_undo

    how = HowToApply(concurrency, as_json, results)
    run(run_undo(connection, application, folder, how, yes=yes, dry_run=dry_run))


@talks
def delete(
    name_filter: NameFilter = "",
    query: Query = None,
    subtree: Annotated[
        bool, typer.Option("--subtree", help="Also delete all groups below them; otherwise their children move up.")
    ] = False,
    max_deletes: Annotated[
        str, typer.Option(help="The most groups to delete: a number, or a share of what there is.", metavar="N|P%")
    ] = "10%",
    results: Results = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    concurrency: Concurrency = 16,
    application: Application = None,
    as_json: Json = False,
    *,
    connection: Connection,
) -> None:
    """Delete the groups that a filter or a query finds, deepest first. It lists them, and asks.

    Example: aiolosant delete --filter 'Test *' --subtree --results cleanup/
    """
    from .migrate_commands import run_delete

    run(
        run_delete(
            connection,
            application,
            HowToApply(concurrency, as_json, results),
            name_filter=name_filter,
            query=query,
            subtree=subtree,
            max_deletes=max_deletes,
            yes=yes,
            dry_run=dry_run,
        )
    )


@talks
def copy(
    from_application: Annotated[str, typer.Option(help="Application to read.")],
    to_application: Annotated[str, typer.Option(help="Application to write.")],
    members: Annotated[
        str | None,
        typer.Option(
            help="Users, endpoints and devices of the groups: match (by email, by method and route, by name), drop, "
            "keep, or a JSON file of old ids and new ones.",
            metavar="match|drop|keep|MAP.json",
            show_default=False,
        ),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(
            help="Only this group and what is below it, by its id or path.", metavar="ID|PATH", show_default=False
        ),
    ] = None,
    query: Query = None,
    match_by: MatchBy = "name",
    prune: Prune = False,
    max_deletes: MaxDeletes = "10%",
    max_changes: MaxChanges = None,
    results: Results = None,
    report: ReportFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    concurrency: Concurrency = 16,
    as_json: Json = False,
    *,
    connection: Connection,
) -> None:
    """Make the groups of one application those of another as well.

    Where the two need a token or an address of their own, LOSANT_FROM_API_TOKEN and LOSANT_FROM_API_URL are for the
    first.

    Example: aiolosant copy --from-application 575e... --to-application 576f... --members match
    """
    from .copy_command import run_copy

    how = HowToPlan(match_by, prune=prune, max_deletes=max_deletes, max_changes=max_changes)
    run(
        run_copy(
            connection,
            from_application,
            to_application,
            how,
            HowToApply(concurrency, as_json, results, report),
            members=members,
            root=root,
            query=query,
            yes=yes,
            dry_run=dry_run,
        )
    )


@talks
@reads
def rehearse(
    files: Files,
    match_by: MatchBy = "name",
    adopt_by: AdoptBy = None,
    prune: Prune = False,
    under: Under = None,
    max_deletes: MaxDeletes = "10%",
    max_changes: MaxChanges = None,
    latency: Annotated[
        float | None,
        typer.Option(
            min=0, help="Milliseconds a request; by default as long as the live one takes.", show_default=False
        ),
    ] = None,
    rate_limit: Annotated[
        float | None, typer.Option(min=0.1, help="Requests a second that are taken.", show_default=False)
    ] = None,
    concurrency: Concurrency = 16,
    everything: All = False,
    application: Application = None,
    *,
    read: HowToRead,
    connection: Connection,
) -> None:
    """Carry the plan out on a copy of the live application, kill it once in the middle, and apply it to its end.

    The copy is in an embedded emulator, with the same ids. It tells what changes, how many requests and how much time
    that takes, and whether it ends as planned. Nothing is written live.

    Example: aiolosant rehearse groups.csv --match-by tag:externalId --rate-limit 20
    """
    from .rehearse_command import run_rehearse

    how = HowToPlan(match_by, adopt_by, prune, under, max_deletes, max_changes, read)
    pace = Pace(latency, rate_limit)
    run(run_rehearse(connection, application, files, how, concurrency=concurrency, pace=pace, everything=everything))


def add_to(app: typer.Typer) -> None:
    """Let an app have these commands."""
    for command in (check, plan, apply, undo, delete, copy, rehearse):
        app.command()(command)
