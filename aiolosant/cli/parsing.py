"""Texts of options, read."""

from __future__ import annotations

import json
import re
from typing import Any


def parsed_time(option: str, text: str) -> float:
    """Return the seconds of a time such as `90`, `90s`, `10m` or `2h`.

    Raises:
        ValueError: It is none; the message names the option.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not found:
        raise ValueError(f"{option} must be a time such as 90s, 10m or 2h, not {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def parsed_query(text: str | None) -> dict[str, Any] | None:
    """An advanced query that was given as JSON.

    Raises:
        ValueError: It is no JSON object.
    """
    if not text:
        return None
    try:
        query, problem = json.loads(text), "it is none"
    except json.JSONDecodeError as error:
        query, problem = None, str(error)
    if isinstance(query, dict):
        return query
    raise ValueError(f"--query must be a JSON object, such as '{{\"parentId\": null}}', not {text}: {problem}")
