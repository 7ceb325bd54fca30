"""Globs as a list's `filter` has them."""

from __future__ import annotations

import fnmatch
import functools
import re


def glob_matches(glob: str, text: str) -> bool:
    """Whether a text matches a glob of `*` and `?`."""
    # Case is assumed not to matter, as in Losant's own lists.
    return _compiled(glob.lower()).match(text.lower()) is not None


@functools.lru_cache(maxsize=100)
def _compiled(glob: str) -> re.Pattern[str]:
    # Brackets mean nothing in a filter.
    return re.compile(fnmatch.translate(glob.replace("[", "[[]")))
