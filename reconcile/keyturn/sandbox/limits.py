"""The request limits of the control API: a sliding hour and a sliding minute per account token."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

HOUR: Final = 3600.0
MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits for one request. `retry_after` (whole seconds) is set if only the minute is used up."""

    limit: int
    remaining: int
    reset: int
    allowed: bool = True
    retry_after: int | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        headers = {
            "ratelimit-limit": str(self.limit),
            "ratelimit-remaining": str(self.remaining),
            "ratelimit-reset": str(self.reset),
        }
        return headers if self.retry_after is None else {**headers, "retry-after": str(self.retry_after)}


class Meter:
    """Counts requests. A refused request is not counted."""

    def __init__(self) -> None:
        """Start without requests."""
        self._hour: dict[str, deque[float]] = {}
        self._minute: dict[str, deque[float]] = {}

    def take(self, token: str, now: float, hour_limit: int, minute_limit: int, *, count: bool = True) -> Allowance:
        """Count one request of a token at `now` (Unix seconds), or refuse it. Without `count`, only check."""
        hour = _within(self._hour.setdefault(token, deque()), now - HOUR)
        minute = _within(self._minute.setdefault(token, deque()), now - MINUTE)
        hour_full, minute_full = len(hour) >= hour_limit, len(minute) >= minute_limit
        allowed = not hour_full and not minute_full
        if allowed and count:
            hour.append(now)
            minute.append(now)
        return Allowance(
            limit=hour_limit,
            remaining=max(hour_limit - len(hour), 0),
            reset=math.ceil((hour[0] if hour else now) + HOUR),
            allowed=allowed,
            retry_after=max(1, math.ceil(minute[0] + MINUTE - now)) if minute_full and not hour_full else None,
        )


def untouched(now: float, hour_limit: int) -> Allowance:
    """Return the allowance of an unknown token, which is not counted."""
    return Allowance(limit=hour_limit, remaining=hour_limit, reset=math.ceil(now + HOUR))


def _within(seen: deque[float], start: float) -> deque[float]:
    while seen and seen[0] <= start:
        seen.popleft()
    return seen
