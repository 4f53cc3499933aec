"""`python -m tests.bench [MODULE…]`: prints the figures as a table, and writes build/bench.json.

Without arguments all are measured. The exit code is 1 if a goal is missed. `python -m tests.bench table` measures
nothing, and prints the table of build/bench.json again.
"""

from __future__ import annotations

import compileall
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import keyturn
from tests.bench.figures import Figure, read, table, write

MODULES = ("door", "validate", "policy", "many", "rest", "outage", "rotations", "pulumi", "operator")
RESULT = Path("build/bench.json")


def main(names: Sequence[str]) -> int:
    """Measure the figures of these modules, or of all."""
    if list(names) == ["table"]:
        print(table(read(RESULT)))
        return 0
    if unknown := set(names) - set(MODULES):
        print(f"there is no module {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}", file=sys.stderr)
        return 3
    wanted = names or MODULES
    print(f"These modules of tests/bench run: {', '.join(wanted)}.", flush=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(keyturn.__file__).parent, quiet=1)  # as an installed package is
    found: list[Figure] = []
    for name in wanted:
        print(f"measures {name}", file=sys.stderr, flush=True)
        found += import_module(f"tests.bench.{name}").measure()
        write(RESULT, found)
    print(table(found))
    return 0 if all(one.met for one in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
