"""The session that requests are sent with: opened when it is first needed, closed by whoever opened it."""

from __future__ import annotations

import asyncio

import aiohttp

from ..errors import ConfigurationError


class Connections:
    """Lends the session to attempts, and knows when the last of them has ended.

    Args:
        session: The caller's session, which is never closed here; None for an own one.
    """

    def __init__(self, session: aiohttp.ClientSession | None) -> None:
        self._session = session
        self._is_own = session is None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._lent = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def lend(self) -> aiohttp.ClientSession:
        """Lend the session for one attempt; `close` waits until `take_back` is called.

        Raises:
            ConfigurationError: The client is closed, or was first used in another event loop.
        """
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise ConfigurationError("the client was first used in another event loop; make one for each")
        self._loop = loop
        session = self._session or self._open()
        if session.closed:
            raise ConfigurationError("the session that the client was given is closed")
        self._lent += 1
        self._idle.clear()
        return session

    def take_back(self) -> None:
        """Note that an attempt has ended."""
        self._lent -= 1
        if not self._lent:
            self._idle.set()

    def refuse(self) -> None:
        """Lend the session to no further attempt."""
        self._closed = True

    async def close(self) -> None:
        """Wait for the attempts that are under way, then close the session if it is an own one."""
        self.refuse()
        try:
            await self._idle.wait()
        finally:
            if self._session is not None and self._is_own:
                await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        # The connector has no limit, since the throttle has one: a wait for a connection would look like a slow server.
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session
