"""The smoke-check: is a secret accepted, and does its model answer? Waiting and judging, over two calls of World.

How long it waits:

- A fresh mint may take a while to be known everywhere. It is `refused` only after 401 at least three times, the last
  one `timing.propagation` or more after the start, with growing pauses between.
- Any other secret is `refused` after three 401 spread over 5 s (or `timing.propagation`, if that is shorter): it had
  all the time it needs, and 5 s outlast a single sick server.
- `refused` is only said while the control API answers; otherwise it is `unreachable`: the trouble is not the key's.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from keyturn.model import Api, Origin, Smoke, SmokeResult, Timing, Verdict, WireAnswer, WireKind
from keyturn.secret import Secret
from keyturn.text import plain

ACCOUNT_TOKENS = ("dop_v1_", "doo_v1_")
"""How tokens of the account begin: none may leave for the inference API's origin."""
TRIES = 3
SHORT_SPREAD = 5.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0
_NEAREST = 3
_VERDICTS = {
    WireKind.OK: Verdict.ACCEPTED,
    WireKind.UNAUTHORIZED: Verdict.REFUSED,
    WireKind.MODEL_DENIED: Verdict.MODEL_DENIED,
    WireKind.WRONG_API: Verdict.MODEL_DENIED,
    WireKind.QUOTA: Verdict.QUOTA,
    WireKind.UNREACHABLE: Verdict.UNREACHABLE,
}


class Inference(Protocol):
    """What a smoke-check needs of World."""

    def models(self, secret: Secret) -> WireAnswer:
        """GET /v1/models."""

    def complete(self, secret: Secret, model: str, api: Api) -> WireAnswer:
        """Ask for a tiny completion."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def uptime(self) -> float:
        """Return seconds on a clock that never jumps."""


def check(
    world: Inference,
    secret: Secret,
    smoke: Smoke,
    timing: Timing,
    *,
    times: int = 1,
    spread: float = 0.0,
    fresh: bool,
    control_ok: Callable[[], bool],
) -> SmokeResult:
    """Try a secret until the verdict is sure.

    It has to be accepted `times` times in a row over `spread` seconds, with a completion in each (none where
    `smoke.model` is empty). `fresh` says that it was just minted. `control_ok` tells whether the control API answers;
    it is called only before `refused` is said. `seconds` of the result is the time to the head of the deciding answer.
    """
    if secret.starts_with(*ACCOUNT_TOKENS):
        return SmokeResult(Verdict.REFUSED, "it is a token of the account, not a model access key")
    if smoke.origin is Origin.SKIP:
        return SmokeResult(Verdict.SKIPPED, "smoke-checks are switched off for this key")
    start = world.uptime()
    end = start + (timing.propagation if fresh else min(SHORT_SPREAD, timing.propagation))
    pauses = _Pauses(start, end)
    accepted = refused = 0
    ever_accepted = False
    api = smoke.api
    while True:
        result = _probe(world, secret, smoke, api)
        api = result.api or api
        over = world.uptime() >= end
        if result.verdict is Verdict.ACCEPTED:
            accepted, refused, ever_accepted = accepted + 1, 0, True
            if accepted >= times:
                return result
            world.sleep(spread / (times - 1))
            continue
        accepted = 0
        if result.verdict is Verdict.REFUSED:
            refused += 1
            if over and ever_accepted:
                return SmokeResult(Verdict.UNREACHABLE, f"accepted and refused by turns; last: {result.detail}")
            if over and refused >= TRIES:
                return _refused(result, refused, control_ok)
        elif result.verdict is not Verdict.UNREACHABLE or over:
            return result
        world.sleep(pauses.next(world.uptime()))


def alive(world: Inference, secret: Secret, timing: Timing, *, dying: bool = False) -> bool | None:
    """Tell whether a secret is accepted: True accepted, False refused (three 401), None unknown.

    An accepted secret is True at once, unless it is `dying` (its key was regenerated a moment ago): then it is True
    only if it is still accepted after `timing.propagation`.
    """
    if secret.starts_with(*ACCOUNT_TOKENS):
        return False
    start = world.uptime()
    short = start + min(SHORT_SPREAD, timing.propagation)
    end = start + timing.propagation if dying else short
    pauses = _Pauses(start, end)
    refused = 0
    while True:
        kind = world.models(secret).kind
        now = world.uptime()
        if kind is WireKind.UNAUTHORIZED:
            refused += 1
            if refused >= TRIES and now >= short:
                return False
        elif kind is WireKind.OK:
            refused = 0
            if not dying or now >= end:
                return True
        elif now >= end:
            return None
        world.sleep(pauses.next(now))


class _Pauses:
    """Growing pauses that land on `end`; after it, short ones."""

    def __init__(self, start: float, end: float) -> None:
        self._end = end
        self._first = min(_FIRST_PAUSE, (end - start) / TRIES)
        self._size = self._first

    def next(self, now: float) -> float:
        """Return the seconds to pause from `now`."""
        left = self._end - now
        if left <= 0:
            return self._first
        pause = min(self._size, left)
        self._size = min(self._size * 2, _LONGEST_PAUSE)
        return pause


def _probe(world: Inference, secret: Secret, smoke: Smoke, api: Api) -> SmokeResult:
    """Try once: the model list, then the completion, on the other API where `api` is the wrong one."""
    listed = world.models(secret)
    if listed.kind is not WireKind.OK:
        return _result(listed, "model list", None)
    wanted = dict.fromkeys(name for name in (smoke.model, *smoke.expect_models) if name)
    missing = [name for name in wanted if name not in listed.models]
    if missing:
        return SmokeResult(Verdict.MODEL_DENIED, _missing(missing, listed.models), None, listed.seconds)
    if not smoke.model:
        return SmokeResult(Verdict.ACCEPTED, f"{len(listed.models)} models", None, listed.seconds, listed.models)
    answer = world.complete(secret, smoke.model, api)
    if answer.kind is not WireKind.WRONG_API:
        return replace(_result(answer, f"completion of {plain(smoke.model)}", api), models=listed.models)
    other = Api.RESPONSES if api is Api.CHAT else Api.CHAT
    second = world.complete(secret, smoke.model, other)
    if second.kind is WireKind.WRONG_API:
        return _result(second, f"completion of {plain(smoke.model)} on either API", None)
    told = f"completion of {plain(smoke.model)}, which does not answer on `{api}`"
    return replace(_result(second, told, other), models=listed.models)


def _result(answer: WireAnswer, what: str, api: Api | None) -> SmokeResult:
    verdict = _VERDICTS[answer.kind]
    told = f": {plain(answer.detail)}" if answer.detail else ""
    answered = api if verdict is Verdict.ACCEPTED else None
    seconds = None if verdict is Verdict.UNREACHABLE else answer.seconds
    return SmokeResult(verdict, f"{what}{told}", answered, seconds)


def _missing(missing: list[str], models: tuple[str, ...]) -> str:
    """Name what the key may not use, each with the nearest names that it may use."""
    sentences = []
    for name in missing:
        nearest = difflib.get_close_matches(name, models, n=_NEAREST, cutoff=0.5)
        hint = f" (nearest: {', '.join(plain(near) for near in nearest)})" if nearest else ""
        sentences.append(f"the key may not use {plain(name)}{hint}")
    return "; ".join(sentences) if models else "the key may use no model at all"


def _refused(result: SmokeResult, tries: int, control_ok: Callable[[], bool]) -> SmokeResult:
    if control_ok():
        return SmokeResult(Verdict.REFUSED, f"refused {tries} times; last: {result.detail}", None, result.seconds)
    return SmokeResult(Verdict.UNREACHABLE, f"refused {tries} times, but the control API does not answer either")
