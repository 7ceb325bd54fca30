"""All that one emulator knows: applications, tokens, groups and their members, in one database and under one lock."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from random import Random

import attrs

from .accounts import Accounts
from .database import object_ids, open_database, transaction
from .late_lists import LateLists
from .members import Members
from .store import Store

_TABLES = ("groups", "members", "applications", "tokens")


@attrs.frozen
class Snapshot:
    """The groups, members, applications and tokens of an emulator at one moment, for its `restore`."""

    tables: Mapping[str, tuple[tuple[object, ...], ...]] = attrs.field(repr=False)


class State:
    """What an emulator knows. Whoever reads or changes it holds `held()`.

    Args:
        path: A file to keep it in, or None for memory.
        token: The main token; None for the one that the file knows, or a new one.
        application_id: Id of the first application; None for the file's, or a new one.
        seed: Makes ids and the token the same in each run; None for new ones.

    Attributes:
        accounts: Applications and tokens.
        groups: The groups.
        members: Users, endpoints and devices.
        token: The main token.
        application_id: Id of the first application.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, *, token: str | None, application_id: str | None, seed: int | None
    ) -> None:
        self._db = open_database(path)
        self._lock = threading.RLock()
        self._closed = False
        self._late_lists: LateLists | None = None
        ids = object_ids(seed)
        self.accounts = Accounts(self._db, ids)
        self.groups = Store(self._db, ids)
        self.members = Members(self._db, ids)
        known = next(iter(self.accounts.applications()), None) if application_id is None else application_id
        self.application_id = self.accounts.create_application(known)
        made = secrets.token_urlsafe(32) if seed is None else Random(seed).randbytes(24).hex()  # noqa: S311 - of a test
        before = self.accounts.first_token()
        self.token = token or before or made
        if before is not None and before != self.token:  # rotated: the file's own is good no more
            self.accounts.remove_token(before)
        self._accept_main_token()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep others from reading or changing anything meanwhile.

        Raises:
            RuntimeError: The emulator is closed.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the emulator is closed, and what it knew is gone; make a new one")
            yield

    def close(self) -> None:
        """Close the database. Twice does no harm."""
        with self._lock:
            self._closed = True
            self._close_late_lists()
            self._db.close()

    def listed(self) -> Store:
        """The groups as lists show them."""
        return self.groups if self._late_lists is None else self._late_lists.caught_up()

    def show_late(self, seconds: float) -> None:
        """Let each write from now on show in lists so many seconds later; 0 for at once."""
        if self._late_lists is not None and seconds:
            self._late_lists.seconds = seconds
            return
        self._close_late_lists()
        if seconds:
            self._late_lists = LateLists(self._db, seconds)

    def reset(self) -> None:
        """Forget all but the main token and the first application."""
        for table in _TABLES:
            self._db.execute(f"DELETE FROM {table}")
        self.groups.forget_orders()
        self.accounts.create_application(self.application_id)
        self._accept_main_token()

    def snapshot(self) -> Snapshot:
        """All that is known, to be restored later."""
        return Snapshot({table: tuple(self._db.execute(f"SELECT * FROM {table}")) for table in _TABLES})

    def restore(self, snapshot: Snapshot) -> None:
        """Forget what is known, and know what a snapshot has."""
        with transaction(self._db):
            for table, rows in snapshot.tables.items():  # tags and memberships follow from the groups
                self._db.execute(f"DELETE FROM {table}")
                if rows:
                    marks = ", ".join("?" * len(rows[0]))
                    self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        self.groups.forget_orders()
        if self._late_lists is not None:
            seconds = self._late_lists.seconds
            self._close_late_lists()
            self._late_lists = LateLists(self._db, seconds)

    def _accept_main_token(self) -> None:
        # That of an application, which is not let see who made it; but there is nobody else here to ask.
        self.accounts.add_token(self.token, ["all.Application", "me.get"])

    def _close_late_lists(self) -> None:
        if self._late_lists is not None:
            self._late_lists.close()
            self._late_lists = None
