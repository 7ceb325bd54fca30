"""`/_emulator/...`: what a test in any language does with an emulator over HTTP."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from .api import Api
from .controls import Controls
from .faults import fault_named
from .operation import ApiRequest, ApiResponse, error_response
from .schemas import ApiProblem


class _Faults(msgspec.Struct, forbid_unknown_fields=True):
    """What is posted to `/faults`: one fault, or probabilities."""

    fault: str | None = None
    times: int | None = 1
    method: str | None = None
    path: str | None = None
    chances: dict[str, float] | None = None
    seed: int | None = None


class _Settings(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What is sent to `/settings`."""

    latency: float | msgspec.UnsetType = msgspec.UNSET
    rate_limit: float | msgspec.UnsetType | None = msgspec.UNSET
    retry_after: int | msgspec.UnsetType | None = msgspec.UNSET
    lateness: float | msgspec.UnsetType = msgspec.UNSET
    staleness: float | msgspec.UnsetType = msgspec.UNSET


class _Token(msgspec.Struct, forbid_unknown_fields=True):
    """What is sent to `/tokens`: scopes for a new one, or the one to revoke."""

    scopes: tuple[str, ...] = ("all.Application",)
    token: str | None = None


class Admin:
    """Answers the paths below `/_emulator/`, all but `health` with a token that the emulator accepts.

    Args:
        controls: What is done to the emulator.
        api: Knows the tokens.
    """

    def __init__(self, controls: Controls, api: Api) -> None:
        self._controls = controls
        self._api = api

    def answer(self, asked: ApiRequest) -> ApiResponse:
        """The answer to a request."""
        try:
            return ApiResponse(200, self._content(asked))
        except ApiProblem as problem:
            return error_response(problem.status, problem.kind, problem.message)
        except ValueError as problem:  # of msgspec as well
            return error_response(400, "Validation", str(problem))

    def _content(self, asked: ApiRequest) -> object:
        controls = self._controls
        what = asked.path.removeprefix("/_emulator/").strip("/")
        if (asked.method, what) == ("GET", "health"):
            return {"status": "ok", "applicationId": controls.application_id}
        self._api.check_token(asked, set())
        match asked.method, what:
            case "POST", "reset":
                controls.reset()
            case "POST", "faults":
                self._inject(msgspec.json.decode(asked.body, type=_Faults))
            case "DELETE", "faults":
                controls.withdraw_faults()
            case "GET", "settings":
                return self._settings()
            case (("PATCH" | "PUT" | "POST"), "settings"):
                self._set(msgspec.json.decode(asked.body, type=_Settings))
                return self._settings()
            case "POST", "tokens":
                return {"token": controls.create_token(self._decoded(asked).scopes)}
            case "DELETE", "tokens":
                controls.revoke_token(self._decoded(asked).token)
            case "GET", "requests":
                return [self._shown(record) for record in tuple(controls.requests)]
            case "DELETE", "requests":
                controls.requests.clear()
            case _:
                raise ApiProblem(404, "NotFound", f"the emulator has no {asked.method} {asked.path}")
        return {"success": True}

    @staticmethod
    def _decoded(asked: ApiRequest) -> _Token:
        return msgspec.json.decode(asked.body or b"{}", type=_Token)

    def _inject(self, wanted: _Faults) -> None:
        if (wanted.fault is None) == (wanted.chances is None):
            raise ValueError("either fault or chances is needed")
        if wanted.fault is not None:
            fault = fault_named(wanted.fault)
            self._controls.inject(fault, times=wanted.times, method=wanted.method, path=wanted.path)
        if wanted.chances is not None:
            chances = {fault_named(name): chance for name, chance in wanted.chances.items()}
            self._controls.inject_random(chances, seed=wanted.seed)

    def _settings(self) -> dict[str, Any]:
        fields = msgspec.structs.fields(_Settings)
        return {field.encode_name: getattr(self._controls, field.name) for field in fields}

    def _set(self, wanted: _Settings) -> None:
        given = msgspec.structs.asdict(wanted)
        for name, value in given.items():
            if value is not msgspec.UNSET and value is not None and value < 0:
                raise ValueError(f"{name} must be 0 or more, not {value}")
        for name, value in given.items():
            if value is not msgspec.UNSET:
                setattr(self._controls, name, value)

    @staticmethod
    def _shown(record: Any) -> dict[str, Any]:
        return attrs.asdict(record) | {"body": record.body.decode(errors="replace")}
