"""Rotations while consumers read and call, while runs are killed, and while two runs meet: the figures in short."""

from __future__ import annotations

from tests.real.concurrent_runs import LEAVES, RACES, WAITS, concurrent_runs
from tests.real.consumer import REREAD, serve
from tests.real.environment import Servers
from tests.real.faults import cases, strike
from tests.real.random_kills import random_kills


def test_consumers_of_alternating_keys_are_never_refused(shared: Servers) -> None:
    """Each old secret outlives its overlap and no longer; no call fails, and the vault never holds a dead secret."""
    served = serve(shared, "alternating", keys=5, rounds=1)
    assert served.wrong == ()
    assert (served.rotations, served.old_dead, served.proven) == (5, 5, 5)
    assert (served.refused, served.other, served.store_outage) == (0, 0, 0.0)
    assert served.calls > 100


def test_consumers_of_in_place_keys_are_refused_until_they_read_again(shared: Servers) -> None:
    """The outage that `plan` announces is there, is short, and ends."""
    served = serve(shared, "in-place", keys=3, rounds=1)
    assert served.wrong == ()
    assert served.rotations == served.old_dead == 3
    assert served.refused > 0
    assert 0 < max(served.outages) < 20 * REREAD


def test_nothing_is_lost_when_runs_are_killed_at_any_moment(shared: Servers) -> None:
    """Each kill is followed by one `apply`, and that is all it takes."""
    found = random_kills(shared, kills=5)
    assert found.wrong == ()
    assert found.outage == 0.0
    assert found.mints >= found.generations > 0


def test_of_two_runs_at_once_one_works_and_the_other_says_who(shared: Servers) -> None:
    """Exit codes 0 and 1 where the second may not wait, 0 and 0 where it may; one mint in all."""
    found = concurrent_runs(shared, pairs=6)
    assert [one for one in found if one.wrong] == []
    assert {(one.how, one.codes) for one in found} == {(LEAVES, (0, 1)), (WAITS, (0, 0)), (RACES, (0, 0))}


def test_a_fault_of_any_kind_at_the_mint_is_survived(shared: Servers) -> None:
    """The run ends with a documented code and without a traceback; without the fault, one `apply` converges."""
    chosen = [case for case in cases("rotate in-place", lasting=(False,)) if case.call == "regenerate"]
    found = strike(shared, chosen)
    assert len(found) == 9
    assert [one for one in found if one.wrong] == []
