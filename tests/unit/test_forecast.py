"""What will happen when, and how a calendar reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar, Event

from keyturn.core import forecast, schedule
from keyturn.core.forecast import Coming, Subject, What
from keyturn.core.model import Desired, DesiredKey, Freeze, RecordsConfig, Rotation, Strategy, Window
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import End, KeyStatus
from keyturn.report.documents import ScheduleDocument
from keyturn.report.ics import OCTETS, fold, schedule_ics
from keyturn.report.lines import paint_plain
from keyturn.report.schedule import schedule_lines
from tests.support.hostile import NAMES

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FAR = NOW + 90 * DAY
SUNDAYS = Window("0 2 * * SUN", 2 * HOUR, "Europe/Berlin")


def status(key: str = "bot", *ends: End, minted: float | None = -10, **more: object) -> KeyStatus:
    """Return the status of a key whose secret was made `minted` days after NOW."""
    at = None if minted is None else NOW + minted * DAY
    condition = ends[0].condition if ends else Condition.READY
    plain = KeyStatus(key, key, condition, "", Strategy.ALTERNATING, conditions=ends, minted_at=at, generation=4)
    return replace(plain, **more)  # type: ignore[arg-type]


def rotation(every: float | None = 30, **more: object) -> Rotation:
    """Return an alternating rotation with an overlap of a day."""
    plain = Rotation(Strategy.ALTERNATING, every * DAY if every else None, DAY)
    return replace(plain, **more)  # type: ignore[arg-type]


def told(found: Sequence[Coming]) -> list[tuple[str, float]]:
    """Return what happens with the day after NOW."""
    return [(one.what.value, (one.at - NOW) / DAY) for one in found]


def ahead(subject: Subject, until: datetime = FAR) -> list[tuple[str, float]]:
    """Forecast one key."""
    return told(forecast.forecast([subject], NOW, until).coming)


def test_each_rotation_is_followed_by_its_retire_and_the_next_one() -> None:
    """As if each succeeded at its start."""
    expected = [("rotate", 20), ("retire", 21), ("rotate", 50), ("retire", 51), ("rotate", 80), ("retire", 81)]
    assert ahead(Subject("o", status(), rotation())) == expected


def test_in_place_has_no_retire() -> None:
    """Its old secret dies at once."""
    in_place = replace(rotation(), strategy=Strategy.IN_PLACE)
    assert ahead(Subject("o", status(), in_place)) == [("rotate", 20), ("rotate", 50), ("rotate", 80)]


def test_what_is_overdue_happens_now_and_an_overlap_comes_first() -> None:
    """The standby has to be free before it can be used."""
    overdue = status(minted=-40, retire_at=NOW + 2 * DAY)
    assert ahead(Subject("o", overdue, rotation()), NOW + 10 * DAY) == [("retire", 2), ("rotate", 2), ("retire", 3)]
    assert ahead(Subject("o", status(minted=-40), rotation()), NOW) == [("rotate", 0)]


def test_a_freeze_moves_rotations_and_retires() -> None:
    """And what follows them."""
    frozen = rotation(
        freezes=(Freeze(NOW + 20.5 * DAY, NOW + 25 * DAY, "-"), Freeze(NOW + 49 * DAY, NOW + 60 * DAY, "-"))
    )
    expected = [("rotate", 20), ("retire", 25), ("rotate", 60), ("retire", 61), ("rotate", 90)]
    assert ahead(Subject("o", status(), frozen)) == expected
    coming = forecast.forecast([Subject("o", status(), frozen)], NOW, NOW + 70 * DAY).coming
    moved = [one.why.partition(", moved by a freeze from ")[2] for one in coming]
    assert moved == ["", *(f"{NOW + days * DAY:%Y-%m-%d %H:%M:%S} UTC" for days in (21, 50)), ""]


def test_what_was_asked_for_waits_for_no_freeze() -> None:
    """Nor does the retire that it needs."""
    frozen = rotation(freezes=(Freeze(NOW - DAY, NOW + 20 * DAY, "-"),))
    asked = status(requested=True, retire_at=NOW + DAY)
    assert ahead(Subject("o", asked, frozen), NOW + 21 * DAY) == [("retire", 1), ("rotate", 1), ("retire", 20)]


def test_a_back_off_delays_the_next_try() -> None:
    """To the moment that the record says."""
    waits = End(Reason.BACK_OFF, "", NOW + HOUR)
    assert ahead(Subject("o", status("bot", waits, minted=-40), rotation()), NOW + HOUR) == [("rotate", 1 / 24)]


@pytest.mark.parametrize("reason", [Reason.PARKED, Reason.HAND_OFF, Reason.ANOTHER_OWNER])
def test_of_a_key_that_waits_for_an_operator_nothing_is_foretold(reason: Reason) -> None:
    """The note says so."""
    found = forecast.forecast([Subject("o", status("bot", End(reason)), rotation())], NOW, FAR)
    assert found.coming == ()
    (note,) = found.notes
    assert note.startswith(f"bot: {reason.condition}")


def test_on_demand_and_without_a_secret_nothing_is_scheduled() -> None:
    """The latter is noted."""
    assert forecast.forecast([Subject("o", status(), rotation(None))], NOW, FAR) == forecast.Forecast(())
    found = forecast.forecast([Subject("o", status(minted=None), rotation())], NOW, FAR)
    assert (found.coming, found.notes) == ((), ("bot: has no secret yet, so its rotations are not known",))


def test_a_window_tells_when_it_closes() -> None:
    """In winter 02:00 in Berlin is 01:00 UTC."""
    (first, *_) = forecast.forecast([Subject("o", status(), rotation(window=SUNDAYS))], NOW, FAR).coming
    assert (first.at, first.until) == (datetime(2026, 12, 20, 1, tzinfo=UTC), datetime(2026, 12, 20, 3, tzinfo=UTC))


def test_a_schedule_of_seconds_is_cut() -> None:
    """And says so."""
    found = forecast.forecast([Subject("o", status(), Rotation(every=timedelta(seconds=1)))], NOW, FAR)
    assert len(found.coming) == forecast.MOST
    assert found.notes == (f"bot: only its next {forecast.MOST} moments are told",)


def test_more_rotations_at_once_than_a_run_may_start_are_noted() -> None:
    """The others come later than the forecast says."""
    keys = [Subject("o", status(f"bot-{number}"), rotation()) for number in range(3)]
    coming = forecast.forecast(keys, NOW, FAR).coming
    assert forecast.crowded(coming, "o", 3) == ""
    expected = "3 rotations are due at 2026-12-19 12:00:00 UTC, and one run starts 2: the others come in later runs"
    assert forecast.crowded(coming, "o", 2) == expected
    assert forecast.crowded(coming, "p", 2) == ""


def test_a_record_without_an_entry_and_an_absent_key_have_no_rotation() -> None:
    """But the retire that is left."""
    keys = (DesiredKey("bot", "o", rotation=rotation()), DesiredKey("gone", "o", absent=True, rotation=rotation()))
    desired = Desired("o", (), RecordsConfig("local"), keys)
    found = forecast.subjects(desired, [status("bot"), status("gone"), status("lost", retire_at=NOW + DAY)])
    coming = forecast.forecast(found, NOW, NOW + 30 * DAY).coming
    assert [(one.key, one.what) for one in coming] == [
        ("lost", What.RETIRE), ("bot", What.ROTATE), ("bot", What.RETIRE)
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(0, 80), st.integers(1, 20)), max_size=4),
    st.sampled_from([None, SUNDAYS, Window("30 2 * * *", HOUR, "America/New_York")]),
)
def test_the_forecast_is_what_the_schedule_allows(
    every: int, age: int, spans: list[tuple[int, int]], window: Window | None
) -> None:
    """Each rotation may start when it is foretold, and no retire falls into a freeze or before its overlap."""
    found = tuple(Freeze(NOW + at * DAY, NOW + (at + size) * DAY, "-") for at, size in spans)
    plan = rotation(every, window=window, freezes=found)
    minted, rotated = NOW - age * DAY, NOW
    for one in forecast.forecast([Subject("o", status(minted=-age), plan)], NOW, FAR).coming:
        if one.what is What.ROTATE:
            assert schedule.due(plan, minted, one.at)
            minted = rotated = one.at
        else:
            assert schedule.frozen(found, one.at) is None
            assert one.at == schedule.thawed(found, rotated + plan.overlap)


def document(*coming: Coming) -> ScheduleDocument:
    """Return a document."""
    return ScheduleDocument(NOW, FAR, 0, coming, ("a note",))


def events(text: str) -> list[Event]:
    """Read a calendar back."""
    calendar = Calendar.from_ical(text)
    assert isinstance(calendar, Calendar)
    return list(calendar.events)


COMING = (
    Coming(NOW, What.ROTATE, "platform", "bot", NOW + HOUR, "every 30d", 5),
    Coming(NOW + DAY, What.RETIRE, "platform", "bot", None, "the overlap is over", 5),
    Coming(NOW + 2 * DAY, What.FREEZE, "platform", "", NOW + 9 * DAY, "holidays"),
)


def test_the_text_has_a_row_per_moment() -> None:
    """And the notes below; with `-q` only these."""
    assert paint_plain(schedule_lines(document(*COMING), notes_only=True)) == "note  a note\n"
    assert paint_plain(schedule_lines(document(*COMING))).splitlines() == [
        "Sun  2026-11-29 12:00:00 UTC  rotate  bot       every 30d, window until 2026-11-29 13:00:00 UTC",
        "Mon  2026-11-30 12:00:00 UTC  retire  bot       the overlap is over",
        "Tue  2026-12-01 12:00:00 UTC  freeze  platform  until 2026-12-08 12:00:00 UTC: holidays",
        "note  a note",
    ]
    assert paint_plain(schedule_lines(document())).startswith("Nothing is due before 2027-02-27 12:00:00 UTC.")


def test_a_calendar_reads_the_events_back() -> None:
    """With their times and words."""
    rotate, retire, freeze = events(schedule_ics(document(*COMING)))
    assert (rotate.DTSTART, rotate.DTEND, rotate["SUMMARY"]) == (NOW, NOW + HOUR, "Rotation of bot")
    assert (retire.DTSTART, "DTEND" in retire) == (NOW + DAY, False)
    assert retire["DESCRIPTION"] == "platform: the overlap is over"
    assert (freeze.DTSTART, freeze.DTEND) == (NOW + 2 * DAY, NOW + 9 * DAY)
    assert freeze["SUMMARY"] == "Freeze of platform: holidays"
    assert len({one["UID"] for one in (rotate, retire, freeze)}) == 3


def test_an_event_keeps_its_uid_when_it_moves() -> None:
    """A calendar then moves it, instead of showing it twice."""
    (before,), (after,) = (events(schedule_ics(document(replace(COMING[0], at=at)))) for at in (NOW, NOW + HOUR / 2))
    (next_one,) = events(schedule_ics(document(replace(COMING[0], generation=6))))
    assert before["UID"] == after["UID"] != next_one["UID"]


@pytest.mark.parametrize("name", [*NAMES, "a;b,c\\n:d\"e'", "é" * 90, "🔑" * 40, "x\r\nBEGIN:VALARM"], ids=ascii)
def test_any_text_is_one_value(name: str) -> None:
    """No line is longer than 75 octets, none is cut within a character, and no text starts a line of its own."""
    text = schedule_ics(document(replace(COMING[2], why=name, owner=name), replace(COMING[0], key=name)))
    assert text.endswith("END:VCALENDAR\r\n")
    assert "\n" not in text.replace("\r\n", "")
    for row in text.split("\r\n"):
        assert len(row.encode()) <= OCTETS
    freeze, rotate = events(text)
    assert {*freeze} == {*rotate} == {
        "UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY", "DESCRIPTION", "CATEGORIES", "TRANSP"
    }  # fmt: skip


def test_escaped_text_comes_back() -> None:
    """Separators in a reason are no separators of the format."""
    (found,) = events(schedule_ics(document(replace(COMING[2], why='a;b,c\\n "d": é'))))
    assert found["SUMMARY"] == 'Freeze of platform: a;b,c\\n "d": é'


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=300))
def test_folding_loses_nothing(text: str) -> None:
    """Unfolded, a line is what it was; no part is longer than 75 octets."""
    folded = fold(text)
    assert folded.replace("\r\n ", "") == text
    assert all(len(part.encode()) <= OCTETS for part in folded.split("\r\n"))
