"""Reads groups from JSON Lines, from one JSON document and from YAML, nested or not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import msgspec

from .codec import TAG
from .encoding import BOM, encoding_hint
from .rows import Row, Rows

Columns = Mapping[str, str | None]

_OTHER_FORMAT = "; a document of several lines, or of a list, is read with the format json"
_CSV = "; what looks like the columns of a CSV is read with the format csv"
_HEADER = re.compile(rb'"?\w[^{}\[\]:]*[,;\t|]')
UNNAMED = "unnamed "
"""What the id begins with that is made up for a group that has none."""
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
            other = _OTHER_FORMAT if text.strip() in (b"[", b"{") else _CSV if _HEADER.match(text) else ""
            yield Row(place, problem=problem + other * (number == 1))
            if other and number == 1:
                return  # each further line would be a problem as well
        elif isinstance(value, dict) and isinstance(value.get("items"), list) and "name" not in value:
            yield Row(place, problem=f"expected a group, and this is a list of groups{_OTHER_FORMAT}")
        elif not isinstance(value, dict):
            hint = _OTHER_FORMAT if isinstance(value, list) else ""
            yield Row(place, problem=f"expected a JSON object, not {text[:40].decode(errors='replace').strip()}{hint}")
        else:
            yield from _flattened(place, [value], columns)


def read_json_document(file: IO[bytes], columns: Columns) -> Rows:
    """Yield the groups of Losant's list, of an array, or of one group with its children."""
    content = file.read().removeprefix(BOM)
    if not content.strip():
        return
    document, problem = _decoded(content)
    if problem:
        first, _, rest = content.strip().partition(b"\n")
        lines = bool(rest.strip()) and not _decoded(first)[1]
        yield Row("the file", problem=problem + ("; it has a document a line: say the format jsonl" if lines else ""))
        return
    items = document
    if isinstance(document, dict):
        single = [document] if any(columns.get(key, key) == "name" for key in document) else None
        items = document.get("items", document.get("resources", single))
    if not isinstance(items, list):
        yield Row("the file", problem="expected Losant's list of groups, an object with items")
        return
    total = document.get("totalCount") if isinstance(document, dict) else None
    is_nested = any(isinstance(item, dict) and _children_of(item, columns) for item in items)
    if isinstance(total, int) and total > len(items) and not is_nested:
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
        _refuse_repeated_keys(yaml.compose(content := file.read(), Loader=yaml.SafeLoader))
        document = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as problem:
        yield Row("the file", problem=f"not valid YAML: {' '.join(str(problem).split())}")
        return
    except RecursionError:
        yield Row("the file", problem="it is nested deeper than YAML is read here; use JSON")
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


def _refuse_repeated_keys(node: Any) -> None:
    """Look through what YAML made of a text, of which it would take the last value without a word.

    Raises:
        ValueError: A key is there twice in one mapping, or something contains itself.
    """
    todo: list[tuple[Any, frozenset[int]]] = [(node, frozenset())]
    while todo:
        one, above = todo.pop()
        if one is None or isinstance(one.value, str):
            continue
        if id(one) in above:
            raise ValueError("something in it contains itself")
        inner = above | {id(one)}
        if one.id == "mapping":
            keys = [key.value for key, _ in one.value if isinstance(key.value, str)]
            if twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
                raise ValueError(f"the key {twice[0]!r} is there twice, in line {one.start_mark.line + 1}")
            todo += [(value, inner) for _, value in one.value]
        else:
            todo += [(value, inner) for value in one.value]


def _flattened(place: str, items: Sequence[Any], columns: Columns) -> Iterator[Row]:
    """Yield groups and their nested children, parents first. Not recursive: a tree may be deep."""
    is_line = place.startswith("line")
    todo: list[tuple[str, Any, object]] = []
    todo += [(place if is_line else f"{place}[{n}]", item, None) for n, item in enumerate(items)][::-1]
    while todo:
        where, item, parent_id = todo.pop()
        if not isinstance(item, dict):
            yield Row(where, problem="expected a JSON object")
            continue
        fields, mapped, twice = _renamed(item, columns)
        if twice:
            yield Row(where, problem=f"there are two fields {twice!r}")
            continue
        children = _children_of(item, columns)
        if children is not None and not isinstance(children, list):
            yield Row(where, problem="children must be a list of groups")
            continue
        if parent_id is not None:
            named = fields.get("parentId")
            if named not in (None, "") and str(named).lower() != str(parent_id).lower():
                yield Row(where, problem=f"parentId is {named!r}, and it is nested below {parent_id!r}")
                continue
            fields["parentId"] = parent_id
        if children is not None:
            fields.setdefault("parentId", None)  # nesting says where it is
        if children and fields.get("id") in (None, ""):
            fields["id"] = f"{UNNAMED}{where}"
        more = {"merges_tags": True} if mapped and fields.get("groupTags") is None else {}
        yield Row(where, _with_tags(fields, mapped), more=more)
        todo += [(f"{where}.children[{n}]", child, fields["id"]) for n, child in enumerate(children or ())][::-1]


def _children_of(item: Mapping[Any, Any], columns: Columns) -> Any:
    """Return what is nested below a group, whatever the file calls it; None for nothing."""
    return next((value for key, value in item.items() if columns.get(key, key) == "children"), None)


def _renamed(item: Mapping[Any, Any], columns: Columns) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return the fields of a group by the API's names, those that are mapped to tags, and one that is there twice."""
    fields: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    for key, value in item.items():
        given = str(key)  # in YAML it may be a number, a date or a truth value
        name = columns.get(given, given)
        if name is None or name in ("children", "exportHash"):
            continue
        is_tag = name.startswith(TAG) and given in columns
        known, own = (tags, name.removeprefix(TAG)) if is_tag else (fields, name)
        if own in known:
            return fields, tags, name
        if value is not None or not is_tag:
            known[own] = value
    twice = tags.keys() & (fields["groupTags"] if isinstance(fields.get("groupTags"), Mapping) else {})
    return fields, tags, next((TAG + key for key in twice), "")


def _with_tags(fields: dict[str, Any], tags: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields with what is mapped to tags among their own, unless these are none at all, which is told later."""
    own = fields.get("groupTags")
    if not tags or not (own is None or isinstance(own, Mapping)):
        return fields
    return fields | {"groupTags": {**(own or {}), **tags}}


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
