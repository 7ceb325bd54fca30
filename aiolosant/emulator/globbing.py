"""Globs as a list's `filter` has them."""

from __future__ import annotations


def glob_matches(glob: str, text: str) -> bool:
    """Whether a text matches a glob of `*` and `?`, in time proportional to their lengths' product at worst."""
    # Case is assumed not to matter, as in Losant's own lists.
    glob, text = glob.lower(), text.lower()
    g = t = 0
    star, resume = -1, 0  # where the last `*` stands, and where in the text to go on if what follows it does not match
    while t < len(text):
        if g < len(glob) and glob[g] == "*":
            star, resume = g, t
            g += 1
        elif g < len(glob) and glob[g] in ("?", text[t]):
            g, t = g + 1, t + 1
        elif star >= 0:
            resume += 1
            g, t = star + 1, resume
        else:
            return False
    return not glob[g:].strip("*")
