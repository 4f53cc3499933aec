"""Requests and answers as plain values, and the error bodies of both APIs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

APP_OPS: Final = ("apps", "app", "update-app", "propose-app", "deployments")
SECRET_OPS: Final = ("secret-list", "secret-create", "secret-read", "secret-update", "secret-delete")
PER_PAGE: Final = 20
PER_PAGE_MAX: Final = 200
KEY_OPS: Final = ("list", "create", "rename", "regenerate", "delete", "account", "prepayment")
CONTROL_OPS: Final = (*KEY_OPS, *APP_OPS, *SECRET_OPS)
INFERENCE_OPS: Final = ("models", "chat", "responses", "images", "invoke", "invoke-status")
MUTATING: Final = frozenset({"create", "rename", "regenerate", "delete", "update-app"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `op` is empty for an unknown path; `subject` is the id in the path, of a key, an app or a job."""

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
        """Whether the request is for the inference API, whose errors have another format."""
        return self.path.startswith("/v1/")

    @property
    def is_mutating(self) -> bool:
        """Whether the request may change a key or an app."""
        return self.op in MUTATING


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the account: a status, a JSON object, and further headers."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)

    def dressed(self, request_id: str, headers: Mapping[str, str]) -> Answer:
        """Return the answer as the control API sends it, with the limits, and with the request id if it is an error."""
        body = {**self.body, "request_id": request_id} if "id" in self.body and request_id else self.body
        return Answer(self.status, body, {**self.headers, **headers})


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply on the wire. `status` None means that the connection is dropped; `wait` is in real seconds."""

    status: int | None
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0


def render(answer: Answer) -> Reply:
    """Write an answer as JSON bytes; one without content has none."""
    if answer.status == HTTPStatus.NO_CONTENT:
        return Reply(answer.status, b"", answer.headers)
    headers = {"content-type": "application/json", **answer.headers}
    return Reply(answer.status, json.dumps(answer.body).encode(), headers)


def json_object(body: bytes) -> dict[str, object] | None:
    """Parse a request body. Return None if it is not a JSON object."""
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, or nested too deeply for a parser
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
    """A refusal of the inference API, before it is rendered in one of the two formats.

    code, param: used only in OpenAI's format. kind: the `type` there; if given, the body has only it and the message.
    """

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    kind: str = ""

    def answer(self, *, openai: bool) -> Answer:
        """Return the documented `{id, message}`, or the `{error: {…}}` that OpenAI clients expect."""
        if not openai:
            return Answer(self.status, {"id": _inference_id(self.status), "message": self.message})
        if self.kind:
            return Answer(self.status, {"error": {"type": self.kind, "message": self.message}})
        usual = "server_error" if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        kind = _OPENAI_TYPES.get(self.status, usual)
        fault = {"message": self.message, "type": kind, "code": self.code, "param": self.param}
        return Answer(self.status, {"error": fault})


def control_error(status: int, message: str) -> Answer:
    """Return an error in the format of the control API. The request id is added when it is sent."""
    return Answer(status, {"id": _CONTROL_IDS.get(status, "server_error"), "message": message})


def paged(call: Call, name: str, items: Sequence[object], path: str) -> Answer:
    """Return the page of a list that the query asks for, as the control API does."""
    page = _positive(call.query.get("page", "1"))
    per_page = _positive(call.query.get("per_page", str(PER_PAGE)))
    if page is None or per_page is None:
        return control_error(422, "page and per_page are whole numbers from 1")
    per_page = min(per_page, PER_PAGE_MAX)
    pages = max(1, -(-len(items) // per_page))
    numbers: dict[str, int] = {}
    if page > 1:
        numbers |= {"first": 1, "previous": min(page - 1, pages)}
    if page < pages:
        numbers |= {"next": page + 1, "last": pages}
    links = {
        label: f"{call.base_url}{path}?{urlencode({'page': number, 'per_page': per_page})}"
        for label, number in numbers.items()
    }
    return Answer(
        200,
        {
            name: items[(page - 1) * per_page : page * per_page],
            "links": {"pages": links},
            "meta": {"page": page, "pages": pages, "total": len(items)},
        },
    )


def _positive(text: str) -> int | None:
    # Nine digits are enough. The limits protect `int` from very long input and non-ASCII digits.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0 else None  # noqa: PLR2004


def error(call: Call, status: int, message: str, *, openai: bool = False) -> Answer:
    """Return an error in the format of the API that was called. `openai` affects only inference."""
    return Refusal(status, message).answer(openai=openai) if call.is_inference else control_error(status, message)


def _inference_id(status: int) -> str:
    """Write the name of a status as one word: `Unauthorized`, `PaymentRequired`, `NotFound`."""
    try:
        return "".join(word.capitalize() for word in HTTPStatus(status).phrase.replace("-", " ").split())
    except ValueError:  # a status without a name, as a fault may request
        return "ServerError" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "BadRequest"


def rfc3339(moment: float) -> str:
    """Write Unix seconds as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(moment: float) -> str:
    """Write Unix seconds as an HTTP date."""
    return format_datetime(datetime.fromtimestamp(int(moment), UTC), usegmt=True)
