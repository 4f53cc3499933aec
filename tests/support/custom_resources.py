"""Custom resources for tests: the shortest ones that are valid, with what a test changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.kube.resources import AccountResource, ClusterAccountResource, KeyResource, read
from keyturn.kube.tenants import Surroundings, secrets_of

API = "keyturn.dev/v1alpha1"
IN_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "VAULT_ADDR": "http://127.0.0.1:8200"}
"""The environment of the operator, which permits one Vault."""
NAMESPACES = ("payments", "shop")


def key_object(name: str = "bot", namespace: str = "payments", /, **spec: object) -> dict[str, Any]:
    """Return a ModelAccessKey as the API has it."""
    return {
        "apiVersion": API,
        "kind": "ModelAccessKey",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "generation": 1,
            "creationTimestamp": "2026-11-01T00:00:00Z",
        },
        "spec": {
            "accountRef": {"kind": "ClusterKeyturnAccount", "name": "team"},
            "smoke": {"model": "llama3.3-70b-instruct"},
            **spec,
        },
    }


def key(
    name: str = "bot",
    namespace: str = "payments",
    /,
    *,
    metadata: Mapping[str, object] | None = None,
    status: Mapping[str, object] | None = None,
    **spec: object,
) -> KeyResource:
    """Return a ModelAccessKey."""
    found = key_object(name, namespace, **spec)
    found["metadata"] |= metadata or {}
    return read(KeyResource, found | ({"status": dict(status)} if status else {}))


def cluster_account_object(name: str = "team", /, **spec: object) -> dict[str, Any]:
    """Return a ClusterKeyturnAccount as the API has it; every namespace may use it."""
    least = {
        "tokenSecretRef": {"namespace": "keyturn-system", "name": "do-token"},
        "namePrefix": "{namespace}-",
        "allowedNamespaces": {},
    }
    return {
        "apiVersion": API,
        "kind": "ClusterKeyturnAccount",
        "metadata": {"name": name, "generation": 1},
        "spec": least | spec,
    }


def cluster_account(**spec: object) -> ClusterAccountResource:
    """Return a ClusterKeyturnAccount."""
    return read(ClusterAccountResource, cluster_account_object(**spec))


def account(namespace: str = "payments", /, **spec: object) -> AccountResource:
    """Return a KeyturnAccount."""
    whole = {"tokenSecretRef": {"name": "do-token"}, **spec}
    metadata = {"name": "own", "namespace": namespace, "generation": 1}
    return read(AccountResource, {"kind": "KeyturnAccount", "metadata": metadata, "spec": whole})


def around(*keys: KeyResource, namespaces: tuple[str, ...] = NAMESPACES) -> Surroundings:
    """Return surroundings in which no Secret of the keys exists yet."""
    return Surroundings({name: {} for name in namespaces}, {secret: None for one in keys for secret in secrets_of(one)})
