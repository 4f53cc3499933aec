"""`python -m tests.bench [FIGURE…]`: prints the figures as a table, and writes build/bench.json.

Without arguments all are measured. The exit code is 1 if a goal is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tests.bench.figures import Figure, table, write

FIGURES = ("door", "validate", "policy", "many", "rest", "outage", "rotations", "pulumi", "operator")
RESULT = Path("build/bench.json")


def main(names: Sequence[str]) -> int:
    """Measure these figures, or all."""
    if unknown := set(names) - set(FIGURES):
        print(f"there is no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}", file=sys.stderr)
        return 3
    found: list[Figure] = []
    for name in names or FIGURES:
        print(f"measures {name}", file=sys.stderr)
        found += import_module(f"tests.bench.{name}").measure()
    print(table(found))
    write(RESULT, found)
    return 0 if all(one.met for one in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
