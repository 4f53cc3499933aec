"""The dotenv target across processes, and without its library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that the user nobody may write to."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    if not os.geteuid():
        for one in (folder, *folder.parents[:4]):
            if one.stat().st_uid == 0:
                one.chmod(one.stat().st_mode | 0o111)
        os.chown(folder, NOBODY, NOBODY)
    return folder


def test_processes_lose_nothing_together(root: Path) -> None:
    """Several keyturns write to one file: each waits for the others."""
    script = """
import sys
from pathlib import Path
from keyturn.core.secret import Secret
from keyturn.targets.base import TargetContext
from keyturn.targets.dotenv import DotenvTarget
target = DotenvTarget(TargetContext("env", {"root": sys.argv[1]}, base=sys.argv[1]))
for number in range(20):
    target.write("app.env", f"NAME_{sys.argv[2]}_{number}", Secret("x"), None, lambda: None)
"""
    children = [subprocess.Popen([sys.executable, "-c", script, str(root), str(number)]) for number in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert len((root / "app.env").read_text().splitlines()) == 60


def test_without_python_dotenv_other_formats_work_and_the_extra_is_named() -> None:
    """`format: json` and `format: shell` need no library."""
    script = """
import sys
sys.modules["dotenv"] = None
from keyturn.core.errors import InputError
from keyturn.targets import registry
from keyturn.targets.base import TargetContext
for form in ("json", "shell"):
    registry.make("dotenv", TargetContext("env", {"format": form}))
try:
    registry.make("dotenv", TargetContext("env", {}))
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "Install keyturn[dotenv]," in done.stdout
