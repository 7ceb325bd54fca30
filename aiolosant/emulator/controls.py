"""What a test does with an emulator while it serves: make and read groups, inject faults, look at requests."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .faults import Fault, Faults
from .fixtures import checked_changes, checked_records
from .group_calls import written
from .members import Kind
from .request_record import RequestRecord
from .schemas import ENDPOINT_METHODS, ID
from .settings import Hook, Setting
from .state import Snapshot, State
from .store import TreeError

_LONGEST = 1e9  # seconds


class Controls:
    """The part of an `Emulator` that other threads and `/_emulator/...` use: all but starting and stopping it.

    Args:
        state: What it knows.

    Attributes:
        latency: Seconds to wait before each answer, 0 or more; what cannot be is a ValueError, here and below.
        rate_limit: Requests a second that are taken, 0.001 or more, with bursts of a tenth of that; the others are
            refused with 429. None for any number.
        retry_after: Seconds for the `Retry-After` of each 429; None for no such header.
        lateness: Seconds that a `Fault.LATE_WRITE` is late by.
        before_request: Called with each request that the rate limit lets through, before it is answered, on the
            emulator's own thread. It may change what is there, it may return a `Fault` that the request is to meet, and
            a ValueError that it raises refuses the request with a 400 `Validation` and its text.
        requests: What it was asked, oldest first; of more than 200,000 the latest half.
        peak_in_flight: The most requests that were under way at a time.
        faults: Decides which request meets which fault; `inject` and `inject_random` tell it.
        late_writes: How many writes of a `Fault.LATE_WRITE` are still to land.
        resets: How often `reset` or `restore` was called; what was still to be written before the last of them is not.
    """

    latency: Setting = Setting(0.0)
    rate_limit: Setting = Setting(None, may_be_none=True, least=0.001)
    retry_after: Setting = Setting(None, may_be_none=True)
    lateness: Setting = Setting(0.5)
    before_request: Hook = Hook()

    def __init__(self, state: State) -> None:
        self._state = state
        self.faults: Faults = Faults()
        self.requests: list[RequestRecord] = []
        self.peak_in_flight: int = 0
        self.resets: int = 0
        self.late_writes: int = 0

    # Whom it serves.

    @property
    def application_id(self) -> str:
        """Id of the application that is there from the start."""
        return self._state.application_id

    @property
    def token(self) -> str:
        """The token that it accepts from the start."""
        return self._state.token

    @property
    def staleness(self) -> float:
        """Seconds until a write shows in the list of groups, 0 for at once; 0 to 1e9.

        To set it counts for earlier writes as well that do not show yet; what is out of range is a ValueError.
        """
        with self._state.held():
            return self._state.shown_late_by

    @staleness.setter
    def staleness(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST:
            raise ValueError(f"staleness must be seconds, 0 or more, not {seconds!r}")
        with self._state.held():
            self._state.show_late(seconds)

    def create_application(self) -> str:
        """Make another application; returns its id."""
        with self._state.held():
            return self._state.accounts.create_application()

    def create_token(self, scopes: Iterable[str] = ("all.Application",)) -> str:
        """Make another token, good for some scopes in every application; returns it.

        Raises:
            TypeError: `scopes` is one text instead of several.
        """
        if isinstance(scopes, str):
            raise TypeError("scopes must be several texts, such as ['all.Application.read']")
        token = secrets.token_urlsafe(32)
        with self._state.held():
            self._state.accounts.add_token(token, scopes)
        return token

    def revoke_token(self, token: str | None = None) -> None:
        """Accept a token no more, by default the first one: from now on it is answered with 401.

        Raises:
            ValueError: It is not accepted as it is.
        """
        with self._state.held():
            if not self._state.accounts.remove_token(token or self.token):
                raise ValueError("there is no such token; create_token() makes one, and reset() brings the first back")

    # Groups and their members.

    def create_groups(
        self, records: Iterable[object], *, application_id: str | None = None, keep_ids: bool = False
    ) -> dict[Any, str]:
        """Make groups, as many as you like at once, in `application_id` or the first application.

        Args:
            records: Groups in the shape in which the API lists them, in any order: mappings, or what has a `to_dict()`,
                as models and records of the client have. What only the server sets is read over. `id` is a name of the
                record's own, for others to say as their `parentId`; any other `parentId` is that of a group that is
                there.
            application_id: Whose groups they are.
            keep_ids: Whether the `id` of each record, 24 hex digits, becomes that of its group, and its dates too.

        Returns:
            The ids of the new groups, by the `id` of their records; by themselves where a record had none.

        Raises:
            TypeError: A record is neither.
            ValueError: A record breaks a rule of the API or has a field that no group has, its parent is not there, or
                there is no such application. Nothing was made.
        """
        ordered = checked_records(records)
        with self._application(application_id) as owner:
            return self._state.groups.seed(owner, ordered, keep_ids=keep_ids)

    def groups(self, *, application_id: str | None = None) -> list[dict[str, Any]]:
        """Return all groups of `application_id` or the first application, by ascending id, in the API's shape."""
        with self._application(application_id) as owner:
            return [written(group) for group in self._state.groups.groups(owner)]

    def update_group(self, group_id: str, changes: Mapping[str, Any], *, application_id: str | None = None) -> None:
        """Change fields of a group, by their API names, as somebody else would.

        Raises:
            ValueError: There is no such group, it has no such field, or a change breaks a rule of the API.
        """
        checked = checked_changes(changes)
        with self._application(application_id) as owner:
            if self._state.groups.update(owner, group_id, checked) is None:
                raise ValueError(f"there is no group {group_id}")

    def delete_group(self, group_id: str, *, application_id: str | None = None) -> None:
        """Delete a group, as somebody else would; its children go to its parent.

        Raises:
            ValueError: There is no such group.
        """
        with self._application(application_id) as owner:
            if not self._state.groups.delete(owner, group_id):
                raise ValueError(f"there is no group {group_id}")

    def has_groups(self) -> bool:
        """Whether there is any group in any application."""
        with self._state.held():
            return self._state.groups.has_groups()

    def create_experience_user(
        self, email: str, *, first_name: str = "", last_name: str = "", application_id: str | None = None
    ) -> str:
        """Make an experience user, of `application_id` instead of the first application if given; returns its id.

        Raises:
            ValueError: `email` is no address, or there is no such application.
        """
        if not isinstance(email, str) or "@" not in email:
            raise ValueError(f"email must be an address such as ann@example.com, not {email!r}")
        fields = {"email": email, "firstName": first_name, "lastName": last_name, "userTags": {}}
        return self._add_member("experienceUsers", fields, application_id)

    def create_experience_endpoint(self, method: str, route: str, *, application_id: str | None = None) -> str:
        """Make an experience endpoint; as `create_experience_user`. Losant writes methods in lower case.

        Raises:
            ValueError: `method` is none of `delete`, `get`, `options`, `patch`, `post` and `put`.
        """
        if method.lower() not in ENDPOINT_METHODS:
            raise ValueError(f"method must be one of {', '.join(ENDPOINT_METHODS)}, not {method!r}")
        fields = {"method": method.lower(), "route": route, "enabled": True, "access": "public", "endpointTags": {}}
        return self._add_member("experienceEndpoints", fields, application_id)

    def create_device(
        self, name: str, *, tags: Mapping[str, str] | None = None, application_id: str | None = None
    ) -> str:
        """Make a device with tags; as `create_experience_user`."""
        pairs = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        fields = {"name": name, "tags": pairs, "attributes": [], "deviceClass": "standalone"}
        return self._add_member("devices", fields, application_id)

    def _add_member(self, kind: Kind, fields: Mapping[str, Any], application_id: str | None) -> str:
        with self._application(application_id) as owner:
            return self._state.members.add(owner, kind, fields)

    @contextmanager
    def _application(self, application_id: str | None) -> Iterator[str]:
        with self._state.held():
            owner = application_id or self.application_id
            if not (isinstance(owner, str) and ID.fullmatch(owner) and self._state.accounts.has_application(owner)):
                raise ValueError(f"there is no application {owner!r}; create_application() makes one")
            try:
                yield owner.lower()
            except TreeError as problem:
                raise ValueError(str(problem)) from None

    # What goes wrong.

    def inject(
        self, fault: Fault, *, times: int | None = 1, method: str | None = None, path: str | None = None
    ) -> None:
        """Let the next requests meet a fault.

        Args:
            fault: Which.
            times: How many requests, 1 or more; None for all until `withdraw_faults`.
            method: Only requests of this method.
            path: Only requests to paths that match this glob, such as `*/experience/users`; `*` is any text, slashes
                too, and case does not matter.

        Raises:
            TypeError: `fault` is no `Fault`.
            ValueError: `times` is below 1, `method` is no HTTP method, or `path` is no glob of paths.
        """
        self.faults.script(fault, times=times, method=method, path=path)

    def inject_random(self, chances: Mapping[Fault, float], *, seed: int | None = None) -> None:
        """Let each request meet a fault with its probability from now on; `{}` ends it. A seed makes it repeatable.

        Raises:
            TypeError: `chances` is no mapping from faults to numbers.
            ValueError: The probabilities are negative or more than 1 together.
        """
        self.faults.draw(chances, seed)

    def withdraw_faults(self) -> None:
        """Take back all faults that were injected and not met yet, and cut the connections that are kept silent."""
        self.faults.withdraw()

    # All at once.

    def reset(self) -> None:
        """Be as new: no groups, members, other applications and other tokens, no faults, no requests, settings as ever.

        The first application keeps its id, the first token is good (again), and with `seed` ids begin anew.
        """
        self.faults.withdraw()
        with self._state.held():
            self.resets += 1
            self._state.show_late(0)
            self._state.reset()
        for name, setting in vars(Controls).items():
            if isinstance(setting, Setting | Hook):
                vars(self).pop(name, None)
        self.requests.clear()
        self.peak_in_flight = 0

    def snapshot(self) -> Snapshot:
        """Return all groups, members, applications and tokens, to come back to with `restore`."""
        with self._state.held():
            return self._state.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Have what a snapshot has, instead of what there is. Faults, requests and settings stay.

        Raises:
            TypeError: It is none.
            ValueError: It is another emulator's.
        """
        if not isinstance(snapshot, Snapshot):
            raise TypeError(f"snapshot must be what snapshot() returned, not {type(snapshot).__name__}")
        with self._state.held():
            self.resets += 1
            self._state.restore(snapshot)
