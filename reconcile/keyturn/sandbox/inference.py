"""PURE: the inference API (`/v1/...`) as a function from state and request to state and answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keyturn.sandbox import completions
from keyturn.sandbox import state as account
from keyturn.sandbox.settings import Settings
from keyturn.sandbox.state import State
from keyturn.sandbox.wire import Answer, Call, inference_error, json_object

IMAGES_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue, and which calls it answers."""

    owner: str
    calls: frozenset[str]
    reasoning: bool = False


_BOTH: Final = frozenset({"chat", "responses"})
MODELS: Final[dict[str, Model]] = {
    "llama3.3-70b-instruct": Model("meta", _BOTH),
    "openai-gpt-oss-120b": Model("openai", _BOTH),
    "openai-gpt-oss-20b": Model("openai", _BOTH, reasoning=True),
    "openai-gpt-5-pro": Model("openai", frozenset({"responses"})),
    "anthropic-claude-haiku-4.5": Model("anthropic", frozenset({"chat"})),
    "openai-gpt-image-1": Model("openai", frozenset({"images"})),
    "fal-ai/flux/schnell": Model("fal-ai", frozenset({"invoke"})),
    "fal-ai/elevenlabs/tts/multilingual-v2": Model("fal-ai", frozenset({"invoke"})),
}
PATHS: Final = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "images": "/v1/images/generations",
    "invoke": "/v1/async-invoke",
}
_QUOTA: Final = {
    "exceeded": inference_error(429, "You exceeded your current quota.", "insufficient_quota"),
    "unpaid": inference_error(402, "Payment is required: the billing of this account is past due.", "billing"),
    "blocked": inference_error(403, "Billing for this account is suspended; inference is blocked.", "billing"),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the uuid of a key (empty for an account token) and the models it may use."""

    uuid: str
    models: tuple[str, ...]


def answer(state: State, settings: Settings, call: Call, now: float) -> tuple[State, Answer]:
    """Answer one request of the inference API."""
    caller = _caller(state, settings, call, now)
    if isinstance(caller, Answer):
        return state, caller
    if call.op == "models":
        return state, _models(caller)
    if call.op == "invoke-status":
        return state, _job(state, caller, call, now)
    if call.op not in PATHS:
        return state, inference_error(404, f"Unknown request URL: {call.verb} {call.path}", "unknown_url")
    body = json_object(call.body)
    if body is None:
        return state, inference_error(400, "The request body is not a JSON object.")
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


def _caller(state: State, settings: Settings, call: Call, now: float) -> Caller | Answer:
    token = state.tokens.get(call.bearer)
    if token is not None:
        # The product accepts account tokens too, if they have this scope.
        if "inference:query" in token.scopes:
            return Caller("", tuple(MODELS))
        return inference_error(403, "This token may not query inference.", "forbidden")
    key = state.key_of(call.bearer, now)
    if key is None:
        return inference_error(401, "Invalid or missing model access key.", "invalid_api_key")
    if key.vpc and not settings.inside_vpc:
        return inference_error(403, "This model access key can be used from inside its VPC network only.", "vpc_only")
    return Caller(key.uuid, tuple(MODELS) if key.models is None else key.models)


def _refusal(settings: Settings, caller: Caller, op: str, body: dict[str, object]) -> Answer | None:
    field = "model_id" if op == "invoke" else "model"
    name = _text(body, field)
    if not name:
        return inference_error(400, f"{field} is required", "missing_required_parameter", field)
    model = MODELS.get(name)
    if model is None:
        return inference_error(404, f"The model `{name}` does not exist.", "model_not_found", field)
    if name not in caller.models:
        return inference_error(
            settings.denied, f"This model access key may not use the model `{name}`.", "model_not_allowed", field
        )
    if op not in model.calls:
        right = ", ".join(PATHS[call] for call in sorted(model.calls))
        return inference_error(
            404,
            f"The model `{name}` does not answer on {PATHS[op]}; it answers on {right}.",
            "unsupported_model",
            field,
        )
    if settings.quota != "ok":
        return _QUOTA[settings.quota]
    if body.get("stream"):
        return inference_error(400, "The sandbox does not stream.", "unsupported_value", "stream")
    return _SHAPES[op](body)


def _chat_shape(body: dict[str, object]) -> Answer | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        return inference_error(400, "messages must be a list of at least one message", "invalid_type", "messages")
    return _limit_shape(body, "max_completion_tokens") or _limit_shape(body, "max_tokens")


def _responses_shape(body: dict[str, object]) -> Answer | None:
    if not isinstance(body.get("input"), str | list) or not body.get("input"):
        return inference_error(400, "input must be text or a list of items", "invalid_type", "input")
    return _limit_shape(body, "max_output_tokens")


def _images_shape(body: dict[str, object]) -> Answer | None:
    if not _text(body, "prompt"):
        return inference_error(400, "prompt is required", "missing_required_parameter", "prompt")
    count = body.get("n", 1)
    if not isinstance(count, int) or not 1 <= count <= IMAGES_MAX:
        return inference_error(400, f"n must be from 1 to {IMAGES_MAX}", "invalid_value", "n")
    return None


def _invoke_shape(body: dict[str, object]) -> Answer | None:
    if not isinstance(body.get("input"), dict):
        return inference_error(400, "input must be an object", "invalid_type", "input")
    return None


def _limit_shape(body: dict[str, object], field: str) -> Answer | None:
    limit = body.get(field)
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        return inference_error(400, f"{field} must be a whole number above 0", "invalid_value", field)
    return None


_SHAPES: Final = {
    "chat": _chat_shape,
    "responses": _responses_shape,
    "images": _images_shape,
    "invoke": _invoke_shape,
}


def _text(body: dict[str, object], field: str) -> str:
    value = body.get(field)
    return value if isinstance(value, str) else ""


def _models(caller: Caller) -> Answer:
    data = [
        {"id": name, "object": "model", "created": 1735689600, "owned_by": model.owner}
        for name, model in MODELS.items()
        if name in caller.models
    ]
    return Answer(200, {"object": "list", "data": data})


def _job(state: State, caller: Caller, call: Call, now: float) -> Answer:
    job = state.jobs.get(call.subject)
    if job is None or job.uuid != caller.uuid:
        return inference_error(404, "No such request.", "not_found")
    view = completions.job_view(job, now)
    if call.path.endswith("/status"):
        del view["output"]
    return Answer(200, view)
