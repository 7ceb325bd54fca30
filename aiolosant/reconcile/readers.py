"""Reads records from files: which format, which encoding, and all that is wrong at once."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Literal

from ..errors import PlanError
from .codec import to_record
from .csv_reader import CsvOptions, read_csv
from .header import UnknownFields
from .json_reader import read_json_document, read_json_lines, read_yaml
from .record import Record
from .rows import Rows

Source = str | os.PathLike[str]
Format = Literal["jsonl", "csv", "json", "yaml"]
Empty = Literal["keep", "clear"]

_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
}


_PACKED = {
    b"PK\x03\x04": "a workbook or a zip file, whatever its name says: save the sheet as CSV UTF-8, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old workbook, whatever its name says: save the sheet as CSV UTF-8",
    b"\x1f\x8b": "packed by gzip: unpack it",
}


def read_records(
    source: Source,
    *,
    format: Format | None = None,  # noqa: A002 - the field's word
    delimiter: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    levels: Sequence[str] | None = None,
    empty: Empty = "keep",
) -> list[Record]:
    """All records of a file.

    Args:
        source: A file of JSON Lines (`.jsonl`, `.ndjson`), CSV (`.csv`, `.tsv`), JSON (`.json`: Losant's list, or
            groups with nested `children`) or YAML (`.yaml`: the `groups.yaml` of Losant's export; the extra `yaml`);
            `-` for standard input. Text is UTF-8 with or without a byte order mark; a CSV may also be UTF-16.
        format: `jsonl`, `csv`, `json` or `yaml`, whatever the name ends in; None to go by that, and by JSON Lines for
            standard input.
        delimiter: What separates the columns of a CSV. None for a comma, or for the one of semicolon, tab and bar with
            which alone the header fits; that is logged.
        columns: The API's names of columns that the file names otherwise; None for a column that is to be left out.
        levels: The columns of a CSV that make the tree, from the root down, such as `("Customer", "Site", "Area")`: the
            last that is filled is the group of the row, and those above it are made as they are needed.
        empty: What an empty cell of a CSV means: `keep` leaves its field alone, `clear` clears it.

    A CSV has the API's fields for its columns, `groupTags.KEY` for a tag, lists separated by `;`, device tags as
    `key=value`. `experienceUserEmails`, `experienceEndpoints` (`GET /path`) and `deviceNames` stand for ids.

    Raises:
        PlanError: Every problem with its line, or there is no record in it at all.
        OSError: The file cannot be read.
        ValueError: An option is none of what it may be, or the name has none of these extensions.
        TypeError: `source` is no path.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"source must be a path or -, not {type(source).__name__}")
    if empty not in ("keep", "clear"):
        raise ValueError(f"empty must be 'keep' or 'clear', not {empty!r}")
    if format is not None and format not in _FORMATS.values():
        raise ValueError(f"format must be jsonl, csv, json or yaml, not {format!r}")
    options = CsvOptions(delimiter, dict(columns or {}), tuple(levels or ()), clears=empty == "clear")
    if os.fspath(source) == "-":
        if sys.stdin is None:
            raise ValueError("there is no standard input to read")
        return _read(sys.stdin.buffer, format or "jsonl", options)
    path = Path(source)
    kind = format or format_of(path)
    with path.open("rb") as file:
        if path.suffix.lower() == ".tsv" and delimiter is None:
            options = CsvOptions("\t", options.columns, options.levels, clears=options.clears)
        return _read(file, kind, options)


def format_of(path: Path) -> Format:
    """The format of a file by the end of its name.

    Raises:
        ValueError: The name has none of the known extensions.
    """
    suffix = path.suffix.lower()
    if suffix in _FORMATS:
        return _FORMATS[suffix]
    is_workbook = suffix in (".xlsx", ".xls", ".ods", ".numbers")
    what = "a workbook is not read, so save its sheet as CSV UTF-8" if is_workbook else "or say the format, such as csv"
    raise ValueError(f"{path}: the name must end in {', '.join(_FORMATS)}, or be -; {what}")


def _read(file: IO[bytes], kind: Format, options: CsvOptions) -> list[Record]:
    start = file.peek(4) if isinstance(file, io.BufferedReader) else b""
    for magic, what in _PACKED.items():
        if start.startswith(magic):
            raise PlanError.of([f"the file: it is {what}"])
    if kind == "csv":
        return _collect(read_csv(file, options))
    if unused := [name for name in ("delimiter", "levels") if getattr(options, name)]:
        raise ValueError(f"{' and '.join(unused)} is for CSV, and this is {kind}")
    readers = {"jsonl": read_json_lines, "json": read_json_document, "yaml": read_yaml}
    return _collect(readers[kind](io.BufferedReader(file) if isinstance(file, io.RawIOBase) else file, options.columns))


def _collect(rows: Rows) -> list[Record]:
    records: list[Record] = []
    problems: list[str] = []
    unknown = UnknownFields()
    for row in rows:
        if row.problem:
            problems.append(f"{row.place}: {row.problem}")
            continue
        try:
            records.append(to_record(unknown.without(row.fields, row.place), row.place, **row.more))
        except ValueError as problem:
            problems.append(str(problem))
    if problems := unknown.problems() + problems:
        raise PlanError.of(problems)
    if not records:
        raise PlanError.of(["the file: there is no record in it; if an export made it, that has failed"])
    return records
