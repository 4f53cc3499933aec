"""A Lease that meets what it does not expect, and one that is given up while it is renewed."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from keyturn.core.errors import TargetUnavailable
from keyturn.kube.lease import Lease
from tests.support.leases import LeaseServer

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def lease_of(server: LeaseServer) -> Lease:
    """Return a Lease of this replica."""
    return Lease(server, ("keyturn-system", "team"), "pod-a", uptime=time.monotonic, now=lambda: NOW)


@pytest.mark.parametrize("error", [ValueError("a secret"), TargetUnavailable("could not connect")])
def test_whatever_happens_is_told_and_not_raised(error: Exception) -> None:
    """The thread renews other Leases, too. What is held stays held."""
    server = LeaseServer()
    lease = lease_of(server)
    lease.turn()
    assert lease.held()

    def broken(verb: str, name: str) -> None:
        raise error

    server.meanwhile = broken
    lease.turn()
    assert lease.held()
    assert lease.trouble
    assert "a secret" not in lease.trouble
    lease.release()
    assert not lease.held()


def test_what_was_given_up_is_not_taken_again() -> None:
    """Neither by the next turn, nor by one that is under way."""
    asked, go_on = threading.Event(), threading.Event()

    def slow(verb: str, name: str) -> None:
        if verb == "PUT" and not go_on.is_set():
            asked.set()
            go_on.wait(10)

    server = LeaseServer()
    lease = lease_of(server)
    lease.turn()
    server.meanwhile = slow
    renewing = threading.Thread(target=lease.turn)
    renewing.start()
    assert asked.wait(10)
    stopping = threading.Thread(target=lease.release)
    stopping.start()
    stopping.join(0.2)
    go_on.set()
    for thread in (renewing, stopping):
        thread.join(10)
    assert server.holder("team") == ""
    count = len(server.asked)
    lease.turn()
    assert len(server.asked) == count
    assert not lease.held()
