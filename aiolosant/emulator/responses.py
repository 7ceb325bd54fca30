"""Responses as aiohttp sends them: JSON in Losant's shape, and the ways in which one fails to arrive."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping

import msgspec
from aiohttp import web

from .operation import ApiResponse, error_response

_GZIP = re.compile(r"gzip(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)
CUT = 499
"""The status that is noted where the connection was cut instead of an answer."""


def http_error_response(error: web.HTTPException) -> ApiResponse:
    """An error of aiohttp's own in Losant's shape."""
    # By name, because the interpreter's phrases for statuses differ between its versions.
    return error_response(error.status, type(error).__name__.removeprefix("HTTP"), error.reason)


def json_response(
    request: web.BaseRequest, content: ApiResponse, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A response, compressed if its receiver takes that."""
    body = msgspec.json.encode(content.content)
    all_headers = {**content.headers, **(headers or {})}
    response = web.Response(status=content.status, content_type="application/json", headers=all_headers)
    if _GZIP.search(request.headers.get("Accept-Encoding", "")):
        body = gzip.compress(body, 1)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        if request.version >= (1, 1):  # as a server that compresses while it sends
            response.enable_chunked_encoding()
    if origin := request.headers.get("Origin"):
        response.headers["Access-Control-Allow-Origin"] = origin
    response.body = body
    return response


def preflight_response(request: web.BaseRequest) -> web.Response:
    """What a browser asks before a page of another origin may ask."""
    allowed = {
        "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
        "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "Authorization"),
        "Access-Control-Max-Age": "86400",
    }
    return web.Response(status=204, headers=allowed)


async def break_off(request: web.BaseRequest, response: web.Response) -> None:
    """Send the head of a response and half of its body."""
    body = response.body if isinstance(response.body, bytes) else b""
    broken = web.StreamResponse(status=response.status, headers={"Content-Type": "application/json"})
    if encoding := response.headers.get("Content-Encoding"):
        broken.headers["Content-Encoding"] = encoding
    broken.content_length = len(body)
    await broken.prepare(request)
    await broken.write(body[: len(body) // 2])


def cut(request: web.BaseRequest) -> web.StreamResponse:
    """Cut the connection; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=CUT)


def bare_response(response: ApiResponse) -> web.Response:
    """A response to what was no valid request, so that nothing is known of what its sender takes."""
    body = msgspec.json.encode(response.content)
    return web.Response(status=response.status, body=body, content_type="application/json")
