"""What a server says passes one choke point before anybody sees it."""

from __future__ import annotations

import pytest

from keyturn.core.secret import Secret
from keyturn.live.digitalocean.redact import redact


@pytest.mark.parametrize(
    "credential",
    [
        "dop_v1_" + "a1" * 32,
        "doo_v1_" + "0f" * 32,
        "sk-do-" + "Ab-_9" * 13,
        "sk-do-abc***xyz",
        "c2VjcmV0IHZhbHVl0ZXN0",
        "Abcdefghij0123456789-_Abcdefghij0123456789",
    ],
)
def test_what_looks_like_a_credential_is_hidden(credential: str) -> None:
    """Known formats, cut or starred ones too, and long opaque runs are replaced."""
    assert redact(f"key {credential} is wrong") == "key [redacted] is wrong"


def test_a_bearer_value_is_hidden() -> None:
    """Whatever follows the word Bearer is hidden."""
    assert redact("got 'Authorization: Bearer abc.def'") == "got 'Authorization: [redacted]'"


def test_a_known_secret_is_hidden_whatever_its_form() -> None:
    """The secret of this very call is hidden even if it looks like an ordinary word."""
    assert redact("the key swordfish is wrong", Secret("swordfish")) == "the key [redacted] is wrong"


@pytest.mark.parametrize(
    "text",
    [
        "0f0e8f0c-8a55-4f0e-9d0a-5b3f5f3f9b11",
        "fal-ai/elevenlabs/tts/multilingual-v2",
        "openai-gpt-oss-120b does not exist",
        "anthropic-claude-haiku-4.5",
    ],
)
def test_uuids_and_model_ids_stay_readable(text: str) -> None:
    """What an operator needs to act on is not hidden."""
    assert redact(text) == text


def test_control_and_bidirectional_characters_are_written_out() -> None:
    """A server cannot move the cursor or turn a line around."""
    assert redact("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\u202eb\\n"


def test_a_long_text_is_cut() -> None:
    """At most 200 characters are shown."""
    assert len(redact("no " * 10_000)) == 200
