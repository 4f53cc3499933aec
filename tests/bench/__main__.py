"""`python -m tests.bench`: prints how long the front door takes, beside what it cannot do without."""

from __future__ import annotations

import sys
import time

from tests.support.process import run

RUNS = 15
LIMIT = 1.5
BARE = [sys.executable, "-c", "import click"]
HELP = [sys.executable, "-m", "keyturn.cli", "-h"]


def seconds(command: list[str]) -> float:
    """Return how long one run of a command takes."""
    began = time.perf_counter()
    run(command).check_returncode()
    return time.perf_counter() - began


def main() -> int:
    """Measure in turn, take the best of each, and fail where help is slower than `LIMIT` times `import click`."""
    bare, front = (min(times) for times in zip(*((seconds(BARE), seconds(HELP)) for _ in range(RUNS)), strict=True))
    ratio = front / bare
    print(f"keyturn -h: {front * 1000:.0f} ms, {ratio:.2f} times `import click` ({bare * 1000:.0f} ms); best of {RUNS}")
    print(f"limit: {LIMIT} times; {'held' if ratio <= LIMIT else 'broken'}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
