"""The rate budget waits rather than meet a 429 that the headers announced."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from keyturn.digitalocean.budget import RateBudget
from keyturn.errors import RateLimited

START = 1_800_000_000.0


class Clock:
    """A clock that only sleeping moves, and what was slept."""

    def __init__(self, start: float = START) -> None:
        self.time = start
        self.slept: list[float] = []

    def now(self) -> datetime:
        """The time."""
        return datetime.fromtimestamp(self.time, UTC)

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self.time += seconds


def limits(remaining: int | str, reset: float | str, **more: str) -> dict[str, str]:
    """The headers of an answer."""
    shown = str(int(reset)) if isinstance(reset, float) else reset
    return {"ratelimit-remaining": str(remaining), "ratelimit-reset": shown, **more}


def learned(clock: Clock, status: int, headers: dict[str, str]) -> RateBudget:
    """A budget that has seen one answer."""
    budget = RateBudget(clock.sleep, clock.now)
    budget.acquire()
    budget.release(status, headers)
    return budget


def test_without_any_answer_nothing_waits() -> None:
    """The first requests, side by side too, go at once."""
    clock = Clock()
    budget = RateBudget(clock.sleep, clock.now)
    for _ in range(10):
        budget.acquire()
    assert clock.slept == []


def test_a_used_up_window_is_waited_out() -> None:
    """Remaining 0 and a reset in 90 s: the next request waits 90 s."""
    clock = Clock()
    learned(clock, 200, limits(0, START + 90)).acquire()
    assert clock.slept == [90]


def test_a_wait_of_more_than_two_minutes_is_refused_unsent_and_says_when() -> None:
    """Remaining 0 and a reset in 121 s: RateLimited without a status, at once."""
    clock = Clock()
    budget = learned(clock, 200, limits(0, START + 121))
    with pytest.raises(RateLimited, match="free again at 2027-01-15 08:02:01 UTC") as raised:
        budget.acquire()
    assert raised.value.status is None
    assert clock.slept == []


def test_requests_in_flight_count() -> None:
    """Two remaining: two go at once, the third waits for an answer."""
    clock = Clock()
    budget = learned(clock, 200, limits(2, START + 1000))
    budget.acquire()
    budget.acquire()
    with pytest.raises(RateLimited):
        budget.acquire()  # polls for two minutes, since no answer comes
    assert sum(clock.slept) == pytest.approx(120, abs=0.1)


def test_after_the_reset_one_request_finds_out_how_much_is_free() -> None:
    """A sliding window may free one request only: the second waits for the first one's answer."""
    clock = Clock()
    budget = learned(clock, 200, limits(0, START + 10))
    budget.acquire()
    assert clock.slept == [10]
    with pytest.raises(RateLimited):
        budget.acquire()
    budget.release(200, limits(50, clock.time + 3600))
    clock.slept.clear()
    for _ in range(50):
        budget.acquire()
    assert clock.slept == []


def test_a_late_answer_of_an_earlier_window_changes_nothing() -> None:
    """Answers come out of order: the one with the earlier reset is old news."""
    clock = Clock()
    budget = learned(clock, 200, limits(0, START + 60))
    budget._in_flight = 1
    budget.release(200, limits(5, START + 50))
    budget.acquire()
    assert clock.slept == [60]


def test_of_one_window_the_lower_number_counts() -> None:
    """Answers come out of order: within a window what remains only falls."""
    clock = Clock()
    budget = learned(clock, 200, limits(0, START + 60))
    budget._in_flight = 1
    budget.release(200, limits(1, START + 60))
    budget.acquire()
    assert clock.slept == [60]


def test_retry_after_holds_back_every_thread() -> None:
    """A 429 with Retry-After: nothing is sent for as many seconds."""
    clock = Clock()
    learned(clock, 429, {"retry-after": "7"}).acquire()
    assert clock.slept == pytest.approx([7], abs=0.1)


def test_retry_after_may_be_a_date() -> None:
    """The other form of Retry-After is a date on the API's clock."""
    clock = Clock()
    when = format_datetime(datetime.fromtimestamp(START + 30, UTC), usegmt=True)
    learned(clock, 429, {"retry-after": when}).acquire()
    assert clock.slept == pytest.approx([30], abs=0.1)


def test_the_reset_is_read_on_the_clock_of_the_api() -> None:
    """Our clock is 100 s behind: a reset in 130 s by our clock is in 30 s."""
    clock = Clock()
    date = format_datetime(datetime.fromtimestamp(START + 100, UTC), usegmt=True)
    budget = learned(clock, 200, limits(0, START + 130, date=date))
    budget.acquire()
    assert budget.skew == 100
    assert clock.slept == pytest.approx([30], abs=0.1)


@pytest.mark.parametrize(
    "headers",
    [
        limits("many", START + 60),
        limits(0, "soon"),
        limits(0, "9" * 400),
        limits(0, START + 86400 * 365),
        limits(-1, START + 60),
        {"ratelimit-remaining": "0"},
        {"date": "yesterday", "retry-after": "soon"},
        {},
    ],
)
def test_headers_that_make_no_sense_are_no_limit(headers: dict[str, str]) -> None:
    """Garbage, or a reset far beyond the hour of the limit, neither stops nor breaks anything."""
    clock = Clock()
    learned(clock, 429, headers).acquire()
    assert clock.slept == []


def test_a_request_without_an_answer_gives_its_place_back() -> None:
    """A failed request leaves the budget as it was."""
    clock = Clock()
    budget = learned(clock, 200, limits(1, START + 1000))
    for _ in range(5):
        budget.acquire()
        budget.release(None, {})
    assert clock.slept == []
