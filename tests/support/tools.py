"""Programs of the machine that some tests need."""

from __future__ import annotations

import os
import shutil

import pytest


def tool(name: str) -> str:
    """Return the path of a program. Without it its tests are skipped, and pytest says why; with CI set they fail."""
    if found := shutil.which(name):
        return found
    if not os.environ.get("CI"):
        pytest.skip(f"*** this machine has no {name} ***")
    pytest.fail(f"this machine has no {name}")
