"""Beyond what the promise assumes: what breaks there, and that `apply --verify` heals it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keyturn.core.model import DesiredKey, Strategy
from keyturn.core.results import Options
from keyturn.engine.executor import apply_key
from tests.simulation import rules
from tests.simulation.faults import Class, Fault, Kind
from tests.simulation.scenarios import ROTATE, TIMING, VERIFY, entry, settled
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Beyond:
    """What came of one assumption that did not hold."""

    assumption: str
    strategy: str
    histories: int
    broken: int
    """Histories in which a target was left with a refused secret, or with none."""
    healed: int
    """How many of those one `apply --verify` brought to rest, with nothing lost."""


def _refused(universe: Universe, desired: DesiredKey) -> bool:
    return any(not universe.accepted(universe.fields.get(place, "")) for place in desired.deliveries)


def _heals(universe: Universe, desired: DesiredKey) -> bool:
    universe.steady, universe.wrong = frozenset(), ()
    rules.finish(universe, desired, VERIFY, TIMING)
    return not universe.wrong


def lands_after_the_settle_time(universe: Universe, desired: DesiredKey, index: int) -> bool:
    """Rotate; what has no answer takes effect an hour later. False where nothing could be late."""
    world = SimWorld(universe, {index: Fault(Kind.LATE)}, TIMING)
    world.within = HOUR
    apply_key(world, desired, ROTATE, "run-late")
    late = index < len(world.trace) and world.trace[index][0] in {Class.MINT, Class.DELIVER}
    for number in range(3):
        universe.advance(2 * HOUR)
        apply_key(SimWorld(universe, {}, TIMING), desired, Options(), f"run-after-{number}")
    return late


def target_forgets(universe: Universe, desired: DesiredKey, index: int) -> bool:
    """After a rotation a target loses, or brings back, what it acknowledged."""
    apply_key(SimWorld(universe, {}, TIMING), desired, ROTATE, "run-rotate")
    universe.advance(3 * HOUR)
    apply_key(SimWorld(universe, {}, TIMING), desired, Options(), "run-retire")
    places = desired.deliveries
    place = places[index % len(places)]
    held = ["", *(value for (kept, _), value in universe.kept.items() if kept == place)]
    universe.by_hand(place, held[index % len(held)])
    return index < len(held) * len(places)


_ASSUMPTIONS: tuple[tuple[str, Callable[[Universe, DesiredKey, int], bool]], ...] = (
    ("1: what was sent lands in time", lands_after_the_settle_time),
    ("4: targets keep what they acknowledged", target_forgets),
)


def demonstrate() -> tuple[Beyond, ...]:
    """Break each assumption in every place, with both strategies."""
    shown = []
    for assumption, disturb in _ASSUMPTIONS:
        for strategy in Strategy:
            desired = entry(strategy, 2)
            start = settled(desired)
            histories = broken = healed = 0
            for index in range(40):
                universe = start.copy()
                if not disturb(universe, desired, index):
                    continue
                histories += 1
                if _refused(universe, desired):
                    broken += 1
                    healed += _heals(universe, desired)
            shown.append(Beyond(assumption, str(strategy), histories, broken, healed))
    return tuple(shown)
