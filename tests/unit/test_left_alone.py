"""What is said of a key that no manifest has any more: a record without an entry, and a key that was forgotten."""

from __future__ import annotations

from keyturn.core.model import DesiredKey, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.results import KeyReport, Options
from keyturn.engine.executor import apply_key, unmanaged_key
from keyturn.engine.planning import plan_key
from tests.simulation.scenarios import DELETE, FORGET, ROTATE, TIMING, entry, settled
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld


def go(universe: Universe, desired: DesiredKey, options: Options) -> KeyReport:
    """Apply once."""
    universe.advance(1.0)
    universe.runs += 1
    return apply_key(SimWorld(universe, {}, TIMING), desired, options, f"run-{universe.runs}")


def shown(universe: Universe, desired: DesiredKey) -> list[str]:
    """Return the words of a status, the first of them at the top."""
    return [end.code.word for end in plan_key(SimWorld(universe, {}, TIMING), desired, Options()).plan.conditions]


def test_a_forgotten_key_is_neither_ready_nor_absent() -> None:
    """Forgotten once more, or asked to be absent: its API keys live on, and nothing is done."""
    desired = entry(Strategy.IN_PLACE)
    universe = settled(desired)
    gone = DesiredKey(desired.id, desired.owner, absent=True, retain=True, timing=TIMING)
    assert go(universe, gone, FORGET).end.code is Reason.UNMANAGED
    again = go(universe, gone, FORGET)
    absent = go(universe, entry(Strategy.IN_PLACE, absent=True), DELETE)
    for report in (again, absent):
        assert report.end.code is Reason.UNMANAGED
        assert report.end.why == "was forgotten: its API keys and the delivered secrets were left as they are"
        assert report.done == ()
    assert shown(universe, gone) == ["unmanaged"]


def test_a_deleted_key_is_absent() -> None:
    """It is not called ready: there is nothing that could be."""
    desired = entry(Strategy.IN_PLACE)
    universe = settled(desired)
    absent = entry(Strategy.IN_PLACE, absent=True)
    assert go(universe, absent, DELETE).exit_code == 0
    assert shown(universe, absent) == ["absent"]


def test_a_record_without_an_entry_shows_its_overlap() -> None:
    """The old secret lives until a run retires it, entry or not; then nothing more is said than that."""
    desired = entry(Strategy.ALTERNATING)
    universe = settled(desired)
    assert go(universe, desired, ROTATE).exit_code == 0
    lone = unmanaged_key(desired.id, desired.owner)
    assert shown(universe, lone) == ["overlap", "unmanaged"]
    universe.advance(2 * 3600.0)
    assert go(universe, lone, Options()).exit_code == 0
    assert shown(universe, lone) == ["unmanaged"]
