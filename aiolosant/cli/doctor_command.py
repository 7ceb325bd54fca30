"""`aiolosant doctor`: what holds of the Losant that the environment names."""

from __future__ import annotations

import json

import attrs
import typer

from aiolosant import doctor

from .console import FAILED, client, confirm, printable


async def run_doctor(application: str | None, *, probe: bool, yes: bool, as_json: bool) -> int:
    """Print what was found out; return the exit code.

    Args:
        application: Id of the application; None for the environment's.
        probe: Whether to write as well.
        yes: Whether not to ask before that.
        as_json: Whether to print JSON.
    """
    async with client(application) as losant:
        report = await doctor.examine(losant)
        if probe:
            where = next(finding.seen for finding in report.findings if finding.name == "application")
            typer.echo(f"The application: {printable(where)}.", err=True)
            confirm("Make some 60 groups in it, and remove them again?", yes=yes)
            probed = await doctor.probe(losant.experience_groups)
            report = attrs.evolve(probed, findings=(*report.findings, *probed.findings))
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        for line in str(report).splitlines():
            typer.echo(printable(line))
    return 0 if report.ok else FAILED
