"""Rounds over many keys of an account: what they promise, in a simulated world."""

from __future__ import annotations

import pytest

from tests.simulation.promises import PROMISES
from tests.simulation.rounds_slips import SLIPS, broken
from tests.simulation.struck import SETTLE, meetings, met, strikes, struck


@pytest.mark.parametrize("promise", PROMISES)
def test_the_rounds_keep_a_promise(promise: str) -> None:
    """Each on its own."""
    PROMISES[promise]()


@pytest.mark.parametrize("name", SLIPS)
def test_a_broken_rule_breaks_a_promise(name: str) -> None:
    """Else the promise would say nothing."""
    slip = SLIPS[name]
    with broken(slip), pytest.raises((AssertionError, LookupError)):
        slip.promise()


def test_a_round_that_is_struck_is_finished_by_later_ones() -> None:
    """At some effects, by some faults; `make simulate` plays all of them."""
    assert [found for index, fault in strikes((7, 61)) if (found := struck(index, fault))] == []


@pytest.mark.parametrize("seconds", [0.0, SETTLE])
def test_two_processes_that_meet_do_nothing_twice(seconds: float) -> None:
    """At some effects, without a leader; `make simulate` plays all of them."""
    assert [found for index in meetings((3, 19)) if (found := met(index, seconds))] == []
