"""PURE: App Platform (`/v2/apps…`) as functions from state and request to state and answer.

A `SECRET` variable is stored and shown as `EV[1:nonce:ciphertext]`. Plain text becomes a new EV string; an EV string
that is sent back keeps its value. There is no version and no ETag: the last spec wins, and each starts a deployment.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from keyturn.sandbox.deployments import COMPONENTS, ENDS, SECRET, App, Deployment, Spec, components, envs, objects
from keyturn.sandbox.settings import Settings
from keyturn.sandbox.state import State, Token, derive, derive_uuid, team_uuid
from keyturn.sandbox.wire import Answer, Call, control_error, json_object, paged, rfc3339

APPS_PATH: Final = "/v2/apps"
NEEDS: Final = {
    "apps": "app:read",
    "app": "app:read",
    "deployments": "app:read",
    "update-app": "app:update",
    "propose-app": "app:create",
}
"""The scope of each operation, as the public API description has it."""
DATABASE: Final = "database:view_credentials"
NO_DATABASE: Final = control_error(400, "error validating app spec field databases: database user is not accessible")
_NOT_FOUND: Final = control_error(404, "The resource you were accessing could not be found.")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]")
_KEY = re.compile(r"[_A-Za-z][_A-Za-z0-9]*")
_SCOPES: Final = ("UNSET", "RUN_TIME", "BUILD_TIME", "RUN_AND_BUILD_TIME")
_TYPES: Final = ("GENERAL", SECRET)
_SEALED = re.compile(r"EV\[1:[^:\]]+:[^:\]]+\]")


def answer(state: State, settings: Settings, call: Call, now: float, token: Token) -> tuple[State, Answer]:
    """Answer a request whose token has the scope of NEEDS."""
    if call.op == "apps":
        apps = [_app(app, now) for app in state.apps.values() if app.team == token.team]
        return state, paged(call, "apps", apps, APPS_PATH)
    if call.op == "propose-app":
        return state, _proposed(state, call, token)
    app = state.apps.get(call.subject)
    if app is None or app.team != token.team:
        return state, _NOT_FOUND
    if call.op == "deployments":
        shown = [_deployment(app, *found) for found in reversed(list(app.phases(now)))]
        return state, paged(call, "deployments", shown, f"{APPS_PATH}/{app.id}/deployments")
    if call.op == "app":
        return state, Answer(200, {"app": _app(app, now)})
    try:
        spec = _spec(call.body)
        _check(state, spec, token, app.id)
        state, changed = put(state, settings, spec, now, token.team, app)
    except _Refused as refused:
        return state, refused.answer
    return state, Answer(200, {"app": _app(changed, now)})


def put(
    state: State, settings: Settings, spec: Spec, now: float, team: str, app: App | None = None
) -> tuple[State, App]:
    """Store the spec of an app, of a new one without `app`, and start its deployment."""
    number = state.drawn + 1
    state, sealed = _sealed(replace(state, drawn=number), spec)
    deployment = Deployment(
        derive_uuid(state.seed, "deployment", number), sealed, now, settings.deployment, settings.deployment_end
    )
    if app is None:
        app = App(derive_uuid(state.seed, "app", number), sealed, now, now, team, (deployment,))
    else:
        app = replace(app, spec=sealed, updated_at=now, deployments=(*app.deployments, deployment))
    return replace(state, apps={**state.apps, app.id: app}), app


def end(state: State, subject: str, now: float, how: str) -> State:
    """End the last deployment of an app. Raises ValueError if that is not possible."""
    app = state.apps.get(subject)
    if app is None or how not in ENDS:
        raise ValueError(f"expected an app, and one of {', '.join(ENDS)}")
    *before, last = app.deployments
    if last.ends_at <= now:
        raise ValueError("the last deployment is over")
    ended = replace(last, seconds=now - last.created_at, end=how)
    return replace(state, apps={**state.apps, app.id: replace(app, deployments=(*before, ended))})


def roll_back(state: State, settings: Settings, subject: str, now: float) -> State:
    """Deploy the spec of the deployment before the last one again. The spec of the app stays, as until a commit.

    Raises ValueError if that is not possible.
    """
    app = state.apps.get(subject)
    if app is None or len(app.deployments) < 2:  # noqa: PLR2004 - the last one, and one before
        raise ValueError("expected an app with two deployments")
    number = state.drawn + 1
    back = Deployment(
        derive_uuid(state.seed, "deployment", number),
        app.deployments[-2].spec,
        now,
        settings.deployment,
        settings.deployment_end,
    )
    changed = replace(app, deployments=(*app.deployments, back))
    return replace(state, drawn=number, apps={**state.apps, app.id: changed})


def check_spec(state: State, spec: Spec, team: str) -> None:
    """Raise ValueError if this cannot be the spec of a new app."""
    try:
        _check(state, spec, Token("", frozenset({DATABASE}), team))
    except _Refused as refused:
        raise ValueError(str(refused.answer.body["message"])) from None


class _Refused(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def _proposed(state: State, call: Call, token: Token) -> Answer:
    body = json_object(call.body) or {}
    known = state.apps.get(str(body.get("app_id", "")))
    if body.get("app_id") and (known is None or known.team != token.team):
        return _NOT_FOUND
    try:
        spec = _spec(call.body)
        _check(state, spec, token, known.id if known else "")
    except _Refused as refused:
        return refused.answer
    return Answer(
        200,
        {
            "app_is_static": not any(objects(spec.get(kind)) for kind in COMPONENTS if kind != "static_sites"),
            "app_name_available": not any(app.name == spec["name"] for app in state.apps.values() if app != known),
            "existing_static_apps": "0",
            "max_free_static_apps": "3",
            "spec": _sealed(state, spec)[1],
            "app_cost": 5,
        },
    )


def _spec(body: bytes) -> Spec:
    found = json_object(body)
    if found is None:
        raise _Refused(control_error(400, "The request body is not a JSON object."))
    spec = found.get("spec")
    if not isinstance(spec, dict):
        raise _Refused(control_error(400, "spec is required"))
    return spec


def _check(state: State, spec: Spec, token: Token, app: str = "") -> None:
    """Raise _Refused with the first mistake in a spec of an app, of a new one if `app` is empty."""
    wrong = next(_mistakes(state, spec, token.team, app), "")
    if wrong:
        raise _Refused(control_error(400, f"error validating app spec field {wrong}"))
    # an attached database needs more than the scope of the app, as people report of real accounts
    if DATABASE not in token.scopes and any(one.get("cluster_name") for one in objects(spec.get("databases"))):
        raise _Refused(NO_DATABASE)


def _mistakes(state: State, spec: Spec, team: str, app: str) -> Iterator[str]:
    lists = [(kind, spec.get(kind)) for kind in COMPONENTS]
    lists += [("envs", part.get("envs")) for part in (spec, *components(spec))]
    yield from (f"{kind}: expected a list of objects" for kind, value in lists if not _are_objects(value))
    name = spec.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield "name: expected 2 to 32 of a-z 0-9 -"
    if any(one.name == name for one in state.apps.values() if one.team == team and one.id != app):
        yield "name: is used by another app"
    names = [str(item.get("name")) for item in components(spec)]
    if not all(map(_NAME.fullmatch, names)) or len(set(names)) < len(names):
        yield "components: each needs a name of its own"
    for part in (spec, *components(spec)):
        for one in envs(part):
            key, value = one.get("key"), one.get("value", "")
            if not isinstance(key, str) or not _KEY.fullmatch(key):
                yield "envs.key: expected a name"
            if not isinstance(value, str):
                yield f"envs.{key}.value: expected text"
            elif one.get("type", "GENERAL") not in _TYPES or one.get("scope", "UNSET") not in _SCOPES:
                yield f"envs.{key}: expected a known type and scope"
            elif one.get("type") == SECRET and value.startswith("EV[") and value not in state.sealed:
                yield f"envs.{key}.value: failed to decrypt"


def _are_objects(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(one, dict) for one in value))


def _sealed(state: State, spec: Spec) -> tuple[State, Spec]:
    """Return a copy of a spec in which each plain text of a secret variable is a new EV string."""
    copy = json.loads(json.dumps(spec))
    drawn, opened = state.drawn, dict(state.sealed)
    for part in (copy, *components(copy)):
        for one in envs(part):
            value = str(one.get("value", ""))
            if one.get("type") == SECRET and value and value not in opened:
                drawn += 1
                one["value"] = _ev(state.seed, drawn, value)
                opened[str(one["value"])] = value
    return replace(state, drawn=drawn, sealed=opened), copy


def _ev(seed: str, number: int, value: str) -> str:
    """Return an EV string of the usual lengths: a nonce of 24 bytes, and 16 bytes more than the text has."""
    size = len(value.encode(errors="surrogatepass")) + 16
    noise = b"".join(derive(seed, f"ev-{part}", number) for part in range(1 + (size + 24) // 48))
    return f"EV[1:{b64encode(noise[:24]).decode()}:{b64encode(noise[24 : 24 + size]).decode()}]"


def _app(app: App, now: float) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": app.id,
        "owner_uuid": team_uuid(app.team),
        "spec": app.spec,
        "default_ingress": f"https://{app.name}.ondigitalocean.app",
        "created_at": rfc3339(app.created_at),
        "updated_at": rfc3339(app.updated_at),
        "last_deployment_created_at": rfc3339(app.deployments[-1].created_at),
        "tier_slug": "basic",
    }
    active, found = app.active(now), {one.id: (one, phase, since) for one, phase, since in app.phases(now)}
    last, phase, _ = found[app.deployments[-1].id]
    if active is not None:
        shown["active_deployment"] = _deployment(app, *found[active.id])
    if phase not in {"ACTIVE", "ERROR", "CANCELED"}:
        shown["pending_deployment" if phase == "PENDING_BUILD" else "in_progress_deployment"] = _deployment(
            app, *found[last.id]
        )
    return shown


def _deployment(app: App, one: Deployment, phase: str, since: float) -> Mapping[str, object]:
    first = one is app.deployments[0]
    return {
        "id": one.id,
        "spec": one.spec,
        "phase": phase,
        "cause": "initial deployment" if first else "app spec updated",
        "created_at": rfc3339(one.created_at),
        "updated_at": rfc3339(since),
        "phase_last_updated_at": rfc3339(since),
        "tier_slug": "basic",
    }
