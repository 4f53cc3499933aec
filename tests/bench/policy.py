"""A plan with an operator's policy beside the same without one, in seconds of CPU, the sandbox's included."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from click.testing import CliRunner

from keyturn.cli import main as keyturn
from keyturn.sandbox import Sandbox
from tests.bench.figures import Figure, at_most, interleaved

KEYS = 300
ROUNDS = 40
LIMIT = 1.1
HEAD = """\
apiVersion: keyturn/v1
name: bench
records: {target: local}
targets: {env: {type: dotenv}}
keys:
"""
KEY = "  key-{0}: {{deliver: [{{target: env, path: '{0}.env', field: KEY}}], smoke: {{model: openai-gpt-oss-20b}}}}\n"


def run(*args: str, code: int) -> float:
    """Run a command in this process and return its seconds of CPU."""
    began = time.process_time()
    done = CliRunner().invoke(keyturn, args, prog_name="keyturn")
    seconds = time.process_time() - began
    assert done.exit_code == code, done.output
    assert args[0] != "plan" or f"{KEYS} changes to {KEYS} keys" in done.stdout, done.output
    return seconds


def measure() -> Sequence[Figure]:
    """Measure both in turn. Each key needs an API key from the control panel, so a plan ends with 1."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox, mock.patch.dict(os.environ, sandbox.exports):
        manifest, policy = str(Path(folder) / "keyturn.yaml"), str(Path(folder) / "policy/policy.yaml")
        Path(manifest).write_text(HEAD + "".join(map(KEY.format, range(KEYS))), encoding="utf-8")
        Path(policy).parent.mkdir()
        run("policy", "init", "-f", manifest, "--out", policy, code=0)
        plan = ("plan", "-f", manifest)
        bare, held = f"plan, {KEYS} keys", "with a policy"
        tasks = {bare: lambda: run(*plan, code=1), held: lambda: run(*plan, "--policy", policy, code=1)}
        return [at_most("policy", LIMIT, interleaved(ROUNDS, tasks), held, bare)]
