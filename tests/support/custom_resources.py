"""Custom resources for tests: the shortest ones that are valid, with what a test changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.core.model import DesiredKey
from keyturn.kube.resources import Account, AccountResource, ClusterAccountResource, KeyResource, read
from keyturn.kube.tenants import Surroundings, secrets_of
from keyturn.kube.translate import Translated, translate

API = "keyturn.dev/v1alpha1"
IN_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "VAULT_ADDR": "http://127.0.0.1:8200"}
"""The environment of the operator, which permits one Vault."""
NAMESPACES = ("payments", "shop")

UUID = "0f0c3a6e-5b0e-4c0e-9d6b-3f6f1f9c2a10"
PAYMENTS = ("payments", "bot")
VAULT = {
    "name": "vault",
    "type": "vault",
    "settings": {"address": "http://127.0.0.1:8200"},
    "pathPrefix": "{namespace}/",
}


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


def translated(where: Account, *keys: KeyResource, beside: Surroundings | None = None) -> Translated:
    """Translate as the operator in the namespace keyturn-system does."""
    return translate(where, keys, beside or around(*keys), "keyturn-system", IN_POD)


def only(found: Translated) -> DesiredKey:
    """Return the one key, which was not refused."""
    assert found.problem is None
    assert found.refused == {}
    assert found.desired is not None
    (one,) = found.desired.keys
    return one


def why(found: Translated, name: tuple[str, str] = PAYMENTS) -> str:
    """Return why a resource is refused; every other one is part of the desired state."""
    assert found.desired is not None
    assert {one.id for one in found.desired.keys} == set(found.ids.values())
    assert name not in found.ids
    return f"{found.refused[name].code}: {found.refused[name].why}"


def older(**spec: Any) -> KeyResource:  # noqa: ANN401 - fields of a spec
    """Return a resource that was there before the others."""
    return key("older", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"}, **spec)
