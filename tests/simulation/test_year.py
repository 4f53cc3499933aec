"""A year of `keyturn run` with 50 keys on a virtual clock: windows, freezes, changes of the clocks, limits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from keyturn.core import forecast, schedule
from keyturn.core.forecast import Coming, What
from keyturn.core.model import Delivery, Desired, DesiredKey, Freeze, RecordsConfig, Rotation, Smoke, Strategy, Window
from keyturn.core.results import Change, Options
from keyturn.engine import runner
from keyturn.engine.loop import Health, Looked, Loop
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from keyturn.engine.threads import L, R, Say, T
from tests.simulation.scenarios import TIMING
from tests.simulation.showing import MODEL
from tests.simulation.universe import START, Universe
from tests.simulation.world import SimWorld

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
YEAR = START + 365 * DAY  # from 1 March 2025: both changes of the clocks, in Berlin and in New York
BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
FREEZES = (
    Freeze(datetime(2025, 4, 17, 16, tzinfo=UTC), datetime(2025, 4, 22, 6, tzinfo=UTC), "Easter"),
    # The daily key rotates half an hour before: the end of its overlap is frozen.
    Freeze(datetime(2025, 11, 1, 2, tzinfo=UTC), datetime(2025, 11, 4, tzinfo=UTC), "elections"),
    Freeze(datetime(2025, 12, 18, 17, tzinfo=UTC), datetime(2026, 1, 5, 7, tzinfo=UTC), "holidays"),
)
UNASKED = sorted(moment for one in FREEZES for moment in (one.since, one.until - HOUR / 2))
"""Moments in a freeze at which a run works on all keys, although none is due."""
WINDOWS = (
    None,
    Window("30 2 * * *", HOUR, BERLIN),
    Window("30 2 * * *", HOUR, NEW_YORK),
    Window("0 1 * * SUN", 4 * HOUR, BERLIN),
    Window("0 22 * * MON-THU", 3 * HOUR, NEW_YORK),
)
NAMES = {What.ROTATE: Change.ROTATE, What.RETIRE: Change.RETIRE}


def in_freeze(moment: datetime) -> bool:
    """Tell whether a moment is in one of FREEZES; the code under test has no say."""
    return any(one.since <= moment < one.until for one in FREEZES)


def entry(number: int, every: timedelta, window: Window | None) -> DesiredKey:
    """Return one of the keys; every third one has no second slot."""
    strategy = Strategy.IN_PLACE if number % 3 == 2 else Strategy.ALTERNATING
    name = f"bot-{number:02}"
    return DesiredKey(
        id=name,
        owner="year",
        name=name,
        deliveries=(Delivery("v", name, "key"),),
        rotation=Rotation(strategy, every, 6 * HOUR, window, FREEZES),
        smoke=Smoke(MODEL),
        timing=TIMING,
    )


def fifty() -> Desired:
    """Return the manifest: a key rotates daily, nine about weekly, the others each month or less."""
    daily = [entry(0, 20 * HOUR, WINDOWS[1])]
    weekly = [entry(number, timedelta(days=6, hours=number), WINDOWS[number % 5]) for number in range(1, 10)]
    ages = {number: timedelta(days=25 + number, minutes=number) for number in range(10, 50)}
    seldom = [entry(number, age, WINDOWS[number % 5]) for number, age in ages.items()]
    return Desired("year", (), RecordsConfig("v"), (*daily, *weekly, *seldom), 20, TIMING, freezes=FREEZES)


def one_by_one(items: Sequence[T], work: Callable[[T, Say[L]], R], hear: Say[L], _workers: int) -> tuple[R, ...]:
    """Work on the items in the test's thread: the simulated world knows no other."""
    return tuple(work(item, hear) for item in items)


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "map_in_threads", one_by_one)


@dataclass
class Done:
    """One rotation or retire that a look did."""

    began: datetime
    key: str
    change: Change


@dataclass
class YearWork:
    """A `Work` whose clock is the simulation's; remembers what each look did, and what was foretold before it."""

    universe: Universe
    desired: Desired
    end: datetime
    done: list[Done] = field(default_factory=list)
    foretold: dict[str, Coming] = field(default_factory=dict)
    first: forecast.Forecast | None = None
    looks: int = 0
    quiet: bool = False
    since: datetime = START
    """The end of the last look."""
    late: dict[str, timedelta] = field(default_factory=dict)
    deferred: Counter[str] = field(default_factory=Counter)
    unasked: list[datetime] = field(default_factory=list)
    """The moments to come of runs that nothing asks for."""

    def now(self) -> datetime:
        """Return the virtual moment."""
        return START + timedelta(seconds=self.universe.now)

    def wait(self, until: datetime) -> None:
        """Let time pass. A run that comes unasked on the way, in a freeze, does nothing."""
        while self.unasked and self.unasked[0] < until:
            self.universe.advance(max((self.unasked.pop(0) - self.now()).total_seconds(), 0.001))
            assert in_freeze(self.now())
            report = self.process().apply([], Options())
            assert report.exit_code == 0
            assert not [(self.now(), key.key, key.done) for key in report.reports if key.done]
        self.universe.advance(max((until - self.now()).total_seconds(), 0.001))

    def stopping(self) -> bool:
        """Stop after a year."""
        return self.now() >= self.end

    def changed(self) -> bool:
        """The manifest stays."""
        return False

    def load(self) -> tuple[Desired, ...]:
        """The manifest."""
        return (self.desired,)

    def policy_changed(self) -> bool:
        """There is none."""
        return False

    def claim(self, manifests: tuple[Desired, ...]) -> str:
        """Nobody else is there."""
        return ""

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Nobody listens."""

    def process(self) -> Runner:
        """Return the runner of a new process."""
        world = SimWorld(self.universe, {}, TIMING)
        return Runner(world, self.desired, lambda _: None, runs=Runs([]), workers=1, linger=False)

    def look(self, manifests: tuple[Desired, ...], keys: frozenset[str]) -> Looked:
        """Apply, and compare what was done with what was foretold."""
        began, self.looks = self.now(), self.looks + 1
        wanted = sorted(keys)
        report = self.process().apply(wanted, Options())
        assert report.exit_code == 0, [key for key in report.reports if key.exit_code]
        for key in report.reports:
            for change in {change.change for change in key.done} & {Change.ROTATE, Change.RETIRE}:
                self.note(Done(began, key.key, change))
        self.deferred.update(report.deferred)
        run = self.process().status(wanted, Options())
        now = self.now()
        for subject in forecast.subjects(self.desired, run.keys):
            if found := forecast.first(subject, now):
                self.foretold[found.key] = found
        if self.first is None:
            self.first = forecast.forecast(forecast.subjects(self.desired, run.keys), now, self.end)
        self.since = now
        return Looked({run.owner: run}, frozenset(report.deferred))

    def note(self, done: Done) -> None:
        """Compare with the schedule: the look began at that very moment, or right after the look before it."""
        if done.began > START:
            told = self.foretold[done.key]
            assert NAMES[told.what] is done.change or done.change is Change.ROTATE, (told, done)
            self.late[done.key] = max(self.late.get(done.key, timedelta()), done.began - max(told.at, self.since))
            assert done.began >= told.at, (told, done)
            assert done.key in self.deferred or done.began - told.at < timedelta(minutes=1), (told, done)
        self.done.append(done)


@pytest.mark.timeout(400)
def test_a_year_of_fifty_keys_goes_as_foretold() -> None:
    """Each rotation and retire at the moment that the schedule said, none missed, none twice."""
    work = YearWork(Universe(), fifty(), YEAR, unasked=list(UNASKED))
    loop = Loop(work, 3 * DAY)
    loop.run()
    assert work.first is not None
    rotations = [one for one in work.done if one.change is Change.ROTATE]
    assert len(rotations) > 1000
    assert work.deferred == {}

    # The look began when the schedule, as it was after the key's last look, said.
    assert set(work.late) == {key.id for key in work.desired.keys}
    assert max(work.late.values()) < timedelta(seconds=1), work.late

    # No rotation is missed or done twice, and none is too early, outside its window or in a freeze.
    by_key: dict[str, list[datetime]] = defaultdict(list)
    for one in rotations:
        by_key[one.key].append(one.began)
    for key in work.desired.keys:
        rotation, moments = key.rotation, by_key[key.id]
        assert rotation.every is not None
        for moment in moments:
            assert rotation.window is None or schedule.window_open(rotation.window, moment)
        assert all(later - earlier >= rotation.every for earlier, later in pairwise(moments))
        record = work.universe.records[key.id][0]
        assert record.generation == 1 + len(moments)
        assert work.universe.accepted(work.universe.fields[key.deliveries[0]])
    assert not [one for one in work.done if in_freeze(one.began)]
    assert not [one for one in work.first.coming if in_freeze(one.at)]
    assert work.unasked == []
    ends = [(freeze.until, freeze.until + HOUR / 60) for freeze in FREEZES]
    thawed = [{one.change for one in work.done if end <= one.began < soon} for end, soon in ends]
    assert all(thawed), thawed  # something waited for the end of each freeze
    assert Change.RETIRE in thawed[1]
    assert Change.ROTATE in thawed[2]

    # What was foretold on the first day for the whole year came, as often and at nearly the same moments.
    told: dict[tuple[str, Change], list[datetime]] = defaultdict(list)
    for coming in work.first.coming:
        if coming.at < work.end:
            told[coming.key, NAMES[coming.what]].append(coming.at)
    came: dict[tuple[str, Change], list[datetime]] = defaultdict(list)
    for one in work.done:
        if one.began > START + HOUR:
            came[one.key, one.change].append(one.began)
    assert {what: len(found) for what, found in told.items()} == {what: len(found) for what, found in came.items()}
    drift = max(
        abs(left - right) for what, found in told.items() for left, right in zip(found, came[what], strict=True)
    )
    assert drift < 2 * HOUR, drift
    health = loop.snapshot.health(work.now(), loop.every)
    assert (health, loop.snapshot.trouble) == (Health.OK, "")


def local_days(work: YearWork, key: str, zone: str) -> dict[str, str]:
    """Return the moment of each rotation of a key in UTC, by its local day."""
    moments = [one.began for one in work.done if one.key == key and one.change is Change.ROTATE]
    return {f"{at.astimezone(ZoneInfo(zone)):%m-%d}": f"{at:%H:%M:%S}" for at in moments}


@pytest.mark.parametrize(
    ("zone", "window", "expected"),
    [
        # The clocks go forward: 02:30 does not exist, and the window opens at the end of the gap. They go back: Berlin
        # has 02:30 twice, and the window opens at the first; New York has 01:30 twice.
        (BERLIN, 1, {"03-29": "01:30:00", "03-30": "01:00:00", "03-31": "00:30:00"}),
        (BERLIN, 1, {"10-25": "00:30:00", "10-26": "00:30:00", "10-27": "01:30:00"}),
        (NEW_YORK, 2, {"03-08": "07:30:00", "03-09": "07:00:00", "03-10": "06:30:00"}),
        (NEW_YORK, 2, {"11-01": "06:30:00", "11-02": "07:30:00", "11-03": "07:30:00"}),
    ],
)
def test_a_daily_rotation_goes_through_the_changes_of_the_clocks(
    zone: str, window: int, expected: dict[str, str]
) -> None:
    """Once a local day, within a second of the opening."""
    month, day = (int(part) for part in min(expected).split("-"))
    start = datetime(2025, month, day, tzinfo=UTC) - 2 * DAY
    key = replace(entry(0, HOUR, None), rotation=Rotation(Strategy.ALTERNATING, 20 * HOUR, HOUR, WINDOWS[window]))
    universe = Universe()
    universe.advance(max(0.0, (start - START).total_seconds()))
    work = YearWork(universe, Desired("year", (), RecordsConfig("v"), (key,), 20, TIMING), start + 6 * DAY)
    Loop(work, 3 * HOUR).run()
    found = local_days(work, key.id, zone)
    assert {day: found.get(day) for day in expected} == expected


def test_more_rotations_than_one_run_may_start_come_in_the_next_looks() -> None:
    """The limit of a run holds in the loop as well: the others wait for the next interval."""
    keys = tuple(replace(entry(number, 5 * DAY, None)) for number in range(7))
    desired = Desired("year", (), RecordsConfig("v"), keys, 7, TIMING, freezes=FREEZES)
    work = YearWork(Universe(), desired, START + 5.5 * DAY)
    work.desired = replace(desired, rotations_per_run=7)
    loop = Loop(work, HOUR)
    work.end = START + DAY
    loop.run()
    work.desired = replace(desired, rotations_per_run=3)
    work.end = START + 5.5 * DAY
    Loop(work, HOUR).run()
    rotated = Counter(one.key for one in work.done if one.change is Change.ROTATE)
    assert rotated == dict.fromkeys((key.id for key in keys), 1)
    assert sum(work.deferred.values()) > 0
