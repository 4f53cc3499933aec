"""Requests and answers as plain values, and the error bodies of the two APIs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

CONTROL_OPS: Final = ("list", "create", "rename", "regenerate", "delete", "account")
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
    except ValueError:
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
_INFERENCE_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def control_error(status: int, message: str) -> Answer:
    """Give an error as the control API words it; the request id is added when it is sent."""
    return Answer(status, {"id": _CONTROL_IDS.get(status, "server_error"), "message": message})


def inference_error(status: int, message: str, code: str | None = None, param: str | None = None) -> Answer:
    """Give an error in the shape that OpenAI clients read."""
    kind = _INFERENCE_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004
    return Answer(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def error(call: Call, status: int, message: str) -> Answer:
    """Give an error in the shape of the API that was called."""
    return inference_error(status, message) if call.is_inference else control_error(status, message)


def rfc3339(moment: float) -> str:
    """Write Unix seconds as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(moment: float) -> str:
    """Write Unix seconds as an HTTP date."""
    return format_datetime(datetime.fromtimestamp(int(moment), UTC), usegmt=True)
