"""Streams: a reader that leaves, a terminal, a stream that cannot show every letter, signals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from keyturn.cli.console import Screen
from keyturn.report.lines import Span, Tone, line
from tests.support.hostile import NAMES, breaches
from tests.support.process import bare_environment, run, start

if TYPE_CHECKING:
    from pathlib import Path

KEYTURN = [sys.executable, "-m", "keyturn.cli"]
PAINT = """
import sys
from keyturn.cli.console import Screen
from keyturn.report.lines import Span, Tone, line
screen = Screen()
screen.no_color = "plain" in sys.argv
screen.result([line("  ", Span("[bold]bot[/bold]", Tone.BAD), " :smiley: " + "x" * 300)])
"""


def test_a_reader_that_leaves_changes_no_exit_code() -> None:
    """`keyturn schema manifest | head -1` ends without a word, with the command's own exit code."""
    command = f"'{sys.executable}' -m keyturn.cli schema manifest | head -c 1; exit ${{PIPESTATUS[0]}}"
    answer = run(["bash", "-c", command])
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "{", "")


def test_a_terminal_gets_colours_and_no_markup() -> None:
    """On a terminal a name in brackets stays a name in brackets. A long line is folded between words, never in one."""
    shown = on_a_terminal()
    assert "\x1b[1;31m[bold]bot[/bold]\x1b[0m :smiley:\r\n      " + "x" * 300 in shown


def test_no_color() -> None:
    """`--no-color` and NO_COLOR leave plain text, on a terminal too."""
    assert "\x1b" not in on_a_terminal("plain")
    assert "\x1b" not in on_a_terminal(NO_COLOR="1")


def on_a_terminal(*args: str, **variables: str) -> str:
    """Return what a program paints on a terminal."""
    ours, theirs = pty.openpty()
    env = bare_environment(TERM="xterm", **variables)
    with start([sys.executable, "-c", PAINT, *args], env=env, stdout=theirs, stderr=subprocess.PIPE) as child:
        assert child.wait(30) == 0
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    return shown


def test_a_stream_that_cannot_show_a_letter_shows_its_escape() -> None:
    """An ASCII terminal is no crash."""
    answer = run(
        [sys.executable, "-c", PAINT.replace("[bold]", "\\u2192")], env=bare_environment(PYTHONIOENCODING="ascii")
    )
    assert answer.returncode == 0
    assert "\\u2192bot" in answer.stdout


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_errors_and_talk_are_safe(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever an error's text quotes, stderr gets no raw escape and no command for a CI runner."""
    screen = Screen()
    screen.error(f"{name}: not found\n{name}")
    screen.say(name)
    screen.inform([line(Span(name, Tone.NAME))])
    shown = capsys.readouterr()
    assert (breaches(shown.err), shown.out) == ([], "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_sandbox_stops_by_signal(number: signal.Signals, code: int) -> None:
    """It prints its exports first, then serves until a signal, and says which by its exit code."""
    with start([*KEYTURN, "sandbox", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first.startswith("export KEYTURN_API_URL=http://127.0.0.1:")
        child.send_signal(number)
        assert child.wait(30) == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_reads_stops_by_signal(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """A plan that waits for a silent server ends at once, in one line, without a traceback."""
    (tmp_path / "keyturn.yaml").write_text("")
    program = f"""
import os, sys, time
import keyturn.cli.session as work
def silent(*_, **__):
    print("ready", flush=True)
    for _ in range(600):
        time.sleep(0.1)  # Python does not hear what arrives in the moment before a sleep until that ends
work.load_all = silent
from keyturn.cli import main
main(["plan", "-f", {os.fspath(tmp_path)!r}], "keyturn")
"""
    with start([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        assert child.wait(30) == code
        assert child.stderr.read().strip().startswith("Stopped by ")


def test_a_port_that_is_taken_is_told() -> None:
    """The sandbox says which port, in one line."""
    with start([*KEYTURN, "sandbox", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = child.stdout.readline().strip().rsplit(":", 1)[1]
        answer = run([*KEYTURN, "sandbox", "--port", port])
    assert (answer.returncode, answer.stdout) == (1, "")
    assert f"port {port}: the sandbox cannot listen" in answer.stderr


def test_wrong_ready_made_keys_are_told(tmp_path: Path) -> None:
    """A list of keys that is none is exit code 3."""
    (tmp_path / "keys.yaml").write_text("- {nome: bot}\n")
    answer = run([*KEYTURN, "sandbox", "--port", "0", "--keys", tmp_path / "keys.yaml"])
    assert answer.returncode == 3
    assert "item 1" in answer.stderr
