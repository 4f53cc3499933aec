"""A program that cannot be killed holds up no run."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from keyturn.engine import programs


def test_a_program_of_another_user_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the deadline and a moment of patience the run goes on, and says that the program does, too."""
    left: list[int] = []

    def forbidden(group: int, _: int) -> None:
        left.append(group)
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "killpg", forbidden)
        patched.setattr(programs, "PATIENCE", 0.2)
        begun = time.monotonic()
        why = programs.run([sys.executable, "-c", "import time; time.sleep(30)"], {}, seconds=0.3)
    assert time.monotonic() - begun < 10
    assert "cannot be killed" in why
    (group,) = left
    os.killpg(group, signal.SIGKILL)
    for thread in threading.enumerate():
        if thread.name == "program":
            thread.join(10)
