"""The rate budget waits rather than meet a 429 that the headers announced."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from keyturn.core.errors import RateLimited
from keyturn.live.digitalocean.budget import RateBudget

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
    assert sum(clock.slept) == 90


def test_a_wait_beyond_ones_patience_is_refused_unsent_and_says_when() -> None:
    """Remaining 0 and a reset in 121 s, of which 120 would be waited for: RateLimited without a status, at once."""
    clock = Clock()
    budget = learned(clock, 200, limits(0, START + 121))
    with pytest.raises(RateLimited, match="available again at 2027-01-15 08:02:01 UTC") as raised:
        budget.acquire(120)
    assert raised.value.status is None
    assert clock.slept == []


def test_requests_in_flight_count() -> None:
    """Two remaining: two go at once, the third waits for an answer."""
    clock = Clock()
    budget = learned(clock, 200, limits(2, START + 1000))
    budget.acquire()
    budget.acquire()
    with pytest.raises(RateLimited):
        budget.acquire(120)  # polls for two minutes, since no answer comes
    assert sum(clock.slept) == pytest.approx(120, abs=0.1)


def test_after_the_reset_one_request_finds_out_how_much_is_free() -> None:
    """A sliding window may free one request only: the second waits for the first one's answer."""
    clock = Clock()
    budget = learned(clock, 200, limits(0, START + 10))
    budget.acquire()
    assert sum(clock.slept) == 10
    with pytest.raises(RateLimited):
        budget.acquire(120)
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
    assert sum(clock.slept) == 60


def test_of_one_window_the_lower_number_counts() -> None:
    """Answers come out of order: within a window what remains only falls."""
    clock = Clock()
    budget = learned(clock, 200, limits(0, START + 60))
    budget._in_flight = 1
    budget.release(200, limits(1, START + 60))
    budget.acquire()
    assert sum(clock.slept) == 60


def test_retry_after_holds_back_every_thread() -> None:
    """A 429 with Retry-After: nothing is sent for as many seconds."""
    clock = Clock()
    learned(clock, 429, {"retry-after": "7"}).acquire()
    assert sum(clock.slept) == pytest.approx(7, abs=0.1)


def test_retry_after_may_be_a_date() -> None:
    """The other form of Retry-After is a date on the API's clock."""
    clock = Clock()
    when = format_datetime(datetime.fromtimestamp(START + 30, UTC), usegmt=True)
    learned(clock, 429, {"retry-after": when}).acquire()
    assert sum(clock.slept) == pytest.approx(30, abs=0.1)


def test_the_reset_is_read_on_the_clock_of_the_api() -> None:
    """Our clock is 100 s behind: a reset in 130 s by our clock is in 30 s."""
    clock = Clock()
    date = format_datetime(datetime.fromtimestamp(START + 100, UTC), usegmt=True)
    budget = learned(clock, 200, limits(0, START + 130, date=date))
    budget.acquire()
    assert budget.skew == 100
    assert sum(clock.slept) == pytest.approx(30, abs=0.1)


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
    learned(clock, 200, headers).acquire()
    assert clock.slept == []


def test_a_request_without_an_answer_gives_its_place_back() -> None:
    """A failed request leaves the budget as it was."""
    clock = Clock()
    budget = learned(clock, 200, limits(1, START + 1000))
    for _ in range(5):
        budget.acquire()
        budget.release(None, {})
    assert clock.slept == []


def test_without_a_word_of_when_the_pauses_grow_to_a_minute() -> None:
    """A 429 without headers: 1 s, 2 s, 4 s and so on; an answer that is none begins again."""
    clock = Clock()
    budget = RateBudget(clock.sleep, clock.now)
    pauses = []
    for status in (*[429] * 8, 200, 429):
        budget.acquire()
        budget.release(status, {})
        pauses.append(round(budget.throttled()))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 0, 1]


def test_requests_that_were_refused_together_grow_one_pause() -> None:
    """Four in flight meet a 429 each: that is one refusal, not four."""
    clock = Clock()
    budget = RateBudget(clock.sleep, clock.now)
    for _ in range(4):
        budget.acquire()
    for _ in range(4):
        budget.release(429, {})
    assert budget.throttled() == pytest.approx(1, abs=0.1)


def test_after_a_429_no_herd_comes_back() -> None:
    """When its time is over one request finds out; its answer lets two through, each of theirs one more."""
    clock = Clock()
    budget = learned(clock, 429, {"retry-after": "5"})
    budget.acquire()
    side_by_side = []
    for _ in range(3):
        budget.release(200, {})
        while budget.throttled() <= 0:
            budget.acquire()
        side_by_side.append(budget._in_flight)
    assert side_by_side == [2, 3, 4]


def test_no_more_is_sent_than_a_minute_allows() -> None:
    """The headers are silent about the minute: of 600 requests no 250 and one go out within sixty seconds."""
    clock = Clock()
    budget = RateBudget(clock.sleep, clock.now)
    sent = []
    for _ in range(600):
        budget.acquire()
        sent.append(clock.time)
        budget.release(200, limits(4000, START + 3600, **{"ratelimit-limit": "5000"}))
        clock.time += 0.02
    assert all(later - earlier > 60 for earlier, later in zip(sent, sent[250:], strict=False))
    assert sent[-1] - START < 2 * 61 + 5


def test_a_larger_limit_of_the_hour_is_one_of_the_minute_too() -> None:
    """The minute is a twentieth of the hour, as the API documents it: where the hour has 10,000 it has 500."""
    clock = Clock()
    budget = learned(clock, 200, limits(9000, START + 3600, **{"ratelimit-limit": "10000"}))
    for _ in range(499):
        budget.acquire()
        budget.release(200, {})
    assert clock.slept == []
    assert budget.throttled() == pytest.approx(60, abs=0.1)


def test_a_wait_is_told_once_for_all_who_wait() -> None:
    """Anyone who asks or waits within the same window is silent; the next window is told again."""
    clock, told = Clock(), list[float]()
    budget = RateBudget(clock.sleep, clock.now, hear=told.append)
    for _ in range(2):
        budget.acquire()
        budget.release(429, {"retry-after": "12"})
        for _ in range(3):
            budget.throttled()
            clock.time += 1
        budget.acquire()
        budget.release(200, {})
    assert told == pytest.approx([12, 12], abs=0.1)


def test_a_wait_of_a_moment_is_not_told() -> None:
    """A second is not worth a line."""
    clock, told = Clock(), list[float]()
    budget = RateBudget(clock.sleep, clock.now, hear=told.append)
    budget.acquire()
    budget.release(429, {"retry-after": "1"})
    budget.acquire()
    assert told == []


def test_a_request_to_stop_ends_a_wait() -> None:
    """Within a second, with nothing sent."""
    clock = Clock()
    budget = RateBudget(clock.sleep, clock.now, stop=lambda: clock.time > START + 4)
    budget.acquire()
    budget.release(429, {"retry-after": "3000"})
    with pytest.raises(RateLimited):
        budget.acquire()
    assert sum(clock.slept) <= 6


def test_a_wall_clock_that_is_set_changes_no_wait() -> None:
    """By `ticks` it waits on, whatever the wall clock says meanwhile."""
    clock, wall = Clock(), Clock()
    budget = RateBudget(clock.sleep, wall.now, ticks=lambda: clock.time)
    budget.acquire()
    budget.release(200, limits(0, START + 90))
    wall.time -= 7200
    budget.acquire()
    assert sum(clock.slept) == pytest.approx(90, abs=0.1)


@pytest.mark.finding("L10", before="an absurd Date header lost the answer to a mint", now="such a header is ignored")
@pytest.mark.parametrize(
    "date",
    [
        "Mon, 99999999999999999999 Jan 2026 00:00:00 GMT",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 2026 99999999999:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
        "",
        ",",
        "\udcff",
    ],
)
def test_a_date_beyond_all_calendars_is_ignored(date: str) -> None:
    """The request is returned to the budget, and its answer is used."""
    clock = Clock()
    for headers in ({"date": date}, {"date": format_datetime(clock.now()), "retry-after": date}):
        budget = learned(clock, 200, limits(5, START + 100, **headers))
        assert abs(budget.skew) < 86400 * 366 * 10_000
        budget.acquire()
        budget.release(429, headers)
