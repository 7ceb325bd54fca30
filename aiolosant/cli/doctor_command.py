"""`aiolosant doctor`: what holds of the Losant that the environment names."""

from __future__ import annotations

import json

import attrs
import typer

from aiolosant import doctor
from aiolosant.errors import LosantError

from .choices import Connection
from .console import FAILED, confirm, printable, settling_on_interrupt


async def run_doctor(connection: Connection, application: str | None, *, probe: bool, yes: bool, as_json: bool) -> int:
    """Print what was found out; return the exit code.

    Args:
        connection: How to talk to Losant.
        application: Id of the application; None for the environment's.
        probe: Whether to write as well.
        yes: Whether not to ask before that.
        as_json: Whether to print JSON.

    Raises:
        ConfigurationError: There is no token, or no application.
        ValueError: Nobody is there to be asked.
        Declined: Whoever was asked did not say yes.
        LosantError: A probe could not write, or not remove what it wrote.
    """
    async with connection.client(application) as losant:
        report = await doctor.examine(losant)
        named = next(finding for finding in report.findings if finding.name == "application")
        if not probe or named.failed:
            _show(report, as_json=as_json)
            return 0 if report.ok else FAILED
        typer.echo(f"The application: {printable(named.seen)}.", err=True)
        confirm("Make some 60 groups in it, and remove them again?", yes=yes)
        try:
            with settling_on_interrupt(
                "removing what was made; Ctrl-C again leaves at once",
                f"interrupted; what is left carries the tag {doctor.MARK}, and the next probe removes it",
            ):
                probed = await doctor.probe(losant.experience_groups)
        except LosantError:
            _show(report, as_json=as_json)  # what was found out before
            raise
    report = attrs.evolve(report, findings=(*report.findings, *probed.findings), settle_time=probed.settle_time)
    _show(report, as_json=as_json)
    return 0 if report.ok else FAILED


def _show(report: doctor.Report, *, as_json: bool) -> None:
    lines = [json.dumps(report.to_dict())] if as_json else map(printable, str(report).splitlines())
    for line in lines:
        typer.echo(line)
