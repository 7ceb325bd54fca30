"""A record: one group as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from .._http import codec
from ..models import NewExperienceGroup


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
        keeps_parent: Whether a live group stays below the parent that it has, since nothing says where it should be.
        empty: The names, as files have them, of what has an empty cell, and so is left alone.
        is_implied: Whether it has no row of its own: it stands above others in the levels of a CSV.
        cleared_tags: The keys of the group tags that are to go, though others that are not in `fields` stay.
        members: The names of members in place of their ids, by the field of the ids; `plan` looks them up.
        members_mode: `replace`, if the members that are named are all that there should be; `add` to keep the others.
        row: The cells as they were read, by the file's own columns; None for what was read from no CSV.
        delimiter: What separates the columns of that CSV.
        group: The fields as a group to be created, once they have been checked; None before.
    """

    fields: Mapping[str, Any]
    id: str | None = None
    parent_id: str | None = None
    place: str = "a record"
    merges_tags: bool = False
    keeps_parent: bool = attrs.field(default=False, kw_only=True)
    empty: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    is_implied: bool = attrs.field(default=False, kw_only=True)
    cleared_tags: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    members: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, kw_only=True)
    members_mode: Literal["replace", "add"] = attrs.field(default="replace", kw_only=True)
    row: Mapping[str, str] | None = attrs.field(default=None, eq=False, repr=False, kw_only=True)
    delimiter: str = attrs.field(default=",", eq=False, repr=False, kw_only=True)
    group: NewExperienceGroup | None = attrs.field(default=None, eq=False, repr=False, kw_only=True)

    @property
    def name(self) -> str:
        """The name that the group should have."""
        return str(self.fields["name"])

    def to_dict(self) -> dict[str, Any]:
        """Return the record in the shape in which the API lists groups, with the fields that it has."""
        ids: dict[str, Any] = {} if self.id is None else {"id": self.id}
        if not self.keeps_parent:
            ids["parentId"] = self.parent_id
        return ids | codec.changes_to_object(self.fields)
