"""Lists that show a write some time after it was made, as those of a replicated database do."""

from __future__ import annotations

import sqlite3

from .database import now, open_database
from .store import Store

_COLUMNS = ("id", "application_id", "name", "parent_id", "creation_date", "last_updated", "fields")
_LOG = """
CREATE TEMP TABLE changes (
    number INTEGER PRIMARY KEY, moment INTEGER, gone INTEGER,
    id TEXT, application_id TEXT, name TEXT, parent_id TEXT, creation_date INTEGER, last_updated INTEGER, fields TEXT
);
"""


class LateLists:
    """A copy of the groups that is so many seconds behind.

    Args:
        database: The original, which must outlive this.
        seconds: How late a write shows. It may be changed, for earlier writes too.

    Attributes:
        seconds: As the argument.
        moment: The present, in milliseconds since 1970, for all that is written next.
    """

    def __init__(self, database: sqlite3.Connection, seconds: float) -> None:
        self.seconds = seconds
        self.moment: int = now()
        self._original = database
        self._copy = open_database(None)
        self._store = Store(self._copy, iter(()))
        database.backup(self._copy)
        database.create_function("present", 0, lambda: self.moment)
        events = (("INSERT", "NEW", 0), ("UPDATE", "NEW", 0), ("DELETE", "OLD", 1))
        database.executescript(
            _LOG
            + "".join(
                f"CREATE TEMP TRIGGER noted_{event} AFTER {event} ON groups BEGIN"
                f" INSERT INTO changes VALUES (NULL, present(), {gone}, {', '.join(f'{row}.{c}' for c in _COLUMNS)});"
                " END;"
                for event, row, gone in events
            )
        )

    def caught_up(self) -> Store:
        """The groups as they were so many seconds ago."""
        due = now() - round(self.seconds * 1000)
        rows = self._original.execute("SELECT * FROM changes WHERE moment <= ? ORDER BY number", (due,)).fetchall()
        for number, _moment, gone, *group in rows:
            self._copy.execute("DELETE FROM groups WHERE id = ?", (group[0],))
            if not gone:
                self._copy.execute("INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?, ?)", group)
            self._original.execute("DELETE FROM changes WHERE number = ?", (number,))
        if rows:
            self._store.forget_orders()
        return self._store

    def close(self) -> None:
        """Forget the copy, and note changes no more."""
        self._copy.close()
        triggers = "".join(f"DROP TRIGGER IF EXISTS noted_{event};" for event in ("INSERT", "UPDATE", "DELETE"))
        self._original.executescript(f"{triggers} DROP TABLE IF EXISTS changes;")
