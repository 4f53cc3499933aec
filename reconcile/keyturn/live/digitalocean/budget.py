"""The rate budget of one account token, shared by all threads: it waits rather than meet a 429 that can be foreseen.

The headers tell of the hour. Nothing tells of the minute before its 429, so the budget counts what it sent itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from keyturn.core.errors import RateLimited

LONGEST_WAIT = 75 * 60.0
"""Seconds that a call waits at most: the hour's limit may be used up, and a little more."""
MINUTE = 60.0
BURST = 250
"""Requests per minute that the API promises at least."""
BURST_SHARE = 0.05
"""The minute's share of the hour's limit, where the headers tell a larger one."""
LONGEST_PAUSE = 60.0
"""Seconds between two tries where a 429 does not tell when to come again."""
SAID = 2.0
"""Waits of more seconds are told."""
CROWD = 32
"""So many requests side by side are as good as any number."""
SLICE = 1.0
"""Seconds of one sleep: how long a request to stop may go unheard."""
_POLL = 0.05
_HORIZON = 2 * 3600.0
_DIGITS = 15
_MARGIN = 0.01
"""Seconds beyond a `Retry-After`: who comes a rounding error too early is refused once more."""


class RateBudget:
    """Follows `ratelimit-*` and `Retry-After`, counts its own requests of the last minute and those in flight.

    After a 429 one request finds out whether more are let through, then two, four and so on: no herd comes back at
    once. `skew` is the API's last `Date` minus our clock, in seconds; it is used to read `ratelimit-reset`, which is
    Unix time on the API's clock.
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
        """Start without a limit of the hour: the first answer brings one.

        `hear` is told how many seconds a wait takes: once for all threads that wait together, in the first one of them.
        `stop` ends a wait early. `ticks`: seconds that never jump, by which it waits; without it those of `now`.
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
        """Take one request out of the budget, waiting for it up to `patience` seconds.

        Raises RateLimited (status None: nothing was sent) where it would take longer, or `stop` says so.
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
                    "not sent: the token's requests are used up",
                    evidence=f"free again at {free:%Y-%m-%d %H:%M:%S} UTC",
                    remedy="Run again then.",
                )
            self._tell(pause)
            pause = min(pause, SLICE)
            self._sleep(pause)
            waited += pause

    def throttled(self) -> float:
        """Return how many seconds the next request has to wait, 0.0 where it may go out; a long wait is told."""
        with self._lock:
            pause = self._pause()
        self._tell(pause)
        return pause

    def release(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Give the request back with what its answer said; `status` None and no headers where none came."""
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
            self._answered.append(self.ticks())  # not when it was sent: the API counts no later than this
            if status is not None:
                self._pauses = 0
                self._crowd = min(self._crowd + 1, CROWD)

    def _tell(self, pause: float) -> None:
        """Tell of a wait, unless another thread told of it."""
        with self._lock:
            end = self.ticks() + pause
            if pause <= SAID or end <= self._told + SLICE:
                return
            self._told = end
        self._hear(pause)

    def _refused(self, retry_after: str | None, now: float) -> None:
        """Hold everyone back: as long as a 429 says, else a little longer each time."""
        self._crowd = 1
        ticks, wait = self.ticks(), self._retry_after(retry_after, now)
        if wait is None:
            if ticks < self._not_before or (self._remaining == 0 and ticks < self._reset_at):
                return  # of a crowd that was refused together, or the headers say when
            wait = min(2.0**self._pauses, LONGEST_PAUSE)
            self._pauses = min(self._pauses + 1, _DIGITS)
        self._not_before = max(self._not_before, ticks + min(wait, _HORIZON) + _MARGIN)

    def _pause(self) -> float:
        """Return seconds to wait before the next request, 0.0 for none."""
        now = self.ticks()
        if now < self._not_before:
            return self._not_before - now
        if self._crowd < CROWD and self._in_flight >= self._crowd:
            return _POLL
        return max(self._minute(now), self._hour(now))

    def _minute(self, now: float) -> float:
        """Wait for the minute, as far as our own requests fill it."""
        while self._answered and self._answered[0] <= now - MINUTE - _MARGIN:
            self._answered.popleft()
        if len(self._answered) + self._in_flight < self._burst:
            return 0.0
        return self._answered[0] + MINUTE + _MARGIN - now if len(self._answered) >= self._burst else _POLL

    def _hour(self, now: float) -> float:
        """Wait for the hour, as the headers tell it."""
        if self._remaining is None:
            return 0.0
        if self._remaining <= 0:
            if now < self._reset_at:
                return self._reset_at - now
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
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
