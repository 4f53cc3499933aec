"""Who may write: a run whose lease ran out may not, and neither may one whose clock is wrong."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from keyturn.sandbox import Sandbox
from tests.real.environment import LEASE, Servers, Site, together
from tests.real.promise import breaches
from tests.real.relay import Gate, Moment


@pytest.fixture
def own(shared: Servers) -> Iterator[Site]:
    """A site with an account of its own, whose clock can be moved."""
    with Sandbox(seed=1) as sandbox, Site(replace(shared, sandbox=sandbox)) as found:
        yield found


@pytest.mark.parametrize("strategy", ["in-place", "alternating"])
def test_nothing_is_minted_while_the_clock_is_wrong(own: Site, strategy: str) -> None:
    """More than a minute from the API's `Date`: exit 1, the reason told, the API and the vault left as they are."""
    own.existing("key", strategy)
    own.come_to_rest()
    mints, held = own.mints("key"), own.history("key")
    own.sandbox.advance(100)
    run = own.run("rotate", "key", "--yes")
    assert run.code == 1
    assert "s from the API's; leases cannot be trusted" in run.out
    assert own.mints("key") == mints
    assert own.history("key") == held


def test_an_old_secret_is_not_retired_while_the_clock_is_wrong(own: Site) -> None:
    """A wrong clock could end an overlap early: the old secret lives until the clock is right."""
    own.existing("key", "alternating", overlap="1s")
    own.settle_in()
    own.wait_for_overlap("key")
    mints = own.mints("key")
    own.sandbox.advance(100)
    assert own.apply().code == 1
    assert own.mints("key") == mints


@dataclass(frozen=True, slots=True)
class Case:
    """Where the first run stands still, and whether the second one is on the same machine."""

    strategy: str
    what: str
    machine: str


CASES = [
    Case(strategy, what, machine)
    for strategy in ("in-place", "alternating")
    for what in ("record", "regenerate")
    for machine in ("here", "elsewhere")
]


def test_a_run_that_stood_still_for_its_lease_is_overtaken_and_writes_nothing(shared: Servers) -> None:
    """SIGSTOP after its intent, or after its mint: another run waits a whole lease, finishes, and the first is fenced.

    On the same machine the lock shows that the first is alive, so that the second has to wait as one elsewhere has.
    """

    def stand_still(case: Case) -> None:
        with Site(shared) as site:
            _overtake(site, case)

    together(stand_still, CASES)


def _overtake(site: Site, case: Case) -> None:
    site.existing("key", case.strategy)
    site.come_to_rest()
    hold = site.gate.on(case.what, Moment.AFTER)
    first = site.start("rotate", "key", "--yes")
    assert site.until_reached(hold, first)
    first.signal(signal.SIGSTOP)
    hold.let_go()
    began = time.monotonic()
    second = site.start("apply", "--yes", route=site.relay(Gate()), machine=case.machine)
    assert second.wait() == 0, second.out
    assert time.monotonic() - began >= LEASE
    assert "is working on it" in second.err
    assert breaches(site, "key") == []
    mark = site.mark("key")
    site.gate.clear()
    first.signal(signal.SIGCONT)
    first.wait()
    assert [sent for sent in site.gate.changes if sent.status in {200, 204}] == []
    assert site.mark("key") == mark
