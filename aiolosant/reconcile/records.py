"""Records in files: JSON Lines, CSV and Losant's list JSON in, JSON Lines and CSV out.

A file is read line by line and told of whole: every problem with its line, before anybody acts on any of it.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from .. import wire
from ..errors import PlanError
from ..models import ExperienceGroup
from .model import Record

# What the server alone sets, and what shapes an answer (`_type`, `_links` and their kin), is read over.
_SERVERS_OWN = {
    *("experienceGroupId", "applicationId", "creationDate", "lastUpdated", "ancestorIds"),
    *("directDeviceCount", "totalDeviceCount"),
}
_LISTS = ("experienceUserIds", "experienceEndpointIds", "deviceIds")
_PLAIN_COLUMNS = ("id", "parentId", "name", "description", *_LISTS, "deviceTags", "deviceQueryJson")
_TAG = "groupTags."
_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".json": "json"}

Source = str | os.PathLike[str]


def to_record(mapping: Mapping[str, Any], place: str = "a record") -> Record:
    """A record out of a group in the shape in which the API lists it; null is absent, but for a device query.

    Raises:
        ValueError: A field is missing, unknown, of a wrong type or beyond its limit; the message names it and `place`.
    """
    try:
        fields = _checked_fields(mapping)
    except ValueError as problem:
        raise ValueError(f"{place}: {problem}") from None
    return Record(fields, mapping.get("id"), mapping.get("parentId"), place)


def _checked_fields(mapping: Mapping[str, Any]) -> dict[str, Any]:
    given = {}
    for name, value in mapping.items():
        if name in ("id", "parentId"):
            if value is not None and (not isinstance(value, str) or not value):
                raise ValueError(f"{name} must be text and not empty, not {value!r}")
        elif name in wire.FIELDS:
            if value is not None or name == "deviceQueryJson":
                given[name] = value
        elif name not in _SERVERS_OWN and not name.startswith("_"):
            raise ValueError(f"there is no field {name!r}; a group has {', '.join(['id', *wire.FIELDS])}")
    if "name" not in given:
        raise ValueError("name is missing")
    try:
        group = wire.new_group(given)
    except ValueError as problem:
        text = str(problem)
        for name, field in wire.FIELDS.items():  # as the file calls them
            text = text.replace(field, name)
        raise ValueError(text) from None
    return {wire.FIELDS[name]: getattr(group, wire.FIELDS[name]) for name in given}


def to_object(record: Record) -> dict[str, Any]:
    """A record in the shape that it was read from."""
    ids = {"id": record.id, "parentId": record.parent_id}
    return {name: text for name, text in ids.items() if text is not None} | wire.changes_to_object(record.fields)


def read_records(source: Source) -> list[Record]:
    """All records of a file.

    Args:
        source: A file of JSON Lines (`.jsonl`, `.ndjson`), CSV (`.csv`) or Losant's list JSON (`.json`), in UTF-8 with
            or without a byte order mark; `-` for JSON Lines from standard input. A CSV has the API's fields for its
            columns, `groupTags.KEY` for a tag, lists separated by `;`, device tags as `key=value`; an empty cell is an
            absent field.

    Raises:
        PlanError: Every problem with its line.
        OSError: The file cannot be read.
        ValueError: The name ends like none of these.
    """
    if source == "-":
        return _collect(_read_json_lines(sys.stdin.buffer))
    path = Path(source)
    reader = {"jsonl": _read_json_lines, "csv": _read_csv, "json": _read_list}[_format_of(path)]
    with path.open("rb") as file:
        return _collect(reader(file))


def _format_of(path: Path) -> str:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise ValueError(f"{path}: the name must end in {', '.join(_FORMATS)}, or be -") from None


def _collect(rows: Iterable[tuple[str, Mapping[str, Any] | ValueError]]) -> list[Record]:
    records, problems = [], []
    for place, row in rows:
        if isinstance(row, ValueError):
            problems.append(f"{place}: {row}")
            continue
        try:
            records.append(to_record(row, place))
        except ValueError as problem:
            problems.append(str(problem))
    if problems:
        raise PlanError.of(problems)
    return records


# Readers. Each yields the place and the content of a record, or what is wrong with it.

_Rows = Iterator[tuple[str, Mapping[str, Any] | ValueError]]


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
            if wrong := _header_problem(cells):
                yield place, ValueError(wrong)
                return
            header = cells
        elif cells:
            yield place, _row(header, cells)
    if header is None:
        yield "line 1", ValueError("expected a line with the names of the columns")


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


def _header_problem(columns: list[str]) -> str:
    for column in columns:
        known = column in _PLAIN_COLUMNS or column in _SERVERS_OWN or column.startswith("_")
        if not known and not (column.startswith(_TAG) and column != _TAG):
            hint = "; columns are separated by commas" if ";" in column or "\t" in column else ""
            return f"there is no column {column!r}; there are {', '.join(_PLAIN_COLUMNS)} and {_TAG}KEY{hint}"
        if columns.count(column) > 1:
            return f"there are two columns {column!r}"
    return ""


def _row(header: list[str], cells: list[str]) -> Mapping[str, Any] | ValueError:
    if len(cells) != len(header):
        return ValueError(f"expected {len(header)} cells, got {len(cells)}")
    fields: dict[str, Any] = {}
    for column, cell in zip(header, cells, strict=True):
        if not cell:
            continue
        if column in _LISTS:
            fields[column] = [item.strip() for item in cell.split(";") if item.strip()]
        elif column.startswith(_TAG):
            fields.setdefault("groupTags", {})[column.removeprefix(_TAG)] = cell
        elif column == "deviceTags":
            tags = [_unescaped(tag).partition("=") for tag in re.findall(r"(?:\\.|[^;])+", cell)]
            if not all(equals for _, equals, _ in tags):
                return ValueError(f"deviceTags must be key=value, separated by semicolons, not {cell!r}")
            fields[column] = [
                {name: text for name, text in (("key", key), ("value", value)) if text} for key, _, value in tags
            ]
        else:
            fields[column] = cell
    return fields


def _escaped(text: str) -> str:
    return re.sub(r"([\\;])", r"\\\1", text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


# Writing.


def to_row(group: ExperienceGroup) -> dict[str, Any]:
    """A group in the shape in which the API lists it: all that a client may set, given or not, and its id."""
    values = {name: getattr(group, field) for name, field in wire.FIELDS.items()}
    if group.description is None:
        del values["description"]  # no record can ask for none
    tags = [wire.to_object(tag) for tag in group.device_tags]
    return {"id": group.id, **values, "deviceTags": tags, "groupTags": dict(group.group_tags)}


class RecordWriter:
    """Writes groups to a file that appears whole or not at all: `with RecordWriter(path) as writer`.

    Args:
        target: A file to make or replace, of JSON Lines (`.jsonl`, `.ndjson`) or CSV (`.csv`); `-` for JSON Lines to
            standard output. A CSV cannot say that a list is empty rather than left alone; JSON Lines can.

    Raises:
        ValueError: The name ends like none of these.
    """

    def __init__(self, target: Source) -> None:
        self._path = None if target == "-" else Path(target)
        self._as_csv = self._path is not None and _format_of(self._path) == "csv"
        if self._path is not None and _format_of(self._path) == "json":
            raise ValueError(f"{self._path}: groups are written as JSON Lines (.jsonl) or CSV (.csv)")
        self._tag_keys: set[str] = set()

    def write(self, group: ExperienceGroup) -> None:
        """Write one more."""
        self._tag_keys.update(group.group_tags)
        self._file.write(wire.encode(to_row(group)) + b"\n")

    def __enter__(self) -> Self:
        if self._path is None:
            self._file: IO[bytes] = sys.stdout.buffer
        elif self._as_csv:
            # Its columns are known when the last group is: kept as JSON Lines until then.
            self._file = tempfile.TemporaryFile()
        else:
            self._file = self._beside().open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._path is None:
            self._file.flush()
            return
        beside = self._beside()
        try:
            if error is None and self._as_csv:
                with beside.open("w", encoding="utf-8", newline="") as file:
                    self._write_csv(file)
                    _sync(file)
            elif error is None:
                _sync(self._file)
            self._file.close()
            if error is None and beside != self._path:
                if self._path.exists():
                    shutil.copymode(self._path, beside)
                beside.replace(os.path.realpath(self._path))
        finally:
            self._file.close()
            if beside != self._path:
                beside.unlink(missing_ok=True)

    def _beside(self) -> Path:
        """What is written until it is whole; what is no file, such as a pipe, is written as it is."""
        if self._path is None or (self._path.exists() and not self._path.is_file()):
            return self._path or Path()
        path = Path(os.path.realpath(self._path))
        return path.with_name(f".{path.name}.{os.getpid()}.part")

    def _write_csv(self, file: IO[str]) -> None:
        columns = [*_PLAIN_COLUMNS, *(f"{_TAG}{key}" for key in sorted(self._tag_keys))]
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        self._file.seek(0)
        for line in self._file:
            row = msgspec.json.decode(line)
            row |= {f"{_TAG}{key}": text for key, text in row.pop("groupTags").items()}
            row |= {name: ";".join(row[name]) for name in _LISTS}
            tags = (_escaped(f"{tag.get('key', '')}={tag.get('value', '')}") for tag in row["deviceTags"])
            writer.writerow(row | {"deviceTags": ";".join(tags)})


def _sync(file: IO[Any]) -> None:
    file.flush()
    with contextlib.suppress(OSError):  # a pipe has nothing to sync
        os.fsync(file.fileno())
