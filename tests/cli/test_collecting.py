"""How often Python looks for cycles among objects: seldom in a command that ends, often in one that goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.site import manifest
from tests.support.process import bare_environment, run

ADDRESS = "https://vault.example.com:8200"
VALIDATE = """
import gc, sys
from keyturn.cli import main
slow = []
gc.callbacks.append(lambda phase, found: slow.append(gc.get_count()[0]) if phase == "start" else None)
try:
    main(["validate"], prog_name="keyturn")
finally:
    print([count for count in slow if count > 50_000], file=sys.stderr)
"""
SERVE = """
import gc, sys
from keyturn.cli import main
from keyturn.engine.signals import Signals
def entered(self):
    print(gc.get_threshold()[0] <= 100_000)
    sys.exit(0)
Signals.__enter__ = entered
main(sys.argv[1:], prog_name="keyturn")
"""


def test_a_large_manifest_is_read_without_a_look_at_it(tmp_path: Path) -> None:
    """A look at what 1,000 keys are made of finds nothing, and would be a large part of the command."""
    (tmp_path / "keyturn.yaml").write_text(manifest(1000, ADDRESS), encoding="utf-8")
    done = run([sys.executable, "-c", VALIDATE], cwd=tmp_path, env=bare_environment(VAULT_ADDR=ADDRESS))
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert done.stdout.endswith(": 1000 keys, 1 target. OK.\n")


@pytest.mark.parametrize("args", [("run",), ("operator",)], ids=" ".join)
def test_a_command_that_goes_on_collects_what_it_left(tmp_path: Path, args: tuple[str, ...]) -> None:
    """Cycles of errors that nobody holds any more take memory until Python looks."""
    done = run([sys.executable, "-c", SERVE, *args], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
