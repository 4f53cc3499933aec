"""The executable `pulumi-resource-keyturn`, which engines start.

An up starts it two or three times and waits for each start, so what it imports is what every up takes longer.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader, find_spec
from types import ModuleType

LATER = frozenset({"pulumi.automation", "pulumi.dynamic", "pulumi.policy"})
"""What the library imports for programs only, with libraries of its own. It is loaded when it is first used."""

OBJECTS = 100_000
"""How many objects are made before Python looks for cycles among them. Nearly all that an import makes stays in use."""


class Later:
    """Finds the modules of LATER, and puts off their loading."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return how a module of LATER is loaded, None for every other one."""
        spec = PathFinder.find_spec(name, path, target) if name in LATER else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def main() -> int:
    """Serve an engine, or return 1 and say what is missing: the executable is installed without its extra, too."""
    if find_spec("pulumi") is None:
        missing = "pulumi-resource-keyturn needs the Python library pulumi, which is not installed. "
        sys.stderr.write(f"{missing}Install keyturn[pulumi], as its README says.\n")
        return 1
    gc.set_threshold(OBJECTS)
    sys.meta_path.insert(0, Later)
    from keyturn_provider.plugin.serve import serve

    serve()
    return 0
