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


class Mapping(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    """What a mapping file says; see docs/files.md."""

    columns: dict[str, str] = {}
    ignore: list[str] = []
    levels: list[str] = []
    delimiter: str | None = None
    empty: Literal["keep", "clear"] | None = None
    format: Literal["jsonl", "csv", "json", "yaml"] | None = None
    members_mode: Literal["replace", "add"] | None = None


@attrs.frozen
class HowToRead:
    """What the options of a command say of its files.

    Attributes:
        delimiter: What separates the columns of a CSV; None to find out. `tab` is a tab.
        map: `OLD=NEW` for each column with another name than the API's.
        ignore_columns: Columns to leave out, separated by commas.
        levels: Columns that make the tree, separated by commas.
        format: The format, whatever the name ends in; None to go by that.
        empty: `keep` or `clear`.
        members_mode: `replace`, `add`, or None for what the file says.
        mapping: A TOML file that says the same.
    """

    delimiter: str | None = None
    map: tuple[str, ...] = ()
    ignore_columns: str = ""
    levels: str = ""
    format: str | None = None
    empty: str | None = None
    members_mode: str | None = None
    mapping: Path | None = None

    def options(self) -> tuple[dict[str, Any], str | None]:
        """Return the arguments of `read_records`, and what becomes of other members; an option wins over the file.

        Raises:
            ValueError: An option or the mapping file is none of what it may be.
            OSError: The mapping file cannot be read.
        """
        kept = Mapping() if self.mapping is None else _read_mapping(self.mapping)
        columns: dict[str, str | None] = {**kept.columns, **dict.fromkeys(kept.ignore)}
        for pair in self.map:
            old, equals, new = pair.partition("=")
            if not (old.strip() and equals and new.strip()):
                raise ValueError(f"--map must be OLD=NEW, such as --map Kunde=name, not {pair!r}")
            columns[old.strip()] = new.strip()
        columns |= dict.fromkeys(_names(self.ignore_columns))
        delimiter = self.delimiter or kept.delimiter
        options = {
            "delimiter": "\t" if delimiter in ("tab", "\\t") else delimiter,
            "columns": columns,
            "levels": _names(self.levels) or kept.levels,
            "format": self.format or kept.format,
            "empty": self.empty or kept.empty or "keep",
        }
        return options, self.members_mode or kept.members_mode


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
    options, mode = how.options()
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
