"""Deliveries that cannot be read: whose value is written over, emptied, or put at risk, and by what right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.model import Delivery, DesiredKey, Strategy
from keyturn.core.permits import Permit
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, Intent, Op
from keyturn.core.results import KeyReport, Options
from keyturn.engine.executor import apply_key
from keyturn.engine.planning import plan_key
from tests.simulation.faults import Class, Fault, Kind
from tests.simulation.marking import DELAYED
from tests.simulation.scenarios import TIMING, entry, settled
from tests.simulation.universe import PASSWORD, START, Universe
from tests.simulation.world import SimWorld
from tests.unit.test_write_only import BOTH, ROTATE, go, key, of

OURS, THEIRS = Delivery("s", "app", "key"), Delivery("s", "others", "password")


class Struck(SimWorld):
    """A world in which each write to one place comes to the same."""

    def __init__(self, universe: Universe, where: str, kind: Kind) -> None:
        """`where` is the name of a target."""
        super().__init__(universe, {}, TIMING)
        self.where, self.kind = where, kind

    def _point(self, kind: Class, where: str) -> Fault | None:
        fault = super()._point(kind, where)
        return Fault(self.kind) if kind is Class.DELIVER and where == self.where else fault


def struck(universe: Universe, desired: DesiredKey, kind: Kind, options: Options = Options()) -> KeyReport:  # noqa: B008
    """Apply once, and let every write to the last delivery come to this."""
    universe.advance(1.0)
    universe.runs += 1
    world = Struck(universe, desired.deliveries[-1].target, kind)
    return apply_key(world, desired, options, f"run-{universe.runs}")


def two(strategy: Strategy) -> tuple[DesiredKey, DesiredKey]:
    """Return an entry with a readable place, and the same with one more that cannot be read."""
    one = key(strategy, "r")
    return one, replace(one, deliveries=(*one.deliveries, THEIRS))


@BOTH
def test_a_place_that_refused_the_first_write_is_not_ours(strategy: Strategy) -> None:
    """Its owner puts something there later: that is left alone, and stays when the entry drops the place."""
    less, more = two(strategy)
    universe = settled(less)
    assert struck(universe, more, Kind.NO).exit_code == 1
    noted = of(universe).delivery(THEIRS)
    assert noted is None or not (noted.begun or noted.proven)
    universe.by_hand(THEIRS, PASSWORD)
    universe.foreign_fields |= {THEIRS}
    assert Reason.FIELD_IN_USE in {end.code for end in go(universe, more).conditions}
    go(universe, less)
    assert universe.fields[THEIRS] == PASSWORD
    assert not universe.wrong


@BOTH
def test_what_comes_to_a_place_that_just_refused_is_another_s(strategy: Strategy) -> None:
    """Within the same run, before anything is written down."""
    less, more = two(strategy)
    universe = settled(less)

    class Filled(Struck):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if THEIRS not in universe.fields:
                universe.by_hand(THEIRS, PASSWORD)
            self.where = ""

    universe.advance(1.0)
    report = apply_key(Filled(universe, THEIRS.target, Kind.NO), more, Options(), "filled")
    assert report.now.code is Reason.FIELD_IN_USE
    assert universe.fields[THEIRS] == PASSWORD


@BOTH
@pytest.mark.parametrize("kind", [Kind.LOST, Kind.NEVER, Kind.LATE])
def test_an_unanswered_first_write_needs_no_take_over(strategy: Strategy, kind: Kind) -> None:
    """What is found there may be that write."""
    less, more = two(strategy)
    universe = settled(less)
    assert struck(universe, more, kind).exit_code == 1
    noted = of(universe).delivery(THEIRS)
    assert noted is not None
    assert noted.begun
    assert not noted.proven
    assert go(universe, more, after=60.0).exit_code == 0
    assert universe.accepted(universe.fields[THEIRS])


def test_a_delivery_that_failed_again_was_not_finished() -> None:
    """An earlier run left it open, and this one could not do it either."""
    less, more = two(Strategy.ALTERNATING)
    universe = settled(less)
    record, version = universe.records["main"]
    left = Intent(Op.DELIVER, None, "0123456789abcdef", "run-x", START, START)
    universe.records["main"] = (replace(record, intent=left), version)
    report = struck(universe.copy(), more, Kind.NO)
    assert report.exit_code == 1
    assert "that an earlier run left open" not in " ".join(change.why for change in report.done)
    assert "that an earlier run left open" in " ".join(change.why for change in go(universe, less).done)


@BOTH
def test_a_place_that_is_dropped_after_an_unanswered_write_is_emptied(strategy: Strategy) -> None:
    """The secret may be there."""
    less, more = two(strategy)
    universe = settled(less)
    struck(universe, more, Kind.LOST)
    assert THEIRS in universe.fields
    assert go(universe, less, after=60.0).exit_code == 0
    assert THEIRS not in universe.fields


@BOTH
def test_an_unanswered_write_that_starts_a_rollout_is_sent_twice_at_most(strategy: Strategy) -> None:
    """Each is a deployment of someone's app, which supersedes the one before; the next run goes on."""
    one = key(strategy, "rd")
    universe = settled(one)
    before = universe.version(one.deliveries[-1])
    report = struck(universe, one, Kind.LOST, ROTATE)
    assert report.exit_code == 1
    assert universe.version(one.deliveries[-1]) == before + 2
    assert go(universe, one, after=60.0).now.code is Reason.EFFECT_PENDING
    assert universe.version(one.deliveries[-1]) == before + 3


@BOTH
def test_a_place_is_emptied_although_no_other_one_can_be_read(strategy: Strategy) -> None:
    """Nothing is to be delivered, so nobody has to have the secret in hand."""
    one = replace(entry(strategy), deliveries=(OURS, THEIRS))
    universe = settled(one)
    report = go(universe, replace(one, deliveries=(OURS,)))
    assert (report.exit_code, report.now.code) == (0, Reason.AT_REST)
    assert THEIRS not in universe.fields
    assert universe.accepted(universe.fields[OURS])


PERMIT = Permit(("**",), rotations=20, deletes=9, removals=20, deliver=("s:app#key",))


@BOTH
def test_a_policy_limits_which_places_are_emptied_by_the_record_alone(strategy: Strategy) -> None:
    """A record names a place that cannot be read; whether anything of ours is there, only the record says."""
    one = replace(entry(strategy), deliveries=(OURS, THEIRS))
    universe, less = settled(one), replace(one, deliveries=(OURS,), permit=PERMIT)
    report = go(universe, less)
    assert report.exit_code == 1
    assert f"{THEIRS} is not emptied: it matches no pattern of the policy (policy)" in report.now.why
    absent = replace(less, absent=True)
    assert go(universe, absent, Options(allow_delete=True)).now.code is Reason.CLEAN_FAILED
    assert THEIRS in universe.fields
    wider = replace(less, permit=replace(PERMIT, deliver=("s:**#*",)))
    assert go(universe, wider).exit_code == 0
    assert THEIRS not in universe.fields


@BOTH
def test_a_record_without_a_signature_does_not_empty_a_place_alone(strategy: Strategy) -> None:
    """It stays, the key goes on, and each run says so; an operator or a signature decides."""
    one = replace(entry(strategy), deliveries=(OURS, THEIRS))
    universe, less = settled(one), replace(one, deliveries=(OURS,))
    universe.forged = True
    for options in (Options(), ROTATE):
        report = go(universe, less, options)
        assert (report.exit_code, report.now.code) == (1, Reason.PLACE_UNPROVEN)
        assert f"{THEIRS} is not emptied: it cannot be read, and only the record says" in report.now.why
    assert of(universe).generation == 2
    assert THEIRS in universe.fields
    absent = replace(less, absent=True)
    assert go(universe.copy(), absent, Options(allow_delete=True)).end.code is Reason.PLACE_UNPROVEN
    signed = universe.copy()
    signed.forged = False
    for world, options in ((universe, Options(take_over=True)), (signed, Options())):
        assert go(world, less, options).exit_code == 0
        assert THEIRS not in world.fields


def test_a_place_that_is_kept_is_told_beside_a_place_that_waits() -> None:
    """A delivery moved during an overlap: what the new place waits for, and what ends it for the old one."""
    moved, new = Delivery("s", "worker", "key"), Delivery("s", "worker/job", "key")
    one = replace(entry(Strategy.ALTERNATING), deliveries=(moved,))
    universe, two = settled(one), replace(one, deliveries=(new,))
    go(universe, one, ROTATE)
    universe.forged = True
    plan = plan_key(SimWorld(universe, {}, TIMING), two, Options()).plan
    for answer in (plan, go(universe, two), go(universe, two)):
        told = {end.code: end.why for end in answer.conditions}
        assert f"{new} does not hold the live secret: only a new secret can be delivered" in told[Reason.PENDING]
        assert "rotates (secret-lost) after the overlap" in told[Reason.PENDING]
        assert str(moved) not in told[Reason.PENDING].replace(str(new), "")
        assert f"{moved} is not emptied" in told[Reason.PLACE_UNPROVEN]
    go(universe, two, after=3600.0)
    assert universe.accepted(universe.fields[new])
    report = go(universe, two, after=3600.0)
    assert of(universe).retire is None
    assert (report.now.code, moved in universe.fields) == (Reason.PLACE_UNPROVEN, True)


@BOTH
def test_a_forged_record_has_a_place_of_the_entry_written_over(strategy: Strategy) -> None:
    """The limit that security.md names: the entry chose the place. Without the forgery it is left alone."""
    less, more = two(strategy)
    universe = settled(less)
    universe.by_hand(THEIRS, PASSWORD)
    honest, forged = universe.copy(), universe.copy()
    assert Reason.FIELD_IN_USE in {end.code for end in go(honest, more).conditions}
    assert honest.fields[THEIRS] == PASSWORD
    record, version = forged.records["main"]
    states = (*record.deliveries, DeliveryState(THEIRS, marked=True, begun=True))
    forged.records["main"], forged.forged = (replace(record, deliveries=states), version), True
    go(forged, more)
    assert forged.accepted(forged.fields[THEIRS])


@BOTH
def test_a_place_that_cannot_be_read_is_forgotten_if_the_entry_says_so(strategy: Strategy) -> None:
    """Nobody has to prove whose its value is: it stays."""
    one = replace(entry(strategy), deliveries=(OURS, THEIRS))
    universe = settled(one)
    universe.forged = True
    assert go(universe, replace(one, deliveries=(OURS,), clean_targets=False)).exit_code == 0
    assert of(universe).delivery(THEIRS) is None
    assert THEIRS in universe.fields


def test_a_standby_that_may_be_in_use_is_not_minted_because_the_api_refuses_everything() -> None:
    """A readable place was put back to the standby's secret; the live one is where nobody can read it."""
    one = key(Strategy.ALTERNATING, "ps")
    universe = settled(one)
    old = universe.fields[one.deliveries[0]]
    go(universe, one, ROTATE)
    universe.by_hand(one.deliveries[0], old)
    universe.advance(7200.0)
    mints = len(universe.mints)

    class Refusing(SimWorld):
        def __init__(self) -> None:
            super().__init__(universe, {}, TIMING)
            self.refusing = True

    report = apply_key(Refusing(), one, Options(verify=False), "refusing")
    assert (report.exit_code, report.now.code) == (1, Reason.REFUSED)
    assert "nothing shows whether the API is failing" in report.now.why
    assert len(universe.mints) == mints
    assert universe.accepted(old)


def test_consumers_of_a_place_that_is_dropped_are_waited_for() -> None:
    """Their rollout is under way, so they use the standby's secret; a refused live one is not replaced before."""
    one = key(Strategy.ALTERNATING, "dr")
    universe = settled(one)
    old = universe.in_use(one.deliveries[0])
    go(universe, one, ROTATE)
    moved = replace(one, deliveries=(Delivery("x", "moved", "key"),))

    class Refusing(SimWorld):
        def __init__(self) -> None:
            super().__init__(universe, {}, TIMING)
            self.refusing = True

    universe.advance(1.0)
    apply_key(Refusing(), moved, Options(verify=True), "refusing")
    assert one.deliveries[0].target == DELAYED
    assert universe.in_use(one.deliveries[0]) == old
    assert universe.accepted(old)
