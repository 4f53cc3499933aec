"""The rate budget of one account token, shared by all threads. It waits in order to avoid a predictable 429.

Headers report the hourly limit. Only a 429 reports the limit per minute, so the budget counts its own requests.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from keyturn.core.errors import RateLimited

LONGEST_WAIT = 75 * 60.0
"""The longest wait of a call in seconds: one hour for the hourly limit, and a margin."""
MINUTE = 60.0
BURST = 250
"""The requests per minute that the API guarantees."""
BURST_SHARE = 0.05
"""The limit per minute as a share of the hourly limit, if the headers report a larger one."""
LONGEST_PAUSE = 60.0
"""The longest pause in seconds after a 429 without `Retry-After`."""
SAID = 2.0
"""Waits longer than this many seconds are reported."""
CROWD = 32
"""So many at a time are sent after a 429 at most; once they are answered, only the limits themselves hold."""
SLICE = 1.0
"""Seconds of one sleep, and so the longest delay before a stop request takes effect."""
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that continues while the machine sleeps, if the system has one (Linux)."""
_POLL = 0.05
_HORIZON = 2 * 3600.0
_DIGITS = 15
_MARGIN = 0.01
"""Seconds added to a `Retry-After`: a retry that is early by a rounding error gets another 429."""


def uptime() -> float:
    """Return the seconds since the machine began, also those of its sleep."""
    return time.clock_gettime(_CLOCK)


class RateBudget:
    """Follows `ratelimit-*` and `Retry-After`, and counts its own requests of the last minute and those in flight.

    After a 429 it sends one request, then two, four and so on, so that all threads do not come back at once. `skew` is
    the API's last `Date` minus our clock, in seconds. It is needed for `ratelimit-reset`, which is Unix time on the
    API's clock.
    """

    def __init__(
        self,
        sleep: Callable[[float], None],
        now: Callable[[], datetime],
        *,
        hear: Callable[[float], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
        ticks: Callable[[], float] | None = None,
    ) -> None:
        """Start without an hourly limit. The first answer sets it.

        `hear` is called with the seconds of a wait, by the first of all threads that wait together. `stop` ends a wait
        early. `ticks` is a clock in seconds that never jumps; the default is `now`.
        """
        self._sleep = sleep
        self._now = now
        self._hear = hear
        self._told = float("-inf")
        self._stop = stop
        self.ticks = ticks or self._clock
        self._lock = threading.Lock()
        self._in_flight = 0
        self._answered: deque[float] = deque()
        self._burst = BURST
        self._crowd = CROWD
        self._remaining: int | None = None
        self._reset = 0.0
        self._reset_at = 0.0
        self._not_before = 0.0
        self._pauses = 0
        self.skew = 0.0

    def acquire(self, patience: float = LONGEST_WAIT) -> None:
        """Take one request from the budget. Wait up to `patience` seconds for it.

        Raises RateLimited (status None: nothing was sent) if it would take longer, or if `stop` returns True.
        """
        waited = 0.0
        while True:
            with self._lock:
                pause = self._pause()
                if pause <= 0:
                    self._in_flight += 1
                    return
            if waited + pause > patience or (waited > 0 and self._stop()):
                free = datetime.fromtimestamp(self._clock() + pause, UTC)
                raise RateLimited(
                    "not sent: the token's rate limit is used up",
                    evidence=f"available again at {free:%Y-%m-%d %H:%M:%S} UTC",
                    remedy="Run again then.",
                )
            self._tell(pause)
            pause = min(pause, SLICE)
            self._sleep(pause)
            waited += pause

    def left(self) -> int | None:
        """Return how many requests of this hour the API has left, as its last answer said; None before any answer."""
        return self._remaining

    def throttled(self) -> float:
        """Return the seconds that the next request has to wait, or 0.0. Report a long wait."""
        with self._lock:
            pause = self._pause()
        self._tell(pause)
        return pause

    def release(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Return the request, with status and headers of its answer. Without an answer, `status` is None."""
        with self._lock:
            self._in_flight -= 1
            now = self._clock()
            said = _date(headers.get("date"))
            if said is not None:
                self.skew = said - now
            self._learn(headers.get("ratelimit-remaining"), headers.get("ratelimit-reset"))
            hour = _number(headers.get("ratelimit-limit"))
            if hour is not None:
                self._burst = max(BURST, int(hour * BURST_SHARE))
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                self._refused(headers.get("retry-after"), now)
                return
            self._answered.append(self.ticks())  # not the time of sending: the API counts the request no later than now
            if status is not None:
                self._pauses = 0
                self._crowd = min(self._crowd + 1, CROWD)

    def _tell(self, pause: float) -> None:
        """Report a wait, unless another thread has reported it."""
        with self._lock:
            end = self.ticks() + pause
            if pause <= SAID or end <= self._told + SLICE:
                return
            self._told = end
        self._hear(pause)

    def _refused(self, retry_after: str | None, now: float) -> None:
        """Delay all requests: for the time that a 429 states, or else for a little longer each time."""
        self._crowd = 1
        ticks, wait = self.ticks(), self._retry_after(retry_after, now)
        if wait is None:
            if ticks < self._not_before or (self._remaining == 0 and ticks < self._reset_at):
                return  # one of several requests that were refused together, or the headers state the time
            wait = min(2.0**self._pauses, LONGEST_PAUSE)
            self._pauses = min(self._pauses + 1, _DIGITS)
        self._not_before = max(self._not_before, ticks + min(wait, _HORIZON) + _MARGIN)

    def _pause(self) -> float:
        """Return the seconds to wait before the next request, or 0.0."""
        now = self.ticks()
        if now < self._not_before:
            return self._not_before - now
        if self._crowd < CROWD and self._in_flight >= self._crowd:
            return _POLL
        return max(self._minute(now), self._hour(now))

    def _minute(self, now: float) -> float:
        """Return the wait for the limit per minute, as far as our own requests use it up."""
        while self._answered and self._answered[0] <= now - MINUTE - _MARGIN:
            self._answered.popleft()
        if len(self._answered) + self._in_flight < self._burst:
            return 0.0
        return self._answered[0] + MINUTE + _MARGIN - now if len(self._answered) >= self._burst else _POLL

    def _hour(self, now: float) -> float:
        """Return the wait for the hourly limit, as the headers report it."""
        if self._remaining is None:
            return 0.0
        if self._remaining <= 0:
            if now < self._reset_at:
                return self._reset_at - now
            # The window may be sliding: send one request to learn how much is free again.
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
                return  # a late answer from an earlier window
            if until == self._reset:
                left = min(left, self._remaining)
        self._remaining, self._reset = left, float(until)
        self._reset_at = self.ticks() + self._reset - here

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
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
