"""What makes two groups the same: their name under one parent, a tag of theirs, or their id."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeAlias

import attrs

from ._validation import check_tag_key
from .models import ExperienceGroup, NewExperienceGroup, normal_id

Key = Hashable


@attrs.frozen
class ByName:
    """See `by_name`."""

    def key_of(self, group: ExperienceGroup | NewExperienceGroup) -> Key | None:
        """The parent and the name."""
        return (normal_id(group.parent_id), group.name)

    def key_of_fields(self, fields: Mapping[str, Any]) -> Key | None:
        """The same for a group that is only planned, by the names of `NewExperienceGroup`; None if it has none."""
        name = fields.get("name")
        return (normal_id(fields.get("parent_id")), name) if isinstance(name, str) else None

    def query(self, keys: Iterable[Any]) -> dict[str, Any]:
        """One condition a parent, since names are only its own."""
        names: dict[str | None, list[str]] = {}
        for parent_id, name in keys:
            names.setdefault(parent_id, []).append(name)
        families = [{"parentId": parent_id, "name": {"$in": group}} for parent_id, group in names.items()]
        return families[0] if len(families) == 1 else {"$or": families}

    def describe(self, key: Any) -> str:
        """The key in words."""
        parent_id, name = key
        return f"name {name!r} under {parent_id or 'the root'}"


@attrs.frozen
class ByTag:
    """See `by_tag`."""

    tag: str
    adopt: ByName | None = attrs.field(default=None, eq=False)  # of no matter for what tells groups apart

    def key_of(self, group: ExperienceGroup | NewExperienceGroup) -> Key | None:
        """The value of the tag."""
        return group.group_tags.get(self.tag)

    def key_of_fields(self, fields: Mapping[str, Any]) -> Key | None:
        """The same for a group that is only planned, by the names of `NewExperienceGroup`; None if it has none."""
        value = fields.get("group_tags", {}).get(self.tag)
        return value if isinstance(value, str) else None

    def query(self, keys: Iterable[Any]) -> dict[str, Any]:
        """One condition for all values."""
        return {"groupTags": {self.tag: {"$in": list(keys)}}}

    def describe(self, key: Any) -> str:
        """The key in words."""
        return f"tag {self.tag}={key}"


@attrs.frozen
class ById:
    """See `by_id`; with `or_name=False` what has no live id is new, whatever it is called."""

    or_name: bool = True


Identity: TypeAlias = ByName | ByTag
"""What tells groups apart, new ones and live ones alike."""
MatchBy: TypeAlias = ByName | ByTag | ById
"""What tells which live group a record is."""


def without_id(match_by: MatchBy) -> Identity:
    """What tells groups apart that have no id yet: under `by_id` their names."""
    return ByName() if isinstance(match_by, ById) else match_by


def by_name() -> ByName:
    """Groups are the same if they have the same name under the same parent."""
    return ByName()


def by_tag(key: str, *, adopt: ByName | None = None) -> ByTag:
    """Groups are the same if their group tag `key` has the same value.

    Args:
        key: The key of the tag.
        adopt: For `reconcile.plan` alone: `by_name()` lets a record whose tag no group carries take the live group of
            its name under its parent that has no such tag, which is then given it. None: such a record is a new group.

    Raises:
        TypeError: `key` is no text, or `adopt` is something else.
        ValueError: `key` is no tag key: 1 to 255 letters, digits, `_` or `-`.
    """
    if adopt is not None and not isinstance(adopt, ByName):
        raise TypeError(f"adopt must be by_name() or None, not {type(adopt).__name__}")
    return ByTag(check_tag_key("key", key), adopt)


def by_id() -> ById:
    """Groups are the same if they have the same id; for `reconcile.plan` alone.

    A record is the live group with its id, which makes a rename a rename. A record whose `id` is no live group's is
    matched by its name under its parent, as by `by_name`, so that a second run finds what the first created.
    """
    return ById()
