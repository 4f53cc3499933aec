"""What the fake DigitalOcean can be told about itself, at start and while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Final

CREATE: Final = ("gone", "allowed")
QUOTA: Final = ("ok", "exceeded", "unpaid", "blocked")
DENIED: Final = (403, 404)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the account behaves; every field may be changed at run time.

    create: `gone` (410, the truth since 2026-06-11) or `allowed`.
    propagation: seconds until inference accepts a fresh secret.
    linger: seconds for which inference still accepts a replaced secret; the real one promises 0.
    latency: seconds of real waiting before each answer of the two APIs.
    hour_limit, minute_limit: requests for each account token on the control API.
    quota: `ok`, `exceeded` (429), `unpaid` (402) or `blocked` (403): what a completion meets.
    denied: 403 or 404, the answer to a model outside the scope of the key.
    inside_vpc: whether callers count as inside the VPC of a bound key.
    """

    create: str = "gone"
    propagation: float = 0.0
    linger: float = 0.0
    latency: float = 0.0
    hour_limit: int = 5000
    minute_limit: int = 250
    quota: str = "ok"
    denied: int = 403
    inside_vpc: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field and what would be right."""
        for name, (right, holds) in _RULES.items():
            if not holds(getattr(self, name)):
                raise ValueError(f"{name}: expected {right}")

    def changed(self, changes: Mapping[str, object]) -> Settings:
        """Give these settings with some fields replaced; ValueError for an unknown or wrong one."""
        unknown = sorted(set(changes) - {field.name for field in fields(self)})
        if unknown:
            raise ValueError(f"no such setting: {', '.join(unknown)}")
        return replace(self, **dict(changes))  # type: ignore[arg-type]  # __post_init__ checks every value

    def view(self) -> dict[str, object]:
        """Give the settings as a JSON object."""
        return asdict(self)


def is_seconds(value: object) -> bool:
    """Tell whether a value can be a number of seconds: finite and not negative."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


_SECONDS: Final = ("a number of seconds, 0 or more", is_seconds)
_COUNT: Final = ("a whole number above 0", _is_count)
_RULES: Final[dict[str, tuple[str, Callable[[object], bool]]]] = {
    "create": (f"one of {', '.join(CREATE)}", lambda value: value in CREATE),
    "propagation": _SECONDS,
    "linger": _SECONDS,
    "latency": _SECONDS,
    "hour_limit": _COUNT,
    "minute_limit": _COUNT,
    "quota": (f"one of {', '.join(QUOTA)}", lambda value: value in QUOTA),
    "denied": ("403 or 404", lambda value: value in DENIED),
    "inside_vpc": ("true or false", lambda value: isinstance(value, bool)),
}
