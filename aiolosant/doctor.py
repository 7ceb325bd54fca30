"""What holds of a live Losant: `examine` reads, `probe` writes into a marked subtree of its own and removes it.

This package assumes several things that Losant does not document. Each finding says whether one holds where you are,
and what of ours breaks if it does not. What is documented is at https://docs.losant.com/rest-api/experience-groups/.
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import time
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import attrs

from ._findings import Check, Finding, Report, Seen, Verdict, as_assumed, checked, otherwise, unknown
from ._probe import MARK, Probe, remove_marked
from ._version import VERSION
from .client import LosantClient
from .errors import AuthenticationError, TransportError
from .groups import ExperienceGroups, parts_of

__all__ = ["MARK", "Finding", "Report", "Verdict", "examine", "probe"]

_WORST_CLOCK = 60.0  # seconds
_TRIES = 5
_LONGEST = 20.0  # seconds for one request
_SOON = 24 * 3600  # seconds
_EVERYTHING = ("all.Application", "all.Organization", "all.User")
_WRITES = {"experienceGroups.*", "experienceGroups.post", *_EVERYTHING, *(f"{one}.bounded" for one in _EVERYTHING)}


async def examine(losant: LosantClient) -> Report:
    """Find out what reading tells: the application, the token, the latency, the clock, whether groups may be read.

    It takes some ten small requests. Errors of the API and of the network are findings; if nobody answers, or the token
    is refused, the rest is not tried.

    Raises:
        ConfigurationError: The client has no application, or it is closed.
    """
    # Somebody waits for the answer, so that an outage is told and not waited out.
    transport = parts_of(losant.experience_groups)[0].transport
    losant = losant.with_options(
        timeout=min(_LONGEST, transport.timeout), retry=attrs.evolve(transport.retry, patience=0.0)
    )
    examining = _Examining(losant)
    checks: dict[str, Check] = {
        "application": examining.application,
        "token": examining.token,
        "reading": examining.reading,
        "writing": examining.writing,
        "latency": examining.latency,
        "clock": examining.clock,
        "server": examining.server,
    }
    findings: list[Finding] = []
    for name, check in checks.items():
        findings.append(await checked(name, check))
        if examining.is_hopeless:
            break
    return Report(tuple(findings), about=_about(losant))


async def probe(groups: ExperienceGroups) -> Report:
    """Find out what nobody documents, by writing into a marked subtree that is removed again, whatever happens.

    What an earlier probe left, because it was killed, is removed first. It makes some 60 groups, and takes as long as
    these need to show in a list, and some seconds more. Errors of single checks are findings.

    Raises:
        LosantError: The subtree could not be made, or not be removed; its groups carry the tag `aiolosantDoctor`.
    """
    endpoint, _ = parts_of(groups)
    await remove_marked(groups)
    probing = Probe(groups, endpoint)
    completed = False
    try:
        report = await probing.run()
        completed = True
        return report
    finally:
        # What was cut off may still land, and has to be looked for.
        seconds = 0.0 if completed else endpoint.transport.retry.settle_time
        await _uncancelled(probing.remove(seconds=seconds))


async def _uncancelled(work: Coroutine[Any, Any, None]) -> None:
    """Do something to its end, and be cancelled only then."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


def _about(losant: LosantClient) -> dict[str, str]:
    transport = parts_of(losant.experience_groups)[0].transport
    return {
        "aiolosant": VERSION,
        "Python": platform.python_version(),
        "aiohttp": aiohttp.__version__,
        "at": transport.base_url,
        "settle_time": f"{transport.retry.settle_time:g}",
    }


class _Examining:
    """The checks that read."""

    def __init__(self, losant: LosantClient) -> None:
        self.is_hopeless = False
        self._losant = losant
        self._endpoint, _ = parts_of(losant.experience_groups)
        self._transport = self._endpoint.transport

    async def application(self) -> Seen:
        path = self._endpoint.path.removesuffix("/experience/groups")
        try:
            found = await self._losant.request("GET", path)
        except (AuthenticationError, TransportError):
            self.is_hopeless = True
            raise
        return as_assumed(f"it is called {found.get('name')!r}, and its id is {found.get('id')}")

    async def token(self) -> Seen:
        claims = self._transport.token_claims
        end, scopes = claims.get("exp"), _scopes(claims)
        if not claims or (end is None and scopes is None):
            return unknown("it tells neither its scopes nor its end")
        says = [f"its scopes are {', '.join(sorted(scopes))}" if scopes is not None else "it does not tell its scopes"]
        if not isinstance(end, int | float):
            return as_assumed(f"{says[0]}, and it has no end")
        try:
            ends = datetime.fromtimestamp(end, UTC)
        except (ValueError, OverflowError, OSError):
            return unknown(f"its end, {end}, is no date")
        says.append(f"it ends on {ends:%Y-%m-%d at %H:%M} UTC")
        return Seen(end - time.time() > _SOON, ", and ".join(says), "a long run may outlive it")

    async def reading(self) -> Seen:
        return as_assumed(f"there are {await self._losant.experience_groups.list().count():,} groups")

    async def writing(self) -> Seen:
        scopes = _scopes(self._transport.token_claims)
        if scopes is None:
            return unknown("only a probe can tell whether groups may be written")
        if scopes & _WRITES:
            return as_assumed("the token may create groups")
        return otherwise("the token may not create groups", "only reading works; a probe needs another token")

    async def latency(self) -> Seen:
        seconds = []
        for _ in range(_TRIES):
            before = asyncio.get_running_loop().time()
            await self._losant.experience_groups.list(per_page=1).first()
            seconds.append(asyncio.get_running_loop().time() - before)
        return as_assumed(f"a small request takes {statistics.median(seconds) * 1000:.0f} ms")

    async def clock(self) -> Seen:
        if self._transport.server_ahead is None:
            return otherwise("the server does not tell its time", "contested creates wait for groups that are old")
        ahead = self._transport.server_ahead + asyncio.get_running_loop().time() - time.time()
        if -2 < ahead < 1:  # a `Date` has whole seconds, and is rounded down
            return as_assumed("the server's is this machine's, to the second")
        words = f"the server's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
        return Seen(abs(ahead) < _WORST_CLOCK, words)  # nothing of ours relies on this machine's clock

    async def server(self) -> Seen:
        named = self._transport.server_name
        return as_assumed(f"it calls itself {named!r}" if named else "it does not say what it is")


def _scopes(claims: Mapping[str, Any]) -> set[str] | None:
    scopes = claims.get("scope", claims.get("scopes"))
    if isinstance(scopes, str):
        return set(scopes.split())
    return {str(scope) for scope in scopes} if isinstance(scopes, list) else None
