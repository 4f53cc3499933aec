"""The custom resources of deploy/ on the API server of the tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
import pytest
import yaml

from tests.blocks import ROOT
from tests.cluster.control_plane import Cluster
from tests.support.custom_resources import cluster_account_object, key_object
from tests.support.process import wait_until

DEPLOY = ROOT / "deploy"
HOME = "/apis/keyturn.dev/v1alpha1"
PATHS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "ClusterKeyturnAccount": f"{HOME}/clusterkeyturnaccounts",
}
MERGE = {"Content-Type": "application/merge-patch+json"}


class Resources:
    """The definitions and policies, installed."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def install(self) -> None:
        """Install everything, and wait until the API server serves and enforces it."""
        for path in (*sorted((DEPLOY / "crds").glob("*s.yaml")), DEPLOY / "admission/policies.yaml"):
            for one in yaml.safe_load_all(path.read_text()):
                self.cluster.call("POST", PATHS[one["kind"]], one)
        for plural in ("modelaccesskeys", "keyturnaccounts", "clusterkeyturnaccounts"):
            wait_until(partial(self.served, plural), plural, seconds=60)
        self.account()
        namespace = self.cluster.namespace()
        wait_until(lambda: self._enforced(namespace), "the admission policies", seconds=60)

    def remove(self) -> None:
        """Take the definitions and policies away: other tests have the same server."""
        for kind in ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy", "CustomResourceDefinition"):
            for one in self.cluster.call("GET", PATHS[kind])["items"]:
                if one["metadata"]["name"].endswith(".keyturn.dev"):
                    self.cluster.call("DELETE", f"{PATHS[kind]}/{one['metadata']['name']}")

    def account(self, name: str = "team", **spec: object) -> dict[str, Any]:
        """Make a ClusterKeyturnAccount."""
        return self.cluster.call("POST", PATHS["ClusterKeyturnAccount"], cluster_account_object(name, **spec))

    def keys(self, namespace: str, name: str = "") -> str:
        """Return the path of the ModelAccessKeys of a namespace, or of one of them."""
        return f"{HOME}/namespaces/{namespace}/modelaccesskeys{'/' if name else ''}{name}"

    def make(self, namespace: str, name: str = "bot", /, **spec: object) -> dict[str, Any]:
        """Make a ModelAccessKey."""
        return self.cluster.call("POST", self.keys(namespace), key_object(name, namespace, **spec))

    def change(self, namespace: str, name: str, spec: Mapping[str, object]) -> dict[str, Any]:
        """Change the spec of a ModelAccessKey."""
        return self.cluster.call("PATCH", self.keys(namespace, name), {"spec": dict(spec)}, **MERGE)

    def served(self, plural: str) -> bool:
        """Tell whether the API server serves a definition."""
        try:
            return "items" in self.cluster.call("GET", f"{HOME}/{plural}")
        except httpx.HTTPStatusError:
            return False

    def _enforced(self, namespace: str) -> bool:
        """Tell whether both policies are in force, by resources that each of them refuses."""
        nobody = self.cluster.user({namespace: [rule("create")]})
        return all(
            refused(self, namespace, token, spec)
            for token, spec in ((nobody, {}), (self.cluster.admin, {"name": "elsewhere"}))
        )


def rule(*verbs: str) -> dict[str, object]:
    """Return a rule about ModelAccessKeys."""
    return {"apiGroups": ["keyturn.dev"], "resources": ["modelaccesskeys"], "verbs": list(verbs)}


def message(error: pytest.ExceptionInfo[httpx.HTTPStatusError]) -> str:
    """Return what the API server says."""
    return str(error.value.response.json()["message"])


def refused(resources: Resources, namespace: str, token: str, spec: Mapping[str, object]) -> str:
    """Try to make a ModelAccessKey as a dry run; return the message of the refusal, empty if it would be made."""
    try:
        resources.cluster.call(
            "POST",
            f"{resources.keys(namespace)}?dryRun=All",
            key_object(f"try-{time.monotonic_ns()}", namespace, **spec),
            Authorization=f"Bearer {token}",
        )
    except httpx.HTTPStatusError as error:
        return str(error.response.json()["message"])
    return ""
