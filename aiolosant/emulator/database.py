"""The SQLite database that keeps what the emulator knows, and the ids of what is put into it.

What a group says of its tags and members is a JSON text in its row; triggers keep the tables that are searched by them.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from typing import Self

from .globbing import folded, glob_matches
from .query_sql import text_matches

# What SQLite keeps in the head of a file for the programs that use it: whose it is, and which version.
_OURS = int.from_bytes(b"aiol")
_VERSION = 2
_SEEDED_SECOND = 0x5F000000  # in 2020
_FIRST_EDITION = {"applications", "tokens", "groups", "members", "tags"}

_TABLES = """
CREATE TABLE IF NOT EXISTS applications (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (token TEXT PRIMARY KEY, scopes TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mains (kind TEXT PRIMARY KEY, value TEXT NOT NULL);  -- the first application and token
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
CREATE TABLE IF NOT EXISTS memberships (
    group_id TEXT NOT NULL REFERENCES groups,
    kind TEXT NOT NULL,
    member_id TEXT NOT NULL,
    PRIMARY KEY (group_id, kind, member_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS memberships_by_member ON memberships (member_id, group_id);
-- A device is in a group by its id or by a tag. What only a device query brings in is left out (assumed rare in tests).
CREATE VIEW IF NOT EXISTS device_groups AS
    SELECT group_id, member_id AS device_id FROM memberships WHERE kind = 'devices'
    UNION
    SELECT groups.id, members.id
    FROM groups
    JOIN json_each(groups.fields, '$.deviceTags') AS wanted
    JOIN members ON members.application_id = groups.application_id AND members.kind = 'devices'
    JOIN json_each(members.fields, '$.tags') AS own
    WHERE coalesce(json_extract(wanted.value, '$.key') = json_extract(own.value, '$.key'), 1)
      AND coalesce(json_extract(wanted.value, '$.value') = json_extract(own.value, '$.value'), 1);
"""

_TAGS = "INSERT OR REPLACE INTO tags SELECT NEW.id, key, value FROM json_each(NEW.fields, '$.groupTags');"
_MEMBERSHIPS = "".join(
    f"INSERT OR IGNORE INTO memberships SELECT NEW.id, '{kind}', lower(value) FROM json_each(NEW.fields, '$.{field}');"
    for kind, field in (
        ("experienceUsers", "experienceUserIds"),
        ("experienceEndpoints", "experienceEndpointIds"),
        ("devices", "deviceIds"),
    )
)
# Most groups have no members, and JSON takes time to read. The text is msgspec's, which writes no blanks.
_HAS_MEMBERS = """instr(NEW.fields, 'Ids":["')"""

_TRIGGERS = f"""
CREATE TRIGGER IF NOT EXISTS tags_made AFTER INSERT ON groups BEGIN {_TAGS} END;
CREATE TRIGGER IF NOT EXISTS members_made AFTER INSERT ON groups WHEN {_HAS_MEMBERS} BEGIN {_MEMBERSHIPS} END;
CREATE TRIGGER IF NOT EXISTS group_changed AFTER UPDATE OF fields ON groups WHEN OLD.fields <> NEW.fields BEGIN
    DELETE FROM tags WHERE group_id = OLD.id;
    DELETE FROM memberships WHERE group_id = OLD.id;
    {_TAGS} {_MEMBERSHIPS}
END;
CREATE TRIGGER IF NOT EXISTS group_deleted AFTER DELETE ON groups BEGIN
    DELETE FROM tags WHERE group_id = OLD.id;
    DELETE FROM memberships WHERE group_id = OLD.id;
END;
"""

# The first edition kept no memberships: they are filled as if each group had just been made.
_FROM_FIRST_EDITION = "UPDATE groups SET fields = fields || ' '; UPDATE groups SET fields = rtrim(fields);"


def open_database(path: str | os.PathLike[str] | None) -> sqlite3.Connection:
    """Open a file, or a database in memory, and make the tables that are not there yet.

    It may be used from any thread, by one at a time.

    Raises:
        ValueError: The file is another program's, or made by a newer version. It was not touched.
        sqlite3.Error: It is no database, or another process has it open.
    """
    _look(path)
    database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=0.5, check_same_thread=False)
    try:
        version = _checked_version(database, path)
        # What has been committed to the write-ahead log survives the process being killed. Exclusive, because what
        # another process wrote would not be seen in the sorted indexes that are kept in memory.
        database.executescript(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            # All or nothing, since tables without our id are another program's.
            f"BEGIN; {_TABLES} {_TRIGGERS} {_FROM_FIRST_EDITION if version == 1 else ''}"
            f"PRAGMA application_id = {_OURS}; PRAGMA user_version = {_VERSION}; COMMIT;"
        )
    except sqlite3.Error as error:
        database.close()
        raise type(error)(f"{path}: {error}") from error
    except ValueError:  # it changed since the look
        database.close()
        raise
    database.create_function("glob_matches", 2, glob_matches, deterministic=True)
    database.create_function("text_matches", 4, text_matches, deterministic=True)
    database.create_function("fold", 1, folded, deterministic=True)
    return database


def _look(path: str | os.PathLike[str] | None) -> None:
    """Look at a file without even a lock, since to open another program's may tidy it up."""
    if path is None or not os.path.exists(path) or not os.path.getsize(path):  # noqa: PTH110, PTH202 - may be text
        return
    database = sqlite3.connect(f"file:{urllib.parse.quote(os.fspath(path))}?immutable=1", uri=True)
    with contextlib.closing(database):
        try:
            _checked_version(database, path)
        except sqlite3.Error as error:
            raise type(error)(f"{path}: {error}") from error


def _checked_version(database: sqlite3.Connection, path: object) -> int:
    """Return the version of a file that is ours, 0 for an empty one."""
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if owner == 0 and (not tables or tables == _FIRST_EDITION):
        return 1 if tables else 0
    if owner != _OURS:
        raise ValueError(f"{path} is a database of another program; name another file")
    if version > _VERSION:
        raise ValueError(f"{path} was made by a newer version of aiolosant; update it, or name another file")
    return int(version)


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Do all of what is done meanwhile, or nothing."""
    with database:
        database.execute("BEGIN")
        yield


def now() -> int:
    """The present, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Ids:
    """Ids as MongoDB makes them: seconds, five bytes of the process, a counter; they grow.

    Args:
        seed: Makes them the same in each run, and as of one fixed second; None for ids of now.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self._process = os.urandom(5) if seed is None else random.Random(seed).randbytes(5)  # noqa: S311 - no secret
        self._count = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        seconds = time.time_ns() // 1_000_000_000 if self._seed is None else _SEEDED_SECOND + (self._count >> 24)
        number, self._count = self._count & 0xFFFFFF, self._count + 1
        return f"{seconds:08x}{self._process.hex()}{number:06x}"

    def restart(self, after: str) -> None:
        """With a seed, begin anew behind an id that stays."""
        if self._seed is not None:
            self._count = int(after[-6:], 16) + 1


def unused_id(database: sqlite3.Connection, ids: Iterator[str], table: str) -> str:
    """The next id that nothing in a table has: what kept its own id may have one that comes later."""
    while True:
        found = next(ids)
        if database.execute(f"SELECT 1 FROM {table} WHERE id = ?", (found,)).fetchone() is None:
            return found
