"""The executable `pulumi-resource-keyturn`, which engines start."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> int:
    """Serve an engine, or return 1 and say what is missing: the executable is installed without its extra, too."""
    if find_spec("pulumi") is None:
        missing = "pulumi-resource-keyturn needs the Python library pulumi, which is not installed. "
        sys.stderr.write(f"{missing}Install keyturn[pulumi], as its README says.\n")
        return 1
    from keyturn_provider.plugin.serve import serve

    serve()
    return 0
