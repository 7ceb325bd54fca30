"""What happens to a request around its answer: it is recorded, kept waiting, refused, or meets a fault."""

from __future__ import annotations

import asyncio
import logging
import math
import time

import attrs
from aiohttp import web

from .admin import Admin
from .api import Api, header_without_token
from .controls import Controls
from .faults import Fault
from .operation import ApiRequest, error_response
from .request_record import RequestRecord
from .responses import CUT, break_off, cut, http_error_response, json_response, preflight_response

logger: logging.Logger = logging.getLogger("aiolosant.emulator")

_LOG_LENGTH = 200_000
# Seconds between two looks at whether a client still waits for an answer that never comes.
_SILENCE_STEP = 0.02


class Traffic:
    """Answers the requests of a server.

    Args:
        controls: Settings and faults, and where requests are recorded.
        api: Answers what is asked of Losant.
        admin: Answers what is asked of the emulator itself.
    """

    def __init__(self, controls: Controls, api: Api, admin: Admin) -> None:
        self._controls = controls
        self._api = api
        self._admin = admin
        self._in_flight = 0
        self._bucket = 0.0
        self._bucket_filled = -math.inf

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return preflight_response(request)
        query = dict(request.query)
        asked = ApiRequest(request.method, request.path, request.path_qs, query, request.headers, b"")
        if asked.path.startswith("/_emulator/"):
            return json_response(request, self._admin.answer(attrs.evolve(asked, body=await request.read())))
        record, resets = self._recorded(request, query), self._controls.resets
        self._in_flight += 1
        self._controls.peak_in_flight = max(self._controls.peak_in_flight, self._in_flight)
        response: web.StreamResponse = web.Response(status=CUT)
        try:
            record.body = await request.read()
            await asyncio.sleep(self._controls.latency)
            fault = self._fault_for(record) if self._controls.resets == resets else None
            if self._controls.resets != resets:  # it was another test's, or is since `before_request` was called
                return cut(request)
            response = await self._respond(request, attrs.evolve(asked, body=record.body), fault)
        except ValueError as refusal:  # of `before_request`
            response = json_response(request, error_response(400, "Validation", str(refusal)))
        except web.HTTPException as error:  # a body that is too large
            response = json_response(request, http_error_response(error))
        except ConnectionError:
            pass  # the client has gone; what is returned reaches nobody
        except Exception as error:  # a mistake in `before_request`, or of the emulator's
            logger.exception("%s %s", asked.method, asked.path)
            message = f"the emulator, or its before_request, failed: {error!r}"
            response = json_response(request, error_response(500, "InternalServerError", message))
        finally:
            self._in_flight -= 1
            record.status = response.status
        seconds = time.monotonic() - record.time
        logger.info("%s %s: %d, %.0f ms", asked.method, asked.path, response.status, seconds * 1000)
        return response

    def _recorded(self, request: web.BaseRequest, query: dict[str, str]) -> RequestRecord:
        shown = query | ({"access_token": "***"} if "access_token" in query else {})
        headers = header_without_token({name.lower(): value for name, value in request.headers.items()})
        record = RequestRecord(request.method, request.path, shown, time.monotonic(), headers=headers)
        requests = self._controls.requests
        requests.append(record)
        if len(requests) > _LOG_LENGTH:
            del requests[: _LOG_LENGTH // 2]
        return record

    def _fault_for(self, record: RequestRecord) -> Fault | None:
        if not self._has_room():
            return Fault.TOO_MANY_REQUESTS
        hook = self._controls.before_request
        wanted = hook(record) if hook is not None else None
        if wanted is not None and not isinstance(wanted, Fault):
            raise TypeError(f"before_request must return a Fault or None, not {wanted!r}")
        return wanted or self._controls.faults.next(record.method, record.path)

    async def _respond(self, request: web.BaseRequest, asked: ApiRequest, fault: Fault | None) -> web.StreamResponse:
        if fault is None:
            return json_response(request, self._api.answer(asked))
        if fault is Fault.TOO_MANY_REQUESTS:
            after = self._controls.retry_after
            # Losant says how long in its words (as reported on its forum), and in no header.
            words = "" if after is None else f" Retry in {after} seconds"
            refusal = error_response(429, "TooManyRequests", f"Over rate limit, request throttled.{words}")
            return json_response(request, refusal, {} if after is None else {"Retry-After": str(after)})
        if fault is Fault.SERVER_ERROR:
            return json_response(request, error_response(500, "InternalServerError", "Internal Server Error"))
        if fault is Fault.UNAVAILABLE:
            return json_response(request, error_response(503, "ServiceUnavailable", "Service Unavailable"))
        if fault is Fault.SILENCE:
            await self._keep_silent(request)
        elif fault is Fault.LATE_WRITE:
            loop, resets = asyncio.get_running_loop(), self._controls.resets
            self._controls.late_writes += 1
            loop.call_later(self._controls.lateness, self._write_late, asked, resets)
        elif fault is not Fault.CUT_BEFORE_WRITE:
            response = json_response(request, self._api.answer(asked))
            if fault is Fault.BAD_GATEWAY:
                page = "<html><h1>502 Bad Gateway</h1></html>"
                return web.Response(status=502, text=page, content_type="text/html")
            if fault is Fault.BROKEN_BODY:
                await break_off(request, response)
        return cut(request)

    def _write_late(self, asked: ApiRequest, resets: int) -> None:
        if self._controls.resets == resets:  # else it is another test's by now
            self._api.answer(asked)
        self._controls.late_writes -= 1

    async def _keep_silent(self, request: web.BaseRequest) -> None:
        """Wait until the faults are withdrawn, or the client has gone."""
        withdrawals = self._controls.faults.withdrawals
        while self._controls.faults.withdrawals == withdrawals:
            if request.transport is None or request.transport.is_closing():
                return
            await asyncio.sleep(_SILENCE_STEP)

    def _has_room(self) -> bool:
        limit = self._controls.rate_limit
        if limit is None:
            return True
        now = time.monotonic()
        self._bucket = min(max(1.0, limit / 10), self._bucket + (now - self._bucket_filled) * limit)
        self._bucket_filled = now
        if self._bucket < 1:
            return False
        self._bucket -= 1
        return True
