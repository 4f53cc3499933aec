"""A freeze of the manifest: nothing scheduled starts, and what consumers need still happens."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.core import schedule
from keyturn.core.model import DesiredKey, Freeze, Rotation, Strategy, Window
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import Change, KeyPlan, KeyReport, Options
from keyturn.engine.executor import apply_key, unmanaged_key
from keyturn.engine.planning import plan_key
from keyturn.manifest.digests import fingerprint
from tests.simulation.faults import Fault, Killed, Kind
from tests.simulation.scenarios import NOTHING, OVERLAP, TIMING, entry, settled
from tests.simulation.universe import START, Universe
from tests.simulation.world import SimWorld
from tests.support.manifests import KEYS, TOP, read, told

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def freeze(since: float, until: float, reason: str = "holidays") -> Freeze:
    """Return a freeze, in days after the start of the simulation."""
    return Freeze(START + since * DAY, START + until * DAY, reason)


def rotation(*freezes: Freeze, window: Window | None = None) -> Rotation:
    """Return a rotation every three days."""
    return Rotation(Strategy.ALTERNATING, 3 * DAY, OVERLAP, window, freezes)


class TestSchedule:
    """When a rotation may next start."""

    def test_a_freeze_begins_with_its_first_moment_and_ends_before_its_last(self) -> None:
        """So that two freezes meet without a gap."""
        found = freeze(1, 2)
        assert schedule.frozen((found,), START + DAY - timedelta(microseconds=1)) is None
        assert schedule.frozen((found,), START + DAY) is found
        assert schedule.frozen((found,), START + 2 * DAY - timedelta(microseconds=1)) is found
        assert schedule.frozen((found,), START + 2 * DAY) is None

    def test_freezes_that_touch_or_overlap_are_one(self) -> None:
        """Whatever their order."""
        assert schedule.thawed((freeze(4, 6), freeze(1, 3), freeze(2, 4)), START + DAY) == START + 6 * DAY

    def test_a_rotation_starts_at_the_end_of_the_freeze(self) -> None:
        """Without a window."""
        plan = rotation(freeze(2, 5))
        assert not schedule.due(plan, START, START + 4 * DAY)
        assert schedule.next_rotation(plan, START, START) == START + 5 * DAY
        assert schedule.due_since(plan, START) == START + 5 * DAY
        assert schedule.due(plan, START, START + 5 * DAY)

    @pytest.mark.parametrize(("until", "start"), [(5.05, 5.05), (5.5, 6.0), (6.0, 6.0)])
    def test_with_a_window_both_count(self, until: float, start: float) -> None:
        """A window that is open when the freeze ends is used; otherwise it waits for the next opening."""
        plan = rotation(freeze(2, until), window=Window("0 0 * * *", 2 * HOUR))
        assert schedule.next_rotation(plan, START, START) == START + start * DAY

    def test_a_second_freeze_over_the_next_opening_counts_too(self) -> None:
        """And the opening after it is taken."""
        plan = rotation(freeze(2, 5.5), freeze(5.9, 6.5), window=Window("0 0 * * *", 2 * HOUR))
        assert schedule.next_rotation(plan, START, START) == START + 7 * DAY

    def test_only_what_could_start_otherwise_is_held_back(self) -> None:
        """Neither a young secret nor a window that has not opened since."""
        found = freeze(0, 10)
        sunday = Window("0 0 * * MON", HOUR)  # the simulation starts on a Saturday
        assert schedule.held_back(rotation(found), START, START + 2 * DAY) is None
        assert schedule.held_back(rotation(found), START, START + 3 * DAY) is found
        assert schedule.held_back(rotation(found, window=sunday), START, START + 4 * DAY) is None
        assert schedule.held_back(rotation(found, window=sunday), START, START + 9 * DAY) is found

    @pytest.mark.finding(
        "D2", before="a chain of freezes held a rotation back for ever", now="366 days, or the policy's"
    )
    @pytest.mark.parametrize("gap", [0.0, 0.02])
    @pytest.mark.parametrize("window", [None, Window("0 0 * * *", HOUR)])
    def test_freezes_hold_back_what_is_due_for_a_limited_time(self, gap: float, window: Window | None) -> None:
        """However many follow each other, and although each leaves a moment in which no run looks."""
        chain = tuple(freeze(20 * number + 0.01, 20 * number + 20 - gap) for number in range(100))
        plan = rotation(*(replace(one, most=30 * DAY) for one in chain), window=window)
        due_at = START + 3 * DAY
        assert schedule.held_back(plan, START, due_at + 2 * DAY)
        assert schedule.next_rotation(plan, START, due_at + 21 * DAY) == due_at + 30 * DAY
        assert schedule.due(plan, START, due_at + 30 * DAY)
        assert schedule.held_back(plan, START, due_at + 30 * DAY) is None
        longest = rotation(*chain, window=window)
        assert not schedule.due(longest, START, due_at + 360 * DAY)
        assert schedule.due(longest, START, due_at + 366 * DAY)

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 200), st.integers(1, 100)), max_size=6),
        st.sampled_from([None, Window("30 2 * * *", 2 * HOUR, "Europe/Berlin"), Window("0 */5 * * *", HOUR)]),
        st.integers(0, 300),
    )
    def test_the_next_start_is_due_and_nothing_before_it_is(
        self, spans: list[tuple[int, int]], window: Window | None, hours: int
    ) -> None:
        """For any freezes, checked each quarter of an hour."""
        found = tuple(Freeze(START + at * HOUR, START + (at + size) * HOUR, "-") for at, size in spans)
        plan, now = rotation(*found, window=window), START + hours * HOUR
        following = schedule.next_rotation(plan, START, now)
        assert following is not None
        assert schedule.due(plan, START, following)
        moment = now
        while moment < following:
            assert not schedule.due(plan, START, moment)
            moment += HOUR / 4


def after(universe: Universe, days: float) -> None:
    """Let days pass since the start."""
    universe.advance(days * 86400 - universe.now)


def planned(universe: Universe, desired: DesiredKey, options: Options = NOTHING) -> KeyPlan:
    """Plan the key now."""
    return plan_key(SimWorld(universe, {}, TIMING), desired, options).plan


def applied(universe: Universe, desired: DesiredKey, options: Options = NOTHING) -> KeyReport:
    """Apply the key now."""
    universe.runs += 1
    return apply_key(SimWorld(universe, {}, TIMING), desired, options, f"run-{universe.runs}")


def frozen_entry(*freezes: Freeze) -> DesiredKey:
    """Return an entry that rotates every three days."""
    return entry(Strategy.ALTERNATING, rotation=rotation(*freezes))


class TestMachine:
    """What a run does in a freeze."""

    def test_a_due_rotation_waits_and_says_until_when_and_why(self) -> None:
        """And it starts in the first run after the freeze."""
        desired = frozen_entry(freeze(2, 6))
        universe = settled(desired)
        after(universe, 4)
        plan = planned(universe, desired)
        assert not plan.changes
        assert (plan.end.code, plan.end.condition, plan.exit_code) == (Reason.FROZEN, Condition.WAITING, 0)
        assert (plan.end.since, plan.end.until) == (START + 3 * DAY, START + 6 * DAY)
        assert plan.end.why == "a rotation is due, and the manifest is frozen (holidays)"
        assert not applied(universe, desired).done
        after(universe, 6)
        assert applied(universe, desired).done[0].change is Change.ROTATE

    def test_a_rotation_that_is_asked_for_starts_and_the_plan_says_that_it_is_frozen(self) -> None:
        """An operator's word counts more than the schedule."""
        desired = frozen_entry(freeze(0, 6))
        universe = settled(desired)
        after(universe, 1)
        options = Options(rotate=True, reason="test")
        change = planned(universe, desired, options).changes[0]
        assert change.why == "rotates: test; the manifest is frozen until 2025-03-07 00:00:00 UTC (holidays)"
        assert applied(universe, desired, options).done[0].change is Change.ROTATE

    def test_what_was_held_back_for_the_longest_time_starts_in_the_freeze(self) -> None:
        """The status says since when it has been due; the old secret dies in the same freeze, when its time is up."""
        desired = frozen_entry(
            *(replace(freeze(10 * number + 1, 10 * number + 11), most=5 * DAY) for number in range(9))
        )
        universe = settled(desired)
        after(universe, 7.9)
        plan = planned(universe, desired)
        assert (plan.end.code, plan.end.since, plan.end.until) == (Reason.FROZEN, START + 3 * DAY, START + 8 * DAY)
        after(universe, 8)
        assert "; the manifest is frozen until 2025-03-12 00:00:00 UTC" in planned(universe, desired).changes[0].why
        assert applied(universe, desired).done[0].change is Change.ROTATE
        after(universe, 8 + OVERLAP / DAY + 4.9)
        (waits,) = [one for one in planned(universe, desired).conditions if one.code is Reason.FROZEN]
        assert waits.since
        assert waits.until == waits.since + 5 * DAY
        after(universe, 8 + OVERLAP / DAY + 5.1)
        assert Change.RETIRE in {change.change for change in applied(universe, desired).done}

    def test_a_retire_waits_for_the_end_of_the_freeze(self) -> None:
        """The old secret works on, and the report says so."""
        desired = frozen_entry(freeze(3.12, 8))
        universe = settled(desired)
        after(universe, 3.1)
        applied(universe, desired)
        after(universe, 5)
        plan = planned(universe, desired)
        assert not plan.changes
        assert [one.code for one in plan.conditions] == [Reason.FROZEN]
        assert plan.end.why == "a retire is due, and the manifest is frozen (holidays)"
        assert plan.end.until == START + 8 * DAY
        after(universe, 8)
        assert Change.RETIRE in {change.change for change in applied(universe, desired).done}

    def test_an_overlap_that_ends_in_a_freeze_says_when_the_retire_comes(self) -> None:
        """Before the freeze as well."""
        desired = frozen_entry(freeze(3.12, 8))
        universe = settled(desired)
        after(universe, 3.1)
        applied(universe, desired)
        plan = planned(universe, desired)
        assert (plan.end.code, plan.end.until) == (Reason.OVERLAP, START + 8 * DAY)

    def test_a_compromised_secret_dies_in_a_freeze(self) -> None:
        """Its retire waits for nothing."""
        desired = frozen_entry(freeze(0, 30))
        universe = settled(desired)
        after(universe, 1)
        options = Options(rotate=True, compromised=True, reason="leak")
        changes = {change.change for change in applied(universe, desired, options).done}
        changes |= {change.change for change in applied(universe, desired).done}
        assert changes >= {Change.ROTATE, Change.RETIRE}
        record = universe.records["main"][0]
        assert record.retire is None

    def test_a_rotation_that_is_asked_for_is_not_blocked_by_a_frozen_retire(self) -> None:
        """The standby has to be free first: the retire is done for the rotation."""
        desired = frozen_entry(freeze(3.12, 30))
        universe = settled(desired)
        after(universe, 3.1)
        applied(universe, desired)
        after(universe, 6)
        done = applied(universe, desired, Options(rotate=True, reason="test")).done
        assert {change.change for change in done} >= {Change.RETIRE, Change.ROTATE}

    def test_a_refused_secret_is_replaced_in_a_freeze(self) -> None:
        """Consumers come first."""
        desired = frozen_entry(freeze(0, 30))
        universe = settled(desired)
        after(universe, 5)
        for uuid, key in list(universe.keys.items()):
            if key.ours:
                universe.keys[uuid] = replace(key, secret=universe.new_secret(), old="")
        done = applied(universe, desired, Options(verify=True)).done
        assert Change.ROTATE in {change.change for change in done}

    def test_a_record_without_an_entry_keeps_its_old_secret_too(self) -> None:
        """Until the freeze of the manifest ends."""
        desired = frozen_entry()
        universe = settled(desired)
        after(universe, 3.1)
        applied(universe, desired)
        after(universe, 5)
        lost = replace(unmanaged_key("main", desired.owner), timing=TIMING, rotation=rotation(freeze(3.12, 8)))
        plan = planned(universe, lost)
        assert (plan.end.code, plan.end.until, plan.changes) == (Reason.UNMANAGED, START + 8 * DAY, ())
        after(universe, 8)
        assert planned(universe, lost).changes


WRITTEN = """
freeze:
  - {from: "2026-12-18T18:00:00+01:00", until: 2027-01-04T08:00:00+01:00, reason: "holidays"}
  - {from: 2027-03-01T00:00Z, until: 2027-03-02T00:00Z, reason: "audit"}
"""


class TestManifest:
    """How a freeze is written."""

    def test_it_reaches_every_key_in_utc(self) -> None:
        """Quoted or not."""
        desired = read(TOP + KEYS + WRITTEN)
        first = Freeze(datetime(2026, 12, 18, 17, tzinfo=UTC), datetime(2027, 1, 4, 7, tzinfo=UTC), "holidays")
        assert desired.freezes[0] == first
        assert all(key.rotation.freezes == desired.freezes for key in desired.keys)

    def test_it_is_no_change_of_an_entry(self) -> None:
        """A parked key stays parked."""
        (plain, *_), (with_freeze, *_) = read(TOP + KEYS).keys, read(TOP + KEYS + WRITTEN).keys
        assert plain.fingerprint == with_freeze.fingerprint == fingerprint(with_freeze)

    @pytest.mark.parametrize(
        ("since", "until", "wrong"),
        [
            ("2026-12-18", "2027-01-04T08:00:00Z", "must be a moment with its offset"),
            ("2026-12-18T18:00:00", "2027-01-04T08:00:00Z", "must be a moment with its offset"),
            ("2026-12-18T18:00:00Z", "2026-13-40T18:00:00Z", "must be a moment with its offset"),
            ("0001-01-01T00:00:00+14:00", "2026-12-18T18:00:00Z", "must be a moment with its offset"),
            ("2026-12-18T18:00:00Z", "2026-12-18T18:00:00Z", "must be later than `from`"),
            ("2026-12-18T18:00:00Z", "2028-12-18T18:00:00Z", "at most 366 days"),
        ],
    )
    def test_what_could_be_misread_is_refused(self, since: str, until: str, wrong: str) -> None:
        """With the place."""
        text = f'\nfreeze: [{{from: "{since}", until: "{until}", reason: "x"}}]\n'
        assert wrong in told(TOP + KEYS + text)

    def test_freezes_that_join_last_no_longer_than_one(self) -> None:
        """They count as one."""
        spans = (("2026-01-01T00:00:00Z", "2026-12-18T18:00:00Z"), ("2026-12-18T18:00:00Z", "2027-02-18T18:00:00Z"))
        rows = ", ".join(f'{{from: "{since}", until: "{until}", reason: "x"}}' for since, until in spans)
        wrong = "freeze[0].until: with the freezes that follow without a gap, it lasts more than 366 days"
        assert wrong in told(f"{TOP}{KEYS}\nfreeze: [{rows}]\n")

    def test_a_reason_is_required(self) -> None:
        """It is shown wherever something waits."""
        text = '\nfreeze: [{from: "2026-12-18T18:00:00Z", until: "2026-12-19T18:00:00Z"}]\n'
        assert "freeze[0].reason: is required" in told(TOP + KEYS + text)


def test_what_was_begun_is_finished_in_a_freeze() -> None:
    """A rotation that was cut at any of its effects just before the freeze."""
    desired = frozen_entry(freeze(1.5, 30))
    start = settled(desired)
    after(start, 1.49)
    options = Options(rotate=True, reason="test")
    whole = start.copy()
    world = SimWorld(whole, {}, TIMING)
    apply_key(world, desired, options, "whole")
    assert len(world.trace) > 15
    for cut in range(len(world.trace)):
        universe = start.copy()
        with suppress(Killed):
            apply_key(SimWorld(universe, {cut: Fault(Kind.CUT)}, TIMING), desired, options, f"cut-{cut}")
        begun = universe.records["main"][0].intent is not None or universe.records["main"][0].requested is not None
        after(universe, 2)
        report = [applied(universe, desired) for _ in range(3)][-1]
        record = universe.records["main"][0]
        assert (record.intent, record.requested, report.exit_code) == (None, None, 0), cut
        assert record.generation == (2 if begun else record.generation), cut
        assert universe.accepted(universe.fields[desired.deliveries[0]]), cut
