"""What an apply leaves behind in a folder: what was there before each write, and what became of it.

`journal.jsonl` holds a line before each write and one after it, written before anything is sent, so that a kill at any
moment leaves what `undo` needs. Beside it are `done.csv`, `failed.csv` (mend it and apply it) and `ids.json`.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import msgspec

from .._files import lock, whole_file
from .._http import codec
from ..errors import PlanError
from ..identity import ById, MatchBy
from ..models import ExperienceGroup, check_changes, iso_text
from .change import Action, ChangeOutcome
from .codec import columns_for, record_to_cells
from .plan import Plan
from .saved import identity_from_object, identity_to_object

logger: logging.Logger = logging.getLogger("aiolosant")

JOURNAL, DONE, FAILED, IDS = "journal.jsonl", "done.csv", "failed.csv", "ids.json"
_FORMAT = "aiolosant journal"
_VERSION = 1
_IDS_EVERY = 1.0  # seconds, or twenty times as long as it takes


class Journal:
    """Writes down what an apply does.

    Args:
        folder: Where; it is made if it is not there. A journal that is there already is continued.
        plan: What is applied.

    Raises:
        OSError: The folder cannot be written to; later, `begin` raises what kept `begin` or `end` from writing.
        PlanError: The folder holds the journal of another application.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        is_undo = isinstance(plan.match_by, ById) and not plan.match_by.or_name
        for run in read_runs(folder) if (folder / JOURNAL).exists() else ():
            check_application(folder, run.application_id, plan.application_id)
            if is_undo != (isinstance(run.match_by, ById) and not run.match_by.or_name):
                raise PlanError.of(
                    [f"{folder} has the journal of an apply; an undo needs a folder of its own, and so back"]
                )
        self._error: OSError | None = None
        self._plan = plan
        self._ids = {**_read_ids(folder / IDS), **plan.matched}
        self._ids_due = 0.0
        self._folder = folder
        self._lines = _Appender(folder / JOURNAL)
        self._lines.lock(folder)
        self._run = secrets.token_hex(4)  # its lines are its own, wherever others stand between them
        header = {
            "format": _FORMAT,
            "run": self._run,
            "version": _VERSION,
            "applicationId": plan.application_id,
            "digest": plan.digest,
            "matchBy": identity_to_object(plan.match_by),
            "started": iso_text(datetime.now(UTC)),
        }
        self._lines.append(msgspec.json.encode(header))
        columns = _columns(plan)
        self._done = _Table(folder / DONE, [*columns, "groupId", "status"])
        self._told = self._done.column("groupId")
        _keep(folder / FAILED)  # perhaps it is what is applied
        self._failed = _Table(folder / FAILED, [*columns, "error"])
        self._write_ids()

    def begin(
        self, index: int, fields: Mapping[str, Any], before: ExperienceGroup | None, *, ahead: float = 0.0
    ) -> None:
        """Write down that a change is about to be sent.

        Args:
            index: Where it stands in the plan.
            fields: What is sent, by the names of `NewExperienceGroup`.
            before: The group as it is; None for a create.
            ahead: Seconds that the server's clock is ahead of this machine's.
        """
        change = self._plan.changes[index]
        line = {
            "run": self._run,
            "n": index,
            "action": change.action,
            "path": change.path,
            "fields": codec.changes_to_object(fields),
            "before": None if before is None else before.to_dict(),
            "orphans": change.orphans,
            "at": iso_text(datetime.now(UTC) + timedelta(seconds=ahead)),
        }
        if self._error is not None:
            raise self._error
        self._lines.append(msgspec.json.encode(line))

    def end(self, index: int, outcome: ChangeOutcome) -> None:
        """Write down what became of a change. If that fails, the next change is not begun."""
        if self._error is None:
            try:
                self._write_end(index, outcome)
            except OSError as error:  # the outcome is an outcome all the same
                self._error = error
                logger.error("the journal in %s cannot be continued: %s", self._folder, error)  # noqa: TRY400 - no bug

    def _write_end(self, index: int, outcome: ChangeOutcome) -> None:
        group, record = outcome.group, outcome.change.record
        line: dict[str, Any] = {"run": self._run, "n": index, "status": outcome.status}
        if group is not None:
            line["group"] = group.to_dict()
        if outcome.error is not None:
            line["error"] = str(outcome.error)
        self._lines.append(msgspec.json.encode(line))
        if record is None:
            return
        cells = dict(record.row) if record.row is not None else record_to_cells(record)
        if outcome.ok and group is not None:
            if group.id not in self._told:
                self._told.add(group.id)
                self._done.write(cells | {"groupId": group.id, "status": outcome.status})
            if record.id is not None and self._ids.get(record.id) != group.id:
                self._ids[record.id] = group.id
                if time.monotonic() >= self._ids_due:
                    self._write_ids()
        elif not outcome.ok:
            if cells.get("parentId") in self._ids:  # so that the file can be applied by itself
                cells["parentId"] = self._ids[cells["parentId"]]
            elif record.row is None and record.keeps_parent and outcome.change.current is not None:
                cells["parentId"] = outcome.change.current.parent_id or ""
            self._failed.write(cells | {"error": f"{outcome.status}: {line.get('error', '')}"})

    def close(self) -> None:
        """Write what is left to write; what ends later is still written."""
        if self._error is None:
            try:
                self._write_ids()
            except OSError as error:
                self._error = error
                logger.error("%s cannot be written: %s", self._folder / IDS, error)  # noqa: TRY400 - no bug
        for one in (self._lines, self._done, self._failed):
            one.close()

    def _write_ids(self) -> None:
        began = time.monotonic()
        with whole_file(self._folder / IDS) as file:
            file.write(msgspec.json.format(msgspec.json.encode(self._ids), indent=1) + b"\n")
        now = time.monotonic()
        self._ids_due = now + max(_IDS_EVERY, 20 * (now - began))


def _read_ids(path: Path) -> dict[str, str]:
    """Return the ids of earlier runs."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, ValueError):
        return {}


def _columns(plan: Plan) -> list[str]:
    """Return the columns of the file that the plan was made from; those of an export if it was no CSV."""
    records = [change.record for change in plan.changes if change.record is not None]
    rows = [record.row for record in records if record.row is not None]
    if rows:
        return list(dict.fromkeys(column for row in rows for column in row if column != "error"))
    return columns_for({key for record in records for key in record.fields.get("group_tags", ())})


def _keep(path: Path) -> None:
    """Rename a table of an earlier run, if there is anything in it."""
    if not path.exists():
        return
    if path.read_bytes().count(b"\n") > 1:
        when = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        path.rename(path.with_name(f"{path.stem}-{when}.csv"))
    else:
        path.unlink()


class _Appender:
    """Appends lines to a file, each in one write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()
        self._is_closed = False
        if path.read_bytes()[-1:] not in (b"", b"\n"):
            self._file.write(b"\n")  # whoever wrote before was killed in a line

    def lock(self, folder: Path) -> None:
        """Keep the file to this process, until it is closed or the process ends.

        Raises:
            PlanError: Another process has it.
        """
        try:
            lock(self._file.fileno())
        except BlockingIOError:
            self._file.close()
            raise PlanError.of(
                [f"{folder}: another apply is writing there; wait for its end, or choose another folder"]
            ) from None

    def append(self, line: bytes) -> None:
        if self._is_closed:
            with self._open() as file:
                file.write(line + b"\n")
        else:
            self._file.write(line + b"\n")

    def close(self) -> None:
        self._is_closed = True
        self._file.close()

    def _open(self) -> io.FileIO:
        return io.FileIO(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666), "ab")


class _Table:
    """Appends rows to a CSV."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._columns = columns
        header = self._row(dict(zip(columns, columns, strict=True)))
        if not path.exists() or not path.read_bytes().startswith(header + b"\n"):
            _keep(path)
            path.write_bytes(b"")
            self._lines = _Appender(path)
            self._lines.append(header)
        else:
            self._lines = _Appender(path)

        self._path = path

    def column(self, name: str) -> set[str]:
        """Return what is in a column already."""
        with self._path.open(encoding="utf-8", newline="") as file:
            return {row[name] for row in csv.DictReader(file) if row.get(name)}

    def write(self, cells: Mapping[str, Any]) -> None:
        self._lines.append(self._row(cells))

    def close(self) -> None:
        self._lines.close()

    def _row(self, cells: Mapping[str, Any]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow([cells.get(column) for column in self._columns])
        return text.getvalue().encode()


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
        if line.get("format") == _FORMAT:
            if line.get("version") != _VERSION:
                raise PlanError.of([f"{folder / JOURNAL}: of format {line.get('version')}, and {_VERSION} is known"])
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
                if broken > 1 or (broken and content.get("format") != _FORMAT):
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
