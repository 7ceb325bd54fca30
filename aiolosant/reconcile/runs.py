"""Reads back what the journal of an apply says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import msgspec

from .._files import lock
from .._http import codec
from ..errors import PlanError
from ..identity import MatchBy
from ..models import ExperienceGroup, check_changes
from .change import Action
from .saved import identity_from_object

JOURNAL = "journal.jsonl"
FORMAT = "aiolosant journal"
VERSION = 1


@attrs.define
class Entry:
    """One change in a journal.

    Attributes:
        action: What it does.
        path: The names from the root down.
        fields: What was sent, by the names of `NewExperienceGroup`.
        before: The group before; None for a create.
        orphans: The ids of the groups that went to the parent of one that was deleted.
        at: When it was about to be sent, by the server's clock if that is known.
        status: What became of it; None if nobody wrote that down, so that it may have happened or not.
        group: The group after it; None after a delete, or where nobody knows.
    """

    action: Action
    path: tuple[str, ...]
    fields: Mapping[str, Any]
    before: ExperienceGroup | None
    orphans: tuple[str, ...]
    at: datetime
    status: str | None = None
    group: ExperienceGroup | None = None


@attrs.define
class Run:
    """One apply in a journal.

    Attributes:
        application_id: Whose groups they are.
        match_by: What records were matched by.
        entries: What was sent, in this order.
    """

    application_id: str | None
    match_by: MatchBy
    entries: list[Entry]


def read_runs(folder: Path) -> list[Run]:
    """Read a journal, oldest run first.

    A line that was cut off tells nothing: what it announces was not sent yet, or the outcome that it tells is unknown.

    Raises:
        PlanError: It is no journal, it is damaged, or an apply is still writing to it.
        OSError: It cannot be read.
    """
    runs: list[Run] = []
    entries: dict[tuple[str, int], Entry] = {}
    for number, line in enumerate(_lines(folder / JOURNAL)):
        if line.get("format") == FORMAT:
            if line.get("version") != VERSION:
                raise PlanError.of([f"{folder / JOURNAL}: of format {line.get('version')}, and {VERSION} is known"])
            runs.append(Run(line["applicationId"], identity_from_object(line["matchBy"]), []))
        elif not runs:
            raise PlanError.of([f"{folder / JOURNAL}: this is no journal of aiolosant (line {number + 1})"])
        elif "action" in line:
            entries[line["run"], line["n"]] = entry = _entry(line)
            runs[-1].entries.append(entry)
        elif (known := entries.get((line["run"], line["n"]))) is not None:
            known.status, known.group = line["status"], _group(line.get("group"))
    if not runs:
        raise PlanError.of([f"{folder / JOURNAL}: this is no journal of aiolosant"])
    return runs


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    broken = 0
    with path.open("rb") as file:
        try:
            lock(file.fileno(), shared=True)
        except BlockingIOError:
            raise PlanError.of([f"{path}: an apply is still writing to it; wait for its end"]) from None
        for number, line in enumerate(file, 1):
            try:
                content = msgspec.json.decode(line)
            except ValueError:
                content = None
            if isinstance(content, dict):
                # A kill breaks one line off, and the next run begins behind it.
                if broken > 1 or (broken and content.get("format") != FORMAT):
                    raise PlanError.of([f"{path}: {broken} lines before line {number} cannot be read: it is damaged"])
                broken = 0
                yield content
            elif line.strip():
                broken += 1
    if broken > 1:
        raise PlanError.of([f"{path}: the last {broken} lines cannot be read: it is damaged"])


def _entry(line: Mapping[str, Any]) -> Entry:
    fields = codec.to_changes(line["fields"])
    return Entry(
        line["action"],
        tuple(line["path"]),
        check_changes(fields) if fields else {},
        _group(line["before"]),
        tuple(line["orphans"]),
        datetime.fromisoformat(line["at"]),
    )


def _group(content: Mapping[str, Any] | None) -> ExperienceGroup | None:
    return None if content is None else codec.decode_group(msgspec.json.encode(content))


def check_application(what: object, theirs: str | None, ours: str | None) -> None:
    """Refuse what was made for another application.

    Raises:
        PlanError: It was.
    """
    if theirs is not None and ours is not None and theirs.lower() != ours.lower():
        raise PlanError.of([f"{what} is about the application {theirs}, and this one is {ours}"])
