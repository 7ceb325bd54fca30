"""What can be observed of a client: `LosantClient(on_event=...)` calls with these, `LosantClient.stats` counts them.

Whoever traces gets a span of each attempt from the OpenTelemetry instrumentation of aiohttp already; these events add
what it cannot know: which attempts belong together, how long they waited for their turn, and what they proved.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import attrs

from .errors import LosantError

Proved = Literal["applied", "not applied", "unknown"]

_ID = re.compile(r"(?<=/)[A-Fa-f0-9]{24}(?=/|$)")


def route_of(path: str) -> str:
    """A path with `{id}` in place of each id, so that there are as few routes as the API has."""
    return _ID.sub("{id}", path)


@attrs.frozen
class AttemptEnded:
    """A request was sent once, and was answered or not.

    Attributes:
        method: Its HTTP method.
        route: Its path with `{id}` in place of ids, such as `/applications/{id}/experience/groups/{id}`.
        path: Its path.
        status: The HTTP status; None if there was no response.
        proved: Whether this attempt was applied: `applied`, `not applied` or `unknown`.
        number: Which attempt of its call it was, from 1.
        waited: Seconds that it waited for its turn.
        took: Seconds from then to its end.
        error: What went wrong; None if nothing did.
    """

    method: str
    route: str
    path: str
    status: int | None
    proved: Proved
    number: int
    waited: float
    took: float
    error: LosantError | None


@attrs.frozen
class Resending:
    """A request will be sent again.

    Attributes:
        method: Its HTTP method.
        route: Its path with `{id}` in place of ids.
        path: Its path.
        number: Which attempt of its call the next one is.
        delay: Seconds until then; the wait for its turn comes on top.
        error: What went wrong with the one before.
    """

    method: str
    route: str
    path: str
    number: int
    delay: float
    error: LosantError | None


@attrs.frozen
class Paused:
    """The server asked for a pause; nothing of this client starts meanwhile.

    Attributes:
        seconds: How long.
    """

    seconds: float


@attrs.frozen
class TokenRenewed:
    """The token was refused, and the provider gave another."""


@attrs.frozen
class Settled:
    """It was found out what became of a create whose response was lost.

    Attributes:
        route: The path of the create with `{id}` in place of ids.
        path: Its path.
        group_id: The group that it had made; None if there is none, so that it is sent again.
    """

    route: str
    path: str
    group_id: str | None


Event: TypeAlias = AttemptEnded | Resending | Paused | TokenRenewed | Settled
"""What `on_event` is called with."""


@attrs.frozen
class Stats:
    """What a client does now, and has done so far.

    Attributes:
        in_flight: Requests under way.
        waiting: Requests that wait for their turn.
        rate: Requests a second that may start; infinite as long as no limit was found or set.
        limit_found: Whether the server has shown a limit, by refusing requests.
        attempts: Requests that were sent.
        refused: Those that the server refused with 429.
        unknown: Those of which it was not known at their end whether they were applied, reads included.
        settled: Lost creates of which it was found out later.
        outage: Seconds for which nothing was let through, be it failing or refused; 0 if something is.
        paused_for: Seconds for which nothing will start, because the server asked for it.
    """

    in_flight: int
    waiting: int
    rate: float
    limit_found: bool
    attempts: int
    refused: int
    unknown: int
    settled: int
    outage: float = 0.0
    paused_for: float = 0.0
