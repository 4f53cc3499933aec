"""PURE: the answers of successful inference calls: tiny, deterministic, and readable by the official clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keyturn.sandbox.state import Job
from keyturn.sandbox.wire import Answer, rfc3339

PIXEL: Final = (  # a PNG of one black pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
)
TEXT: Final = "pong"
THOUGHT: Final = "They say ping."
THINKING: Final = 48  # tokens that a reasoning model spends before its first word
JOB_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Spent:
    text: str
    thinking: int
    tokens: int
    asked: int
    cut: bool


def _spend(body: dict[str, object], question: object, *limits: str, reasoning: bool) -> _Spent:
    """Spend the allowed tokens. A reasoning model thinks first, and may have none left for its answer."""
    allowed = next((limit for field in limits if isinstance(limit := body.get(field), int)), 1024)
    thinking = min(allowed, THINKING) if reasoning else 0
    text = TEXT if allowed > thinking else ""
    return _Spent(text, thinking, thinking + bool(text), 1 + len(str(question)) // 4, cut=not text)


def chat(body: dict[str, object], now: float, number: int, *, reasoning: bool) -> Answer:
    """Answer a chat with `pong`, or with an empty text if thinking used up all tokens."""
    spent = _spend(body, body["messages"], "max_completion_tokens", "max_tokens", reasoning=reasoning)
    return Answer(
        200,
        {
            "id": f"chatcmpl-{number:08d}",
            "object": "chat.completion",
            "created": int(now),
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": spent.text,
                        "refusal": None,
                        "reasoning_content": THOUGHT if spent.thinking else None,
                    },
                    "logprobs": None,
                    "finish_reason": "length" if spent.cut else "stop",
                }
            ],
            "usage": {
                "prompt_tokens": spent.asked,
                "completion_tokens": spent.tokens,
                "total_tokens": spent.asked + spent.tokens,
                "cache_created_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            },
        },
    )


def response(body: dict[str, object], now: float, number: int, *, reasoning: bool) -> Answer:
    """Answer on the responses API with `pong`, or without a message if thinking used up all tokens."""
    spent = _spend(body, body["input"], "max_output_tokens", reasoning=reasoning)
    message = {
        "id": f"msg_{number:08d}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": spent.text, "annotations": []}],
    }
    return Answer(
        200,
        {
            "id": f"resp_{number:08d}",
            "object": "response",
            "created": int(now),
            "created_at": int(now),
            "model": body["model"],
            "status": "incomplete" if spent.cut else "completed",
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if spent.cut else None,
            "instructions": None,
            "max_output_tokens": body.get("max_output_tokens"),
            "metadata": {},
            "output": [] if spent.cut else [message],
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "store": body.get("store", True),
            "usage": {
                "input_tokens": spent.asked,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": spent.tokens,
                "output_tokens_details": {"reasoning_tokens": spent.thinking, "tool_output_tokens": 0},
                "total_tokens": spent.asked + spent.tokens,
            },
        },
    )


def images(body: dict[str, object], now: float) -> Answer:
    """Answer with `n` images of one pixel."""
    count = body["n"]
    asked = 1 + len(str(body["prompt"])) // 4
    drawn = [{"b64_json": PIXEL} for _ in range(count if isinstance(count, int) else 1)]
    return Answer(
        200,
        {
            "created": int(now),
            "data": drawn,
            "output_format": "png",
            "usage": {
                "input_tokens": asked,
                "input_tokens_details": {"image_tokens": 0, "text_tokens": asked},
                "output_tokens": len(drawn),
                "total_tokens": asked + len(drawn),
            },
        },
    )


def job_view(job: Job, now: float) -> dict[str, object]:
    """Return an asynchronous job: queued, in progress after 1 s, completed after 2 s."""
    age = now - job.created_at
    done = age >= JOB_SECONDS
    output = {"images": [{"url": f"data:image/png;base64,{PIXEL}", "content_type": "image/png"}]}
    return {
        "request_id": job.id,
        "model_id": job.model,
        "status": "COMPLETED" if done else "IN_PROGRESS" if age >= JOB_SECONDS / 2 else "QUEUED",
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.created_at + JOB_SECONDS / 2) if age >= JOB_SECONDS / 2 else None,
        "completed_at": rfc3339(job.created_at + JOB_SECONDS) if done else None,
        "output": output if done else None,
        "error": None,
    }
