"""What importing the package costs, in a process of its own."""

from __future__ import annotations

import sys

from tests.support.process import run


def test_importing_the_package_imports_no_library() -> None:
    """`import keyturn` costs nothing: the version can be read without loading any dependency."""
    program = "import keyturn, sys; print(sorted({'click', 'httpx', 'pydantic', 'rich', 'yaml'} & sys.modules.keys()))"
    assert run([sys.executable, "-c", program]).stdout == "[]\n"
