"""Processes of an engine that is to be killed or interrupted: the command line, and the provider that it started."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def providers(ancestor: int) -> list[int]:
    """Return the processes of our providers below `ancestor`, in /proc."""
    return _named(ancestor, b"pulumi.dynamic", b"pulumi-resource-keyturn")


def hosts(ancestor: int) -> list[int]:
    """Return the language hosts below `ancestor`: a command line that is killed leaves them behind."""
    return _named(ancestor, b"pulumi-language-")


def kill(pids: list[int]) -> None:
    """End these processes with SIGKILL."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Tell whether a process is there and has not ended."""
    return _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"])


def _named(ancestor: int, *names: bytes) -> list[int]:
    return [pid for pid in _below(ancestor) if any(name in _read(pid, "cmdline") for name in names)]


def _below(ancestor: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _read(int(entry.name), "stat")):
            parents[int(entry.name)] = int(stat.rpartition(b")")[2].split()[1])
    found = [ancestor]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _read(pid: int, name: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""
