"""Reads groups from a CSV as spreadsheets save it."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator, Mapping
from typing import IO

import attrs

from .codec import from_cells, is_empty, unguarded
from .encoding import NoTextError, text_lines
from .header import Header, read_header
from .rows import Row, Rows

logger: logging.Logger = logging.getLogger("aiolosant")

_BLANK_AND_QUOTE = re.compile(r'\s+".*"\s*$', re.DOTALL)  # CSV has no such quotes: they would be part of the text
_OTHERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@attrs.frozen
class CsvOptions:
    """How a CSV is read; see `read_records`.

    Attributes:
        delimiter: What separates columns; None to find out.
        columns: The API's names of columns with other names; None for what is left out.
        levels: The columns that make the tree.
        clears: Whether an empty cell clears its field.
    """

    delimiter: str | None = None
    columns: Mapping[str, str | None] = attrs.field(factory=dict)
    levels: tuple[str, ...] = ()
    clears: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise ValueError(f"delimiter must be one character, not {self.delimiter!r}")


def read_csv(file: IO[bytes], options: CsvOptions) -> Rows:
    """Yield a record a row, or what is wrong with it."""
    rows = _read_rows(file, options)
    return _as_tree(rows, options.levels) if options.levels else rows


def _read_rows(file: IO[bytes], options: CsvOptions) -> Rows:
    lines = _Lines(text_lines(file))
    try:
        header, delimiter = _begin(lines, options)
    except _BrokenError as problem:
        for text in problem.problems:
            yield Row(problem.place, problem=text)
        return
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    options = attrs.evolve(options, delimiter=delimiter)
    while True:
        place = f"line {lines.number + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as error:  # what follows a broken quote cannot be told apart
            hint = "; a quote that is opened in this row is not closed" if "unexpected end" in str(error) else ""
            yield Row(place, problem=f"not valid CSV: {error}{hint}")
            return
        except NoTextError as error:
            yield Row(f"line {lines.number + 1}", problem=str(error))
            return
        if cells is None:
            return
        quoted = next((cell for cell in cells if _BLANK_AND_QUOTE.match(cell)), "")
        # A text that begins so, and is quoted as it should be, has its quotes twice in the line.
        if quoted and (f"{delimiter}{quoted}" in lines.last or lines.last.startswith(quoted)):
            yield Row(place, problem=f"a blank stands before the quote of {quoted.strip()}: take it away")
        elif any(cell.strip() for cell in cells):
            yield _row(place, header, cells, options)


class _Lines:
    """Counts the lines that are read."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.number = 0
        self.last = ""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.last = next(self._lines)
        self.number += 1
        return self.last


class _BrokenError(Exception):
    def __init__(self, place: str, problems: list[str]) -> None:
        super().__init__(place)
        self.place = place
        self.problems = problems


def _begin(lines: _Lines, options: CsvOptions) -> tuple[Header, str]:
    """Read up to the header, and find out what separates columns.

    Raises:
        _BrokenError: There is no header that fits.
    """
    delimiter = options.delimiter
    try:
        for line in lines:
            bare = line.strip("\r\n").strip('"')
            if (
                bare.lower().startswith("sep=") and len(bare) > 4 and bare[4:] == bare[4] * len(bare[4:])
            ):  # a spreadsheet's
                delimiter = delimiter or bare[4]
            elif bare.strip(",;\t| "):
                return _fitting(line, lines, delimiter, options)
    except (csv.Error, NoTextError) as problem:
        text = str(problem) if isinstance(problem, NoTextError) else f"not valid CSV: {problem}"
        raise _BrokenError(f"line {max(1, lines.number + isinstance(problem, NoTextError))}", [text]) from None
    raise _BrokenError("the file", ["there is nothing in it, not even a line with the names of the columns"])


def _fitting(line: str, lines: _Lines, delimiter: str | None, options: CsvOptions) -> tuple[Header, str]:
    place = f"line {lines.number}"
    while line.count('"') % 2:  # a name goes on in the next line
        line += next(lines, '"')

    def header_with(separator: str) -> Header:
        try:
            cells = next(csv.reader(io.StringIO(line, newline=""), delimiter=separator, strict=True))
        except csv.Error as problem:  # as of quotes that another separator stands between
            return Header([], [], [f"not valid CSV: {problem}"])
        return read_header(cells, options.columns, options.levels)

    header = header_with(delimiter or ",")
    if header.problems and delimiter is None:
        fits = {separator: found for separator in _OTHERS if not (found := header_with(separator)).problems}
        if len(fits) == 1:
            ((delimiter, header),) = fits.items()
            logger.warning("the columns are separated by %s", _OTHERS[delimiter])
        elif len(header.names) <= 1:  # no comma at all: what it looks like with the separator that is there
            separator = max(_OTHERS, key=line.count)
            header = header_with(separator) if separator in line else header
    if header.problems:
        raise _BrokenError(place, header.problems)
    return header, delimiter or ","


def _row(place: str, header: Header, cells: list[str], options: CsvOptions) -> Row:
    names = header.names
    surplus = [cell for cell in cells[len(names) :] if cell.strip()]
    if surplus:
        return Row(place, problem=f"expected {len(names)} cells, got {len(cells)}: {surplus[0]!r} is beyond the header")
    cells = [*cells, *[""] * (len(names) - len(cells))][: len(names)]
    for name, original, cell in zip(names, header.originals, cells, strict=True):
        if not original and name is None and cell.strip():
            return Row(place, problem=f"{cell!r} is in a column without a name")
    named = {name: cell for name, cell in zip(names, cells, strict=True) if name is not None}
    levels = [unguarded(named.pop(level)) for level in options.levels]
    try:
        fields, cleared = from_cells(named, clears=options.clears)
    except ValueError as problem:
        return Row(place, problem=str(problem))
    originals = dict(zip(header.originals, cells, strict=True))
    originals.pop("", None)
    empty = () if options.clears else tuple(name for name, cell in named.items() if is_empty(name, cell))
    more = {
        "merges_tags": not named.get("groupTags", "").strip() and not (options.clears and "groupTags" in named),
        "cleared_tags": cleared,
        "empty": empty,
        "row": originals,
        "delimiter": options.delimiter,
    }
    return Row(place, {**fields, "levels": levels} if levels else fields, more=more)


def _as_tree(rows: Rows, levels: tuple[str, ...]) -> Rows:
    """Yield groups of rows that name the whole path: those above a row are made where they have no row of their own."""
    own: dict[tuple[str, ...], Row] = {}
    for row in rows:
        path = tuple(name.strip() for name in row.fields.get("levels", ()))
        while path and not path[-1]:
            path = path[:-1]
        if row.problem:
            yield row
        elif not path or not all(path):
            text = f"{', '.join(levels)} must be filled from the left, and not {' / '.join(path)!r}"
            yield Row(row.place, problem=text)
        elif path in own:
            yield Row(row.place, problem=f"is the same group as {own[path].place}: {' / '.join(path)}")
        else:
            own[path] = row
    ids = {path: str(row.fields.get("id") or _path_id(path)) for path, row in own.items()}
    for path, row in own.items():
        for depth in range(1, len(path)):
            above = path[:depth]
            if above not in ids:
                ids[above] = _path_id(above)
                implied = {"id": ids[above], "parentId": ids.get(above[:-1]), "name": above[-1]}
                cells = dict(zip(levels, above, strict=False))
                more = {"row": cells, "delimiter": row.more["delimiter"], "is_implied": True}
                yield Row(row.place, implied, more=more)
        fields = {name: value for name, value in row.fields.items() if name != "levels"}
        place = {"id": ids[path], "parentId": ids.get(path[:-1]), "name": path[-1]}
        yield Row(row.place, fields | place, more=row.more)


def _path_id(path: tuple[str, ...]) -> str:
    return "the levels " + " / ".join(name.replace("/", "//") for name in path)
