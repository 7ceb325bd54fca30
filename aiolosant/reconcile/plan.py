"""The plan of changes: what it says, what it warns of, its limits, and how it is kept in a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Self

import attrs

from ..errors import UnsafePlanError
from ..identity import MatchBy
from . import saved
from .change import Action, Change, shown_path
from .warnings import PlanWarning

_ACTIONS: tuple[Action, ...] = ("create", "update", "delete")
_SHARES_FROM = 10  # groups; of fewer, a share says nothing

Limit = int | str
"""A number of changes, or a share of the live groups such as `"10%"`."""


@attrs.frozen
class Plan:
    """The difference between what should be and what is.

    Attributes:
        changes: Creates and updates, parents first, then deletes, children first.
        unchanged: How many live groups are as their records want them.
        match_by: What said which live group a record is.
        matched: The live group of each record that has an id and is there already: record id to live id.
        warnings: What is allowed, and perhaps not meant.
        live: How many live groups there are, of which shares are taken; with `under` only those below it.
        application_id: Whose groups they are; None for a plan that was made without reading any.
    """

    changes: tuple[Change, ...]
    unchanged: int
    match_by: MatchBy
    matched: Mapping[str, str] = attrs.field(factory=dict, kw_only=True, repr=False)
    warnings: tuple[PlanWarning, ...] = attrs.field(default=(), kw_only=True)
    live: int = attrs.field(default=0, kw_only=True)
    application_id: str | None = attrs.field(default=None, kw_only=True)

    def summary(self) -> str:
        """The plan in one line, such as `12 to create, 3 to update, 985 unchanged`."""
        counts = Counter(change.action for change in self.changes)
        parts = [f"{counts[action]:,} to {action}" for action in _ACTIONS if counts[action]]
        return ", ".join([*parts, f"{self.unchanged:,} unchanged"])

    def diff(self) -> Iterator[str]:
        """A line a change, with what is there and what will be.

        Such as `+ Acme / Plant 1`, `~ Acme: description: old -> new, groupTags +region=eu ~tier: a -> b -old=1`,
        `~ Acme / Plant: experienceUserIds +2 -1, moves Acme / Europe -> Acme`, `= Acme: adopted` and `- Old`.
        """
        return map(str, self.changes)

    def count(self, action: Action) -> int:
        """Return how many changes are of one kind."""
        return sum(change.action == action for change in self.changes)

    def check(self, *, max_deletes: Limit | None = None, max_changes: Limit | None = None) -> None:
        """Refuse a plan that does more than it may.

        Args:
            max_deletes: How many groups it may delete: a number, or a share of the live groups such as `"10%"`. Where
                there are fewer than ten groups a share is no limit. None for any number.
            max_changes: The same for all changes together.

        Raises:
            UnsafePlanError: It does more; the message has the numbers, and names the option.
            TypeError: A limit is neither a number nor a text.
            ValueError: A limit is no number of 0 or more, or no share of 0 to 100 %.
        """
        deletes = [change for change in self.changes if change.action == "delete"]
        for option, limit, changes, verb in (
            ("max_deletes", max_deletes, deletes, "delete"),
            ("max_changes", max_changes, self.changes, "change"),
        ):
            allowed = _allowed(option, limit, self.live)
            if allowed is not None and len(changes) > allowed:
                share = f" ({len(changes) / self.live:.0%} of {self.live:,})" if self.live else ""
                some = "; ".join(shown_path(change.path) for change in changes[:3])
                raise UnsafePlanError(
                    f"it would {verb} {len(changes):,} groups{share}, and {option}={limit} allows {allowed:,}: {some}"
                    f"{'; ...' if len(changes) > 3 else ''}",
                    option=option,
                )

    @property
    def digest(self) -> str:
        """A fingerprint of the whole: two plans with the same one do the same to the same groups."""
        return saved.digest(saved.to_object(attrs.asdict(self, recurse=False)))

    def save(self, path: saved.Source) -> None:
        """Write the plan to a file, as JSON that `Plan.load` reads; the file appears whole or not at all.

        It holds the groups that change as they are, with their members, but no token.

        Raises:
            OSError: The file cannot be written.
        """
        saved.write(saved.to_object(attrs.asdict(self, recurse=False)), Path(path))

    @classmethod
    def load(cls, path: saved.Source) -> Self:
        """Read a plan from a file that `save` has written.

        Raises:
            PlanError: It is no plan, it was changed since, or it is of another version of the format.
            OSError: It cannot be read.
        """
        return cls(**saved.read(Path(path)))


def _allowed(option: str, limit: Limit | None, live: int) -> int | None:
    """Return how many a limit allows; None for any number."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int | str):
        raise TypeError(f"{option} must be a number or a share such as '10%', not {type(limit).__name__}")
    text = str(limit).strip()
    try:
        if not text.endswith("%"):
            if (count := int(text)) >= 0:
                return count
        elif 0 <= (share := Decimal(text[:-1].strip())) <= 100:
            return int(live * share / 100) if live >= _SHARES_FROM or not share else None  # exact: no binary fractions
    except (ValueError, InvalidOperation):
        pass
    raise ValueError(f"{option} must be a number of 0 or more, or a share such as '10%', not {limit!r}")
