"""The same kills, consumers and meetings with deliveries and records in a real Kubernetes API server, in short."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from tests.cluster.control_plane import Cluster
from tests.real.concurrent_runs import concurrent_runs
from tests.real.consumer import serve
from tests.real.cuts import ROTATIONS, cuts
from tests.real.environment import Servers, Site
from tests.real.random_kills import random_kills
from tests.real.workers import strikes, two_workers, unwritten


@pytest.fixture
def there(shared: Servers, cluster: Cluster) -> Servers:
    """The servers, with the cluster for everything."""
    return replace(shared, cluster=cluster)


def test_a_run_killed_at_a_write_of_the_api_server_loses_nothing(there: Servers) -> None:
    """Before it, after it, and with the write landing late: the delivery of both strategies."""
    found = cuts(there, ROTATIONS, only=frozenset({"delivery"}))
    assert [one.what for one in found] == ["delivery"] * 6
    assert [one for one in found if one.wrong] == []


def test_consumers_that_read_a_secret_of_kubernetes_are_never_refused(there: Servers) -> None:
    """No call fails, and the Secret never holds a dead secret; of an in-place key it does, for a moment."""
    served = serve(there, "alternating", keys=3, rounds=1)
    assert served.wrong == ()
    assert (served.rotations, served.old_dead) == (3, 3)
    assert (served.refused, served.other, served.store_outage) == (0, 0, 0.0)
    assert served.calls > 100
    outage = serve(there, "in-place", keys=1, rounds=1)
    assert outage.wrong == ()
    assert outage.store_outage > 0


def test_nothing_is_lost_in_kubernetes_when_runs_are_killed_at_any_moment(there: Servers) -> None:
    """Each kill is followed by one `apply`, and that is all it takes."""
    found = random_kills(there, kills=3)
    assert found.wrong == ()
    assert found.outage == 0.0


def test_of_two_runs_at_once_one_mints(there: Servers) -> None:
    """The second waits, or says who is working."""
    found = concurrent_runs(there, pairs=3)
    assert [one for one in found if one.wrong] == []


def test_two_workers_in_trouble_mint_nothing_twice(there: Servers) -> None:
    """Their consumers in both clusters are never refused."""
    found = two_workers(there, strikes(2))
    assert found.wrong == ()
    assert (found.twice, found.refused, found.outage) == (0, 0, 0.0)
    assert found.mints >= found.generations > 0


def test_a_mint_that_no_record_allowed_is_noticed(there: Servers) -> None:
    """Also the first one after a mint of keyturn, which used its own write up; what keyturn mints is allowed."""
    with Site(replace(there, apart=True)) as site:
        site.existing("key")
        site.settle_in()
        assert site.run("rotate", "key", "--yes").code == 0
        assert list(unwritten(site, "key")) == []
        (uuid,) = site.account("key")
        for _ in range(2):
            headers = {"Authorization": f"Bearer {site.sandbox.token}"}
            httpx.put(
                f"{site.sandbox.url}/v2/gen-ai/models/api_keys/{uuid}/regenerate", headers=headers
            ).raise_for_status()
        assert len(list(unwritten(site, "key"))) == 2
