"""The servers of examples/consumers, each with what keyturn delivers, before and after a rotation."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from keyturn.sandbox import Sandbox
from tests.support.process import bare_environment, free_port, run, wait_until
from tests.support.tools import tool

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/consumers"
ASK = Path(__file__).parent / "n8n/ask.mjs"
INSTALLED = ROOT / ".venv-nightly"
"""What `make nightly` has installed: LiteLLM, and in `n8n` the packages of Node."""
pytestmark = pytest.mark.timeout(900)  # the proxy imports for 20 seconds of a whole core
MASTER = f"sk-{secrets.token_hex(32)}"
MANIFEST = """
apiVersion: keyturn/v1
name: nightly
targets: {env: {type: dotenv, root: ./secrets}}
records: {target: local}
keys:
  report-bot:
    name: report-bot
    adopt: {secret: regenerate}
    rotation: {strategy: in-place}
    smoke: {model: llama3.3-70b-instruct}
    deliver: [{target: env, path: report.env, field: MODEL_ACCESS_KEY}]
"""


class Office:
    """A manifest that delivers to the file, and what may be done with it."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.file = folder / "secrets/report.env"
        (folder / "keyturn.yaml").write_text(MANIFEST)
        (folder / "secrets").mkdir()

    def keyturn(self, *args: str) -> None:
        """Run keyturn to its good end."""
        environment = bare_environment(**self.sandbox.exports)
        done = run([sys.executable, "-m", "keyturn.cli", *args], env=environment, cwd=self.folder, seconds=120)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A sandbox with the key, delivered once."""
    with Sandbox() as sandbox:
        made = Office(tmp_path, sandbox)
        sandbox.panel_create("report-bot")
        made.keyturn("apply", "--yes")
        yield made


@contextmanager
def proxy(office: Office) -> Iterator[str]:
    """Start LiteLLM's proxy as a shell does that reads the file; yield its URL."""
    port = free_port()
    options = f'--config "{EXAMPLES}/litellm/config.yaml" --host 127.0.0.1 --port {port}'
    command = f'set -a; . "{office.file}"; exec "{INSTALLED}/bin/litellm" {options}'
    environment = bare_environment(
        HOME=str(office.folder),
        INFERENCE_BASE=f"{office.sandbox.url}/v1",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_MASTER_KEY=MASTER,
    )
    log = (office.folder / "proxy.log").open("w")
    process = subprocess.Popen(["/bin/sh", "-c", command], env=environment, cwd=office.folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, (office.folder / "proxy.log").read_text()[-2000:]
        try:
            return httpx.get(f"{url}/health/liveliness", timeout=2).is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(ready, "the proxy", seconds=300)
        yield url
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def ask(url: str) -> tuple[int, str]:
    """Ask the proxy for a completion; return its status and the text."""
    body = {"model": "llama", "messages": [{"role": "user", "content": "ping"}]}
    headers = {"authorization": f"Bearer {MASTER}"}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=60)
    return answer.status_code, answer.json()["choices"][0]["message"]["content"] if answer.is_success else ""


def test_the_proxy_of_litellm_answers_with_what_was_delivered(office: Office) -> None:
    """A proxy that was not restarted after a rotation is refused; a new one answers."""
    with proxy(office) as url:
        assert ask(url) == (200, "pong")
        office.keyturn("rotate", "report-bot", "--yes")
        assert ask(url)[0] == 401
    with proxy(office) as url:
        assert ask(url) == (200, "pong")


def test_the_credential_of_n8n_is_what_digitaloceans_node_takes(office: Office) -> None:
    """The import writes n8n's own form, and the definitions of the node make a request of it that is answered."""
    imported = office.folder / "imported.json"
    command = office.folder / "bin/n8n"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\n[ "$1" = import:credentials ] && cp "${{2#--input=}}" "{imported}"\n')
    command.chmod(0o755)
    environment = bare_environment(PATH=f"{command.parent}:{os.environ['PATH']}")

    def bring() -> None:
        done = run([sys.executable, EXAMPLES / "n8n/import_credential.py", office.file], env=environment)
        assert done.returncode == 0, done.stderr

    def use() -> dict[str, object]:
        asked = run([tool("node"), ASK, imported, office.sandbox.url], cwd=INSTALLED / "n8n")
        assert asked.returncode == 0, asked.stderr
        answer: dict[str, object] = json.loads(asked.stdout)
        return answer

    bring()
    assert use() == {"test": 200, "status": 200, "text": "pong"}
    office.keyturn("rotate", "report-bot", "--yes")
    assert use() == {"test": 401, "status": 401, "text": ""}
    bring()
    assert use() == {"test": 200, "status": 200, "text": "pong"}
