"""The manifests for Kubernetes against its schema, and against the standard `restricted` for pods."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.blocks import ROOT, blocks
from tests.support.process import run

HERE = ROOT / "examples/kubernetes"
FILES = sorted(path for path in HERE.glob("*.yaml") if path.name not in {"keyturn.yaml", "policy.yaml"})
VERSIONS = ("1.31", "1.37")
OF_OTHERS = {"ExternalSecret", "ModelAccessKey", "KeyturnAccount", "ClusterKeyturnAccount"}
"""Kinds of others, of which Kubernetes has no schema. Ours are tried in tests/cluster."""


def document(name: str) -> dict[str, Any]:
    """Return a manifest."""
    loaded: dict[str, Any] = yaml.safe_load((HERE / name).read_text())
    return loaded


def pod() -> dict[str, Any]:
    """Return the pod of the job."""
    found: dict[str, Any] = document("cronjob.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema_accepts_every_file(version: str) -> None:
    """Strictly: a field that Kubernetes does not know is a mistake."""
    for path in FILES:
        if path.name != "kustomization.yaml":
            kubernetes_validate.validate(document(path.name), version, strict=True)


def test_the_schema_catches_a_misspelt_field() -> None:
    """So that the test above can fail."""
    wrong = document("cronjob.yaml")
    wrong["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesytem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_manifests_on_the_pages_are_valid() -> None:
    """Those of kinds that are Kubernetes' own."""
    seen = []
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        for block in blocks(page):
            loaded = yaml.safe_load(block.text) if block.language == "yaml" else None
            if isinstance(loaded, dict) and "kind" in loaded and loaded["kind"] not in OF_OTHERS:
                kubernetes_validate.validate(loaded, VERSIONS[-1], strict=True)
                seen.append(loaded["kind"])
    assert {"Deployment", "Pod"} <= set(seen)


def test_the_kustomization_names_every_file() -> None:
    """None is forgotten, and what the pod mounts is generated."""
    kustomization = document("kustomization.yaml")
    assert sorted(kustomization["resources"]) == sorted(
        path.name for path in FILES if path.name != "kustomization.yaml"
    )
    [generated] = kustomization["configMapGenerator"]
    assert all((HERE / name).is_file() for name in generated["files"])
    mounted = {volume["configMap"]["name"] for volume in pod()["volumes"] if "configMap" in volume}
    assert mounted == {generated["name"]}


def test_kustomize_builds_it(kubectl: str) -> None:
    """Each document of the result is valid, too; the ConfigMap gets its name everywhere."""
    done = run([kubectl, "kustomize", HERE])
    assert done.returncode == 0, done.stderr
    documents = list(yaml.safe_load_all(done.stdout))
    for one in documents:
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
    [config] = [one["metadata"]["name"] for one in documents if one["kind"] == "ConfigMap"]
    assert config.startswith("keyturn-")
    assert done.stdout.count(config) == 2


def test_the_pod_meets_the_standard_restricted() -> None:
    """Each rule of it, and what it does not demand: a read-only root and no token of the cluster."""
    spec = pod()
    [container] = spec["containers"]
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all({"configMap", "projected", "emptyDir"} & volume.keys() for volume in spec["volumes"])
    labels = document("namespace.yaml")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_its_policy_is_the_smallest_one() -> None:
    """The file is the text of the reference, which the contract suite enforces; the page names the same role."""
    policies = [block.text for block in blocks(ROOT / "docs/targets.md") if block.language == "hcl"]
    assert (HERE / "vault-policy.hcl").read_text() in policies
    page = (HERE / "README.md").read_text()
    role = document("keyturn.yaml")["targets"]["vault"]["auth"]["role"]
    assert f"auth/kubernetes/role/{role}" in page
    account = document("service-account.yaml")["metadata"]
    assert f"bound_service_account_names={account['name']} " in page
    assert f"bound_service_account_namespaces={account['namespace']} " in page
    [audience] = re.findall(r"audience=(\w+)", page)
    [projected] = [volume["projected"] for volume in pod()["volumes"] if "projected" in volume]
    assert projected["sources"][0]["serviceAccountToken"]["audience"] == audience
    assert Path(pod()["containers"][0]["args"][2]).name == "keyturn.yaml"
