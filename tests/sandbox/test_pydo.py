"""Conformance: the official DigitalOcean client, generated from the official API description, against the sandbox."""

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceResponseError
from pydo import Client

from keyturn.sandbox import Sandbox
from tests.sandbox.conftest import both_formats

# Plain http is refused unless each call says otherwise; retries would hide what the sandbox answers.
CALL: dict[str, Any] = {"enforce_https": False, "retry_total": 0}


@pytest.fixture
def official(sandbox: Sandbox) -> Iterator[Client]:
    """Give a client that holds the account token."""
    ready = client(sandbox, sandbox.token)
    with ready:
        yield ready


def client(sandbox: Sandbox, token: str) -> Client:
    """Make a client of both APIs that holds any credential; close it."""
    return Client(token=token, endpoint=sandbox.url, inference_endpoint=sandbox.url, timeout=10)


def test_list_follows_the_pages(sandbox: Sandbox, official: Client) -> None:
    """Paging by number reaches every key exactly once, and all pages agree on the total."""
    made = {sandbox.panel_create(f"bot-{n}").uuid for n in range(5)}
    pages = [official.genai.list_model_api_keys(page=n, per_page=2, **CALL) for n in (1, 2, 3)]
    assert {page["meta"]["total"] for page in pages} == {5}
    seen = [info["uuid"] for page in pages for info in page["api_key_infos"]]
    assert (len(seen), set(seen)) == (5, made)
    assert "next" not in pages[-1]["links"]["pages"]


def test_the_rate_limit_headers_are_integers(sandbox: Sandbox, official: Client) -> None:
    """The client deserializes all three headers as integers."""
    headers = official.genai.list_model_api_keys(cls=lambda _, __, headers: headers, **CALL)
    assert headers == {"ratelimit-limit": 5000, "ratelimit-remaining": 4999, "ratelimit-reset": 1_790_003_600}


def test_create_is_gone(official: Client) -> None:
    """The official client knows one answer to a create, the 410, and gives its body."""
    body = official.genai.create_model_api_key(body={"name": "bot"}, **CALL)
    assert body["id"] == "gone"
    assert body["message"].startswith("resource retired: Creating model API keys through this endpoint is retired.")


def test_create_allowed_is_more_than_the_client_expects(sandbox: Sandbox, official: Client) -> None:
    """Where create is allowed the answer is a 200, which today's client takes for an error, though the key is made."""
    sandbox.change(create="allowed")
    with pytest.raises(HttpResponseError) as caught:
        official.genai.create_model_api_key(body={"name": "bot"}, **CALL)
    assert caught.value.status_code == 200
    assert sandbox.state.live_keys("sandbox")[0].name == "bot"


@both_formats
def test_rename_regenerate_delete(sandbox: Sandbox, official: Client) -> None:
    """The three verbs on one key do what they say, and only a regenerate shows a secret."""
    key = sandbox.panel_create("bot")
    renamed = official.genai.update_model_api_key(key.uuid, body={"api_key_uuid": key.uuid, "name": "new"}, **CALL)[
        "api_key_info"
    ]
    assert (renamed["uuid"], renamed["name"], "secret_key" in renamed) == (key.uuid, "new", False)
    fresh = official.genai.regenerate_model_api_key(key.uuid, **CALL)["api_key_info"]["secret_key"]
    assert [sandbox.accepts(secret) for secret in (key.secret, fresh)] == [False, True]
    deleted = official.genai.delete_model_api_key(key.uuid, **CALL)["api_key_info"]
    assert (deleted["uuid"], "secret_key" in deleted) == (key.uuid, False)
    assert not sandbox.accepts(fresh)


def test_an_unknown_uuid_is_not_found(official: Client) -> None:
    """All three verbs answer the documented 404 body."""
    calls = (
        official.genai.update_model_api_key("none", body={"name": "new"}, **CALL),
        official.genai.regenerate_model_api_key("none", **CALL),
        official.genai.delete_model_api_key("none", **CALL),
    )
    for body in calls:
        assert set(body) == {"id", "message", "request_id"}
        assert body["id"] == "not_found"


def test_account(official: Client) -> None:
    """The account names its team."""
    found = official.account.get(**CALL)["account"]
    assert (found["status"], found["team"]["name"]) == ("active", "sandbox")
    assert found["team"]["uuid"] != found["uuid"]


def test_the_balance_needs_a_scope_of_its_own(sandbox: Sandbox, official: Client) -> None:
    """The usual token may not see the prepaid balance; one with `billing:read` may, and sees when it is used up."""
    with pytest.raises(HttpResponseError) as refused:
        official.prepayment_status.get(**CALL)
    assert refused.value.status_code == 403
    with client(sandbox, sandbox.add_token(scopes={"billing:read"}).value) as reader:
        status = reader.prepayment_status.get(**CALL)["status"]
        assert (status["balance"], status["blocked"], status["eligible"]) == ("25.00", False, True)
        sandbox.change(balance="blocked")
        status = reader.prepayment_status.get(**CALL)["status"]
        assert (status["balance"], status["blocked"]) == ("0.00", True)


def test_refused_tokens(sandbox: Sandbox) -> None:
    """An unknown token is an authentication error, one without the scope a 403."""
    with client(sandbox, "wrong") as stranger, pytest.raises(ClientAuthenticationError):
        stranger.genai.list_model_api_keys(**CALL)
    narrow = sandbox.add_token(scopes={"genai:read"}).value
    with client(sandbox, narrow) as reader, pytest.raises(HttpResponseError) as caught:
        reader.account.get(**CALL)
    assert caught.value.status_code == 403


def test_the_burst_limit_is_waited_out(sandbox: Sandbox, official: Client) -> None:
    """The client honours `Retry-After`: its retry comes after the delay, and succeeds."""
    sandbox.arm("list", "error-429", delay=1)
    body = official.genai.list_model_api_keys(enforce_https=False, retry_total=1)
    assert body["meta"]["total"] == 0
    assert [seen.status for seen in sandbox.requests] == [429, 200]


@both_formats
def test_inference(sandbox: Sandbox) -> None:
    """The inference half of the official client: models, chat, responses, images, asynchronous invocation."""
    with client(sandbox, sandbox.panel_create("bot").secret) as caller:
        ids = [model["id"] for model in caller.inference.list_models(**CALL)["data"]]
        assert "llama3.3-70b-instruct" in ids
        chat = {"model": ids[0], "messages": [{"role": "user", "content": "ping"}], "max_tokens": 16}
        assert caller.inference.create_chat_completion(body=chat, **CALL)["choices"][0]["message"]["content"] == "pong"
        said = caller.inference.create_response(body={"model": ids[0], "input": "ping"}, **CALL)
        assert said["output"][0]["content"][0]["text"] == "pong"
        image = {"model": "openai-gpt-image-1", "prompt": "a cat", "n": 2}
        assert len(caller.inference.create_image(body=image, **CALL)["data"]) == 2
        job = {"model_id": "fal-ai/flux/schnell", "input": {"prompt": "a cat"}}
        assert caller.inference.create_async_invoke(body=job, **CALL)["status"] == "QUEUED"


@pytest.mark.parametrize("fault", [{"kind": "lost-response"}, {"kind": "late", "status": 500, "delay": 0}])
def test_default_retries_mint_more_than_the_script_knows(sandbox: Sandbox, fault: dict[str, Any]) -> None:
    """A plain script calls once and sees one secret; its client regenerates three times when two answers are lost."""
    key = sandbox.panel_create("bot")
    options = dict(fault)
    sandbox.arm("regenerate", options.pop("kind"), times=2, **options)
    with client(sandbox, sandbox.token) as official:
        info = official.genai.regenerate_model_api_key(key.uuid, enforce_https=False)["api_key_info"]
    made = [minted.value for minted in sandbox.state.secrets.values() if minted.by == "regenerate"]
    assert (len(made), made.index(info["secret_key"])) == (3, 2)
    assert [sandbox.accepts(secret) for secret in made] == [False, False, True]


def test_a_retry_may_answer_a_secret_that_dies(sandbox: Sandbox) -> None:
    """The first request lands after its retry: the secret that the script was given, and delivered, is dead."""
    key = sandbox.panel_create("bot")
    sandbox.arm("regenerate", "late", delay=60)
    with client(sandbox, sandbox.token) as official:
        info = official.genai.regenerate_model_api_key(key.uuid, enforce_https=False)["api_key_info"]
    assert sandbox.accepts(info["secret_key"])
    sandbox.advance(60)
    assert not sandbox.accepts(info["secret_key"])
    assert sandbox.state.keys[key.uuid].secret != info["secret_key"]


def test_without_retries_the_script_knows_what_it_does_not_know(sandbox: Sandbox, official: Client) -> None:
    """With `retry_total=0` one call is one regenerate, and a lost answer is an error."""
    key = sandbox.panel_create("bot")
    sandbox.arm("regenerate", "lost-response", times=2)
    with pytest.raises(ServiceResponseError):
        official.genai.regenerate_model_api_key(key.uuid, **CALL)
    assert [seen.op for seen in sandbox.requests] == ["regenerate"]
