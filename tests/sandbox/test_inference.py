"""The inference API over HTTP: who is let in, to which model, on which call."""

import httpx
import pytest

from keyturn.sandbox import Sandbox
from tests.sandbox.conftest import client

MODEL = "llama3.3-70b-instruct"


def chat(caller: httpx.Client, model: str = MODEL, /, **options: object) -> httpx.Response:
    """Ask on the chat API."""
    body = {"model": model, "messages": [{"role": "user", "content": "ping"}], **options}
    return caller.post("/v1/chat/completions", json=body)


def respond(caller: httpx.Client, model: str = MODEL) -> httpx.Response:
    """Ask on the responses API."""
    return caller.post("/v1/responses", json={"model": model, "input": "ping", "max_output_tokens": 16})


def test_an_unknown_secret_is_401(sandbox: Sandbox) -> None:
    """Without a living secret every call is 401, in the error shape of OpenAI clients."""
    with client(sandbox, "sk-do-wrong") as stranger:
        answer = stranger.get("/v1/models")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert chat(stranger).status_code == 401


def test_a_fresh_secret_needs_time_and_the_old_one_none_to_die(sandbox: Sandbox) -> None:
    """After a regenerate with propagation both secrets are refused, then the new one alone is accepted."""
    sandbox.change(propagation=2.0)
    key = sandbox.panel_create("bot")
    sandbox.advance(2)
    with client(sandbox, key.secret) as old:
        assert old.get("/v1/models").status_code == 200
        fresh = sandbox.by_hand("regenerate", key.uuid)
        with client(sandbox, fresh.secret) as new:
            assert [old.get("/v1/models").status_code, new.get("/v1/models").status_code] == [401, 401]
            sandbox.advance(2)
            assert [old.get("/v1/models").status_code, new.get("/v1/models").status_code] == [401, 200]


def test_a_linger_leaves_the_old_secret_alive_for_a_while(sandbox: Sandbox) -> None:
    """Told to, the sandbox breaks the promise of the real one: the old secret works for `linger` seconds more."""
    sandbox.change(linger=5.0)
    key = sandbox.panel_create("bot")
    sandbox.by_hand("regenerate", key.uuid)
    with client(sandbox, key.secret) as old:
        assert old.get("/v1/models").status_code == 200
        sandbox.advance(5)
        assert old.get("/v1/models").status_code == 401


def test_the_scope_of_a_key_filters_models(sandbox: Sandbox) -> None:
    """A key for one model lists only that one; another model is 403 (or 404), an unknown one 404, both naming it."""
    key = sandbox.panel_create("bot", [MODEL])
    with client(sandbox, key.secret) as scoped:
        assert [item["id"] for item in scoped.get("/v1/models").json()["data"]] == [MODEL]
        assert chat(scoped).status_code == 200
        denied = chat(scoped, "openai-gpt-oss-120b")
        assert denied.status_code == 403
        assert "openai-gpt-oss-120b" in denied.json()["error"]["message"]
        sandbox.change(denied=404)
        assert chat(scoped, "openai-gpt-oss-120b").status_code == 404
        assert chat(scoped, "nothing").json()["error"]["code"] == "model_not_found"


def test_a_vpc_key_is_refused_from_outside(sandbox: Sandbox) -> None:
    """A VPC-bound key is 403 from outside its network, and works from inside."""
    key = sandbox.panel_create("bot", vpc=True)
    with client(sandbox, key.secret) as caller:
        assert caller.get("/v1/models").status_code == 403
        assert chat(caller).status_code == 403
        sandbox.change(inside_vpc=True)
        assert chat(caller).status_code == 200


def test_some_models_answer_on_one_call_only(sandbox: Sandbox) -> None:
    """The wrong call is 404 and its message names the right one."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        assert respond(caller, "openai-gpt-5-pro").status_code == 200
        wrong = chat(caller, "openai-gpt-5-pro")
        assert wrong.status_code == 404
        assert "/v1/responses" in wrong.json()["error"]["message"]
        assert chat(caller, "anthropic-claude-haiku-4.5").status_code == 200
        wrong = respond(caller, "anthropic-claude-haiku-4.5")
        assert wrong.status_code == 404
        assert "/v1/chat/completions" in wrong.json()["error"]["message"]


def test_a_reasoning_model_may_have_no_words_left(sandbox: Sandbox) -> None:
    """With few tokens a reasoning model answers 200 with an empty text; with enough it speaks."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        short = chat(caller, "openai-gpt-oss-20b", max_completion_tokens=16).json()
        assert short["choices"][0]["message"]["content"] == ""
        assert short["choices"][0]["finish_reason"] == "length"
        assert short["usage"]["completion_tokens"] == 16
        long = chat(caller, "openai-gpt-oss-20b", max_completion_tokens=200).json()
        assert long["choices"][0]["message"]["content"] == "pong"


@pytest.mark.parametrize("field", ["max_completion_tokens", "max_tokens"])
def test_both_names_of_the_token_limit_are_understood(sandbox: Sandbox, field: str) -> None:
    """`max_tokens` is the older name of `max_completion_tokens`; a wrong value of either is 400."""
    limit: dict[str, object] = {field: 5}
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        assert chat(caller, "openai-gpt-oss-20b", **limit).json()["usage"]["completion_tokens"] == 5
        assert chat(caller, MODEL, **dict.fromkeys(limit, 0)).status_code == 400


@pytest.mark.parametrize(("quota", "status"), [("exceeded", 429), ("unpaid", 402), ("blocked", 403)])
def test_quota_and_billing_stop_completions_not_the_key(sandbox: Sandbox, quota: str, status: int) -> None:
    """Over quota or unpaid, completions fail with their own status, while `/v1/models` shows that the key is good."""
    sandbox.change(quota=quota)
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        assert caller.get("/v1/models").status_code == 200
        assert chat(caller).status_code == status


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", {"model": MODEL, "messages": []}),
        ("/v1/chat/completions", {"model": MODEL, "messages": ["ping"]}),
        ("/v1/chat/completions", {"model": MODEL, "messages": [{}], "stream": True}),
        ("/v1/responses", {"model": MODEL}),
        ("/v1/images/generations", {"model": "openai-gpt-image-1"}),
        ("/v1/images/generations", {"model": "openai-gpt-image-1", "prompt": "a cat", "n": 11}),
        ("/v1/async-invoke", {"model_id": "fal-ai/flux/schnell"}),
    ],
)
def test_a_wrong_body_is_400(sandbox: Sandbox, path: str, body: dict[str, object]) -> None:
    """A body that lacks what the call needs is 400; so is one that is no JSON object, and a stream."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        assert caller.post(path, json=body).status_code == 400
        assert caller.post(path, content=b"[").status_code == 400


def test_an_async_job_runs_to_its_end(sandbox: Sandbox) -> None:
    """An async invocation is 202 and QUEUED, then in progress, then COMPLETED with its output; others cannot see it."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        body = {"model_id": "fal-ai/flux/schnell", "input": {"prompt": "a cat"}}
        answer = caller.post("/v1/async-invoke", json=body)
        assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")
        job = f"/v1/async-invoke/{answer.json()['request_id']}"
        sandbox.advance(1)
        assert caller.get(f"{job}/status").json()["status"] == "IN_PROGRESS"
        sandbox.advance(1)
        assert caller.get(f"{job}/status").json()["status"] == "COMPLETED"
        assert caller.get(job).json()["output"]["images"]
        with client(sandbox, sandbox.panel_create("other").secret) as other:
            assert other.get(job).status_code == 404


def test_an_account_token_with_the_scope_may_query(sandbox: Sandbox) -> None:
    """As in the product, an account token is accepted by inference if it may `inference:query`."""
    with client(sandbox, sandbox.token) as token:
        assert chat(token).status_code == 200
    with client(sandbox, sandbox.add_token(scopes={"genai:read"}).value) as narrow:
        assert chat(narrow).status_code == 403


def test_unknown_paths_are_404_in_the_right_shape(sandbox: Sandbox) -> None:
    """A path that inference lacks is 404 in the error shape of OpenAI clients, with a `Date`."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        answer = caller.get("/v1/embeddings")
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert "date" in answer.headers
