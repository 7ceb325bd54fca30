"""One application, one group, and a client of a server that says what a test wants."""

from collections.abc import Iterator
from typing import Any

import aiohttp
from yarl import URL

from aiolosant import (
    LosantClient,
    RetryPolicy,
)

APPLICATION = "575ec8687ae143cd83dc4a97"
GROUP = "575ed78e7ae143cd83dc4aab"
GROUPS_PATH = f"/applications/{APPLICATION}/experience/groups"
TOKEN = "secret/token-of-the-test"
ONCE = RetryPolicy(max_attempts=1)
OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json"
CREATED = "HTTP/1.1 201 Created\r\nContent-Type: application/json"


def client(url: str, **options: Any) -> LosantClient:
    arguments: dict[str, Any] = {"application_id": APPLICATION, "base_url": url, "retry": ONCE} | options
    return LosantClient(TOKEN, **arguments)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that it was raised from or in the handling of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def subclasses(kind: type[aiohttp.ClientError]) -> set[type[aiohttp.ClientError]]:
    return {kind}.union(*(subclasses(sub) for sub in kind.__subclasses__()))


def make_aiohttp_error(kind: type[aiohttp.ClientError]) -> aiohttp.ClientError:
    error = kind.__new__(kind)
    if isinstance(error, aiohttp.ClientResponseError):
        error.message, error.status, error.headers = "secret", 400, None
        error.request_info = aiohttp.RequestInfo(URL("http://x"), "GET", None, URL("http://x"))  # type: ignore[arg-type]  # unused
        error.history = ()
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        error.errno, error.strerror = 111, "refused"
    return error
