"""What a run began, or only saw, is not forgotten by the next one; in the simulated world, but without chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.errors import TargetError, TargetForbidden, TargetUnavailable
from keyturn.core.model import Adopt, AdoptSecret, Delivery, DesiredKey, SlotName, Strategy, Timing
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import KeyReport, Options, RunReport
from keyturn.core.world import Held
from keyturn.engine.executor import apply_key
from keyturn.report.done import done_text
from keyturn.report.run import run_summary
from tests.simulation.faults import Class, Fault, Killed, Kind
from tests.simulation.scenarios import NOTHING, PLACES, ROTATE, TIMING, VERIFY, empty, entry, settled
from tests.simulation.universe import MARK, Renew, Universe
from tests.simulation.world import Point, SimWorld

COMPROMISED = Options(rotate=True, compromised=True)
BOTH = pytest.mark.parametrize("strategy", Strategy)
LEASE = 600.0
"""Seconds after which the lease of a run that was cut is over for certain."""
MOST_POINTS = 100
"""Effects of a rotation, at most."""


class Refusing(SimWorld):
    """A world whose API refuses every mint."""

    def _point(self, kind: Class, where: str) -> Fault | None:
        if kind is Class.MINT:
            self.faults = {len(self.trace): Fault(Kind.NO)}
        return super()._point(kind, where)


class Failing(SimWorld):
    """A world in which the next writes to deliveries fail."""

    failing = 0

    def _point(self, kind: Class, where: str) -> Fault | None:
        if kind is Class.DELIVER and self.failing:
            self.failing -= 1
            self.faults = {len(self.trace): Fault(Kind.NO)}
        return super()._point(kind, where)


class Silent(SimWorld):
    """A world in which no delivery can be read: its server does not answer, or does not allow it."""

    error: TargetError

    def read_delivery(self, delivery: Delivery) -> Held:
        """Fail."""
        raise self.error


class Slow(SimWorld):
    """A world in which each write of a record takes a while."""

    writes = 0

    def write_record(self, record: object, version: str) -> str:
        """Count, and let time pass."""
        self.universe.advance(0.05)
        self.writes += 1
        return super().write_record(record, version)  # type: ignore[arg-type]


def go(world: SimWorld, desired: DesiredKey, options: Options = NOTHING, *, after: float = 1.0) -> KeyReport:
    """Apply once."""
    world.universe.advance(after)
    world.universe.runs += 1
    return apply_key(world, desired, options, f"run-{world.universe.runs}")


def plain(universe: Universe, desired: DesiredKey) -> SimWorld:
    """A world without faults."""
    return SimWorld(universe, {}, desired.timing)


def _generation(universe: Universe) -> int:
    return universe.records["main"][0].generation


def _points(universe: Universe, desired: DesiredKey) -> list[Point]:
    """Return the effects of a rotation."""
    world = plain(universe.copy(), desired)
    go(world, desired, ROTATE)
    return world.trace


def stolen(universe: Universe) -> None:
    """Someone regenerates the live key and keeps the secret."""
    record = universe.records["main"][0]
    universe.land(Renew(record.slots[record.live or SlotName.A].uuid, f"{MARK}stolen"))


@BOTH
def test_a_trigger_outlives_a_mint_that_was_refused(strategy: Strategy) -> None:
    """It counts as honoured only once the rotation is committed, also where another reason opened it."""
    one = entry(strategy)
    universe = settled(one)
    stolen(universe)
    changed = replace(one, trigger="2")
    assert go(Refusing(universe, {}, TIMING), changed, VERIFY).exit_code == 1
    before = universe.records["main"][0].generation
    go(plain(universe, one), changed, after=7200)
    assert universe.records["main"][0].generation == before + 1
    assert universe.accepted(universe.fields[PLACES[0]])


@BOTH
@pytest.mark.parametrize(
    ("error", "code"),
    [(TargetUnavailable("no answer."), Reason.NO_ANSWER), (TargetForbidden("may not read."), Reason.UNREADABLE)],
)
def test_a_delivery_that_cannot_be_read_is_unknown(strategy: Strategy, error: TargetError, code: Reason) -> None:
    """Whether it is waited for or fixed: that depends on the answer of its server."""
    universe = settled(entry(strategy, 2))
    world = plain(universe, entry(strategy, 2))
    silent = Silent(universe, {}, TIMING)
    silent.error = error
    report = go(silent, entry(strategy, 2), VERIFY)
    assert (report.now.code, report.now.condition, report.exit_code) == (code, Condition.UNKNOWN, 1)
    assert report.now.why.count(str(error).rstrip(".")) == 2
    assert ".;" not in report.now.why
    assert go(world, entry(strategy, 2), VERIFY).exit_code == 0


@BOTH
def test_a_refused_secret_that_could_not_be_healed_is_healed_by_a_plain_apply(strategy: Strategy) -> None:
    """What --verify saw is in the record."""
    one = entry(strategy)
    universe = settled(one)
    stolen(universe)
    assert go(Refusing(universe, {}, TIMING), one, VERIFY).exit_code == 1
    go(plain(universe, one), one, after=7200)
    assert universe.accepted(universe.fields[PLACES[0]])


def test_a_leak_is_not_forgotten_when_a_plain_rotation_is_asked_for() -> None:
    """The leaked secret dies with it, without an overlap."""
    one = entry(Strategy.ALTERNATING)
    universe = settled(one)
    leaked = universe.fields[PLACES[0]]
    assert go(Refusing(universe, {}, TIMING), one, COMPROMISED).exit_code == 1
    assert go(plain(universe, one), one, ROTATE).exit_code == 0
    assert not universe.accepted(leaked)
    assert universe.accepted(universe.fields[PLACES[0]])


@BOTH
def test_the_shortest_lease_that_the_manifest_takes_is_long_enough(strategy: Strategy) -> None:
    """It is not extended for ever."""
    timing = Timing(delivery=20, settle=30, lease=60, propagation=20, request=30)
    one = replace(entry(strategy), timing=timing)
    world = Slow(empty(), {}, timing)
    assert go(world, one).exit_code == 0
    assert world.writes < 20


@BOTH
@pytest.mark.parametrize("alive", [False, None])
def test_a_run_that_was_asked_to_stop_leaves_no_lease(strategy: Strategy, alive: bool | None) -> None:
    """The next one goes on at once, also on another machine; nothing that the first one sent is under way."""
    desired = entry(strategy)
    universe = settled(desired)
    stopped = SimWorld(universe, {}, desired.timing)
    minted = len(universe.mints)
    report = apply_key(
        stopped, desired, ROTATE, "run-stopped", stop=lambda: len(universe.mints) > minted and not universe.late
    )
    intent = universe.records["main"][0].intent
    assert report.end.code == "interrupted"
    assert intent is not None
    assert intent.released
    began = universe.now
    assert go(SimWorld(universe, {}, desired.timing, alive=alive), desired).exit_code == 0
    assert universe.now - began < desired.timing.settle


@BOTH
def test_a_run_that_is_asked_to_stop_keeps_its_lease_while_something_is_under_way(strategy: Strategy) -> None:
    """What had no answer may still land: the next run waits until it cannot any more."""
    desired = entry(strategy)
    universe = settled(desired)
    mint = next(index for index, point in enumerate(_points(universe, desired)) if point[0] is Class.MINT)
    world = SimWorld(universe, {mint: Fault(Kind.LATE)}, desired.timing)
    apply_key(world, desired, ROTATE, "run-stopped", stop=lambda: bool(universe.late))
    intent = universe.records["main"][0].intent
    assert intent is not None
    assert not intent.released


@pytest.mark.parametrize("stops", [True, False])
def test_an_order_that_a_newer_one_has_replaced_is_not_carried_out_by_who_has_to_stop(stops: bool) -> None:
    """It planned the rotation, and lost its turn; another run carried out the newer order since. Else it mints."""
    desired = entry(Strategy.IN_PLACE)
    universe = settled(desired)
    older, newer = (replace(desired, trigger=order) for order in ("older", "newer"))
    lost = False

    class Overtaken(SimWorld):
        def write_record(self, record: object, version: str) -> str:
            nonlocal lost
            if not lost:
                lost = True
                assert go(SimWorld(universe, {}, desired.timing), newer).exit_code == 0
            return super().write_record(record, version)  # type: ignore[arg-type]

    minted = len(universe.mints)
    report = apply_key(Overtaken(universe, {}, desired.timing), older, NOTHING, "run-old", stop=lambda: stops and lost)
    assert report.end.code == ("interrupted" if stops else "at-rest")
    assert len(universe.mints) == minted + (1 if stops else 2)
    assert universe.records["main"][0].trigger == ("newer" if stops else "older")


@BOTH
def test_verify_tries_what_can_be_read_and_tells_of_the_rest(strategy: Strategy) -> None:
    """A target that is down does not hide that the other one holds a refused secret."""
    one = entry(strategy, 2)
    universe = settled(one)
    stolen(universe)
    world = plain(universe, one)
    world.down.add("v")
    report = go(world, one, VERIFY)
    assert report.exit_code == 1
    assert "the API refuses the delivered secret" in report.end.why
    assert f"{PLACES[0]}: v: no answer" in report.end.why


@BOTH
def test_a_target_that_moves_under_its_name_gets_the_secret_without_a_mint(strategy: Strategy) -> None:
    """Another address or mount is another place: what the record says of the old one is no proof."""
    one = replace(entry(strategy, 2), homes={"v": ("here",), "w": ("there",)})
    universe = settled(one)
    del universe.fields[PLACES[0]]
    moved = replace(one, homes={"v": ("elsewhere",), "w": ("there",)})
    report = go(plain(universe, one), moved)
    assert (report.exit_code, report.mints) == (0, 0)
    assert universe.fields[PLACES[0]] == universe.fields[PLACES[1]]
    quiet = universe.mutations
    assert go(plain(universe, one), moved).exit_code == 0
    assert universe.mutations == quiet


def test_a_target_that_moves_to_where_somebody_else_keeps_a_value_leaves_it_alone() -> None:
    """The consent was for the old place."""
    one = replace(entry(Strategy.IN_PLACE, 2), homes={"v": ("here",)})
    universe = settled(one)
    universe.fields[PLACES[0]] = f"{MARK}theirs"
    report = go(plain(universe, one), replace(one, homes={"v": ("elsewhere",)}))
    assert (report.exit_code, report.end.condition) == (4, Condition.HELD)
    assert universe.fields[PLACES[0]] == f"{MARK}theirs"


def test_a_secret_pasted_onto_the_standby_leaves_the_other_one_its_overlap() -> None:
    """An operator says whose it is; who still holds the old secret is not refused at once."""
    one = entry(Strategy.ALTERNATING)
    universe = settled(one)
    old = universe.fields[PLACES[0]]
    record = universe.records["main"][0]
    standby = (record.live or SlotName.A).other
    universe.land(Renew(record.slots[standby].uuid, f"{MARK}pasted"))
    universe.by_hand(PLACES[0], f"{MARK}pasted")
    report = go(plain(universe, one), one, Options(verify=True, adopt=Adopt(AdoptSecret.EXISTING, live=standby)))
    assert (report.end.condition, report.mints) == (Condition.OVERLAP, 0)
    assert universe.accepted(old)
    go(plain(universe, one), one, after=7200)
    assert not universe.accepted(old)
    assert universe.accepted(universe.fields[PLACES[0]])


@BOTH
def test_what_an_earlier_run_left_open_is_told_by_the_run_that_finishes_it(strategy: Strategy) -> None:
    """Wherever the first run was cut: a rotation that the second one only commits is not "nothing changed"."""
    desired, words = entry(strategy), set[str]()
    for point in range(MOST_POINTS):
        universe = settled(desired)
        before = _generation(universe)
        world = SimWorld(universe, {point: Fault(Kind.CUT)}, desired.timing)
        try:
            go(world, desired, ROTATE)
        except Killed:
            pass
        else:
            break
        begun = universe.records["main"][0].intent is not None
        report = go(plain(universe, desired), desired, after=LEASE)
        if begun and _generation(universe) > before:
            words.add(done_text(report).partition(" to generation")[0])
            assert "rotated" in run_summary(RunReport(desired.owner, "", (report,)))
    assert words == {"rotated", "finished the rotation"}


@BOTH
def test_a_compromised_secret_dies_after_one_try_and_its_replacement_is_delivered(strategy: Strategy) -> None:
    """By the same run, which has it in hand; nothing is minted again."""
    one = entry(strategy)
    universe = settled(one)
    leaked = universe.fields[PLACES[0]]
    world = Failing(universe, {}, TIMING)
    world.failing = 3
    before = universe.records["main"][0].generation
    report = go(world, one, COMPROMISED)
    assert report.exit_code == 0
    assert not universe.accepted(leaked)
    assert {universe.accepted(universe.fields[place]) for place in one.deliveries} == {True}
    assert universe.records["main"][0].generation == before + 1


def test_a_delivery_that_stays_impossible_says_why() -> None:
    """The old secret is dead all the same."""
    one = entry(Strategy.ALTERNATING)
    universe = settled(one)
    leaked = universe.fields[PLACES[0]]
    world = Failing(universe, {}, TIMING)
    world.failing = 10_000
    report = go(world, one, COMPROMISED)
    assert report.exit_code == 1
    assert not universe.accepted(leaked)
    assert "no answer" in report.end.why


def test_the_history_tells_a_delivery_that_failed() -> None:
    """It does not say that it was brought up to date."""
    one = entry(Strategy.ALTERNATING)
    universe = settled(one)
    world = Failing(universe, {}, TIMING)
    world.failing = 10_000
    go(world, one, COMPROMISED)
    told = [event.what for event in universe.records["main"][0].history]
    assert not any("brought up to date" in what for what in told[-3:])
    assert any(what.startswith("not delivered: ") and "no answer" in what for what in told)


def test_the_old_secret_put_back_is_taken_while_the_new_one_is_dead() -> None:
    """Someone put the old one back in the overlap, and the new one was regenerated: nothing dead is delivered."""
    one = entry(Strategy.ALTERNATING)
    universe = settled(one)
    old = universe.fields[PLACES[0]]
    go(plain(universe, one), one, ROTATE)
    new = universe.records["main"][0].live
    stolen(universe)
    universe.fields[PLACES[0]] = old
    report = go(plain(universe, one), one, VERIFY)
    assert universe.accepted(universe.fields[PLACES[0]])
    assert universe.records["main"][0].live is not new
    assert report.mints == 0
