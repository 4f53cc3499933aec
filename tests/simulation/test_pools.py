"""Two manifests at one pool, at once: no spare is taken twice, whatever the order of their effects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.model import Delivery, DesiredKey, Pool, Strategy
from keyturn.core.results import Options
from keyturn.engine.executor import apply_key
from tests.simulation.duel import LONGEST, Match, meetings
from tests.simulation.people import spares
from tests.simulation.play import Act, Scenario
from tests.simulation.rules import LONG, SPARE
from tests.simulation.scenarios import TIMING, empty, entry
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld


def _entries(strategy: Strategy) -> tuple[DesiredKey, DesiredKey]:
    first = replace(entry(strategy), pool=Pool(SPARE, 1))
    other = Delivery("w", "second", "key")
    return first, replace(first, id="second", owner="others", name="second", deliveries=(other,))


def _settle(world: Universe, desired: DesiredKey) -> str:
    """Apply until it rests; return how it ended."""
    code = ""
    for _ in range(3):
        world.advance(LONG)
        world.runs += 1
        code = apply_key(SimWorld(world, {}, TIMING), desired, Options(), f"run-{world.runs}").end.code
    return code


@pytest.mark.parametrize("strategy", [Strategy.IN_PLACE, Strategy.ALTERNATING])
@pytest.mark.parametrize("short", [False, True], ids=["enough", "one too few"])
def test_two_manifests_never_take_the_same_spare(strategy: Strategy, *, short: bool) -> None:
    """At every interleaving with one switch: spares are taken once each; who finds none is handed off by name."""
    first, second = _entries(strategy)
    needed = 4 if strategy is Strategy.ALTERNATING else 2
    scenario = Scenario("pool", str(strategy), "1", empty, (Act(first),))
    played = 0
    for meeting in meetings(LONGEST, 1):
        if meeting.second.rotate:
            continue
        world = empty()
        spares(world, needed - short)
        world.others = frozenset({(second.owner, second.id)})
        Match(world, scenario, meeting, second).play()
        codes = sorted((_settle(world, first), _settle(world, second)))
        assert world.wrong == (), meeting
        assert codes == (["at-rest", "hand-off"] if short else ["at-rest", "at-rest"]), meeting
        taken = [slot.uuid for record, _ in world.records.values() for slot in record.slots.values()]
        assert len(set(taken)) == len(taken) == needed - short, meeting
        assert not any(world.lasting(world.spares[uuid]) for uuid in taken), meeting
        assert all(world.accepted(world.fields[place]) for place in world.fields), meeting
        played += 1
    assert played == LONGEST * 2
