"""PURE: the control API (`/v2/...`) as a function from state and request to state and answer."""

from __future__ import annotations

from typing import Final

from keyturn.sandbox import platform, secrets_manager
from keyturn.sandbox import state as account
from keyturn.sandbox.settings import Settings
from keyturn.sandbox.state import Key, State, Token
from keyturn.sandbox.wire import Answer, Call, control_error, json_object, paged, rfc3339

KEYS_PATH: Final = "/v2/gen-ai/models/api_keys"
_NEEDS: Final = {
    "list": "genai:read",
    "create": "genai:create",
    "rename": "genai:update",
    "regenerate": "genai:update",
    "delete": "genai:delete",
    "account": "account:read",
    "prepayment": "billing:read",
    **platform.NEEDS,
    **secrets_manager.NEEDS,
}
GONE: Final = Answer(
    410,
    {
        "id": "gone",
        "message": "resource retired: Creating model API keys through this endpoint is retired. "
        "Go to manage page in the control panel to create a model access key.",
    },
)


def answer(state: State, settings: Settings, call: Call, now: float) -> tuple[State, Answer]:
    """Answer one request of the control API."""
    token = state.tokens.get(call.bearer)
    if token is None:
        return state, control_error(401, "Unable to authenticate you")
    if call.op == "create" and settings.create == "gone":
        return state, GONE
    if call.op not in _NEEDS:
        return state, control_error(404, "The resource you were accessing could not be found.")
    if _NEEDS[call.op] not in token.scopes:
        return state, control_error(403, "You are not authorized to perform this operation")
    return _perform(state, settings, call, now, token)


def _perform(state: State, settings: Settings, call: Call, now: float, token: Token) -> tuple[State, Answer]:
    if call.op in platform.NEEDS:
        return platform.answer(state, settings, call, now, token)
    if call.op in secrets_manager.NEEDS:
        return secrets_manager.answer(state, settings, call, now, token)
    if call.op == "account":
        return state, _account(token)
    if call.op == "prepayment":
        return state, _prepayment(settings)
    if call.op == "list":
        return state, _list(state, call, token)
    if call.op == "create":
        return _create(state, settings, call, now, token)
    key = state.key(call.subject, token.team)
    if key is None:
        return state, control_error(404, "The resource you were accessing could not be found.")
    if call.op == "rename":
        return _rename(state, call, key)
    if call.op == "regenerate":
        return _shown(*account.regenerate(state, key, now, settings.mint), with_secret=True)
    return _shown(*account.delete(state, key, now, settings.mint))


def info(key: Key, *, with_secret: bool = False) -> dict[str, object]:
    """Return `api_key_info` as the API shows it."""
    shown: dict[str, object] = {
        "uuid": key.uuid,
        "name": key.name,
        "created_at": rfc3339(key.created_at),
        "created_by": key.created_by,
    }
    if key.deleted_at is not None:
        shown["deleted_at"] = rfc3339(key.deleted_at)
    if with_secret:
        shown["secret_key"] = key.secret
    return shown


def _shown(state: State, key: Key, *, with_secret: bool = False) -> tuple[State, Answer]:
    return state, Answer(200, {"api_key_info": info(key, with_secret=with_secret)})


def _create(state: State, settings: Settings, call: Call, now: float, token: Token) -> tuple[State, Answer]:
    name = _name(call)
    if isinstance(name, Answer):
        return state, name
    return _shown(*account.create(state, name, now, settings.mint, team=token.team), with_secret=True)


def _rename(state: State, call: Call, key: Key) -> tuple[State, Answer]:
    name = _name(call)
    if isinstance(name, Answer):
        return state, name
    if (json_object(call.body) or {}).get("api_key_uuid", key.uuid) != key.uuid:
        return state, control_error(422, "api_key_uuid is not the one in the path")
    return _shown(*account.rename(state, key, name))


def _name(call: Call) -> str | Answer:
    body = json_object(call.body)
    if body is None:
        return control_error(400, "The request body is not a JSON object.")
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        return control_error(422, "name is required")
    return name


def _list(state: State, call: Call, token: Token) -> Answer:
    return paged(call, "api_key_infos", [info(key) for key in state.live_keys(token.team)], KEYS_PATH)


def _account(token: Token) -> Answer:
    return Answer(
        200,
        {
            "account": {
                "droplet_limit": 10,
                "floating_ip_limit": 3,
                "reserved_ip_limit": 3,
                "volume_limit": 100,
                "email": "sandbox@example.com",
                "email_verified": True,
                "name": "Sandbox",
                "uuid": account.derive_uuid("user", token.team, 0),
                "status": "active",
                "status_message": "",
                "team": {"uuid": account.team_uuid(token.team), "name": token.team},
            }
        },
    )


def _prepayment(settings: Settings) -> Answer:
    blocked = settings.balance == "blocked"
    return Answer(
        200,
        {
            "status": {
                "balance": "0.00" if blocked else "25.00",
                "is_auto_prepay_enabled": False,
                "blocked": blocked,
                "eligible": True,
                "month_to_date_balance": "25.00",
            }
        },
    )
