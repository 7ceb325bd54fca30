"""The SQLite database that keeps the groups, and the ids of what is put into it."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Iterator

from .globbing import glob_matches
from .query_sql import text_matches

_SCHEMA = """
CREATE TABLE IF NOT EXISTS applications (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (token TEXT PRIMARY KEY, scopes TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS groups (
    id TEXT PRIMARY KEY,
    application_id TEXT NOT NULL REFERENCES applications,
    name TEXT NOT NULL,
    parent_id TEXT REFERENCES groups,
    creation_date INTEGER NOT NULL,
    last_updated INTEGER NOT NULL,
    fields TEXT NOT NULL  -- JSON object of all that nothing is looked up by
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS groups_by_id ON groups (application_id, id);
CREATE INDEX IF NOT EXISTS groups_by_name ON groups (application_id, name, id);
CREATE INDEX IF NOT EXISTS groups_by_creation_date ON groups (application_id, creation_date, id);
CREATE INDEX IF NOT EXISTS groups_by_last_updated ON groups (application_id, last_updated, id);
CREATE INDEX IF NOT EXISTS groups_by_parent ON groups (parent_id);
CREATE TABLE IF NOT EXISTS members (
    id TEXT PRIMARY KEY,
    application_id TEXT NOT NULL REFERENCES applications,
    kind TEXT NOT NULL,
    fields TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS members_by_kind ON members (application_id, kind, id);
CREATE TABLE IF NOT EXISTS tags (
    group_id TEXT NOT NULL REFERENCES groups,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (group_id, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_by_value ON tags (key, value, group_id);
"""


def open_database(path: str | os.PathLike[str] | None) -> sqlite3.Connection:
    """Open a file, or a database in memory, and make the tables that are not there yet.

    Raises:
        sqlite3.Error: It is no database, or another process has it open.
    """
    database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=0.5)
    # What has been committed to the write-ahead log survives the process being killed. Exclusive, because what another
    # process wrote would not be seen in the sorted indexes that are kept in memory.
    pragmas = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"
    try:
        database.executescript(f"{pragmas}; {_SCHEMA}")
    except sqlite3.Error:
        database.close()
        raise
    database.create_function("glob_matches", 2, glob_matches, deterministic=True)
    database.create_function("text_matches", 4, text_matches, deterministic=True)
    database.create_function("fold", 1, str.casefold, deterministic=True)
    return database


def object_ids() -> Iterator[str]:
    """Yield ids as MongoDB makes them: seconds, five bytes of the process, a counter; they grow with time."""
    process = os.urandom(5).hex()
    for n in itertools.count():
        yield f"{time.time_ns() // 1_000_000_000:08x}{process}{n & 0xFFFFFF:06x}"
