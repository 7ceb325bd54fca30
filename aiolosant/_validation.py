"""What an argument must be. Each check names the argument, and says no before anything is sent."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

_ID = re.compile(r"[A-Fa-f0-9]{24}")
_TAG_KEY = re.compile(r"[0-9a-zA-Z_-]{1,255}")


def plain(value: str) -> str:
    """Text of a subclass as plain text; what is no text stays as it is, for a check to refuse.

    An enumeration's text has another `str()` than its value, and a template's is no text for every JSON writer.
    """
    return str.__str__(value) if isinstance(value, str) and type(value) is not str else value


def check_text(argument: str, value: object, minimum: int = 0, maximum: int | None = None) -> str:
    """`value` as plain text, if it is text of so many characters that can be sent.

    Raises:
        TypeError: It is not text.
        ValueError: It is too short or too long, or has half of a surrogate pair. Both messages name `argument`.
    """
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be text, not {type(value).__name__}")
    if len(value) < minimum or (maximum is not None and len(value) > maximum):
        upper = "or more" if maximum is None else f"to {maximum}"
        raise ValueError(f"{argument} must have {minimum} {upper} characters, not {len(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{argument} is no valid Unicode text: {error}") from None
    return plain(value)


def check_id(argument: str, value: object) -> str:
    """`value` as plain text, if it is an id: 24 hex digits.

    Raises:
        TypeError: It is not text.
        ValueError: It is any other text. Both messages name `argument`.
    """
    return _check_form(argument, value, _ID, "24 hex digits")


def is_id(text: str) -> bool:
    """Whether a text is an id."""
    return bool(_ID.fullmatch(text))


def check_tag_key(argument: str, value: object) -> str:
    """`value` as plain text, if it is a tag key; raises as `check_id`."""
    return _check_form(argument, value, _TAG_KEY, "1 to 255 letters, digits, '_' or '-'")


def _check_form(argument: str, value: object, form: re.Pattern[str], words: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be text, not {type(value).__name__}")
    if not form.fullmatch(value):
        raise ValueError(f"{argument} must be {words}, not {_quoted(value)}")
    return plain(value)


def check_range(argument: str, value: object, minimum: int, maximum: int | None = None) -> None:
    """Refuse what is no integer between two bounds.

    Raises:
        TypeError: It is no integer.
        ValueError: It is out of the bounds. Both messages name `argument`.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{argument} must be an integer, not {type(value).__name__}")
    if value < minimum or (maximum is not None and value > maximum):
        upper = "or more" if maximum is None else f"to {maximum}"
        raise ValueError(f"{argument} must be {minimum} {upper}, not {value}")


def check_seconds(argument: str, value: object, *, positive: bool = False) -> None:
    """Refuse what is no finite number of seconds, 0 or more; with `positive` more than 0.

    Raises:
        TypeError: It is no number.
        ValueError: It is out of these bounds. Both messages name `argument`.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{argument} must be a number of seconds, not {type(value).__name__}")
    if not 0 <= value < math.inf or (positive and value == 0):
        raise ValueError(f"{argument} must be {'more than 0' if positive else '0 or more'} seconds, not {value}")


def check_flag(argument: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises:
        TypeError: The message names `argument`.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be True or False, not {type(value).__name__}")


def _quoted(value: str) -> str:
    return repr(value if len(value) <= 60 else f"{value[:57]}...")


def check_items(argument: str, items: object) -> Iterable[Any]:
    """Several texts, such as ids; what they are is not looked at.

    Raises:
        TypeError: It is one text, or no iterable.
    """
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise TypeError(f"{argument} must be several texts, not {type(items).__name__}")
    return items


def check_batch(argument: str, items: object, concurrency: object, **flags: object) -> None:
    """Check what every batch takes: an iterable, how many items are under way at a time, and flags.

    Raises:
        TypeError: One is of a wrong type.
        ValueError: `concurrency` is below 1.
    """
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable | AsyncIterable):
        raise TypeError(f"{argument} must be an iterable or async iterable, not {type(items).__name__}")
    check_range("concurrency", concurrency, 1)
    for name, flag in flags.items():
        check_flag(name, flag)


def check_rate(argument: str, value: object) -> None:
    """Refuse what is no number of requests a second, more than 0.

    Raises:
        TypeError: It is no number.
        ValueError: It is not finite, or not more than 0. Both messages name `argument`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{argument} must be a number of requests a second, not {type(value).__name__}")
    if not 0 < value < math.inf:
        raise ValueError(f"{argument} must be a number of requests a second, more than 0, not {value}")
