"""Groups in SQLite, with the rules of their trees; knows nothing of HTTP.

Field names are the API's. Dates are milliseconds since 1970.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from .database import now, transaction, unused_id
from .fixtures import checked_fields, kept_moments
from .query_fields import GROUP_FIELDS
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
        database: Keeps them.
        ids: Where the ids of what is made come from.
    """

    def __init__(self, database: sqlite3.Connection, ids: Iterator[str]) -> None:
        self._db = database
        self._new_id = ids
        self._orders: dict[tuple[str, str], Order] = {}  # by application and field, once they are asked for

    def forget_orders(self) -> None:
        """Sort anew: the rows were changed by somebody else."""
        self._orders.clear()

    def create(self, application_id: str, fields: Mapping[str, Any]) -> Group:
        """Make a group; raises TreeError for a parent that is not there."""
        group_id = unused_id(self._db, self._new_id, "groups")
        with transaction(self._db):
            self._insert(
                group_id, application_id, fields, self._checked_parent(application_id, None, fields.get("parentId"))
            )
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

    def seed(
        self, application_id: str, records: Iterable[Mapping[str, Any]], *, keep_ids: bool = False
    ) -> dict[Any, str]:
        """Make many groups, parents first; returns their ids by those that the records have of their own, if any.

        Args:
            application_id: Whose groups they are.
            records: The groups.
            keep_ids: Whether the ids of the records, and their dates if they have some, are those of the groups.

        Raises:
            TreeError: A parent that is neither of these nor a group that is there. Nothing was made.
            ValueError: A record breaks a rule of the API, or an id that is to be kept is none, or is there.
        """
        ids: dict[Any, str] = {}
        depths: dict[str | None, int] = {None: 0}  # how many are above the children of each
        self._orders.clear()
        with transaction(self._db):
            for record in records:
                fields = checked_fields(record)
                above = record.get("parentId")
                parent_id = ids.get(above) or self._checked_parent(application_id, None, above and str(above))
                if parent_id not in depths:
                    depths[parent_id] = len(self._found(application_id, str(parent_id))["ancestorIds"]) + 1
                if depths[parent_id] > _MAX_ANCESTORS:
                    raise _too_deep(above)
                group_id = self._kept_id(record) if keep_ids else unused_id(self._db, self._new_id, "groups")
                self._insert(group_id, application_id, fields, parent_id, kept_moments(record) if keep_ids else {})
                depths[group_id] = depths[parent_id] + 1
                ids[group_id if record.get("id") is None else record["id"]] = group_id
        return ids

    def _kept_id(self, record: Mapping[str, Any]) -> str:
        group_id = record.get("id")
        if not isinstance(group_id, str) or not ID.fullmatch(group_id):
            raise ValueError(
                f"record {record.get('name')!r}: its id must be 24 hex digits to be kept, not {group_id!r}"
            )
        if self._db.execute("SELECT 1 FROM groups WHERE id = ?", (group_id.lower(),)).fetchone():
            raise ValueError(f"record {record.get('name')!r}: there is a group with the id {group_id}")
        return group_id.lower()

    def _insert(
        self,
        group_id: str,
        application_id: str,
        fields: Mapping[str, Any],
        parent_id: str | None,
        moments: Mapping[str, int] | None = None,
    ) -> None:
        rest = {key: value for key, value in fields.items() if key not in ("name", "parentId")}
        created = (moments or {}).get("creationDate", now())
        updated = (moments or {}).get("lastUpdated", created)
        self._db.execute(
            "INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?, ?)",
            (group_id, application_id, fields["name"], parent_id, created, updated, msgspec.json.encode(rest).decode()),
        )

    def get(self, application_id: str, group_id: str) -> Group | None:
        """A group with its ancestors, or None."""
        select = f"SELECT {_COLUMNS} FROM groups WHERE id = ? AND application_id = ?"
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
        self._db.execute(
            "UPDATE groups SET name = ?, parent_id = ?, last_updated = ?, fields = ? WHERE id = ?",
            (name, parent_id, now(), msgspec.json.encode(rest).decode(), group["id"]),
        )
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
        with transaction(self._db):
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
        bounds = _bounds(query)
        if not name_glob and bounds is not None and (sort_field == "id" or not any(bounds)):
            order = self._order(application_id, sort_field)
            ids, total = order.page(offset, limit, descending=descending, behind=bounds[0], until=bounds[1])
            return self._groups(ids), total
        where, values = "application_id = ?", [application_id]
        if name_glob:
            where += " AND glob_matches(?, name)"
            values.append(name_glob)
        if query is not None:
            condition = compile_query(query, GROUP_FIELDS)
            where += f" AND {condition.sql}"
            values += condition.values
        direction = "DESC" if descending else "ASC"
        # Equal sort values keep the order of their ids (assumed), so that pages neither overlap nor leave gaps.
        sorting = (
            f"{_SORT_COLUMNS[sort_field]} {direction}, id {direction}" if sort_field != "id" else f"id {direction}"
        )
        count = f"SELECT count(*) FROM groups WHERE {where}"
        try:
            (total,) = self._db.execute(count, values).fetchone()
        except sqlite3.OperationalError as problem:  # its parser has limits that the schema does not know
            raise QueryError(f"more than the emulator can evaluate ({problem})") from None
        # The ids alone, off an index that covers them, so that what comes before the page is skipped without a look.
        found = f"SELECT id FROM groups WHERE {where} ORDER BY {sorting} LIMIT ? OFFSET ?"
        return self._groups([row[0] for row in self._db.execute(found, (*values, limit, offset))]), total

    def device_count(self, group_id: str, *, descendants: bool) -> int:
        """How many devices a group names or takes in by a tag, if asked with those of all below it."""
        below = "UNION SELECT groups.id FROM groups JOIN tree ON groups.parent_id = tree.id" if descendants else ""
        (count,) = self._db.execute(
            f"WITH RECURSIVE tree(id) AS (SELECT ? {below}) SELECT count(DISTINCT device_id)"
            " FROM device_groups JOIN tree ON device_groups.group_id = tree.id",
            (group_id,),
        ).fetchone()
        return int(count)

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
            entries = f"SELECT {_SORT_COLUMNS[field]}, id FROM groups WHERE application_id = ?"
            self._orders[application_id, field] = Order(self._db.execute(entries, (application_id,)))
        return self._orders[application_id, field]

    def _orders_of(self, application_id: str) -> list[tuple[str, Order]]:
        return [(field, order) for (owner, field), order in self._orders.items() if owner == application_id]

    def _groups(self, ids: list[str]) -> list[Group]:
        rows: dict[str, tuple[Any, ...]] = {}
        for start in range(0, len(ids), _MOST_BOUND):
            some = ids[start : start + _MOST_BOUND]
            select = f"SELECT {_COLUMNS} FROM groups WHERE id IN ({', '.join('?' * len(some))})"
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


def _bounds(query: object) -> tuple[str, str] | None:
    """The ids that a keyset page begins behind and ends with, "" for no bound; None for every other query."""
    parts = [query]
    match query:
        case None:
            return "", ""
        case {"$and": list(both), **others} if not others and both:
            parts = both
    bounds = {"$gt": "", "$lte": ""}
    for part in parts:
        match part:
            case {"id": {**one}, **rest} if not rest and len(one) == 1 and set(one) <= set(bounds):
                operator = "$gt" if "$gt" in one else "$lte"
                bound = one[operator]
                if bounds[operator] or not isinstance(bound, str) or not ID.fullmatch(bound):
                    return None
                bounds[operator] = bound.lower()
            case {**every} if not every and query == {}:
                continue
            case _:
                return None
    return bounds["$gt"], bounds["$lte"]
