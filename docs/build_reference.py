"""Writes `reference.md` and `command.md`: every public name, and every command, out of the code itself."""

from __future__ import annotations

import inspect
from pathlib import Path

import typer

import aiolosant
from aiolosant import doctor, emulator, events, reconcile
from aiolosant.cli.app import app
from aiolosant.emulator import Fault

HERE = Path(__file__).parent
MODULES = {
    "aiolosant": aiolosant,
    "aiolosant.reconcile": reconcile,
    "aiolosant.emulator": emulator,
    "aiolosant.doctor": doctor,
    "aiolosant.events": events,
}


def public_names(module: object) -> list[str]:
    """Return the public names of a module."""
    return sorted(
        getattr(module, "__all__", None) or [name for name, one in vars(module).items() if _is_own(one, module)]
    )


def _is_own(one: object, module: object) -> bool:
    return inspect.isclass(one) and one.__module__ == module.__name__ and not one.__name__.startswith("_")  # type: ignore[attr-defined]


def reference() -> str:
    """Return the page of all public names."""
    lines = ["# Reference", ""]
    for title, module in MODULES.items():
        lines += [f"## {title}", ""]
        for name in public_names(module):
            one = getattr(module, name)
            if one is Fault:
                lines += [
                    f"### {title}.{name}",
                    "",
                    inspect.getdoc(one) or "",
                    "",
                    "See [the faults](testing.md#faults).",
                ]
                lines += ["", "| fault |", "|---|", *(f"| `Fault.{fault.name}` |" for fault in Fault), ""]
                continue
            kind = "autoclass" if inspect.isclass(one) else "autofunction" if callable(one) else "autodata"
            if inspect.isclass(one) or callable(one):
                lines += ["```{eval-rst}", f".. {kind}:: {title}.{name}", "```", ""]
            else:
                lines += [f"### {title}.{name}", "", f"`{type(one).__name__}`", ""]
                if name == "Q":
                    fields = [field for field in dir(one) if not field.startswith("_")]
                    lines += ["Its fields:", "", *(f"- `Q.{field}`" for field in fields), ""]
                if name == "QUIRKS":
                    lines += [
                        "| quirk | what it is |",
                        "|---|---|",
                        *(f"| `{key}` | {text} |" for key, text in one.items()),
                        "",
                    ]
    return "\n".join(lines) + "\n"


def command() -> str:
    """Return the page of all commands."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="aiolosant")
    lines = ["# The command", "", "```text", group.get_help(context).strip(), "```", ""]
    for name, one in sorted(group.commands.items()):  # type: ignore[attr-defined]  # it is a group
        inner = typer.Context(one, info_name=name, parent=context)
        lines += [f"## {name}", "", "```text", one.get_help(inner).strip(), "```", ""]
    return "\n".join(lines)


def setup(sphinx: object) -> None:
    """Write the pages before Sphinx reads them."""
    (HERE / "reference.md").write_text(reference(), encoding="utf-8")
    (HERE / "command.md").write_text(command(), encoding="utf-8")
