"""Deliveries that cannot be read and take no secret: how many mints that costs, and when the key is parked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.model import Delivery, DesiredKey, Strategy
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import Options
from keyturn.engine.executor import apply_key
from tests.simulation.faults import Kind
from tests.simulation.people import bar, reopen
from tests.simulation.rules import LONG
from tests.simulation.scenarios import TIMING, VERIFY, entry, settled
from tests.simulation.universe import PASSWORD, Universe
from tests.simulation.world import SimWorld
from tests.unit.test_write_only import BOTH, ROTATE, go, key, of
from tests.unit.test_write_only_consent import Struck, struck

SLOW, AT_ONCE = Delivery("d", "app", "key"), Delivery("s", "app", "key")
PLACES = pytest.mark.parametrize("places", [(AT_ONCE,), (SLOW,), (SLOW, AT_ONCE), (AT_ONCE, SLOW)])
HOUR = 3600.0


def at_rest(strategy: Strategy, places: tuple[Delivery, ...]) -> tuple[DesiredKey, Universe]:
    """Return an entry with these places, and a world in which it came to rest."""
    one = replace(entry(strategy), deliveries=places)
    return one, settled(one)


def mints(universe: Universe, desired: DesiredKey, runs: int, options: Options = ROTATE) -> list[int]:
    """Apply so many times, an hour apart, and return how many secrets each run made."""
    made = []
    for number in range(runs):
        before = len(universe.mints)
        go(universe, desired, Options() if number else options, after=HOUR)
        made.append(len(universe.mints) - before)
    return made


@BOTH
@PLACES
def test_a_refusal_for_certain_costs_one_mint_until_an_operator_acts(
    strategy: Strategy, places: tuple[Delivery, ...]
) -> None:
    """The key is parked, and its places are left as they are; then one run puts everything right."""
    one, universe = at_rest(strategy, places)
    bar(universe, places[-1])
    assert mints(universe, one, 5) == [1, 0, 0, 0, 0]
    parked = of(universe).parked
    assert parked is not None
    assert parked.why.startswith(f"a new secret was refused by {places[-1]}: ")
    assert "this login may not write" in parked.why
    assert Condition.PARKED in {end.condition for end in go(universe, one).conditions}
    if strategy is Strategy.ALTERNATING:
        assert all(universe.accepted(universe.in_use(place)) for place in places)
    reopen(universe)
    go(universe, one, Options(unpark=True))
    reports = [go(universe, one, after=LONG) for _ in range(3)]
    report = reports[-1]
    assert (report.exit_code, report.now.code) == (0, Reason.AT_REST)
    assert all(universe.accepted(universe.in_use(place)) for place in places)


@PLACES
@pytest.mark.parametrize("kind", [Kind.NO, Kind.NEVER, Kind.LOST])
def test_a_place_that_never_acknowledges_a_write_costs_three_mints_at_most(
    places: tuple[Delivery, ...], kind: Kind
) -> None:
    """Also if another place took each of them: that one is put out of service by each mint."""
    one, universe = at_rest(Strategy.IN_PLACE, places)
    before = len(universe.mints)
    for number in range(6):
        struck(universe, one, kind, Options() if number else ROTATE)
        universe.advance(HOUR)
    assert len(universe.mints) - before <= 3
    assert of(universe).parked
    go(universe, one, Options(unpark=True))
    assert go(universe, one, after=LONG).exit_code == 0


@BOTH
def test_a_readable_place_gives_the_secret_so_nothing_is_parked(strategy: Strategy) -> None:
    """The place that refuses it is tried in each run, without a mint."""
    one, universe = at_rest(strategy, (Delivery("v", "app", "key"), AT_ONCE))
    bar(universe, AT_ONCE)
    assert mints(universe, one, 4) == [1, 0, 0, 0]
    assert of(universe).parked is None
    reopen(universe)
    go(universe, one)
    assert go(universe, one, after=LONG).exit_code == 0


@BOTH
def test_a_place_is_added_to_one_that_cannot_be_read_and_refuses_the_secret(strategy: Strategy) -> None:
    """Only a mint can serve it: that is made once, and the place that works is disturbed once."""
    less, universe = at_rest(strategy, (AT_ONCE,))
    more = replace(less, deliveries=(AT_ONCE, SLOW))
    bar(universe, SLOW)
    assert mints(universe, more, 5, Options()) == [1, 0, 0, 0, 0]
    assert universe.accepted(universe.in_use(AT_ONCE))


@BOTH
def test_what_someone_wrote_after_our_acknowledged_write_stays_when_the_place_is_dropped(strategy: Strategy) -> None:
    """The run goes on with another place meanwhile, and its intent ends unfinished: that leaves no doubt here."""
    one = key(strategy, "rs")
    universe, (ours, theirs) = settled(one), one.deliveries
    universe.fields.pop(ours)
    universe.given |= {PASSWORD}

    class Interfered(Struck):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            universe.by_hand(theirs, PASSWORD)

    universe.advance(1.0)
    apply_key(Interfered(universe, ours.target, Kind.NO), one, VERIFY, "interfered")
    universe.foreign_fields |= {theirs}
    go(universe, replace(one, deliveries=(ours,)), VERIFY, after=HOUR)
    assert universe.fields[theirs] == PASSWORD
    assert not universe.wrong


def told(universe: Universe, desired: DesiredKey, world: SimWorld) -> list[str]:
    """Apply once; return what the run says each time it waits to deliver again."""
    found: list[str] = []
    universe.advance(1.0)
    apply_key(world, desired, ROTATE, "run-told", lambda one: found.append(one.text))
    return [what for what in found if what.startswith("waiting to deliver again")]


@BOTH
@PLACES
def test_what_is_refused_for_certain_is_not_waited_for(strategy: Strategy, places: tuple[Delivery, ...]) -> None:
    """The same would be answered until an operator acts."""
    one, universe = at_rest(strategy, places)
    for place in places:
        bar(universe, place)
    assert told(universe, one, SimWorld(universe, {}, TIMING)) == []


def test_why_a_run_waits_is_told_once() -> None:
    """With the first pause, in the words of the target."""
    one, universe = at_rest(Strategy.ALTERNATING, (AT_ONCE,))
    first, *others = told(universe, one, Struck(universe, AT_ONCE.target, Kind.NO))
    assert first.startswith(f"waiting to deliver again to {AT_ONCE}: ")
    assert len(others) > 1
    assert set(others) == {f"waiting to deliver again to {AT_ONCE}"}
