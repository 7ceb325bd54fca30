"""The text of files as people save them: byte order marks, UTF-16, all kinds of line ends."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import IO

BOM = codecs.BOM_UTF8
_SAMPLE = 4096  # bytes
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class NoTextError(ValueError):
    """A line that is no text; the message says what to do."""


def text_lines(file: IO[bytes]) -> Iterator[str]:
    """Yield the lines of a text in UTF-8 or UTF-16, with their ends, whichever of CR, LF and CRLF they are.

    Raises:
        NoTextError: A line is neither.
    """
    start = file.read(_SAMPLE)
    encoding = _utf_16(start)
    if encoding is not None:
        try:
            yield from _LINES.findall((start + file.read()).decode(encoding).removeprefix("\ufeff"))
        except UnicodeDecodeError as problem:
            raise NoTextError(f"not valid CSV; as UTF-16 it breaks at byte {problem.start + 1}") from None
        return
    rest = start.removeprefix(BOM)
    while rest:
        *lines, rest = rest.split(b"\n")
        for line in lines:
            yield from _split(line + b"\n")
        more = file.read(_SAMPLE)
        if not more:
            break
        rest += more
    if rest:
        yield from _split(rest)


def _split(line: bytes) -> Iterator[str]:
    if hint := encoding_hint(line):
        raise NoTextError(f"not valid CSV{hint}")
    text = line.decode()
    if "\r" in text.removesuffix("\n").removesuffix("\r"):  # CR alone ends lines as well
        yield from _LINES.findall(text)
    else:
        yield text


def _utf_16(start: bytes) -> str | None:
    """Return which UTF-16 a text begins with, marked or not; None for none."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    halves = start[::2], start[1::2]
    for zeros, encoding in ((halves[1], "utf-16-le"), (halves[0], "utf-16-be")):
        if len(start) > 3 and zeros.count(0) > 0.7 * len(zeros):  # most letters of a header are ASCII
            return encoding
    return None


def encoding_hint(line: bytes) -> str:
    """What to do about bytes that are no UTF-8; "" if they are."""
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "; it is UTF-16: save it as UTF-8"
    try:
        line.decode()
    except UnicodeDecodeError as problem:
        return f"; byte {problem.start + 1} of the line is no UTF-8: save it as UTF-8"
    return ""
