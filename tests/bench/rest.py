"""A plan, and an apply, of keys at rest, both servers 20 ms away, beside what reads the same without keyturn."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.figures import Figure, at_least, at_most, interleaved
from tests.bench.site import site

LIMIT, FASTER, APPLY = 1.2, 5, 1.1
SIZES = {300: 15, 1000: 9}
"""The numbers of keys, each with its rounds."""


def measure() -> Sequence[Figure]:
    """Measure each size on servers of its own."""
    return [figure for count, rounds in SIZES.items() for figure in _measured(count, rounds)]


def _measured(count: int, rounds: int) -> list[Figure]:
    plan, apply, bare = f"plan, {count} keys", f"apply, {count} keys", "httpx and hvac, 16 threads"
    threads, script = "pydo and hvac, 16 threads", "pydo and hvac, one by one"
    with site(count) as at:
        at.keyturn("plan", "--detailed-exitcode")  # 0: nothing is to be done
        at.far()
        tasks = {
            plan: lambda: at.seconds("plan", "--quiet"),
            bare: lambda: at.peer("limit", str(count)),
            threads: lambda: at.peer("threads", str(count)),
            apply: lambda: at.seconds("apply", "--yes", "--quiet"),
        }
        times = interleaved(rounds, tasks) | interleaved(1, {script: lambda: at.peer("script", str(count))})
    return [
        at_most(f"plan at rest, {count}", LIMIT, times, plan, bare),
        at_most(f"plan at rest, {count}, and a script in threads", LIMIT, times, plan, threads),
        at_least(f"plan at rest, {count}, and a script", FASTER, times, script, plan),
        at_most(f"apply at rest, {count}", APPLY, times, apply, plan),
    ]
