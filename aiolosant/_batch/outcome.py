"""What a batch tells of its items: an outcome for each, and a report that keeps only those that did not go well."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from ..models import ExperienceGroup

Status = Literal["created", "existing", "updated", "deleted", "failed", "unknown"]


@attrs.frozen
class Outcome:
    """What became of one item of a batch.

    Attributes:
        index: Position of the item in the input, from 0.
        request: The item as it was given.
        group: The group that is there now; None unless `ok`, and after a delete.
        error: What went wrong; None if `ok`.
        status: `created`; `existing`, if it was there before; `updated`; `deleted`, also if it was gone before;
            `failed`, if this item was surely not done; or `unknown`.
    """

    index: int
    request: Any
    group: ExperienceGroup | None
    error: BaseException | None
    status: Status

    @property
    def ok(self) -> bool:
        """Whether all is as it was wanted."""
        return self.status not in ("failed", "unknown")


@attrs.frozen
class BatchReport:
    """What became of all items of a batch.

    Attributes:
        created: How many groups were made.
        existing: How many were there before.
        updated: How many were changed.
        deleted: How many were deleted, or gone before.
        failed: The outcomes of those that surely were not done, in the order of their completion.
        unknown: The outcomes of those of which nobody knows.
    """

    created: int = 0
    existing: int = 0
    updated: int = 0
    deleted: int = 0
    failed: tuple[Outcome, ...] = ()
    unknown: tuple[Outcome, ...] = ()
