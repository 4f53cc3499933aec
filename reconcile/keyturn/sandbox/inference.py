"""PURE: the inference API (`/v1/...`) as a function from state and request to state and answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeGuard

from keyturn.sandbox import completions
from keyturn.sandbox import state as account
from keyturn.sandbox.catalogue import MODELS, PATHS
from keyturn.sandbox.settings import Settings
from keyturn.sandbox.state import State
from keyturn.sandbox.wire import Answer, Call, Refusal, json_object

IMAGES_MAX: Final = 10
COMPLETION_LEAST: Final = 256
_QUOTA: Final = {
    "exceeded": Refusal(429, "You exceeded your current quota.", "insufficient_quota"),
    "unpaid": Refusal(402, "Payment is required: the billing of this account is past due.", "billing"),
    "blocked": Refusal(403, "Billing for this account is suspended; inference is blocked.", "billing"),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller: the uuid of a key (empty for an account token) and the models that it may use."""

    uuid: str
    models: tuple[str, ...]


def answer(state: State, settings: Settings, call: Call, now: float) -> tuple[State, Answer]:
    """Answer one request of the inference API."""
    state, answer = _answer(state, settings, call, now)
    return state, answer.answer(openai=settings.openai_errors) if isinstance(answer, Refusal) else answer


def _answer(state: State, settings: Settings, call: Call, now: float) -> tuple[State, Answer | Refusal]:
    caller = _caller(state, settings, call, now)
    if isinstance(caller, Refusal):
        return state, caller
    if call.op == "models":
        return state, _models(settings, caller)
    if call.op == "invoke-status":
        return state, _job(state, caller, call, now)
    if call.op not in PATHS:
        return state, Refusal(404, f"Unknown request URL: {call.verb} {call.path}", "unknown_url")
    body = json_object(call.body)
    if body is None:
        return state, Refusal(400, "The request body is not a JSON object.")
    refused = _refusal(settings, caller, call.op, body)
    if refused is not None:
        return state, refused
    if call.op == "invoke":
        state, job = account.add_job(state, _text(body, "model_id"), caller.uuid, now)
        return state, Answer(202, completions.job_view(job, now))
    if call.op == "images":
        return state, completions.images(body, now)
    speak = completions.chat if call.op == "chat" else completions.response
    return state, speak(body, now, state.drawn, reasoning=MODELS[_text(body, "model")].reasoning)


def _caller(state: State, settings: Settings, call: Call, now: float) -> Caller | Refusal:
    token = state.tokens.get(call.bearer)
    if token is not None:
        # The real service accepts account tokens too, if they have this scope.
        if "inference:query" in token.scopes:
            return Caller("", tuple(MODELS))
        return Refusal(403, "This token may not query inference.", "forbidden")
    key = state.key_of(call.bearer, now)
    if key is None:
        return Refusal(401, "Invalid or missing model access key.", "invalid_api_key")
    if key.vpc and not settings.inside_vpc:
        return Refusal(403, "This model access key can be used from inside its VPC network only.", "vpc_only")
    return Caller(key.uuid, tuple(MODELS) if key.models is None else key.models)


def _refusal(settings: Settings, caller: Caller, op: str, body: dict[str, object]) -> Refusal | None:
    field = "model_id" if op == "invoke" else "model"
    name = _text(body, field)
    if not name:
        return Refusal(400, f"{field} is required", "missing_required_parameter", field)
    model = None if name in settings.retired else MODELS.get(name)
    if model is None:
        return Refusal(404, f"The model `{name}` does not exist.", "model_not_found", field)
    if name not in caller.models:
        return Refusal(
            settings.denied, f"This model access key may not use the model `{name}`.", "model_not_allowed", field
        )
    if name in settings.tier_denied:
        message = f"The model `{name}` is not available for your subscription tier."
        return Refusal(403, message, kind="forbidden_error")
    if op not in model.calls:
        right = ", ".join(PATHS[call] for call in sorted(model.calls))
        return Refusal(
            404,
            f"The model `{name}` does not answer on {PATHS[op]}; it answers on {right}.",
            "unsupported_model",
            field,
        )
    if settings.balance == "blocked":
        return Refusal(settings.balance_status, "The prepaid balance of this account is used up.", "billing")
    if settings.quota != "ok":
        return _QUOTA[settings.quota]
    if body.get("stream"):
        return Refusal(400, "The sandbox does not stream.", "unsupported_value", "stream")
    return _SHAPES[op](body)


def _chat_shape(body: dict[str, object]) -> Refusal | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        return Refusal(400, "messages must be a list of at least one message", "invalid_type", "messages")
    return _limit_shape(body, "max_completion_tokens", COMPLETION_LEAST) or _limit_shape(body, "max_tokens", 0)


def _responses_shape(body: dict[str, object]) -> Refusal | None:
    if not isinstance(body.get("input"), str | list) or not body.get("input"):
        return Refusal(400, "input must be text or a list of items", "invalid_type", "input")
    return _limit_shape(body, "max_output_tokens", 1)


def _images_shape(body: dict[str, object]) -> Refusal | None:
    if not _text(body, "prompt"):
        return Refusal(400, "prompt is required", "missing_required_parameter", "prompt")
    count = body.get("n")
    if not _is_whole(count) or not 1 <= count <= IMAGES_MAX:
        return Refusal(400, f"n must be from 1 to {IMAGES_MAX}", "invalid_value", "n")
    return None


def _invoke_shape(body: dict[str, object]) -> Refusal | None:
    if not isinstance(body.get("input"), dict):
        return Refusal(400, "input must be an object", "invalid_type", "input")
    return None


def _limit_shape(body: dict[str, object], field: str, least: int) -> Refusal | None:
    limit = body.get(field)
    if limit is None or (_is_whole(limit) and limit >= least):
        return None
    return Refusal(400, f"{field} must be a whole number of at least {least}", "invalid_value", field)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


_SHAPES: Final = {
    "chat": _chat_shape,
    "responses": _responses_shape,
    "images": _images_shape,
    "invoke": _invoke_shape,
}


def _text(body: dict[str, object], field: str) -> str:
    value = body.get(field)
    return value if isinstance(value, str) else ""


def _models(settings: Settings, caller: Caller) -> Answer:
    data = [
        {"id": name, "object": "model", "created": 1735689600, "owned_by": model.owner}
        for name, model in MODELS.items()
        if name in caller.models and name not in settings.retired
    ]
    return Answer(200, {"object": "list", "data": data})


def _job(state: State, caller: Caller, call: Call, now: float) -> Answer | Refusal:
    job = state.jobs.get(call.subject)
    if job is None or job.uuid != caller.uuid:
        return Refusal(404, "No such request.", "not_found")
    view = completions.job_view(job, now)
    if call.path.endswith("/status"):
        del view["output"]
    return Answer(200, view)
