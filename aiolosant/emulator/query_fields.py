"""Which fields an advanced query of groups, users and devices may ask for, and where the database keeps them."""

from __future__ import annotations

from typing import Any

from .query_sql import (
    FALSE,
    AnyOf,
    Condition,
    FieldCompiler,
    as_milliseconds,
    as_text,
    column,
    comparable_field,
    id_field,
    iso,
    tags_field,
)


def _members(kind: str) -> AnyOf:
    return lambda test, ids: Condition(
        f"groups.id IN (SELECT group_id FROM memberships WHERE kind = '{kind}' AND {test.format('member_id')})",
        *ids,
    )


def _no_members(kind: str) -> str:
    # An empty list of members is taken as absent (assumed).
    return f"groups.id NOT IN (SELECT group_id FROM memberships WHERE kind = '{kind}')"


def _ancestors(test: str, ids: list[Any]) -> Condition:
    """Whatever is below a group that fulfils the test."""
    return Condition(
        f"groups.id IN (WITH RECURSIVE below(id) AS (SELECT id FROM groups WHERE {test.format('parent_id')}"
        " UNION SELECT child.id FROM groups AS child JOIN below ON child.parent_id = below.id) SELECT id FROM below)",
        *ids,
    )


def _date(sql: str) -> FieldCompiler:
    return comparable_field(sql, iso(sql), as_milliseconds)


def _text(sql: str) -> FieldCompiler:
    return comparable_field(sql, sql, as_text)


def _of(member_field: str) -> str:
    return f"json_extract(members.fields, '$.{member_field}')"


GROUP_FIELDS: dict[str, FieldCompiler] = {
    "id": id_field(column("groups.id"), FALSE),
    "parentId": id_field(column("groups.parent_id"), "groups.parent_id IS NULL"),
    "ancestorId": id_field(_ancestors, "groups.parent_id IS NULL"),
    "experienceUserId": id_field(_members("experienceUsers"), _no_members("experienceUsers")),
    "experienceEndpointId": id_field(_members("experienceEndpoints"), _no_members("experienceEndpoints")),
    "name": _text("groups.name"),
    "creationDate": _date("groups.creation_date"),
    "lastUpdated": _date("groups.last_updated"),
    "groupTags": tags_field(
        lambda test: Condition(f"groups.id IN (SELECT group_id FROM tags WHERE {test.sql})", *test.values)
    ),
}
"""Follows the published schema advancedExperienceGroupQuery."""


def _groups_of_member(test: str, ids: list[Any]) -> Condition:
    return Condition(
        f"members.id IN (SELECT member_id FROM memberships WHERE {test.format('group_id')})",
        *ids,
    )


USER_FIELDS: dict[str, FieldCompiler] = {
    "id": id_field(column("members.id"), FALSE),
    "experienceGroupId": id_field(_groups_of_member, "members.id NOT IN (SELECT member_id FROM memberships)"),
    **{name: _text(_of(name)) for name in ("email", "firstName", "lastName")},
    **{name: _date(_of(name)) for name in ("creationDate", "lastUpdated", "lastLogin", "passwordLastUpdated")},
    "userTags": tags_field(
        lambda test: Condition(
            f"EXISTS (SELECT 1 FROM json_each(members.fields, '$.userTags') WHERE {test.sql})",
            *test.values,
        )
    ),
}
"""Follows the published schema advancedExperienceUserQuery."""


def _groups_of_device(test: str, ids: list[Any]) -> Condition:
    return Condition(
        f"members.id IN (SELECT device_id FROM device_groups WHERE {test.format('group_id')})",
        *ids,
    )


def _users_of_device(test: str, ids: list[Any]) -> Condition:
    # Users of an ancestor belong to its descendants.
    return Condition(
        "members.id IN (WITH RECURSIVE below(id) AS (SELECT group_id FROM memberships"
        f" WHERE kind = 'experienceUsers' AND {test.format('member_id')}"
        " UNION SELECT groups.id FROM groups JOIN below ON groups.parent_id = below.id)"
        " SELECT device_id FROM device_groups JOIN below ON device_groups.group_id = below.id)",
        *ids,
    )


DEVICE_FIELDS: dict[str, FieldCompiler] = {
    "id": id_field(column("members.id"), FALSE),
    "name": _text(_of("name")),
    "creationDate": _date(_of("creationDate")),
    "lastUpdated": _date(_of("lastUpdated")),
    "experienceGroupId": id_field(_groups_of_device, "members.id NOT IN (SELECT device_id FROM device_groups)"),
    "experienceUserId": id_field(
        _users_of_device,
        f"NOT ({_users_of_device('TRUE', []).sql})",
    ),
    "tags": tags_field(
        lambda test: Condition(
            "EXISTS (SELECT 1 FROM (SELECT json_extract(value, '$.key') AS key,"
            f" json_extract(value, '$.value') AS value FROM json_each(members.fields, '$.tags')) WHERE {test.sql})",
            *test.values,
        )
    ),
}
"""A part of what https://docs.losant.com/devices/device-queries/ has."""


def members_of(group_id: str, *, ancestors: bool) -> Condition:
    """Members of one group, or of those above it as well; `any` for members of whichever, `none` for those of none."""
    if group_id in ("any", "none"):
        return Condition(f"members.id {'' if group_id == 'any' else 'NOT '}IN (SELECT member_id FROM memberships)")
    above = "UNION SELECT parent_id FROM groups JOIN tree USING (id) WHERE parent_id IS NOT NULL" if ancestors else ""
    return Condition(
        f"members.id IN (WITH RECURSIVE tree(id) AS (SELECT ? {above})"
        " SELECT member_id FROM memberships JOIN tree ON group_id = tree.id)",
        group_id.lower(),
    )


def has_email(email: str) -> Condition:
    """Users with an address, whatever its case."""
    return Condition(f"fold({_of('email')}) = fold(?)", email)


def has_one_of(field: str, texts: list[str]) -> Condition:
    """Members whose field is one of some texts."""
    return Condition(f"{_of(field)} IN ({', '.join('?' * len(texts))})", *texts)
