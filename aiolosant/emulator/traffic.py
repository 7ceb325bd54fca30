"""What happens to a request around its answer: it is recorded, kept waiting, refused, or meets a fault."""

from __future__ import annotations

import asyncio
import gzip
import logging
import math
import time
from collections.abc import Mapping

import msgspec
from aiohttp import web

from .admin import Admin
from .api import Api, header_without_token
from .controls import Controls, RequestRecord
from .faults import Fault
from .operation import Answer, Asked, error_answer

logger = logging.getLogger("aiolosant.emulator")

_LOG_LENGTH = 200_000
# Seconds between two looks at whether a client still waits for an answer that never comes.
_SILENCE_STEP = 0.02
_CUT = 499


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
        controls, began = self._controls, time.monotonic()
        query = dict(request.query)
        asked = Asked(request.method, request.path, request.path_qs, query, request.headers, b"")
        if asked.path.startswith("/_emulator/"):
            asked = Asked(*(asked.method, asked.path, asked.target, query, asked.headers), await request.read())
            return _response(request, self._admin.answer(asked))
        shown = query | ({"access_token": "***"} if "access_token" in query else {})
        headers = header_without_token({name.lower(): value for name, value in request.headers.items()})
        record = RequestRecord(asked.method, asked.path, shown, began, headers=headers)
        controls.requests.append(record)
        if len(controls.requests) > _LOG_LENGTH:
            del controls.requests[: _LOG_LENGTH // 2]
        self._in_flight += 1
        controls.peak_in_flight = max(controls.peak_in_flight, self._in_flight)
        try:
            record.body = await request.read()
            asked = Asked(*(asked.method, asked.path, asked.target, query, asked.headers), record.body)
            await asyncio.sleep(controls.latency)
            response = await self._respond(request, asked, self._fault_for(record))
        except ValueError as refusal:  # of `before_request`
            response = _response(request, error_answer(400, "Validation", str(refusal)))
        except web.HTTPException as error:  # a body that is too large
            response = _response(request, http_error_answer(error))
        except ConnectionError:
            response = web.Response(status=_CUT)  # the client has gone; this reaches nobody
        finally:
            self._in_flight -= 1
        record.status = response.status
        logger.info("%s %s: %d, %.0f ms", asked.method, asked.path, response.status, (time.monotonic() - began) * 1000)
        return response

    def _fault_for(self, record: RequestRecord) -> Fault | None:
        if not self._has_room():
            return Fault.TOO_MANY_REQUESTS
        hook = self._controls.before_request
        wanted = hook(record) if hook is not None else None
        return wanted or self._controls.faults.next(record.method, record.path)

    async def _respond(self, request: web.BaseRequest, asked: Asked, fault: Fault | None) -> web.StreamResponse:
        if asked.method == "OPTIONS" and "access-control-request-method" in asked.headers:
            return _preflight(request)
        if fault is None:
            return _response(request, self._api.answer(asked))
        if fault is Fault.TOO_MANY_REQUESTS:
            after = self._controls.retry_after
            refusal = error_answer(429, "TooManyRequests", "Rate limit exceeded")
            return _response(request, refusal, {} if after is None else {"Retry-After": str(after)})
        if fault is Fault.SERVER_ERROR:
            return _response(request, error_answer(500, "InternalServerError", "Internal Server Error"))
        if fault is Fault.UNAVAILABLE:
            return _response(request, error_answer(503, "ServiceUnavailable", "Service Unavailable"))
        if fault is Fault.SILENCE:
            await self._keep_silent(request)
        elif fault is Fault.LATE_WRITE:
            asyncio.get_running_loop().call_later(self._controls.lateness, self._api.answer, asked)
        elif fault is not Fault.CUT_BEFORE_WRITE:
            response = _response(request, self._api.answer(asked))
            if fault is Fault.BAD_GATEWAY:
                page = "<html><h1>502 Bad Gateway</h1></html>"
                return web.Response(status=502, text=page, content_type="text/html")
            if fault is Fault.BROKEN_BODY:
                await _break_off(request, response)
        return _cut(request)

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


def http_error_answer(error: web.HTTPException) -> Answer:
    """An error of aiohttp's own in Losant's shape."""
    # By name, because the interpreter's phrases for statuses differ between its versions.
    return error_answer(error.status, type(error).__name__.removeprefix("HTTP"), error.reason)


def _response(request: web.BaseRequest, answer: Answer, headers: Mapping[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(answer.content)
    response = web.Response(status=answer.status, content_type="application/json", headers=headers)
    if "gzip" in request.headers.get("Accept-Encoding", "").lower():
        body = gzip.compress(body, 1)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        if request.version >= (1, 1):  # as a server that compresses while it sends
            response.enable_chunked_encoding()
    if origin := request.headers.get("Origin"):
        response.headers["Access-Control-Allow-Origin"] = origin
    response.body = body
    return response


def _preflight(request: web.BaseRequest) -> web.Response:
    """What a browser asks before a page of another origin may ask."""
    allowed = {
        "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
        "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "Authorization"),
        "Access-Control-Max-Age": "86400",
    }
    return web.Response(status=204, headers=allowed)


async def _break_off(request: web.BaseRequest, response: web.Response) -> None:
    body = response.body if isinstance(response.body, bytes) else b""
    broken = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    if encoding := response.headers.get("Content-Encoding"):
        broken.headers["Content-Encoding"] = encoding
    broken.content_length = len(body)
    await broken.prepare(request)
    await broken.write(body[: len(body) // 2])


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """Cut the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=_CUT)
