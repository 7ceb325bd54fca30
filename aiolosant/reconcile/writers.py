"""Writes groups to files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from .._files import whole_file
from .._http import codec
from ..models import ExperienceGroup
from .codec import columns_for, to_cells, to_row
from .readers import Source


class RecordWriter:
    """Writes groups to a file that appears whole or not at all: `with RecordWriter(path) as writer`.

    Args:
        target: A file to make or replace, of JSON Lines (`.jsonl`, `.ndjson`) or CSV (`.csv`); `-` for JSON Lines to
            standard output. A CSV cannot say that a list is empty rather than left alone; JSON Lines can.
        for_spreadsheet: Whether a CSV is to be opened with a spreadsheet: a byte order mark tells it the encoding, and
            an apostrophe keeps what looks like a formula from being one. `read_records` takes it off again.

    Raises:
        OSError: The file cannot be written; what was there is still there.
        ValueError: The name has none of these extensions.
    """

    def __init__(self, target: Source, *, for_spreadsheet: bool = False) -> None:
        self._path = None if os.fspath(target) == "-" else Path(target)
        suffix = ".jsonl" if self._path is None else self._path.suffix.lower()
        if suffix not in (".jsonl", ".ndjson", ".csv"):
            raise ValueError(f"{self._path}: groups are written as JSON Lines (.jsonl, .ndjson) or CSV (.csv)")
        kind = "csv" if suffix == ".csv" else "jsonl"
        self._as_csv = kind == "csv"
        self._for_spreadsheet = for_spreadsheet
        self._tag_keys: set[str] = set()
        self._closing = contextlib.ExitStack()
        self._file: IO[bytes] | None = None

    def write(self, group: ExperienceGroup) -> None:
        """Write one more.

        Raises:
            RuntimeError: It is not within the `with`.
        """
        if self._file is None:
            raise RuntimeError("groups are written within `with RecordWriter(path) as writer:`")
        self._tag_keys.update(group.group_tags)
        self._file.write(codec.encode(to_row(group)) + b"\n")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            # Opened now, so that what cannot be written is told before anything is read.
            out = sys.stdout.buffer if self._path is None else stack.enter_context(whole_file(self._path))
            self._file = out
            if self._as_csv:
                # The columns of a CSV are known when the last group is: kept as JSON Lines until then.
                self._file = stack.enter_context(tempfile.TemporaryFile())
                stack.push(functools.partial(self._end_csv, self._file, out))
            self._closing = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._path is None and self._file is not None:
            self._file.flush()
        self._file = None
        self._closing.__exit__(kind, error, traceback)

    def _end_csv(self, rows: IO[bytes], out: IO[bytes], kind: object, *_: object) -> None:
        if kind is not None:
            return
        encoding = "utf-8-sig" if self._for_spreadsheet else "utf-8"
        text = io.TextIOWrapper(out, encoding=encoding, newline="", write_through=True)
        writer = csv.DictWriter(text, columns_for(self._tag_keys))
        writer.writeheader()
        rows.seek(0)
        for line in rows:
            writer.writerow(to_cells(msgspec.json.decode(line), for_spreadsheet=self._for_spreadsheet))
        text.detach()
