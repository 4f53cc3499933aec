"""Access to the account: the token and the URLs of the environment, the rate budget, and the clocks behind it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from keyturn.core.errors import CredentialError, InputError
from keyturn.core.origins import check_transport, parse_origin
from keyturn.core.results import Progress
from keyturn.core.secret import Secret
from keyturn.engine.signals import stop_requested
from keyturn.live.digitalocean import RateBudget

Hear = Callable[[Progress], None]

TOKENS = ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN")
API = ("KEYTURN_API_URL", "https://api.digitalocean.com")
INFERENCE = ("KEYTURN_INFERENCE_URL", "https://inference.do-ai.run")
_IN_SECONDS = 120
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that continues while the machine sleeps, if the system has one (Linux)."""


def token_of(environment: Mapping[str, str]) -> Secret:
    """Return the account token. Raises CredentialError if there is none."""
    token = next((text for name in TOKENS if (text := environment.get(name, "").strip())), "")
    if not token:
        raise CredentialError(
            "no DigitalOcean token found",
            remedy=f"Set {TOKENS[0]} to a token with the scopes genai:read, genai:update and account:read.",
        )
    return Secret(token)


def budget_of(hear: Hear) -> RateBudget:
    """Return a budget whose waits `hear` is told of, in the thread that waits."""

    def told(seconds: float) -> None:
        """Report a wait. An error of the listener must not interrupt the work on a key."""
        with suppress(Exception):
            hear(Progress("", f"waits {span(seconds)} for the API's rate limit", now()))

    return RateBudget(time.sleep, now, hear=told, stop=_stopping, ticks=uptime)


def span(seconds: float) -> str:
    """Format a wait in seconds, or in minutes from two minutes on."""
    return f"{math.ceil(seconds)} s" if seconds <= _IN_SECONDS else f"{math.ceil(seconds / 60)} min"


def now() -> datetime:
    """Return the wall clock, in UTC."""
    return datetime.now(UTC)


def uptime() -> float:
    """Return the seconds since boot, including sleep if the system counts it."""
    return time.clock_gettime(_CLOCK)


def _stopping() -> bool:
    return stop_requested() is not None


def url_of(environment: Mapping[str, str], variable: str, default: str) -> str:
    """Return the URL of one of the two APIs. It has to be https or on this machine (the sandbox). Raises InputError."""
    url = environment.get(variable, "").strip() or default
    try:
        check_transport(parse_origin(url))
    except InputError as error:
        raise InputError(error.what, where=variable, remedy=error.remedy) from None
    return url
