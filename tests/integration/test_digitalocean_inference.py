"""The inference API: every answer of a server, however strange, is of a known kind, and never an exception."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from keyturn.core.model import Api, Timing, WireKind
from keyturn.core.secret import Secret
from keyturn.live.digitalocean import InferenceApi
from keyturn.live.digitalocean.inference import completion_kind, models_kind
from keyturn.sandbox import Sandbox
from tests.support.raw_http import RawServer, reply

SECRET = Secret("sk-do-" + "x" * 64)
CHAT = reply(200, json.dumps({"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}))


def api(url: str, seconds: float = 5) -> InferenceApi:
    """An inference API with a deadline of `seconds`."""
    return InferenceApi(url, timing=Timing(request=seconds))


def failure(status: int, message: str, code: str = "", param: str = "") -> bytes:
    """An error as OpenAI-compatible servers write it."""
    return reply(status, json.dumps({"error": {"message": message, "type": "x", "code": code or None, "param": param}}))


def flat(status: int, name: str, message: str) -> bytes:
    """An error as the API description has it."""
    return reply(status, json.dumps({"id": name, "message": message, "request_id": "r"}))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A DigitalOcean."""
    with Sandbox(seed=1) as server:
        yield server


def test_the_models_of_a_key_are_listed(sandbox: Sandbox) -> None:
    """A key limited to one model sees this one; the time to the answer is measured."""
    key = sandbox.panel_create("one", ["llama3.3-70b-instruct"])
    answer = api(sandbox.url).models(Secret(key.secret))
    assert (answer.kind, answer.models) == (WireKind.OK, ("llama3.3-70b-instruct",))
    assert answer.seconds > 0


@pytest.mark.parametrize(
    ("model", "call", "kind"),
    [
        ("llama3.3-70b-instruct", Api.CHAT, WireKind.OK),
        ("llama3.3-70b-instruct", Api.RESPONSES, WireKind.OK),
        ("openai-gpt-oss-20b", Api.CHAT, WireKind.OK),
        ("openai-gpt-oss-20b", Api.RESPONSES, WireKind.OK),
        ("openai-gpt-5-pro", Api.CHAT, WireKind.WRONG_API),
        ("openai-gpt-5-pro", Api.RESPONSES, WireKind.OK),
        ("anthropic-claude-haiku-4.5", Api.RESPONSES, WireKind.WRONG_API),
        ("no-such-model", Api.CHAT, WireKind.MODEL),
    ],
)
def test_completions_of_the_sandbox(sandbox: Sandbox, model: str, call: Api, kind: WireKind) -> None:
    """Models answer on the calls they know, with an empty text too; the others are told apart."""
    key = sandbox.panel_create("one")
    assert api(sandbox.url).complete(Secret(key.secret), model, call).kind is kind


@pytest.mark.parametrize("denied", [403, 404])
def test_a_model_outside_the_scope_is_denied(denied: int) -> None:
    """403 or 404 with the model's name: the key is right, the model is not for it."""
    with Sandbox(seed=1, denied=denied) as sandbox:
        key = sandbox.panel_create("one", ["openai-gpt-oss-20b"])
        answer = api(sandbox.url).complete(Secret(key.secret), "llama3.3-70b-instruct", Api.CHAT)
    assert answer.kind is WireKind.MODEL_DENIED
    assert "llama3.3-70b-instruct" in answer.detail


@pytest.mark.parametrize(
    ("quota", "kind"),
    [("exceeded", WireKind.QUOTA), ("unpaid", WireKind.BALANCE), ("blocked", WireKind.BALANCE)],
)
def test_quota_and_billing_are_not_the_key(quota: str, kind: WireKind) -> None:
    """429 is the quota; 402, and 403 about billing, are the balance."""
    with Sandbox(seed=1, quota=quota) as sandbox:
        key = sandbox.panel_create("one")
        answer = api(sandbox.url).complete(Secret(key.secret), "llama3.3-70b-instruct", Api.CHAT)
    assert answer.kind is kind


def test_an_unknown_secret_is_unauthorized(sandbox: Sandbox) -> None:
    """401, for the list and the completion."""
    inference = api(sandbox.url)
    assert inference.models(SECRET).kind is WireKind.UNAUTHORIZED
    assert inference.complete(SECRET, "llama3.3-70b-instruct", Api.CHAT).kind is WireKind.UNAUTHORIZED


def test_a_key_of_a_vpc_is_told_from_outside(sandbox: Sandbox) -> None:
    """It is not called refused: to rotate it would heal nothing."""
    key = sandbox.panel_create("one", vpc=True)
    inference = api(sandbox.url)
    assert inference.models(Secret(key.secret)).kind is WireKind.VPC
    assert inference.complete(Secret(key.secret), "llama3.3-70b-instruct", Api.CHAT).kind is WireKind.VPC


def test_what_is_sent() -> None:
    """The documented paths and tiny bodies; the responses API is told to store nothing."""
    done = reply(200, '{"output": [], "status": "incomplete"}')
    with RawServer(reply(200, '{"data": []}'), CHAT, done) as server:
        inference = api(server.url)
        kinds = [
            inference.models(SECRET).kind,
            inference.complete(SECRET, "m", Api.CHAT).kind,
            inference.complete(SECRET, "m", Api.RESPONSES).kind,
        ]
        sent = [request.decode() for request in server.requests]
    assert kinds == [WireKind.OK] * 3
    assert [request.partition(" HTTP")[0] for request in sent] == [
        "GET /v1/models",
        "POST /v1/chat/completions",
        "POST /v1/responses",
    ]
    assert json.loads(sent[1].partition("\r\n\r\n")[2]) == {
        "model": "m",
        "messages": [{"role": "user", "content": "ping"}],
        "max_tokens": 16,
    }
    assert json.loads(sent[2].partition("\r\n\r\n")[2]) == {
        "model": "m",
        "input": "ping",
        "max_output_tokens": 16,
        "store": False,
    }
    assert all(f"Authorization: Bearer {SECRET.reveal()}" in request for request in sent)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    "words",
    [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens must be at least 256",
        "Invalid max completion tokens",
    ],
)
@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_a_server_that_wants_another_limit_gets_it(status: int, words: str, shape: str) -> None:
    """What complains about max_tokens is asked again with the least max_completion_tokens that is allowed."""
    complaint = failure(status, words) if shape == "nested" else flat(status, "bad_request", words)
    with RawServer(complaint, CHAT) as server:
        assert api(server.url).complete(SECRET, "m", Api.CHAT).kind is WireKind.OK
        first, second = (json.loads(sent.partition(b"\r\n\r\n")[2]) for sent in server.requests)
    assert (first["max_tokens"], second["max_completion_tokens"]) == (16, 256)
    assert "max_completion_tokens" not in first
    assert "max_tokens" not in second


def test_a_server_that_likes_neither_limit_is_asked_twice_only() -> None:
    """The other limit is tried once; a 400 never judges the key."""
    with RawServer(failure(400, "Unsupported parameter: max_completion_tokens")) as server:
        assert api(server.url).complete(SECRET, "m", Api.CHAT).kind is WireKind.UNREACHABLE
        assert len(server.requests) == 2


def test_a_model_that_thought_its_tokens_away_has_answered() -> None:
    """Some reasoning models answer 400 when 16 tokens were not enough for a word: the key and the model work."""
    spent = failure(400, "Could not finish: max_tokens or model output limit was reached.")
    with RawServer(spent) as server:
        assert api(server.url).complete(SECRET, "m", Api.CHAT).kind is WireKind.OK
        assert len(server.requests) == 1


TABLE = [
    (401, "Unauthorized", "Unable to authenticate you", WireKind.UNAUTHORIZED, WireKind.UNAUTHORIZED),
    (402, "payment_required", "Add balance to go on", WireKind.BALANCE, WireKind.BALANCE),
    (403, "Forbidden", "You are not authorized to perform this operation", WireKind.VPC, WireKind.MODEL_DENIED),
    (403, "forbidden", "This model is not in your subscription tier", WireKind.TIER, WireKind.TIER),
    (403, "forbidden", "Billing of this account is suspended", WireKind.BALANCE, WireKind.BALANCE),
    (404, "not_found", "Model m not found", WireKind.UNREACHABLE, WireKind.MODEL),
    (429, "too_many_requests", "Too many requests", WireKind.QUOTA, WireKind.QUOTA),
    (500, "server_error", "Unexpected server-side error", WireKind.UNREACHABLE, WireKind.UNREACHABLE),
]


@pytest.mark.parametrize(("status", "name", "message", "listed", "completed"), TABLE)
def test_the_table_in_both_shapes_of_an_error(
    status: int, name: str, message: str, listed: WireKind, completed: WireKind
) -> None:
    """What a list and a completion stand for, whether the error is flat or nested, and the sentence is kept."""
    nested = reply(status, json.dumps({"error": {"type": name, "message": message, "code": None}}))
    for answer in (flat(status, name, message), nested):
        with RawServer(answer) as server:
            inference = api(server.url)
            assert inference.models(SECRET).kind is listed
            found = inference.complete(SECRET, "m", Api.CHAT)
        assert (found.kind, found.detail) == (completed, f"HTTP {status}: {message}")


def test_a_tier_is_told_by_the_type_of_the_error() -> None:
    """As real accounts have seen it."""
    error = {"error": {"type": "forbidden_error", "message": "Not available for your subscription tier."}}
    with RawServer(reply(403, json.dumps(error))) as server:
        assert api(server.url).complete(SECRET, "m", Api.CHAT).kind is WireKind.TIER


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (401, "", WireKind.UNAUTHORIZED),
        (401, "incorrect api key provided", WireKind.UNAUTHORIZED),
        (401, "your prepaid balance is used up", WireKind.UNPAID),
        (401, "unauthorized by the load balancer", WireKind.UNAUTHORIZED),
        (402, "", WireKind.BALANCE),
        (403, "your credit balance is too low", WireKind.BALANCE),
        (403, "billing is suspended for model m", WireKind.BALANCE),
        (403, "the quota of this model is used up", WireKind.QUOTA),
        (403, "", WireKind.MODEL_DENIED),
        (403, "this key may not use model m forbidden_error", WireKind.MODEL_DENIED),
        (403, "forbidden_error", WireKind.TIER),
        (403, "not available for your subscription tier, see billing", WireKind.TIER),
        (403, "model m needs tier 2", WireKind.TIER),
        (403, "this key works inside its vpc only", WireKind.VPC),
        (404, "", WireKind.MODEL),
        (404, "this model access key may not use the model m", WireKind.MODEL_DENIED),
        (404, "the model `m` does not exist or you do not have access to it model_not_found", WireKind.MODEL),
        (
            404,
            "this is not a chat model and thus not supported in the v1/chat/completions endpoint",
            WireKind.WRONG_API,
        ),
        (404, "only supported in v1/responses and not in v1/chat/completions", WireKind.WRONG_API),
        (400, "model 'm' is not supported with the responses api model_not_found", WireKind.WRONG_API),
        (400, "/v1/chat/completions is not supported, use /v1/responses", WireKind.WRONG_API),
        (404, "unknown request url: post /v1/responses unknown_url", WireKind.WRONG_API),
        (405, "", WireKind.WRONG_API),
        (400, "the requested model is not supported model_not_supported", WireKind.MODEL),
        (422, "unknown model m", WireKind.MODEL),
        (400, "unauthorized", WireKind.UNREACHABLE),
        (400, "something else", WireKind.UNREACHABLE),
        (408, "", WireKind.UNREACHABLE),
        (429, "", WireKind.QUOTA),
        (302, "", WireKind.UNREACHABLE),
        (500, "model_not_found", WireKind.UNREACHABLE),
        (503, "", WireKind.UNREACHABLE),
    ],
)
def test_what_a_failed_completion_stands_for(status: int, words: str, kind: WireKind) -> None:
    """By status first, then by what OpenAI-compatible servers are known to say."""
    assert completion_kind(status, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (401, "", WireKind.UNAUTHORIZED),
        (402, "", WireKind.BALANCE),
        (403, "", WireKind.VPC),
        (403, "forbidden", WireKind.VPC),
        (403, "billing", WireKind.BALANCE),
        (403, "your subscription tier has no inference", WireKind.TIER),
        (404, "", WireKind.UNREACHABLE),
        (429, "", WireKind.QUOTA),
        (500, "", WireKind.UNREACHABLE),
    ],
)
def test_what_a_failed_list_of_models_stands_for(status: int, words: str, kind: WireKind) -> None:
    """A bare 403 is no proof against the key."""
    assert models_kind(status, words) is kind


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        CHAT[:-10],
        reply(200, ""),
        reply(200, "<html>welcome to our hotel</html>"),
        reply(200, "[]"),
        reply(200, "{}"),
        reply(200, '{"choices": []}'),
        reply(200, '{"choices": "many"}'),
        reply(200, '{"output": [], "status": "failed"}'),
        reply(200, "[" * 100_000),
        reply(500, "null"),
        reply(502, "<html>"),
        reply(301, headers={"Location": "http://127.0.0.1:1/"}),
    ],
)
def test_garbage_is_unreachable(answer: bytes) -> None:
    """Nothing that is not an answer of the API is taken for one, and nothing raises."""
    with RawServer(answer) as server:
        inference = api(server.url)
        assert inference.complete(SECRET, "m", Api.CHAT).kind is WireKind.UNREACHABLE
        assert inference.complete(SECRET, "m", Api.RESPONSES).kind is WireKind.UNREACHABLE
        assert inference.models(SECRET).kind is WireKind.UNREACHABLE


def test_nobody_there_is_unreachable() -> None:
    """No connection, or no answer before the deadline."""
    with RawServer(lambda connection: time.sleep(0.5)) as server:
        assert api(server.url, 0.1).models(SECRET).kind is WireKind.UNREACHABLE
    assert api(server.url).models(SECRET).kind is WireKind.UNREACHABLE


def test_a_secret_that_no_header_can_carry_is_unauthorized_unsent() -> None:
    """A delivery that someone filled with two lines can never be accepted."""
    with RawServer(CHAT) as server:
        answer = api(server.url).models(Secret("two\nlines"))
        assert server.requests == []
    assert answer.kind is WireKind.UNAUTHORIZED


def test_a_token_of_the_account_is_unauthorized_unsent() -> None:
    """The last door before the inference API's origin; a newer model access key, which looks like one, goes through."""
    with RawServer(CHAT) as server:
        inference = api(server.url)
        assert inference.models(Secret("dop_v1_" + "0" * 64)).kind is WireKind.UNAUTHORIZED
        assert inference.complete(Secret("dop_v1_" + "0" * 64), "m", Api.CHAT).kind is WireKind.UNAUTHORIZED
        assert server.requests == []
        assert inference.complete(Secret("doo_v1_" + "0" * 64), "m", Api.CHAT).kind is WireKind.OK


def test_the_detail_is_fit_to_be_shown() -> None:
    """A server that echoes the secret, or plays with the terminal, does not get through."""
    with RawServer(failure(401, f"bad key {SECRET.reveal()} \x1b[2J\u202e")) as server:
        detail = api(server.url).models(SECRET).detail
    assert detail == "HTTP 401: bad key [redacted] \\x1b[2J\\u202e"


def test_the_text_of_a_completion_is_dropped() -> None:
    """Nothing that a model says is in the answer."""
    body = json.dumps({"choices": [{"message": {"content": "the-words-of-the-model"}}]})
    with RawServer(reply(200, body)) as server:
        assert "the-words-of-the-model" not in repr(api(server.url).complete(SECRET, "m", Api.CHAT))
