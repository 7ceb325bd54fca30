"""The commands with their options; data goes to stdout, everything else to stderr."""

from __future__ import annotations

import asyncio
import importlib.metadata
import math
import os
import shlex
import signal
import sqlite3
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from aiolosant import wire
from aiolosant.client import LosantClient
from aiolosant.emulator import Emulator
from aiolosant.emulator.seed import synthetic
from aiolosant.errors import ConfigurationError, LosantError

from .demo import run_demo

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # they show locals, and so the token
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("aiolosant"))
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """List, build and rehearse Losant Experience Groups."""


@app.command()
def demo(
    groups: Annotated[int, typer.Option(min=0, help="Synthetic tenants to add to the tree.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Most creates under way at a time.")] = 16,
    latency: Annotated[float, typer.Option(min=0, help="Milliseconds that the emulator takes for each answer.")] = 20,
) -> None:
    """Build the tree of the world's time zones on an embedded emulator, list it and show a part of it.

    Example: aiolosant demo --groups 5000 --concurrency 32
    """
    _run(run_demo(tenants=groups, concurrency=concurrency, latency=latency / 1000))


@app.command("list")
def list_groups(
    filter: Annotated[str, typer.Option(help="Glob for the name, such as 'my*group'.")] = "",  # noqa: A002 - its name
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines, in the API's own shape.")] = False,
    limit: Annotated[int | None, typer.Option(min=0, help="Print this many at most.")] = None,
    application: Annotated[str | None, typer.Option(help="Application id, instead of LOSANT_APPLICATION_ID.")] = None,
) -> None:
    """Print the experience groups of an application, by name.

    Reads LOSANT_API_TOKEN, LOSANT_APPLICATION_ID and, if it is set, LOSANT_API_URL.

    Example: aiolosant list --filter 'Acme*' --json
    """
    overrides = {"application_id": application} if application else {}
    _run(_list(filter, as_json=as_json, limit=limit, overrides=overrides))


async def _list(name_filter: str, *, as_json: bool, limit: int | None, overrides: dict[str, Any]) -> None:
    async with LosantClient.from_env(**overrides) as losant:
        left = math.inf if limit is None else limit
        if not left:
            return
        async for group in losant.experience_groups.list(filter=name_filter):
            typer.echo(wire.encode(wire.to_object(group)) if as_json else f"{group.id}  {_printable(group.name)}")
            left -= 1
            if not left:
                break


def _printable(name: str) -> str:
    """A name on one line that does nothing to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


@app.command()
def emulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")] = 8420,
    data: Annotated[Path | None, typer.Option(dir_okay=False, help="File to keep the groups in.")] = None,
    token: Annotated[str | None, typer.Option(help="Token to ask for; by default the file's, or a new one.")] = None,
    groups: Annotated[int, typer.Option(min=0, help="Made-up groups to begin with: customers, sites and areas.")] = 0,
) -> None:
    """Serve an emulated Losant on this machine until it is interrupted.

    Prints the environment variables that point a client, or the other commands, at it.

    Example: aiolosant emulator --port 8420 --data groups.db
    """
    _run(_serve(port, data, token, groups))


async def _serve(port: int, data: Path | None, token: str | None, groups: int) -> None:
    try:
        server = Emulator(port=port, data=data, token=token)
    except sqlite3.Error as error:
        raise ValueError(f"{data} cannot be used: {error}") from error
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        server.create_groups(synthetic(groups))
        typer.echo(f"export LOSANT_API_URL={server.url}")
        typer.echo(f"export LOSANT_API_TOKEN={shlex.quote(server.token)}")
        typer.echo(f"export LOSANT_APPLICATION_ID={server.application_id}")
        sys.stdout.flush()
        typer.echo("Serving until Ctrl-C.", err=True)
        await stopped.wait()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command: exit 1 if it failed, 2 if it was asked something it cannot do, 130 if it was interrupted."""
    try:
        asyncio.run(work)
    except (ConfigurationError, ValueError) as error:
        _give_up(error, 2)
    except LosantError as error:
        _give_up(error, 1)
    except KeyboardInterrupt:
        _give_up("interrupted", 130)
    except BrokenPipeError:
        # Whoever reads our output has had enough of it. The interpreter's own flush at exit must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _give_up(error, 1)


def _give_up(reason: object, code: int) -> None:
    typer.echo(f"aiolosant: {reason}", err=True)
    raise typer.Exit(code) from None
