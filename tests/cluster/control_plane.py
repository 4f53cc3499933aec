"""etcd and a Kubernetes API server on loopback, for one session of the tests.

The program is built once and kept. Anyone without Go gets a loud line, and skipped tests; where `CI` is set they fail.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster.audit import POLICY, Audit
from tests.support.go_program import built
from tests.support.process import bare_environment, end, free_port, start, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

MODULE = Path(__file__).parent / "server"
VERSION = "1.37.2"
"""That of `k8s.io/kubernetes` in the module: the server calls itself so, and clients read it."""

COMPONENT = "k8s.io/component-base/version"


def program() -> Path:
    """Return the program, building it where needed. Raises NoGo or RuntimeError like `built`."""
    major, minor, _ = VERSION.split(".")
    named = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    return built(MODULE, linked=" ".join(["-s -w", *(f"-X {COMPONENT}.{name}={text}" for name, text in named.items())]))


class Cluster:
    """One control plane, started by `with`; it ends with the block, and forgets all.

    `origin` is its URL, `authority` the text of its certificate, `admin` a token that may do anything. `audit` knows
    every write of a Secret. `pair` are the files of the certificate and its key.
    """

    def __init__(self, program: Path, home: Path) -> None:
        self.home = home
        self._program = program
        self.origin = ""
        self.authority = ""
        self.admin = secrets.token_hex(16)
        self.audit = Audit(home / "audit.log")
        self.pair = home / "certs/apiserver.crt", home / "certs/apiserver.key"
        self._running = contextlib.ExitStack()
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None, **headers: str) -> dict[str, Any]:
        """Call the API as its administrator, and return the answer. Raises `httpx.HTTPStatusError` for any refusal."""
        assert self._client
        answer = self._client.request(method, path, json=body, headers=headers)
        answer.raise_for_status()
        return dict(answer.json())

    def text(self, path: str) -> str:
        """Return an answer to its administrator that is no JSON."""
        assert self._client
        return self._client.get(path).raise_for_status().text

    def namespace(self) -> str:
        """Make a namespace and return its name."""
        name = f"test-{uuid4().hex[:12]}"
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def user(self, rights: Mapping[str, Sequence[Mapping[str, object]]]) -> str:
        """Return the token of a new service account whose roles have these rules, by namespace, and no others."""
        name, home = f"user-{uuid4().hex[:8]}", next(iter(rights))
        accounts = f"/api/v1/namespaces/{home}/serviceaccounts"
        self.call("POST", accounts, {"metadata": {"name": name}})
        for namespace, rules in rights.items():
            rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
            subject = {"kind": "ServiceAccount", "name": name, "namespace": home}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
            binding = {"metadata": {"name": name}, "subjects": [subject], "roleRef": role}
            self.call("POST", f"{rbac}/roles", {"metadata": {"name": name}, "rules": list(rules)})
            self.call("POST", f"{rbac}/rolebindings", binding)
        return self.login(home, name)

    def login(self, namespace: str, account: str) -> str:
        """Return one more token of a service account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.call("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"])

    def kubeconfig(self, token: str, name: str = "test", origin: str = "") -> dict[str, Any]:
        """Return a kubeconfig with one context, of a server at `origin` with this one's certificate."""
        authority = base64.b64encode(self.authority.encode()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [
                {"name": name, "cluster": {"server": origin or self.origin, "certificate-authority-data": authority}},
            ],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }

    def write_kubeconfig(self, file: Path, token: str) -> Path:
        """Write a kubeconfig with one context."""
        file.write_text(json.dumps(self.kubeconfig(token)))
        return file

    def _start(self) -> None:
        server, storage, peer = free_port(), free_port(), free_port()
        self.origin = f"https://127.0.0.1:{server}"
        kept = self.home / "etcd"
        etcd, between = f"http://127.0.0.1:{storage}", f"http://127.0.0.1:{peer}"
        self._run(
            "etcd",
            f"--data-dir={kept}",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={between}",
            f"--initial-advertise-peer-urls={between}",
            f"--initial-cluster=default={between}",
        )
        key = self.home / "sa.key"
        key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )
        tokens = self.home / "tokens.csv"
        tokens.write_text(f"{self.admin},admin,admin,system:masters\n")
        policy = self.home / "audit.json"
        policy.write_text(json.dumps(POLICY))
        self._arguments = (
            f"--etcd-servers={etcd}",
            f"--secure-port={server}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--cert-dir={self.pair[0].parent}",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.home / 'audit.log'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        )
        self._serve()

    def restart(self) -> None:
        """Kill the API server, and start it again with what it has stored."""
        end(self._server)
        self._serve()

    def _serve(self) -> None:
        child = self._server = self._run("apiserver", *self._arguments)
        wait_until(lambda: child.poll() is not None or self._ready(self.pair[0]), "the API server", seconds=120)
        if child.poll() is not None:
            raise RuntimeError(f"the API server did not start:\n{self._log('apiserver').read_text()[-2000:]}")

    def _ready(self, authority: Path) -> bool:
        if not authority.is_file() or not authority.read_text().endswith("-----END CERTIFICATE-----\n"):
            return False
        if self._client is None:
            self.authority = authority.read_text()
            headers = {"Authorization": f"Bearer {self.admin}"}
            self._client = self._running.enter_context(
                httpx.Client(
                    base_url=self.origin,
                    verify=ssl.create_default_context(cafile=authority),
                    headers=headers,
                    timeout=30,
                    trust_env=False,
                )
            )
        with contextlib.suppress(httpx.TransportError):
            return self._client.get("/readyz").status_code == httpx.codes.OK
        return False

    def _run(self, mode: str, *arguments: str) -> subprocess.Popen[str]:
        with self._log(mode).open("w") as sink:
            return self._running.enter_context(
                start(
                    [self._program, mode, *arguments],
                    env=bare_environment(HOME=str(self.home)),
                    cwd=self.home,
                    stdout=sink.fileno(),
                    stderr=subprocess.STDOUT,
                )
            )

    def _log(self, mode: str) -> Path:
        return self.home / f"{mode}.log"
