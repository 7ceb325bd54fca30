"""Adding and removing members and tags of groups without losing anybody's.

The API only replaces whole lists, so that two who read, add one each and write leave one. Here the edits of one client
for one group share readings and writes: those that come while a write is under way go into the next. Against other
writers each edit is looked at again `settle_time` after it was written, and written again if it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
import random
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from .._http.deadline import Deadline
from .._http.endpoint import GroupsEndpoint
from .._http.transport import Sent, Transport
from .._validation import check_id, check_items
from ..errors import BadRequestError, ConfigurationError, LosantError, RequestTimeoutError
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
            Those that a later edit has undone are taken out.
        done: The group as it was read when all was as it was wanted.
        was_sent: Whether it may have been written without a response that says so.
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
        # By their transport too, since clients that share all else may have other times and retries. An editor lives as
        # long as a call waits for it, or its task works.
        self._editors: weakref.WeakValueDictionary[tuple[Transport, str], _Editor] = weakref.WeakValueDictionary()

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
        key = transport, f"{endpoint.path}/{group_id}".lower()
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

    def __len__(self) -> int:
        return len(self._editors)


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
        self._doubt_until = -math.inf  # until when a write whose response was lost may still land
        self._writing: list[Edit] = []
        self._sent = Sent()  # for these
        self._is_closing = False
        self.writes = 0

    def add(self, wishes: Mapping[Wish, Any]) -> Edit:
        """Take an edit. Where it contradicts earlier ones, they wait for what becomes of it."""
        edit = Edit(dict(wishes), asyncio.get_running_loop().create_future(), missing=list(wishes))
        self._edits.append(edit)
        self._has_news.set()
        if self._task is None or self._task.done():
            self._task = self._transport.start_task(self._work())
            self._transport.at_close.add(self._client_closes)
        return edit

    def remove(self, edit: Edit) -> None:
        """Forget an edit that is done, or that nobody waits for any more. A write on the wire comes to its end."""
        self._edits.remove(edit)
        self._has_news.set()

    def _client_closes(self) -> None:
        self._is_closing = True
        on_wire = self._writing if self._sent.on_wire else []
        self._fail([edit for edit in self._edits if edit not in on_wire], ConfigurationError("the client was closed"))
        if self._task is not None and not on_wire:
            self._task.cancel()

    async def _work(self) -> None:
        try:
            while await self._wait_for_work():
                asked = self._pending()
                try:
                    await self._read_and_write()
                except Exception as error:  # noqa: BLE001 - raised by all that have asked for this reading
                    self._fail(asked, error)
                if self._is_closing:
                    message = "the client was closed after this was written, and before it was looked at again"
                    self._fail(self._edits, ConfigurationError(message))
                    return
                # Those that are done go first; and what failed is not tried again at once.
                retry = self._transport.retry
                longest = min(retry.max_delay, retry.first_delay * 2 ** (self._failures - 1)) if self._failures else 0.0
                await self._transport.sleep(longest * random.random())  # noqa: S311 - no secret
        finally:
            self._transport.at_close.discard(self._client_closes)

    async def _wait_for_work(self) -> bool:
        """Wait until an edit is to be written or is due for its look; False when there is nothing more to do."""
        while True:
            self._has_news.clear()
            now = asyncio.get_running_loop().time()
            # What waits for a later edit to end has nothing to do by itself.
            due = [edit.look_at or 0.0 for edit, overruled in self._with_overruled() if not overruled]
            if due and min(due) <= now:
                return True
            if not self._edits and now >= self._doubt_until:
                return False
            until = min(due, default=self._doubt_until if not self._edits else None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._has_news.wait()

    def _pending(self) -> list[Edit]:
        return [edit for edit in self._edits if not edit.done.done()]

    def _with_overruled(self) -> list[tuple[Edit, set[Wish]]]:
        """Return the edits that are not done, the latest first, with the wishes that later ones contradict."""
        later: dict[Wish, Any] = {}
        edits = []
        for edit in reversed(self._pending()):
            edits.append((edit, {wish for wish, value in edit.wishes.items() if later.get(wish, value) != value}))
            later = edit.wishes | later
        return edits

    async def _read_and_write(self) -> None:
        asked = asyncio.get_running_loop().time()
        group = await self._endpoint.get(self._group_id, Deadline(self._transport.timeout))
        items = _Items(group)
        missing: list[Edit] = []
        for edit, overruled in self._with_overruled():
            edit.missing = [wish for wish in items.lacking(edit.wishes) if wish not in overruled]
            if edit.missing:
                missing.append(edit)
            elif edit.look_at is None and (edit.was_sent or asked < self._doubt_until):
                edit.look_at = max(self._next_look(), self._doubt_until)
            elif not overruled and (edit.look_at is None or edit.look_at <= asked):
                self._end(edit, group)
        if missing:
            await self._write(items, missing[: -self._at_most - 1 : -1])

    def _end(self, edit: Edit, group: ExperienceGroup) -> None:
        """Let an edit be done: what it contradicts of earlier ones is undone for good."""
        edit.done.set_result(group)
        for earlier in self._edits[: self._edits.index(edit)]:
            for wish, value in edit.wishes.items():
                if earlier.wishes.get(wish, value) != value:
                    del earlier.wishes[wish]
                    self._has_news.set()

    async def _write(self, items: _Items, edits: list[Edit]) -> None:
        sent, loop = Sent(), asyncio.get_running_loop()
        self._writing, self._sent = edits, sent
        read_at = loop.time()

        def is_news() -> bool:
            return loop.time() - read_at <= self._transport.throttle.seconds_of_news

        try:
            for edit in edits:
                items.change({wish: edit.wishes[wish] for wish in edit.missing})
            request = self._endpoint.update_request(self._group_id, items.changes, _read_again, is_news)
            await self._transport.call(request, Deadline(self._transport.timeout), sent)
        except _ReadAgainError:
            # What others write meanwhile must not be overwritten: before it is sent again, the group is read again.
            self._failures += sent.attempts > sent.refusals  # a 429 proves nothing about the write
            if self._failures >= self._transport.retry.max_attempts and sent.error is not None:
                sent.error.locate("PATCH", request.path, self._failures)
                self._fail(edits, sent.error)
        except (BadRequestError, ValueError) as error:
            if len(edits) == 1:
                self._fail(edits, error)
            self._at_most = max(1, len(edits) // 2)  # perhaps one of them alone is refused
        except LosantError as error:
            self._fail(edits, error)
        else:
            self._failures, self._at_most = 0, min(_UNLIMITED, 2 * self._at_most)
            look_at = self._next_look()  # one for all, so that they share a reading
            for edit in edits:
                edit.look_at = look_at
        finally:
            self.writes += sent.attempts
            for edit in edits:
                edit.was_sent |= sent.in_doubt
            if sent.in_doubt:
                self._doubt_until = loop.time() + self._transport.retry.settle_time

    def _next_look(self) -> float:
        late = 1 + _JITTER * random.random()  # noqa: S311 - no secret
        return asyncio.get_running_loop().time() + self._transport.retry.settle_time * late

    def _fail(self, edits: Iterable[Edit], error: Exception) -> None:
        for edit in edits:
            if not edit.done.done():
                one = copy.copy(error)  # each caller's own, since errors are told where they were
                one.__cause__ = error.__cause__
                edit.done.set_exception(one)


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
