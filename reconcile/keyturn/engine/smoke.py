"""The smoke-check: is a secret accepted, and does its model answer? Waiting and judging, over two calls of World.

How long it waits:

- A fresh mint may take a while to be known everywhere. It is `refused` only after 401 at least three times, the last
  one `timing.propagation` or more after the start, with growing pauses between.
- Any other secret is `refused` after three 401 spread over 5 s (or `timing.propagation`, if that is shorter): it had
  all the time it needs, and 5 s outlast a single sick server.
- `unreachable` is only said after two tries: one answer may be lost, or its model slow.
- A secret whose API key was regenerated a moment ago is dead after two 401 in a row, a second apart: the API has
  promised it, and one 401 alone may be a sick server's. While it is still accepted it has `timing.propagation`.
- `refused` is only said if nothing else explains it. If the control API does not answer either, it is `unreachable`;
  if the API says that the account is blocked for lack of balance, it is `balance`. The trouble is not the key's.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import Protocol

from keyturn.core.errors import KeyturnError
from keyturn.core.model import (
    UNKNOWN,
    Api,
    ApiKey,
    Origin,
    Smoke,
    SmokeResult,
    Timing,
    Verdict,
    WireAnswer,
    WireKind,
)
from keyturn.core.sanitize import plain
from keyturn.core.secret import Secret, is_account_token

TRIES = 3
SHORT_SPREAD = 5.0
DEAD = 2
"""So many refusals in a row prove that a secret is dead which the API was told to kill."""
UNSURE = 2
"""So many tries that tell nothing are needed before that is said, however long each took."""
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0
_NEAREST = 3
_VERDICTS = {
    WireKind.OK: Verdict.ACCEPTED,
    WireKind.UNAUTHORIZED: Verdict.REFUSED,
    WireKind.VPC: Verdict.VPC,
    WireKind.TIER: Verdict.TIER,
    WireKind.MODEL: Verdict.MODEL,
    WireKind.MODEL_DENIED: Verdict.MODEL_DENIED,
    WireKind.WRONG_API: Verdict.MODEL,
    WireKind.QUOTA: Verdict.QUOTA,
    WireKind.BALANCE: Verdict.BALANCE,
    WireKind.UNPAID: Verdict.BALANCE,
    WireKind.UNREACHABLE: Verdict.UNREACHABLE,
}


class Control(Protocol):
    """What a refusal is checked against: the control API. Both calls raise KeyturnError."""

    def list_keys(self, *, fresh: bool = False) -> tuple[ApiKey, ...]:
        """Return a complete list; `fresh`: one that was begun after this call."""

    def prepayment_blocked(self) -> bool | None:
        """Tell whether the account is blocked for lack of balance; None if the token may not know."""


class Inference(Control, Protocol):
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
) -> SmokeResult:
    """Try a secret until the verdict is sure.

    It has to be accepted `times` times in a row over `spread` seconds, with a completion in each (none where
    `smoke.model` is empty). `fresh` says that it was just minted. The control API is asked only before `refused` is
    said. `seconds` of the result is the time to the head of the deciding answer.
    """
    if is_account_token(secret):
        return SmokeResult(Verdict.REFUSED, "it is a token of the account, not a model access key")
    if smoke.origin is Origin.SKIP:
        return SmokeResult(Verdict.SKIPPED, "smoke-checks are switched off for this key")
    start = world.uptime()
    end = start + (timing.propagation if fresh else min(SHORT_SPREAD, timing.propagation))
    pauses = _Pauses(start, end)
    accepted = refused = unknown = 0
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
                return SmokeResult(Verdict.UNREACHABLE, f"accepted and refused in turn; last: {result.detail}")
            if over and refused >= TRIES:
                return _refused(world, result, refused)
        elif result.verdict not in UNKNOWN:
            return result
        else:
            unknown += 1
            if over and unknown >= UNSURE:
                return result
        world.sleep(pauses.next(world.uptime()))


def alive(world: Inference, secret: Secret, timing: Timing, *, dying: bool = False) -> bool | None:
    """Tell whether a secret is accepted: True accepted, False refused (three 401), None unknown.

    An accepted secret is True at once, unless it is `dying` (its key was regenerated a moment ago): then it is True
    only if it is still accepted after `timing.propagation`, and False after two 401 in a row. While the account is
    blocked a refusal proves nothing.
    """
    if is_account_token(secret):
        return False
    start = world.uptime()
    short = start + min(SHORT_SPREAD, timing.propagation)
    end = start + timing.propagation if dying else short
    pauses = _Pauses(start, end)
    refused = unknown = 0
    while True:
        kind = world.models(secret).kind
        now = world.uptime()
        if kind is WireKind.UNAUTHORIZED:
            refused += 1
            if refused >= DEAD if dying else refused >= TRIES and now >= short:
                return None if maybe_blocked(world) else False
        elif kind is WireKind.OK:
            refused = 0
            if not dying or now >= end:
                return True
        else:
            unknown += 1
            if now >= end and unknown >= UNSURE:
                return None
        world.sleep(pauses.first if dying and refused else pauses.next(now))


def maybe_blocked(world: Control) -> bool:
    """Tell whether the account is blocked for lack of balance, or the control API does not answer to tell."""
    try:
        return world.prepayment_blocked() is True
    except KeyturnError:
        return True


def _paid(world: Control) -> bool:
    """Tell whether the account is known not to be blocked, whatever an answer says of a balance."""
    try:
        return world.prepayment_blocked() is False
    except KeyturnError:
        return False


class _Pauses:
    """Growing pauses that land on `end`; after it, short ones."""

    def __init__(self, start: float, end: float) -> None:
        self._end = end
        self.first = min(_FIRST_PAUSE, (end - start) / TRIES)
        self._size = self.first

    def next(self, now: float) -> float:
        """Return the seconds to pause from `now`."""
        left = self._end - now
        if left <= 0:
            return self.first
        pause = min(self._size, left)
        self._size = min(self._size * 2, _LONGEST_PAUSE)
        return pause


def _probe(world: Inference, secret: Secret, smoke: Smoke, api: Api) -> SmokeResult:
    """Try once: the model list, then the completion, on the other API if `api` is the wrong one."""
    listed = world.models(secret)
    if listed.kind is WireKind.UNPAID and _paid(world):
        listed = replace(listed, kind=WireKind.UNAUTHORIZED)
    if listed.kind is not WireKind.OK:
        return _result(listed, "model list", None)
    wanted = dict.fromkeys(name for name in (smoke.model, *smoke.expect_models) if name)
    missing = [name for name in wanted if name not in listed.models]
    if missing:
        return _missing(missing, listed)
    if not smoke.model:
        return SmokeResult(Verdict.ACCEPTED, f"{len(listed.models)} models", None, listed.seconds, listed.models)
    answer = world.complete(secret, smoke.model, api)
    what = f"completion of {plain(smoke.model)}"
    if answer.kind is not WireKind.WRONG_API:
        return _completed(answer, what, api, smoke.model, listed.models)
    other = Api.RESPONSES if api is Api.CHAT else Api.CHAT
    second = world.complete(secret, smoke.model, other)
    if second.kind is WireKind.WRONG_API:
        return _completed(second, f"{what} on either API", api, smoke.model, ())
    told = f"{what}, which does not answer on `{api}`"
    return _completed(second, told, other, smoke.model, listed.models)


def _result(answer: WireAnswer, what: str, api: Api | None) -> SmokeResult:
    verdict = _VERDICTS[answer.kind]
    told = f": {plain(answer.detail)}" if answer.detail else ""
    answered = api if verdict is Verdict.ACCEPTED else None
    seconds = None if verdict is Verdict.UNREACHABLE else answer.seconds
    return SmokeResult(verdict, f"{what}{told}", answered, seconds)


def _completed(answer: WireAnswer, what: str, api: Api, model: str, models: tuple[str, ...]) -> SmokeResult:
    """Judge a completion; if there is no such model, name the nearest ones of the list."""
    if answer.kind is WireKind.UNAUTHORIZED:
        # The list was given to the same secret a moment before: the refusal is not about the secret.
        told = f"{what}: refused, though the list of models accepts the secret"
        return SmokeResult(Verdict.UNREACHABLE, f"{told}: {plain(answer.detail)}", models=models)
    result = replace(_result(answer, what, api), models=models)
    if result.verdict is not Verdict.MODEL:
        return result
    near = _near([model], tuple(name for name in models if name != model))
    return replace(result, detail=f"{result.detail}{near}")


def _missing(missing: list[str], listed: WireAnswer) -> SmokeResult:
    """Name the models that are not listed, and the nearest ones that are."""
    if not listed.models:
        return SmokeResult(Verdict.MODEL_DENIED, "the key may use no model at all", None, listed.seconds)
    names = ", ".join(plain(name) for name in missing)
    what = f"the list of the models that the key may use lacks {names}"
    return SmokeResult(Verdict.MODEL, f"{what}{_near(missing, listed.models)}", None, listed.seconds)


def _near(names: list[str], models: tuple[str, ...]) -> str:
    """Name the listed models that look most like these, empty if none does."""
    found = (difflib.get_close_matches(name, models, n=_NEAREST, cutoff=0.5) for name in names)
    near = dict.fromkeys(plain(one) for nearest in found for one in nearest)
    return f"; near: {', '.join(near)}" if near else ""


def _refused(world: Control, result: SmokeResult, tries: int) -> SmokeResult:
    """Say `refused` unless something else than the secret explains it."""
    told = f"refused {tries} times"
    try:
        world.list_keys(fresh=True)
        blocked = world.prepayment_blocked()
    except KeyturnError:
        return SmokeResult(Verdict.UNREACHABLE, f"{told}, but the control API does not answer either")
    if blocked:
        return SmokeResult(Verdict.BALANCE, f"{told}, but the account is blocked for lack of balance")
    return SmokeResult(Verdict.REFUSED, f"{told}; last: {result.detail}", None, result.seconds)
