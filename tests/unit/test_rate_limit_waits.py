"""The API's rate limit holds a key up: its run waits outside of any call, keeps its lease, hears a request to stop."""

from __future__ import annotations

import pytest

from keyturn.core.errors import RateLimited
from keyturn.core.model import Strategy
from keyturn.core.reasons import Condition
from keyturn.core.record import Record
from keyturn.core.world import Guard, Minted
from keyturn.engine import executor
from keyturn.engine.executor import apply_key
from tests.simulation.scenarios import NOTHING, PLACES, ROTATE, TIMING, entry, settled
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld

BOTH = pytest.mark.parametrize("strategy", Strategy)
HOUR = 3600.0


class Busy(SimWorld):
    """A world whose API lets no mint through before a moment, and says so by a 429 or before anything is sent."""

    def __init__(self, universe: Universe, until: float, *, told: bool = True) -> None:
        """`told`: it can be known beforehand how long to wait."""
        super().__init__(universe, {}, TIMING)
        self.until = universe.now + until
        self.told = told
        self.refused = 0
        self.longest = 0.0
        self.written = universe.now

    def throttled(self) -> float:
        """As the budget knows."""
        return max(0.0, self.until - self.universe.now) if self.told else 0.0

    def regenerate(self, uuid: str, guard: Guard) -> Minted:
        """Refuse until it is time."""
        if self.universe.now < self.until:
            self.refused += 1
            raise RateLimited("too many requests", status=429)
        self.longest = max(self.longest, self.universe.now - self.written)
        return super().regenerate(uuid, guard)

    def write_record(self, record: Record, version: str) -> str:
        """Note for how long the record stood still."""
        self.longest = max(self.longest, self.universe.now - self.written)
        self.written = self.universe.now
        return super().write_record(record, version)


@BOTH
@pytest.mark.parametrize("told", [True, False])
def test_a_rotation_waits_an_hour_and_loses_neither_its_lease_nor_its_run(strategy: Strategy, *, told: bool) -> None:
    """One mint in the end, exit 0; meanwhile the record is written within each lease, and no step is counted."""
    one = entry(strategy)
    universe = settled(one)
    before = len(universe.mints)
    world = Busy(universe, HOUR, told=told)
    report = apply_key(world, one, ROTATE, "run-busy")
    assert report.exit_code == 0, report.end
    assert len(universe.mints) == before + 1
    assert universe.accepted(universe.fields[PLACES[0]])
    assert world.longest < TIMING.lease
    assert told == (world.refused == 0)


@BOTH
def test_what_never_ends_is_given_up_after_an_hour_and_a_quarter(strategy: Strategy) -> None:
    """A definite no: the intent is closed, nothing was minted, and the next apply does what was asked for."""
    one = entry(strategy)
    universe = settled(one)
    before, began = len(universe.mints), universe.now
    report = apply_key(Busy(universe, 100 * HOUR), one, ROTATE, "run-busy")
    assert (report.end.condition, report.exit_code) == (Condition.FAILED, 1)
    assert "too many requests" in report.end.why
    assert executor.PATIENCE <= universe.now - began < executor.PATIENCE + TIMING.lease
    assert len(universe.mints) == before
    record = universe.records["main"][0]
    assert record.intent is None
    assert apply_key(SimWorld(universe, {}, TIMING), one, NOTHING, "run-next").exit_code == 0
    assert universe.records["main"][0].generation == record.generation + 1


@BOTH
def test_a_request_to_stop_is_heard_while_it_waits(strategy: Strategy) -> None:
    """Within a second; nothing was minted, and the next run mints once."""
    one = entry(strategy)
    universe = settled(one)
    before, began = len(universe.mints), universe.now
    world = Busy(universe, HOUR)
    report = apply_key(world, one, ROTATE, "run-busy", stop=lambda: universe.now > began + 100)
    assert report.end.code == "interrupted"
    assert universe.now - began <= 100 + executor.SLICE + 1
    assert len(universe.mints) == before
    assert apply_key(SimWorld(universe, {}, TIMING), one, NOTHING, "run-next").exit_code == 0
    assert len(universe.mints) == before + 1
