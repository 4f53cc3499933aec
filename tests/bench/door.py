"""The front door: `keyturn -h` beside the import of the library that parses its options."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence

from tests.bench.figures import Figure, at_most, interleaved
from tests.support.process import run

ROUNDS = 40
LIMIT = 1.3
LONGEST = 120
HELP, BARE = "keyturn -h", "import click"


def seconds(*command: str) -> float:
    """Return the seconds of CPU of a run of Python: nothing here waits, and a busy machine does not change them."""
    before = _of_children()
    run([sys.executable, *command], seconds=LONGEST).check_returncode()
    return _of_children() - before


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure() -> Sequence[Figure]:
    """Measure both in turn."""
    tasks = {HELP: lambda: seconds("-m", "keyturn.cli", "-h"), BARE: lambda: seconds("-c", BARE)}
    return [at_most("help", LIMIT, interleaved(ROUNDS, tasks), HELP, BARE)]
