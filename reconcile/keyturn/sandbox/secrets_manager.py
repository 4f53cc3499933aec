"""PURE: Secrets Manager (`/v2/security/secrets`) as a function from state and request to state and answer.

Shapes and scopes are those of DigitalOcean's public API description. It documents neither the answer to an update of
another version nor what an update does to values that it omits: here it is 400, and they are gone.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, TypeGuard

from keyturn.sandbox.settings import Settings
from keyturn.sandbox.state import State, Stored, Token
from keyturn.sandbox.wire import Answer, Call, control_error, json_object, rfc3339

SECRETS_PATH: Final = "/v2/security/secrets"
NEEDS: Final = {
    "secret-list": "security:read",
    "secret-read": "security:read",
    "secret-create": "security:create",
    "secret-update": "security:update",
    "secret-delete": "security:delete",
}
ROUTES: Final = (
    ("GET", SECRETS_PATH, "secret-list"),
    ("POST", SECRETS_PATH, "secret-create"),
    ("GET", f"{SECRETS_PATH}/{{subject}}", "secret-read"),
    ("PUT", f"{SECRETS_PATH}/{{subject}}", "secret-update"),
    ("DELETE", f"{SECRETS_PATH}/{{subject}}", "secret-delete"),
)
PER_PAGE: Final = 20
PER_PAGE_MAX: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9][-_.A-Za-z0-9]*")
_MISSING: Final = control_error(404, "The resource you were accessing could not be found.")


def answer(state: State, settings: Settings, call: Call, now: float, token: Token) -> tuple[State, Answer]:
    """Answer one request; its token has the scope."""
    if call.op == "secret-list":
        return state, _list(state, settings, call, token)
    body = {} if call.op in {"secret-read", "secret-delete"} else json_object(call.body)
    if body is None:
        return state, control_error(400, "The request body is not a JSON object.")
    region = body.get("region") if body else call.query.get("region")
    if not isinstance(region, str) or not region:
        return state, control_error(400, "region is required")
    if region in settings.unavailable_regions:
        return state, control_error(503, f"The region {region} is not available.")
    if call.op == "secret-create":
        return _create(state, body, region, now, token)
    place = (token.team, region, call.subject)
    stored = state.stored.get(place)
    if stored is None or (stored.deleted_at is not None and call.op != "secret-read"):
        return state, _MISSING
    if call.op == "secret-read":
        return state, Answer(200, {**_info(call.subject, region, stored), "values": dict(stored.values)})
    if call.op == "secret-delete":
        return _put(state, place, replace(stored, deleted_at=now)), Answer(204, {})
    values, version = body.get("values"), body.get("version")
    if isinstance(version, bool) or version != stored.version or not _are_values(values):
        return state, control_error(400, "values must be texts, and version the current one")
    changed = replace(stored, values=values, version=stored.version + 1, updated_at=now)
    return _put(state, place, changed), _written(call.subject, region, changed)


def _create(state: State, body: dict[str, object], region: str, now: float, token: Token) -> tuple[State, Answer]:
    name, values = body.get("name"), body.get("values")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not _are_values(values):
        return state, control_error(400, "name and values are required, and values must be texts")
    place = (token.team, region, name)
    if place in state.stored:
        return state, control_error(400, "a secret of this name exists in this region")
    stored = Stored(values, 1, now, now)
    return _put(state, place, stored), _written(name, region, stored)


def _list(state: State, settings: Settings, call: Call, token: Token) -> Answer:
    page, per_page = (
        int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0  # noqa: PLR2004 - as in control.py
        for text in (call.query.get("page", "1"), call.query.get("per_page", str(PER_PAGE)))
    )
    if not page or not per_page:
        return control_error(400, "page and per_page are whole numbers from 1")
    per_page = min(per_page, PER_PAGE_MAX)
    found = [
        _info(name, region, stored)
        for (team, region, name), stored in state.stored.items()
        if team == token.team and region not in settings.unavailable_regions
    ]
    pages = max(1, -(-len(found) // per_page))
    return Answer(
        200,
        {
            "secrets": found[(page - 1) * per_page : page * per_page],
            "meta": {"page": page, "pages": pages, "total": len(found)},
            "links": {"pages": {}},
            "unavailable_regions": list(settings.unavailable_regions),
        },
    )


def _info(name: str, region: str, stored: Stored) -> dict[str, object]:
    shown: dict[str, object] = {
        "secret": name,
        "region": region,
        "version": stored.version,
        "created_at": rfc3339(stored.created_at),
        "updated_at": rfc3339(stored.updated_at),
    }
    return shown if stored.deleted_at is None else {**shown, "delete_requested_at": rfc3339(stored.deleted_at)}


def _written(name: str, region: str, stored: Stored) -> Answer:
    return Answer(200, {"name": name, "region": region, "version": stored.version})


def _are_values(values: object) -> TypeGuard[dict[str, str]]:
    return isinstance(values, dict) and all(isinstance(value, str) for value in values.values())


def _put(state: State, place: tuple[str, str, str], stored: Stored) -> State:
    return replace(state, stored={**state.stored, place: stored})
