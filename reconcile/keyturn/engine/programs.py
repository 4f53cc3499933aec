"""Runs a program that the operator permits: no shell, an environment of its own, and a deadline for all it starts."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The PATH of every such program, whatever that of keyturn is."""

_SCRIPT = re.compile(rb"#![ \t]*(\S+)")
_LINE = 256
"""Bytes of the first line of a script that a kernel reads."""

PATIENCE = 2.0
"""Seconds that a killed program has to end."""


def obstacle(program: str) -> str:
    """Say why this user could not start a program, named by its absolute path; empty if nothing is in the way."""
    try:
        if not stat.S_ISREG(Path(program).stat().st_mode):
            return "it is not a file"
        if not os.access(program, os.X_OK):
            return "this user may not execute it"
        with suppress(PermissionError), Path(program).open("rb") as file:  # a binary need not be readable
            script = _SCRIPT.match(file.readline(_LINE))
            if script and not os.access(script[1], os.X_OK):
                return f"its interpreter {os.fsdecode(script[1])} cannot be executed"
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def run(command: Sequence[str], variables: Mapping[str, str], *, seconds: float, stdin: str = "") -> str:
    """Run a program with exactly these variables and PATH, and return why it failed; empty if it ended with 0.

    After `seconds`, the program and everything in its process group are killed. What it leaves running in the
    background when it ends in time goes on. Its output is discarded: it could hold a secret. It starts in the root
    directory, so that no relative name leads into a checkout. Raises nothing.
    """
    try:
        process = subprocess.Popen(
            list(command),
            env={"PATH": PATH, "LANG": "C.UTF-8", **variables},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        words = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        return f"{command[0]} cannot be started: {words}"
    try:
        process.communicate(stdin, timeout=max(0.1, seconds))
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:  # it runs as another user
            threading.Thread(target=process.wait, name="program", daemon=True).start()
            return f"{command[0]} did not end within {seconds:.0f} s and cannot be killed: it goes on"
        return f"{command[0]} did not end within {seconds:.0f} s and was killed"
    if process.returncode < 0:
        return f"{command[0]} was ended by signal {-process.returncode}"
    return f"{command[0]} ended with exit code {process.returncode}" if process.returncode else ""
