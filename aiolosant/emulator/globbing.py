"""Globs as a list's `filter` has them, and the one way in which case is ignored."""

from __future__ import annotations

import fnmatch
import functools
import re


def folded(text: str) -> str:
    """A text as it compares without case: in a `filter`, and under `$ci`."""
    # Losant does not say how; lower case letter by letter is what MongoDB's regular expressions do.
    return text.lower()


def glob_matches(glob: str, text: str) -> bool:
    """Whether a text matches a glob of `*` and `?`."""
    # Case is assumed not to matter, as in Losant's own lists.
    return _compiled(folded(glob)).match(folded(text)) is not None


@functools.lru_cache(maxsize=100)
def _compiled(glob: str) -> re.Pattern[str]:
    # Brackets mean nothing in a filter.
    return re.compile(fnmatch.translate(glob.replace("[", "[[]")))
