"""The account behind a token: opens the control API alone, and examines what the token may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keyturn.core.checkup import Check, Mark, failed, failure, skipped, warned
from keyturn.core.errors import ApiForbidden, KeyturnError
from keyturn.core.machine.ownership import MAX_SKEW
from keyturn.core.model import ApiKey, Timing
from keyturn.core.origins import parse_origin
from keyturn.core.variables import API, account_token
from keyturn.live.digitalocean import ControlApi
from keyturn.live.live_world import Hear, budget_of, span, token_of, url_of
from keyturn.targets.base import proxy_for

PART = "account"
SCOPES = "genai:read, genai:update and account:read"
FEW = 100
"""Fewer requests than this may not be enough for a run."""


def open_account(
    environment: Mapping[str, str],
    timing: Timing = Timing(),  # noqa: B008 - frozen
    hear: Hear = lambda _: None,
) -> ControlApi:
    """Return the control API of the token in `environment`. Nothing is sent. `hear` is told of waits.

    Raises CredentialError if there is no token, InputError for an invalid URL or proxy.
    """
    token, url = token_of(environment), url_of(environment, *API)
    proxy = proxy_for(str(parse_origin(url)), environment)
    return ControlApi(url, token, timing=timing, budget=budget_of(hear), proxy=proxy)


@dataclass(slots=True)
class Account:
    """What an examination learns: the team (empty: the token may not read it), and the keys (None: not readable)."""

    team: str = ""
    keys: tuple[ApiKey, ...] | None = None


def examine_account(environment: Mapping[str, str], timing: Timing, found: Account) -> Iterator[Check]:
    """Yield a check per fact of the account token; `found` is filled in. Only reading calls are made."""
    try:
        control = open_account(environment, timing)
    except KeyturnError as error:
        yield failure(PART, error)
        return
    try:
        yield Check(PART, f"the token is in {account_token(environment)[0]}")
        url = url_of(environment, *API)
        if url != API[1]:
            yield Check(PART, f"requests go to {parse_origin(url)}, because {API[0]} is set, not to {API[1]}")
        yield from _token(control, found)
    finally:
        control.close()


def _token(control: ControlApi, found: Account) -> Iterator[Check]:
    try:
        found.team = control.account()
    except KeyturnError as error:
        yield failure(PART, error)
        return
    if found.team:
        yield Check(PART, f"the token is accepted, and of the team {found.team} (account:read)")
    else:
        yield warned(
            PART,
            "the token may not read its team (account:read), so a token of another team may go unnoticed",
            f"Create a token with the scopes {SCOPES}, in the control panel under API.",
        )
    try:
        found.keys = control.list_keys()
    except ApiForbidden as error:
        error.remedy = f"{error.remedy} Create a token with the scopes {SCOPES}, in the control panel under API."
        yield failure(PART, error)
    except KeyturnError as error:
        yield failure(PART, error)
    else:
        live = sum(not key.deleted_at for key in found.keys)
        yield Check(PART, f"the token may list API keys (genai:read): {live} of them")
        yield skipped(PART, "genai:update, which a rotation needs, cannot be tried without a change")
    yield from _balance(control)
    left = control.budget.left()
    if left is not None:
        word = f"{left} requests are left in this hour's rate limit of the token"
        remedy = "Wait, or use a token of keyturn's own: other programs may be using this one."
        yield warned(PART, word, remedy) if left < FEW else Check(PART, word)
    yield _clock(control.clock_skew())


def _balance(control: ControlApi) -> Iterator[Check]:
    try:
        blocked = control.prepayment_blocked()
    except KeyturnError as error:
        yield failure(PART, error)
        return
    if blocked is None:
        yield skipped(PART, "whether the balance is used up: the token may not read it (billing:read, optional)")
    elif blocked:
        remedy = "Add balance to the account, in the control panel under Billing."
        yield failed(PART, "the account is blocked: its prepaid balance is used up", remedy)
    else:
        yield Check(PART, "the balance is not used up (billing:read)")


def _clock(skew: float) -> Check:
    """Judge the API's time minus this machine's, in seconds."""
    if abs(skew) <= MAX_SKEW:
        return Check(PART, f"this machine's clock agrees with the API's to {max(1, round(abs(skew)))} s", Mark.OK)
    side = "behind" if skew > 0 else "ahead of"
    return failed(
        PART,
        f"this machine's clock is {span(abs(skew))} {side} the API's; more than {MAX_SKEW:.0f} s stop every change",
        "Set the clock of this machine, for example by NTP: timedatectl set-ntp true.",
    )
