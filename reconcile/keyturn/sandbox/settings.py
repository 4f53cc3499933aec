"""The settings of the fake DigitalOcean, at start and at run time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Final

from keyturn.sandbox.catalogue import MODELS
from keyturn.sandbox.deployments import ENDS
from keyturn.sandbox.state import OLDER, PREFIXES, Mint

CREATE: Final = ("gone", "allowed")
QUOTA: Final = ("ok", "exceeded", "unpaid", "blocked")
BALANCE: Final = ("ok", "blocked")
BALANCE_STATUS: Final = (401, 402, 403)
DENIED: Final = (403, 404)


@dataclass(frozen=True, slots=True)
class Settings:
    """The behaviour of the account. Each field can be changed at run time.

    create: `gone` (410, the truth since 2026-06-11) or `allowed`.
    propagation: seconds until inference accepts a new secret.
    linger: seconds for which inference still accepts a replaced secret; the real one promises 0.
    latency: seconds of real waiting before each answer of the two APIs.
    hour_limit, minute_limit: requests per account token on the control API.
    quota: `ok`, `exceeded` (429), `unpaid` (402) or `blocked` (403): the answer to a completion.
    balance: `ok`, or `blocked` if the prepaid balance is used up: a completion then gets `balance_status`.
    balance_status: 401, 402 or 403. The status of the real service is not known.
    denied: 403 or 404, the answer to a model outside the scope of the key.
    inside_vpc: whether callers count as inside the VPC of a bound key.
    tier_denied: models that are listed but refused (403), because the account's tier does not include them.
    retired: models that are no longer listed and answer 404.
    unavailable_regions: regions whose secrets cannot be reached: 503, and the list of secrets names them instead.
    secret_prefix: `sk-do-` or `doo_v1_`, the two formats of real secrets, or `mixed`: both, and a regenerate
        gives the other one. Whether a real regenerate keeps the format is not known.
    deployment: seconds until a deployment of App Platform that starts now ends. deployment_end: how it ends: `ACTIVE`,
        `ERROR` or `CANCELED`.
    openai_errors: whether errors of inference are `{"error": {…}}`, instead of the documented `{"id", "message"}`.
    """

    create: str = "gone"
    propagation: float = 0.0
    linger: float = 0.0
    latency: float = 0.0
    hour_limit: int = 5000
    minute_limit: int = 250
    quota: str = "ok"
    balance: str = "ok"
    balance_status: int = 402
    denied: int = 403
    inside_vpc: bool = False
    tier_denied: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    unavailable_regions: tuple[str, ...] = ()
    secret_prefix: str = OLDER
    deployment: float = 0.0
    deployment_end: str = "ACTIVE"
    openai_errors: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError with the field and the expected value. Models may be given as a list."""
        for name in ("tier_denied", "retired", "unavailable_regions"):
            if isinstance(given := getattr(self, name), list):
                object.__setattr__(self, name, tuple(given))
        for name, (right, holds) in _RULES.items():
            if not holds(getattr(self, name)):
                raise ValueError(f"{name}: expected {right}")

    def changed(self, changes: Mapping[str, object]) -> Settings:
        """Return these settings with some fields replaced. Raises ValueError for an unknown or wrong one."""
        unknown = sorted(set(changes) - {field.name for field in fields(self)})
        if unknown:
            raise ValueError(f"unknown setting: {', '.join(unknown)}")
        return replace(self, **dict(changes))  # type: ignore[arg-type]  # __post_init__ checks every value

    @property
    def mint(self) -> Mint:
        """The settings of secrets."""
        return Mint(self.secret_prefix, self.propagation, self.linger)

    def view(self) -> dict[str, object]:
        """Return the settings as a JSON object."""
        return asdict(self)


def is_seconds(value: object) -> bool:
    """Tell whether a value can be a number of seconds: finite and not negative."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_models(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) and name in MODELS for name in value)


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) for name in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_SECONDS: Final = ("a number of seconds, 0 or more", is_seconds)
_COUNT: Final = ("a whole number above 0", _is_count)
_FLAG: Final = ("true or false", lambda value: isinstance(value, bool))
_MODELS: Final = (f"a list of some of {', '.join(MODELS)}", _is_models)
_RULES: Final[dict[str, tuple[str, Callable[[object], bool]]]] = {
    "create": (f"one of {', '.join(CREATE)}", lambda value: value in CREATE),
    "propagation": _SECONDS,
    "linger": _SECONDS,
    "latency": _SECONDS,
    "hour_limit": _COUNT,
    "minute_limit": _COUNT,
    "quota": (f"one of {', '.join(QUOTA)}", lambda value: value in QUOTA),
    "balance": (f"one of {', '.join(BALANCE)}", lambda value: value in BALANCE),
    "balance_status": ("401, 402 or 403", lambda value: value in BALANCE_STATUS),
    "denied": ("403 or 404", lambda value: value in DENIED),
    "inside_vpc": _FLAG,
    "tier_denied": _MODELS,
    "retired": _MODELS,
    "unavailable_regions": ("a list of regions", _is_texts),
    "secret_prefix": (f"one of {', '.join(PREFIXES)}", lambda value: value in PREFIXES),
    "deployment": _SECONDS,
    "deployment_end": (f"one of {', '.join(ENDS)}", lambda value: value in ENDS),
    "openai_errors": _FLAG,
}
