"""The examples for Argo CD and Flux: their order, their values, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.blocks import ROOT
from tests.support.clients import call

HERE = ROOT / "examples/kubernetes"
KEYS = HERE / "keys"
CHART = "deploy/helm/keyturn"
WAVE = "argocd.argoproj.io/sync-wave"
RELOADER = "secret.reloader.stakater.com/reload"
Object = dict[str, Any]


def objects(folder: Path) -> Iterator[Object]:
    """Yield the objects of all files below a folder."""
    for path in sorted(folder.rglob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def one(kind: str, folder: Path, name: str = "") -> Object:
    """Return the object of a kind, or of a kind and a name."""
    (found,) = (one for one in objects(folder) if one["kind"] == kind and name in {"", one["metadata"]["name"]})
    return found


def wave(found: Object) -> int:
    """Return the wave in which Argo CD applies an object."""
    return int(found["metadata"].get("annotations", {}).get(WAVE, 0))


def test_the_kinds_of_kubernetes_are_valid() -> None:
    """Strictly. Our own kinds are tried on the API server, in tests/cluster."""
    seen = set()
    for found in (*objects(KEYS), *objects(HERE / "flux/operator")):
        if "." not in found["apiVersion"] or ".k8s.io/" in found["apiVersion"]:
            kubernetes_validate.validate(found, "1.37", strict=True)
            seen.add(found["kind"])
    assert seen == {"Namespace", "Role", "RoleBinding", "Deployment"}


def test_argo_cd_applies_accounts_before_keys_before_consumers() -> None:
    """And the operator before all of them."""
    waves = {found["kind"]: wave(found) for found in objects(KEYS)}
    assert waves["Namespace"] == waves["Role"] == waves["RoleBinding"] == 0
    assert 0 < waves["ClusterKeyturnAccount"] < waves["ModelAccessKey"] < waves["Deployment"]
    operator, keys = (one("Application", HERE / "argocd", name) for name in ("keyturn", "keyturn-keys"))
    assert wave(operator) < wave(keys)
    assert operator["spec"]["source"]["path"] == CHART
    source = keys["spec"]["source"]
    assert (source["path"], source["directory"]) == (KEYS.name, {"recurse": True})
    assert "SkipDryRunOnMissingResource=true" in keys["spec"]["syncPolicy"]["syncOptions"]


def test_flux_applies_accounts_before_keys_after_the_operator() -> None:
    """Each waits for something that the one before it makes; every path is a folder of the examples."""
    found = list(yaml.safe_load_all((HERE / "flux/kustomizations.yaml").read_text()))
    names = [stage["metadata"]["name"] for stage in found]
    assert [stage["spec"].get("dependsOn", []) for stage in found] == [[], *([{"name": name}] for name in names[:-1])]
    paths = [HERE / stage["spec"]["path"] for stage in found]
    assert [path.resolve().relative_to(HERE).as_posix() for path in paths] == [
        "flux/operator",
        "keys/accounts",
        "keys/payments",
    ]
    for stage, path in zip(found, paths, strict=True):
        made = {(one["kind"], one["metadata"]["name"], one["metadata"].get("namespace")) for one in objects(path)}
        checks = stage["spec"].get("healthChecks", [])
        assert {(check["kind"], check["name"], check.get("namespace")) for check in checks} <= made
        assert checks or stage["spec"]["wait"] is True
    release = one("HelmRelease", HERE / "flux")
    assert release["spec"]["chart"]["spec"]["chart"] == CHART
    source = one("GitRepository", HERE / "flux")["metadata"]
    assert release["spec"]["chart"]["spec"]["sourceRef"]["name"] == source["name"]
    assert release["metadata"]["namespace"] == source["namespace"]


def test_both_install_the_same_operator(tmp_path: Path) -> None:
    """With values that the chart accepts, and the service account that the tenant's role is for."""
    application = one("Application", HERE / "argocd", "keyturn")["spec"]
    helm, release = application["source"]["helm"], one("HelmRelease", HERE / "flux")
    assert helm["valuesObject"] == release["spec"]["values"]
    names = {(helm["releaseName"], application["destination"]["namespace"])}
    assert names == {(release["spec"]["releaseName"], release["metadata"]["namespace"])}
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(release["spec"]["values"]))
    (name, namespace) = names.pop()
    done = call("helm", "template", name, ROOT / CHART, "--namespace", namespace, "-f", values, home=tmp_path)
    assert done.returncode == 0, done.stderr
    accounts = [found["metadata"] for found in yaml.safe_load_all(done.stdout) if found["kind"] == "ServiceAccount"]
    subjects = one("RoleBinding", KEYS)["subjects"]
    assert [(found["name"], found["namespace"]) for found in subjects] == [
        (found["name"], found["namespace"]) for found in accounts
    ]


def test_the_key_its_rights_and_its_consumer_fit() -> None:
    """One name all the way: resource, Secret, role, variable, Reloader; and the account lets the namespace in."""
    key, account = one("ModelAccessKey", KEYS), one("ClusterKeyturnAccount", KEYS)
    name, namespace = key["metadata"]["name"], key["metadata"]["namespace"]
    assert "deliver" not in key["spec"], "so the Secret has the name of the resource"
    assert key["spec"]["accountRef"]["name"] == account["metadata"]["name"]
    labels = one("Namespace", KEYS, namespace)["metadata"]["labels"]
    assert account["spec"]["allowedNamespaces"]["matchLabels"].items() <= labels.items()
    role = one("Role", KEYS)
    assert role["rules"][0]["resourceNames"] == [name]
    consumer = one("Deployment", KEYS)
    assert consumer["metadata"]["annotations"][RELOADER] == name
    (container,) = consumer["spec"]["template"]["spec"]["containers"]
    (variable,) = container["env"]
    assert variable["valueFrom"]["secretKeyRef"] == {"name": name, "key": "MODEL_ACCESS_KEY"}
    assert {found["metadata"]["namespace"] for found in (role, consumer)} == {namespace}


@pytest.mark.parametrize("page", ["argocd", "flux"])
def test_the_secret_of_the_token_is_the_one_of_the_account(page: str) -> None:
    """As both pages make it."""
    wanted = one("ClusterKeyturnAccount", KEYS)["spec"]["tokenSecretRef"]
    made = f"kubectl -n {wanted['namespace']} create secret generic {wanted['name']} --from-file=token=token.txt"
    assert made in (HERE / page / "README.md").read_text()
