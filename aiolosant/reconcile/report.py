"""A plan, and what became of it, as a page: Markdown for a pull request, or one HTML file for people."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import attrs

from .._files import whole_file
from .change import Change, ChangeOutcome, parts, shown_path
from .plan import Plan
from .report_html import PAGE

_MOST_ROWS = 500  # of a table in Markdown, which sites cut anyway
_WORDS = {"create": "create", "update": "change", "delete": "delete"}


@attrs.frozen
class Ended:
    """One outcome of an apply, and when it came.

    Attributes:
        outcome: The outcome.
        seconds: Seconds since the apply began.
    """

    outcome: ChangeOutcome
    seconds: float


def write_report(path: Path, plan: Plan, application: str, ended: Sequence[Ended] | None = None) -> None:
    """Write a page about a plan, and about what became of it if it was applied.

    Args:
        path: The file, which appears whole or not at all; its name ends in `.html` or `.md`.
        plan: The plan.
        application: What the application is called.
        ended: The outcomes; None before it is applied.

    Raises:
        ValueError: The name of the file ends in something else.
        OSError: It cannot be written.
    """
    check_name(path)
    text = (markdown if path.suffix.lower() == ".md" else html)(plan, application, ended)
    with whole_file(path) as file:
        file.write(text.encode())


def check_name(path: Path | None) -> None:
    """Refuse a file that a report cannot be written to.

    Raises:
        ValueError: Its name ends neither in `.html` nor in `.md`.
        OSError: Its folder is not there.
    """
    if path is None:
        return
    if path.suffix.lower() not in (".html", ".htm", ".md"):
        raise ValueError(f"{path}: the name of a report must end in .html or .md")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


def markdown(plan: Plan, application: str, ended: Sequence[Ended] | None = None) -> str:
    """Return the page for a pull request."""
    lines = [f"# Plan for {_cell(application)}", "", f"**{plan.summary()}**", "", f"Digest `{plan.digest}`", ""]
    if ended is not None:
        lines += [f"Applied: **{_counted(ended)}**", ""]
    if plan.warnings:
        lines += ["## Warnings", "", *(f"- {_cell(str(warning))}" for warning in plan.warnings), ""]
    outcomes = {} if ended is None else {id(one.outcome.change): one.outcome for one in ended}
    lines += ["## Changes", "", "| | group | what changes | where | outcome |", "|---|---|---|---|---|"]
    for change in plan.changes[:_MOST_ROWS]:
        outcome = outcomes.get(id(change))
        became = "" if outcome is None else f"{outcome.status}{f': {outcome.error}' if outcome.error else ''}"
        place = change.record.place if change.record is not None else ""
        cells = (_WORDS[change.action], shown_path(change.path), "; ".join(_rows(change)), place, became)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    if len(plan.changes) > _MOST_ROWS:
        lines += ["", f"... and {len(plan.changes) - _MOST_ROWS:,} more"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]|@~<>&])", lambda found: f"&#{ord(found[1])};", " ".join(text.split()))


def _counted(ended: Sequence[Ended]) -> str:
    counts = Counter(one.outcome.status for one in ended)
    return ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items())) or "nothing"


def _rows(change: Change) -> Iterator[str]:
    """What a change sets, in words, a row each."""
    if change.adopted:
        yield "adopted"
    yield from parts(change)
    if change.moved_up:
        yield f"what is below moves up: {change.moved_up:,}"


@attrs.define
class _Node:
    """A group in the tree of what changes; `change` is None if it is only above what changes."""

    change: Change | None = None
    below: dict[str, _Node] = attrs.field(factory=dict)


def html(plan: Plan, application: str, ended: Sequence[Ended] | None = None) -> str:
    """Return the page for people: self-contained, with the tree of what changes, which can be searched."""
    root = _Node()
    for change in plan.changes:
        node = root
        for name in change.path:
            node = node.below.setdefault(name, _Node())
        if node.change is not None:  # another group of the same path
            node = node.below[f"\0{len(node.below)}"] = _Node()
        node.change = change
    outcomes = {} if ended is None else {id(one.outcome.change): one.outcome for one in ended}
    warnings = "".join(f"<li>{escape(str(warning))}</li>" for warning in plan.warnings)
    parts = {
        "application": escape(application),
        "summary": escape(plan.summary()),
        "digest": plan.digest,
        "warnings": f"<section><h2>Warnings</h2><ul class='warnings'>{warnings}</ul></section>" if warnings else "",
        "outcomes": "" if ended is None else _outcomes(ended),
        "tree": "".join(_tree(root, outcomes)),
    }
    page = PAGE
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


def _tree(root: _Node, outcomes: dict[int, ChangeOutcome]) -> Iterator[str]:
    """The tree as nested lists. Not recursive: a chain may be a thousand groups long."""
    todo: list[tuple[str, _Node] | str] = list(reversed(root.below.items()))
    yield "<ul class='tree'>"
    while todo:
        step = todo.pop()
        if isinstance(step, str):
            yield step
            continue
        name, node = step
        yield f"<li>{_line(name, node, outcomes)}"
        if node.below:
            yield "<ul>"
            todo.append("</ul></li>")
            todo += reversed(node.below.items())
        else:
            yield "</li>"
    yield "</ul>"


def _line(name: str, node: _Node, outcomes: dict[int, ChangeOutcome]) -> str:
    change = node.change
    if change is None:
        return f"<span class='above'>{escape(name)}</span>"
    outcome = outcomes.get(id(change))
    text = f"<span class='{change.action}'><b>{escape(change.path[-1])}</b></span>"
    if change.record is not None:
        text += f" <small>{escape(change.record.place)}</small>"
    if outcome is not None:
        error = f": {escape(str(outcome.error))}" if outcome.error else ""
        text += f" <em class='{outcome.status}'>{outcome.status}{error}</em>"
    rows = "".join(f"<div class='field'>{escape(row)}</div>" for row in _rows(change))
    return text + rows


def _outcomes(ended: Sequence[Ended]) -> str:
    """The section about what became of the plan, with the pace over time."""
    seconds = max((one.seconds for one in ended), default=0.0)
    slots = [0] * 60
    for one in ended:
        slots[min(59, int(60 * one.seconds / seconds) if seconds else 0)] += 1
    most = max(slots) or 1
    bars = "".join(
        f"<rect x='{10 * n}' y='{100 - 100 * count / most:.1f}' width='9' height='{100 * count / most:.1f}'>"
        f"<title>{count / (seconds / 60) if seconds else count:.1f} a second</title></rect>"
        for n, count in enumerate(slots)
    )
    return (
        f"<section><h2>Applied</h2><p>{escape(_counted(ended))}, in {seconds:,.0f} s.</p>"
        f"<svg viewBox='0 0 600 100' role='img' aria-label='changes over time'>{bars}</svg>"
        f"<p><small>Changes over time; the highest bar is {most * 60 / seconds if seconds else most:,.1f} a second."
        "</small></p></section>"
    )
