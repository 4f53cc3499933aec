"""What a run began, or only saw, is not forgotten by the next one; in the simulated world, but without chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.model import Adopt, AdoptSecret, DesiredKey, SlotName, Strategy, Timing
from keyturn.core.reasons import Condition
from keyturn.core.results import KeyReport, Options
from keyturn.engine.executor import apply_key
from tests.simulation.faults import Class, Fault, Kind
from tests.simulation.scenarios import NOTHING, PLACES, ROTATE, TIMING, VERIFY, empty, entry, settled
from tests.simulation.universe import MARK, Renew, Universe
from tests.simulation.world import SimWorld

COMPROMISED = Options(rotate=True, compromised=True)
BOTH = pytest.mark.parametrize("strategy", Strategy)


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
