"""Being asked to stop between a mint and its first durable write: not before the secret is safe, then at once."""

from __future__ import annotations

import signal
import time

import pytest

from tests.real.promise import breaches
from tests.real.relay import Moment
from tests.real.site import PATIENT, Site

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("strategy", ["in-place", "alternating"])
def test_a_signal_after_a_mint_is_held_back_until_the_secret_is_delivered(
    site: Site, strategy: str, number: signal.Signals
) -> None:
    """The run goes on to deliver, then stops, says what is open, and the next one commits without another mint."""
    site.timing = PATIENT
    site.existing("key", strategy)
    site.come_to_rest()
    mints, old = site.mints("key"), site.held("key")
    hold = site.gate.on("regenerate", Moment.AFTER)
    run = site.start("rotate", "key", "--yes", fresh=True)
    assert site.until_reached(hold, run)
    for _ in range(2):  # whoever is impatient says it twice
        run.signal(number)
        time.sleep(0.2)
    assert run.alive
    hold.let_go()
    assert run.wait() == CODES[number]
    new = site.held("key")
    assert new != old
    assert site.sandbox.accepts(new or "")
    assert "stopped with an open rotate" in run.out
    assert f"signal {int(number)}" in run.err
    assert site.apply().code == 0
    assert site.held("key") == new
    assert site.mints("key") == mints + 1
    assert breaches(site, "key") == []


@pytest.mark.parametrize("number", CODES)
def test_a_signal_before_the_mint_stops_it(site: Site, number: signal.Signals) -> None:
    """The intent is written, nothing was sent yet: nothing is sent, and the next run does what was asked for."""
    site.timing = PATIENT
    site.existing("key", "alternating")
    site.come_to_rest()
    mints = site.mints("key")
    hold = site.gate.on("record", Moment.AFTER)
    run = site.start("rotate", "key", "--yes", fresh=True)
    assert site.until_reached(hold, run)
    run.signal(number)
    time.sleep(0.2)
    hold.let_go()
    assert run.wait() == CODES[number]
    assert site.mints("key") == mints
    assert "stopped with an open rotate" in run.out
    site.timing = {**PATIENT, "settle": "1s", "request": "1s"}
    assert site.apply().code == 0
    assert site.mints("key") == mints + 1
    assert breaches(site, "key") == []
