"""The commands with their options; what they do is in the modules beside this one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from aiolosant import __version__

from .choices import Connection
from .console import run
from .migrate_app import add_to
from .options import Application, Concurrency, Json, Query, Yes, talks

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # it takes `:KEY:` for the name of a picture
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # they show locals, and so the token
)


class Sort(StrEnum):
    """What a list can be sorted by."""

    NAME = "name"
    ID = "id"
    CREATION_DATE = "creationDate"
    LAST_UPDATED = "lastUpdated"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """List, build, migrate and rehearse Losant Experience Groups.

    Reads LOSANT_API_TOKEN, LOSANT_APPLICATION_ID and, if they are set, LOSANT_API_URL and LOSANT_SETTLE_TIME. Exit
    codes: 0 done, or nothing to do; 1 some failed; 2 wrong usage or input; 3 `plan` or --dry-run found changes; 130
    interrupted.
    """


@app.command()
def demo(
    groups: Annotated[int, typer.Option(min=0, help="Synthetic tenants to add to the tree.")] = 0,
    concurrency: Concurrency = 16,
    latency: Annotated[float, typer.Option(min=0, help="Milliseconds that the emulator takes for each answer.")] = 20,
) -> None:
    """Build the tree of the world's time zones on an embedded emulator, list it and show a part of it.

    Example: aiolosant demo --groups 5000 --concurrency 32
    """
    from .demo import run_demo

    run(run_demo(tenants=groups, concurrency=concurrency, latency=latency / 1000))


@app.command("list")
@talks
def list_groups(
    filter: Annotated[str, typer.Option(help="Glob for the name, such as 'my*group'.")] = "",  # noqa: A002 - its name
    query: Query = None,
    sort: Annotated[Sort, typer.Option(help="Field to sort by.")] = Sort.NAME,
    desc: Annotated[bool, typer.Option("--desc", help="Greatest first.")] = False,
    limit: Annotated[int | None, typer.Option(min=0, help="Print this many at most.", show_default=False)] = None,
    application: Application = None,
    as_json: Json = False,
    *,
    connection: Connection,
) -> None:
    """Print the experience groups of an application.

    Example: aiolosant list --filter 'Acme*' --json
    """
    from .list_command import run_list

    run(
        run_list(
            connection,
            application,
            name_filter=filter,
            query=query,
            sort=sort.value,
            descending=desc,
            limit=limit,
            as_json=as_json,
        ),
        may_be_left=True,
    )


@app.command()
@talks
def tree(
    depth: Annotated[int | None, typer.Option(min=1, help="Levels to show.", show_default=False)] = None,
    application: Application = None,
    as_json: Json = False,
    *,
    connection: Connection,
) -> None:
    """Print the groups as a tree, with the number of all below each.

    Example: aiolosant tree --depth 2
    """
    from .read_commands import run_tree

    run(run_tree(connection, application, depth=depth, as_json=as_json), may_be_left=True)


@app.command()
@talks
def export(
    file: Annotated[Path, typer.Argument(help="A .jsonl or .csv file; - for JSON Lines to stdout.")] = Path("-"),
    query: Query = None,
    for_spreadsheet: Annotated[
        bool,
        typer.Option("--for-spreadsheet", help="A CSV that a spreadsheet opens right, with formulas made harmless."),
    ] = False,
    parallel: Annotated[
        int,
        typer.Option(
            min=1, help="Ranges of ids to read at once; faster, and of more than one the lines come in no fixed order."
        ),
    ] = 1,
    application: Application = None,
    *,
    connection: Connection,
) -> None:
    """Write all groups to a file that `plan` and `apply` read; it appears whole or not at all.

    Example: aiolosant export groups.jsonl
    """
    from .read_commands import run_export

    work = run_export(connection, application, file, query=query, for_spreadsheet=for_spreadsheet, parallel=parallel)
    run(work, may_be_left=True)


add_to(app)


@app.command()
@talks
def doctor(
    probe: Annotated[
        bool, typer.Option("--probe", help="Write as well: into a marked subtree that is removed again.")
    ] = False,
    yes: Yes = False,
    application: Application = None,
    as_json: Json = False,
    *,
    connection: Connection,
) -> None:
    """Find out what holds of your Losant: what is assumed of it, and how long a write takes to show.

    Reads only, unless --probe. What it prints holds no secret. Exit code 1: something of this package breaks there, or
    could not be found out.

    Example: aiolosant doctor --probe
    """
    from .doctor_command import run_doctor

    run(run_doctor(connection, application, probe=probe, yes=yes, as_json=as_json))


@app.command()
def emulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")] = 8420,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    data: Annotated[Path | None, typer.Option(dir_okay=False, help="File to keep the groups in.")] = None,
    token: Annotated[
        str | None, typer.Option(help="Token to ask for; by default the file's, or a new one.", show_default=False)
    ] = None,
    seed: Annotated[
        Path | None,
        typer.Option(
            help="Groups to begin with, if there are none yet, in any format that `apply` reads.", show_default=False
        ),
    ] = None,
    groups: Annotated[
        int, typer.Option(min=0, help="Made-up groups to begin with, if there are none yet: customers, sites, areas.")
    ] = 0,
    latency: Annotated[float, typer.Option(min=0, help="Milliseconds that each answer takes.")] = 0,
    rate_limit: Annotated[
        float | None, typer.Option(min=0.1, help="Requests a second; others get a 429.", show_default=False)
    ] = None,
    faults: Annotated[
        str, typer.Option(help="Faults by chance, such as 'cut-after-write=5%,429=10%'.", show_default=False)
    ] = "",
    quirks: Annotated[
        str,
        typer.Option(
            help="In what to be wrong on purpose, such as 'keyset,tags'; any other word lists them all.",
            show_default=False,
        ),
    ] = "",
    application: Annotated[
        str | None, typer.Option(help="Id of the application; by default the file's, or a new one.", show_default=False)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell of each request on stderr.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what it prints as a line of JSON.")] = False,
    command: Annotated[
        list[str] | None,
        typer.Argument(help="A command to run meanwhile, behind --; the emulator ends with it.", show_default=False),
    ] = None,
) -> None:
    """Serve an emulated Losant on this machine until it is interrupted, or while a command runs.

    Prints the environment variables that point a client, or the other commands, at it; a command has them set, and its
    exit code becomes this one's.

    Example: aiolosant emulator --port 8420 --data groups.db

    Example: aiolosant emulator --port 0 -- npm test
    """
    from aiolosant.emulator.faults import parsed_chances
    from aiolosant.emulator.fixtures import synthetic
    from aiolosant.reconcile import read_records

    from .emulator_command import make_emulator, serve_emulator

    def serve() -> int:
        records = [] if seed is None else read_records(seed)
        wrong = [name.strip() for name in quirks.split(",") if name.strip()]
        server = make_emulator(data, port=port, host=host, token=token, application_id=application, quirks=wrong)
        server.latency, server.rate_limit = latency / 1000, rate_limit
        if faults:
            server.inject_random(parsed_chances(faults))
        return serve_emulator(server, [records, synthetic(groups)], command, verbose=verbose, as_json=as_json)

    run(serve)
