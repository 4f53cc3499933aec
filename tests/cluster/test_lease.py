"""The Lease of an account on a real API server: one holder at a time, and a short wait for the next one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyturn.kube.lease import Lease, Timing
from keyturn.targets.kubernetes_login import Context, Login
from keyturn.targets.kubernetes_server import Server
from keyturn.targets.rest import Endpoint
from tests.cluster.clients import server_of
from tests.cluster.control_plane import Cluster

NAME = "keyturn-account-team"
RULE = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}


class Clock:
    """Seconds that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Read it."""
        return self.seconds


class Team:
    """Replicas of an operator, which share one clock."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.namespace, self.clock = cluster, cluster.namespace(), Clock()
        self._server = server_of(cluster, cluster.user({self.namespace: [RULE]}))

    def replica(self, name: str, clock: Clock | None = None) -> Lease:
        """Return one more."""
        uptime = clock or self.clock
        return Lease(self._server, (self.namespace, NAME), name, uptime=uptime, now=lambda: datetime.now(UTC))

    def spec(self) -> dict[str, object]:
        """Return what the server holds."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{NAME}"
        return dict(self.cluster.call("GET", path)["spec"])

    def close(self) -> None:
        """Close the connections."""
        self._server.close()


@pytest.fixture
def team(cluster: Cluster) -> Iterator[Team]:
    """A namespace with a Role for leases, as docs name it."""
    found = Team(cluster)
    yield found
    found.close()


def test_of_two_one_holds_it_and_the_other_takes_over(team: Team) -> None:
    """Only after the holder was silent for as long as it said, by the clock of the one who waits."""
    first, second = team.replica("first"), team.replica("second")
    first.turn()
    second.turn()
    assert (first.held(), second.held()) == (True, False)
    for _ in range(5):
        team.clock.seconds += 9
        assert first.held()
        first.turn()
        second.turn()
    team.clock.seconds += 10
    assert not first.held()  # it stops by itself before the other one may begin
    second.turn()
    assert not second.held()
    team.clock.seconds += 5
    second.turn()
    assert second.held()
    assert team.spec()["leaseTransitions"] == 1
    first.turn()
    assert (first.held(), second.held()) == (False, True)


def test_who_gives_it_up_is_followed_at_once(team: Team) -> None:
    """And who does not hold it, gives nothing up."""
    first, second, third = team.replica("first"), team.replica("second"), team.replica("third")
    first.turn()
    second.turn()
    third.turn()
    third.release()
    assert first.held()
    assert team.spec()["holderIdentity"] == "first"
    first.release()
    second.turn()
    assert (first.held(), second.held()) == (False, True)
    second.release()
    second.turn()  # it is over
    assert team.spec()["holderIdentity"] == ""


def test_a_paused_holder_that_wakes_holds_nothing(team: Team) -> None:
    """It reads the clock before it believes its memory, and does not take the Lease back."""
    own = Clock()
    paused, other = team.replica("paused", own), team.replica("other")
    paused.turn()
    other.turn()
    team.clock.seconds += 16
    other.turn()
    own.seconds += 16
    assert (paused.held(), other.held()) == (False, True)
    paused.turn()
    assert not paused.held()


def test_many_who_begin_together_are_one(team: Team) -> None:
    """A second writer meets a conflict."""
    replicas = [team.replica(f"replica-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Lease.turn, replicas))
    assert sum(one.held() for one in replicas) == 1
    assert [one.trouble for one in replicas] == [""] * 8


def test_a_holder_that_is_cut_off_stops(team: Team) -> None:
    """It keeps what it has until its last renewal is too old."""
    login = Login(Context("", {}, {"token": "t"}, Path()), {}, 1)
    lost = Server(Endpoint("http://127.0.0.1:9", "", 1), login, "")
    cut = team.replica("cut")
    cut.turn()
    cut._server = lost
    team.clock.seconds += 9
    cut.turn()
    assert cut.held()
    assert "could not" in cut.trouble
    team.clock.seconds += 1
    assert not cut.held()
    lost.close()


def test_a_missing_right_is_said(team: Team, cluster: Cluster) -> None:
    """With the rule to add."""
    powerless = server_of(cluster, cluster.user({team.namespace: []}))
    lease = Lease(powerless, (team.namespace, NAME), "x", uptime=team.clock, now=lambda: datetime.now(UTC))
    assert lease.turn() == Timing().retry
    assert "resources: [leases], verbs: [get, create, update]" in lease.trouble
    assert not lease.held()
    powerless.close()
