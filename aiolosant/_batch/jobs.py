"""What `create_many` does with each item."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from .._http import codec
from .._http.endpoint import GroupsEndpoint
from ..models import NewExperienceGroup
from .exactly_once import ExactlyOnce
from .lookup import MOST_KEYS
from .outcome import BatchReport, Outcome
from .workers import GaveUp, Item, Permit

_AHEAD = 8


class CreateMany:
    """The job of `create_many`.

    Args:
        endpoint: Makes the requests.
        once: Creates what must be there only once; None if nothing tells groups apart.
        concurrency: How many creates are under way at a time.

    Attributes:
        ahead: How many items to pull beyond those under way.
    """

    def __init__(self, endpoint: GroupsEndpoint, once: ExactlyOnce | None, *, concurrency: int) -> None:
        self._endpoint = endpoint
        self._once = once
        self._seen: set[bytes] = set()
        self._counts = {"created": 0, "existing": 0}
        self._others: dict[str, list[Outcome]] = {"failed": [], "unknown": []}
        # As many as one lookup can hold, and those that have given up their permit while they are being settled.
        self.ahead = _AHEAD + (max(MOST_KEYS, 4 * concurrency) if once else 0)

    def accept(self, item: Item) -> None:
        """Read the item as a group.

        Raises:
            TypeError: It is neither a group nor a mapping.
            ValueError: It is no valid group, it repeats another's key, or it has nothing to be known by.
        """
        item.group = to_new_group(item.given)
        if self._once is None:
            return
        key = item.key = self._once.key_of(item.group)
        # A digest takes less memory than a key: an input may have a million.
        digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
        if digest in self._seen:
            raise ValueError(f"the input has another group with the {self._once.describe(key)}")
        self._seen.add(digest)
        self._once.lookups.expect(key)

    async def do(self, item: Item, permit: Permit) -> Outcome:
        """Create the group."""
        if self._once is None:
            request = self._endpoint.create_request(item.group)
            group, is_new = await self._endpoint.transport.call(request, permit.deadline, permit.sent), True
        else:
            created = await self._once.create(item.group, item.key, permit)
            group, is_new = created.group, created.is_new
        outcome = Outcome(item.index, item.given, group, None, "created" if is_new else "existing")
        self._counts[outcome.status] += 1
        return outcome

    def gave_up(self, item: Item, error: BaseException, status: GaveUp) -> Outcome:
        """Return the outcome of an item that was not created."""
        outcome = Outcome(item.index, item.given, None, error, status)
        self._others[status].append(outcome)
        return outcome

    def report(self) -> BatchReport:
        """Return what has become of the items so far."""
        return BatchReport(**self._counts, failed=tuple(self._others["failed"]), unknown=tuple(self._others["unknown"]))

    def close(self) -> None:
        """Look up nothing more."""
        if self._once is not None:
            self._once.lookups.close()


def to_new_group(item: object) -> NewExperienceGroup:
    """Return an item as a group.

    Raises:
        TypeError: It is neither a group nor a mapping.
        ValueError: It is no valid group.
    """
    if isinstance(item, Mapping):
        return codec.new_group(item)
    if not isinstance(item, NewExperienceGroup):
        raise TypeError(f"a group must be a NewExperienceGroup or a mapping, not {type(item).__name__}")
    return item
