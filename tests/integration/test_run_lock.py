"""The lock of a run as other processes see it: killed, stopped and forked ones."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyturn.engine.run_lock import Runs
from tests.support.process import start, wait_until

HOLDER = """
import sys, time
from pathlib import Path
from keyturn.engine.run_lock import Runs
with Runs([Path(sys.argv[1])]).hold() as run:
    print(run.id, flush=True)
    sys.stdin.read()
"""

FORKER = """
import os, sys, time
from pathlib import Path
from keyturn.engine.run_lock import Runs
with Runs([Path(sys.argv[1])]).hold() as run:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    print(run.id, flush=True)
    sys.stdin.read()
"""

LEAVER = """
import os, sys
from pathlib import Path
from keyturn.engine.run_lock import Runs
with Runs([Path(sys.argv[1])]).hold() as run:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        print(run.id, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A runtime directory that does not exist yet."""
    return tmp_path / "runs"


@contextmanager
def other_process(directory: Path, program: str = HOLDER) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that holds a run until its standard input ends."""
    with start([sys.executable, "-c", program, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield child, child.stdout.readline().strip()


def test_a_killed_process_is_seen_dead_at_once(directory: Path) -> None:
    """SIGKILL leaves the file, and the kernel unlocks it."""
    runs = Runs([directory])
    with other_process(directory) as (child, run):
        assert runs.alive(run) is True
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        assert runs.alive(run) is False


def test_a_stopped_process_is_still_alive(directory: Path) -> None:
    """A process that stands still may go on; its run is not taken over."""
    with other_process(directory) as (child, run):
        child.send_signal(signal.SIGSTOP)
        assert Runs([directory]).alive(run) is True


def test_a_forked_child_does_not_keep_a_dead_parents_run_alive(directory: Path) -> None:
    """A child release the lock that it shares; it lives on, in the group that the test ends."""
    with other_process(directory, FORKER) as (child, run):
        assert Runs([directory]).alive(run) is True
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        # The forked child releases it on its way out of the fork, which may be after its parent's death.
        wait_until(lambda: Runs([directory]).alive(run) is False, "the lock is free", seconds=10)


def test_a_forked_child_that_leaves_the_block_removes_nothing(directory: Path) -> None:
    """The file is its parent's."""
    with other_process(directory, LEAVER) as (_, run):
        assert Runs([directory]).alive(run) is True
