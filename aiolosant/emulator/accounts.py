"""Applications, and the tokens that are good for them with their scopes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator


class Accounts:
    """The applications and tokens that a database keeps.

    Args:
        database: Keeps them.
        ids: Where the ids of new applications come from.
    """

    def __init__(self, database: sqlite3.Connection, ids: Iterator[str]) -> None:
        self._db = database
        self._new_id = ids

    def create_application(self, application_id: str | None = None) -> str:
        """Make an application, with an id of its own unless one is given; returns it. Twice does no harm."""
        application_id = next(self._new_id) if application_id is None else application_id.lower()
        self._db.execute("INSERT OR IGNORE INTO applications (id) VALUES (?)", (application_id,))
        return application_id

    def applications(self) -> list[str]:
        """The ids of all applications, oldest first."""
        return [row[0] for row in self._db.execute("SELECT id FROM applications ORDER BY id")]

    def has_application(self, application_id: str) -> bool:
        """Whether there is such an application."""
        found = self._db.execute("SELECT 1 FROM applications WHERE id = ?", (application_id.lower(),))
        return found.fetchone() is not None

    def add_token(self, token: str, scopes: Iterable[str]) -> None:
        """Accept a token for some scopes."""
        insert = "INSERT INTO tokens VALUES (?, ?) ON CONFLICT (token) DO UPDATE SET scopes = excluded.scopes"
        self._db.execute(insert, (token, " ".join(scopes)))

    def remove_token(self, token: str) -> None:
        """Accept a token no more."""
        self._db.execute("DELETE FROM tokens WHERE token = ?", (token,))

    def scopes(self, token: str) -> set[str] | None:
        """The scopes of a token; None if there is no such token."""
        row = self._db.execute("SELECT scopes FROM tokens WHERE token = ?", (token,)).fetchone()
        return set(row[0].split()) if row else None

    def first_token(self) -> str | None:
        """The oldest token, or None."""
        row = self._db.execute("SELECT token FROM tokens ORDER BY rowid LIMIT 1").fetchone()
        return row[0] if row else None
