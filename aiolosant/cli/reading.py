"""How the files of a command are read, as its options say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from aiolosant.errors import PlanError
from aiolosant.reconcile import Record, read_records


@attrs.frozen
class HowToRead:
    """What the options of a command say of its files."""


def read_files(files: Sequence[Path], _how: HowToRead) -> list[Record]:
    """Return the records of all files.

    Raises:
        PlanError: All that is wrong with them; with several files, each problem with its file's name.
    """
    records: list[Record] = []
    problems: list[str] = []
    for file in files:
        try:
            read = read_records(file)
        except PlanError as error:
            problems += error.problems if len(files) == 1 else [f"{file}: {problem}" for problem in error.problems]
        else:
            records += (
                read if len(files) == 1 else [attrs.evolve(record, place=f"{file}: {record.place}") for record in read]
            )
    if problems:
        raise PlanError.of(problems)
    return records
