"""Reads groups from JSON Lines, from one JSON document and from YAML, nested or not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import msgspec

from .encoding import BOM, encoding_hint
from .rows import Row, Rows

Columns = Mapping[str, str | None]

_KEY = re.compile(rb'"\s*:')


def read_json_lines(file: IO[bytes], columns: Columns) -> Rows:
    """Yield an object a line."""
    for number, line in enumerate(file, 1):
        text = line.removeprefix(BOM) if number == 1 else line
        if not text.strip():
            continue
        place = f"line {number}"
        value, problem = _decoded(text)
        if problem:
            hint = "; a document of several lines is read with the format json" if number == 1 else ""
            yield Row(place, problem=problem + hint)
            if number == 1 and text.strip() in (b"[", b"{"):
                return  # each further line would be a problem as well
        elif not isinstance(value, dict):
            yield Row(place, problem=f"expected a JSON object, not {text[:40]!r}")
        else:
            yield from _flattened(place, [value], columns)


def read_json_document(file: IO[bytes], columns: Columns) -> Rows:
    """Yield the groups of Losant's list, of an array, or of one group with its children."""
    content = file.read().removeprefix(BOM)
    document, problem = _decoded(content)
    if problem:
        first, _, rest = content.strip().partition(b"\n")
        lines = bool(rest.strip()) and not _decoded(first)[1]
        yield Row("the file", problem=problem + ("; it has a document a line: say the format jsonl" if lines else ""))
        return
    items = document
    if isinstance(document, dict):
        items = [document] if "name" in document and "items" not in document else document.get("items")
    if not isinstance(items, list):
        yield Row("the file", problem="expected Losant's list of groups, an object with items")
        return
    total = document.get("totalCount") if isinstance(document, dict) else None
    if isinstance(total, int) and total > len(items):
        yield Row("the file", problem=f"holds {len(items)} of {total} groups; export them all")
    yield from _flattened("items", items, columns)


def read_yaml(file: IO[bytes], columns: Columns) -> Rows:
    """Yield the groups of Losant's `groups.yaml`, or of any YAML in the shape of the JSON that is read.

    Raises:
        ValueError: The extra `yaml` is not installed.
    """
    try:
        import yaml  # here, because few need it
    except ImportError:
        raise ValueError("YAML needs a package: pip install 'aiolosant[yaml]'") from None
    try:
        document = yaml.safe_load(file)
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        yield Row("the file", problem=f"not valid YAML: {' '.join(str(problem).split())}")
        return
    items: Any = document
    if isinstance(document, dict):
        items = document.get("resources", document.get("items", [document] if "name" in document else None))
        kind = document.get("resourceType", "ExperienceGroupTree")
        if kind != "ExperienceGroupTree":
            yield Row("the file", problem=f"it holds resources of the type {kind}, and not experience groups")
            return
    if not isinstance(items, list):
        yield Row("the file", problem="expected Losant's groups.yaml, with resources")
        return
    yield from _flattened("resources", items, columns)


def _flattened(place: str, items: Sequence[Any], columns: Columns) -> Iterator[Row]:
    """Yield groups and their nested children, parents first. Not recursive: a tree may be deep."""
    is_line = place.startswith("line")
    todo = [(place if is_line else f"{place}[{n}]", item, None) for n, item in enumerate(items)][::-1]
    while todo:
        where, item, parent_id = todo.pop()
        if not isinstance(item, dict):
            yield Row(where, problem="expected a JSON object")
            continue
        fields = {
            new: value
            for name, value in item.items()
            if name not in ("children", "exportHash") and (new := columns.get(name, name)) is not None
        }
        children = item.get("children") or []
        if parent_id is not None:
            if fields.get("parentId") not in (None, parent_id):
                yield Row(where, problem=f"parentId is {fields['parentId']!r}, and it is nested below {parent_id!r}")
                continue
            fields["parentId"] = parent_id
        if not isinstance(children, list):
            yield Row(where, problem="children must be a list of groups")
            continue
        if "children" in item:
            fields.setdefault("parentId", None)  # nesting says where it is
            if children:
                fields.setdefault("id", where)
        yield Row(where, fields)
        todo += [(f"{where}.children[{n}]", child, fields["id"]) for n, child in enumerate(children)][::-1]


def _decoded(text: bytes) -> tuple[Any, str]:
    """Return what a JSON text holds, and what is wrong with it."""
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError) as problem:
        return None, f"not valid JSON: {problem}{encoding_hint(text)}"
    # Faster than to look at each key: only what seems to have more keys than it holds may have one twice.
    if len(_KEY.findall(text)) > _count_keys(value) and (twice := _repeated_key(text)) is not None:
        return None, f"the key {twice!r} is there twice in one object"
    return value, ""


def _count_keys(value: Any) -> int:
    count, todo = 0, [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            count += len(one)
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return count


def _repeated_key(text: bytes) -> str | None:
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        held: dict[str, Any] = {}
        for key, value in pairs:
            if key in held:
                found.append(key)
            held[key] = value
        return held

    json.loads(text, object_pairs_hook=look)
    return found[0] if found else None
