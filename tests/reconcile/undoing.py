"""Undoing, and what it is looked at by."""

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiolosant import LosantClient, reconcile
from aiolosant.emulator import Emulator, RequestRecord

from .records import carry_out


def whole(emulator: Emulator) -> Counter[str]:
    """The tree by names, fields, tags and members."""
    groups = {group["id"]: group for group in emulator.groups()}

    def told(group: dict[str, Any]) -> str:
        path = [groups[one]["name"] for one in group["ancestorIds"]]
        members = [sorted(one.lower() for one in group["deviceIds"])]
        return json.dumps(
            [path, group["name"], group.get("description") or "", sorted(group["groupTags"].items()), members]
        )

    return Counter(map(told, groups.values()))


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of its own for each example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def full_disk(*_: object) -> bytes:
    raise OSError(28, "No space left on device")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


WAYS = ["name", "tag", "tag, one name"]


async def undo(losant: LosantClient, where: Path) -> list[str]:
    """Undo, and return what was left."""
    plan = await reconcile.undo(losant.experience_groups, where)
    outcomes = await carry_out(losant, plan)
    assert [outcome for outcome in outcomes if not outcome.ok] == []
    return [warning.message for warning in plan.warnings if warning.kind == "undo"]


def refuse(request: RequestRecord) -> None:
    if b"Refused" in request.body:
        raise ValueError("not in this house")
