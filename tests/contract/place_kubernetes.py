"""A place for the contract suite: a namespace of a real API server, under the roles that docs/targets.md prints."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import httpx
import yaml

from keyturn.targets.base import TargetContext
from keyturn.targets.kubernetes import KubernetesTarget
from tests.cluster.control_plane import Cluster
from tests.contract.places import Fields, Servers

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "targets.md"
NO_TEXT = b"\xff\xfe"


def documented_rules(name: str) -> list[Mapping[str, object]]:
    """Return the rules of a Role as users copy it."""
    found = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    roles = [role for block in found for role in yaml.safe_load_all(block) if role["metadata"]["name"] == name]
    assert len(roles) == 1, f"docs/targets.md holds {len(roles)} roles {name}"
    rules: list[Mapping[str, object]] = roles[0]["rules"]
    return rules


class KubernetesPlace:
    """One namespace."""

    others: ClassVar[Fields] = {"text": "kept", "dot.ted_KEY-1": "also", "empty": "", "binary": NO_TEXT}
    no_texts: ClassVar[Sequence[object]] = (NO_TEXT,)
    role: ClassVar[str] = "keyturn-deliveries"

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.namespace = cluster.namespace()
        token = cluster.user({self.namespace: documented_rules(self.role)})
        self._kubeconfig = cluster.write_kubeconfig(folder / f"{self.namespace}.json", token)
        self._targets: list[KubernetesTarget] = []

    def target(self, *, writers: Mapping[str, str] | None = None, **environment: str) -> KubernetesTarget:
        """Return a new target."""
        settings = {"address": self.cluster.origin, "namespace": self.namespace, "writers": writers}
        known = {"KUBECONFIG": str(self._kubeconfig), **environment}
        made = KubernetesTarget(TargetContext(name="cluster", settings=settings, environment=known, request=20))
        self._targets.append(made)
        return made

    def path(self) -> str:
        """Return a fresh name."""
        return f"app-{uuid4().hex}"

    def seed(self, path: str, fields: Fields) -> None:
        """Make the Secret hold exactly these fields, whatever is there."""
        data = {name: _encoded(value) for name, value in fields.items()}
        secret = {"metadata": {"name": path}, "type": "Opaque", "data": data}
        try:
            self.cluster.call("PUT", f"{self._secrets}/{path}", secret)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            self.cluster.call("POST", self._secrets, secret)

    def fields(self, path: str) -> Fields | None:
        """Read as the administrator."""
        try:
            found = self.cluster.call("GET", f"{self._secrets}/{path}")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        return {name: _decoded(value) for name, value in (found.get("data") or {}).items()}

    def close(self) -> None:
        """Close the targets."""
        for target in self._targets:
            target.close()

    @property
    def _secrets(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/secrets"


class KubernetesRecords(KubernetesPlace):
    """The same, under the role for records."""

    role: ClassVar[str] = "keyturn-records"

    def path(self) -> str:
        """Return a fresh path: any depth."""
        return f"keyturn/{uuid4().hex}"

    def lose(self, path: str) -> None:
        """Delete a document, as `kubectl delete secret` does."""
        listed = self.cluster.call("GET", self._secrets)["items"]
        (name,) = [
            one["metadata"]["name"]
            for one in listed
            if one["metadata"].get("annotations", {}).get("keyturn.dev/path") == path
        ]
        self.cluster.call("DELETE", f"{self._secrets}/{name}")


def _encoded(value: object) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else str(value).encode()).decode()


def _decoded(value: str) -> object:
    raw = base64.b64decode(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


@contextmanager
def deliveries(servers: Servers) -> Iterator[KubernetesPlace]:
    """Open a place for deliveries."""
    place = KubernetesPlace(servers.cluster, servers.folder)
    yield place
    place.close()


@contextmanager
def documents(servers: Servers) -> Iterator[KubernetesRecords]:
    """Open a place for documents."""
    place = KubernetesRecords(servers.cluster, servers.folder)
    yield place
    place.close()
