"""`validate` of many keys beside libyaml alone, which turns the same file into plain data."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.door import seconds
from tests.bench.figures import Figure, at_most, interleaved
from tests.bench.site import manifest

KEYS = 1000
ROUNDS = 40
LIMIT = 4
BARE = "import sys, yaml; yaml.load(open(sys.argv[1], 'rb'), yaml.CSafeLoader)"


def measure() -> Sequence[Figure]:
    """Measure both in turn, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keyturn.yaml"
        file.write_text(manifest(KEYS, "https://vault.example.com:8200"), encoding="utf-8")
        ours, theirs = f"validate, {KEYS} keys", "libyaml"
        tasks = {
            ours: lambda: seconds("-m", "keyturn.cli", "validate", "-f", str(file)),
            theirs: lambda: seconds("-c", BARE, str(file)),
        }
        return [at_most("validate", LIMIT, interleaved(ROUNDS, tasks), ours, theirs)]
