"""One step of a plan, what it changes, and how that is said in a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from .._http import codec
from ..models import ExperienceGroup, FrozenDict, unfulfilled
from .record import Record

Action = Literal["create", "update", "delete"]
ChangeStatus = Literal["done", "existing", "failed", "unknown", "skipped", "stale"]

_SIGNS: dict[Action, str] = {"create": "+", "update": "~", "delete": "-"}
_LONGEST_VALUE = 60  # characters of a value in a line
_MEMBERS = ("experienceUserIds", "experienceEndpointIds", "deviceIds")


@attrs.frozen
class Difference:
    """One field that a change sets to something else.

    Attributes:
        field: Its name in files, such as `description`, `groupTags.region` or `parentId`.
        old: What is there, in the API's shape; None for nothing.
        new: What will be there. The `parentId` of a group whose parent is still to be created is the `id` of the
            parent's record.
    """

    field: str
    old: Any
    new: Any


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
        merges_tags: As of a `Record`: whether tags that are not in `fields` are of no matter.
        record: The record that wants it; None for a delete.
        old_path: The names from the root down to the group as they are; None for a create.
        parent_record_id: The `id` of the record of the parent, if that is still to be created.
        adopted: Whether a group that had no such tag was taken for the record's (`by_tag(key, adopt=by_name())`).
        is_alone: Whether no other group of its name is under its parent, so that a lost create is found by its name.
        orphans: The ids of the groups that stay when the one above them is deleted, and go to its parent.
    """

    action: Action
    path: tuple[str, ...]
    group_id: str | None
    fields: Mapping[str, Any]
    parent: int | None = None
    depends_on: int | None = None
    current: ExperienceGroup | None = None
    merges_tags: bool = attrs.field(default=False, kw_only=True)
    record: Record | None = attrs.field(default=None, kw_only=True, repr=False)
    old_path: tuple[str, ...] | None = attrs.field(default=None, kw_only=True)
    parent_record_id: str | None = attrs.field(default=None, kw_only=True)
    adopted: bool = attrs.field(default=False, kw_only=True)
    is_alone: bool = attrs.field(default=True, kw_only=True)
    orphans: tuple[str, ...] = attrs.field(default=(), kw_only=True)

    @property
    def moved_up(self) -> int:
        """How many groups that stay go to the parent of one that is deleted."""
        return len(self.orphans)

    @property
    def moves(self) -> bool:
        """Whether an update gives a live group another parent."""
        return self.current is not None and (self.parent is not None or "parent_id" in self.fields)

    def differences(self) -> tuple[Difference, ...]:
        """Return what it changes, field by field; each group tag is a field of its own. A delete changes nothing."""
        return tuple(self._differences())

    def _differences(self) -> Iterator[Difference]:
        for name, new in codec.changes_to_object(self.fields).items():
            old = None
            if self.current is not None:
                field = codec.FIELDS[name]
                old = codec.changes_to_object({field: getattr(self.current, field)})[name]
            if name == "groupTags":
                yield from _tag_differences(old or {}, new)
            elif name != "parentId":
                yield Difference(name, old or None, new)
        if self.parent is not None or "parent_id" in self.fields:
            old = None if self.current is None else self.current.parent_id
            yield Difference("parentId", old, self.fields.get("parent_id") or self.parent_record_id)

    def __str__(self) -> str:
        text = f"{'=' if self.adopted else _SIGNS[self.action]} {shown_path(self.path)}"
        if self.adopted:
            text += ": adopted"
        if self.moved_up:
            text += f" (what is below moves up: {self.moved_up:,})"
        if self.action != "update" or self.current is None:
            return text
        said = ", ".join(parts(self))
        return f"{text}{', ' if self.adopted else ': '}{said}" if said else text


def shown(text: str) -> str:
    """Return a text as a person can tell it from others: quoted if it has a slash, or blanks at an end."""
    quotes = "/" in text or text != text.strip() or not text.isprintable() or not text or "->" in text or '"' in text
    return json.dumps(text, ensure_ascii=False) if quotes else text


def shown_path(path: Sequence[str]) -> str:
    """Return names from the root down as one text."""
    return " / ".join(map(shown, path))


def shown_value(value: object) -> str:
    """Return a value in a few words."""
    if value is None or value == "":
        return "none"
    text = shown(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def members_changed(old: Sequence[str] | None, new: Sequence[str] | None) -> str:
    """Return how many members are added and removed, such as `+2 -1`."""
    before, after = ({one.lower() for one in ids or ()} for ids in (old, new))
    counts = (("+", len(after - before)), ("-", len(before - after)))
    return " ".join(f"{sign}{count:,}" for sign, count in counts if count)


def parts(change: Change) -> Iterator[str]:
    """Yield what a change sets, field by field, in words."""
    tags = []
    for difference in change.differences():
        name, old, new = difference.field, difference.old, difference.new
        if name.startswith("groupTags."):
            tags.append(tag_changed(name.removeprefix("groupTags."), old, new))
        elif name == "parentId":
            if change.current is not None:
                yield _move(change)
        elif change.current is None:
            if name != "name":
                yield f"{name}: {shown_value(new)}"
        elif name in _MEMBERS:
            yield f"{name} {members_changed(old, new) or 'in another order'}"
        else:
            yield f"{name}: {shown_value(old)} -> {shown_value(new)}"
    if tags:
        yield f"groupTags {' '.join(tags)}"


def tag_changed(key: str, old: str | None, new: str | None) -> str:
    """Return what becomes of a tag: `+region=eu`, `~tier: silver -> gold` or `-old=1`."""
    if old is None or new is None:
        return f"{'+' if old is None else '-'}{key}={shown(new or old or '')}"
    return f"~{key}: {shown(old)} -> {shown(new)}"


def _move(change: Change) -> str:
    old, new = (change.old_path or ())[:-1], change.path[:-1]
    before = shown_path(old) if old else "the root"
    return f"moves {before} -> {shown_path(new)}" if new else f"moves {before} -> to the root"


def _tag_differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for key in dict.fromkeys([*new, *old]):
        if old.get(key) != new.get(key):
            yield Difference(f"groupTags.{key}", old.get(key), new.get(key))


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


def other_than_wanted(change: Change, fields: Mapping[str, Any], group: ExperienceGroup) -> list[str]:
    """Return the fields that a group does not have as a change wants them."""
    if change.merges_tags and "group_tags" in fields:
        fields = {**fields, "group_tags": FrozenDict({**group.group_tags, **fields["group_tags"]})}
    return unfulfilled(group, fields)
