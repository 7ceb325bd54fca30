"""An emulator in a process of its own that is set up anew for each arm, and asked what it has counted."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import attrs

from aiolosant.emulator import Emulator

from .process import spawned
from .quota import quota


@attrs.frozen
class World:
    """What an arm meets.

    Attributes:
        groups: The groups that are there, as the API lists them; an id may be any text that others name as `parentId`.
        latency: Seconds that each answer takes.
        rate_limit: Requests a second that are taken, with bursts of a tenth of that; None for any number.
        window: Instead of that: so many requests in so many seconds, and 429 until the window is over.
        retry_after: Seconds for the `Retry-After` of a 429; None for no such header.
    """

    groups: Sequence[Mapping[str, Any]] = ()
    latency: float = 0.03
    rate_limit: float | None = None
    window: tuple[int, float] | None = None
    retry_after: int | None = None


@attrs.frozen
class Begun:
    """A world that has begun.

    Attributes:
        ids: The id of each group by the id that the world gives it.
        target: The id of an empty application beside it.
    """

    ids: dict[str, str]
    target: str


@attrs.frozen
class Counted:
    """What was asked.

    Attributes:
        times: Of each request, seconds since the first.
        refused: Of each, whether it was refused.
    """

    times: Sequence[float]
    refused: Sequence[bool]

    def refused_after(self, seconds: float) -> float:
        """The share that was refused of what came so long after the first."""
        later = [refused for time, refused in zip(self.times, self.refused, strict=True) if time >= seconds]
        return sum(later) / len(later) if later else 0.0


class Apart:
    """The other process, as seen from here."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.options: dict[str, Any] = pipe.recv()

    def begin(self, world: World) -> Begun:
        """Start from a world."""
        self._pipe.send(("begin", world))
        begun: Begun = self._pipe.recv()
        return begun

    def limit(self, world: World) -> None:
        """Keep the groups, put a world's limits around them, and count anew."""
        self._pipe.send(("limit", world))
        self._pipe.recv()

    def counted(self) -> Counted:
        """What was asked since."""
        self._pipe.send(("count", None))
        counted: Counted = self._pipe.recv()
        return counted


@contextmanager
def apart() -> Iterator[Apart]:
    """An emulator in a process of its own."""
    here, there = multiprocessing.Pipe()
    with spawned(_serve, there):
        yield Apart(here)


def _serve(ready: Connection, pipe: Connection) -> None:
    ready.send(None)
    with Emulator() as emulator:
        pipe.send({"token": emulator.token, "application_id": emulator.application_id, "base_url": emulator.url})
        while True:
            verb, world = pipe.recv()
            pipe.send(_VERBS[verb](emulator, world))


def _begin(emulator: Emulator, world: World) -> Begun:
    emulator.reset()
    ids = emulator.create_groups(world.groups)
    _limit(emulator, world)
    return Begun(ids, emulator.create_application())


def _limit(emulator: Emulator, world: World) -> None:
    emulator.latency, emulator.rate_limit, emulator.retry_after = world.latency, world.rate_limit, world.retry_after
    emulator.before_request = None if world.window is None else quota(*world.window)
    emulator.requests.clear()


def _count(emulator: Emulator, _world: None) -> Counted:
    records = tuple(emulator.requests)
    first = records[0].time if records else 0.0
    return Counted([one.time - first for one in records], [one.status == 429 for one in records])


_VERBS: dict[str, Callable[[Emulator, Any], object]] = {"begin": _begin, "limit": _limit, "count": _count}
