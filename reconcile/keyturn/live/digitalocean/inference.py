"""The inference API: tests whether a secret is accepted and whether a model answers. Errors become verdicts.

The verdict depends on status, error code and wording, because OpenAI-compatible servers differ. An error is read both
as `{"id", "message"}` and as `{"error": {"type", "message", "code"}}`:

    401                                            UNAUTHORIZED; BALANCE if it names the prepaid balance
    402, 403 about billing, credit or balance      BALANCE
    429, 403 about a quota                         QUOTA
    403 about a VPC, any other 403 of /v1/models   VPC: the key may be valid, but not from here
    403 about a tier, or of type forbidden_error   TIER
    other 403 of a completion                      MODEL_DENIED
    400, 404, 405, 422 naming another endpoint     WRONG_API; so does a bare 405
    404 of a completion; 400 or 422 about the
      model                                        MODEL; MODEL_DENIED if it only says that the key may not use it
    any other answer                               UNREACHABLE

Only a 401 is UNAUTHORIZED. A VPC-bound key gets 403 outside its VPC. If that counted as refused, keyturn would rotate a
key that works.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from keyturn import __version__
from keyturn.core.errors import ApiError
from keyturn.core.model import Api, Timing, WireAnswer, WireKind
from keyturn.core.secret import Secret, is_account_token, sendable
from keyturn.live.digitalocean.http import Answer, HttpClient
from keyturn.live.digitalocean.redact import redact, shows_credential
from keyturn.live.digitalocean.wire import Completion, InferenceError, ModelList, Wire, parse

TOKENS = 16
COMPLETION_TOKENS = 256
"""The minimum of `max_completion_tokens` in the API's description. It states none for `max_tokens`."""
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
_TIER = re.compile(r"(?<![a-z])tiers?(?![a-z])")
_SUBSCRIPTION = re.compile(r"subscription[ _]tier")
_BALANCE = re.compile(r"billing|credit|payment|past due|insufficient_funds|(?<![a-z])balance(?![a-z])|prepaid")
_PREPAID = re.compile(r"(?<![a-z])balance(?![a-z])|prepa(?:id|y)|insufficient[ _](?:credit|fund)")
_QUOTA = re.compile(r"quota|rate limit")
_VPC = re.compile(r"\bvpc")
_FORBIDDEN = (
    (_VPC, WireKind.VPC),
    (_SUBSCRIPTION, WireKind.TIER),
    (_QUOTA, WireKind.QUOTA),
    (_BALANCE, WireKind.BALANCE),
    (_TIER, WireKind.TIER),
)
"""The subject of a 403, the most specific words first."""
_ENDPOINT = re.compile(r"v1/(?:chat/)?completions|v1/responses|chat completions?|responses api|chat model|endpoint")
_MISPLACED = re.compile(
    r"not (?:a )?(?:chat|supported|available)|does(?: not|n't) (?:support|answer)|unsupported|"
    r"unknown[ _](?:request )?url|only (?:supported|available)|did you mean"
)
_ABOUT_MODEL = re.compile(
    r"model_not|unsupported_model|unknown model|model.{0,120}(?:not (?:found|exist|supported|allowed)|no access)"
)
_NO_MODEL = re.compile(r"not (?:found|exist)|model_not_found|unknown model|retired|deprecated")
_NOT_FOR_KEY = re.compile(r"may not (?:use|access)|not[ _]allowed|not permitted|permission|no access")
_OUT_OF_TOKENS = re.compile(r"(?:max_(?:completion_|output_)?tokens|output limit).{0,60}reached")
_LIMIT = re.compile(r"max[ _](?:completion[ _]|output[ _])?tokens|token limit")


class InferenceApi:
    """The two calls of the smoke-check, each on a new connection. Thread-safe."""

    def __init__(
        self,
        url: str,
        *,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        proxy: str = "",
        user_agent: str = f"keyturn/{__version__}",
    ) -> None:
        """Prepare. Nothing is sent. Raises InputError for an invalid URL or proxy."""
        self._http = HttpClient(url, seconds=timing.request, user_agent=user_agent, proxy=proxy)

    def close(self) -> None:
        """Close the client."""
        self._http.close()

    def models(self, secret: Secret) -> WireAnswer:
        """Call GET /v1/models. Return OK with the model ids exactly as the server sent them."""
        answer = self._send("GET", "/v1/models", secret, None)
        if isinstance(answer, WireAnswer):
            return answer
        if answer.status == HTTPStatus.OK:
            listed = parse(ModelList, answer.body)
            if listed is None:
                return WireAnswer(WireKind.UNREACHABLE, (), "HTTP 200 without a list of models", answer.seconds)
            return WireAnswer(WireKind.OK, _ids(listed, secret), "", answer.seconds)
        return _told(answer, models_kind(answer.status, _error(answer).words), secret)

    def complete(self, secret: Secret, model: str, api: Api) -> WireAnswer:
        """Ask `model` for 16 tokens, or for the fewest that it accepts. The text is not parsed."""
        if api is Api.RESPONSES:
            body: dict[str, object] = {"model": model, "input": "ping", "max_output_tokens": TOKENS, "store": False}
            return self._judge(self._send("POST", RESPONSES, secret, body), secret)
        chat = {"model": model, "messages": [{"role": "user", "content": "ping"}]}
        answer = self._send("POST", CHAT, secret, {**chat, "max_tokens": TOKENS})
        if isinstance(answer, Answer) and _wants_another_limit(answer):
            answer = self._send("POST", CHAT, secret, {**chat, "max_completion_tokens": COMPLETION_TOKENS})
        return self._judge(answer, secret)

    def _judge(self, answer: Answer | WireAnswer, secret: Secret) -> WireAnswer:
        if isinstance(answer, WireAnswer):
            return answer
        if _completed(answer):
            return WireAnswer(WireKind.OK, (), "", answer.seconds)
        return _told(answer, completion_kind(answer.status, _error(answer).words), secret)

    def _send(self, method: str, path: str, secret: Secret, body: dict[str, object] | None) -> Answer | WireAnswer:
        if is_account_token(secret):
            return WireAnswer(WireKind.UNAUTHORIZED, (), "not sent: it is an account token")
        if not sendable(secret.reveal()):
            return WireAnswer(WireKind.UNAUTHORIZED, (), "not sent: it has characters that are not allowed in a header")
        try:
            return self._http.send(method, path, secret, body=body)
        except ApiError as error:
            return WireAnswer(WireKind.UNREACHABLE, (), str(error))


def models_kind(status: int, words: str) -> WireKind:
    """PURE: return the verdict for a failed `/v1/models`. `words` is the error's text in lower case."""
    return _of_account(status, words) or (WireKind.VPC if status == HTTPStatus.FORBIDDEN else WireKind.UNREACHABLE)


def completion_kind(status: int, words: str) -> WireKind:
    """PURE: return the verdict for a failed completion. `words` is the error's text in lower case."""
    if kind := _of_account(status, words):
        return kind
    if status == HTTPStatus.FORBIDDEN:
        return WireKind.TIER if "forbidden_error" in words and not _NOT_FOR_KEY.search(words) else WireKind.MODEL_DENIED
    about_endpoint = _ENDPOINT.search(words) and _MISPLACED.search(words)
    if status == HTTPStatus.METHOD_NOT_ALLOWED or (status in {400, 404, 422} and about_endpoint):
        return WireKind.WRONG_API
    if status == HTTPStatus.NOT_FOUND or (status in {400, 422} and _ABOUT_MODEL.search(words)):
        denied = _NOT_FOR_KEY.search(words) and not _NO_MODEL.search(words)
        return WireKind.MODEL_DENIED if denied else WireKind.MODEL
    return WireKind.UNREACHABLE


def _of_account(status: int, words: str) -> WireKind | None:
    """Return the verdict on the secret or its account, or None if the answer is about something else."""
    match status:
        case 401:
            return WireKind.UNPAID if _PREPAID.search(words) else WireKind.UNAUTHORIZED
        case 402:
            return WireKind.BALANCE
        case 429:
            return WireKind.QUOTA
        case 403:
            return next((kind for said, kind in _FORBIDDEN if said.search(words)), None)
        case _:
            return None


def _ids(listed: ModelList, secret: Secret) -> tuple[str, ...]:
    """Return the ids of models. Omit ids that contain the secret or something that looks like one."""
    return tuple(model.id for model in listed.data if not shows_credential(model.id, secret))


def _completed(answer: Answer) -> bool:
    """Whether a model worked: a completion, or a 400 because its reasoning used up the tokens."""
    if answer.status == HTTPStatus.OK:
        completion = parse(Completion, answer.body)
        return completion is not None and completion.answered
    return answer.status == HTTPStatus.BAD_REQUEST and bool(_OUT_OF_TOKENS.search(_error(answer).words))


def _wants_another_limit(answer: Answer) -> bool:
    """Tell whether a server rejects the parameter for the token limit."""
    return answer.status in {400, 422} and not _completed(answer) and bool(_LIMIT.search(_error(answer).words))


def _error(answer: Answer) -> InferenceError:
    return parse(InferenceError, answer.body) or InferenceError()


def _told(answer: Answer, kind: WireKind, secret: Secret) -> WireAnswer:
    text = redact(_error(answer).text, secret)
    if not text and parse(Wire, answer.body) is None:
        text = "not JSON"
    return WireAnswer(kind, (), f"HTTP {answer.status}: {text}" if text else f"HTTP {answer.status}", answer.seconds)
