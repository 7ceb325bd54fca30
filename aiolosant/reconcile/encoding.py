"""The text of files as people save them: byte order marks, UTF-16, all kinds of line ends."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import IO

BOM = codecs.BOM_UTF8
_SAMPLE = 4096  # bytes
_BLOCK = 1 << 16  # bytes
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
    held = start.removeprefix(BOM)
    while held:
        more = file.read(_BLOCK)
        # Whole lines, whichever end they have; a CR at the very end may be half of an end.
        end = max(held.rfind(b"\n"), held.rfind(b"\r", 0, len(held) - 1)) + 1 if more else len(held)
        yield from _split(held[:end])
        held = held[end:] + more


def _split(lines: bytes) -> Iterator[str]:
    try:
        yield from _LINES.findall(lines.decode())
    except UnicodeDecodeError:
        for line in re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", lines):
            if hint := encoding_hint(line):
                raise NoTextError(f"not valid CSV{hint}") from None
            yield line.decode()


def _utf_16(start: bytes) -> str | None:
    """Return which UTF-16 a text begins with, marked or not; None for none."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    header = re.split(rb"\n|\r", start)[0]  # of ASCII letters, whatever follows
    halves = header[::2], header[1::2]
    for zeros, encoding in ((halves[1], "utf-16-le"), (halves[0], "utf-16-be")):
        if len(header) > 3 and zeros.count(0) > 0.7 * len(zeros):
            return encoding
    return None


def encoding_hint(line: bytes) -> str:
    """What to do about bytes that are no UTF-8; "" if they are."""
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "; it is UTF-16: save it as UTF-8"
    try:
        line.decode()
    except UnicodeDecodeError as problem:
        return f"; byte {problem.start + 1} of the line is no UTF-8: save it as UTF-8 (in Excel: CSV UTF-8)"
    return ""
