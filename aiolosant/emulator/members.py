"""The neighbours of groups: experience users, experience endpoints and devices, as far as groups have them.

Field names are the API's. Dates are milliseconds since 1970. Whom a group has is kept in the group, as a list of ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from .database import now, unused_id
from .query_sql import Condition

Kind = Literal["experienceUsers", "experienceEndpoints", "devices"]
Member = dict[str, Any]


class Members:
    """The users, endpoints and devices of any number of applications.

    Args:
        database: Keeps them.
        ids: Where the ids of new ones come from.
    """

    def __init__(self, database: sqlite3.Connection, ids: Iterator[str]) -> None:
        self._db = database
        self._new_id = ids

    def add(self, application_id: str, kind: Kind, fields: Mapping[str, Any]) -> str:
        """Make a user, an endpoint or a device; returns its id."""
        member_id, moment = unused_id(self._db, self._new_id, "members"), now()
        fields = {"creationDate": moment, "lastUpdated": moment, **fields}
        values = (member_id, application_id, kind, msgspec.json.encode(fields).decode())
        self._db.execute("INSERT INTO members VALUES (?, ?, ?, ?)", values)
        return member_id

    def find(self, application_id: str, kind: Kind, *conditions: Condition) -> list[Member]:
        """All of a kind for which some conditions hold, oldest first."""
        where = " AND ".join(["application_id = ?", "kind = ?", *(condition.sql for condition in conditions)])
        values = [value for condition in conditions for value in condition.values]
        rows = self._db.execute(
            f"SELECT id, fields FROM members WHERE {where} ORDER BY id",
            (application_id, kind, *values),
        )
        return [{"id": row[0], "applicationId": application_id, **msgspec.json.decode(row[1])} for row in rows]

    def get(self, application_id: str, kind: Kind, member_id: str) -> Member | None:
        """One of a kind, or None."""
        return next(iter(self.find(application_id, kind, Condition("members.id = ?", member_id.lower()))), None)

    def update(self, member: Member, changes: Mapping[str, Any]) -> None:
        """Replace the given fields of one that was found."""
        kept = {name: value for name, value in member.items() if name not in ("id", "applicationId")}
        fields = {**kept, **changes, "lastUpdated": now()}
        self._db.execute(
            "UPDATE members SET fields = ? WHERE id = ?", (msgspec.json.encode(fields).decode(), member["id"])
        )

    def delete(self, member_id: str) -> None:
        """Delete one; groups that have it are not asked."""
        self._db.execute("DELETE FROM members WHERE id = ?", (member_id,))

    def groups_of(self, application_id: str, member_id: str) -> list[dict[str, Any]]:
        """The id, name and parent of each group that has a user or an endpoint, by ascending id."""
        rows = self._db.execute(
            "SELECT groups.id, name, parent_id FROM groups JOIN memberships ON group_id = groups.id"
            " WHERE member_id = ? AND application_id = ? ORDER BY groups.id",
            (member_id, application_id),
        )
        return [{"id": group_id, "name": name, "parentId": parent_id} for group_id, name, parent_id in rows]
