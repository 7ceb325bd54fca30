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
from .database import Ids, now, open_database, transaction
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
        self._ids = Ids(seed)
        self.accounts: Accounts = Accounts(self._db, self._ids)
        self.groups: Store = Store(self._db, self._ids)
        self.members: Members = Members(self._db, self._ids)
        known = self.accounts.main("application")
        if seed is not None and known is not None:
            self._db.close()
            raise ValueError("seed is for a new emulator; the ids of a file that is there are what they are")
        self.application_id: str = self.accounts.create_application(application_id or known)
        self.accounts.set_main("application", self.application_id)
        made = secrets.token_urlsafe(32) if seed is None else Random(seed).randbytes(24).hex()  # noqa: S311 - of a test
        before = self.accounts.main("token")
        self.token: str = token or before or made
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
            if self._late_lists is not None:
                self._late_lists.moment = now()
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

    @property
    def shown_late_by(self) -> float:
        """Seconds until a write shows in the list of groups."""
        return self._late_lists.seconds if self._late_lists is not None else 0.0

    def show_late(self, seconds: float) -> None:
        """Let each write from now on show in the list of groups so many seconds later; 0 for at once."""
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
        self._ids.restart(self.application_id)
        self.accounts.create_application(self.application_id)
        self._accept_main_token()

    def snapshot(self) -> Snapshot:
        """All that is known, to be restored later."""
        return Snapshot({table: tuple(self._db.execute(f"SELECT * FROM {table}")) for table in _TABLES})

    def restore(self, snapshot: Snapshot) -> None:
        """Forget what is known, and know what a snapshot has.

        Raises:
            ValueError: It is another emulator's.
        """
        if (self.application_id,) not in snapshot.tables["applications"]:
            raise ValueError("the snapshot is another emulator's: the application of this one is not in it")
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
        # A token of an application cannot ask for `/me`; ours can, because there is no other user here (assumed).
        self.accounts.add_token(self.token, ["all.Application", "me.get"])
        self.accounts.set_main("token", self.token)

    def _close_late_lists(self) -> None:
        if self._late_lists is not None:
            self._late_lists.close()
            self._late_lists = None
