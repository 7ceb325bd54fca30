"""The client: whom it talks to, with which token, and who closes the session."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NoReturn, Self, TypedDict, Unpack

import aiohttp
import attrs

from ._addresses import checked_base_url, checked_method, checked_params, checked_path, checked_user_agent
from ._batch.key_locks import KeyLocks
from ._batch.members import GroupEditors
from ._http import codec
from ._http.auth import Auth, TokenProvider
from ._http.connections import Connections
from ._http.deadline import Deadline
from ._http.endpoint import GroupsEndpoint
from ._http.observer import Observer
from ._http.request import IDEMPOTENT, Request
from ._http.retry import RetryPolicy
from ._http.throttle import Throttle
from ._http.transport import Transport
from ._paging.offset import AnyPages, ListResponse
from ._paging.paginator import Paginator
from ._validation import check_flag, check_id, check_range, check_rate, check_seconds
from .errors import ConfigurationError
from .events import Event, Stats
from .groups import ExperienceGroups
from .models import MAX_PER_PAGE


class ClientOptions(TypedDict, total=False):
    """The arguments of `LosantClient`, for type checkers."""

    token: str | TokenProvider
    application_id: str | None
    base_url: str
    session: aiohttp.ClientSession | None
    timeout: float
    retry: RetryPolicy
    max_in_flight: int
    allow_http: bool
    trust_env: bool
    max_rate: float | None
    user_agent: str | None
    on_event: Callable[[Event], object] | None


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
        max_in_flight: The most requests under way at a time, 1 or more, of all calls together. The client sends fewer
            by itself when the server answers 429.
        allow_http: Whether the token may go over plain http to another machine.
        trust_env: Whether to use the proxies that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`). A
            `.netrc` is never read. A session of yours has its own say.
        max_rate: The most requests a second, more than 0, of all calls together; None for as many as the server takes.
        user_agent: What your program calls itself, such as `portal/1.2`; it is put before our own in the `User-Agent`.
        on_event: Called with what happens, as objects of `aiolosant.events`, in the event loop; it must not block. What
            it raises is logged and harms nothing.

    Raises:
        ConfigurationError: `base_url` is plain http to another machine, `session` has an `auth=`, or the environment
            names a proxy that is none.
        TypeError: An argument is of a wrong type.
        ValueError: An argument is out of its range. Both messages name the argument.
    """

    # For the repr of a client whose __init__ has raised: tracebacks with locals call it.
    _base_url = ""
    _application_id: str | None = None

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
        trust_env: bool = True,
        max_rate: float | None = None,
        user_agent: str | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> None:
        try:
            auth = Auth(token)
            mixed_up = token in (application_id, base_url)
        finally:
            del token  # what shows tracebacks may show locals
        check_seconds("timeout", timeout, positive=True)
        if not isinstance(retry, RetryPolicy):
            raise TypeError(f"retry must be a RetryPolicy, not {type(retry).__name__}")
        check_range("max_in_flight", max_in_flight, 1)
        check_flag("allow_http", allow_http)
        check_flag("trust_env", trust_env)
        if max_rate is not None:
            check_rate("max_rate", max_rate)
        if on_event is not None and not callable(on_event):
            raise TypeError(f"on_event must be callable, not {type(on_event).__name__}")
        user_agent = checked_user_agent(user_agent)
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise TypeError(f"session must be an aiohttp.ClientSession, not {type(session).__name__}")
        if session is not None and session.auth is not None:
            raise ConfigurationError("the session has an auth= of its own, which collides with the token; leave it out")
        if mixed_up:
            raise ValueError("application_id or base_url is the token; the arguments have been mixed up")
        self._application_id = None if application_id is None else check_id("application_id", application_id)
        self._base_url = checked_base_url(base_url, allow_http=allow_http)
        self._locks = KeyLocks()
        self._editors = GroupEditors()
        self._is_owner = True
        most = min(max_in_flight, _most_connections(session))
        self._transport = Transport(
            self._base_url,
            auth=auth,
            connections=Connections(session, self._base_url, trust_env=trust_env, user_agent=user_agent),
            timeout=timeout,
            retry=retry,
            throttle=Throttle(most, retry.patience, math.inf if max_rate is None else max_rate),
            observer=Observer(on_event),
        )

    @classmethod
    def from_env(cls, **overrides: Unpack[ClientOptions]) -> Self:
        """A client from LOSANT_API_TOKEN, LOSANT_APPLICATION_ID, LOSANT_API_URL and LOSANT_SETTLE_TIME.

        All but the token may be missing. LOSANT_SETTLE_TIME is the `settle_time` of the `RetryPolicy`, in seconds.

        Args:
            overrides: Arguments of `LosantClient`, which win over the environment.

        Raises:
            ConfigurationError: There is no token, or LOSANT_SETTLE_TIME is no number of seconds; or as `LosantClient`
                itself, as are TypeError and ValueError.
        """
        found = {
            "token": os.environ.get("LOSANT_API_TOKEN"),
            "application_id": os.environ.get("LOSANT_APPLICATION_ID"),
            "base_url": os.environ.get("LOSANT_API_URL"),
        }
        arguments: dict[str, Any] = {name: value for name, value in found.items() if value} | {**overrides}
        if "retry" not in arguments:
            arguments["retry"] = retry_from_env()
        if "token" not in arguments:
            raise ConfigurationError("no token; set LOSANT_API_TOKEN or pass token=")
        try:
            return cls(**arguments)
        finally:
            del found, arguments, overrides  # what shows tracebacks may show locals

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
        """Another application that the token is good for; nothing is sent.

        Raises:
            TypeError: `application_id` is not text.
            ValueError: It is not 24 hex digits.
        """
        application_id = check_id("application_id", application_id)
        endpoint = GroupsEndpoint(self._transport, application_id)
        return Application(application_id, ExperienceGroups(endpoint, self._locks, self._editors))

    async def request(
        self, method: str, path: str, *, params: Mapping[str, str | int | float | bool] | None = None, json: Any = None
    ) -> Any:
        """Any other call of Losant's API, with the same token, retries, pace and errors.

        Args:
            method: `GET`, `HEAD`, `PUT` and `DELETE` are sent again if the response was lost, others are not.
            path: Path below the address of the API, such as `/applications/ID/devices`, without a query.
            params: Query parameters; True and False become `true` and `false`.
            json: What to send as JSON; None for no body.

        Returns:
            The decoded JSON, or None if the response has no body.

        Raises:
            OutcomeUnknownError: A request that is not sent again may have been applied, and no response says so.
            TypeError: An argument is of a wrong type.
            ValueError: `path` is not a plain path, or `method` is not one of these and `POST` and `PATCH`.
        """
        method = checked_method(method)
        body = None if json is None else codec.encode_argument("json", json)
        request = Request(
            method=method,
            path=checked_path(path),
            decode=codec.decode_any,
            params=checked_params(params),
            body=body,
            idempotent=method in IDEMPOTENT,
        )
        return await self._transport.call(request, Deadline(self._transport.timeout))

    def paginate(
        self,
        path: str,
        *,
        params: Mapping[str, str | int | float | bool] | None = None,
        per_page: int = 100,
        start_page: int = 0,
        prefetch: int = 0,
    ) -> Paginator[dict[str, Any]]:
        """Any other list of Losant's API, read page by page while it is walked over, as dicts.

        Its answers tell how it is paged: by `page` and `perPage`, by `limit` and `offset` (rows of data tables), or
        not at all. A page that repeats the one before is a ResponseFormatError.

        Args:
            path: Path below the address of the API, such as `/applications/ID/devices`, without a query.
            params: Query parameters but for those of paging.
            per_page: Items to ask for at a time, 1 to 1,000. A list that comes whole, and the first page of one that
                goes by `limit`, may have more.
            start_page: Zero-based number of the first page, in pages of `per_page`.
            prefetch: How many pages to request ahead while the current one is used up, 0 or more; only where pages
                have numbers.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: An argument is out of its range.
        """
        path, checked = checked_path(path), checked_params(params)
        if paging := sorted({"page", "perPage", "limit", "offset"} & set(checked)):
            raise ValueError(f"params must not have {', '.join(paging)}; there are start_page= and per_page=")

        async def ask(paging: Mapping[str, int]) -> ListResponse:
            request = Request(method="GET", path=path, decode=codec.decode_any_list, params={**checked, **paging})
            return await self._transport.call(request, Deadline(self._transport.timeout, patient=True))

        check_range("per_page", per_page, 1, MAX_PER_PAGE)
        check_range("start_page", start_page, 0)
        check_range("prefetch", prefetch, 0)
        start = start_page * per_page

        def open_pages(size: int) -> AnyPages:
            start_task = self._transport.start_task
            return AnyPages(ask, per_page=size, offset=start, prefetch=prefetch, path=path, start_task=start_task)

        return Paginator(open_pages, per_page=per_page)

    def with_options(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None, background: bool | None = None
    ) -> Self:
        """Return this client with other options: the same session, token, pace and locks. Closing it closes nothing.

        Args:
            timeout: As of `LosantClient`; None for this one's.
            retry: As of `LosantClient`, but its `patience` cannot exceed the first client's; None for this one's.
            background: Whether all other requests of the client go first, such as those of a service beside a nightly
                migration; None for this one's.

        Raises:
            TypeError: An argument is of a wrong type.
            ValueError: An argument is out of its range.
        """
        transport = self._transport
        if timeout is not None:
            check_seconds("timeout", timeout, positive=True)
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise TypeError(f"retry must be a RetryPolicy, not {type(retry).__name__}")
        if background is not None:
            check_flag("background", background)
        if retry is not None:  # the pace, which waits so long, is shared
            retry = attrs.evolve(retry, patience=min(retry.patience, transport.retry.patience))
        sibling = object.__new__(type(self))  # as copy.copy would, which __reduce__ keeps from it
        vars(sibling).update(vars(self))
        sibling._is_owner = False
        sibling._transport = transport.with_options(
            timeout=transport.timeout if timeout is None else timeout,
            retry=transport.retry if retry is None else retry,
            background=transport.background if background is None else background,
        )
        return sibling

    def stats(self) -> Stats:
        """Return what the client does now, and has done so far; with that of its `with_options` in it."""
        throttle, observer = self._transport.throttle, self._transport.observer
        return Stats(
            in_flight=throttle.in_flight,
            waiting=throttle.waiting,
            rate=throttle.rate,
            limit_found=throttle.limit_found,
            attempts=observer.attempts,
            refused=observer.refused,
            unknown=observer.unknown,
            settled=observer.settled,
            outage=throttle.outage,
            paused_for=throttle.paused_for,
        )

    async def close(self) -> None:
        """Let what is on the wire end and close the session, if it is the client's own. Twice does no harm."""
        if self._is_owner:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a LosantClient cannot be pickled; make one in each process, for example by from_env()")

    def __repr__(self) -> str:
        return f"<LosantClient {self._base_url} application_id={self._application_id}>"


class Application:
    """One application: `LosantClient.application(id)`.

    Attributes:
        id: The application's id.
        experience_groups: Its experience groups.
    """

    def __init__(self, application_id: str, experience_groups: ExperienceGroups) -> None:
        self.id = application_id
        self.experience_groups = experience_groups

    def __repr__(self) -> str:
        return f"<Application {self.id}>"


def retry_from_env(**others: Any) -> RetryPolicy:
    """A policy whose `settle_time` is LOSANT_SETTLE_TIME, if that is set; `others` are its other arguments.

    Raises:
        ConfigurationError: LOSANT_SETTLE_TIME is no number of seconds.
    """
    text = os.environ.get("LOSANT_SETTLE_TIME")
    if not text:
        return RetryPolicy(**others)
    try:
        return RetryPolicy(settle_time=float(text), **others)
    except ValueError:
        raise ConfigurationError(f"LOSANT_SETTLE_TIME must be a number of seconds, 0 or more, not {text!r}") from None


def _most_connections(session: aiohttp.ClientSession | None) -> int:
    """Return how many requests a session can have under way, so that waiting for a connection is waiting for a turn."""
    connector = session.connector if session is not None else None
    limits = [connector.limit, connector.limit_per_host] if connector is not None else []
    return min((limit for limit in limits if limit > 0), default=sys.maxsize)
