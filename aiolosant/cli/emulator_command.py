"""`aiolosant emulator`: an emulated Losant for programs in any language."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from aiolosant.emulator import Emulator

# Signals that ask a program to end; Windows has no SIGHUP.
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def make_emulator(data: Path | None, **options: Any) -> Emulator:
    """Return an emulator on a file.

    Raises:
        ValueError: The file cannot be used, or an option is wrong.
    """
    try:
        return Emulator(data=data, **options)
    except sqlite3.Error as error:
        hint = "; another emulator is using it" if "locked" in str(error) else ""
        raise ValueError(f"the data file cannot be used: {error}{hint}") from error


def serve_emulator(
    server: Emulator, seeds: Sequence[Sequence[object]], command: list[str] | None, *, verbose: bool, as_json: bool
) -> int:
    """Serve until a signal comes, or while a command runs; return the exit code.

    Args:
        server: What to serve.
        seeds: Groups to begin with; each of these has ids of its own.
        command: What to run meanwhile; None to wait for a signal.
        verbose: Whether to tell of each request.
        as_json: Whether to print the variables as JSON.
    """
    stopped = threading.Event()
    for number in _ENDING:
        signal.signal(number, lambda _number, _frame: stopped.set())
    logging.basicConfig(format="aiolosant: %(message)s")  # what fails inside is told
    logging.getLogger("aiolosant.emulator").setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        server.start()
    except OSError as error:
        raise ValueError(f"cannot listen: {error}; --port 0 takes any port that is free") from error
    with contextlib.closing(server):
        if any(seeds) and server.has_groups():
            typer.echo("aiolosant: there are groups already; --seed and --groups are for an empty file", err=True)
            seeds = ()
        for records in seeds:
            server.create_groups(records)
        variables = {
            "LOSANT_API_URL": server.url,
            "LOSANT_API_TOKEN": server.token,
            "LOSANT_APPLICATION_ID": server.application_id,
        }
        if command:
            return _run(command, variables, stopped)
        for line in [json.dumps(variables)] if as_json else _exports(variables):
            typer.echo(line)
        sys.stdout.flush()
        typer.echo("Serving until Ctrl-C.", err=True)
        while not stopped.wait(0.5):  # with a time, because Windows tells of no signal before
            pass
        return 0


def _exports(variables: dict[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _run(command: list[str], variables: dict[str, str], stopped: threading.Event) -> int:
    """Run a command with the variables set, and pass on what asks this one to end."""
    try:
        no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1", "localhost", "::1"]))
        environment = os.environ | variables | {"NO_PROXY": no_proxy, "no_proxy": no_proxy}
        process = subprocess.Popen(command, env=environment)  # noqa: S603 - the caller's own
    except OSError as error:
        raise ValueError(f"{command[0]} cannot be run: {error}") from error
    with process:
        for number in _ENDING:
            # A terminal sends an interrupt to the command as well.
            passed_on = signal.SIG_IGN if number == signal.SIGINT else lambda got, _frame: process.send_signal(got)
            signal.signal(number, passed_on)
        if stopped.is_set():  # just before
            process.terminate()
        code = process.wait()
    return code if code >= 0 else 128 - code  # as a shell tells of a signal
