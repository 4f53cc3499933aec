"""Two operators on one account, of which one is in trouble: `make prove ARGS=operators` in short, and its relay."""

from __future__ import annotations

import json
import random
import ssl
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import httpx
import pytest

from tests.cluster.resources import Resources
from tests.real.environment import Servers, servers
from tests.real.operators import LATE, TAKEN, OperatorPlace
from tests.real.relay import Gate, Moment, Relay
from tests.real.stores import kind_in_kubernetes
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


def test_a_cut_ends_a_watch_and_every_later_request(there: Servers) -> None:
    """What is watched comes at once; a cut ends it where it is, and not as a server ends it."""
    assert there.cluster
    cluster, gate = there.cluster, Gate()
    path = f"/api/v1/namespaces/{cluster.namespace()}/configmaps"
    headers, trust = {"Authorization": f"Bearer {cluster.admin}"}, ssl.create_default_context(cafile=cluster.pair[0])
    with (
        Relay(cluster.origin, gate, kind_in_kubernetes, cluster.pair) as relay,
        httpx.Client(base_url=relay.url, verify=trust, headers=headers, timeout=20, trust_env=False) as client,
    ):
        with client.stream("GET", path, params={"watch": "1", "timeoutSeconds": "60"}) as answer:
            lines = answer.iter_lines()
            cluster.call("POST", path, {"metadata": {"name": "seen"}})
            assert json.loads(next(lines))["object"]["metadata"]["name"] == "seen"
            gate.cut_off(cluster.origin)
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)
        with pytest.raises(httpx.TransportError):
            client.get(path)
        gate.cut = ""
        assert client.get(path).json()["items"]
        with client.stream("GET", path, params={"watch": "1", "timeoutSeconds": "1"}) as answer:
            assert len(list(answer.iter_lines())) == 1


def test_two_operators_in_trouble_mint_nothing_twice(there: Servers, resources: Resources) -> None:
    """Their consumers are never refused, and the other one takes the Lease of the one that is paused."""
    found = two_workers(there, STRIKES, partial(Brief, resources), each=1)
    assert found.wrong == ()
    assert (found.twice, found.refused, found.outage) == (0, 0, 0.0)
    assert found.mints >= found.generations > 0
    assert all(strike in STRIKES for strike in found.strikes)
    assert found.changes_of_hands
    assert all(TAKEN - 5 < seconds < TAKEN + LATE for seconds in found.changes_of_hands)
