"""Applications, and the tokens that are good for them with their scopes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Literal

from .database import unused_id


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
        application_id = (application_id or unused_id(self._db, self._new_id, "applications")).lower()
        self._db.execute("INSERT OR IGNORE INTO applications (id) VALUES (?)", (application_id,))
        return application_id

    def has_application(self, application_id: str) -> bool:
        """Whether there is such an application."""
        found = self._db.execute("SELECT 1 FROM applications WHERE id = ?", (application_id.lower(),))
        return found.fetchone() is not None

    def add_token(self, token: str, scopes: Iterable[str]) -> None:
        """Accept a token for some scopes."""
        insert = "INSERT INTO tokens VALUES (?, ?) ON CONFLICT (token) DO UPDATE SET scopes = excluded.scopes"
        self._db.execute(insert, (token, " ".join(scopes)))

    def remove_token(self, token: str) -> bool:
        """Accept a token no more; whether it was accepted."""
        return self._db.execute("DELETE FROM tokens WHERE token = ?", (token,)).rowcount > 0

    def scopes(self, token: str) -> set[str] | None:
        """The scopes of a token; None if there is no such token."""
        row = self._db.execute("SELECT scopes FROM tokens WHERE token = ?", (token,)).fetchone()
        return set(row[0].split()) if row else None

    def main(self, kind: Literal["application", "token"]) -> str | None:
        """The first application, or the token that is good from the start; None if there is none yet."""
        row = self._db.execute("SELECT value FROM mains WHERE kind = ?", (kind,)).fetchone()
        if row is None:  # a file of the first edition
            oldest = {
                "application": "SELECT id FROM applications ORDER BY id LIMIT 1",
                "token": "SELECT token FROM tokens ORDER BY rowid LIMIT 1",
            }
            row = self._db.execute(oldest[kind]).fetchone()
        return row[0] if row else None

    def set_main(self, kind: Literal["application", "token"], value: str) -> None:
        """Let an application, or a token, be the one from the start."""
        self._db.execute("INSERT OR REPLACE INTO mains VALUES (?, ?)", (kind, value))
