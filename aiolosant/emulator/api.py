"""How a request is answered: the order in which Losant's server framework looks at its parts.

The framework is published, and was run with the published description of the API; that the live service runs it is an
inference.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from .operation import ApiRequest, ApiResponse, Call, Operation, error_response
from .parameters import Shaping, read_parameters
from .query_sql import QueryError
from .quirks import Quirks
from .routes import find_operation
from .schemas import ID, ApiProblem, NoJsonError, read_body, validation
from .state import State
from .store import TreeError

logger: logging.Logger = logging.getLogger("aiolosant.emulator")

_EVERYTHING = ("all.Application", "all.Organization", "all.User")


class Api:
    """The emulated API.

    Args:
        state: What it knows.
        strict: Whether query parameters that are not declared are refused instead of ignored.
        quirks: In what it is wrong on purpose.
    """

    def __init__(self, state: State, *, strict: bool, quirks: Quirks) -> None:
        self._state = state
        self._strict = strict
        self._quirks = quirks

    def answer(self, asked: ApiRequest) -> ApiResponse:
        """The answer to a request; nothing else happens meanwhile."""
        try:
            with self._state.held():
                return self._answer(asked)
        except Exception as problem:  # noqa: BLE001 - each becomes an answer, and what is a mistake here is logged
            return self._quirks.error(_error_response(asked, problem))

    def _answer(self, asked: ApiRequest) -> ApiResponse:
        operation, ids = find_operation(asked.method, asked.path)
        # Parameters and body are looked at before the token.
        for name, value in ids.items():
            if not ID.fullmatch(value):
                raise validation(f"{name} must be 24 hex digits")
        query = self._quirks.query_string(asked.query)
        parameters = read_parameters(operation.parameters, query, strict=self._strict)
        prepared = None if operation.prepare is None else operation.prepare(parameters)
        shaping = read_parameters(Shaping, asked.query, strict=False)
        body = {} if operation.body is None else read_body(operation.body, asked.body)
        self.check_token(asked, _scopes_of(operation))
        application_id = ids.pop("applicationId", "").lower()
        if application_id and not self._state.accounts.has_application(application_id):
            raise ApiProblem(404, "NotFound", "Application was not found")
        call = Call(self._state, application_id, ids, parameters, prepared, body, shaping.links, asked.target)
        return self._quirks.answer(operation, call)

    def check_token(self, asked: ApiRequest, scopes: set[str]) -> None:
        """Let through a token with one of some scopes; with any scope, if there are none.

        Raises:
            ApiProblem: There is no token, it is none of ours, or it lacks the scope.
        """
        token = _token_of(asked)
        if token is None:
            raise ApiProblem(403, "Forbidden", "Access is forbidden")  # and not 401
        with self._state.held():
            own = self._state.accounts.scopes(token) if token.isascii() else None
        if own is None:
            raise ApiProblem(401, "Unauthorized", "Unauthorized")
        if scopes and not own & scopes:
            raise ApiProblem(403, "Forbidden", f"The token has none of the scopes {', '.join(sorted(scopes))}")


def _error_response(asked: ApiRequest, problem: Exception) -> ApiResponse:
    match problem:
        case ApiProblem():
            return error_response(problem.status, problem.kind, problem.message)
        case NoJsonError():
            return ApiResponse(400, {"code": "InvalidContent", "message": str(problem)})  # the framework's own shape
        case TreeError():
            return error_response(400, "Validation", str(problem))
        case QueryError():
            return error_response(400, "Validation", f"query is not valid: {problem}")
    # Whatever else is a mistake of the emulator's: told here, and in the log.
    logger.error("%s %s", asked.method, asked.path, exc_info=problem)
    return error_response(500, "InternalServerError", "the emulator failed; its log says why")


def _token_of(asked: ApiRequest) -> str | None:
    scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "jwt") and token.strip():
        return token.strip()
    return asked.query.get("access_token")


def _scopes_of(operation: Operation) -> set[str]:
    """A token may have an operation's own scope, all of its resource's, or one for everything."""
    resource, _, action = operation.scope.partition(".")
    own = {operation.scope, f"{resource}.*"}
    everything: tuple[str, ...] = ("all.User",) if resource == "me" else _EVERYTHING
    # `bounded` ones are good for reads and writes (API 1.30.0).
    wide = {*everything, *(f"{scope}.bounded" for scope in everything)}
    return own | wide | ({f"{scope}.read" for scope in everything} if action == "get" else set())


def header_without_token(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that may be shown: whoever reads a log need not see the token."""
    return {
        name: f"{value.partition(' ')[0]} ***" if name.lower() == "authorization" else value
        for name, value in headers.items()
    }
