"""The routes: both APIs on one port, and the admin's own under `/_sandbox/`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .ready import ready_key
from .service import Service
from .settings import is_seconds
from .wire import Call

Body = dict[str, object]
TRANSPORT = "sandbox.transport"
_KEYS = "/v2/gen-ai/models/api_keys"
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Dropped(Response):
    """Closes the connection without a byte of an answer; needs the transport that `serve.Protocol` puts in the scope."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Abort the transport, and stay until the server has noticed, so that it does not answer for us."""
        scope["state"][TRANSPORT].abort()
        while (await receive())["type"] != "http.disconnect":
            continue


def application(service: Service) -> Starlette:
    """Build the ASGI application over one account."""
    routes = [
        ("GET", _KEYS, "list"),
        ("POST", _KEYS, "create"),
        ("PUT", f"{_KEYS}/{{subject}}", "rename"),
        ("DELETE", f"{_KEYS}/{{subject}}", "delete"),
        ("PUT", f"{_KEYS}/{{subject}}/regenerate", "regenerate"),
        ("GET", "/v2/account", "account"),
        ("GET", "/v1/models", "models"),
        ("POST", "/v1/chat/completions", "chat"),
        ("POST", "/v1/responses", "responses"),
        ("POST", "/v1/images/generations", "images"),
        ("POST", "/v1/async-invoke", "invoke"),
        ("GET", "/v1/async-invoke/{subject}", "invoke-status"),
        ("GET", "/v1/async-invoke/{subject}/status", "invoke-status"),
    ]
    elsewhere = [Route(f"/{api}/{{rest:path}}", _api(service, ""), methods=list(_VERBS)) for api in ("v1", "v2")]
    return Starlette(
        routes=[
            *(Route(path, _api(service, op), methods=[verb]) for verb, path, op in routes),
            *elsewhere,
            *(Route(path, _admin(act), methods=[verb]) for (verb, path), act in _admin_acts(service).items()),
            Route("/", _page, methods=["GET"]),
        ]
    )


_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _api(service: Service, op: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
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
        if reply.wait:
            await asyncio.sleep(reply.wait)
        return Dropped() if reply.status is None else Response(reply.content, reply.status, dict(reply.headers))

    return endpoint


def _admin(act: Callable[[Body], object]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            body = json.loads(raw) if raw.strip() else {}
            if not isinstance(body, dict):
                return JSONResponse({"error": "expected a JSON object"}, 400)
            return JSONResponse(act(body))
        except ValueError as wrong:  # a wrong field, or no JSON at all
            return JSONResponse({"error": str(wrong)}, 400)

    return endpoint


def _admin_acts(service: Service) -> dict[tuple[str, str], Callable[[Body], object]]:
    def faults(_: Body) -> object:
        return {"faults": [fault.view() for fault in service.faults]}

    def arm(body: Body) -> object:
        options = dict(body)
        op, kind = _text(options.pop("op", None), "op"), _text(options.pop("kind", None), "kind")
        return service.arm(op, kind, **options).view()

    def clear_faults(body: Body) -> object:
        service.clear_faults()
        return faults(body)

    def requests(_: Body) -> object:
        return {"requests": [asdict(seen) for seen in service.requests]}

    def clear_requests(body: Body) -> object:
        service.clear_requests()
        return requests(body)

    def make_key(body: Body) -> object:
        ready = ready_key(body)
        made = [service.panel_create(name, ready.models, vpc=ready.vpc) for name in ready.names()]
        return asdict(made[0]) if len(made) == 1 else {"keys": [asdict(key) for key in made]}

    def make_token(body: Body) -> object:
        scopes = body.get("scopes")
        chosen = {} if scopes is None else {"scopes": _texts(scopes, "scopes")}
        team = {"team": _text(body["team"], "team")} if "team" in body else {}
        token = service.add_token(_text(body.get("token", ""), "token"), **chosen, **team)  # type: ignore[arg-type]
        return {"token": token.value, "scopes": sorted(token.scopes), "team": token.team}

    def revoke_token(body: Body) -> object:
        service.revoke_token(_text(body.get("token"), "token"))
        return {"tokens": len(service.state.tokens)}

    def by_hand(body: Body) -> object:
        do, uuid = _text(body.get("do"), "do"), _text(body.get("uuid"), "uuid")
        return asdict(service.by_hand(do, uuid, _text(body.get("name", ""), "name")))

    def clock(body: Body) -> object:
        seconds = body.get("advance", 0)
        if not is_seconds(seconds):
            message = "advance: expected seconds, 0 or more"
            raise ValueError(message)
        return {"now": service.advance(float(str(seconds)))}

    return {
        ("GET", "/_sandbox/health"): lambda _: {"status": "ok"},
        ("GET", "/_sandbox/state"): lambda _: service.view(),
        ("GET", "/_sandbox/requests"): requests,
        ("DELETE", "/_sandbox/requests"): clear_requests,
        ("GET", "/_sandbox/faults"): faults,
        ("POST", "/_sandbox/faults"): arm,
        ("DELETE", "/_sandbox/faults"): clear_faults,
        ("POST", "/_sandbox/keys"): make_key,
        ("POST", "/_sandbox/tokens"): make_token,
        ("DELETE", "/_sandbox/tokens"): revoke_token,
        ("POST", "/_sandbox/by-hand"): by_hand,
        ("GET", "/_sandbox/settings"): lambda _: service.settings.view(),
        ("POST", "/_sandbox/settings"): lambda body: service.change(**body).view(),
        ("POST", "/_sandbox/clock"): clock,
    }


async def _page(_: Request) -> Response:
    page = (files(__package__) / "page.html").read_text(encoding="utf-8")
    return HTMLResponse(page, headers={"content-security-policy": _PAGE_POLICY, "cache-control": "no-store"})


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        message = f"{name}: expected text"
        raise ValueError(message)  # noqa: TRY004  # every wrong field is a ValueError here
    return value


def _texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list):
        message = f"{name}: expected a list of texts"
        raise ValueError(message)  # noqa: TRY004  # every wrong field is a ValueError here
    return [_text(item, name) for item in value]
