"""Resources of the API server, one run over all of them, and their status: the parts that an operator is made of."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from keyturn.core.model import Timing
from keyturn.core.results import Options
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from keyturn.kube.resources import ClusterAccountResource, KeyResource, read
from keyturn.kube.status import key_state, patch, refused_state
from keyturn.kube.tenants import Name, SecretFacts, Surroundings, name_of, secrets_of
from keyturn.kube.translate import translate
from keyturn.live.live_world import open_world
from keyturn.sandbox import Sandbox
from keyturn.targets import kubernetes_login
from tests.cluster.resources import HOME, MERGE, Resources
from tests.contract.place_kubernetes import documented_rules

TIMING = Timing(delivery=5.0, settle=0.2, lease=20.0, propagation=1.0, request=5.0)
FIELD = "MODEL_ACCESS_KEY"


@dataclass
class Team:
    """An account with one tenant, seen from a pod that has the documented rights and no others."""

    resources: Resources
    sandbox: Sandbox
    tenant: str
    home: str
    folder: Path
    environment: dict[str, str]
    account: ClusterAccountResource

    def look(self) -> int:
        """Look at all resources once, apply what is to be done, and write what differs. Return how much was written."""
        listed = self.resources.cluster.call("GET", self.resources.keys(self.tenant))["items"]
        keys = {name_of(key): key for key in (read(KeyResource, one) for one in listed)}
        around = Surroundings(
            {self.tenant: {}}, {name: self.secret(name) for key in keys.values() for name in secrets_of(key)}
        )
        found = translate(self.account, list(keys.values()), around, self.home, self.environment)
        assert found.desired is not None, found.problem
        now = datetime.now(UTC)
        states = {name: refused_state(keys[name], why, now) for name, why in found.refused.items()}
        quick = tuple(replace(key, timing=TIMING) for key in found.desired.keys)
        desired = replace(found.desired, keys=quick, timing=TIMING)
        with open_world(desired, self.environment, self.folder) as world:
            runner = Runner(world, desired, lambda _: None, runs=Runs([self.folder]))
            reports = {report.key: report for report in runner.apply([], Options()).reports}
            shown = {status.key: status for status in runner.status([], Options()).keys}
        for name, one in found.ids.items():
            states[name] = key_state(keys[name], shown[one], now, report=reports[one])
        patches = {name: patch(keys[name].status, state) for name, state in states.items()}
        for name, body in patches.items():
            if body:
                self.resources.cluster.call("PATCH", f"{self.resources.keys(*name)}/status", body, **MERGE)
        return sum(body is not None for body in patches.values())

    def secret(self, name: Name) -> SecretFacts | None:
        """Return what is known of a Secret."""
        found = self.data(*name)
        metadata = found.get("metadata", {})
        return SecretFacts(metadata.get("labels", {}), metadata.get("annotations", {})) if found else None

    def data(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Secret, empty if there is none."""
        try:
            return self.resources.cluster.call("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return {}
            raise

    def delivered(self, name: str) -> str:
        """Return what a consumer reads."""
        return base64.b64decode(self.data(self.tenant, name)["data"][FIELD]).decode()

    def conditions(self, name: str) -> dict[str, tuple[str, str]]:
        """Return status and reason of each condition of a resource."""
        found = self.resources.cluster.call("GET", self.resources.keys(self.tenant, name))["status"]["conditions"]
        return {one["type"]: (one["status"], one["reason"]) for one in found}


@pytest.fixture
def team(resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """A pod in the cluster, as far as keyturn can tell."""
    cluster = resources.cluster
    tenant, home = cluster.namespace(), cluster.namespace()
    rights = {home: documented_rules("keyturn-records"), tenant: documented_rules("keyturn-deliveries")}
    (tmp_path / "token").write_text(cluster.user(rights))
    (tmp_path / "ca.crt").write_text(cluster.authority)
    monkeypatch.setattr(kubernetes_login, "SERVICE_ACCOUNT", tmp_path)
    server = urlsplit(cluster.origin)
    pod = {"KUBERNETES_SERVICE_HOST": str(server.hostname), "KUBERNETES_SERVICE_PORT": str(server.port)}
    rotation = {"strategy": "alternating", "every": "720h"}
    defaults = {"adopt": {"secret": "regenerate"}, "rotation": rotation}
    made = resources.account(f"of-{tenant}", defaults=defaults)
    with Sandbox(seed=1) as sandbox:
        account = read(ClusterAccountResource, made)
        yield Team(resources, sandbox, tenant, home, tmp_path, sandbox.exports | pod, account)
    cluster.call("DELETE", f"{HOME}/clusterkeyturnaccounts/of-{tenant}")


def test_from_a_resource_to_its_secret(team: Team) -> None:
    """One is adopted, one waits for someone and goes on, and one is kept from an API key of another tenant."""
    team.sandbox.panel_create(f"{team.tenant}-bot-a")
    team.sandbox.panel_create(f"{team.tenant}-bot-b")
    others = team.sandbox.panel_create("shop-bot")
    team.resources.make(team.tenant, "bot")
    team.resources.make(team.tenant, "waits")
    steal = {"secret": "regenerate", "a": others.uuid}
    team.resources.make(team.tenant, "thief", adopt=steal, rotation={"strategy": "in-place"})
    team.resources.make(team.tenant, "wrong", rotation={"every": "1h"})

    assert team.look() == 4
    assert team.sandbox.accepts(team.delivered("bot"))
    assert team.conditions("bot")["Ready"][0] == "True"
    assert team.conditions("wrong")["Ready"] == ("False", "Misconfigured")
    assert team.conditions("waits")["Stalled"] == ("True", "WaitingForPerson")
    assert team.conditions("thief")["Stalled"] == ("True", "Held")
    assert team.conditions("thief")["Ready"] == ("False", "OutsidePolicy")
    assert team.data(team.tenant, "thief") == {}
    assert team.sandbox.accepts(others.secret)

    status = team.resources.cluster.call("GET", team.resources.keys(team.tenant, "waits"))["status"]
    names = [f"{team.tenant}-waits-a", f"{team.tenant}-waits-b"]
    assert status["handoff"]["names"] == names
    for name in names:
        team.sandbox.panel_create(name)
    assert team.look() == 1
    assert team.sandbox.accepts(team.delivered("waits"))
    assert team.conditions("waits")["Ready"][0] == "True"
    assert team.look() == 0
