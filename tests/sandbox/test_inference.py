"""The inference API over HTTP: who is let in, to which model, on which call."""

import httpx
import pytest

from keyturn.sandbox import Sandbox
from tests.sandbox.conftest import both_formats, client

pytestmark = both_formats
MODEL = "llama3.3-70b-instruct"


def chat(caller: httpx.Client, model: str = MODEL, /, **options: object) -> httpx.Response:
    """Ask on the chat API."""
    body = {"model": model, "messages": [{"role": "user", "content": "ping"}], **options}
    return caller.post("/v1/chat/completions", json=body)


def respond(caller: httpx.Client, model: str = MODEL) -> httpx.Response:
    """Ask on the responses API."""
    return caller.post("/v1/responses", json={"model": model, "input": "ping", "max_output_tokens": 16})


def test_an_unknown_secret_is_401(sandbox: Sandbox) -> None:
    """Without a living secret every call is 401, with the documented body of two fields."""
    with client(sandbox, "sk-do-wrong") as stranger:
        answer = stranger.get("/v1/models")
        assert answer.status_code == 401
        assert answer.json() == {"id": "Unauthorized", "message": "Invalid or missing model access key."}
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
        assert "openai-gpt-oss-120b" in denied.json()["message"]
        sandbox.change(denied=404)
        assert chat(scoped, "openai-gpt-oss-120b").status_code == 404
        assert chat(scoped, "nothing").json() == {"id": "NotFound", "message": "The model `nothing` does not exist."}


def test_a_vpc_key_is_refused_from_outside(sandbox: Sandbox) -> None:
    """A VPC-bound key is 403 from outside its network, the list included, and works from inside."""
    key = sandbox.panel_create("bot", vpc=True)
    with client(sandbox, key.secret) as caller:
        listed = caller.get("/v1/models")
        assert (listed.status_code, listed.json()["id"]) == (403, "Forbidden")
        assert chat(caller).status_code == 403
        sandbox.change(inside_vpc=True)
        assert chat(caller).status_code == 200


def test_some_models_answer_on_one_call_only(sandbox: Sandbox) -> None:
    """The wrong call is 404 and its message names the right one."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        assert respond(caller, "openai-gpt-5-pro").status_code == 200
        wrong = chat(caller, "openai-gpt-5-pro")
        assert wrong.status_code == 404
        assert "/v1/responses" in wrong.json()["message"]
        assert chat(caller, "anthropic-claude-haiku-4.5").status_code == 200
        wrong = respond(caller, "anthropic-claude-haiku-4.5")
        assert wrong.status_code == 404
        assert "/v1/chat/completions" in wrong.json()["message"]


def test_a_reasoning_model_may_have_no_words_left(sandbox: Sandbox) -> None:
    """With few tokens a reasoning model answers 200 with an empty text; with enough it speaks."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        short = chat(caller, "openai-gpt-oss-20b", max_tokens=16).json()
        assert short["choices"][0]["message"]["content"] == ""
        assert short["choices"][0]["finish_reason"] == "length"
        assert short["usage"]["completion_tokens"] == 16
        long = chat(caller, "openai-gpt-oss-20b", max_completion_tokens=256).json()
        assert long["choices"][0]["message"]["content"] == "pong"


@pytest.mark.parametrize(("field", "least"), [("max_completion_tokens", 256), ("max_tokens", 0)])
def test_the_two_names_of_the_token_limit_have_different_floors(sandbox: Sandbox, field: str, least: int) -> None:
    """`max_completion_tokens` is at least 256 and `max_tokens` has no such floor; a wrong value is 400 and named."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        enough: dict[str, object] = {field: least}
        assert chat(caller, "openai-gpt-oss-20b", **enough).json()["usage"]["completion_tokens"] == min(least, 49)
        for wrong in (least - 1, "many", True, 256.5):
            answer = chat(caller, MODEL, **dict.fromkeys(enough, wrong))
            assert (answer.status_code, answer.json()["id"]) == (400, "BadRequest")
            assert field in answer.json()["message"]


def test_a_chat_has_the_documented_fields(sandbox: Sandbox) -> None:
    """The message and the usage have every field of the API description; thinking is told apart from the text."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        body = chat(caller).json()
        message = {"role": "assistant", "content": "pong", "refusal": None, "reasoning_content": None}
        assert body["choices"][0]["message"] == message
        assert body["usage"] == {
            "prompt_tokens": body["usage"]["prompt_tokens"],
            "completion_tokens": 1,
            "total_tokens": body["usage"]["prompt_tokens"] + 1,
            "cache_created_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        }
        assert chat(caller, "openai-gpt-oss-20b").json()["choices"][0]["message"]["reasoning_content"]


@pytest.mark.parametrize("openai_errors", [False, True])
def test_a_model_above_the_tier_is_listed_and_refused(sandbox: Sandbox, openai_errors: bool) -> None:
    """`/v1/models` lists what the account's tier lacks; only a completion shows that it is refused."""
    sandbox.change(tier_denied=[MODEL], openai_errors=openai_errors)
    message = f"The model `{MODEL}` is not available for your subscription tier."
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        assert MODEL in [item["id"] for item in caller.get("/v1/models").json()["data"]]
        refused = chat(caller)
        assert refused.status_code == 403
        fault = {"error": {"type": "forbidden_error", "message": message}}
        assert refused.json() == (fault if openai_errors else {"id": "Forbidden", "message": message})
        assert chat(caller, "openai-gpt-oss-120b").status_code == 200


def test_a_retired_model_is_gone_from_the_list_too(sandbox: Sandbox) -> None:
    """A retired model is 404 like one that never was."""
    sandbox.change(retired=[MODEL])
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        assert MODEL not in [item["id"] for item in caller.get("/v1/models").json()["data"]]
        assert chat(caller).status_code == respond(caller).status_code == 404


@pytest.mark.parametrize(("status", "name"), [(401, "Unauthorized"), (402, "PaymentRequired"), (403, "Forbidden")])
def test_an_empty_balance_stops_completions(sandbox: Sandbox, status: int, name: str) -> None:
    """With the prepaid balance used up a completion meets the status that was chosen; the list still answers."""
    sandbox.change(balance="blocked", balance_status=status)
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        assert caller.get("/v1/models").status_code == 200
        answer = chat(caller)
        assert (answer.status_code, answer.json()["id"]) == (status, name)
        assert "balance" in answer.json()["message"]


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
        ("/v1/images/generations", {"model": "openai-gpt-image-1", "prompt": "a cat"}),
        ("/v1/images/generations", {"model": "openai-gpt-image-1", "prompt": "a cat", "n": 11}),
        ("/v1/async-invoke", {"model_id": "fal-ai/flux/schnell"}),
    ],
)
def test_a_wrong_body_is_400(sandbox: Sandbox, path: str, body: dict[str, object]) -> None:
    """A body that lacks what the call needs is 400; so is one that is no JSON object, and a stream."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        assert caller.post(path, json=body).status_code == 400
        assert caller.post(path, content=b"[").status_code == 400
        assert caller.post(path, content=b"[" * 100_000).status_code == 400


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
    """A path that inference lacks is 404 in the same shape as every error, with a `Date`."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        answer = caller.get("/v1/embeddings")
        assert answer.status_code == 404
        assert answer.json()["id"] == "NotFound"
        assert "date" in answer.headers
