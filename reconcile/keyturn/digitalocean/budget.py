"""The rate budget of one account token, shared by all threads: it waits rather than meet a 429 that was announced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from keyturn.errors import RateLimited

LONGEST_WAIT = 120.0
_POLL = 0.05
_HORIZON = 2 * 3600.0
_DIGITS = 15
_MARGIN = 0.01
"""Seconds beyond a `Retry-After`: who comes a rounding error too early is refused once more."""


class RateBudget:
    """Follows `ratelimit-remaining`, `ratelimit-reset` and `Retry-After`, counting what other threads have in flight.

    `skew` is the API's last `Date` minus our clock, in seconds; it is used to read `ratelimit-reset`, which is Unix
    time on the API's clock.
    """

    def __init__(self, sleep: Callable[[float], None], now: Callable[[], datetime]) -> None:
        """Start without a limit: the first answer brings one."""
        self._sleep = sleep
        self._now = now
        self._lock = threading.Lock()
        self._in_flight = 0
        self._remaining: int | None = None
        self._reset = 0.0
        self._not_before = 0.0
        self.skew = 0.0

    def acquire(self) -> None:
        """Take one request out of the budget, waiting for it up to 120 s.

        Raises RateLimited (status None: nothing was sent) where it would take longer.
        """
        waited = 0.0
        while True:
            with self._lock:
                pause = self._pause()
                if pause <= 0:
                    self._in_flight += 1
                    return
            if waited + pause > LONGEST_WAIT:
                free = datetime.fromtimestamp(self._clock() + pause, UTC)
                raise RateLimited(
                    "not sent: the token's requests are used up",
                    evidence=f"free again at {free:%Y-%m-%d %H:%M:%S} UTC",
                    remedy="Run again then.",
                )
            self._sleep(pause)
            waited += pause

    def release(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Give the request back with what its answer said; `status` None and no headers where none came."""
        with self._lock:
            self._in_flight -= 1
            now = self._clock()
            said = _date(headers.get("date"))
            if said is not None:
                self.skew = said - now
            wait = (
                self._retry_after(headers.get("retry-after"), now) if status == HTTPStatus.TOO_MANY_REQUESTS else None
            )
            if wait is not None:
                self._not_before = max(self._not_before, now + min(wait, _HORIZON) + _MARGIN)
            self._learn(headers.get("ratelimit-remaining"), headers.get("ratelimit-reset"))

    def _pause(self) -> float:
        """Return seconds to wait before the next request, 0.0 for none."""
        now = self._clock()
        if now < self._not_before:
            return self._not_before - now
        if self._remaining is None:
            return 0.0
        if self._remaining <= 0:
            until = self._reset - (now + self.skew)
            if until > 0:
                return until
            # The window may slide: one request finds out how much is free again.
            self._remaining = 1
        return 0.0 if self._remaining > self._in_flight else _POLL

    def _learn(self, remaining: str | None, reset: str | None) -> None:
        left, until = _number(remaining), _number(reset)
        if left is None or until is None:
            return
        here = self._clock() + self.skew
        if until > here + _HORIZON:
            return
        if self._remaining is not None and here < self._reset:
            if until < self._reset:
                return  # an answer of an earlier window that came late
            if until == self._reset:
                left = min(left, self._remaining)
        self._remaining, self._reset = left, float(until)

    def _retry_after(self, value: str | None, now: float) -> float | None:
        """Read `Retry-After`: seconds, or an HTTP date on the API's clock."""
        if value is None:
            return None
        seconds = _number(value)
        if seconds is not None:
            return float(seconds)
        moment = _date(value)
        return None if moment is None else max(0.0, moment - (now + self.skew))

    def _clock(self) -> float:
        return self._now().timestamp()


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() and len(value) <= _DIGITS else None


def _date(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
