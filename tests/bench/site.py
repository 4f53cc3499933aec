"""A sandbox, a real OpenBao and a manifest with many keys at rest, both servers behind a link."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keyturn.sandbox import Sandbox
from tests.support.openbao import OpenBao
from tests.support.process import bare_environment, run, start

FAR = 0.02
"""Seconds between a request and its answer on the link, without the server's own."""
LONGEST = 900
"""Seconds that one command may take."""
HEAD = """\
apiVersion: keyturn/v1
name: bench
targets: {{vault: {{type: vault, address: "{address}"}}}}
defaults: {{smoke: {{model: openai-gpt-oss-20b}}}}
limits: {{rotations_per_run: 100000}}
keys:
"""
KEY = """\
  key-{number:05}:
    rotation: {{{rotation}}}
    deliver:
      - {{target: vault, path: apps/key-{number:05}, field: MODEL_ACCESS_KEY}}
"""
IN_PLACE = "strategy: in-place"


def manifest(count: int, address: str, rotation: str = IN_PLACE) -> str:
    """Return a manifest with so many keys, four lines each."""
    keys = (KEY.format(number=number, rotation=rotation) for number in range(count))
    return HEAD.format(address=address) + "".join(keys)


@dataclass(frozen=True)
class Site:
    """What a bench runs commands against. `log` lists the answers that passed the link."""

    folder: Path
    sandbox: Sandbox
    openbao: OpenBao
    environment: dict[str, str]
    log: Path
    link: subprocess.Popen[str]

    def far(self) -> None:
        """Delay what passes the link, from now on."""
        self.link.send_signal(signal.SIGUSR1)

    def keyturn(self, *args: str, code: int = 0) -> str:
        """Run a command and return what it wrote to stdout. Raises AssertionError for another exit code."""
        done = run([sys.executable, "-m", "keyturn.cli", *args], seconds=LONGEST, env=self.environment, cwd=self.folder)
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def seconds(self, *args: str) -> float:
        """Return how long a command takes, with the start of its process."""
        began = time.perf_counter()
        self.keyturn(*args)
        return time.perf_counter() - began

    def peer(self, *args: str) -> float:
        """Return the same for a peer that does not use keyturn."""
        began = time.perf_counter()
        done = run([sys.executable, "-m", "tests.bench.peers", *args], seconds=LONGEST, env=self.environment)
        assert done.returncode == 0, done.stderr[-2000:]
        return time.perf_counter() - began

    def answers(self) -> list[tuple[float, str]]:
        """Return the moment and the request of each answer that passed the link."""
        lines = (line.split(" ", 1) for line in self.log.read_text().splitlines())
        return [(float(moment), request) for moment, request in lines]


@contextmanager
def site(count: int, rotation: str = IN_PLACE, **settings: object) -> Iterator[Site]:
    """Start the servers and bring so many keys to rest; the link does not delay yet."""
    limits = {"create": "allowed", "minute_limit": 1_000_000, "hour_limit": 1_000_000} | settings
    with tempfile.TemporaryDirectory() as home, Sandbox(**limits) as sandbox, OpenBao(Path(home)) as openbao:  # type: ignore[arg-type]
        folder, log = Path(home), Path(home) / "link.log"
        command = [sys.executable, "-m", "tests.bench.link", str(FAR), str(log), sandbox.url, openbao.address]
        with start(command, stdout=subprocess.PIPE) as link:
            assert link.stdout is not None
            control, vault = (f"http://127.0.0.1:{link.stdout.readline().strip()}" for _ in range(2))
            exports = {**sandbox.exports, "KEYTURN_API_URL": control, "KEYTURN_INFERENCE_URL": control}
            tokens = {"VAULT_ADDR": vault, "VAULT_TOKEN": openbao.root_token}
            (folder / "keyturn.yaml").write_text(manifest(count, vault, rotation))
            made = Site(folder, sandbox, openbao, bare_environment(**exports, **tokens), log, link)
            made.keyturn("apply", "--yes", "--quiet")
            yield made
