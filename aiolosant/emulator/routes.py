"""Which operation a path is: one that the emulator has, one of Losant's that it lacks, or none."""

from __future__ import annotations

import importlib.resources
from typing import Any

from .account_calls import ACCOUNT_OPERATIONS
from .group_calls import GROUP_OPERATIONS
from .member_calls import MEMBER_OPERATIONS
from .operation import Operation
from .schemas import ApiProblem

_Node = dict[str, Any]  # by a part of a path, by "/" for a name, and by "METHOD " at its end
_NAME = "/"  # which no part of a path is


def find_operation(method: str, path: str) -> tuple[Operation, dict[str, str]]:
    """The operation of a path, and what its names stand for.

    Raises:
        ApiProblem: The emulator does not have it, or nobody has.
    """
    found = _walk(_KNOWN, path.strip("/").split("/"), f"{method} ")
    if found is None:
        # Losant's framework knows no 404 for paths, and no slash at the end matters.
        raise ApiProblem(405, "MethodNotAllowed", f"{method} is not allowed on {path}")
    operation, values = found
    if operation is None:
        message = f"The emulator of aiolosant does not have {method} {path}, which Losant has"
        raise ApiProblem(501, "NotImplemented", message)
    return operation, dict(zip(_names(operation.path), values, strict=True))


def _walk(node: _Node, parts: list[str], method: str) -> tuple[Operation | None, list[str]] | None:
    if not parts:
        return (node[method], []) if method in node else None
    first, *rest = parts
    if first in node and (found := _walk(node[first], rest, method)):
        return found
    if _NAME in node and first and (found := _walk(node[_NAME], rest, method)):
        return found[0], [first, *found[1]]
    return None


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


# The routes are those of the published description of the API, version 1.30, a method and a path a line.
def _read() -> _Node:
    root: _Node = {}
    text = importlib.resources.files("aiolosant.emulator").joinpath("losant_routes.txt").read_text("utf-8")
    for line in text.splitlines():
        method, path = line.split(" ")
        _put(root, method, path, None)
    for operation in (*GROUP_OPERATIONS, *MEMBER_OPERATIONS, *ACCOUNT_OPERATIONS):
        _put(root, operation.method, operation.path, operation)
    return root


def _put(root: _Node, method: str, path: str, operation: Operation | None) -> None:
    node = root
    for part in path.strip("/").split("/"):
        node = node.setdefault(_NAME if part.startswith("{") else part, {})
    node[f"{method} "] = operation


# Read at once: a later installation may replace the file of an emulator that runs.
_KNOWN = _read()
