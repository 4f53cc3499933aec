"""The main job with Kubernetes as the place of deliveries and of records, through the command line."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.place_kubernetes import documented_rules
from tests.support.canary import found

if TYPE_CHECKING:
    from tests.cli.conftest import Stage
    from tests.cluster.control_plane import Cluster

FIELD = "MODEL_ACCESS_KEY"
OVERLAP = 3


@dataclass
class Site:
    """A stage whose manifest delivers to one namespace and keeps its records in another one."""

    stage: Stage
    cluster: Cluster
    apps: str
    records: str

    def secrets(self, namespace: str) -> list[dict[str, Any]]:
        """All Secrets of a namespace."""
        found: list[dict[str, Any]] = self.cluster.call("GET", f"/api/v1/namespaces/{namespace}/secrets")["items"]
        return found

    def delivered(self, name: str) -> str:
        """What a consumer reads."""
        (found,) = [one for one in self.secrets(self.apps) if one["metadata"]["name"] == name]
        return base64.b64decode(found["data"][FIELD]).decode()


@pytest.fixture
def site(stage: Stage, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An alternating and an in-place key; the login has the documented roles."""
    apps, records = cluster.namespace(), cluster.namespace()
    rights = {apps: documented_rules("keyturn-deliveries"), records: documented_rules("keyturn-records")}
    kubeconfig = cluster.write_kubeconfig(stage.folder / "kubeconfig.json", cluster.user(rights))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    manifest = {
        "apiVersion": "keyturn/v1",
        "name": "platform",
        "targets": {
            "apps": {"type": "kubernetes", "address": cluster.origin, "namespace": apps},
            "records": {"type": "kubernetes", "address": cluster.origin, "namespace": records},
        },
        "records": {"target": "records"},
        "defaults": {"smoke": {"model": "llama3.3-70b-instruct"}},
        "keys": {
            "checkout-bot": {
                "adopt": {"secret": "regenerate"},
                "rotation": {"strategy": "alternating", "overlap": f"{OVERLAP}s", "every": "30d"},
                "deliver": [{"target": "apps", "path": "checkout", "field": FIELD}],
            },
            "report-bot": {
                "adopt": {"secret": "regenerate"},
                "deliver": [{"target": "apps", "path": "report", "field": FIELD}],
            },
        },
        "timing": {"settle": "5s", "request": "5s", "lease": "20s", "propagation": "5s", "delivery": "20s"},
    }
    stage.manifest.write_text(json.dumps(manifest))
    stage.make_keys()
    return Site(stage, cluster, apps, records)


def test_a_key_lives_in_a_cluster(site: Site) -> None:
    """Adopted, rotated, retired, drifted and healed; records and claims are Secrets of their own; no secret leaks."""
    stage = site.stage
    stage.run("plan")
    assert site.secrets(site.apps) == []
    stage.run("apply", "--yes")
    first = site.delivered("checkout")
    assert stage.sandbox.accepts(first)
    time.sleep(OVERLAP)
    stage.run("apply", "--yes")  # the secrets that the control panel showed are dead
    stage.run("rotate", "checkout-bot", "report-bot", "--yes", "--reason", "INC-7")
    second = site.delivered("checkout")
    assert second != first
    assert stage.sandbox.accepts(first)
    time.sleep(OVERLAP)
    stage.run("apply", "--yes")
    assert not stage.sandbox.accepts(first)
    name = f"/api/v1/namespaces/{site.apps}/secrets/report"
    site.cluster.call("DELETE", name)
    stage.run("status", "--verify", code=1)
    stage.run("apply", "--yes", "--verify")
    stage.run("smoke")
    assert {one["type"] for one in site.secrets(site.records)} == {"keyturn.dev/record"}
    assert len(site.secrets(site.records)) == 5, "two records, three claims"
    texts = {"records": json.dumps(site.secrets(site.records)), "printed": "".join(stage.printed)}
    assert found(stage.sandbox.state.secrets, {name: text.encode() for name, text in texts.items()}) == []


def test_a_deleted_record_stops_its_key(site: Site) -> None:
    """Its finalizer keeps it; nothing is adopted again."""
    stage = site.stage
    stage.run("apply", "--yes")
    (name,) = [
        one["metadata"]["name"]
        for one in site.secrets(site.records)
        if one["metadata"]["annotations"]["keyturn.dev/path"].endswith("keys/report-bot")
    ]
    site.cluster.call("DELETE", f"/api/v1/namespaces/{site.records}/secrets/{name}")
    before = site.delivered("report")
    assert "this document was deleted" in stage.run("apply", "--yes", "report-bot", code=1).stdout
    assert site.delivered("report") == before
