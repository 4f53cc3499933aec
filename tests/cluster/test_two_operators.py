"""Two operators on one account, of which one is in trouble: `make prove ARGS=operators` in short, and its relay."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from tests.cluster.resources import Resources
from tests.real.environment import Servers, servers
from tests.real.operators import LATE, TAKEN, OperatorPlace
from tests.real.relay import Moment
from tests.real.workers import How, Strike, two_workers

STRIKES = [
    Strike(How.KILL, "regenerate", Moment.AFTER),
    Strike(How.PAUSE, "delivery", Moment.BEFORE),
    Strike(How.CUT, "delivery", Moment.AFTER),
]


class Brief(OperatorPlace):
    """Strikes that leave no record to be waited for until its lease is over."""

    def lasts(self, how: How, chance: random.Random) -> float:
        """Return a time after which the struck one goes on; one that is paused has lost its Lease by then."""
        return TAKEN + LATE + 1 if how is How.PAUSE else 2.0


@pytest.fixture(scope="module")
def there(resources: Resources) -> Iterator[Servers]:
    """The API server with the definitions, and a sandbox without limits."""
    with servers() as shared:
        yield replace(shared, cluster=resources.cluster)


def test_two_operators_in_trouble_mint_nothing_twice(there: Servers, resources: Resources) -> None:
    """Their consumers are never refused, and the other one takes the Lease of the one that is paused."""
    found = two_workers(there, STRIKES, partial(Brief, resources), each=1)
    assert found.wrong == ()
    assert (found.twice, found.refused, found.outage) == (0, 0, 0.0)
    assert found.mints >= found.generations > 0
    assert all(strike in STRIKES for strike in found.strikes)
    assert found.changes_of_hands
    assert all(TAKEN - 5 < seconds < TAKEN + LATE for seconds in found.changes_of_hands)
