"""When a scheduled rotation may start; windows keep their local time through changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keyturn.core.errors import InputError
from keyturn.core.model import Rotation, Strategy, Window
from keyturn.core.schedule import due, due_since, next_opening, next_rotation, window_open

BERLIN = "Europe/Berlin"
HOUR = timedelta(hours=1)
MINTED = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rotation(every: timedelta | None, window: Window | None = None) -> Rotation:
    """Return a rotation."""
    return Rotation(Strategy.ALTERNATING, every, HOUR, window)


def test_without_a_window_age_alone_decides() -> None:
    """Due from the moment on, not before."""
    daily = rotation(timedelta(days=1))
    assert not due(daily, MINTED, at("2026-01-02T11:59:59"))
    assert due(daily, MINTED, at("2026-01-02T12:00:00"))
    assert next_rotation(daily, MINTED, MINTED) == due_since(daily, MINTED) == at("2026-01-02T12:00:00")


def test_on_demand_is_never_due() -> None:
    """Without `every` there is no schedule, window or not."""
    never = rotation(None, Window("* * * * *", HOUR))
    assert not due(never, MINTED, at("2036-01-01T00:00:00"))
    assert next_rotation(never, MINTED, MINTED) is None
    assert due_since(never, MINTED) is None


def test_a_window_holds_back_what_is_old_enough() -> None:
    """It waits for the next opening, and for another where it missed one."""
    weekly = rotation(timedelta(days=1), Window("0 2 * * SUN", 2 * HOUR))
    sunday = at("2026-01-04T02:00:00")
    assert not due(weekly, MINTED, sunday - timedelta(seconds=1))
    assert due(weekly, MINTED, sunday)
    assert due(weekly, MINTED, sunday + 2 * HOUR - timedelta(seconds=1))
    assert not due(weekly, MINTED, sunday + 2 * HOUR)
    assert next_rotation(weekly, MINTED, MINTED) == due_since(weekly, MINTED) == sunday
    assert next_rotation(weekly, MINTED, sunday + HOUR) == sunday + HOUR
    assert next_rotation(weekly, MINTED, sunday + 2 * HOUR) == sunday + timedelta(days=7)


def test_a_secret_that_comes_of_age_in_an_open_window_is_due_at_once() -> None:
    """It need not wait for the next opening."""
    window = Window("0 11 * * *", 2 * HOUR)
    assert next_rotation(rotation(timedelta(days=1), window), MINTED, MINTED) == at("2026-01-02T12:00:00")


@pytest.mark.parametrize(
    ("cron", "start", "opening"),
    [
        # Berlin skips 02:00 to 03:00 on 29 March 2026 (01:00 UTC).
        ("30 2 * * *", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        ("0 3 * * *", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),
        ("0 4 * * *", "2026-03-28T12:00:00", "2026-03-29T02:00:00"),
        # Berlin has 02:00 to 03:00 twice on 25 October 2026 (00:00 and 01:00 UTC).
        ("30 2 * * *", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
        ("45 2 * * *", "2026-10-25T01:10:00", "2026-10-26T01:45:00"),
        ("0 4 * * *", "2026-10-24T12:00:00", "2026-10-25T03:00:00"),
        # and in a summer and a winter week.
        ("0 2 * * SUN", "2026-07-01T00:00:00", "2026-07-05T00:00:00"),
        ("0 2 * * SUN", "2026-12-01T00:00:00", "2026-12-06T01:00:00"),
    ],
)
def test_windows_keep_local_time(cron: str, start: str, opening: str) -> None:
    """A skipped time opens when the gap ends, a doubled one at the first."""
    assert next_opening(Window(cron, HOUR, BERLIN), at(start)) == at(opening)


def test_a_window_across_a_change_of_the_clocks_lasts_as_long_as_any() -> None:
    """Duration is elapsed time."""
    spring, autumn = at("2026-03-29T00:30:00"), at("2026-10-24T23:30:00")
    for opening in (spring, autumn):
        window = Window("30 1 * * *", 2 * HOUR, BERLIN)
        assert window_open(window, opening)
        assert window_open(window, opening + 2 * HOUR - timedelta(seconds=1))
        assert not window_open(window, opening + 2 * HOUR)


def test_the_repeated_hour_does_not_open_a_window_twice() -> None:
    """The second 02:30 is an hour after the first, when a window of half an hour has closed."""
    window = Window("30 2 * * *", HOUR / 2, BERLIN)
    assert window_open(window, at("2026-10-25T00:30:00"))
    assert not window_open(window, at("2026-10-25T01:30:00"))


@pytest.mark.parametrize(
    "window", [Window("0 0 30 2 *", HOUR), Window("nonsense", HOUR), Window("0 0 * * *", HOUR, "No/Where")]
)
def test_a_window_that_cannot_be_is_an_error(window: Window) -> None:
    """Not an endless search."""
    with pytest.raises(InputError, match="window"):
        next_opening(window, MINTED)


MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Africa/Cairo", "America/Havana", "Asia/Kolkata"])
FIELD = {"minute": st.integers(0, 59), "hour": st.integers(0, 23), "day": st.integers(0, 6)}
CRONS = st.one_of(
    st.builds("{minute} {hour} * * *".format, **FIELD),
    st.builds("{minute} {hour} * * {day}".format, **FIELD),
    st.builds("*/{0} * * * *".format, st.integers(1, 59)),
    st.builds("{minute} */{hour} * * *".format, minute=FIELD["minute"], hour=st.integers(1, 12)),
)
WINDOWS = st.builds(
    Window, CRONS, st.timedeltas(timedelta(minutes=1), timedelta(days=2)).map(lambda it: it - it % HOUR or HOUR), ZONES
)
ROTATIONS = st.builds(rotation, st.timedeltas(HOUR, timedelta(days=60)), st.one_of(st.none(), WINDOWS))


@settings(max_examples=200, deadline=None)
@given(ROTATIONS, MOMENTS, MOMENTS)
def test_due_means_old_enough_and_inside_the_window(plan: Rotation, minted: datetime, now: datetime) -> None:
    """And `next_rotation` answers now exactly when it is due."""
    assert plan.every is not None
    if due(plan, minted, now):
        assert now - minted >= plan.every
        assert plan.window is None or window_open(plan.window, now)
    following = next_rotation(plan, minted, now)
    assert following is not None
    assert (following == now) == due(plan, minted, now)


@settings(max_examples=200, deadline=None)
@given(ROTATIONS, MOMENTS, MOMENTS)
def test_the_next_rotation_is_due_when_it_comes_and_not_before(plan: Rotation, minted: datetime, now: datetime) -> None:
    """So that waiting until then is neither too short nor too long."""
    following = next_rotation(plan, minted, now)
    assert following is not None
    assert due(plan, minted, following)
    if following > now:
        assert not due(plan, minted, following - timedelta(microseconds=1))
        assert not due(plan, minted, now + (following - now) / 2)


@settings(max_examples=100, deadline=None)
@given(ROTATIONS, MOMENTS)
def test_rotations_are_never_closer_than_every(plan: Rotation, minted: datetime) -> None:
    """However often someone looks."""
    moments = [minted]
    for _ in range(4):
        following = next_rotation(plan, moments[-1], moments[-1])
        assert following is not None
        moments.append(following)
    assert plan.every is not None
    assert all(later - earlier >= plan.every for earlier, later in pairwise(moments))


@settings(max_examples=200, deadline=None)
@given(WINDOWS, MOMENTS, MOMENTS)
def test_where_one_starts_to_look_changes_nothing(window: Window, first: datetime, second: datetime) -> None:
    """The next opening after two moments is the same, unless one lies between them."""
    first, second = sorted((first, second))
    opening = next_opening(window, first)
    assert opening > first
    assume(opening > second)
    assert next_opening(window, second) == opening
    assert window_open(window, opening)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 59), st.integers(0, 23), st.sampled_from(["UTC", BERLIN, "America/New_York"]), MOMENTS)
def test_a_daily_window_opens_once_a_local_day(minute: int, hour: int, zone: str, start: datetime) -> None:
    """Through every change of the clocks, at that time of the day or at the end of the gap."""
    window = Window(f"{minute} {hour} * * *", HOUR, zone)
    first = next_opening(window, start)
    second = next_opening(window, first)
    local = [moment.astimezone(ZoneInfo(zone)) for moment in (first, second)]
    assert local[1].date() - local[0].date() == timedelta(days=1)
    for moment in local:
        assert (moment.hour, moment.minute) == (hour, minute) or (moment.hour, moment.minute) == (3, 0)
