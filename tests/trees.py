"""A small tree as a file, and its paths."""

import json
from collections import Counter
from pathlib import Path
from typing import Any


def paths_of(records: list[dict[str, Any]]) -> Counter[str]:
    by_id = {record["id"]: record for record in records}

    def path(record: dict[str, Any]) -> str:
        parent = record.get("parentId")
        return f"{path(by_id[parent])}/{record['name']}" if parent else str(record["name"])

    return Counter(map(path, records))


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


TREE: list[dict[str, Any]] = [
    {"id": "1", "name": "Acme", "groupTags": {"key": "a"}},
    {"id": "2", "name": "Plant 1", "parentId": "1", "groupTags": {"key": "b"}, "description": "Köln"},
    {"id": "3", "name": "Line", "parentId": "2", "groupTags": {"key": "c"}},
]
