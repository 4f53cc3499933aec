"""Conformance: the OpenAI client, which most people point at the inference API, against the sandbox."""

import base64
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from keyturn.sandbox import Sandbox
from tests.sandbox.conftest import TLS, both_formats

pytestmark = both_formats
MODEL = "llama3.3-70b-instruct"


def caller(sandbox: Sandbox, secret: str) -> openai.OpenAI:
    """Make a client that holds any secret; close it."""
    transport = openai.DefaultHttpxClient(trust_env=False, verify=TLS)
    return openai.OpenAI(base_url=f"{sandbox.url}/v1", api_key=secret, max_retries=0, http_client=transport)


@pytest.fixture
def official(sandbox: Sandbox) -> Iterator[openai.OpenAI]:
    """Give a client that holds the secret of a key for all models."""
    with caller(sandbox, sandbox.panel_create("bot").secret) as ready:
        yield ready


def test_models(official: openai.OpenAI) -> None:
    """The list parses, and holds the models of the key's scope."""
    models = list(official.models.list())
    assert MODEL in [model.id for model in models]
    assert {model.object for model in models} == {"model"}


def test_chat(official: openai.OpenAI) -> None:
    """A chat answers a deterministic text and a usage that adds up."""
    chat = official.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "ping"}], max_completion_tokens=256
    )
    assert chat.choices[0].message.content == "pong"
    assert chat.usage is not None
    assert chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens


def test_a_reasoning_model_answers_an_empty_text(official: openai.OpenAI) -> None:
    """Few tokens, all spent on thinking: 200, an empty text, on both calls."""
    chat = official.chat.completions.create(
        model="openai-gpt-oss-20b", messages=[{"role": "user", "content": "ping"}], max_tokens=16
    )
    assert chat.choices[0].message.content == ""
    said = official.responses.create(model="openai-gpt-oss-20b", input="ping", max_output_tokens=16)
    assert (said.output_text, said.status) == ("", "incomplete")


def test_responses(official: openai.OpenAI) -> None:
    """The responses API answers, for a model that answers only there."""
    said = official.responses.create(model="openai-gpt-5-pro", input="ping", max_output_tokens=16, store=False)
    assert (said.output_text, said.status) == ("pong", "completed")
    assert said.usage is not None
    assert said.usage.total_tokens == said.usage.input_tokens + said.usage.output_tokens


def test_images(official: openai.OpenAI) -> None:
    """Images come as base64 PNG, as many as were asked for."""
    drawn = official.images.generate(model="openai-gpt-image-1", prompt="a cat", n=2)
    assert drawn.data is not None
    assert [base64.b64decode(image.b64_json or "")[:8] for image in drawn.data] == [b"\x89PNG\r\n\x1a\n"] * 2


@pytest.mark.parametrize("openai_errors", [False, True])
def test_errors_become_the_right_exceptions(sandbox: Sandbox, official: openai.OpenAI, openai_errors: bool) -> None:
    """Every refusal reaches the client as its own exception; a code only in the shape that OpenAI gives errors."""
    sandbox.change(openai_errors=openai_errors)
    ping: Any = [{"role": "user", "content": "ping"}]
    with caller(sandbox, "sk-do-wrong") as stranger, pytest.raises(openai.AuthenticationError) as refused:
        stranger.models.list()
    assert refused.value.code == ("invalid_api_key" if openai_errors else None)
    with pytest.raises(openai.NotFoundError, match="nothing") as unknown:
        official.chat.completions.create(model="nothing", messages=ping)
    assert unknown.value.code == ("model_not_found" if openai_errors else None)
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens") as few:
        official.chat.completions.create(model=MODEL, messages=ping, max_completion_tokens=16)
    assert few.value.param == ("max_completion_tokens" if openai_errors else None)
    with pytest.raises(openai.NotFoundError, match="/v1/responses"):
        official.chat.completions.create(model="openai-gpt-5-pro", messages=ping)
    scoped = sandbox.panel_create("scoped", [MODEL]).secret
    with caller(sandbox, scoped) as narrow, pytest.raises(openai.PermissionDeniedError, match="openai-gpt-oss-120b"):
        narrow.responses.create(model="openai-gpt-oss-120b", input="ping")
    sandbox.change(tier_denied=[MODEL])
    with pytest.raises(openai.PermissionDeniedError, match="subscription tier") as tier:
        official.responses.create(model=MODEL, input="ping")
    assert tier.value.type == ("forbidden_error" if openai_errors else None)
    sandbox.change(tier_denied=[], quota="exceeded")
    with pytest.raises(openai.RateLimitError) as spent:
        official.responses.create(model=MODEL, input="ping")
    assert spent.value.code == ("insufficient_quota" if openai_errors else None)
    sandbox.change(quota="unpaid")
    with pytest.raises(openai.APIStatusError) as unpaid:
        official.responses.create(model=MODEL, input="ping")
    assert unpaid.value.status_code == 402


def test_a_dropped_connection_is_a_connection_error(sandbox: Sandbox, official: openai.OpenAI) -> None:
    """A dropped answer reaches the client as a connection error, not as a status."""
    sandbox.arm("chat", "lost-response")
    with pytest.raises(openai.APIConnectionError):
        official.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "ping"}])
