"""The demo, as a new user runs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from keyturn.cli.demo import QUICKSTART
from tests.cli.conftest import QUICKSTART as EXAMPLE
from tests.support.process import bare_environment, run, start

if TYPE_CHECKING:
    from pathlib import Path

DEMO = [sys.executable, "-m", "keyturn.cli", "demo"]


def test_the_demo_uses_the_quickstart() -> None:
    """One manifest: what the demo plays is the example that people read."""
    assert EXAMPLE.read_text() == QUICKSTART.read_text()


def test_the_demo_shows_a_whole_life_and_its_last_line_is_the_proof(tmp_path: Path) -> None:
    """Within a minute a key is adopted, rotated, renamed, another deleted, and the delivered secret accepted."""
    began = time.monotonic()
    answer = run(DEMO, env=bare_environment(TMPDIR=str(tmp_path)), seconds=120)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert time.monotonic() - began < 90
    last = answer.stdout.splitlines()[-1]
    assert last.startswith("The delivered secret was accepted (HTTP 200 ")
    told = re.search(r"a consumer sent (\d+) requests meanwhile; 0 were refused", answer.stdout)
    assert told is not None
    assert int(told[1]) > 10
    assert answer.stdout.count("proven: ") == 9
    assert list(tmp_path.glob("keyturn-demo-*")) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_demo_leaves_nothing_behind(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """Ctrl-C ends its OpenBao and removes its folder; the exit code is the signal's."""
    env = bare_environment(TMPDIR=str(tmp_path))
    with start(DEMO, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        for told in child.stdout:
            if "exit code 0" in told:
                break
        servers = descendants(child.pid)
        child.send_signal(number)
        assert child.wait(30) == code
    assert servers
    assert [pid for pid in servers if alive(pid)] == []
    assert list(tmp_path.glob("keyturn-demo-*")) == []


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True).stdout  # noqa: S607
    pairs = [tuple(map(int, row.split())) for row in listing.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def alive(pid: int) -> bool:
    """Tell whether a process exists."""
    return subprocess.run(["ps", "-p", str(pid)], check=False, capture_output=True).returncode == 0  # noqa: S607
