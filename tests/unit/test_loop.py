"""When `run` looks at which keys, and what `/healthz` says: on a virtual clock, with looks that a test arms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from keyturn.core.errors import ApiError, ManifestError, Mistake, PolicyError
from keyturn.core.model import Desired, DesiredKey, RecordsConfig, Rotation, Strategy
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import End, KeyStatus, RunStatus
from keyturn.engine.loop import ALL, Health, Looked, Loop

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TEN = 10 * MINUTE
DAY = timedelta(days=1)
AWAY = End(Reason.NO_ANSWER, "the API did not answer")


@dataclass
class FakeWork:
    """A virtual clock, keys that rotate daily and succeed, and things that happen at given minutes."""

    keys: dict[str, datetime] = field(default_factory=lambda: {"a": NOW - DAY + 95 * MINUTE})
    """Each key with the moment at which its secret was made."""
    end: datetime = NOW + 4 * 60 * MINUTE
    moment: datetime = NOW
    looks: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    """The minute of each look, and the keys."""
    said: list[str] = field(default_factory=list)
    events: dict[float, Callable[[], None]] = field(default_factory=dict)
    """What happens at these minutes."""
    away: bool = False
    raising: Exception | None = None
    stuck: frozenset[str] = frozenset()
    """Keys whose rotation fails."""
    deferred: frozenset[str] = frozenset()
    holder: str = ""
    edited: bool = False
    wrong: Exception | None = None
    policy: bool = False
    entryless: tuple[KeyStatus, ...] = ()
    loads: int = 0
    took: timedelta = timedelta(seconds=2)

    def minute(self) -> float:
        """Return the minutes since the start."""
        return (self.moment - NOW) / MINUTE

    def now(self) -> datetime:
        """Return the virtual moment."""
        return self.moment

    def wait(self, until: datetime) -> None:
        """Let time pass, to the next event at most."""
        assert until > self.moment, "a wait without an end"
        soon = min((NOW + at * MINUTE for at in self.events if NOW + at * MINUTE > self.moment), default=until)
        self.moment = min(until, soon)
        for at in [at for at in self.events if NOW + at * MINUTE <= self.moment]:
            self.events.pop(at)()

    def stopping(self) -> bool:
        """Stop at the end."""
        return self.moment >= self.end

    def changed(self) -> bool:
        """Tell whether a test edited the manifest."""
        return self.edited

    def load(self) -> tuple[Desired, ...]:
        """Return the manifest as it is now."""
        self.edited = False
        if self.wrong:
            raise self.wrong
        self.loads += 1
        rotation = Rotation(Strategy.IN_PLACE, DAY)
        keys = tuple(DesiredKey(key, "o", key, rotation=rotation) for key in self.keys)
        return (Desired("o", (), RecordsConfig("local"), keys),)

    def policy_changed(self) -> bool:
        """Tell what a test says."""
        return self.policy

    def claim(self, manifests: tuple[Desired, ...]) -> str:
        """Tell who works on it."""
        return self.holder

    def look(self, manifests: tuple[Desired, ...], keys: frozenset[str]) -> Looked:
        """Rotate what is due, unless the test says otherwise; it takes two seconds."""
        self.looks.append((round(self.minute(), 3), keys))
        assert len(self.looks) < 1000, "looks without an end"
        began, self.moment = self.moment, self.moment + self.took
        if self.raising:
            raise self.raising
        wanted = [key.id for key in manifests[0].keys if key.id in keys or keys is ALL]
        for key in wanted:
            if began - self.keys[key] >= DAY and key not in self.stuck | self.deferred and not self.away:
                self.keys[key] = began
        found = tuple(self.status(key) for key in wanted) + (self.entryless if keys is ALL else ())
        return Looked({"o": RunStatus("o", found)}, self.deferred & set(wanted))

    def status(self, key: str) -> KeyStatus:
        """Return the status of a key."""
        ends = (AWAY,) if self.away else (End(Reason.AT_REST),)
        return KeyStatus(
            key, key, ends[0].condition, ends[0].why, Strategy.IN_PLACE, conditions=ends, minted_at=self.keys[key]
        )

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Remember it."""
        self.said.append(text)


def run(work: FakeWork, every: timedelta = TEN) -> Loop:
    """Run the loop to the end."""
    loop = Loop(work, every)
    loop.run()
    return loop


def at(work: FakeWork, keys: frozenset[str] = ALL) -> list[float]:
    """Return the minutes of the looks at these keys."""
    return [minute for minute, found in work.looks if found == keys]


def test_it_looks_at_all_keys_at_intervals_and_at_a_due_key_exactly_when_it_is_due() -> None:
    """Nothing else."""
    work = FakeWork(end=NOW + 105 * MINUTE)
    loop = run(work)
    assert at(work) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert at(work, frozenset({"a"})) == [95]
    assert work.keys["a"] == NOW + 95 * MINUTE
    assert loop.snapshot.next_due is not None
    assert loop.snapshot.next_due.at == NOW + 95 * MINUTE + DAY
    assert work.said == [
        "Next: rotate a at 2026-11-29 13:35:00 UTC.",
        "Next: rotate a at 2026-11-30 13:35:00 UTC.",
    ]


def test_keys_that_are_due_at_once_share_a_look() -> None:
    """The others are left alone."""
    due = NOW - DAY + 95 * MINUTE
    work = FakeWork({"a": due, "b": due, "c": due + DAY})
    run(work)
    assert at(work, frozenset({"a", "b"})) == [95]


def test_what_becomes_due_during_a_look_comes_right_after_it() -> None:
    """A second late, not an interval."""
    due = NOW - DAY + 95 * MINUTE
    work = FakeWork({"a": due, "b": due + timedelta(seconds=1)})
    run(work)
    assert [look for look in work.looks if look[1]] == [
        (95, frozenset({"a"})), (pytest.approx(95 + 2 / 60, abs=0.001), frozenset({"b"}))
    ]  # fmt: skip


def test_a_rotation_that_fails_is_tried_again_after_pauses_that_grow() -> None:
    """To the interval at most; a success ends it."""
    work = FakeWork(end=NOW + 180 * MINUTE, stuck=frozenset({"a"}))
    work.events[150] = lambda: setattr(work, "stuck", frozenset())
    run(work)
    tries = [minute - 95 for minute, keys in work.looks if keys]
    assert tries[:4] == [pytest.approx(expected, abs=0.2) for expected in (0, 0.25, 0.75, 1.75)]
    assert len(tries) < 12
    assert work.keys["a"] >= NOW + 150 * MINUTE
    assert at(work)[:11] == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


def test_a_deferred_rotation_waits_for_the_next_look_at_all_keys() -> None:
    """The limit of one run is no limit per second."""
    work = FakeWork(deferred=frozenset({"a"}), end=NOW + 130 * MINUTE)
    run(work)
    assert at(work, frozenset({"a"})) == [95]
    assert at(work)[-1] == 120


def test_while_the_api_is_away_it_looks_again_after_pauses_that_grow_and_catches_up() -> None:
    """What was due meanwhile is done as soon as it is back."""
    work = FakeWork(end=NOW + 200 * MINUTE)
    work.events = {55: lambda: setattr(work, "away", True), 121: lambda: setattr(work, "away", False)}
    loop = run(work)
    missed = [minute for minute, _ in work.looks if 55 < minute < 121]
    assert len(missed) < 25
    assert NOW + 121 * MINUTE <= work.keys["a"] <= NOW + 131 * MINUTE
    assert [text.partition("\n")[0] for text in work.said if not text.startswith("Next")] == [
        "the API did not answer", "It works again."
    ]  # fmt: skip
    assert loop.snapshot.health(work.moment, TEN) is Health.OK


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ApiError("no answer", status=503), "no answer"),
        (RuntimeError("sk-do-secret"), "keyturn failed with RuntimeError. This is a bug."),
    ],
)
def test_a_look_that_raises_ends_nothing(error: Exception, told: str) -> None:
    """And the text of a foreign error is not shown."""
    work = FakeWork(raising=error, end=NOW + 60 * MINUTE)
    loop = run(work)
    assert loop.snapshot.health(work.moment, TEN) is Health.FAILING
    assert len(work.said) == 1
    assert told in work.said[0]
    assert "secret" not in work.said[0]
    assert 6 < len(work.looks) < 15


def test_health_fails_after_three_intervals_without_a_good_look() -> None:
    """One failure alone is told, and fails nothing."""
    work = FakeWork(end=NOW + 45 * MINUTE)
    work.events[35] = lambda: setattr(work, "away", True)
    loop = run(work)
    assert loop.snapshot.trouble
    assert loop.snapshot.health(work.moment, TEN) is Health.OK
    assert loop.snapshot.health(work.moment + 30 * MINUTE, TEN) is Health.FAILING


def test_a_changed_manifest_is_read_and_looked_at_at_once() -> None:
    """Between two intervals."""
    work = FakeWork(end=NOW + 30 * MINUTE)

    def edit() -> None:
        work.keys["b"] = NOW - DAY + 20 * MINUTE
        work.edited = True

    work.events[15] = edit
    run(work)
    assert at(work) == [0, 10, 15, 25]
    assert at(work, frozenset({"b"})) == [20]
    assert work.loads == 2


def broken(work: FakeWork) -> Callable[[], None]:
    """Return what breaks the manifest."""

    def edit() -> None:
        work.wrong, work.edited = ManifestError([Mistake("k.yaml", 1, 1, "keys", "is wrong")]), True

    return edit


def test_a_broken_manifest_is_told_once_and_the_last_good_one_is_kept() -> None:
    """Until it is right again."""
    work = FakeWork(end=NOW + 100 * MINUTE)
    loop = Loop(work, TEN)
    found: list[Health] = []

    def fix() -> None:
        found.append(loop.snapshot.health(work.moment, TEN))
        work.wrong, work.edited = None, True

    work.events = {5: broken(work), 98: fix}
    loop.run()
    assert found == [Health.DEGRADED]
    assert work.keys["a"] == NOW + 95 * MINUTE
    problems = [text for text in work.said if "cannot be used" in text]
    assert len(problems) == 1
    assert "the last good one is still applied" in problems[0]
    assert "keys: is wrong" in problems[0]
    assert loop.snapshot.health(work.moment, TEN) is Health.OK
    assert loop.snapshot.problem == ""


def test_a_policy_that_the_manifest_breaks_stops_everything() -> None:
    """The last good manifest was good under another policy."""
    work = FakeWork(end=NOW + 100 * MINUTE, policy=True)

    def edit() -> None:
        work.wrong, work.edited = PolicyError([Mistake("k.yaml", 1, 1, "keys", "is not allowed")]), True

    work.events[5] = edit
    loop = run(work)
    assert at(work) == [0]
    assert "nothing is applied until it is fixed" in work.said[-1]
    assert loop.snapshot.health(work.moment, TEN) is Health.DEGRADED


def test_the_first_manifest_has_to_be_right() -> None:
    """There is no earlier one."""
    work = FakeWork(wrong=ManifestError([]))
    with pytest.raises(ManifestError):
        run(work)


def test_a_second_run_waits_and_says_so_once() -> None:
    """And begins when the first one ends."""
    work = FakeWork(holder="another run (process 7)", end=NOW + 60 * MINUTE)
    loop = Loop(work, TEN)
    found: list[Health] = []

    def end() -> None:
        found.append(loop.snapshot.health(work.moment, TEN))
        work.holder = ""

    work.events[31] = end
    loop.run()
    assert found == [Health.STANDBY]
    assert work.said[0] == "another run (process 7) works on this manifest; this one waits until that ends."
    assert len(work.said) == 2
    assert at(work)[0] == pytest.approx(31, abs=0.1)


def test_a_clock_that_is_set_back_delays_no_look() -> None:
    """Not even by a day."""
    work = FakeWork(end=NOW + 60 * MINUTE)
    loop = Loop(work, TEN)

    def back() -> None:
        work.moment -= DAY
        work.end -= DAY

    work.events[25] = back
    loop.run()
    assert [minute for minute in at(work) if minute < 0][:2] == [25 - 1440, 35 - 1440]


def test_a_retire_of_a_record_without_an_entry_takes_a_look_at_all_keys() -> None:
    """It cannot be named."""
    lost = replace(FakeWork().status("a"), key="lost", minted_at=None, retire_at=NOW + 33 * MINUTE)
    work = FakeWork(entryless=(lost,), end=NOW + 34 * MINUTE)
    run(work)
    assert 33 in at(work)


def test_a_look_at_some_keys_keeps_the_status_of_the_others() -> None:
    """The page shows all of them, and the exit code is that of all."""
    work = FakeWork({"a": NOW - DAY + 95 * MINUTE, "b": NOW}, end=NOW + 96 * MINUTE)
    loop = run(work)
    (status,) = loop.snapshot.statuses
    assert [key.key for key in status.keys] == ["a", "b"]
    assert all(key.condition is Condition.READY for key in status.keys)
