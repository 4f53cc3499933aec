"""The routes of both APIs, the admin and the page, on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from keyturn.sandbox import secrets_manager
from keyturn.sandbox.admin import admin_routes
from keyturn.sandbox.control import KEYS_PATH
from keyturn.sandbox.guard import Guard, TooLarge, body_of, too_large
from keyturn.sandbox.platform import APPS_PATH
from keyturn.sandbox.service import Service
from keyturn.sandbox.wire import Call

TRANSPORT = "sandbox.transport"
_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Dropped(Response):
    """Closes the connection without any answer, through the transport that `serve.Protocol` puts in the scope."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Abort the transport. Wait until the server has noticed, so that it does not send an answer of its own."""
        scope["state"][TRANSPORT].abort()
        while (await receive())["type"] != "http.disconnect":
            continue


def application(service: Service) -> Starlette:
    """Build the ASGI application over one account."""
    routes = [
        ("GET", KEYS_PATH, "list"),
        ("POST", KEYS_PATH, "create"),
        ("PUT", f"{KEYS_PATH}/{{subject}}", "rename"),
        ("DELETE", f"{KEYS_PATH}/{{subject}}", "delete"),
        ("PUT", f"{KEYS_PATH}/{{subject}}/regenerate", "regenerate"),
        ("GET", "/v2/account", "account"),
        ("GET", "/v2/customers/my/prepayment_status", "prepayment"),
        ("GET", APPS_PATH, "apps"),
        ("POST", f"{APPS_PATH}/propose", "propose-app"),
        ("GET", f"{APPS_PATH}/{{subject}}", "app"),
        ("PUT", f"{APPS_PATH}/{{subject}}", "update-app"),
        ("GET", f"{APPS_PATH}/{{subject}}/deployments", "deployments"),
        *secrets_manager.ROUTES,
        ("GET", "/v1/models", "models"),
        ("POST", "/v1/chat/completions", "chat"),
        ("POST", "/v1/responses", "responses"),
        ("POST", "/v1/images/generations", "images"),
        ("POST", "/v1/async-invoke", "invoke"),
        ("GET", "/v1/async-invoke/{subject}", "invoke-status"),
        ("GET", "/v1/async-invoke/{subject}/status", "invoke-status"),
    ]
    elsewhere = [Route(f"/{api}/{{rest:path}}", _api(service, ""), methods=_VERBS) for api in ("v1", "v2")]
    return Starlette(
        routes=[
            *(Route(path, _api(service, op), methods=[verb]) for verb, path, op in routes),
            *elsewhere,
            *admin_routes(service),
            Route("/", _page, methods=["GET"]),
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={TooLarge: too_large},
    )


def _api(service: Service, op: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await body_of(request)
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if latency := service.settings.latency:
            await asyncio.sleep(latency)
        reply = service.handle(
            Call(
                op=op,
                verb=request.method,
                path=request.url.path,
                base_url=str(request.base_url).rstrip("/"),
                query=dict(request.query_params),
                bearer=credential.strip() if scheme.lower() == "bearer" else "",
                subject=request.path_params.get("subject", ""),
                body=body,
            )
        )
        try:
            await asyncio.sleep(reply.wait)
        except asyncio.CancelledError:  # the sandbox stops: close the connection, because the server would answer 500
            return Dropped()
        return Dropped() if reply.status is None else Response(reply.content, reply.status, dict(reply.headers))

    return endpoint


async def _page(_: Request) -> Response:
    page = (files(__package__) / "page.html").read_text(encoding="utf-8")
    return HTMLResponse(page, headers={"content-security-policy": _PAGE_POLICY, "cache-control": "no-store"})
