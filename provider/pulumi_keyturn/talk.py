"""The way to the user's screen: one thread tells all lines, through `pulumi.log`.

An engine that was killed or stopped makes `pulumi.log` raise, or wait without end. Whoever says a line may have a fresh
secret in hand, so none of that ever reaches them.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from queue import Queue

import pulumi
from pulumi.runtime import Settings

LONGEST = 1.0
"""Seconds that the end of a call waits for its lines to be shown."""

_ADDRESS = re.compile(r"[\w.:\[\]-]+:\d+")

_lines: Queue[tuple[Callable[[str], None], str]] = Queue()
_starting = threading.Lock()


def say(text: str) -> None:
    """Show a line of progress; never raises, never waits."""
    _put(pulumi.log.info, text)


def warn(text: str) -> None:
    """Show a warning; never raises, never waits."""
    _put(pulumi.log.warn, text)


def flush(seconds: float = LONGEST) -> None:
    """Wait until all lines were shown, so long at most: the engine may end this process after a call."""
    with _lines.all_tasks_done:
        _lines.all_tasks_done.wait_for(lambda: not _lines.unfinished_tasks, seconds)


def _put(show: Callable[[str], None], text: str) -> None:
    _lines.put((show, text))
    with _starting, suppress(Exception):
        _start()


@cache
def _start() -> None:
    threading.Thread(target=_tell_all, name="keyturn-talk", daemon=True).start()


def _tell_all() -> None:
    with suppress(Exception):
        _connect()
    while True:
        show, text = _lines.get()
        with suppress(Exception):
            show(text)
        _lines.task_done()


def _connect() -> None:
    """Tell `pulumi.log`, in this thread, where the engine is; without one it writes to standard error.

    Its address is a provider's first argument.
    """
    address = sys.argv[1] if len(sys.argv) > 1 else ""
    if _ADDRESS.fullmatch(address):
        pulumi.runtime.configure(Settings(None, None, engine=address))
