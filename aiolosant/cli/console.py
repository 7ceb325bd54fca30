"""How a command speaks and ends: data on stdout, all else on stderr, and what an exit code means.

0 done, or nothing to do; 1 some failed; 2 wrong usage or input; 3 `plan` found changes; 130 interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NoReturn

import typer

from aiolosant.errors import ConfigurationError, LosantError, PlanError, UnsafePlanError

FAILED = 1
USAGE = 2
CHANGES = 3
INTERRUPTED = 130
# Signals that ask a program to end; Windows has no SIGHUP.
_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def run(work: Coroutine[Any, Any, int | None] | Callable[[], int | None], *, may_be_left: bool = False) -> None:
    """Run a command to its end, in an event loop or as a function, and leave with its exit code.

    Whoever reads its output may have enough of it; that is a failure, unless it `may_be_left`.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open as long as this runs
        # A name that the terminal's encoding lacks must not end a migration.
        with contextlib.suppress(AttributeError):  # replaced by a test's or a notebook's stream
            getattr(sys, name).reconfigure(errors="backslashreplace")
    try:
        code = work() if callable(work) else asyncio.run(work)
        sys.stdout.flush()
    except UnsafePlanError as error:
        _give_up(limit_text(error), USAGE)
    except PlanError as error:
        for problem in error.problems[:20]:
            typer.echo(f"aiolosant: {printable(problem)}", err=True)
        more = len(error.problems) - 20
        _give_up(f"{f'and {more} more; ' if more > 0 else ''}nothing was written", USAGE)
    except (ConfigurationError, ValueError) as error:
        _give_up(error, USAGE)
    except LosantError as error:
        _give_up(error, FAILED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        _give_up("interrupted", INTERRUPTED)
    except Declined:
        _give_up("not confirmed; nothing was written", FAILED)
    except BrokenPipeError:
        drop_output()
        raise typer.Exit(0 if may_be_left else FAILED) from None
    except FileNotFoundError as error:
        _give_up(f"{error.filename}: there is no such file or folder", USAGE)
    except IsADirectoryError as error:
        _give_up(f"{error.filename}: this is a folder", USAGE)
    except OSError as error:
        drop_output()  # perhaps the disk is full
        _give_up(error, FAILED)
    else:
        raise typer.Exit(code or 0)


def limit_text(error: UnsafePlanError) -> str:
    """Return what a plan exceeds, by the name of the option here."""
    return str(error).replace(f"{error.option}=", f"--{error.option.replace('_', '-')} ")


def drop_output() -> None:
    """Write nothing more: what could not be written cannot be flushed by the interpreter at its exit either.

    To stderr neither, if nobody reads that.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    if _is_left(2):
        os.dup2(nowhere, 2)


def _is_left(file: int) -> bool:
    """Whether a pipe has no reader any more."""
    if not hasattr(select, "poll"):  # Windows
        return False
    asked = select.poll()
    asked.register(file, 0)
    return any(event & select.POLLERR for _, event in asked.poll(0))


def _give_up(reason: object, code: int) -> NoReturn:
    typer.echo(f"aiolosant: {printable(str(reason))}", err=True)
    raise typer.Exit(code) from None


def printable(text: str) -> str:
    """A text on one line that does nothing to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Declined(Exception):  # noqa: N818 - an answer, not a failure
    """Somebody was asked, and did not say yes."""


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless `yes`; whoever declines has it not done.

    Raises:
        ValueError: Nobody is there to be asked.
        Declined: No.
    """
    if not yes and _answer_to(question, "[y/N]").lower() not in ("y", "yes"):
        raise Declined


def confirm_name(question: str, name: str, *, yes: bool) -> None:
    """Ask, unless `yes`, and take only `name` for a yes.

    Raises:
        ValueError: Nobody is there to be asked.
        Declined: Anything else was answered.
    """
    if not yes and _answer_to(question, f"To agree, type {name}") != name.strip():
        raise Declined


def _answer_to(question: str, how: str) -> str:
    typer.echo(f"{question} {how}: ", nl=False, err=True)
    answer = _answer()
    if not answer:
        typer.echo("", err=True)
        raise ValueError(f"{question} Nobody is there to ask; say --yes")
    return answer.strip()


def _answer() -> str:
    # asyncio's own handler would wait for the answer before it interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return sys.stdin.readline() if sys.stdin else ""
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def settling_on_interrupt(
    settling: str = "letting what was sent settle; Ctrl-C again leaves at once", left: str = "interrupted"
) -> Iterator[None]:
    """Let the first Ctrl-C cancel this task, which settles what is on the wire, and the second leave at once.

    SIGTERM and SIGHUP, by which a service manager or a closed terminal ends a program, are a Ctrl-C as well.

    The arguments are what is said at the first and at the second. The handlers are the interpreter's and not the
    loop's, so that they run while the output is stuck in a full pipe. They write past Python's own buffers, which they
    may have interrupted.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def settle(_number: int, _frame: object) -> None:
        for number in _ENDING:
            signal.signal(number, leave)
        os.write(2, f"\naiolosant: {settling}\n".encode())
        if task is not None:
            loop.call_soon_threadsafe(task.cancel)

    def leave(_number: int, _frame: object) -> None:
        show_cursor = b"\x1b[?25h" if os.isatty(2) else b""
        os.write(2, show_cursor + f"aiolosant: {left}\n".encode())
        os._exit(INTERRUPTED)  # an exception would be settled as well, if it met the first on its way

    before = {number: signal.signal(number, settle) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
