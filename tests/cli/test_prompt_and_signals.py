"""Asking, and being stopped: real terminals and real signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.process import bare_environment, start

if TYPE_CHECKING:
    from tests.cli.conftest import Stage

KEYTURN = [sys.executable, "-m", "keyturn.cli"]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 4), ("\n", 4), ("\x04", 4)])
def test_apply_asks_on_a_terminal(stage: Stage, answer: str, code: int) -> None:
    """Only y and yes are consent; anything else, or the end of the input, does nothing and is 4."""
    stage.make_keys()
    ours, theirs = pty.openpty()
    command = [*KEYTURN, "apply", "report-bot", "--format", "json"]
    env = bare_environment(**stage.variables)
    with start(command, env=env, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        shown = ""
        while not shown.endswith("Apply this plan? [y/N]\n"):
            shown += child.stderr.readline()
        os.write(ours, answer.encode())
        document = json.loads(child.stdout.read())
        assert child.wait(60) == code
    os.close(theirs)
    os.close(ours)
    assert "adopt" in shown
    assert document["exit_code"] == code
    assert any(seen.mutating for seen in stage.sandbox.requests) == (code == 0)


ON_STDERR = (
    "import fcntl, os, sys, termios; fcntl.ioctl(2, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
)
"""Makes the terminal of stderr the one of the session, then becomes another program."""


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 4), (None, 4)])
def test_adopt_with_a_secret_from_a_pipe_asks_on_the_terminal(stage: Stage, answer: str | None, code: int) -> None:
    """The pipe holds the secret, so the answer comes from the session's terminal; without one the answer is no."""
    made = stage.sandbox.panel_create("report-bot")
    ours, theirs = pty.openpty()
    command = [*KEYTURN, "adopt", "report-bot", "--secret", "stdin", "--uuid", made.uuid, "--format", "json"]
    if answer:
        command = [sys.executable, "-c", ON_STDERR, *command]
    reading, writing = os.pipe()
    os.write(writing, made.secret.encode())
    os.close(writing)
    env = bare_environment(**stage.variables)
    with start(command, env=env, stdin=reading, stdout=subprocess.PIPE, stderr=theirs) as child:
        assert child.stdout is not None
        os.close(reading)
        os.close(theirs)
        shown = b""
        while answer and b"Apply this plan? [y/N]" not in shown:
            shown += os.read(ours, 65536)
        os.write(ours, (answer or "").encode())
        document = json.loads(child.stdout.read())
        assert child.wait(60) == code
    os.close(ours)
    assert document["exit_code"] == code
    assert made.secret.encode() not in shown
    if not code:
        assert stage.delivered("report") == made.secret


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_apply_reports_and_the_next_one_finishes(stage: Stage, number: signal.Signals, code: int) -> None:
    """Stopped while a fresh secret is checked: a report of what is open, the signal's code, and no loss."""
    stage.sandbox.change(propagation=3.0)
    stage.make_keys("report-bot")
    env = bare_environment(**stage.variables)
    command = [*KEYTURN, "apply", "report-bot", "--yes", "--format", "json"]
    with start(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for told in child.stderr:
            if "smoke-checks" in told:
                break
        child.send_signal(number)
        document = json.loads(child.stdout.read())
        assert child.wait(60) == code
        assert "the next `keyturn apply` continues from there" in child.stderr.read()
    assert [report["key"] for report in document["runs"][0]["reports"]] == ["report-bot"]
    stage.run("apply", "report-bot", "--yes")
    assert stage.alive(stage.delivered("report") or "")
