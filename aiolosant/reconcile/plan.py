"""What reconciling speaks of: records, the plan of changes, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from .._http import codec
from ..identity import MatchBy
from ..models import ExperienceGroup, NewExperienceGroup

Action = Literal["create", "update", "delete"]
ChangeStatus = Literal["done", "existing", "failed", "unknown", "skipped", "stale"]

_SIGNS: dict[Action, str] = {"create": "+", "update": "~", "delete": "-"}


@attrs.frozen
class Record:
    """One group as it should be. Made by `read_records`, and by `plan` out of mappings.

    Attributes:
        fields: What the group should have, by the names of `NewExperienceGroup`, without `parent_id`. A field that is
            not here is left alone.
        id: Any text, for other records to name as their parent; under `by_id` the id of the live group. None for none.
        parent_id: The `id` of another record, or else the id of a live group; None for a root.
        place: Where it was read, such as `line 7`.
        merges_tags: Whether group tags that are not in `fields` are left alone, as those of a CSV are, which has a
            column for each; otherwise the tags of `fields` are all that there should be.
        group: The fields as a group to be created, once they have been checked; None before.
    """

    fields: Mapping[str, Any]
    id: str | None = None
    parent_id: str | None = None
    place: str = "a record"
    merges_tags: bool = False
    group: NewExperienceGroup | None = attrs.field(default=None, eq=False, repr=False, kw_only=True)

    @property
    def name(self) -> str:
        """The name that the group should have."""
        return str(self.fields["name"])

    def to_dict(self) -> dict[str, Any]:
        """Return the record in the shape in which the API lists groups, with the fields that it has."""
        ids = {"id": self.id, "parentId": self.parent_id}
        return {name: text for name, text in ids.items() if text is not None} | codec.changes_to_object(self.fields)


@attrs.frozen
class Change:
    """One step of a plan.

    Attributes:
        action: `create`, `update` or `delete`.
        path: The names from the root down to the group, as they will be; of a delete as they are.
        group_id: The live group; None for a create.
        fields: What to create the group with, or the fields that differ with their new values, by the names of
            `NewExperienceGroup`. `parent_id` is not here if the parent is still to be created.
        parent: Index in `Plan.changes` of the create of the group's parent; None if the parent is there, or is none.
        depends_on: Index in `Plan.changes` of the change that must have come first; None if there is none.
        current: The live group as it was read for the plan; None for a create.
        moved_up: How many groups that stay go to the parent of one that is deleted.
        merges_tags: As of a `Record`: whether tags that are not in `fields` are of no matter.
    """

    action: Action
    path: tuple[str, ...]
    group_id: str | None
    fields: Mapping[str, Any]
    parent: int | None = None
    depends_on: int | None = None
    current: ExperienceGroup | None = None
    moved_up: int = 0
    merges_tags: bool = False

    def __str__(self) -> str:
        text = f"{_SIGNS[self.action]} {' / '.join(self.path)}"
        if self.moved_up:
            text += f" (what is below moves up: {self.moved_up:,})"
        if self.action != "update" or self.current is None:
            return text
        if "name" in self.fields:
            text += f" (now {self.current.name})"
        differing = [*self.fields, *(["parent_id"] if self.parent is not None else [])]
        tags = _tag_changes(self.current.group_tags, self.fields.get("group_tags", self.current.group_tags))
        return f"{text}: {', '.join(name + (f' ({tags})' if name == 'group_tags' else '') for name in differing)}"


def _tag_changes(current: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Which tags are added, change and go, such as `+region, ~tier, -old`."""
    keys = dict.fromkeys([*wanted, *current])
    signs = {key: "-" if key not in wanted else "+" if key not in current else "~" for key in keys}
    return ", ".join(f"{sign}{key}" for key, sign in signs.items() if current.get(key) != wanted.get(key))


@attrs.frozen
class Plan:
    """The difference between what should be and what is.

    Attributes:
        changes: Creates and updates, parents first, then deletes, children first.
        unchanged: How many live groups are as their records want them.
        match_by: What said which live group a record is.
    """

    changes: tuple[Change, ...]
    unchanged: int
    match_by: MatchBy

    def summary(self) -> str:
        """The plan in one line, such as `12 to create, 3 to update, 985 unchanged`."""
        counts = Counter(change.action for change in self.changes)
        parts = [f"{counts[action]:,} to {action}" for action in _SIGNS if counts[action]]
        return ", ".join([*parts, f"{self.unchanged:,} unchanged"])

    def diff(self) -> Iterator[str]:
        """A line a change, such as `+ Acme / Plant 1`, `~ Acme: description` and `- Old`."""
        return map(str, self.changes)


@attrs.frozen
class ChangeOutcome:
    """What became of one change.

    Attributes:
        change: The change.
        status: `done`; `existing`, if it was so already; `failed`, if it surely did not happen; `unknown`; `skipped`,
            if what it needs did not come about; or `stale`, if somebody has changed the group since the plan was made:
            it was left as it is.
        group: The group as it is now; None after a delete, and where there is none.
        error: Why not; None if `ok`.
    """

    change: Change
    status: ChangeStatus
    group: ExperienceGroup | None
    error: BaseException | None

    @property
    def ok(self) -> bool:
        """Whether all is as the plan wants it."""
        return self.status in ("done", "existing")
