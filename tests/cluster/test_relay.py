"""The relay between an operator and the API server, by which `make prove ARGS=operators` cuts it off."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from tests.cluster.resources import Resources
from tests.real.environment import Servers, servers
from tests.real.relay import Gate, Relay
from tests.real.stores import kind_in_kubernetes


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
