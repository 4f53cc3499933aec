"""Children with a bound: none outlives its test, none is waited for without end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_CONFIG")


def bare_environment(**extra: str) -> dict[str, str]:
    """Return what a child needs to start, and nothing that could hold a credential of the person who runs the tests."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | extra


def run(
    args: Sequence[str | Path],
    *,
    seconds: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its code, stdout and stderr.

    Kills it, with its children, and raises `subprocess.TimeoutExpired` after `seconds`.
    `env` replaces the environment; without it the child gets `bare_environment()`.
    """
    with start(args, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        out, err = child.communicate(stdin, timeout=seconds)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)


@contextlib.contextmanager
def start(
    args: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a program in a process group of its own; when the block ends, the whole group has ended."""
    child = subprocess.Popen(
        [os.fspath(arg) for arg in args],
        env=dict(bare_environment() if env is None else env),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        end(child)


def end(child: subprocess.Popen[str], *, seconds: float = 10) -> None:
    """End a child that leads its process group: ask, wait at most `seconds`, then kill what is left of the group."""
    if child.poll() is None:
        for number in (signal.SIGCONT, signal.SIGTERM):
            child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(seconds)
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 30, every: float = 0.05) -> None:
    """Return as soon as the condition holds; raise `TimeoutError`, saying what was awaited, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def free_port() -> int:
    """Return a loopback TCP port that is free now; anyone who uses it must be ready to lose the race for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
