"""Which of several due rotations goes first: the one that could have started first, inside its window."""

from __future__ import annotations

from datetime import timedelta

from keyturn.core.brakes import brake
from keyturn.core.limits import Limits
from keyturn.core.model import Rotation, Strategy, Window
from keyturn.core.results import KeyPlan
from keyturn.engine.planning import plan_key
from tests.simulation.scenarios import NOTHING, OVERLAP, TIMING, entry, settled
from tests.simulation.universe import START
from tests.simulation.world import SimWorld

DAY = timedelta(days=1)
WEDNESDAY = START + 4 * DAY  # the simulation starts on a Saturday
LATER = WEDNESDAY + timedelta(hours=2, minutes=30)


def planned(rotation: Rotation, key: str) -> KeyPlan:
    """Plan a key on Wednesday at 02:30, four days after its mint."""
    desired = entry(Strategy.ALTERNATING, rotation=rotation)
    universe = settled(desired)
    universe.advance((LATER - START).total_seconds() - universe.now)
    plan = plan_key(SimWorld(universe, {}, TIMING), desired, NOTHING).plan
    assert plan.scheduled
    return KeyPlan(**{name: getattr(plan, name) for name in plan.__slots__} | {"key": key})


def test_deferral_sorts_by_the_moment_at_which_the_window_let_it_start() -> None:
    """A key that was old enough on Sunday, but could not start before Wednesday, comes after one due on Monday."""
    window = Window("0 2 * * WED", timedelta(hours=2))
    windowed = planned(Rotation(Strategy.ALTERNATING, DAY, OVERLAP, window), "windowed")
    free = planned(Rotation(Strategy.ALTERNATING, 2 * DAY, OVERLAP), "free")
    assert windowed.due_since == WEDNESDAY + timedelta(hours=2)
    assert free.due_since is not None
    assert START + 2 * DAY <= free.due_since < WEDNESDAY
    assert brake([windowed, free], Limits(1)).deferred == ("windowed",)
