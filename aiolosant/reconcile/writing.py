"""Writes groups to files that appear whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from .. import wire
from ..models import ExperienceGroup
from .reading import Source, format_of
from .records import columns_for, to_cells, to_row


class RecordWriter:
    """Writes groups to a file that appears whole or not at all: `with RecordWriter(path) as writer`.

    Args:
        target: A file to make or replace, of JSON Lines (`.jsonl`, `.ndjson`) or CSV (`.csv`); `-` for JSON Lines to
            standard output. A CSV cannot say that a list is empty rather than left alone; JSON Lines can.

    Raises:
        OSError: The file cannot be written; what was there is still there.
        ValueError: The name ends like none of these.
    """

    def __init__(self, target: Source) -> None:
        self._path = None if os.fspath(target) == "-" else Path(target)
        kind = "jsonl" if self._path is None else format_of(self._path)
        if kind == "json":
            raise ValueError(f"{self._path}: groups are written as JSON Lines (.jsonl) or CSV (.csv)")
        self._as_csv = kind == "csv"
        self._tag_keys: set[str] = set()

    def write(self, group: ExperienceGroup) -> None:
        """Write one more."""
        self._tag_keys.update(group.group_tags)
        self._file.write(wire.encode(to_row(group)) + b"\n")

    def __enter__(self) -> Self:
        if self._path is None:
            self._file: IO[bytes] = sys.stdout.buffer
            return self
        # Written beside its place until it is whole; what is no file, such as a pipe, is written as it is.
        self._target = Path(os.path.realpath(self._path))
        self._is_file = self._target.is_file() or not self._target.exists()
        name = f".{self._target.name}.{os.getpid()}.part"
        self._part = self._target.with_name(name) if self._is_file else self._target
        try:
            self._out = self._part.open("wb")  # now, so that what cannot be written is told before anything is read
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._target.parent)) from None
        # The columns of a CSV are known when the last group is: kept as JSON Lines until then.
        self._file = tempfile.TemporaryFile() if self._as_csv else self._out
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._path is None:
            self._file.flush()
            return
        try:
            with self._out, self._file:
                if error is None:
                    self._complete()
            if error is None and self._is_file:
                if self._target.exists():
                    shutil.copymode(self._target, self._part)
                self._part.replace(self._target)
        finally:
            if self._is_file:
                self._part.unlink(missing_ok=True)

    def _complete(self) -> None:
        if self._as_csv:
            text = io.TextIOWrapper(self._out, encoding="utf-8", newline="", write_through=True)
            writer = csv.DictWriter(text, columns_for(self._tag_keys))
            writer.writeheader()
            self._file.seek(0)
            for line in self._file:
                writer.writerow(to_cells(msgspec.json.decode(line)))
            text.detach()
        self._out.flush()
        if self._is_file:  # a pipe has nothing to sync
            os.fsync(self._out.fileno())
