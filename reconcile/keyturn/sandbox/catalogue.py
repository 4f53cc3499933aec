"""PURE: the models of the sandbox, and the calls that each model answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue, and the calls that it answers."""

    owner: str
    calls: frozenset[str]
    reasoning: bool = False


_BOTH: Final = frozenset({"chat", "responses"})
MODELS: Final[dict[str, Model]] = {
    "llama3.3-70b-instruct": Model("meta", _BOTH),
    "openai-gpt-oss-120b": Model("openai", _BOTH),
    "openai-gpt-oss-20b": Model("openai", _BOTH, reasoning=True),
    "openai-gpt-5-pro": Model("openai", frozenset({"responses"})),
    "anthropic-claude-haiku-4.5": Model("anthropic", frozenset({"chat"})),
    "openai-gpt-image-1": Model("openai", frozenset({"images"})),
    "fal-ai/flux/schnell": Model("fal-ai", frozenset({"invoke"})),
    "fal-ai/elevenlabs/tts/multilingual-v2": Model("fal-ai", frozenset({"invoke"})),
}
PATHS: Final = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "images": "/v1/images/generations",
    "invoke": "/v1/async-invoke",
}
