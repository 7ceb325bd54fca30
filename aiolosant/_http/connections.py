"""The session that requests are sent with: opened when needed, replaced when dead, closed by whoever opened it.

aiohttp cannot drop the idle connections of a session. A new session has none; the old one is closed when the last of
its requests has ended.
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
import urllib.request
from collections.abc import Coroutine
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import attrs
from yarl import URL

from .._addresses import is_loopback
from .._version import VERSION
from ..errors import ConfigurationError

_KEEP_ALIVE = re.compile(r"timeout\s*=\s*(\d+)", re.IGNORECASE)
_IDLE_AT_MOST = 15.0  # seconds that a connection waits for its next request, unless the server says less
_JUST_NOW = 0.001  # seconds; what arrives within them may come too late in any case


@attrs.define(eq=False)
class Lease:
    """A session while requests are sent with it.

    Attributes:
        session: The session.
        proxy: The proxy that the environment names for the address; None for none.
        is_own: Whether the session is not the caller's.
        requests: How many of its requests are under way.
        has_answered: Whether there has been a response over one of its connections, so that there may be idle ones.
    """

    session: aiohttp.ClientSession
    proxy: URL | None = None
    is_own: bool = True
    requests: int = 0
    has_answered: bool = False

    def masked(self, text: str) -> str:
        """Return `text` without the proxy's password, should the proxy quote it."""
        if self.proxy is None or not self.proxy.password:
            return text
        pair = f"{self.proxy.user or ''}:{self.proxy.password}"
        return text.replace(base64.b64encode(pair.encode()).decode(), "***").replace(self.proxy.password, "***")


class Connections:
    """Lends the session to attempts, and learns from how they end.

    Args:
        session: The caller's session, which is never closed and never replaced here; None for an own one. Of a caller's
            session dead connections are not dropped, and a `Keep-Alive` header is not obeyed.
        base_url: The address that is talked to.
        trust_env: Whether the own session uses the proxies that the environment names.
    """

    def __init__(
        self, session: aiohttp.ClientSession | None, base_url: str, *, trust_env: bool, user_agent: str | None = None
    ) -> None:
        self.date: str | None = None
        self.date_seen: float = 0.0
        self.server_name: str = ""
        own = f"aiolosant/{VERSION}"
        self.user_agent = f"{user_agent} {own}" if user_agent else own
        self._callers = session
        self._proxy = proxy_for(URL(base_url)) if trust_env and session is None else None
        self._current: Lease | None = None
        self._for_creates: Lease | None = None  # whose connections are used once
        self._retired: set[Lease] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._idle_at_most = _IDLE_AT_MOST
        self._breaks_promises = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._looked = -math.inf
        self._lent = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def lend(self, *, is_create: bool) -> Lease:
        """Lend a session for one attempt; `close` waits until it is taken back.

        Args:
            is_create: Whether the attempt cannot be repeated. Once the server has closed a connection that it had
                promised to keep, each such attempt has a connection of its own.

        Raises:
            ConfigurationError: The client is closed, or was first used in another event loop.
        """
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise ConfigurationError("the client was first used in another event loop; make one for each")
        self._loop = loop
        if is_create and self._breaks_promises:
            lease = self._for_creates = self._for_creates or self._open(force_close=True)
        else:
            lease = self._current = self._current or self._open()
        if lease.session.closed:
            raise ConfigurationError("the session that the client was given is closed")
        self._lent += 1
        lease.requests += 1
        self._idle.clear()
        return lease

    async def look(self) -> None:
        """Let the event loop see what has arrived, such as the end of an idle connection, before it is written to."""
        clock = asyncio.get_running_loop().time
        if clock() - self._looked > _JUST_NOW:
            # A timer, since the loop calls timers back after what has arrived.
            await asyncio.sleep(1e-9)
            self._looked = clock()

    def take_back(self, lease: Lease) -> None:
        """Note that an attempt has ended."""
        self._lent -= 1
        lease.requests -= 1
        if lease in self._retired and not lease.requests:
            self._retired.discard(lease)
            closing = asyncio.get_running_loop().create_task(lease.session.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        if not self._lent:
            self._idle.set()

    def failed(self, lease: Lease, cause: BaseException | None) -> None:
        """Learn from what kept an attempt from its response."""
        connector = lease.session.connector
        if isinstance(cause, aiohttp.ClientConnectorError):
            if isinstance(connector, aiohttp.TCPConnector):
                connector.clear_dns_cache()  # the address may have moved
        elif lease is self._current and lease.has_answered and lease.is_own:
            self._breaks_promises |= isinstance(cause, aiohttp.ClientError | OSError) and not isinstance(
                cause, TimeoutError
            )
            self._replace()  # what killed one idle connection has probably killed the others

    def answered(self, lease: Lease, keep_alive: str | None) -> None:
        """Note that there was a response, and what it says of how long the server keeps an idle connection."""
        lease.has_answered = True
        promised = _KEEP_ALIVE.search(keep_alive) if keep_alive else None
        if promised and lease is self._current and lease.is_own:
            seconds = float(promised[1])
            seconds -= min(1.0, seconds / 2)  # what it says took time to arrive
            if seconds < self._idle_at_most:
                self._idle_at_most = seconds
                self._replace()

    @property
    def server_ahead(self) -> float | None:
        """Seconds that the server's clock is ahead of the event loop's; None if the server never told the time.

        It is a lower bound, up to a second too small, since a `Date` has whole seconds.
        """
        try:
            return None if self.date is None else parsedate_to_datetime(self.date).timestamp() - self.date_seen
        except ValueError:
            return None

    async def in_own_loop(self, work: Coroutine[Any, Any, None]) -> None:
        """Await something in the event loop that the sessions belong to, wherever this is called."""
        own = [lease for lease in (self._current, self._for_creates, *self._retired) if lease and lease.is_own]
        if self._loop is not None and self._loop.is_closed() and any(lease.has_answered for lease in own):
            work.close()
            raise ConfigurationError(
                "the event loop of the client was closed before the client, whose connections leak; use a client in "
                "one loop alone, and in asyncio.run() make one of its own: async with LosantClient(...)"
            )
        if self._loop is None or self._loop is asyncio.get_running_loop() or self._loop.is_closed():
            await work
        elif self._loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
        else:  # it stands still, such as that of a test module between two tests
            await asyncio.to_thread(self._loop.run_until_complete, work)

    def refuse(self) -> None:
        """Lend a session to no further attempt."""
        self._closed = True

    async def close(self) -> None:
        """Wait for the attempts that are under way, then close the sessions that are our own."""
        self.refuse()
        try:
            await self._idle.wait()
        finally:
            own = [lease for lease in (self._current, self._for_creates, *self._retired) if lease and lease.is_own]
            await asyncio.gather(*self._closing, *(lease.session.close() for lease in own))

    def _replace(self) -> None:
        """Let what follows have a new session."""
        if self._current is not None:
            self._retired.add(self._current)
        self._current = None

    def _open(self, *, force_close: bool = False) -> Lease:
        if self._callers is not None:
            return Lease(self._callers, is_own=False)
        # No limit, since the throttle has one: a wait for a connection would look like a slow server.
        if force_close:
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
        else:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=self._idle_at_most)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return Lease(session, self._proxy)


def proxy_for(url: URL) -> URL | None:
    """Return the proxy that the environment names for an address (`HTTPS_PROXY`, `NO_PROXY`); None for none.

    Unlike aiohttp's own `trust_env` this does not read a `.netrc`, which would replace the token. What is for this very
    machine, perhaps unencrypted, goes through no other one.

    Raises:
        ConfigurationError: What the environment names is no http proxy.
    """
    host = url.host or ""
    if urllib.request.proxy_bypass(f"{host}:{url.port}") or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    for_all = proxies.get("all", "")  # perhaps meant for other programs, such as a socks proxy
    named = proxies.get(url.scheme) or (for_all if for_all.startswith("http") else "")
    if not named:
        return None
    try:
        proxy = URL(named)
        usable = proxy.scheme in ("http", "https") and bool(proxy.host) and bool(proxy.port)
    except ValueError:
        usable = False
    if not usable:  # without showing it, since it may hold a password
        raise ConfigurationError(
            f"{url.scheme.upper()}_PROXY (or ALL_PROXY) must name an http proxy such as http://proxy:3128; "
            "or pass trust_env=False"
        )
    return None if is_loopback(host) and not is_loopback(proxy.host or "") else proxy
