"""The executable `pulumi-resource-keyturn`, which engines start.

An up starts it two or three times and waits for each start, so what it imports is what every up takes longer.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import LazyLoader, find_spec, module_from_spec
from types import ModuleType

LATER = frozenset({"pulumi.automation", "pulumi.dynamic", "pulumi.policy"})
"""What the library imports for programs only, with libraries of its own. It is loaded when it is first used."""

AROUND = ("asyncio", "grpc.aio", "pulumi", "pulumi.runtime")
"""The packages around the protocol: for servers and programs of another kind. They take longer than the protocol."""

OBJECTS = 100_000
"""How many objects are made before Python looks for cycles among them. Nearly all that an import makes stays in use."""


class Later:
    """Finds the modules of LATER, and puts off their loading; and the packages of AROUND that are made already."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return how a module of LATER or AROUND is loaded, None for every other one."""
        spec = PathFinder.find_spec(name, path, target) if name in {*LATER, *_made} else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Filling(name, str(spec.origin)) if name in _made else LazyLoader(spec.loader)
        return spec


class _Filling(SourceFileLoader):
    """Loads a package into the module that `load_protocol` made: the protocol is a part of it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return _made[spec.name]


_made: dict[str, ModuleType] = {}


def load_protocol() -> None:
    """Import the protocol alone. The packages of AROUND stay empty for that; who imports them later gets them whole.

    A protocol that needs them is imported with them, by the first module that uses it.
    """
    if "pulumi" in sys.modules:
        return
    with suppress(ImportError, AttributeError):
        for name in AROUND:
            if name not in sys.modules and (spec := _found(name)) is not None:
                _made[name] = sys.modules[name] = module_from_spec(spec)
        import_module("pulumi.runtime.proto")
    for name in _made:
        del sys.modules[name]
        parent, _, last = name.rpartition(".")
        if parent in sys.modules:  # or `from grpc import aio` would find the empty one
            vars(sys.modules[parent]).pop(last, None)


def _found(name: str) -> ModuleSpec | None:
    """Return where a package is, without the import of what it is in."""
    parent = name.rpartition(".")[0]
    around = _found(parent) if parent else None
    return PathFinder.find_spec(name, around.submodule_search_locations if around else None)


def main() -> int:
    """Serve an engine, or return 1 and say what is missing: the executable is installed without its extra, too."""
    if find_spec("pulumi") is None:
        missing = "pulumi-resource-keyturn needs the Python library pulumi, which is not installed. "
        sys.stderr.write(f"{missing}Install keyturn[pulumi], as its README says.\n")
        return 1
    gc.set_threshold(OBJECTS)
    atexit.register(gc.freeze)  # or the exit looks for cycles in all that was imported
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # they are told of all that is parsed, secrets too
    sys.meta_path.insert(0, Later)
    load_protocol()
    # httpx brings a command line of its own, and rich and pygments with it: they take longer than all of httpx.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None means: there is none
    from keyturn_provider.plugin.serve import serve

    serve()
    return 0
