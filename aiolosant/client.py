"""The client: whom it talks to, with which token, and who closes the session."""

from __future__ import annotations

import ipaddress
import os
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from .auth import Auth, TokenProvider
from .errors import ConfigurationError
from .groups import ExperienceGroups
from .models import check_id
from .retry import RetryPolicy
from .throttle import Throttle
from .transport import Transport


class LosantClient:
    """An async client of Losant's API.

    Use it in `async with`, or call `close()` when done. It can be made outside an event loop; it belongs to the loop
    that it is first used in.

    Args:
        token: An API token, such as an application token with the scope `all.Application`; see
            https://docs.losant.com/rest-api/overview/#authentication. Or an async callable that returns one: it is
            asked once, and again when a token was refused, one call for all that wait.
        application_id: Id of the application that `experience_groups` is about; needed for that alone.
        base_url: Address of the API. The token goes over https or to this very machine only.
        session: A session of yours to send with. It is never closed here, its middlewares do not run, and its
            `raise_for_status` and timeouts do not apply. None for an own one.
        timeout: Seconds that one call may take, its retries and lookups included. For a page of a list and an item of
            a batch they start when its turn comes, and stand still while the client waits for the server's pace.
        retry: When a request is sent again.
        max_in_flight: The most requests under way at a time, 1 or more, of all calls together. Fewer are, where the
            server does not take as many.
        allow_http: Whether the token may go over plain http to another machine.

    Raises:
        ConfigurationError: `base_url` is plain http to another machine, or `session` has an `auth=`.
        TypeError: An argument is of a wrong type.
        ValueError: An argument is out of its range. Both messages name the argument.
    """

    def __init__(
        self,
        token: str | TokenProvider,
        *,
        application_id: str | None = None,
        base_url: str = "https://api.losant.com",
        session: aiohttp.ClientSession | None = None,
        timeout: float = 60.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        max_in_flight: int = 64,
        allow_http: bool = False,
    ) -> None:
        if not isinstance(timeout, int | float):
            raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
        if not timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {timeout}")
        if not isinstance(retry, RetryPolicy):
            raise TypeError(f"retry must be a RetryPolicy, not {type(retry).__name__}")
        if not isinstance(max_in_flight, int):
            raise TypeError(f"max_in_flight must be an integer, not {type(max_in_flight).__name__}")
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight must be 1 or more, not {max_in_flight}")
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise TypeError(f"session must be an aiohttp.ClientSession, not {type(session).__name__}")
        if session is not None and session.auth is not None:
            raise ConfigurationError("the session has an auth= of its own, which collides with the token; leave it out")
        auth = Auth(token)
        if token in (application_id, base_url):
            raise ValueError("application_id or base_url is the token; the arguments have been mixed up")
        self._application_id = None if application_id is None else check_id("application_id", application_id)
        self._base_url = _checked_base_url(base_url, allow_http=allow_http)
        self._transport = Transport(
            self._base_url,
            auth=auth,
            session=session,
            timeout=timeout,
            retry=retry,
            throttle=Throttle(max_in_flight),
        )

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """A client from LOSANT_API_TOKEN, LOSANT_APPLICATION_ID and LOSANT_API_URL; the last two may be missing.

        Args:
            overrides: Arguments of `LosantClient`, which win over the environment.

        Raises:
            ConfigurationError: There is no token.
        """
        found = {
            "token": os.environ.get("LOSANT_API_TOKEN"),
            "application_id": os.environ.get("LOSANT_APPLICATION_ID"),
            "base_url": os.environ.get("LOSANT_API_URL"),
        }
        arguments = {name: value for name, value in found.items() if value} | overrides
        if "token" not in arguments:
            raise ConfigurationError("no token; set LOSANT_API_TOKEN or pass token=")
        return cls(**arguments)

    @property
    def experience_groups(self) -> ExperienceGroups:
        """The experience groups of the client's own application.

        Raises:
            ConfigurationError: The client was made without an `application_id`.
        """
        if self._application_id is None:
            raise ConfigurationError(
                "no application; pass application_id= (or set LOSANT_APPLICATION_ID), or use application(id)"
            )
        return self.application(self._application_id).experience_groups

    def application(self, application_id: str) -> Application:
        """Another application that the token is good for; nothing is sent."""
        return Application(self._transport, check_id("application_id", application_id))

    async def close(self) -> None:
        """Let what is on the wire end and close the session, if it is the client's own. Twice does no harm."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<LosantClient {self._base_url} application_id={self._application_id}>"


class Application:
    """One application: `LosantClient.application(id)`.

    Attributes:
        id: The application's id.
        experience_groups: Its experience groups.
    """

    def __init__(self, transport: Transport, application_id: str) -> None:
        self.id = application_id
        self.experience_groups = ExperienceGroups(transport, application_id)

    def __repr__(self) -> str:
        return f"<Application {self.id}>"


def _checked_base_url(base_url: str, *, allow_http: bool) -> str:
    if not isinstance(base_url, str):
        raise TypeError(f"base_url must be text, not {type(base_url).__name__}")
    wanted = f"base_url must be an http(s) address such as https://api.losant.com, not {base_url!r}"
    if any(mark in base_url for mark in "?#@"):
        raise ValueError("base_url must have no query, no fragment and no user name")
    try:
        url = URL(base_url)
    except ValueError as problem:
        raise ValueError(f"{wanted}: {problem}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(wanted)
    if url.scheme == "http" and not allow_http and not _is_loopback(url.host):
        raise ConfigurationError(
            f"the token would travel unencrypted to {url.host}; use https, or allow_http=True if you mean it"
        )
    return base_url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
