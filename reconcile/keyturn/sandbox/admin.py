"""The admin routes under `/_sandbox/`, for changes that a test or an operator makes to the account from outside."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from keyturn.sandbox.guard import body_of
from keyturn.sandbox.ready import ready_key
from keyturn.sandbox.service import Service
from keyturn.sandbox.settings import is_seconds

Body = dict[str, object]


def admin_routes(service: Service) -> list[Route]:
    """Build the routes. Each takes and returns a JSON object, and answers 400 with `error` to an invalid one."""
    return [Route(path, _endpoint(act), methods=[verb]) for (verb, path), act in _acts(service).items()]


def _endpoint(act: Callable[[Body], object]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        raw = await body_of(request)
        try:
            body = json.loads(raw) if raw.strip() else {}
            if not isinstance(body, dict):
                return JSONResponse({"error": "expected a JSON object"}, 400)
            return JSONResponse(act(body))
        except ValueError as wrong:  # a wrong field, or not JSON
            return JSONResponse({"error": str(wrong)}, 400)

    return endpoint


def _acts(service: Service) -> dict[tuple[str, str], Callable[[Body], object]]:
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

    def revoke_token(body: Body) -> object:
        service.revoke_token(_text(body.get("token"), "token"))
        return {"tokens": len(service.state.tokens)}

    def by_hand(body: Body) -> object:
        do, uuid = _text(body.get("do"), "do"), _text(body.get("uuid"), "uuid")
        return asdict(service.by_hand(do, uuid, _text(body.get("name", ""), "name")))

    def clock(body: Body) -> object:
        seconds = body.get("advance", 0)
        if not is_seconds(seconds):
            raise ValueError("advance: expected seconds, 0 or more")
        return {"now": service.advance(float(str(seconds)))}

    return {
        ("GET", "/_sandbox/health"): lambda _: {"status": "ok"},
        ("GET", "/_sandbox/state"): lambda _: service.view(),
        ("GET", "/_sandbox/requests"): requests,
        ("DELETE", "/_sandbox/requests"): clear_requests,
        ("GET", "/_sandbox/faults"): faults,
        ("POST", "/_sandbox/faults"): arm,
        ("DELETE", "/_sandbox/faults"): clear_faults,
        ("DELETE", "/_sandbox/tokens"): revoke_token,
        **_makers(service),
        ("POST", "/_sandbox/by-hand"): by_hand,
        ("GET", "/_sandbox/settings"): lambda _: service.settings.view(),
        ("POST", "/_sandbox/settings"): lambda body: service.change(**body).view(),
        ("POST", "/_sandbox/clock"): clock,
    }


def _makers(service: Service) -> dict[tuple[str, str], Callable[[Body], object]]:
    def make_key(body: Body) -> object:
        ready = ready_key(body)
        made = [service.panel_create(name, ready.models, vpc=ready.vpc, team=ready.team) for name in ready.names()]
        return asdict(made[0]) if len(made) == 1 else {"keys": [asdict(key) for key in made]}

    def make_app(body: Body) -> object:
        spec = body.get("spec")
        if not isinstance(spec, dict):
            raise ValueError("spec: expected an object")  # every wrong field is a ValueError here
        app = service.make_app(spec)
        return {"id": app.id, "name": app.name, "deployment": app.deployments[-1].id}

    def end_deployment(body: Body) -> object:
        app, end = _text(body.get("app"), "app"), _text(body.get("end", "ACTIVE"), "end")
        service.end_deployment(app, end)
        return {"app": app, "end": end}

    def roll_back(body: Body) -> object:
        app = _text(body.get("app"), "app")
        service.roll_back(app)
        return {"app": app}

    def make_token(body: Body) -> object:
        scopes = body.get("scopes")
        chosen = {} if scopes is None else {"scopes": _texts(scopes, "scopes")}
        team = {"team": _text(body["team"], "team")} if "team" in body else {}
        token = service.add_token(_text(body.get("token", ""), "token"), **chosen, **team)  # type: ignore[arg-type]
        return {"token": token.value, "scopes": sorted(token.scopes), "team": token.team}

    return {
        ("POST", "/_sandbox/keys"): make_key,
        ("POST", "/_sandbox/apps"): make_app,
        ("POST", "/_sandbox/deployments"): end_deployment,
        ("POST", "/_sandbox/rollbacks"): roll_back,
        ("POST", "/_sandbox/tokens"): make_token,
    }


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected text")  # every wrong field is a ValueError here
    return value


def _texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"{name}: expected a list of texts")  # every wrong field is a ValueError here
    return [_text(item, name) for item in value]
