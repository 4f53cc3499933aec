"""The inference API: is a secret accepted, and does a model answer to it? Never an exception: the answer tells.

What an answer stands for (measured by status, error code and wording, since OpenAI-compatible servers differ):

    401                                            UNAUTHORIZED
    402, 429, 403 about billing, quota or credit   QUOTA
    403 about a VPC, any other 403 of /v1/models   UNREACHABLE: the key may be good, only not from here
    400, 404, 405, 422 naming another endpoint     WRONG_API; so does a bare 405
    other 403, 404 of a completion; 400 or 422
      about the model                              MODEL_DENIED
    all else                                       UNREACHABLE

A 403 of `/v1/models` is not UNAUTHORIZED on purpose: a VPC-bound key is refused from outside its VPC, and to call it
refused would make keyturn heal, by rotating, a key that works.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from keyturn import __version__
from keyturn.digitalocean.http import Answer, HttpClient, sendable
from keyturn.digitalocean.redact import redact
from keyturn.digitalocean.wire import Completion, InferenceError, ModelList, Wire, parse
from keyturn.errors import ApiError
from keyturn.model import Api, Timing, WireAnswer, WireKind
from keyturn.secret import Secret

TOKENS = 16
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
_BILLING = re.compile(r"billing|quota|credit|payment|past due|insufficient_funds|balance")
_VPC = re.compile(r"\bvpc")
_ENDPOINT = re.compile(r"v1/(?:chat/)?completions|v1/responses|chat completions?|responses api|chat model|endpoint")
_MISPLACED = re.compile(
    r"not (?:a )?(?:chat|supported|available)|does(?: not|n't) (?:support|answer)|unsupported|"
    r"unknown[ _](?:request )?url|only (?:supported|available)|did you mean"
)
_ABOUT_MODEL = re.compile(
    r"model_not|unsupported_model|unknown model|model.{0,120}(?:not (?:found|exist|supported|allowed)|no access)"
)
_OUT_OF_TOKENS = re.compile(r"(?:max_(?:completion_|output_)?tokens|output limit).{0,60}reached")
_NEWER_NAME = "max_completion_tokens"


class InferenceApi:
    """The two calls of the smoke-check, each on a fresh connection; safe to share by threads."""

    def __init__(
        self,
        url: str,
        *,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        user_agent: str = f"keyturn/{__version__}",
    ) -> None:
        """Prepare; nothing is sent. Raises InputError on a bad URL."""
        self._http = HttpClient(url, seconds=timing.request, user_agent=user_agent)

    def close(self) -> None:
        """Close the client."""
        self._http.close()

    def models(self, secret: Secret) -> WireAnswer:
        """GET /v1/models: OK with the model ids as the server wrote them, however strange."""
        answer = self._send("GET", "/v1/models", secret, None)
        if isinstance(answer, WireAnswer):
            return answer
        if answer.status == HTTPStatus.OK:
            listed = parse(ModelList, answer.body)
            if listed is None:
                return WireAnswer(WireKind.UNREACHABLE, (), "HTTP 200 that is no list of models", answer.seconds)
            return WireAnswer(WireKind.OK, tuple(model.id for model in listed.data), "", answer.seconds)
        return _told(answer, models_kind(answer.status, _error(answer).words), secret)

    def complete(self, secret: Secret, model: str, api: Api) -> WireAnswer:
        """Ask `model` for at most 16 tokens; the text is not even parsed."""
        if api is Api.RESPONSES:
            body: dict[str, object] = {"model": model, "input": "ping", "max_output_tokens": TOKENS, "store": False}
            return self._judge(self._send("POST", RESPONSES, secret, body), secret)
        chat = {"model": model, "messages": [{"role": "user", "content": "ping"}]}
        answer = self._send("POST", CHAT, secret, {**chat, _NEWER_NAME: TOKENS})
        if isinstance(answer, Answer) and _wants_older_name(answer):
            answer = self._send("POST", CHAT, secret, {**chat, "max_tokens": TOKENS})
        return self._judge(answer, secret)

    def _judge(self, answer: Answer | WireAnswer, secret: Secret) -> WireAnswer:
        if isinstance(answer, WireAnswer):
            return answer
        if _completed(answer):
            return WireAnswer(WireKind.OK, (), "", answer.seconds)
        return _told(answer, completion_kind(answer.status, _error(answer).words), secret)

    def _send(self, method: str, path: str, secret: Secret, body: dict[str, object] | None) -> Answer | WireAnswer:
        if not sendable(secret):
            return WireAnswer(WireKind.UNAUTHORIZED, (), "not sent: it has characters that no header can carry")
        try:
            return self._http.send(method, path, secret, body=body)
        except ApiError as error:
            return WireAnswer(WireKind.UNREACHABLE, (), str(error))


def models_kind(status: int, words: str) -> WireKind:
    """PURE: what an answer of `/v1/models` other than 200 stands for; `words` is what the error says, in lower case."""
    if status == HTTPStatus.UNAUTHORIZED:
        return WireKind.UNAUTHORIZED
    return WireKind.QUOTA if _is_quota(status, words) else WireKind.UNREACHABLE


def completion_kind(status: int, words: str) -> WireKind:
    """PURE: what a failed completion stands for; `words` is what the error says, in lower case."""
    if status == HTTPStatus.UNAUTHORIZED:
        return WireKind.UNAUTHORIZED
    if _is_quota(status, words):
        return WireKind.QUOTA
    if status == HTTPStatus.FORBIDDEN and _VPC.search(words):
        return WireKind.UNREACHABLE
    about_endpoint = _ENDPOINT.search(words) and _MISPLACED.search(words)
    if status == HTTPStatus.METHOD_NOT_ALLOWED or (status in {400, 404, 422} and about_endpoint):
        return WireKind.WRONG_API
    if status in {403, 404} or (status in {400, 422} and _ABOUT_MODEL.search(words)):
        return WireKind.MODEL_DENIED
    return WireKind.UNREACHABLE


def _is_quota(status: int, words: str) -> bool:
    return status in {402, 429} or (status == HTTPStatus.FORBIDDEN and bool(_BILLING.search(words)))


def _completed(answer: Answer) -> bool:
    """Whether a model worked: a completion, or a 400 that says its thinking used up the tokens."""
    if answer.status == HTTPStatus.OK:
        completion = parse(Completion, answer.body)
        return completion is not None and completion.answered
    return answer.status == HTTPStatus.BAD_REQUEST and bool(_OUT_OF_TOKENS.search(_error(answer).words))


def _wants_older_name(answer: Answer) -> bool:
    return answer.status in {400, 422} and not _completed(answer) and _NEWER_NAME in _error(answer).words


def _error(answer: Answer) -> InferenceError:
    return parse(InferenceError, answer.body) or InferenceError()


def _told(answer: Answer, kind: WireKind, secret: Secret) -> WireAnswer:
    text = redact(_error(answer).text, secret)
    if not text and parse(Wire, answer.body) is None:
        text = "no JSON"
    return WireAnswer(kind, (), f"HTTP {answer.status}: {text}" if text else f"HTTP {answer.status}", answer.seconds)
