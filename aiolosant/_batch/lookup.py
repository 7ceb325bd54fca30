"""Looks things up by key, many keys in one query, and remembers what was found for as long as that may be relied on."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

import attrs

from .._http.transport import Transport
from ..errors import LosantError, TransportError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_KEYS = 100
"""How many keys one query can hold: the published schema's limit of a list in a query."""
GATHER = 0.01
"""Seconds that the lookup of a batch waits for an asynchronous input to give more keys to share it with."""
GATHER_SETTLING = 0.1
"""Seconds that a lookup after a lost response waits for others that are due, to share a query."""
GATHER_SECOND_LOOKS = 0.5
"""Seconds that the second look of a contested create waits for others to share its query."""

MOST_STOCK = 1_600
"""At most so many keys are looked up ahead of those who will ask for them."""
_LEAST_STOCK = 50  # keys that are looked up ahead at first, and when answers get too old
_GROWTH = 8  # how many times as many are looked up ahead at once, when answers are used up before the next come
_JUST_NOW = 0.001  # seconds
_USED_TO_JUDGE = 50  # answers that tell how fast they are used up


@attrs.frozen
class _Answer(Generic[V]):
    value: V
    time: float


class Lookups(Generic[K, V]):
    """Looks up keys; those that are due at the same time share a query.

    Expected keys are looked up ahead of those who will ask for them: more of them when answers are used up before the
    next ones come, and fewer when answers are too old by the time that they are asked for. Keys that are held, because
    somebody relies on their answer and waits for a turn, are looked up again along with others.

    Args:
        find: Looks up at most `MOST_KEYS` keys; the result has an entry for each.
        transport: Owns the tasks, and knows the server's pace.
        gather: Seconds that a lookup waits for others to share its query.

    Attributes:
        look_further: Called with how many keys are to be looked up ahead, when these have become more.
    """

    def __init__(
        self, find: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], transport: Transport, *, gather: float
    ) -> None:
        self._find = find
        self._transport = transport
        self._gather = gather
        self._expected: dict[K, None] = {}  # announced, and in no query yet
        self._answers: dict[K, asyncio.Future[_Answer[V]]] = {}  # unused ones, `_due` included
        self._due: dict[K, asyncio.Future[_Answer[V]]] = {}  # those of the next query
        self._held: dict[K, float] = {}  # when the answer was found that somebody relies on
        self._awaited: set[K] = set()
        self._stock = _LEAST_STOCK  # unused answers to have at hand, as long as there are expected keys
        self._used = 0  # answers, from the first on
        self._first_used = 0.0  # when that was
        self._used_before = 0  # when the stock was made larger
        self._has_answered = False
        self.look_further: Callable[[int], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._queries: dict[asyncio.Task[None], dict[K, asyncio.Future[_Answer[V]]]] = {}

    def expect(self, key: K) -> None:
        """Say that a key will be asked for, so that its lookup can share a query with that of another."""
        self._expected[key] = None

    def forget(self, key: K) -> None:
        """Say that a key will not be asked for any more."""
        self._expected.pop(key, None)
        self._answers.pop(key, None)

    async def find(self, key: K) -> V:
        """Return what was found for a key a moment ago, or is found now. To use an answer removes it.

        Raises:
            LosantError: The query failed, for all that shared it.
        """
        answer = self._answers.get(key)
        if not self._used:
            self._first_used = asyncio.get_running_loop().time()
        self._used += 1
        if answer is not None and self._is_older(answer, self._transport.throttle.seconds_of_news):
            self._stock = max(_LEAST_STOCK, self._stock // 2)
            answer = None
        elif self._has_answered and (answer is None or not answer.done()):
            self._enlarge_stock()
        if answer is None:
            answer = self._ask(key, self._gather)
        self._fill_stock()
        return await self._result(key, answer)

    def hold(self, key: K, found: float) -> None:
        """Say that somebody relies on what was found at that time, on the event loop's clock, until `let_go`."""
        self._held[key] = found

    def let_go(self, key: K) -> None:
        """Say that nobody relies on what was found any more."""
        self._held.pop(key, None)
        self._answers.pop(key, None)

    def newer(self, key: K) -> V | None:
        """Return what has been found since for a key that is held; None if that is nothing, or too old as well."""
        answer = self._answers.get(key)
        if answer is None or not answer.done() or self._is_older(answer, self._transport.throttle.seconds_of_news):
            return None
        del self._answers[key]
        return answer.result().value

    async def renew(self, key: K) -> V:
        """Return what the query that is under way finds for a key that is held, or a new one, with others that are.

        Raises:
            LosantError: The query failed, for all that shared it.
        """
        answer = self._answers.get(key)
        if answer is None or self._is_older(answer, self._transport.throttle.seconds_of_news):
            answer = self._ask(key, 0)
        return await self._result(key, answer)

    async def find_anew(self, key: K, *, gather: float = 0) -> V:
        """Return what a new query finds, which waits so many seconds for others to share it."""
        return await self._result(key, self._due.get(key) or self._ask(key, gather))

    def close(self) -> None:
        """Cancel the queries that are due or under way. Callers that wait get a TransportError."""
        self._cancel_timer()
        for query in self._queries:
            query.cancel()
        for due in (self._due, *self._queries.values()):  # whose query may not even have begun
            if due:
                self._fail(due, TransportError("the lookup was broken off"))
        self._due = {}

    async def _result(self, key: K, answer: asyncio.Future[_Answer[V]]) -> V:
        self._awaited.add(key)
        try:
            # Shielded, because others may wait for the same key.
            return (await asyncio.shield(answer)).value
        except LosantError as error:
            # Each gets an error of its own, since `locate` changes errors.
            raise copy.copy(error) from error.__cause__
        finally:
            self._awaited.discard(key)
            if self._answers.get(key) is answer:
                del self._answers[key]

    def _ask(self, key: K, gather: float) -> asyncio.Future[_Answer[V]]:
        loop = asyncio.get_running_loop()
        answer = self._due[key] = self._answers[key] = loop.create_future()
        self._expected.pop(key, None)
        if not gather or len(self._due) + len(self._expected) >= MOST_KEYS:
            self._start_query()
        elif self._timer is None or loop.time() + gather < self._timer.when():
            self._cancel_timer()
            self._timer = loop.call_later(gather, self._start_query)
        return answer

    def _start_query(self) -> None:
        self._cancel_timer()
        # Others go along: first keys whose answers will soon be too old, those that are held before the rest, and then
        # keys without an answer.
        loop, old = asyncio.get_running_loop(), []
        if self._held or len(self._answers) > len(self._due):
            now, soon = loop.time(), self._transport.throttle.seconds_of_news / 2
            old = [key for key, found in self._held.items() if now - found > soon and key not in self._answers]
            old += [key for key, answer in self._answers.items() if self._is_older(answer, soon)]
        room = max(0, MOST_KEYS - len(self._due))
        for key in [*old, *itertools.islice(self._expected, room)][:room]:
            if key in self._due:
                continue
            self._due[key] = self._answers[key] = loop.create_future()
            self._expected.pop(key, None)
        due, self._due = self._due, {}
        query = self._transport.start_task(self._query(due))
        self._queries[query] = due
        query.add_done_callback(self._queries.pop)

    async def _query(self, due: dict[K, asyncio.Future[_Answer[V]]]) -> None:
        try:
            found = await self._find(list(due))
        except asyncio.CancelledError:
            self._fail(due, TransportError("the lookup was broken off"))
            raise
        except Exception as error:  # noqa: BLE001 - raised by whoever waits for the answer
            self._fail(due, error)
            return
        now = asyncio.get_running_loop().time()
        for key, answer in due.items():
            answer.set_result(_Answer(found[key], now))
        self._has_answered = True
        if self._expected:
            self._fill_stock()

    def _enlarge_stock(self) -> None:
        """Look up more ahead, since answers are used up before the next come: as many as are used while they are new.

        That is few where they wait for the server's pace or for slow answers, and many where most is there already.
        """
        if self._used - self._used_before >= _USED_TO_JUDGE:
            seconds = max(_JUST_NOW, asyncio.get_running_loop().time() - self._first_used)
            used_while_new = self._used / seconds * self._transport.throttle.seconds_of_news / 2
            self._stock = max(self._stock, int(min(MOST_STOCK, _GROWTH * self._stock, used_while_new)))
            self._used_before = self._used
            if self.look_further is not None:
                self.look_further(self._stock)

    def _fill_stock(self) -> None:
        # Fewer than a query holds may be joined by others.
        while len(self._expected) >= MOST_KEYS:
            held = sum(key in self._answers for key in self._held)  # whose answers are spoken for
            if len(self._answers) - held >= self._stock:
                return
            self._start_query()

    def _fail(self, due: dict[K, asyncio.Future[_Answer[V]]], error: Exception) -> None:
        for key, answer in due.items():
            if answer.done():
                continue
            if self._answers.get(key) is answer:
                del self._answers[key]
                if key not in self._awaited and key not in self._held:  # it went along with others, and can do so again
                    self._expected[key] = None
            answer.set_exception(error)
            answer.exception()  # retrieved: perhaps nobody waits for it

    def _is_older(self, answer: asyncio.Future[_Answer[V]], seconds: float) -> bool:
        return answer.done() and asyncio.get_running_loop().time() - answer.result().time > seconds

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
