"""Being asked to stop between a mint and its first durable write: not before the secret is safe, then at once."""

from __future__ import annotations

import signal
import time

from keyturn.cli.stopping import NAMES
from tests.real.environment import PATIENT, TIMING, Servers, Site, together
from tests.real.promise import breaches
from tests.real.relay import Moment

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def test_a_signal_after_an_in_place_mint_is_held_back_until_the_secret_is_safe(shared: Servers) -> None:
    """The run goes on to deliver, then stops, says what is open, and the next one commits without another mint."""

    def stop(number: signal.Signals) -> None:
        with Site(shared) as site:
            mints, old = _signalled(site, "in-place", number, "regenerate")
            new = site.held("key")
            assert new != old
            assert site.sandbox.accepts(new or "")
            assert _apply(site) == 0
            assert site.held("key") == new
            assert site.mints("key") == mints + 1
            assert breaches(site, "key") == []

    together(stop, CODES)


def test_a_signal_after_the_mint_of_a_standby_is_honoured_at_once(shared: Servers) -> None:
    """The live secret was never touched, so nothing is held back for a standby's: the next run mints another."""

    def stop(number: signal.Signals) -> None:
        with Site(shared) as site:
            mints, old = _signalled(site, "alternating", number, "regenerate")
            assert site.held("key") == old
            assert site.sandbox.accepts(old or "")
            assert _apply(site) == 0
            assert site.mints("key") == mints + 2
            assert site.outage("key") == 0
            assert breaches(site, "key") == []

    together(stop, CODES)


def test_a_signal_before_the_mint_stops_it(shared: Servers) -> None:
    """The intent is written, nothing was sent yet: nothing is sent, and the next run does what was asked for."""

    def stop(number: signal.Signals) -> None:
        with Site(shared) as site:
            mints, old = _signalled(site, "in-place", number, "record")
            assert site.mints("key") == mints
            assert site.held("key") == old
            assert _apply(site) == 0
            assert site.mints("key") == mints + 1
            assert breaches(site, "key") == []

    together(stop, CODES)


def _signalled(site: Site, strategy: str, number: signal.Signals, what: str) -> tuple[int, str | None]:
    """Signal a rotation whose request was done and not yet answered; return the mints and the delivery before it."""
    site.timing = PATIENT
    site.existing("key", strategy)
    site.come_to_rest()
    before = site.mints("key"), site.held("key")
    hold = site.gate.on(what, Moment.AFTER)
    run = site.start("rotate", "key", "--yes", fresh=True)
    assert site.until_reached(hold, run)
    for _ in range(2):  # anyone who is impatient says it twice
        run.signal(number)
        time.sleep(0.2)
    assert run.alive
    hold.let_go()
    assert run.wait() == CODES[number]
    assert "stopped with an open rotate" in run.out
    assert f"Stopped by {NAMES[number]}" in run.err
    return before


def _apply(site: Site) -> int:
    """Apply with a short settle time; return the exit code."""
    site.timing = TIMING
    return site.apply().wait()
