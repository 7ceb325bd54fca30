"""The house rules that hold the modules apart."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aiolosant

PACKAGE = Path(aiolosant.__file__).parent
# Each imports only what stands before it.
ORDER = [
    *(
        "errors",
        "checks",
        "models",
        "query",
        "keys",
        "wire",
        "tree",
        "retry",
        "attempt",
        "auth",
        "throttle",
        "call",
        "exchange",
        "ledger",
        "transport",
    ),
    *(
        "paging",
        "pages",
        "outcomes",
        "intake",
        "run",
        "batch",
        "lookups",
        "creation",
        "api",
        "groups",
        "client",
        "reconcile",
        "pytest_plugin",
        "cli",
        "__main__",
    ),
]
INNER_ORDER = {
    "reconcile": ["model", "diff", "shapes", "records", "writing", "schedule", "scout", "engine"],
    "emulator": ["faults", "globbing", "messages", "order", "query", "seed", "store", "routes", "server"],
    "cli": ["console", "reading", "members", "migrating", "demo", "commands"],
}
NO_IO = {
    *("errors", "checks", "models", "query", "keys", "wire", "tree", "retry", "attempt", "outcomes"),
    *(
        "reconcile.model",
        "reconcile.diff",
        "reconcile.schedule",
        "reconcile.shapes",
        "emulator.query",
        "emulator.store",
    ),
}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(path: Path) -> Iterator[str]:
    package = ["aiolosant", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    """A module imports only what stands above it, the pure ones no I/O, and the emulator nothing of the client."""
    own = path.relative_to(PACKAGE).with_suffix("").parts
    for name in imported(path):
        top, *below = name.split(".")
        if top in ("asyncio", "aiohttp"):
            assert ".".join(own) not in NO_IO, f"{path} does no I/O, yet imports {name}"
        if top != "aiolosant" or not below:
            continue
        if below[0] == own[0]:
            if len(own) > 1 and len(below) > 1 and own[1] != "__init__" and below[1] in INNER_ORDER[own[0]]:
                inner = INNER_ORDER[own[0]]
                assert inner.index(below[1]) <= inner.index(own[1]), f"{path} imports {name}, which stands below it"
            continue
        assert own[0] != "emulator", f"the emulator imports {name}"
        if below[0] == "emulator":
            assert own[0] in ("cli", "pytest_plugin"), f"{path} imports the emulator"
        else:
            assert ORDER.index(below[0]) < ORDER.index(own[0]), f"{path} imports {name}, which stands below it"


@pytest.mark.parametrize("path", [*MODULES, PACKAGE / "__init__.py"], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_fits_the_head(path: Path) -> None:
    """No module is longer than 400 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_public_names_are_sorted_and_there() -> None:
    """`__all__` is the surface: sorted, and each name importable."""
    assert aiolosant.__all__ == sorted(aiolosant.__all__)
    assert all(hasattr(aiolosant, name) for name in aiolosant.__all__)
    assert aiolosant.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        aiolosant.nothing  # noqa: B018 - it is what the test is about


def test_importing_the_client_imports_neither_emulator_nor_command() -> None:
    """A service pays for nothing that it does not use."""
    check = "import sys, aiolosant; print(*[m for m in sys.modules if m in {'aiolosant.emulator', 'typer', 'sqlite3'}])"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert ran.stdout.split() == []
