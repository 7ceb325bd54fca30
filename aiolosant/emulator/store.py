"""Groups in SQLite, with the rules of their trees; knows nothing of HTTP.

Field names are the API's. Dates are milliseconds since 1970.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from .database import object_ids, open_database
from .fixtures import checked_fields
from .query_sql import QueryError, compile_query
from .schemas import ID
from .sorted_index import Order

_COLUMNS = "id, application_id, name, parent_id, creation_date, last_updated, fields"
_SORT_COLUMNS = {"id": "id", "name": "name", "creationDate": "creation_date", "lastUpdated": "last_updated"}
_EMPTY: dict[str, Any] = {
    "experienceUserIds": [],
    "experienceEndpointIds": [],
    "deviceIds": [],
    "deviceTags": [],
    "groupTags": {},
    "deviceQueryJson": None,
}
_MAX_ANCESTORS = 1000
_MOST_BOUND = 10_000  # SQLite's own limit of values in a statement is 32,766

Group = dict[str, Any]


class TreeError(Exception):
    """A parent that a group cannot have."""


class Store:
    """The groups of any number of applications.

    Args:
        path: A file that keeps them, or None for memory.
        ids: Where the ids of what is made come from; None for ids that grow with time.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, ids: Iterator[str] | None = None) -> None:
        self._db = open_database(path)
        self._new_id = object_ids() if ids is None else ids
        self._orders: dict[tuple[str, str], Order] = {}  # by application and field, once they are asked for

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def create_application(self) -> str:
        """Make an application; returns its id."""
        application_id = next(self._new_id)
        self._db.execute("INSERT INTO applications (id) VALUES (?)", (application_id,))
        return application_id

    def add_token(self, token: str, scopes: Iterable[str]) -> None:
        """Accept a token for some scopes."""
        insert = "INSERT INTO tokens VALUES (?, ?) ON CONFLICT (token) DO UPDATE SET scopes = excluded.scopes"
        self._db.execute(insert, (token, " ".join(scopes)))

    def scopes(self, token: str) -> set[str] | None:
        """The scopes of a token; None if there is no such token."""
        row = self._db.execute("SELECT scopes FROM tokens WHERE token = ?", (token,)).fetchone()
        return set(row[0].split()) if row else None

    def remove_token(self, token: str) -> None:
        """Accept a token no more."""
        self._db.execute("DELETE FROM tokens WHERE token = ?", (token,))

    def first_token(self) -> str | None:
        """The oldest token, or None."""
        row = self._db.execute("SELECT token FROM tokens ORDER BY rowid LIMIT 1").fetchone()
        return row[0] if row else None

    def applications(self) -> list[str]:
        """The ids of all applications, oldest first."""
        return [row[0] for row in self._db.execute("SELECT id FROM applications ORDER BY id")]

    def add_member(self, application_id: str, kind: str, fields: Mapping[str, Any]) -> str:
        """Make a user, an endpoint or a device; returns its id."""
        member_id = next(self._new_id)
        values = (member_id, application_id, kind, msgspec.json.encode(dict(fields)).decode())
        self._db.execute("INSERT INTO members VALUES (?, ?, ?, ?)", values)
        return member_id

    def members(self, application_id: str, kind: str) -> list[dict[str, Any]]:
        """All users, endpoints or devices of an application, oldest first."""
        rows = self._db.execute(
            "SELECT id, fields FROM members WHERE application_id = ? AND kind = ? ORDER BY id", (application_id, kind)
        )
        return [{"id": row[0], "applicationId": application_id, **msgspec.json.decode(row[1])} for row in rows]

    def create(self, application_id: str, fields: Mapping[str, Any]) -> Group:
        """Make a group; raises TreeError for a parent that is not there."""
        with self._transaction():
            parent_id = self._checked_parent(application_id, None, fields.get("parentId"))
            group_id = self._insert(application_id, fields, parent_id)
        group = self._found(application_id, group_id)
        for field, order in self._orders_of(application_id):
            order.add(group[field], group_id)
        return group

    def groups(self, application_id: str) -> list[Group]:
        """All groups of an application, by ascending id."""
        rows = self._db.execute("SELECT id FROM groups WHERE application_id = ? ORDER BY id", (application_id,))
        return self._groups([row[0] for row in rows])

    def has_groups(self) -> bool:
        """Whether there is any group."""
        return self._db.execute("SELECT 1 FROM groups LIMIT 1").fetchone() is not None

    def seed(self, application_id: str, records: Iterable[Mapping[str, Any]]) -> dict[Any, str]:
        """Make many groups, parents first; returns their ids by those that the records have of their own, if any.

        Raises:
            TreeError: A parent that is neither of these nor a group that is there. Nothing was made.
        """
        ids: dict[Any, str] = {}
        depths: dict[str | None, int] = {None: 0}  # how many are above the children of each
        self._orders.clear()
        with self._transaction():
            for record in records:
                fields = checked_fields(record)
                above = record.get("parentId")
                parent_id = ids.get(above) or self._checked_parent(application_id, None, above)
                if parent_id not in depths:
                    depths[parent_id] = len(self._found(application_id, str(parent_id))["ancestorIds"]) + 1
                if depths[parent_id] > _MAX_ANCESTORS:
                    raise _too_deep(above)
                group_id = self._insert(application_id, fields, parent_id)
                depths[group_id] = depths[parent_id] + 1
                ids[record.get("id", group_id)] = group_id
        return ids

    def _insert(self, application_id: str, fields: Mapping[str, Any], parent_id: str | None) -> str:
        rest = {key: value for key, value in fields.items() if key not in ("name", "parentId")}
        group_id, now = next(self._new_id), _now()
        self._db.execute(
            "INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?, ?)",
            (group_id, application_id, fields["name"], parent_id, now, now, msgspec.json.encode(rest).decode()),
        )
        self._set_tags(group_id, rest)
        return group_id

    def get(self, application_id: str, group_id: str) -> Group | None:
        """A group with its ancestors, or None."""
        select = f"SELECT {_COLUMNS} FROM groups WHERE id = ? AND application_id = ?"  # noqa: S608 - a constant
        row = self._db.execute(select, (group_id.lower(), application_id)).fetchone()
        return self._group(row, {}) if row else None

    def update(self, application_id: str, group_id: str, changes: Mapping[str, Any]) -> Group | None:
        """Replace the given fields of a group; None if it is not there, TreeError for a parent it cannot have."""
        group = self.get(application_id, group_id)
        if group is None or not changes:
            return group
        row = self._db.execute("SELECT name, parent_id, fields FROM groups WHERE id = ?", (group["id"],)).fetchone()
        rest = msgspec.json.decode(row[2]) | changes
        name = rest.pop("name", row[0])
        parent_id = self._checked_parent(application_id, group["id"], rest.pop("parentId", row[1]))
        with self._transaction():
            self._db.execute(
                "UPDATE groups SET name = ?, parent_id = ?, last_updated = ?, fields = ? WHERE id = ?",
                (name, parent_id, _now(), msgspec.json.encode(rest).decode(), group["id"]),
            )
            if "groupTags" in changes:
                self._set_tags(group["id"], rest)
        changed = self._found(application_id, group["id"])
        for field, order in self._orders_of(application_id):
            order.remove(group[field], group["id"])
            order.add(changed[field], group["id"])
        return changed

    def delete(self, application_id: str, group_id: str) -> bool:
        """Delete a group and hand its children to its parent; whether it was there."""
        group = self.get(application_id, group_id)
        if group is None:
            return False
        with self._transaction():
            self._set_tags(group["id"], {})
            self._db.execute("UPDATE groups SET parent_id = ? WHERE parent_id = ?", (group["parentId"], group["id"]))
            self._db.execute("DELETE FROM groups WHERE id = ?", (group["id"],))
        for field, order in self._orders_of(application_id):
            order.remove(group[field], group["id"])
        return True

    def page(
        self,
        application_id: str,
        *,
        sort_field: str,
        descending: bool,
        name_glob: str,
        query: object,
        offset: int,
        limit: int,
    ) -> tuple[list[Group], int]:
        """A stretch of the groups that match a glob and a query, in order, and how many match in all.

        Raises:
            QueryError: The query is not allowed.
        """
        behind = _behind(query)
        if not name_glob and (behind == "" or (behind and sort_field == "id")):
            order = self._order(application_id, sort_field)
            ids, total = order.page(offset, limit, descending=descending, behind=behind)
            return self._groups(ids), total
        where, values = "application_id = ?", [application_id]
        if name_glob:
            where += " AND glob_matches(?, name)"
            values.append(name_glob)
        if query is not None:
            condition, bound = compile_query(query)
            where += f" AND {condition}"
            values += bound
        direction = "DESC" if descending else "ASC"
        # Equal sort values keep the order of their ids (assumed), so that pages neither overlap nor leave gaps.
        sorting = (
            f"{_SORT_COLUMNS[sort_field]} {direction}, id {direction}" if sort_field != "id" else f"id {direction}"
        )
        count = f"SELECT count(*) FROM groups WHERE {where}"  # noqa: S608 - values are bound
        try:
            (total,) = self._db.execute(count, values).fetchone()
        except sqlite3.OperationalError as problem:  # its parser has limits that the schema does not know
            raise QueryError(f"more than the emulator can evaluate ({problem})") from None
        # The ids alone, off an index that covers them, so that what comes before the page is skipped without a look.
        found = f"SELECT id FROM groups WHERE {where} ORDER BY {sorting} LIMIT ? OFFSET ?"  # noqa: S608 - as above
        return self._groups([row[0] for row in self._db.execute(found, (*values, limit, offset))]), total

    def device_ids(self, application_id: str, group_id: str, *, descendants: bool) -> set[str]:
        """The devices that a group names or takes in by a tag, and if asked those of all below it."""
        below = "UNION SELECT groups.id FROM groups JOIN tree ON groups.parent_id = tree.id" if descendants else ""
        rows = self._db.execute(
            f"WITH RECURSIVE tree(id) AS (SELECT ? {below}) SELECT fields FROM groups JOIN tree USING (id)",  # noqa: S608 - as above
            (group_id,),
        )
        devices = self.members(application_id, "devices")
        found: set[str] = set()
        for (text,) in rows:
            fields = msgspec.json.decode(text)
            found.update(fields.get("deviceIds", []))
            wanted = fields.get("deviceTags", [])
            found.update(one["id"] for one in devices if any(_carries(one["tags"], tag) for tag in wanted))
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._db:
            self._db.execute("BEGIN")
            yield

    def _set_tags(self, group_id: str, fields: Mapping[str, Any]) -> None:
        self._db.execute("DELETE FROM tags WHERE group_id = ?", (group_id,))
        tags = fields.get("groupTags", {}).items()
        self._db.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(group_id, key, value) for key, value in tags])

    def _found(self, application_id: str, group_id: str) -> Group:
        group = self.get(application_id, group_id)
        if group is None:
            raise LookupError(group_id)
        return group

    def _checked_parent(self, application_id: str, group_id: str | None, parent_id: str | None) -> str | None:
        # Undocumented; assumed from what a tree needs.
        if parent_id is None:
            return None
        parent = self.get(application_id, parent_id)
        if parent is None:
            raise TreeError(f"parentId {parent_id} is no group of this application")
        if group_id == parent["id"] or group_id in parent["ancestorIds"]:
            raise TreeError(f"parentId {parent_id} is the group itself or one of its descendants")
        if len(parent["ancestorIds"]) + 1 + self._height(group_id) > _MAX_ANCESTORS:
            raise _too_deep(parent_id)
        return str(parent["id"])

    def _height(self, group_id: str | None) -> int:
        """How many levels are below a group; 0 for one that is still to be made."""
        (height,) = self._db.execute(
            "WITH RECURSIVE below(id, level) AS (SELECT ?, 0 UNION ALL SELECT groups.id, level + 1"
            " FROM groups JOIN below ON groups.parent_id = below.id) SELECT max(level) FROM below",
            (group_id,),
        ).fetchone()
        return int(height)

    def _order(self, application_id: str, field: str) -> Order:
        if (application_id, field) not in self._orders:
            entries = f"SELECT {_SORT_COLUMNS[field]}, id FROM groups WHERE application_id = ?"  # noqa: S608 - constants
            self._orders[application_id, field] = Order(self._db.execute(entries, (application_id,)))
        return self._orders[application_id, field]

    def _orders_of(self, application_id: str) -> list[tuple[str, Order]]:
        return [(field, order) for (owner, field), order in self._orders.items() if owner == application_id]

    def _groups(self, ids: list[str]) -> list[Group]:
        rows: dict[str, tuple[Any, ...]] = {}
        for start in range(0, len(ids), _MOST_BOUND):
            some = ids[start : start + _MOST_BOUND]
            select = f"SELECT {_COLUMNS} FROM groups WHERE id IN ({', '.join('?' * len(some))})"  # noqa: S608 - values are bound
            rows |= {row[0]: row for row in self._db.execute(select, some)}
        parents: dict[str, str | None] = {}
        return [self._group(rows[group_id], parents) for group_id in ids]

    def _group(self, row: tuple[Any, ...], parents: dict[str, str | None]) -> Group:
        group_id, application_id, name, parent_id, creation_date, last_updated, fields = row
        return {
            "id": group_id,
            "experienceGroupId": group_id,
            "applicationId": application_id,
            "creationDate": creation_date,
            "lastUpdated": last_updated,
            "name": name,
            **_EMPTY,
            **msgspec.json.decode(fields),
            "parentId": parent_id,
            "ancestorIds": self._ancestors(parent_id, parents),
        }

    def _ancestors(self, parent_id: str | None, parents: dict[str, str | None]) -> list[str]:
        """The ids from the root down to `parent_id`; `parents` remembers what the groups of one page share."""
        ancestors = []
        while parent_id is not None:
            ancestors.append(parent_id)
            if parent_id not in parents:
                (parents[parent_id],) = self._db.execute(
                    "SELECT parent_id FROM groups WHERE id = ?", (parent_id,)
                ).fetchone()
            parent_id = parents[parent_id]
        return ancestors[::-1]


def _too_deep(parent_id: object) -> TreeError:
    return TreeError(f"below parentId {parent_id} a group would have more than {_MAX_ANCESTORS} ancestors")


def _carries(tags: list[dict[str, str]], wanted: dict[str, str]) -> bool:
    return any(all(tag[name] == text for name, text in wanted.items()) for tag in tags)


def _behind(query: object) -> str | None:
    """The id that a keyset page begins behind, "" without any query; None for every other query."""
    if query is None or query == {}:
        return ""
    match query:
        case {"id": {"$gt": str(last), **others}, **rest} if not others and not rest and ID.fullmatch(last):
            return last.lower()
    return None


def _now() -> int:
    return time.time_ns() // 1_000_000
