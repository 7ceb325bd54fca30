"""How the files of a command are read, as its options say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import msgspec

from aiolosant.errors import PlanError
from aiolosant.reconcile import Record, read_records
from aiolosant.reconcile.json_reader import UNNAMED

from .choices import HowToRead


class Mapping(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    """What a mapping file says; see docs/files.md."""

    columns: dict[str, str] = {}
    ignore: list[str] = []
    levels: list[str] = []
    delimiter: str | None = None
    empty: Literal["keep", "clear"] | None = None
    format: Literal["jsonl", "csv", "json", "yaml"] | None = None
    members_mode: Literal["replace", "add"] | None = None


def _options_of(how: HowToRead) -> tuple[dict[str, Any], str | None]:
    """Return the arguments of `read_records`, and what becomes of other members; an option wins over the file.

    Raises:
        ValueError: An option or the mapping file is none of what it may be.
        OSError: The mapping file cannot be read.
    """
    kept = Mapping() if how.mapping is None else _read_mapping(how.mapping)
    columns: dict[str, str | None] = {**kept.columns, **dict.fromkeys(kept.ignore)}
    for pair in how.map:
        old, equals, new = pair.partition("=")
        if not (old.strip() and equals and new.strip()):
            raise ValueError(f"--map must be OLD=NEW, such as --map Kunde=name, not {pair!r}")
        columns[old.strip()] = new.strip()
    columns |= dict.fromkeys(_names(how.ignore_columns))
    delimiter = how.delimiter or kept.delimiter
    options = {
        "delimiter": "\t" if delimiter in ("tab", "\\t") else delimiter,
        "columns": columns,
        "levels": _names(how.levels) or kept.levels,
        "format": how.format or kept.format,
        "empty": how.empty or kept.empty or "keep",
    }
    return options, how.members_mode or kept.members_mode


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _read_mapping(path: Path) -> Mapping:
    try:
        return msgspec.toml.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=Mapping)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None


def read_files(files: Sequence[Path], how: HowToRead) -> list[Record]:
    """Return the records of all files.

    Raises:
        PlanError: All that is wrong with them; with several files, each problem with its file's name.
        ValueError: An option is none of what it may be.
        OSError: A file cannot be read.
    """
    records: list[Record] = []
    problems: list[str] = []
    options, mode = _options_of(how)
    if mode not in (None, "replace", "add"):
        raise ValueError(f"--members-mode must be replace or add, not {mode!r}")
    for file in files:
        where = f"{file}: " if len(files) > 1 else ""
        try:
            read = read_records(file, **options)
        except PlanError as error:
            problems += [f"{where}{problem}" for problem in error.problems]
            continue
        changes: dict[str, Any] = {} if mode is None else {"members_mode": mode}
        records += [attrs.evolve(_of_file(record, where), **changes) for record in read]
    if problems:
        raise PlanError.of(problems)
    return list(_merged(records))


def _of_file(record: Record, where: str) -> Record:
    """Return a record that names its file, also in an id that was made up for it."""
    ids: dict[str, Any] = {
        name: f"{where}{text}" if text is not None and text.startswith(UNNAMED) else text
        for name, text in (("id", record.id), ("parent_id", record.parent_id))
    }
    return attrs.evolve(record, place=f"{where}{record.place}", **ids)


def _merged(records: Sequence[Record]) -> Iterator[Record]:
    """Yield records; of what stands above others in the levels of several files, one, or that with a row of its own."""
    seen = {record.id for record in records if not record.is_implied}
    for record in records:
        if record.is_implied:
            if record.id in seen:
                continue
            seen.add(record.id)
        yield record


def is_regular(file: Path) -> bool:
    """Whether a file can be looked into before it is read, unlike standard input and pipes."""
    return os.fspath(file) != "-" and file.is_file()
