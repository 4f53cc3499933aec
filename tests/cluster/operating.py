"""Operators as processes on the API server of the tests, and one tenant with an account of its own for each test."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any
from uuid import uuid4

import httpx
import yaml

from keyturn.sandbox import Sandbox
from tests.blocks import ROOT, blocks
from tests.cluster.resources import MERGE, PATHS, Resources
from tests.support.process import bare_environment, free_port, start, wait_until

RBAC = "/apis/rbac.authorization.k8s.io/v1"
FIELD = "MODEL_ACCESS_KEY"
ALTERNATING = {"strategy": "alternating", "every": "720h"}
Conditions = Mapping[str, Mapping[str, Any]]


def documented_roles() -> dict[tuple[str, str], list[Any]]:
    """Return the rules of each role that docs/kubernetes.md prints for the operator, by kind and name."""
    written = [yaml.safe_load(block.text) for block in blocks(ROOT / "docs/kubernetes.md") if block.language == "yaml"]
    wanted = [one for one in written if one.get("kind") in {"ClusterRole", "Role"} and "use" not in str(one["rules"])]
    return {(role["kind"], role["metadata"]["name"]): role["rules"] for role in wanted}


@dataclass
class Replica:
    """One operator, running."""

    process: Popen[str]
    url: str
    log: Path

    def get(self, path: str) -> httpx.Response:
        """Ask its server."""
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=10)

    def ready(self) -> bool:
        """Tell whether it has begun."""
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@dataclass
class Cell:
    """A cluster with a sandbox, and the namespace of its operators."""

    resources: Resources
    sandbox: Sandbox
    folder: Path
    home: str
    token: str = ""
    kubeconfig: Path = Path()
    logs: list[Path] = field(default_factory=list)

    def prepare(self, *, watch_secrets: bool = False) -> None:
        """Make the rights of the operator, as documented, and the account token."""
        cluster, roles = self.resources.cluster, documented_roles()
        extra = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]}] if watch_secrets else []
        self.token = cluster.user({self.home: roles["Role", "keyturn-operator"]})
        self.user = json.loads(base64.urlsafe_b64decode(self.token.split(".")[1] + "=="))["sub"].rpartition(":")[2]
        self.subject = {"kind": "ServiceAccount", "name": self.user, "namespace": self.home}
        name = f"operator-{self.home}"
        rules = [*roles["ClusterRole", "keyturn-operator"], *extra]
        cluster.call("POST", f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        binding = {"metadata": {"name": name}, "subjects": [self.subject], "roleRef": role}
        cluster.call("POST", f"{RBAC}/clusterrolebindings", binding)
        self.kubeconfig = cluster.write_kubeconfig(self.folder / f"{name}.json", self.token)
        self.secret(self.home, "do-token", {"token": self.sandbox.exports["DIGITALOCEAN_TOKEN"]})

    def secret(self, namespace: str, name: str, values: Mapping[str, str], **metadata: object) -> None:
        """Make a Secret."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        body = {"metadata": {"name": name, **metadata}, "data": data}
        self.resources.cluster.call("POST", f"/api/v1/namespaces/{namespace}/secrets", body)

    def allow(self, namespace: str) -> None:
        """Let the operator deliver to a namespace."""
        cluster, rules = self.resources.cluster, documented_roles()["ClusterRole", "keyturn-deliveries"]
        rbac = f"{RBAC}/namespaces/{namespace}"
        cluster.call("POST", f"{rbac}/roles", {"metadata": {"name": "deliveries"}, "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "deliveries"}
        binding = {"metadata": {"name": "deliveries"}, "subjects": [self.subject], "roleRef": role}
        cluster.call("POST", f"{rbac}/rolebindings", binding)

    @contextmanager
    def operator(self, *options: str, name: str = "", quick: bool = True) -> Iterator[Replica]:
        """Run one; it is asked to end with the block. `quick`: in times that suit tests."""
        port, pod = free_port(), name or f"pod-{uuid4().hex[:6]}"
        log = self.folder / f"{pod}-{uuid4().hex[:4]}.log"
        self.logs.append(log)
        exports = {key: text for key, text in self.sandbox.exports.items() if "TOKEN" not in key}
        environment = bare_environment(
            KUBECONFIG=str(self.kubeconfig), POD_NAMESPACE=self.home, POD_NAME=pod, HOME=str(self.folder), **exports
        )
        which = ["tests.support.quick_operator"] if quick else ["keyturn.cli", "operator"]
        command = [sys.executable, "-m", *which, "--listen", f"127.0.0.1:{port}", *options]
        with (
            log.open("w") as sink,
            start(command, env=environment, cwd=ROOT, stdout=sink.fileno(), stderr=STDOUT) as process,
        ):
            replica = Replica(process, f"http://127.0.0.1:{port}", log)
            wait_until(replica.ready, "the operator", seconds=60)
            yield replica

    def tenant(self, **spec: object) -> Tenant:
        """Return a namespace with an account that only it may use."""
        namespace = self.resources.cluster.namespace()
        self.allow(namespace)
        return self.tenant_of(namespace, **spec)

    def tenant_of(self, namespace: str, **spec: object) -> Tenant:
        """Return the account of a namespace."""
        whole: dict[str, object] = {
            "tokenSecretRef": {"namespace": self.home, "name": "do-token"},
            "allowedNamespaces": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "defaults": {"adopt": {"secret": "regenerate"}, "rotation": ALTERNATING},
            **spec,
        }
        self.resources.account(f"of-{namespace}", **whole)
        return Tenant(self, namespace)


@dataclass
class Tenant:
    """A namespace and its account."""

    cell: Cell
    name: str

    @property
    def account(self) -> str:
        """The name of the account."""
        return f"of-{self.name}"

    def panel(self, *names: str) -> None:
        """Make API keys in the control panel."""
        for name in names:
            self.cell.sandbox.panel_create(name)

    def make(self, name: str = "bot", *, made: bool = True, **spec: object) -> None:
        """Make a ModelAccessKey; `made`: its API keys are there."""
        if made:
            self.panel(f"{self.name}-{name}-a", f"{self.name}-{name}-b")
        ref = {"kind": "ClusterKeyturnAccount", "name": self.account}
        self.cell.resources.make(self.name, name, **{"accountRef": ref, **spec})

    def read(self, name: str = "bot") -> dict[str, Any]:
        """Return a ModelAccessKey."""
        return self.cell.resources.cluster.call("GET", self.cell.resources.keys(self.name, name))

    def gone(self, name: str = "bot") -> bool:
        """Tell whether there is no such ModelAccessKey."""
        return self._missing(self.cell.resources.keys(self.name, name))

    def annotate(self, name: str, **annotations: str | None) -> None:
        """Annotate a ModelAccessKey."""
        body = {"metadata": {"annotations": {f"keyturn.dev/{key}": text for key, text in annotations.items()}}}
        self.cell.resources.cluster.call("PATCH", self.cell.resources.keys(self.name, name), body, **MERGE)

    def delete(self, name: str = "bot") -> None:
        """Delete a ModelAccessKey."""
        self.cell.resources.cluster.call("DELETE", self.cell.resources.keys(self.name, name))

    def conditions(self, name: str = "bot") -> Conditions:
        """Return the conditions of a ModelAccessKey by type."""
        return by_type(self.read(name).get("status", {}))

    def read_account(self) -> dict[str, Any]:
        """Return the account."""
        return self.cell.resources.cluster.call("GET", self._account)

    def change_account(self, spec: Mapping[str, object]) -> None:
        """Change the spec of the account."""
        self.cell.resources.cluster.call("PATCH", self._account, {"spec": spec}, **MERGE)

    def annotate_account(self, **annotations: str) -> None:
        """Annotate the account."""
        body = {"metadata": {"annotations": {f"keyturn.dev/{key}": text for key, text in annotations.items()}}}
        self.cell.resources.cluster.call("PATCH", self._account, body, **MERGE)

    def account_conditions(self) -> Conditions:
        """Return the conditions of the account."""
        return by_type(self.read_account().get("status", {}))

    @property
    def _account(self) -> str:
        return f"{PATHS['ClusterKeyturnAccount']}/{self.account}"

    def record(self, name: str) -> dict[str, Any]:
        """Return the record of a key."""
        digest = hashlib.sha256(f"keyturn/keys/{self.name}.{name}".encode()).hexdigest()[:40]
        path = f"/api/v1/namespaces/{self.cell.home}/secrets/keyturn-{digest}"
        (text,) = self.cell.resources.cluster.call("GET", path)["data"].values()
        return dict(json.loads(base64.b64decode(text)))

    def holder(self) -> str:
        """Return who has the Lease of the account, empty if nobody has, or ever had."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.cell.home}/leases/keyturn-account-{self.account}"
        return (
            "" if self._missing(path) else str(self.cell.resources.cluster.call("GET", path)["spec"]["holderIdentity"])
        )

    def delivered_once(self, *names: str) -> bool:
        """Tell whether each of these keys got one secret, and its delivery holds it."""
        states = [self.read(name)["status"] for name in names]
        return all(one["keyGeneration"] == 1 and one["deliveries"][0]["state"] == "Held" for one in states)

    def looks(self) -> int:
        """Count the lists of API keys that were asked for."""
        return sum(one.op == "list" for one in self.cell.sandbox.requests)

    def lose(self, *names: str) -> None:
        """Make a secret refused: someone regenerates the API keys in the control panel."""
        for name in names:
            for one in self.read(name)["status"]["apiKeys"]:
                self.cell.sandbox.by_hand("regenerate", one["uuid"])

    def touch(self, *names: str) -> None:
        """Change the Secrets of these names, so that an operator that watches Secrets verifies them."""
        for name in names:
            path = f"/api/v1/namespaces/{self.name}/secrets/{name}"
            self.cell.resources.cluster.call("PATCH", path, {"metadata": {"labels": {"touched": "yes"}}}, **MERGE)

    def value(self, name: str = "bot", key: str = FIELD) -> str:
        """Return what a consumer reads, empty if there is nothing."""
        path = f"/api/v1/namespaces/{self.name}/secrets/{name}"
        if self._missing(path):
            return ""
        data = self.cell.resources.cluster.call("GET", path).get("data") or {}
        return base64.b64decode(data.get(key, "")).decode()

    def is_ready(self, name: str = "bot") -> bool:
        """Tell whether it is ready and has been looked at as it is now, and the API accepts what a consumer reads."""
        found = self.read(name)
        ready = by_type(found.get("status", {})).get("Ready", {})
        current = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
        return current and ready.get("status") == "True" and self.cell.sandbox.accepts(self.value(name))

    def until(self, condition: Callable[[], bool], what: str, *, seconds: float = 60) -> None:
        """Wait; a failure shows the conditions and the end of each log."""
        try:
            wait_until(condition, what, seconds=seconds, every=0.1)
        except TimeoutError as error:
            listed = self.cell.resources.cluster.call("GET", self.cell.resources.keys(self.name))["items"]
            shown = [(one["metadata"]["name"], one.get("status")) for one in listed]
            logs = "\n".join(log.read_text()[-1500:] for log in self.cell.logs)
            raise AssertionError(f"{error}\n{json.dumps(shown, indent=1)}\n{logs}") from None

    def ready(self, *names: str, seconds: float = 60) -> None:
        """Wait until keys are ready."""
        for name in names or ("bot",):
            self.until(partial(self.is_ready, name), f"{name} is ready", seconds=seconds)

    def events(self) -> list[dict[str, Any]]:
        """Return the Events of the namespace."""
        found: list[dict[str, Any]] = self.cell.resources.cluster.call("GET", f"/api/v1/namespaces/{self.name}/events")[
            "items"
        ]
        return found

    def mints(self) -> int:
        """Count the secrets that were made of this tenant's API keys."""
        mine = {key.uuid for key in self.cell.sandbox.state.keys.values() if key.name.startswith(self.name)}
        return sum(one.op == "regenerate" and one.uuid in mine for one in self.cell.sandbox.requests)

    def _missing(self, path: str) -> bool:
        try:
            self.cell.resources.cluster.call("GET", path)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return True
            raise
        return False


def by_type(status: Mapping[str, Any]) -> Conditions:
    """Return conditions by type."""
    return {one["type"]: one for one in status.get("conditions", ())}
