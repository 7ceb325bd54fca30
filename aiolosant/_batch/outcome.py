"""What a batch tells of its items: an outcome for each, and a report that keeps only those that did not go well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from ..models import ExperienceGroup, NewExperienceGroup

Status = Literal["created", "existing", "failed", "unknown"]


@attrs.frozen
class Outcome:
    """What became of one item of a batch.

    Attributes:
        index: Position of the item in the input, from 0.
        request: The item as it was given.
        group: The group that is there now; None unless `ok`.
        error: Why there is none; None if `ok`.
        status: `created`; `existing`, if it was there before; `failed`, if this create surely did not happen; or
            `unknown`.
    """

    index: int
    request: NewExperienceGroup | Mapping[str, Any]
    group: ExperienceGroup | None
    error: BaseException | None
    status: Status

    @property
    def ok(self) -> bool:
        """Whether the group is there."""
        return self.status in ("created", "existing")


@attrs.frozen
class BatchReport:
    """What became of all items of a batch.

    Attributes:
        created: How many groups were made.
        existing: How many were there before.
        failed: The outcomes of those that surely were not made, in the order of their completion.
        unknown: The outcomes of those of which nobody knows.
    """

    created: int
    existing: int
    failed: tuple[Outcome, ...]
    unknown: tuple[Outcome, ...]
