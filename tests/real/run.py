"""Runs of the command line: processes that can be waited for, signalled and killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from tests.support.process import start

Json = dict[str, Any]
SECONDS = 90.0
"""The longest that any run of the command line may take here."""
LEAKS = ("sk-do-", "dop_v1_", "Traceback")


class Run:
    """One run of the command line: a process that can be waited for, stopped, and killed."""

    def __init__(self, pid: int, folder: Path, ending: socket.socket | subprocess.Popen[bytes]) -> None:
        """Take a process that was started; its streams are files in `folder`."""
        self.pid = pid
        self.code: int | None = None
        self._folder = folder
        self._ending = ending

    @property
    def out(self) -> str:
        """What it wrote to stdout so far."""
        return self._read("out")

    @property
    def err(self) -> str:
        """What it wrote to stderr so far."""
        return self._read("err")

    def _read(self, stream: str) -> str:
        """Return a stream so far; nothing where the process has not come to open it."""
        file = self._folder / stream
        return file.read_text() if file.exists() else ""

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        if self.code is None:
            try:
                self.code = self._wait(0.001)
            except (TimeoutError, subprocess.TimeoutExpired):
                return True
            self._check_output()
        return False

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float = SECONDS) -> int:
        """Return its exit code (minus the signal that killed it); kill it after `seconds` and raise TimeoutError."""
        if self.code is None:
            try:
                self.code = self._wait(seconds)
            except (TimeoutError, subprocess.TimeoutExpired):
                self.kill()
                raise TimeoutError(f"still running after {seconds:g} s:\n{self.err}") from None
            self._check_output()
        return self.code

    def kill(self) -> None:
        """Kill it as the kernel does when memory is short: SIGKILL."""
        if self.code is None:
            self.signal(signal.SIGKILL)
            self.code = self._wait(10)
            self._check_output()

    def report(self) -> Json:
        """Return its JSON document."""
        document: Json = json.loads(self.out)
        return document

    def _wait(self, seconds: float) -> int:
        if isinstance(self._ending, subprocess.Popen):
            return self._ending.wait(seconds)
        self._ending.settimeout(seconds)
        ending = self._ending.recv(16)  # one write of the nurse, so one piece
        self._ending.close()
        return int(ending)

    def _check_output(self) -> None:
        """No secret, no token and no traceback, whatever happened to it (I5)."""
        for text in (self.out, self.err):
            found = [leak for leak in LEAKS if leak in text]
            assert not found, f"{found} in its output:\n{text}"


class ForkServer:
    """A process that has loaded the command line and forks a run in milliseconds (`tests/real/fork_server.py`)."""

    def __init__(self, folder: Path) -> None:
        """Prepare; nothing is started."""
        self._socket = folder / "fork_server"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        args = [sys.executable, "-m", "tests.real.fork_server", str(self._socket)]
        root = Path(__file__).parents[2]
        child = self._stack.enter_context(start(args, cwd=root, stdout=subprocess.PIPE))
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, args: tuple[str, ...], env: Mapping[str, str], cwd: Path, folder: Path) -> Run:
        """Start a run; its streams are files in `folder`, `in` too, where it has to read something."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(str(self._socket))
        given = folder / "in"
        streams = {"out": str(folder / "out"), "err": str(folder / "err")}
        streams["in"] = str(given) if given.exists() else os.devnull
        order = {"args": list(args), "env": dict(env), "cwd": str(cwd), **streams}
        connection.sendall(json.dumps(order).encode() + b"\n")
        pid = b""
        while not pid.endswith(b"\n"):
            part = connection.recv(1)  # byte by byte: what follows is the ending
            assert part, "the fork server closed"
            pid += part
        return Run(int(pid), folder, connection)
