"""The house rules that hold the modules apart."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import aiolosant

PACKAGE = Path(aiolosant.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Which wing may know which; CONTRIBUTING.md draws the same. What is not named stands at the front, above all wings.
BELOW = {
    "base": set(),
    "_http": {"base"},
    "_paging": {"base"},
    "_batch": {"base", "_http", "_paging"},
    "front": {"base", "_http", "_paging", "_batch"},
    "reconcile": {"base", "_http", "_paging", "_batch", "front"},
    "emulator": set(),
    "pytest_plugin": {"front", "emulator"},
    "cli": {"base", "_http", "_paging", "_batch", "front", "reconcile", "emulator"},
}
BASE = {
    "_addresses",
    "_files",
    "_version",
    "errors",
    "events",
    "models",
    "query",
    "identity",
    "_validation",
    "_forest",
    "_tree",
}
# What decides does no I/O, so that its tests need none either.
PURE = {
    *("errors", "events", "models", "query", "identity", "_validation", "_forest", "_tree"),
    *(
        "_http.request",
        "_http.response",
        "_http.retry",
        "_http.pace",
        "_http.proven_pace",
        "_http.codec",
        "_batch.outcome",
    ),
    *("reconcile.change", "reconcile.record", "reconcile.planner", "reconcile.schedule", "reconcile.codec"),
    *(
        "reconcile.plan",
        "reconcile.hints",
        "reconcile.warnings",
        "reconcile.deleting",
        "reconcile.history",
        "reconcile.wanted",
    ),
    *("emulator.query_sql", "emulator.query_fields", "emulator.store", "emulator.members", "emulator.schemas"),
    *("emulator.parameters", "emulator.faults", "emulator.routes", "emulator.api", "emulator.admin"),
    *("emulator.controls", "emulator.group_calls", "emulator.member_calls", "emulator.late_lists"),
}


def wing(module: str) -> str:
    top = module.split(".")[0]
    if top in BASE:
        return "base"
    return top if top in BELOW else "cli" if top == "__main__" else "front"


def imported(module: str) -> Iterator[str]:
    """The modules that a module imports, those of this package by their names within it."""
    path = MODULES[module]
    package = ["aiolosant", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{source}.{alias.name}".removeprefix("aiolosant.")
                yield name if name in MODULES else source.removeprefix("aiolosant.")


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A wing imports only the wings below it, what is pure no I/O, and the emulator nothing of the client."""
    own = wing(module)
    for name in imported(module):
        if name.split(".")[0] in ("asyncio", "aiohttp"):
            assert module not in PURE, f"{module} does no I/O, yet imports {name}"
        if name in MODULES and module:
            other = wing(name)
            assert other == own or other in BELOW[own], f"{module} imports {name}, which is not below it"


def test_no_module_imports_itself_in_a_circle() -> None:
    """Whoever reads a module need not have read those that use it."""
    graph = {module: {name for name in imported(module) if name in MODULES and name != module} for module in MODULES}
    TopologicalSorter(graph).prepare()  # raises a CycleError that shows the circle


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.rglob("*.py")), ids=lambda path: path.name)
def test_a_file_of_tests_is_short_enough_as_well(path: Path) -> None:
    """No file of tests has more than 400 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short_enough_to_be_read_in_one_go(module: str) -> None:
    """No module has more than 400 lines."""
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 400


def test_the_public_names_are_sorted_and_there() -> None:
    """`__all__` is the surface: sorted, and each name importable."""
    assert aiolosant.__all__ == sorted(aiolosant.__all__)
    assert all(hasattr(aiolosant, name) for name in aiolosant.__all__)
    assert aiolosant.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        aiolosant.nothing  # type: ignore[attr-defined]  # noqa: B018 - it is what the test is about


def test_importing_the_client_imports_neither_emulator_nor_command() -> None:
    """A service pays for nothing that it does not use."""
    assert imports_of("from aiolosant import LosantClient") & {"aiolosant.emulator", "typer", "sqlite3"} == set()


def test_saying_how_the_command_is_used_imports_little() -> None:
    """Whoever asks for `--help` does not wait for aiohttp, and `list` waits for neither plans nor bars."""
    assert imports_of("import aiolosant.cli.app") & {"aiohttp", "msgspec", "rich", "aiolosant.reconcile"} == set()
    assert imports_of("import aiolosant.cli.list_command") & {"rich", "aiolosant.reconcile"} == set()


def test_every_public_name_comes_when_it_is_asked_for() -> None:
    """By a star, by `dir`, and one by one in a new interpreter."""
    there = "set(globals()) & set(dir(aiolosant))"
    check = f"from aiolosant import *; import aiolosant; assert set(aiolosant.__all__) <= {there}"
    assert "aiohttp" in imports_of(check)


def imports_of(statement: str) -> set[str]:
    """The modules that a new interpreter has imported after a statement."""
    check = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return set(ran.stdout.split())
