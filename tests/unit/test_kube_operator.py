"""When the operator is healthy and ready, and how it says what is wrong."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyturn.kube.account import Setting
from keyturn.kube.operator import DEAF, Connection, Operator
from keyturn.targets.kubernetes_login import Context, Login
from keyturn.targets.kubernetes_server import Endpoint, Server

ADDRESS = "https://127.0.0.1:9"


@pytest.fixture
def operator() -> Operator:
    """One that was never started."""
    login = Login(Context("here", {}, {"token": "t"}, Path()), {}, 1)
    server = Server(Endpoint(ADDRESS, "", 1), login, "cluster")
    setting = Setting({}, "keyturn-system", ADDRESS, "pod-a", lambda: datetime(2026, 11, 29, tzinfo=UTC), print)
    connection = Connection(server, server, login, ADDRESS)
    return Operator(connection, setting, only={"team"}, stopping=lambda: True, uptime=time.monotonic)


def test_a_watch_that_was_not_heard_of_for_long_is_no_health(operator: Operator) -> None:
    """At a start it has as much time; one silent watch is enough."""
    assert operator.seen().well
    for watch in operator._watches.values():
        watch.heard = time.monotonic()
    operator._began -= DEAF + 1
    assert operator.seen().well
    operator._watches["namespaces"].heard -= DEAF + 1
    assert not operator.seen().well
    assert "no word of namespaces for 300 s" in operator.seen().why


def test_it_is_ready_once_everything_is_listed(operator: Operator) -> None:
    """And then it says which account there is not."""
    first, *others = operator._watches.values()
    for watch in others:
        watch.listed.set()
    assert not operator.seen().ready
    assert operator.seen().why == ""
    first.listed.set()
    assert operator.seen().ready
    assert operator.seen().why == "there is none, and no key names it"


def test_it_ends_though_it_never_began(operator: Operator) -> None:
    """A signal may come at once."""
    began = time.monotonic()
    operator.run()
    assert time.monotonic() - began < 10
