"""The chart for Helm: what it renders, what its values refuse, and the plain manifests that are made from it.

`GOLDEN=write` writes `deploy/install/operator.yaml` again after a change of the chart.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import kubernetes_validate
import pytest
import yaml

import keyturn
from tests.blocks import ROOT, blocks
from tests.release import pack_chart
from tests.support.clients import call

CHART = ROOT / "deploy/helm/keyturn"
INSTALL = ROOT / "deploy/install"
RENDERED = INSTALL / "operator.yaml"
VERSIONS = ("1.31", "1.37")
SHIPPED = {"CustomResourceDefinition": 3, "ValidatingAdmissionPolicy": 2, "ValidatingAdmissionPolicyBinding": 2}
OPERATOR = {
    "ServiceAccount": 1,
    "ClusterRole": 1,
    "ClusterRoleBinding": 1,
    "Role": 1,
    "RoleBinding": 1,
    "Deployment": 1,
    "PodDisruptionBudget": 1,
    "NetworkPolicy": 1,
}
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
EVERYTHING: dict[str, Any] = {
    "image": {"repository": "example.com:5000/keyturn", "tag": "2", "digest": DIGEST, "pullSecrets": ["pull"]},
    "accounts": ["team", "payments/own", "true"],
    "tenants": [
        {"namespace": "payments", "secrets": ["checkout-bot"], "tokens": ["do-token"]},
        {"namespace": "shop"},
        {"namespace": "own", "tokens": ["do-token"]},
    ],
    "watchSecrets": True,
    "env": [{"name": "VAULT_ADDR", "value": "https://vault.example.com:8200"}],
    "networkPolicy": {"from": [{"namespaceSelector": {}}], "ports": [443, 6443]},
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "serviceAccount": {"annotations": {"a": "b"}},
    "podAnnotations": {"a": "true"},
    "podLabels": {"team": "a"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "true",
    "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
}
LEAST: dict[str, Any] = {"image": {"repository": "example.com/keyturn"}}

Render = Callable[[dict[str, Any]], CompletedProcess[str]]


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Render the chart with values."""

    def rendered(values: dict[str, Any]) -> CompletedProcess[str]:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        return call("helm", "template", "keyturn", CHART, "--namespace", "keyturn-system", "-f", file, home=tmp_path)

    return rendered


def documents(done: CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return what was rendered."""
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def counted(found: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many there are of each kind."""
    kinds = [one["kind"] for one in found]
    return {kind: kinds.count(kind) for kind in kinds}


def one_of(found: list[dict[str, Any]], kind: str, name: str = "keyturn", namespace: str = "") -> dict[str, Any]:
    """Return one document."""
    (one,) = (
        one
        for one in found
        if (one["kind"], one["metadata"]["name"]) == (kind, name)
        and namespace in {"", one["metadata"].get("namespace")}
    )
    return one


def test_helm_finds_nothing_to_say(tmp_path: Path) -> None:
    """Strictly; and the chart has the version of keyturn."""
    values = INSTALL / "values.yaml"
    done = call("helm", "lint", "--strict", CHART, "-f", values, home=tmp_path)
    assert done.returncode == 0, done.stdout
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {keyturn.__version__}


def test_the_archive_of_a_release_is_the_chart(tmp_path: Path) -> None:
    """Helm renders the same from it, and its bytes depend on the files alone."""
    copy = tmp_path / "keyturn"
    shutil.copytree(CHART, copy, copy_function=shutil.copyfile)
    made = [tmp_path / "one.tgz", tmp_path / "two.tgz"]
    for chart, file in zip((CHART, copy), made, strict=True):
        pack_chart(chart, file, 1_800_000_000)
    assert made[0].read_bytes() == made[1].read_bytes()
    rendered = [
        call("helm", "template", "keyturn", chart, "-f", INSTALL / "values.yaml", home=tmp_path).stdout
        for chart in (CHART, made[0])
    ]
    assert "kind: Deployment" in rendered[0]
    assert rendered[0] == rendered[1]


@pytest.mark.parametrize("values", [LEAST, EVERYTHING], ids=["least", "everything"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema_of_kubernetes_accepts_what_is_rendered(
    render: Render, values: dict[str, Any], version: str
) -> None:
    """Strictly, with as few values as possible and with all of them."""
    found = documents(render(values))
    assert SHIPPED.items() <= counted(found).items()
    for one in found:
        if one["kind"] not in {"PodMonitor", *SHIPPED}:  # tests/cluster applies these to a real API server
            kubernetes_validate.validate(one, version, strict=True)


def test_every_value_is_tried() -> None:
    """The values above are all that there are, but for those whose default says enough."""
    known = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())["properties"]
    assert known.keys() == schema.keys() - {"global"}
    assert known.keys() - EVERYTHING.keys() == {
        "replicas",
        "crds",
        "admission",
        "resources",
        "terminationGracePeriodSeconds",
    }


def test_all_values_arrive(render: Render) -> None:
    """In the pod, in the roles, and in what is off by default."""
    found = documents(render(EVERYTHING))
    pod = one_of(found, "Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == f"example.com:5000/keyturn:2@{DIGEST}"
    assert container["args"] == [
        *("operator", "--listen", "0.0.0.0:8080"),
        *("--account", "team", "--account", "payments/own", "--account", "true"),
        "--watch-secrets",
    ]
    assert [one["name"] for one in container["env"]] == ["POD_NAMESPACE", "POD_NAME", "VAULT_ADDR"]
    assert [one["name"] for one in container["volumeMounts"]] == ["temporary", "ca"]
    assert [one["name"] for one in pod["spec"]["volumes"]] == ["temporary", "ca"]
    assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["spec"]["priorityClassName"] == "true"
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert pod["spec"]["affinity"] == {"podAntiAffinity": {}}
    assert pod["metadata"]["annotations"] == {"a": "true"}
    assert pod["metadata"]["labels"]["team"] == "a"
    assert one_of(found, "ServiceAccount")["metadata"]["annotations"] == {"a": "b"}
    assert one_of(found, "PodMonitor")["metadata"]["labels"]["release"] == "prometheus"
    policy = one_of(found, "NetworkPolicy")["spec"]
    assert policy["ingress"][0]["from"] == [{"namespaceSelector": {}}]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [one["port"] for one in policy["egress"][1]["ports"]] == [443, 6443]


def test_only_the_own_namespace_reaches_the_pages(render: Render) -> None:
    """They have no login. What the operator itself reaches is not limited."""
    policy = one_of(documents(render(LEAST)), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}], "from": [{"podSelector": {}}]}]
    assert "egress" not in policy


@pytest.mark.parametrize(
    ("values", "accounts"),
    [
        ({}, []),
        ({"accounts": "all"}, []),
        ({"accounts": "all", "crds": {"install": False}}, []),
        ({"accounts": ["team-b"], "crds": {"install": False}}, ["--account", "team-b"]),
    ],
)
def test_a_release_without_definitions_says_which_accounts_it_has(
    render: Render, values: dict[str, Any], accounts: list[str]
) -> None:
    """Another one may have the definitions, and every account."""
    pod = one_of(documents(render(LEAST | values)), "Deployment")["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"][3:] == accounts


def test_a_tenant_gets_a_role_of_its_own(render: Render) -> None:
    """With the names that its entry has: Secrets to write, account tokens to read; without names, each Secret."""

    def rules(namespace: str) -> list[tuple[list[str], list[str]]]:
        role = one_of(found, "Role", "keyturn-deliveries", namespace)
        binding = one_of(found, "RoleBinding", "keyturn-deliveries", namespace)
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert [one["namespace"] for one in binding["subjects"]] == ["keyturn-system"]
        assert {kind for one in role["rules"] for kind in one["resources"]} == {"secrets"}
        return [(one.get("resourceNames", []), one["verbs"]) for one in role["rules"]]

    found = documents(render(EVERYTHING))
    write = ["get", "patch", "create"]
    assert rules("payments") == [(["checkout-bot"], write), (["do-token"], ["get"])]
    assert rules("shop") == [([], write)]
    assert rules("own") == [(["do-token"], ["get"])]


@pytest.mark.parametrize(
    ("values", "secrets"),
    [
        ({}, []),
        ({"tenants": "all"}, [["get", "patch", "create"]]),
        ({"watchSecrets": True}, [["list", "watch"]]),
    ],
)
def test_secrets_of_the_whole_cluster_have_to_be_asked_for(
    render: Render, values: dict[str, Any], secrets: list[list[str]]
) -> None:
    """Each value adds its verbs, and no rule has a wildcard."""
    found = documents(render(LEAST | values))
    rules = one_of(found, "ClusterRole")["rules"]
    assert [one["verbs"] for one in rules if "secrets" in one["resources"]] == secrets
    roles = [one for one in found if one["kind"] in {"Role", "ClusterRole"}]
    assert "*" not in yaml.safe_dump([one["rules"] for one in roles])
    assert not any("delete" in rule["verbs"] for one in roles for rule in one["rules"])


def test_the_pod_meets_the_standard_restricted(render: Render) -> None:
    """And it has a read-only root, limits, probes, and a budget for disruptions."""
    found = documents(render(LEAST))
    spec = one_of(found, "Deployment")["spec"]
    assert spec["replicas"] == 2
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        **dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), 65532),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert "\nUSER 65532:65532\n" in (ROOT / "Dockerfile").read_text()
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"] == {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["volumes"] == [{"name": "temporary", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}]
    labels = spec["selector"]["matchLabels"]
    assert labels.items() <= spec["template"]["metadata"]["labels"].items()
    budget = one_of(found, "PodDisruptionBudget")["spec"]
    assert (budget["selector"]["matchLabels"], budget["maxUnavailable"]) == (labels, 1)
    assert "PodDisruptionBudget" not in counted(documents(render(LEAST | {"replicas": 1})))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "image.repository is missing: build the image from the Dockerfile of the repository, push it"),
    ({"replica": 3}, "additional properties 'replica' not allowed"),
    ({"replicas": "3"}, "at '/replicas': got string, want integer"),
    ({"tenants": "some"}, "at '/tenants': value must be 'all'"),
    ({"tenants": {}}, "at '/tenants': got object, want array"),
    ({"tenants": [{"secrets": ["a"]}]}, "at '/tenants/0': missing property 'namespace'"),
    ({"tenants": [{"namespace": "a", "secrets": []}]}, "at '/tenants/0/secrets': minItems: got 0, want 1"),
    ({"tenants": [{"namespace": "a/b"}]}, "at '/tenants/0/namespace': 'a/b' does not match pattern"),
    ({**LEAST, "tenants": [{"namespace": "a"}] * 2}, "tenants: the namespace a has two entries"),
    ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match pattern"),
    ({"image": {"repository": "a", "tags": "1"}}, "at '/image': additional properties 'tags' not allowed"),
    ({"accounts": "team"}, "at '/accounts': value must be 'all'"),
    ({**LEAST, "crds": {"install": False}}, "accounts is empty: with crds.install=false another release may work on"),
    ({"priorityClassName": "a\nhostNetwork: true"}, "at '/priorityClassName': "),
    ({"accounts": ["a/b/c"]}, "at '/accounts/0': 'a/b/c' does not match pattern"),
    ({"env": [{"name": "POD_NAME", "value": "x"}]}, "at '/env/0/name': 'not' failed"),
    ({"env": [{"name": "A", "value": 1}]}, "at '/env/0/value': got number, want string"),
    ({"networkPolicy": {"ports": ["https"]}}, "at '/networkPolicy/ports/0': got string, want integer"),
    ({"networkPolicy": {"from": []}}, "at '/networkPolicy/from': minItems: got 0, want 1"),
]


@pytest.mark.parametrize(("values", "text"), REFUSED)
def test_wrong_values_are_refused(render: Render, values: dict[str, Any], text: str) -> None:
    """Before anything is sent, with the place."""
    done = render(values)
    assert done.returncode == 1
    assert text in done.stderr


def test_the_rights_are_those_of_the_page(render: Render) -> None:
    """The tests of the operator log in with the roles of the page, so the chart's are enough, too."""

    def rights(role: dict[str, Any]) -> list[tuple[list[str], ...]]:
        return sorted(
            tuple(sorted(rule[part]) for part in ("apiGroups", "resources", "verbs")) for rule in role["rules"]
        )

    shown = [yaml.safe_load(one.text) for one in blocks(ROOT / "docs/kubernetes.md") if one.heading == "Rights"]
    whole, deliveries, own = shown
    found = documents(render(LEAST | {"tenants": "all"}))
    assert rights(one_of(found, "ClusterRole")) == sorted(rights(whole) + rights(deliveries))
    assert rights(one_of(found, "Role", namespace="keyturn-system")) == rights(own)


def test_the_plain_manifests_are_what_the_chart_renders(tmp_path: Path) -> None:
    """Without the definitions and the policies, which have folders of their own."""
    values = INSTALL / "values.yaml"
    done = call("helm", "template", "keyturn", CHART, "--namespace", "keyturn-system", "-f", values, home=tmp_path)
    found = documents(done)
    assert counted(found) == OPERATOR
    text = yaml.safe_dump_all(found, sort_keys=False, width=120)
    text = f"# Rendered from the chart by `GOLDEN=write pytest tests/deploy/test_chart.py`.\n{text}"
    if os.environ.get("GOLDEN") == "write":
        RENDERED.write_text(text)
    assert RENDERED.read_text() == text, "GOLDEN=write pytest tests/deploy/test_chart.py"


def test_kustomize_builds_the_whole_install(tmp_path: Path) -> None:
    """The chart with its definitions and policies, and a namespace that holds pods to the standard `restricted`."""
    done = call("kubectl", "kustomize", INSTALL, home=tmp_path)
    found = documents(done)
    assert counted(found) == OPERATOR | SHIPPED | {"Namespace": 1}
    namespace = one_of(found, "Namespace", "keyturn-system")
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    homes = {one["metadata"].get("namespace", "keyturn-system") for one in found}
    assert homes == {"keyturn-system"}
