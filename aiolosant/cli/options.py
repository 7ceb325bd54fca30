"""Options that several commands have, and how a command gets its client."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from .choices import Connection, HowToRead

Application = Annotated[
    str | None, typer.Option(help="Application id, instead of LOSANT_APPLICATION_ID.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON Lines, for other programs.")]
Query = Annotated[str | None, typer.Option(help="Advanced query as JSON.", show_default=False)]
NameFilter = Annotated[str, typer.Option("--filter", help="Glob for the name, such as 'my*group'.")]
MatchBy = Annotated[
    str, typer.Option(help="Which live group a record is: name (under its parent), tag:KEY, or id.", metavar="WHAT")
]
AdoptBy = Annotated[
    str | None,
    typer.Option(
        help="With --match-by tag:KEY: let a record take the live group of its name that has no such tag.",
        metavar="name",
        show_default=False,
    ),
]
Prune = Annotated[
    bool, typer.Option("--prune", help="Delete what no record wants; with tag:KEY only what carries the tag.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with yes. It lifts no limit.")]
Concurrency = Annotated[
    int, typer.Option(min=1, help="Most changes under way at a time; lookups ahead of them come on top.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, as `plan` does.")]
All = Annotated[bool, typer.Option("--all", help="Show every change, however many there are.")]
Under = Annotated[
    str | None,
    typer.Option(
        help="Only what is below this group: its id, or its names as 'Customer / Site'.",
        metavar="ID|PATH",
        show_default=False,
    ),
]
MaxDeletes = Annotated[
    str,
    typer.Option(help="The most groups to delete: a number, or a share of what there is.", metavar="N|P%"),
]
MaxChanges = Annotated[
    str | None, typer.Option(help="The most changes of all kinds, likewise.", metavar="N|P%", show_default=False)
]
Results = Annotated[
    Path | None,
    typer.Option(
        help="Folder for what is done: journal.jsonl (see `undo`), done.csv, failed.csv, ids.json.",
        file_okay=False,
        show_default=False,
    ),
]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        help="Write a page for people (.html) or for a pull request (.md).", dir_okay=False, show_default=False
    ),
]


_CONNECTION = {
    "timeout": (
        Annotated[str, typer.Option(help="Time for one request and its retries.", metavar="TIME")],
        "60s",
    ),
    "max_rate": (
        Annotated[float | None, typer.Option(min=0.01, help="Most requests a second.", show_default=False)],
        None,
    ),
    "patience": (
        Annotated[
            str,
            typer.Option(
                help="How long to wait for a server that is out of reach: seconds, or 90s, 10m, 2h.", metavar="TIME"
            ),
        ],
        "2m",
    ),
    "allow_http": (
        Annotated[bool, typer.Option("--allow-http", help="Speak http, which anybody can read, to other machines.")],
        False,
    ),
    "verbose": (
        Annotated[int, typer.Option("--verbose", "-v", count=True, help="Tell what happens; twice: of each request.")],
        0,
    ),
    "log_file": (
        Annotated[Path | None, typer.Option(help="Log everything to this file.", dir_okay=False, show_default=False)],
        None,
    ),
}


_READING: dict[str, tuple[Any, Any]] = {
    "delimiter": (
        Annotated[
            str | None,
            typer.Option(
                help="What separates the columns of a CSV ('tab' for a tab); by default what fits.", show_default=False
            ),
        ],
        None,
    ),
    "map": (
        Annotated[
            list[str],
            typer.Option(
                "--map",
                help="A column that the file calls otherwise; may be given again.",
                metavar="OLD=NEW",
                show_default=False,
            ),
        ],
        [],
    ),
    "ignore_columns": (
        Annotated[str, typer.Option(help="Columns to leave out.", metavar="A,B", show_default=False)],
        "",
    ),
    "levels": (
        Annotated[
            str,
            typer.Option(help="Columns that make the tree, from the root down.", metavar="A,B,C", show_default=False),
        ],
        "",
    ),
    "format": (
        Annotated[
            str | None,
            typer.Option(help="jsonl, csv, json or yaml, whatever the file's name is.", show_default=False),
        ],
        None,
    ),
    "empty": (
        Annotated[
            str | None,
            typer.Option(
                help="What an empty cell means: keep the value, or clear it.", metavar="keep|clear", show_default=False
            ),
        ],
        None,
    ),
    "members_mode": (
        Annotated[
            str | None,
            typer.Option(
                help="Whether members that are named replace others, or are added.",
                metavar="replace|add",
                show_default=False,
            ),
        ],
        None,
    ),
    "mapping": (
        Annotated[
            Path | None,
            typer.Option(
                help="A TOML file that says all this: columns, ignore, levels, ...", dir_okay=False, show_default=False
            ),
        ],
        None,
    ),
}
_Options = Mapping[str, tuple[Any, Any]]


def talks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Connection`, and the `Connection` as its keyword argument `connection`."""

    def call(arguments: dict[str, Any]) -> None:
        connection = Connection(**{name: arguments.pop(name) for name in _CONNECTION})
        try:
            with connection.logged():
                command(connection=connection, **arguments)
        except OSError as error:
            raise typer.BadParameter(f"--log-file: {error}") from None

    return _with_options(command, "connection", _CONNECTION, call)


def reads(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `HowToRead`, and the `HowToRead` as its keyword argument `read`."""

    def call(arguments: dict[str, Any]) -> None:
        given: dict[str, Any] = {name: arguments.pop(name) for name in _READING}
        given["map"] = tuple(given["map"])
        command(read=HowToRead(**given), **arguments)

    return _with_options(command, "read", _READING, call)


def _with_options(
    command: Callable[..., None], argument: str, options: _Options, call: Callable[[dict[str, Any]], None]
) -> Callable[..., None]:
    """Return a command that Typer gives these options as well; `call` makes them the argument of the command."""

    def with_options(**arguments: Any) -> None:
        call(arguments)

    functools.update_wrapper(with_options, command)
    hints = get_type_hints(command, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [
        parameter.replace(annotation=hints[name], kind=kind)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != argument
    ]
    more = [
        inspect.Parameter(name, kind, default=default, annotation=hint) for name, (hint, default) in options.items()
    ]
    with_options.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]  # for Typer
    with_options.__annotations__ = {one.name: one.annotation for one in (*own, *more)}
    vars(with_options).pop("__wrapped__")  # Typer would look at that one
    return with_options
