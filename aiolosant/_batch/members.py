"""Adding and removing members and tags of groups without losing anybody's.

The API only replaces whole lists, so that two who read, add one each and write leave one. Here the edits of one client
for one group share readings and writes: those that come while a write is under way go into the next. Against other
writers each edit is looked at again `settle_time` after it was written, and written again if it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from .._http.deadline import Deadline
from .._http.endpoint import GroupsEndpoint
from .._http.transport import Sent, Transport
from .._validation import check_id, check_items
from ..errors import BadRequestError, ConfigurationError, RequestTimeoutError
from ..models import ExperienceGroup

Wish = tuple[str, str]
"""A field of a group and one of its items: an id, or the key of a tag."""

MEMBER_FIELDS = ("experience_user_ids", "experience_endpoint_ids", "device_ids")
_TAGS = "group_tags"
_UNLIMITED = 1_000_000
# A look comes up to so much later, as a share of `settle_time`: two clients that look at the same moment might undo
# each other's work again and again.
_JITTER = 0.25


@attrs.define(eq=False)
class Edit:
    """What one call wants of a group.

    Attributes:
        wishes: The value that each item is to have: True and False for members; the text of a tag, or None for no tag.
        done: The group as it was read when all was as it was wanted.
        was_sent: Whether it may have been written.
        look_at: When a reading must find it, on the event loop's clock; None before it was written.
        missing: What the last reading did not have as it is wanted; all of it before the first.
    """

    wishes: dict[Wish, Any]
    done: asyncio.Future[ExperienceGroup]
    was_sent: bool = False
    look_at: float | None = None
    missing: list[Wish] = attrs.field(factory=list)

    def missing_words(self) -> str:
        """Return what the group lacked when it was read last."""
        wanted = ((field, item, self.wishes.get((field, item))) for field, item in self.missing)
        lacks = [f"{item} in {field}" if value else f"no {item} in {field}" for field, item, value in wanted]
        if not lacks:
            return "all was there when the group was read last, but it was not yet looked at again after settle_time"
        return f"when it was read last, the group did not have: {', '.join(lacks)}"[:500]


class GroupEditors:
    """The edits of one client, by group; a group without any is forgotten."""

    def __init__(self) -> None:
        # By their transport too, since clients that share all else may have other times and retries.
        self._editors: dict[tuple[Transport, str], _Editor] = {}

    async def edit(self, endpoint: GroupsEndpoint, group_id: str, wishes: Mapping[Wish, Any]) -> ExperienceGroup:
        """Let a group have its items as they are wanted; returns it as it was read then.

        Raises:
            ConfigurationError: The client's `timeout` leaves no time for a second look.
            NotFoundError: There is no such group.
            RequestTimeoutError: Somebody else undid it again and again, or the server was too slow; the message says
                what was missing last.
            LosantError: A request failed.
        """
        transport = endpoint.transport
        if transport.timeout <= transport.retry.settle_time * (1 + _JITTER):
            raise ConfigurationError(
                f"a timeout of {transport.timeout:g} seconds leaves no time to look again after settle_time, which is "
                f"{transport.retry.settle_time:g}; allow more with with_options(timeout=)"
            )
        deadline = Deadline(transport.timeout)
        key = endpoint.transport, f"{endpoint.path}/{group_id}".lower()
        editor = self._editors.get(key)
        if editor is None:
            editor = self._editors[key] = _Editor(endpoint, group_id)
        edit = editor.add(wishes)
        try:
            return await deadline.wait_for(edit.done)
        except RequestTimeoutError as error:
            if error.method is not None:  # of a request
                raise
            late = RequestTimeoutError(f"{error.message}; {edit.missing_words()}", attempts=editor.writes)
            raise late from None
        finally:
            editor.remove(edit)
            if editor.is_idle and self._editors.get(key) is editor:
                del self._editors[key]


def member_wishes(items: Mapping[str, Iterable[str]], *, present: bool) -> dict[Wish, Any]:
    """Return the wish that members are in a group or not, given ids by the fields of groups that list them.

    Raises:
        TypeError: Ids are no several texts.
        ValueError: One is not 24 hex digits.
    """
    return {
        (field, check_id(f"{field}[{n}]", one).lower()): present
        for field, ids in items.items()
        for n, one in enumerate(check_items(field, ids))
    }


def tag_wishes(tags: Mapping[str, str | None]) -> dict[Wish, Any]:
    """Return the wish that tags have these values; None for no such tag."""
    return {(_TAGS, key): text for key, text in tags.items()}


class _Editor:
    """The edits of one group, and the task that carries them out.

    Attributes:
        writes: How often the group was written.
    """

    def __init__(self, endpoint: GroupsEndpoint, group_id: str) -> None:
        self._endpoint = endpoint
        self._transport = endpoint.transport
        self._group_id = group_id
        self._edits: list[Edit] = []
        self._has_news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._at_most = _UNLIMITED  # edits to write at a time
        self._failures = 0  # of writes, one after the other
        self.writes = 0

    @property
    def is_idle(self) -> bool:
        """Whether there is no edit."""
        return not self._edits

    def add(self, wishes: Mapping[Wish, Any]) -> Edit:
        """Take an edit. Where it contradicts earlier ones, it takes their place."""
        for earlier in self._edits:
            for wish, value in wishes.items():
                if earlier.wishes.get(wish, value) != value:
                    del earlier.wishes[wish]
        edit = Edit(dict(wishes), asyncio.get_running_loop().create_future(), missing=list(wishes))
        self._edits.append(edit)
        self._has_news.set()
        if self._task is None:
            self._task = self._transport.start_task(self._work())
            self._transport.at_close.add(self._client_closes)
        return edit

    def remove(self, edit: Edit) -> None:
        """Forget an edit that is done, or that nobody waits for any more."""
        self._edits.remove(edit)
        if not self._edits and self._task is not None:
            self._task.cancel()
            self._task = None
            self._transport.at_close.discard(self._client_closes)

    def _client_closes(self) -> None:
        self._fail(self._edits, ConfigurationError("the client was closed"))
        if self._task is not None:
            self._task.cancel()

    async def _work(self) -> None:
        while True:
            await self._wait_for_work()
            try:
                await self._read_and_write()
            except Exception as error:  # noqa: BLE001 - raised by all that wait
                self._fail(self._edits, error)
            # Those that are done go first; and what failed is not tried again at once.
            retry = self._transport.retry
            longest = min(retry.max_delay, retry.first_delay * 2 ** (self._failures - 1)) if self._failures else 0.0
            await self._transport.sleep(longest * random.random())  # noqa: S311 - no secret

    async def _wait_for_work(self) -> None:
        """Wait until there is an edit that was not written, or one that is due for its look."""
        while True:
            self._has_news.clear()
            due = [edit.look_at or 0.0 for edit in self._edits if not edit.done.done()]
            if due and min(due) <= asyncio.get_running_loop().time():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(due, default=None)):
                    await self._has_news.wait()

    async def _read_and_write(self) -> None:
        asked = asyncio.get_running_loop().time()
        group = await self._endpoint.get(self._group_id, Deadline(self._transport.timeout))
        items = _Items(group)
        missing: list[Edit] = []
        for edit in self._edits:
            if edit.done.done():
                continue
            edit.missing = items.lacking(edit.wishes)
            if edit.missing:
                missing.append(edit)
            elif edit.was_sent and edit.look_at is None:
                edit.look_at = self._next_look()
            elif edit.look_at is None or edit.look_at <= asked:
                edit.done.set_result(group)
        if missing:
            await self._write(items, missing[: self._at_most])

    async def _write(self, items: _Items, edits: list[Edit]) -> None:
        sent = Sent()
        try:
            for edit in edits:
                items.change(edit.wishes)
            request = self._endpoint.update_request(self._group_id, items.changes, _read_again)
            await self._transport.call(request, Deadline(self._transport.timeout), sent)
        except _ReadAgainError:
            # What others write meanwhile must not be overwritten: before it is sent again, the group is read again.
            for edit in edits:
                edit.was_sent, edit.look_at = edit.was_sent or sent.in_doubt, None
            if not sent.refusals:  # a 429 proves nothing about the write
                self._failures += 1
            if self._failures >= self._transport.retry.max_attempts and sent.error is not None:
                sent.error.locate("PATCH", request.path, self._failures)
                raise sent.error from None
        except (BadRequestError, ValueError) as error:
            if len(edits) == 1:
                self._fail(edits, error)
            self._at_most = max(1, len(edits) // 2)  # perhaps one of them alone is refused
        else:
            self._failures, self._at_most = 0, min(_UNLIMITED, 2 * self._at_most)
            for edit in edits:
                edit.was_sent, edit.look_at = True, self._next_look()
        finally:
            self.writes += sent.attempts

    def _next_look(self) -> float:
        late = 1 + _JITTER * random.random()  # noqa: S311 - no secret
        return asyncio.get_running_loop().time() + self._transport.retry.settle_time * late

    def _fail(self, edits: Iterable[Edit], error: Exception) -> None:
        for edit in edits:
            if not edit.done.done():
                edit.done.set_exception(copy.copy(error))  # each caller's own, since errors are told where they were


class _Items:
    """The members and tags of a group as it was read, and as they are to be.

    Attributes:
        changes: The fields that are to change, with their new values.
    """

    def __init__(self, group: ExperienceGroup) -> None:
        self._group = group
        self._ids = {field: {item.lower() for item in getattr(group, field)} for field in MEMBER_FIELDS}
        self.changes: dict[str, Any] = {}

    def lacking(self, wishes: Mapping[Wish, Any]) -> list[Wish]:
        """Return what was not as it is wanted."""
        return [wish for wish, value in wishes.items() if self._value(*wish) != value]

    def change(self, wishes: Mapping[Wish, Any]) -> None:
        """Let everything be as it is wanted."""
        for (field, item), value in wishes.items():
            if self._value(field, item) == value:
                continue
            if field == _TAGS:
                tags = self.changes.setdefault(_TAGS, dict(self._group.group_tags))
                tags.pop(item, None)
                if value is not None:
                    tags[item] = value
                continue
            before = self.changes.get(field, getattr(self._group, field))
            others = [member for member in before if member.lower() != item.lower()]
            self.changes[field] = [*others, item] if value else others

    def _value(self, field: str, item: str) -> Any:
        return self._group.group_tags.get(item) if field == _TAGS else item.lower() in self._ids[field]


async def _read_again() -> None:
    raise _ReadAgainError


class _ReadAgainError(Exception):
    """Ends a write before it is sent again."""
