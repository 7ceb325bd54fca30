"""How a command speaks and ends: data on stdout, all else on stderr, and what an exit code means.

0 done, or nothing to do; 1 some failed; 2 wrong usage or input; 3 `plan` found changes; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from aiolosant.client import LosantClient
from aiolosant.errors import ConfigurationError, LosantError, PlanError

FAILED = 1
USAGE = 2
CHANGES = 3
INTERRUPTED = 130


def run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command to its end, and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end a migration.
        with contextlib.suppress(AttributeError):  # replaced by a test's or a notebook's stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code = asyncio.run(work)
        sys.stdout.flush()
    except PlanError as error:
        for problem in error.problems[:20]:
            typer.echo(f"aiolosant: {printable(problem)}", err=True)
        more = len(error.problems) - 20
        _give_up(f"{f'and {more} more; ' if more > 0 else ''}nothing was written", USAGE)
    except (ConfigurationError, ValueError) as error:
        _give_up(error, USAGE)
    except LosantError as error:
        _give_up(error, FAILED)
    except (KeyboardInterrupt, typer.Abort):
        _give_up("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _drop_output()  # whoever reads it has had enough of it
    except FileNotFoundError as error:
        _give_up(f"{error.filename}: there is no such file or folder", USAGE)
    except OSError as error:
        _drop_output()  # perhaps the disk is full
        _give_up(error, FAILED)
    else:
        raise typer.Exit(code or 0)


def _drop_output() -> None:
    """Write nothing more: what could not be written cannot be flushed by the interpreter at its exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _give_up(reason: object, code: int) -> NoReturn:
    typer.echo(f"aiolosant: {reason}", err=True)
    raise typer.Exit(code) from None


def client(application: str | None) -> LosantClient:
    """A client out of the environment, for the application that was asked for or the environment's own.

    Raises:
        ConfigurationError: There is no token, or no application.
    """
    application = application or os.environ.get("LOSANT_APPLICATION_ID")
    if not application:
        raise ConfigurationError("no application; pass --application or set LOSANT_APPLICATION_ID")
    return LosantClient.from_env(application_id=application)


def printable(text: str) -> str:
    """A text on one line that does nothing to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


def progress() -> Progress:
    """Progress bars with rate and time left, on stderr; nothing at all where that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def is_interactive() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless `yes`; whoever declines has it not done.

    Raises:
        ValueError: Nobody is there to be asked.
        typer.Abort: No.
    """
    if yes:
        return
    if not is_interactive():
        raise ValueError(f"{question} Nobody is there to ask; say --yes")
    # asyncio's own handler would wait for the answer before it interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        typer.confirm(question, err=True, abort=True)
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def settling_on_interrupt(bars: Progress) -> Iterator[None]:
    """Let the first Ctrl-C cancel this task, which settles what is on the wire, and the second leave at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def settle() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, leave)
        typer.echo("\naiolosant: letting what was sent settle; Ctrl-C again leaves at once", err=True)
        if task is not None:
            task.cancel()

    def leave(_number: int, _frame: object) -> None:
        bars.stop()  # which gives the terminal its cursor back
        typer.echo("aiolosant: interrupted", err=True)
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # an exception would be settled as well, if it met the first on its way

    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, settle)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
