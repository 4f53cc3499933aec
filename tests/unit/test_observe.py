"""The first observation of a key."""

from __future__ import annotations

from keyturn.core.results import Options
from keyturn.core.secret import Secret
from keyturn.engine.observe import Hand, observe
from tests.simulation.scenarios import TIMING
from tests.simulation.suite import table
from tests.simulation.world import SimWorld


def test_the_machine_sees_only_the_digest_of_a_secret_that_the_operator_gave() -> None:
    """The secret to adopt stays in the hand."""
    scenario, given, hand = table()["rotate", "in-place"], Secret("sk-do-given"), Hand()
    world = SimWorld(scenario.start(), {}, TIMING)
    state = observe(world, scenario.acts[0].desired, Options(secret=given), "run", hand)
    assert state.options == Options()
    assert state.observed.given is not None
    assert state.observed.in_hand == {state.observed.given}
    assert hand.secrets == {state.observed.given: given}
