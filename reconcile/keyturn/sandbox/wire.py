"""Requests and answers as plain values, and the error bodies of the two APIs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Final

CONTROL_OPS: Final = ("list", "create", "rename", "regenerate", "delete", "account", "prepayment")
INFERENCE_OPS: Final = ("models", "chat", "responses", "images", "invoke", "invoke-status")
MUTATING: Final = frozenset({"create", "rename", "regenerate", "delete"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `op` is empty for a path that neither API has; `subject` is the uuid or job id in the path."""

    op: str
    verb: str
    path: str
    base_url: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    bearer: str = ""
    subject: str = ""
    body: bytes = b""

    @property
    def is_inference(self) -> bool:
        """Whether the request is for the inference API, whose errors have another shape."""
        return self.path.startswith("/v1/")

    @property
    def is_mutating(self) -> bool:
        """Whether the request may change a key."""
        return self.op in MUTATING


@dataclass(frozen=True, slots=True)
class Answer:
    """What the account answers: a status, a JSON object, and further headers."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)

    def dressed(self, request_id: str, headers: Mapping[str, str]) -> Answer:
        """Give the answer as the control API sends it: an error with its request id, all with the limits."""
        body = {**self.body, "request_id": request_id} if "id" in self.body and request_id else self.body
        return Answer(self.status, body, {**self.headers, **headers})


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes over the wire: `status` None means that the connection is dropped; `wait` is in real seconds."""

    status: int | None
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0


def render(answer: Answer) -> Reply:
    """Write an answer as JSON bytes."""
    headers = {"content-type": "application/json", **answer.headers}
    return Reply(answer.status, json.dumps(answer.body).encode(), headers)


def json_object(body: bytes) -> dict[str, object] | None:
    """Parse a request body; None if it is no JSON object."""
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):  # no JSON, or nested deeper than any parser goes
        return None
    return parsed if isinstance(parsed, dict) else None


_CONTROL_IDS: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    410: "gone",
    422: "unprocessable_entity",
    429: "too_many_requests",
}
_OPENAI_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    429: "rate_limit_error",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the inference API does not do it, not yet in one of the two shapes that it may have on the wire.

    code, param: told in the shape of OpenAI alone. kind: the `type` there; given, it and the message are all of it.
    """

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    kind: str = ""

    def answer(self, *, openai: bool) -> Answer:
        """Give the documented `{id, message}`, or the `{error: {…}}` that OpenAI clients expect."""
        if not openai:
            return Answer(self.status, {"id": _inference_id(self.status), "message": self.message})
        if self.kind:
            return Answer(self.status, {"error": {"type": self.kind, "message": self.message}})
        usual = "server_error" if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        kind = _OPENAI_TYPES.get(self.status, usual)
        fault = {"message": self.message, "type": kind, "code": self.code, "param": self.param}
        return Answer(self.status, {"error": fault})


def control_error(status: int, message: str) -> Answer:
    """Give an error as the control API words it; the request id is added when it is sent."""
    return Answer(status, {"id": _CONTROL_IDS.get(status, "server_error"), "message": message})


def error(call: Call, status: int, message: str, *, openai: bool = False) -> Answer:
    """Give an error in the shape of the API that was called; `openai` is about inference only."""
    return Refusal(status, message).answer(openai=openai) if call.is_inference else control_error(status, message)


def _inference_id(status: int) -> str:
    """Write the name of a status as one word: `Unauthorized`, `PaymentRequired`, `NotFound`."""
    try:
        return "".join(word.capitalize() for word in HTTPStatus(status).phrase.replace("-", " ").split())
    except ValueError:  # a status without a name, which a fault may ask for
        return "ServerError" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "BadRequest"


def rfc3339(moment: float) -> str:
    """Write Unix seconds as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(moment: float) -> str:
    """Write Unix seconds as an HTTP date."""
    return format_datetime(datetime.fromtimestamp(int(moment), UTC), usegmt=True)
