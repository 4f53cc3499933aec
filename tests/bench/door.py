"""The front door: `keyturn -h` beside the import of the library that parses its options."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tests.bench.figures import Figure, at_most, interleaved
from tests.support.process import run

ROUNDS = 15
LIMIT = 1.3
HELP, BARE = "keyturn -h", "import click"


def seconds(*command: str) -> float:
    """Return how long a run of Python takes."""
    began = time.perf_counter()
    run([sys.executable, *command]).check_returncode()
    return time.perf_counter() - began


def measure() -> Sequence[Figure]:
    """Measure both in turn."""
    tasks = {HELP: lambda: seconds("-m", "keyturn.cli", "-h"), BARE: lambda: seconds("-c", BARE)}
    return [at_most("help", LIMIT, interleaved(ROUNDS, tasks), HELP, BARE)]
