"""Deliveries that cannot be read, or take effect later: what is said of them, and how seldom they are written."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from keyturn.core.errors import CredentialError
from keyturn.core.machine.in_effect import LINGERS
from keyturn.core.model import Delivery, DesiredKey, SlotName, Strategy
from keyturn.core.reasons import Condition, Reason
from keyturn.core.record import Record, dump, parse_record
from keyturn.core.results import Change, KeyReport, Options, RunStatus
from keyturn.core.status import status as status_of
from keyturn.core.world import Held
from keyturn.engine.executor import apply_key
from keyturn.engine.planning import plan_key
from keyturn.report.done import done_text
from keyturn.report.history import history_lines
from keyturn.report.lines import paint_plain
from keyturn.report.overview import status_document
from keyturn.report.remedies import remedy
from keyturn.report.status import status_lines
from keyturn.targets.base import Capabilities
from keyturn.targets.registry import complete
from tests.simulation.faults import Class, Fault, Kind
from tests.simulation.marking import ROLLOUT, Rollouts
from tests.simulation.rules import LONG
from tests.simulation.scenarios import TIMING, VERIFY, entry, placed, settled
from tests.simulation.universe import PASSWORD, Universe
from tests.simulation.world import SimWorld

ROTATE = Options(rotate=True)
BOTH = pytest.mark.parametrize("strategy", list(Strategy))


def key(strategy: Strategy, label: str) -> DesiredKey:
    """Return an entry with these places."""
    return replace(entry(strategy), deliveries=placed(label))


def go(universe: Universe, desired: DesiredKey, options: Options = Options(), *, after: float = 1.0) -> KeyReport:  # noqa: B008
    """Apply once, without faults."""
    universe.advance(after)
    universe.runs += 1
    return apply_key(SimWorld(universe, {}, TIMING), desired, options, f"run-{universe.runs}")


def of(universe: Universe) -> Record:
    """Return the key's record."""
    return universe.records["main"][0]


def why(universe: Universe, desired: DesiredKey, options: Options) -> str:
    """Return what a plan says."""
    return "; ".join(item.why for item in plan_key(SimWorld(universe, {}, TIMING), desired, options).plan.changes)


def test_a_plan_says_what_a_delivery_sets_off() -> None:
    """And what it means for the old secret, if that one can live on."""
    alternating, in_place = key(Strategy.ALTERNATING, "d"), key(Strategy.IN_PLACE, "d")
    assert "starts a rollout; the old secret lives until it is active" in why(settled(alternating), alternating, ROTATE)
    said = why(settled(in_place), in_place, ROTATE)
    assert "starts a rollout" in said
    assert "the old secret lives" not in said
    assert "its consumers are refused until it is active" in said


@BOTH
def test_a_plan_foretells_that_a_rollout_is_waited_for(strategy: Strategy) -> None:
    """What is foretold is no condition of now; a removal sets off a rollout, too, and programs read it in a field."""
    one = key(strategy, "rd")
    universe = settled(one)
    plan = plan_key(SimWorld(universe, {}, TIMING), one, ROTATE).plan
    assert (plan.end.code, plan.exit_code) == (Reason.EFFECT_PENDING, 0)
    assert f"{one.deliveries[1]}: starts a rollout" in plan.end.why
    [set_off] = [item.consequence for item in plan.changes if item.consequence]
    assert set_off == "starts a rollout"
    assert go(universe.copy(), one, ROTATE).end.code in {Reason.EFFECT_PENDING, Reason.EFFECT_OUTAGE}
    less = replace(one, deliveries=one.deliveries[:1])
    [removed] = plan_key(SimWorld(universe, {}, TIMING), less, Options()).plan.changes
    assert (removed.change, removed.consequence) == (Change.REMOVE, "starts a rollout")
    assert removed.why.endswith("; starts a rollout")


def test_a_plan_speaks_of_an_old_secret_only_where_one_lives() -> None:
    """Not at a first delivery, and not at a place that someone else wrote to after the old one had died."""
    less = key(Strategy.ALTERNATING, "r")
    more = replace(less, deliveries=(*less.deliveries, *placed("d")))
    said = why(settled(less), more, Options())
    assert "starts a rollout" in said
    assert "the old secret lives" not in said
    universe = settled(more)
    universe.by_hand(more.deliveries[1], PASSWORD)
    said = why(universe, more, VERIFY)
    assert "starts a rollout; its consumers use what someone wrote there until it is active" in said
    assert "the old secret lives" not in said


@BOTH
def test_a_repair_without_a_source_needs_a_mint_and_the_plan_says_so(strategy: Strategy) -> None:
    """Someone wrote to the only place; nothing can give the live secret back."""
    one = key(strategy, "s")
    universe = settled(one)
    universe.given |= {PASSWORD}
    universe.by_hand(one.deliveries[0], PASSWORD)
    plan = plan_key(SimWorld(universe, {}, TIMING), one, VERIFY).plan
    assert plan.now.code is Reason.DRIFTED
    assert plan.now.why == f"{one.deliveries[0]} was written by someone else since keyturn's own write"
    assert [item.code for item in plan.changes if item.change is Change.ROTATE] == ["secret-lost"]
    go(universe, one, VERIFY)
    assert universe.accepted(universe.fields[one.deliveries[0]])


@BOTH
def test_a_place_that_lacks_a_secret_nobody_can_give_gets_a_new_one(strategy: Strategy) -> None:
    """A delivery is added to a key whose only other one cannot be read; that one is not taken for lost."""
    one = key(strategy, "s")
    universe, more = settled(one), replace(one, deliveries=placed("sp"))
    said = why(universe, more, Options())
    assert "no target can be read that holds the live secret, so only a new one can be delivered to plain:" in said
    assert ("until its consumers reload" in said) is (strategy is Strategy.IN_PLACE)


def test_a_rollout_is_waited_for_and_said() -> None:
    """Exit 0 while it is under way; then old instances have some minutes to end, and the next run is quiet."""
    one = key(Strategy.ALTERNATING, "d")
    universe = settled(one)
    report = go(universe, one, ROTATE)
    assert (report.exit_code, report.now.code) == (0, Reason.EFFECT_PENDING)
    assert "its rollout is under way" in report.now.why
    assert "the old secret, of slot a, stays alive until the new one is in use" in done_text(report)
    [lives] = [end for end in report.conditions if end.code is Reason.OVERLAP]
    assert (lives.why, lives.until) == ("the old secret (slot a) stays alive until the new one is in use", None)
    assert of(universe).deliveries[0].effect_due
    late = go(universe, one, after=ROLLOUT - 60)
    assert (late.exit_code, late.now.condition) == (0, Condition.WAITING)
    assert go(universe, one, after=120).now.code is Reason.OVERLAP
    assert go(universe, one, after=LINGERS.total_seconds() - 10).now.code is Reason.OVERLAP
    assert go(universe, one, after=20).now.code is Reason.AT_REST
    assert of(universe).retire is None
    before = universe.mutations
    go(universe, one)
    assert universe.mutations == before


def test_a_restored_place_may_have_had_the_old_secret_so_it_has_an_overlap() -> None:
    """Someone wrote there during the overlap; what it was, nobody can know."""
    one = key(Strategy.ALTERNATING, "rs")
    universe = settled(one)
    go(universe, one, ROTATE)
    before = of(universe).retire
    universe.by_hand(one.deliveries[1], universe.keys[of(universe).slots[SlotName.A].uuid].secret)
    go(universe, one, VERIFY, after=3500.0)
    after = of(universe).retire
    assert before is not None
    assert after is not None
    assert after.at - before.at >= timedelta(seconds=3500)


@BOTH
def test_a_failed_rollout_is_told_until_it_is_repaired(strategy: Strategy) -> None:
    """In each run, also without --verify; with two slots the old secret lives."""
    one = key(strategy, "d")
    universe = settled(one)
    old = universe.fields[one.deliveries[0]]
    universe.rollouts = replace(universe.rollouts, broken=True)
    go(universe, one, ROTATE)
    for _ in range(2):
        report = go(universe, one, after=LONG)
        assert (report.exit_code, report.now.code) == (1, Reason.EFFECT_FAILED)
        assert "its rollout failed" in report.now.why
        alive = (
            "the old secret (slot a) stays alive until"
            if strategy is Strategy.ALTERNATING
            else "the old secret is dead"
        )
        assert alive in report.now.why
        told = {end.code: end for end in report.conditions}
        assert Reason.RETIRE_DUE not in told
        assert all(end.until is None for end in report.conditions)
        assert remedy(told[Reason.EFFECT_FAILED], "bot").startswith("repair what failed")
    assert universe.accepted(old) is (strategy is Strategy.ALTERNATING)
    universe.rollouts = Rollouts({one.deliveries[0]: universe.fields[one.deliveries[0]]})
    go(universe, one)
    assert universe.accepted(old) is (strategy is Strategy.ALTERNATING)
    assert go(universe, one, after=LINGERS.total_seconds()).now.code is Reason.AT_REST
    assert not universe.accepted(old)


LEAKED = Options(rotate=True, compromised=True)


@pytest.mark.parametrize(("strategy", "options"), [(Strategy.IN_PLACE, ROTATE), (Strategy.ALTERNATING, LEAKED)])
def test_an_outage_is_told_as_one(strategy: Strategy, options: Options) -> None:
    """The old secret is dead and the new one not in use: consumers are refused until the rollout is over."""
    one = key(strategy, "d")
    universe = settled(one)
    old = universe.in_use(one.deliveries[0])
    for report in (go(universe, one, options), go(universe, one), go(universe, one, after=60.0)):
        assert universe.in_use(one.deliveries[0]) == old
        assert not universe.accepted(old)
        assert (report.exit_code, report.now.code) == (1, Reason.EFFECT_OUTAGE)
        assert "its consumers are refused: the old secret is dead" in report.now.why
    plan = plan_key(SimWorld(universe, {}, TIMING), one, Options()).plan
    assert [end.code for end in plan.conditions] == [Reason.EFFECT_OUTAGE]
    assert go(universe, one, after=ROLLOUT).exit_code == 0


def test_a_first_delivery_under_way_is_no_outage() -> None:
    """Nobody used anything of this key there before."""
    less = key(Strategy.IN_PLACE, "r")
    universe = settled(less)
    go(universe, less, ROTATE)
    more = replace(less, deliveries=(*less.deliveries, *placed("d")))
    assert go(universe, more).now.code is Reason.EFFECT_PENDING


class Closed(SimWorld):
    """A world in which one readable target takes no write, which no preflight shows."""

    closed = "v"

    def _point(self, kind: Class, where: str) -> Fault | None:
        fault = super()._point(kind, where)
        return Fault(Kind.NO) if kind is Class.DELIVER and where == self.closed else fault

    def preflight(self, delivery: Delivery) -> None:
        """Find nothing wrong."""


def test_what_cannot_be_read_is_left_alone_while_no_readable_place_has_the_secret() -> None:
    """It would start a deployment in every run, and could not give the secret back."""
    one = key(Strategy.ALTERNATING, "rd")
    universe = settled(one)
    before = universe.version(one.deliveries[1])
    for number in range(3):
        universe.advance(60.0)
        apply_key(Closed(universe, {}, TIMING), one, ROTATE if not number else Options(), f"closed-{number}")
    assert of(universe).intent is not None
    assert universe.version(one.deliveries[1]) == before


def test_what_has_the_secret_is_not_written_again_by_the_next_run() -> None:
    """A run that gives up notes the marker: one that tries another place again sends nothing there."""
    one = key(Strategy.ALTERNATING, "rdp")
    universe = settled(one)
    before = universe.version(one.deliveries[1])
    for number in range(3):
        universe.advance(60.0)
        world = Closed(universe, {}, TIMING)
        world.closed = "plain"
        apply_key(world, one, ROTATE if not number else Options(), f"closed-{number}")
    assert of(universe).intent is not None
    assert universe.version(one.deliveries[1]) == before + 1


def test_a_record_keeps_what_it_says_of_such_deliveries() -> None:
    """Through its JSON."""
    one = key(Strategy.ALTERNATING, "d")
    universe = settled(one)
    go(universe, one, ROTATE)
    record = of(universe)
    assert record.deliveries[0].marked
    assert record.deliveries[0].version
    assert parse_record(dump(record), where="here") == record


@pytest.mark.parametrize(
    "wrong",
    [
        Capabilities(compare_and_set=False, versions=False, documents=False, reads=False),
        Capabilities(compare_and_set=False, versions=False, documents=False, reads=False, marks=True),
        Capabilities(compare_and_set=False, versions=False, documents=False, effect=True),
    ],
)
def test_a_target_has_the_methods_that_its_capabilities_promise(wrong: Capabilities) -> None:
    """One that cannot be read and shows no marker could never be told from another value."""

    class Broken:
        capabilities = wrong

    assert not complete(Broken)


def test_a_smoke_check_names_only_the_places_that_could_be_tried() -> None:
    """Of the others the marker was compared."""
    one = key(Strategy.ALTERNATING, "rs")
    universe = settled(one)
    planning = plan_key(SimWorld(universe, {}, TIMING), one, VERIFY)
    plan, seen = planning.plan, planning.seen
    assert seen is not None
    now = seen.clock.now
    found = status_of(one, plan.conditions, plan.record, seen, now)
    readable, marked = one.deliveries
    assert ([place for place, _ in found.results], found.untried) == ([readable], (marked,))
    text = paint_plain(status_lines(status_document([RunStatus("main", (found,))], now)))
    assert f"smoke-check of {readable}: accepted" in text
    assert f"not tried: {marked}: cannot be read, and shows the marker of keyturn's own write" in text


def test_a_rotation_that_waits_for_a_retire_says_what_keeps_that() -> None:
    """A place cannot be read, because its login is refused: that is said, with its exit code."""
    one = key(Strategy.ALTERNATING, "rs")
    universe = settled(one)
    go(universe, one, ROTATE)
    universe.advance(2 * 3600.0)

    class LoggedOut(SimWorld):
        def read_delivery(self, delivery: Delivery) -> Held:
            if delivery.target == one.deliveries[1].target:
                raise CredentialError("the token is refused", where=f"target {delivery.target}")
            return super().read_delivery(delivery)

    plan = plan_key(LoggedOut(universe, {}, TIMING), one, ROTATE).plan
    assert (plan.now.code, plan.exit_code) == (Reason.LOGIN_REFUSED, 5)
    assert "rotates once the old secret is retired" in plan.now.why
    assert "the token is refused" in plan.now.why


def test_the_history_says_what_put_a_secret_to_use() -> None:
    """The target did, not the entry."""
    one = key(Strategy.ALTERNATING, "d")
    universe = settled(one)
    go(universe, one, ROTATE)
    go(universe, one, after=ROLLOUT + 60)
    text = paint_plain(history_lines(of(universe).history))
    seen = [row for row in text.splitlines() if "in effect:" in row]
    assert len(seen) == 2
    assert all(row.endswith("the target put it to use") for row in seen)
