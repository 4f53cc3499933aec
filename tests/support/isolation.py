"""The guard of the unit tests: no socket, no process, no sleep that anybody could notice."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator

FORBIDDEN = frozenset(
    {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "socket.__new__", "subprocess.Popen"}
)
LONGEST_SLEEP = 0.1
"""Seconds."""

_found: list[set[str]] = []
_sleep = time.sleep


class NotIsolated(RuntimeError):
    """A unit test did what only an integration test may do."""


def guard_process() -> None:
    """Install the hook of PEP 578, for good; it is silent except within `isolated`."""
    sys.addaudithook(_refuse)


@contextmanager
def isolated() -> Iterator[set[str]]:
    """Refuse all that is forbidden in the block; yield what was tried, since a caller may swallow the refusal."""
    tried: set[str] = set()
    _found.append(tried)
    try:
        with patch("time.sleep", _short_sleep):
            yield tried
    finally:
        _found.pop()


def _refuse(event: str, _args: tuple[object, ...]) -> None:
    if _found and event in FORBIDDEN:
        _found[-1].add(event)
        raise NotIsolated(event)


def _short_sleep(seconds: float) -> None:
    if _found and seconds > LONGEST_SLEEP:
        _found[-1].add("time.sleep")
        raise NotIsolated("time.sleep")
    _sleep(seconds)
