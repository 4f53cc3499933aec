"""SIGKILL at each effect: the next `apply` finishes what was begun, and nothing is lost, doubled or left over."""

from __future__ import annotations

from tests.real.cuts import RETIRE, ROTATIONS, cuts
from tests.real.environment import Servers
from tests.real.relay import Moment


def test_a_run_that_is_killed_at_any_effect_is_finished_by_the_next(shared: Servers) -> None:
    """Whichever changing request its death prevents, or follows, one `apply` converges (I1 to I4)."""
    found = cuts(shared, [*ROTATIONS, RETIRE], [Moment.BEFORE, Moment.AFTER])
    assert len(found) >= 2 * (6 + 7 + 3)
    assert [one for one in found if one.wrong or one.what == "(never came)"] == []


def test_a_mint_that_lands_after_its_sender_died_changes_nothing(shared: Servers) -> None:
    """A regenerate that was under way reaches the API while the next run is at work; what is delivered is accepted."""
    found = cuts(shared, [*ROTATIONS, RETIRE], [Moment.LATE], frozenset({"regenerate"}))
    assert [one.what for one in found] == ["regenerate"] * 3
    assert [one for one in found if one.wrong] == []
