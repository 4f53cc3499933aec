"""`python -m tests.bench.policy`: prints how long a plan of 300 keys takes with a policy, beside one without."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from click.testing import CliRunner

from keyturn.cli import main as keyturn
from keyturn.sandbox import Sandbox

KEYS = 300
RUNS = 15
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
    """Run a command in this process and return its seconds of CPU, the sandbox's included."""
    began = time.process_time()
    done = CliRunner().invoke(keyturn, args, prog_name="keyturn")
    seconds = time.process_time() - began
    assert done.exit_code == code, done.output
    assert args[0] != "plan" or f"{KEYS} changes to {KEYS} keys" in done.stdout, done.output
    return seconds


def measure(folder: Path) -> tuple[float, float]:
    """Return the best seconds of CPU of a plan without a policy and with the drafted one, measured in turn.

    Each key needs an API key from the control panel, so a plan ends with 1.
    """
    manifest, policy = str(folder / "keyturn.yaml"), str(folder / "policy/policy.yaml")
    Path(manifest).write_text(HEAD + "".join(map(KEY.format, range(KEYS))), encoding="utf-8")
    Path(policy).parent.mkdir()
    run("policy", "init", "-f", manifest, "--out", policy, code=0)
    plan = ("plan", "-f", manifest)
    pairs = [(run(*plan, code=1), run(*plan, "--policy", policy, code=1)) for _ in range(RUNS)]
    return min(bare for bare, _ in pairs), min(held for _, held in pairs)


def main() -> int:
    """Fail if the plan with a policy takes more than `LIMIT` times as long."""
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        os.environ.update(sandbox.exports)
        bare, held = measure(Path(folder))
    ratio = held / bare
    print(f"plan of {KEYS} keys: {bare:.2f} s, with a policy {held:.2f} s, {ratio:.2f} times; best of {RUNS}")
    print(f"limit: {LIMIT} times; {'held' if ratio <= LIMIT else 'broken'}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
