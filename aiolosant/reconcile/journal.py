"""What an apply leaves behind in a folder: what was there before each write, and what became of it.

`journal.jsonl` gets one line before a write is sent and one when its outcome is known, so that a kill at any moment
leaves what `undo` needs. Beside it are `done.csv`, `failed.csv` (mend it and apply it) and `ids.json`.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from .._files import lock, whole_file
from .._http import codec
from ..errors import PlanError
from ..identity import ById
from ..models import ExperienceGroup, iso_text
from .change import ChangeOutcome
from .codec import columns_for, record_to_cells
from .plan import Plan
from .runs import FORMAT, JOURNAL, VERSION, check_application, read_runs
from .saved import identity_to_object

logger: logging.Logger = logging.getLogger("aiolosant")

DONE, FAILED, IDS = "done.csv", "failed.csv", "ids.json"
_IDS_EVERY = 1.0  # seconds, or twenty times as long as it takes


class Journal:
    """Writes down what an apply does.

    Args:
        folder: Where; it is made if it is not there. A journal that is there already is continued.
        plan: What is applied.

    Raises:
        OSError: The folder cannot be written to; later, `begin` raises the error that kept an `end` from writing.
        PlanError: The folder holds the journal of another application.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        is_undo = isinstance(plan.match_by, ById) and not plan.match_by.or_name
        for run in read_runs(folder) if _has_begun(folder / JOURNAL) else ():
            check_application(folder, run.application_id, plan.application_id)
            if is_undo != (isinstance(run.match_by, ById) and not run.match_by.or_name):
                theirs, ours = ("an apply", "an undo") if is_undo else ("an undo", "an apply")
                raise PlanError.of([f"{folder} has the journal of {theirs}; {ours} needs a folder of its own"])
        self._error: OSError | None = None
        self._plan = plan
        self._ids = {**_read_ids(folder / IDS), **plan.matched}
        self._own_ids = dict(plan.matched)  # without those of earlier runs, perhaps of another file
        self._ids_due = 0.0
        self._folder = folder
        self._lines = _Appender(folder / JOURNAL)
        self._lines.lock(folder)
        self._run = secrets.token_hex(4)  # its lines are its own, wherever others stand between them
        header = {
            "format": FORMAT,
            "run": self._run,
            "version": VERSION,
            "applicationId": plan.application_id,
            "digest": plan.digest,
            "matchBy": identity_to_object(plan.match_by),
            "started": iso_text(datetime.now(UTC)),
        }
        self._lines.append(msgspec.json.encode(header))
        self._done: _Table | None = None
        self._failed: _Table | None = None
        if plan.changes:  # else there is nothing to tell, and what an earlier run has told stays
            columns, delimiter = _columns(plan)
            # A column of the file's own keeps its name, and what begins with an underscore is read over.
            self._group, self._status = (f"_{own}" if own in columns else own for own in ("groupId", "status"))
            self._done = _Table(folder / DONE, [*columns, self._group, self._status], delimiter)
            self._told = self._done.column(self._group)
            _keep(folder / FAILED)  # perhaps it is what is applied
            self._failed = _Table(folder / FAILED, [*columns, "error"], delimiter)
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
        if record is None or self._done is None or self._failed is None:
            return
        cells = dict(record.row) if record.row is not None else record_to_cells(record)
        if outcome.ok and group is not None:
            if group.id not in self._told:
                self._told.add(group.id)
                self._done.write(cells | {self._group: group.id, self._status: outcome.status})
            if record.id is not None and self._own_ids.get(record.id) != group.id:
                self._ids[record.id] = self._own_ids[record.id] = group.id
                if time.monotonic() >= self._ids_due:
                    self._write_ids()
        elif not outcome.ok:
            if cells.get("parentId") in self._own_ids:  # so that the file can be applied by itself
                cells["parentId"] = self._own_ids[cells["parentId"]]
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
            if one is not None:
                one.close()

    def _write_ids(self) -> None:
        began = time.monotonic()
        with whole_file(self._folder / IDS) as file:
            file.write(msgspec.json.format(msgspec.json.encode(self._ids), indent=1) + b"\n")
        now = time.monotonic()
        self._ids_due = now + max(_IDS_EVERY, 20 * (now - began))


def _has_begun(path: Path) -> bool:
    """Whether a journal has a whole line: whoever began it may have been killed before that, or the disk was full."""
    return path.exists() and b"\n" in path.read_bytes()


def _read_ids(path: Path) -> dict[str, str]:
    """Return the ids of earlier runs."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, ValueError):
        return {}


def _columns(plan: Plan) -> tuple[list[str], str]:
    """Return the columns and the separator of the CSV that the plan was made from; without one, those of an export."""
    records = [change.record for change in plan.changes if change.record is not None]
    sheets = [(record.row, record.delimiter) for record in records if record.row is not None]
    if sheets:
        return list(dict.fromkeys(column for row, _ in sheets for column in row if column != "error")), sheets[0][1]
    columns = columns_for({key for record in records for key in record.fields.get("group_tags", ())})
    adds = any(record.members_mode == "add" for record in records)
    return [*columns, "membersMode"] if adds else columns, ","


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
    """Appends lines to a file, each in one write, whole or not at all."""

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
                _write_whole(file, line + b"\n")
        else:
            _write_whole(self._file, line + b"\n")

    def close(self) -> None:
        self._is_closed = True
        self._file.close()

    def _open(self) -> io.FileIO:
        return io.FileIO(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666), "ab")


def _write_whole(file: io.FileIO, content: bytes) -> None:
    size, left = os.fstat(file.fileno()).st_size, memoryview(content)
    try:
        while left:  # a disk that is nearly full takes a part of it
            left = left[file.write(left) :]
    except OSError:
        os.ftruncate(file.fileno(), size)
        raise


class _Table:
    """Appends rows to a CSV."""

    def __init__(self, path: Path, columns: Sequence[str], delimiter: str) -> None:
        self._columns = columns
        self._delimiter = delimiter
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
            return {row[name] for row in csv.DictReader(file, delimiter=self._delimiter) if row.get(name)}

    def write(self, cells: Mapping[str, Any]) -> None:
        self._lines.append(self._row(cells))

    def close(self) -> None:
        self._lines.close()

    def _row(self, cells: Mapping[str, Any]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._delimiter, lineterminator="")
        writer.writerow([cells.get(column) for column in self._columns])
        return text.getvalue().encode()
