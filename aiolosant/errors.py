"""Everything that aiolosant raises by itself, in one tree.

LosantError
 ├── ApiError                    Losant answered with an error
 │    ├── BadRequestError        400
 │    ├── AuthenticationError    401
 │    ├── PermissionDeniedError  403
 │    ├── NotFoundError          404
 │    ├── RateLimitError         429
 │    └── ServerError            5xx
 ├── TransportError              there was no answer of Losant's
 │    ├── GatewayError           there was one of somebody else's, such as a proxy's
 │    └── RequestTimeoutError    there was none in time; also a TimeoutError
 ├── OutcomeUnknownError         a write that may or may not have happened
 ├── DuplicateGroupError         several groups where there must be one
 ├── ResponseFormatError         an answer that cannot be understood
 ├── PlanError                   records that no plan can be made from; also a ValueError
 │    └── UnsafePlanError        a plan that does more than it may
 └── ConfigurationError          the client is not set up for this call

Invalid arguments are `ValueError` or `TypeError` and name the argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self


class LosantError(Exception):
    """Root of the tree.

    Attributes:
        message: What happened, in one sentence.
        method: HTTP method of the request, None where there was none.
        path: Path of the request, without its query.
        attempts: How often the request was sent; 0 if it never was.
        report: What had become of the items of a batch when this error ended it; None elsewhere.
        ends_batch: Whether nothing else will do better now, because the server was out of reach for longer than
            `RetryPolicy.patience`, or no token came.
    """

    advice: str = ""
    ends_batch: bool = False
    report: Any = None

    def __init__(self, message: str, *, method: str | None = None, path: str | None = None, attempts: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.method = method
        self.path = path
        self.attempts: int = attempts

    def locate(self, method: str | None, path: str | None, attempts: int) -> None:
        """Say which request it was about, and how often that was sent."""
        self.method, self.path, self.attempts = method, path, attempts

    def __str__(self) -> str:
        text = self.message
        if self.method:
            plural = "" if self.attempts == 1 else "s"
            text += f" ({self.method} {self.path}, {self.attempts} attempt{plural})"
        return f"{text.removesuffix('.')}. {self.advice}" if self.advice else text

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions rebuild themselves by their constructor and positional arguments alone; ours have others as well.
        return _blank, (type(self), self.args), self.__dict__


def _blank(cls: type[LosantError], args: tuple[Any, ...]) -> LosantError:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


class ApiError(LosantError):
    """Losant answered with an error.

    Attributes:
        status: HTTP status of the answer.
        type: Losant's name for the error, such as `Validation`; "" if the answer named none.
        message: Losant's explanation, or the first 500 characters of a body in another format.
        retry_after: Seconds to wait, as the server asked for; None if it did not.
    """

    advice = "See what the message says; the same request will probably be answered the same."

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - Losant's own name for it
        message: str,
        method: str | None,
        path: str | None,
        *,
        retry_after: float | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(message, method=method, path=path, attempts=attempts)
        self.retry_after = retry_after
        self.status = status
        self.type = type
        self.args: tuple[Any, ...] = (status, type, message, method, path)

    def __str__(self) -> str:
        return f"{self.status} {self.type}: {super().__str__()}" if self.type else f"{self.status}: {super().__str__()}"


class BadRequestError(ApiError):
    """400: Losant refused the request as malformed."""

    advice = "Correct what the message names; the same request will be refused again."


class AuthenticationError(ApiError):
    """401: the token is missing, wrong or expired."""

    advice = "Check the token (LOSANT_API_TOKEN)."


class PermissionDeniedError(ApiError):
    """403: the token is valid but lacks a scope."""

    @property
    def advice(self) -> str:  # type: ignore[override]  # each request needs a scope of its own
        """What to do: the scope that this request needs."""
        scope = _scope(self.method or "", self.path or "")
        return f"Use a token with the scope {f'{scope} or ' if scope else ''}all.Application."


_SCOPED = {
    "experience/groups": "experienceGroups",
    "experience/users": "experienceUsers",
    "experience/endpoints": "experienceEndpoints",
    "devices": "devices",
}


def _scope(method: str, path: str) -> str:
    """The scope that a request needs, as its page of https://docs.losant.com/rest-api/ names it; "" if not known."""
    collection, _, one = path.partition("experience/groups/")
    if one:
        return f"experienceGroup.{method.lower()}"
    for ending, resource in _SCOPED.items():
        if collection.endswith(f"/{ending}"):
            return f"{resource}.{method.lower()}"
    return ""


class NotFoundError(ApiError):
    """404: there is no such application or group."""

    advice = "Check the ids, and that the token belongs to that application."


class RateLimitError(ApiError):
    """429: too many requests."""

    @property
    def advice(self) -> str:  # type: ignore[override]  # the server may say how long
        """What to do, and for how long."""
        wait = "Wait" if self.retry_after is None else f"Wait {self.retry_after:g} seconds, as the server asks"
        return f"{wait}, then go on; max_rate= keeps below a limit that is known."


class ServerError(ApiError):
    """5xx: the server, or a gateway in front of it, failed.

    A create that raises this did not happen. An update or delete may have happened; to repeat it does no harm.
    """

    advice = "Try again later."


class TransportError(LosantError):
    """There was no answer.

    A create that raises this did not happen. An update or delete may have happened; to repeat it does no harm.
    """

    advice = "Check the network and the address of the API, then try again."


class RequestTimeoutError(TransportError, TimeoutError):
    """There was no answer in time; otherwise as `TransportError`."""

    advice = "Try again, or allow more time."


class GatewayError(TransportError):
    """An answer that is not the API's: a proxy or a gateway refused the request, which says nothing about the groups.

    Attributes:
        status: HTTP status of the answer.
    """

    advice = "Something between here and Losant answers in its place. Check the network and base_url, then try again."

    def __init__(self, message: str, status: int = 0, **where: Any) -> None:
        super().__init__(message, **where)
        self.status = status


class OutcomeUnknownError(LosantError):
    """The request left but no answer says what became of it: the change may have been made or not."""

    advice = "Look whether the change is there before you send it again."


class DuplicateGroupError(LosantError):
    """Several live groups have what should be one group's own, such as a name under the same parent.

    Attributes:
        ids: Ids of these groups, oldest first.
    """

    advice = "Keep one of them and delete the others; nothing was deleted."

    def __init__(self, message: str, ids: tuple[str, ...] = (), **where: Any) -> None:
        super().__init__(message, **where)
        self.ids = ids


class ResponseFormatError(LosantError):
    """The answer is not what Losant documents; the message names the place, such as `$.items[3].name`."""

    advice = "Check that the address of the API is Losant's and no proxy's."


class PlanError(LosantError, ValueError):
    """No plan can be made from the records: a broken file, a cycle, an unknown parent, two groups that are one.

    It is raised before anything is written. It is a ValueError as well, since records are an argument.

    Attributes:
        problems: Each problem with its place, such as `line 7: ...`.
    """

    advice = "Nothing was written."

    def __init__(self, message: str, problems: Iterable[str] = (), **where: Any) -> None:
        super().__init__(message, **where)
        self.problems: tuple[str, ...] = tuple(problems)

    @classmethod
    def of(cls, problems: Iterable[str]) -> Self:
        """The error that tells of all these problems; of more than 20 it shows as many."""
        problems = tuple(problems)
        shown, more = problems[:20], len(problems) - 20
        return cls("; ".join(shown) + (f"; and {more} more" if more > 0 else ""), problems)


class UnsafePlanError(PlanError):
    """A plan does more than it was allowed to; the message has the numbers, and names the limit.

    Attributes:
        option: The limit: `max_deletes` or `max_changes`.
    """

    advice = "Look at the plan; if all of it is meant, raise the limit."

    def __init__(self, message: str, problems: Iterable[str] = (), *, option: str = "", **where: Any) -> None:
        super().__init__(message, problems, **where)
        self.option = option


class ConfigurationError(LosantError):
    """The client is not set up for what was asked of it; the message says what to do."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
}


def api_error_class(status: int) -> type[ApiError]:
    """The class for an HTTP status: the one of the tree, or `ApiError` itself."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
