"""A simulated server with a limit, and clients that find it, on a clock of their own."""

import functools
import heapq
import math
import random
from collections.abc import Callable

from aiolosant._http.pace import Pace


class World:
    """Clients with eager workers before one server that refuses beyond a limit or by chance."""

    def __init__(
        self,
        *,
        limit: float = math.inf,
        latency: float = 0.02,
        noise: float = 0,
        clients: int = 1,
        workers: int = 64,
        seed: int = 1,
        burst: float | None = None,
        jitter: tuple[float, float] = (0.8, 1.3),
        retry_after: float | None = None,
        window: tuple[int, float] | None = None,
    ) -> None:
        self.limit, self.latency, self.noise = limit, latency, noise
        self.jitter = jitter  # an answer takes the latency times what is drawn between these
        self.retry_after = retry_after  # seconds that a refusal asks to wait; None if it does not
        self.window = window  # so many requests in so many seconds, whenever these begin, instead of the limit
        self.burst = burst  # requests that it takes at once, by default a tenth of what it takes in a second
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.paces = [Pace(64) for _ in range(clients)]
        self.waiting = [workers] * clients
        self.backing_off = [0] * clients
        self.wake = [math.inf] * clients
        self.had_to_wait = [False] * clients
        self.tokens, self.filled = 0.0, 0.0
        self.now = 0.0
        self.answers: list[tuple[float, int, bool]] = []
        self.events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self.events, (time, len(self.events) * 1000 + self.random.randrange(1000), event))

    def run(self, until: float) -> None:
        for client in range(len(self.paces)):
            self.pump(client)
        while self.events and self.events[0][0] <= until:
            self.now, _, event = heapq.heappop(self.events)
            event()
        self.now = until

    def pump(self, client: int) -> None:
        pace = self.paces[client]
        pace.tick(self.now, waited=self.somebody_waits(client), for_turn=self.waiting[client] > 0)
        while self.waiting[client]:
            delay = pace.delay(self.now)
            if delay > 0:
                self.had_to_wait[client] = True
                if self.now + delay < self.wake[client]:
                    self.wake[client] = self.now + delay
                    self.at(self.wake[client], lambda: self.wakes(client))
                return
            self.waiting[client] -= 1
            pace.start(self.now)
            started, waited = self.now, self.had_to_wait[client]
            latency = self.latency * self.random.uniform(*self.jitter)
            self.at(self.now + latency, functools.partial(self.answered, client, started, waited))
        self.had_to_wait[client] = False

    def wakes(self, client: int) -> None:
        self.wake[client] = math.inf
        self.pump(client)

    def answered(self, client: int, started: float, waited: bool) -> None:
        refused = not self.has_room() or self.random.random() < self.noise
        self.answers.append((self.now, client, refused))
        pace = self.paces[client]
        pace.tick(self.now, waited=self.somebody_waits(client), for_turn=self.waiting[client] > 0)
        pace.end(self.now, started, refused=refused, waiting=waited or self.somebody_waits(client))
        if refused and self.retry_after is not None:
            pace.pause(self.now, self.retry_after)
        if refused:
            self.backing_off[client] += 1
            self.at(self.now + self.random.uniform(0, 0.25), lambda: self.comes_back(client))
        else:
            self.waiting[client] += 1
        self.pump(client)

    def somebody_waits(self, client: int) -> bool:
        return self.waiting[client] + self.backing_off[client] > 0

    def comes_back(self, client: int) -> None:
        self.pump(client)
        self.backing_off[client] -= 1
        self.waiting[client] += 1
        self.pump(client)

    def has_room(self) -> bool:
        if self.window is not None:
            most, seconds = self.window
            return sum(self.now - time < seconds for time, _, refused in self.answers[-64:] if not refused) < most
        if self.limit == math.inf:
            return True
        self.tokens = min(
            self.limit / 10 if self.burst is None else self.burst, self.tokens + (self.now - self.filled) * self.limit
        )
        self.filled = self.now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def taken(self, start: float, end: float, client: int | None = None) -> float:
        """Requests a second that were taken in a stretch of time."""
        times = (time for time, who, refused in self.answers if not refused and client in (None, who))
        return sum(start <= time < end for time in times) / (end - start)

    def refused(self, start: float, end: float) -> float:
        """The share of requests that were refused in a stretch of time."""
        outcomes = [refused for time, _, refused in self.answers if start <= time < end]
        return sum(outcomes) / len(outcomes)
