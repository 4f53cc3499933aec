"""The commands of docs/kubernetes.md about the install, run as they are on the real API server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.blocks import ROOT, blocks
from tests.cluster.control_plane import Cluster
from tests.cluster.resources import MERGE, PATHS, Resources
from tests.support.clients import client
from tests.support.process import bare_environment, run, wait_until

PAGE = ROOT / "docs/kubernetes.md"
Carry = Callable[[str], str]


@pytest.fixture
def carry(own_cluster: Cluster, tmp_path: Path) -> Iterator[Carry]:
    """Run a block of the page, given by how it begins, and return what it prints."""
    for name in ("deploy", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "token.txt").write_text("dop_v1_x")
    config = own_cluster.write_kubeconfig(tmp_path / "config", own_cluster.admin)
    path = f"{client('helm').parent}{os.pathsep}{os.environ['PATH']}"
    env = bare_environment(PATH=path, HOME=str(tmp_path), KUBECONFIG=str(config))
    texts = [block.text for block in blocks(PAGE) if block.language == "sh"]

    def carried(begin: str) -> str:
        (text,) = (text for text in texts if text.startswith(begin))
        done = run(["bash", "-euc", text], env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield carried
    Resources(own_cluster).remove()
    wait_until(
        lambda: not own_cluster.call("GET", PATHS["CustomResourceDefinition"])["items"], "no definitions", seconds=60
    )


def test_the_page_leads_from_zero_to_a_key_and_back(own_cluster: Cluster, carry: Carry) -> None:
    """Each block in its turn. The test stands for the operator: it says that the key is ready."""
    resources = Resources(own_cluster)
    carry("kubectl apply --server-side -k deploy/install")
    for plural in ("modelaccesskeys", "clusterkeyturnaccounts"):
        wait_until(partial(resources.served, plural), plural, seconds=60)
    carry("helm upgrade --install keyturn")
    assert "checkout-bot" in carry("kubectl -n keyturn-system create secret generic do-token")

    path = resources.keys("payments", "checkout-bot")
    moment = "2026-11-29T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "reason": "AtRest", "lastTransitionTime": moment}
    own_cluster.call("PATCH", f"{path}/status", {"status": {"observedGeneration": 1, "conditions": [ready]}}, **MERGE)
    assert "condition met" in carry("kubectl -n payments wait")
    assert "AtRest" in carry("kubectl -n payments patch")
    assert own_cluster.call("GET", path)["spec"]["rotation"]["trigger"] == "to see it"

    deployment = "/apis/apps/v1/namespaces/keyturn-system/deployments/keyturn"
    carry("helm upgrade keyturn")
    (container,) = own_cluster.call("GET", deployment)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/platform/keyturn:0.1.0"
    assert "kept due to the resource policy" in carry("helm uninstall keyturn")
    assert own_cluster.call("GET", path)["spec"]["rotation"]["trigger"] == "to see it"

    carry("kubectl apply -f deploy/install/namespace.yaml")
    assert own_cluster.call("GET", deployment)
    carry("helm uninstall keyturn")
    assert "deleted" in carry("kubectl delete -k deploy/crds")
