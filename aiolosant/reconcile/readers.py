"""Reads records from files: JSON Lines, CSV and Losant's list JSON.

A file is read line by line and told of whole: every problem with its line, before anybody acts on any of it.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import attrs
import msgspec

from ..errors import PlanError
from .codec import from_cells, header_problem, to_record
from .record import Record

Source = str | os.PathLike[str]

_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".json": "json"}


def read_records(source: Source) -> list[Record]:
    """All records of a file.

    Args:
        source: A file of JSON Lines (`.jsonl`, `.ndjson`), CSV (`.csv`) or Losant's list JSON (`.json`), in UTF-8 with
            or without a byte order mark; `-` for JSON Lines from standard input. A CSV has the API's fields for its
            columns, `groupTags.KEY` for a tag, lists separated by `;`, device tags as `key=value`; an empty cell is an
            absent field, and a tag without a cell is left alone.

    Raises:
        PlanError: Every problem with its line.
        OSError: The file cannot be read.
        ValueError: The name has none of these extensions.
        TypeError: `source` is no path.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"source must be a path or -, not {type(source).__name__}")
    if os.fspath(source) == "-":
        if sys.stdin is None:
            raise ValueError("there is no standard input to read")
        return _collect(_read_json_lines(sys.stdin.buffer))
    path = Path(source)
    kind = format_of(path)
    reader = {"jsonl": _read_json_lines, "csv": _read_csv, "json": _read_list}[kind]
    with path.open("rb") as file:
        return _collect(reader(file))


def format_of(path: Path) -> str:
    """`jsonl`, `csv` or `json`, by the end of a file's name.

    Raises:
        ValueError: The name has none of these extensions.
    """
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise ValueError(f"{path}: the name must end in {', '.join(_FORMATS)}, or be -") from None


@attrs.frozen
class _Cells:
    """A row of a CSV.

    Attributes:
        fields: The group in the API's shape.
        empty: The columns with an empty cell.
        row: The cells, by column.
    """

    fields: Mapping[str, Any]
    empty: tuple[str, ...]
    row: Mapping[str, str]


def _collect(rows: _Rows) -> list[Record]:
    records, problems = [], []
    for place, row in rows:
        if isinstance(row, ValueError):
            problems.append(f"{place}: {row}")
            continue
        try:
            if isinstance(row, _Cells):
                records.append(to_record(row.fields, place, merges_tags=True, empty=row.empty, row=row.row))
            else:
                records.append(to_record(row, place))
        except ValueError as problem:
            problems.append(str(problem))
    if problems:
        raise PlanError.of(problems)
    return records


# Readers. Each yields the place and the content of a record, or what is wrong with it.

_Rows = Iterator[tuple[str, Mapping[str, Any] | _Cells | ValueError]]


def _read_json_lines(file: IO[bytes]) -> _Rows:
    for number, line in enumerate(file, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if text.strip():
            yield f"line {number}", _json_object(text)


def _json_object(text: bytes) -> Mapping[str, Any] | ValueError:
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError) as problem:
        return ValueError(f"not valid JSON: {problem}{_encoding_hint(text)}")
    return value if isinstance(value, dict) else ValueError(f"expected a JSON object, not {text[:40]!r}")


def _read_list(file: IO[bytes]) -> _Rows:
    content = file.read().removeprefix(b"\xef\xbb\xbf")
    try:
        answer = msgspec.json.decode(content)
    except (ValueError, RecursionError) as problem:
        yield "the file", ValueError(f"not valid JSON: {problem}{_encoding_hint(content)}")
        return
    items = answer.get("items") if isinstance(answer, dict) else answer
    if not isinstance(items, list):
        yield "the file", ValueError("expected Losant's list of groups, an object with items")
        return
    total = answer.get("totalCount") if isinstance(answer, dict) else None
    if isinstance(total, int) and total > len(items):
        yield "the file", ValueError(f"holds {len(items)} of {total} groups; export them all")
    for number, item in enumerate(items):
        yield f"items[{number}]", item if isinstance(item, dict) else ValueError("expected a JSON object")


def _read_csv(file: IO[bytes]) -> _Rows:
    reader = csv.reader(_decoded(file), strict=True)
    header: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as problem:
            # What follows a broken quote cannot be told apart.
            yield f"line {line}", ValueError(f"not valid CSV: {problem}")
            return
        except _NotUtf8Error as problem:
            yield f"line {reader.line_num + 1}", problem
            return
        if cells is None:
            break
        place, line = f"line {line}", reader.line_num + 1
        if header is None:
            if wrong := header_problem(cells):
                yield place, ValueError(wrong)
                return
            header = cells
        elif cells:
            yield place, _row(header, cells)
    if header is None:
        yield "line 1", ValueError("expected a line with the names of the columns")


def _row(header: list[str], cells: list[str]) -> _Cells | ValueError:
    try:
        fields = from_cells(header, cells)
    except ValueError as problem:
        return problem
    row = dict(zip(header, cells, strict=True))
    return _Cells(fields, tuple(column for column, cell in row.items() if not cell), row)


class _NotUtf8Error(ValueError):
    pass


def _decoded(file: IO[bytes]) -> Iterator[str]:
    for number, line in enumerate(file):
        if hint := _encoding_hint(line):
            raise _NotUtf8Error(f"not valid CSV{hint}")
        yield line.decode("utf-8-sig" if number == 0 else "utf-8")


def _encoding_hint(line: bytes) -> str:
    """What to do about bytes that are no UTF-8; "" if they are."""
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "; it is UTF-16: save it as UTF-8"
    try:
        line.decode()
    except UnicodeDecodeError as problem:
        return f"; byte {problem.start + 1} of the line is no UTF-8: save it as UTF-8"
    return ""
