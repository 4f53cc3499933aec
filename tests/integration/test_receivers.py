"""Receivers at the edge: slow ones, dead ones, ones without a valid certificate, and programs that do not end."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyturn.core.model import Receiver
from keyturn.core.reasons import Condition
from keyturn.engine import programs
from keyturn.live import receivers
from keyturn.live.receivers import send_all
from keyturn.report.notices import Event, Notice
from tests.integration.test_digitalocean_tls import certificate, serve
from tests.support.listener import Listener
from tests.support.raw_http import RawServer, reply

__all__ = ["certificate", "serve"]

NOW = datetime(2026, 11, 30, 2, tzinfo=UTC)
TEXT = "bot: <!channel> & co"
ID = f"ntc_{1:032x}"
NOTICE = Notice(ID, NOW, Event.PARKED, "bot", "team", Condition.PARKED, "parked", TEXT, "", NOW, "run")
CHAT = Receiver("slack", "chat", ("parked",))


def send(url: str, *more: Receiver, notices: int = 1) -> dict[str, receivers.Sent]:
    """Send notices to a chat and to further receivers."""
    everyone = (CHAT, *more)
    return send_all({one.name: [NOTICE] * notices for one in everyone}, everyone, {"KEYTURN_NOTIFY_CHAT_URL": url})


@pytest.mark.parametrize("trusted", [False, True])
def test_a_certificate_is_checked(
    trusted: bool,
    serve: Callable[[Callable[[ssl.SSLSocket], None]], str],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that nobody vouches for gets nothing; SSL_CERT_FILE is the operator's word."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    got: list[bytes] = []

    def script(connection: ssl.SSLSocket) -> None:
        while b"since" not in b"".join(got):
            got.append(connection.recv(65536))
        connection.sendall(reply(200))

    sent = send(serve(script) + "/hook")["chat"]
    assert (sent.ids, bool(got)) == (({ID}, True) if trusted else (set(), False))
    assert sent.why == ("" if trusted else "no answer (ConnectError)")


def _drip(connection: socket.socket) -> None:
    """Send one byte now and then, for longer than anyone waits."""
    end = time.monotonic() + 8
    while time.monotonic() < end:
        connection.sendall(b"H")
        time.sleep(0.1)


def test_all_receivers_together_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that drips, and a program that sleeps: what is quick is told, the rest is left, in time."""
    monkeypatch.setattr(receivers, "DEADLINE", 1.5)
    monkeypatch.setattr(receivers, "REQUEST", 0.7)
    mark = tmp_path / "mark"
    sleeper = _program(tmp_path, f"import time; time.sleep(4); open({str(mark)!r}, 'w')")
    slow = Receiver("command", "slow", ("parked",), command=(sleeper,), allowed=True)
    quick = Receiver("command", "quick", ("parked",), command=("/bin/true",), allowed=True)
    never = Receiver("command", "never", ("parked",), command=("/bin/true",))
    with RawServer(_drip) as server:
        began = time.monotonic()
        sent = send(server.url, slow, quick, never)
        assert time.monotonic() - began < 4
    assert sent["quick"].ids == {ID}
    assert "no answer" in sent["chat"].why
    assert "was killed" in sent["slow"].why
    assert sent["never"].why == "the operator does not permit its program"
    time.sleep(max(0.0, 4.5 - (time.monotonic() - began)))
    assert not mark.exists()


def test_a_message_mentions_nobody() -> None:
    """And a URL that is a secret is in no reason."""
    with Listener() as listener:
        assert send(f"{listener.url}/T00/B00")["chat"].ids == {ID}
    assert "&lt;!channel&gt; &amp; co" in listener.log[0].notice["text"]
    assert "/T00/B00" not in repr(send(f"{listener.url}/T00/B00"))
    assert "/T00/B00" not in repr(send("https://[::1/T00/B00"))


def _program(folder: Path, text: str) -> str:
    file = folder / f"program-{len(list(folder.iterdir()))}"
    file.write_text(f"#!{sys.executable}\n{text}\n")
    file.chmod(0o700)
    return str(file)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("import sys; assert sys.stdin.read() == 'in'", ""),
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 15)", "was ended by signal 15"),
        ("import time; time.sleep(30)", "did not end within 1 s and was killed"),
        ("import subprocess, time; subprocess.Popen(['/bin/sleep', '30']); time.sleep(30)", "was killed"),
        ("print('x' * 1000000)", ""),
    ],
)
def test_how_a_program_ends(tmp_path: Path, text: str, failure: str) -> None:
    """Why it failed is said in a few words, and everything that it started is killed with it."""
    found = programs.run((_program(tmp_path, text),), {}, seconds=1 if "sleep" in text else 30, stdin="in")
    assert failure in found
    assert bool(failure) == bool(found)


def test_a_program_that_is_not_there() -> None:
    """As the system says it; its environment is no more than what it gets."""
    assert programs.run(("/no/such/program",), {}, seconds=1) == "/no/such/program cannot be started: " + os.strerror(2)
    assert programs.run(("/bin/sh", "-c", 'test -z "$HOME$KEYTURN_X"'), {}, seconds=10) == ""
