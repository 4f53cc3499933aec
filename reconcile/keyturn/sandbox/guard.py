"""Refuses what a web page could send to the sandbox through the browser of an operator, and bodies without a bound."""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

BODY_LIMIT: Final = 1 << 20
"""The largest body of a request, in bytes."""
ADMIN: Final = "/_sandbox/"
_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::\d{1,5})?", re.IGNORECASE)


class TooLarge(Exception):
    """A request has a body over BODY_LIMIT."""


class Guard:
    """Lets requests through that name this machine and come from no other origin.

    - `Host` has to be a loopback name: a page whose host name resolves to 127.0.0.1 (DNS rebinding) gets 403.
    - `Origin`, which a browser adds, has to be the sandbox itself, else 403.
    - A POST of the admin routes has to be JSON, else 415: a browser asks before it sends that to another origin.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, or pass the others on."""
        refusal = _refusal(scope["method"], scope["path"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)


async def body_of(request: Request) -> bytes:
    """Read the body of a request. Raises TooLarge, and reads no further than the limit."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > BODY_LIMIT:
            raise TooLarge
    return bytes(read)


def too_large(_: Request, __: Exception) -> JSONResponse:
    """Answer 413 and end the connection, because the rest of the body is not read."""
    message = f"the body is larger than {BODY_LIMIT} bytes"
    return JSONResponse({"id": "request_too_large", "message": message}, 413, {"connection": "close"})


def _refusal(method: str, path: str, headers: Headers) -> JSONResponse | None:
    host, origin = headers.get("host", ""), headers.get("origin")
    if not _HOST.fullmatch(host):
        return JSONResponse({"error": "the Host of the request is not 127.0.0.1 or localhost"}, 403)
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return JSONResponse({"error": "the request comes from a page of another origin"}, 403)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if path.startswith(ADMIN) and method == "POST" and kind != "application/json":
        return JSONResponse({"error": "Content-Type has to be application/json"}, 415)
    return None
