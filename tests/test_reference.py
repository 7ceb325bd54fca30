"""The reference is complete: every public name, and every command."""

import importlib.util
from pathlib import Path
from types import ModuleType

from aiolosant.cli.app import app

DOCS = Path(__file__).parent.parent / "docs"


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_reference", DOCS / "build_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_in_the_reference() -> None:
    """With each field of `Q`, each fault and each quirk."""
    build = builder()
    page = build.reference()
    for title, module in build.MODULES.items():
        for name in build.public_names(module):
            assert f"{title}.{name}\n" in page
    assert "`Q.group_tags`" in page
    assert "`Fault.LATE_WRITE`" in page
    assert "| `keyset` |" in page


def test_every_command_is_in_its_page() -> None:
    """With its options."""
    page = builder().command()
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]  # each has one
        assert f"## {name}\n" in page
    assert "--max-deletes" in page
