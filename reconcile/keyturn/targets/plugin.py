"""Runs a credential plugin and reads its output, bounded in time and size, with everything that it starts."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

LARGEST = 1024 * 1024
"""The most bytes of output: a token has a few thousand."""


class PluginError(Exception):
    """Why a plugin gave nothing; no output of it is in the text."""


def output_of(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> bytes:
    """Run a plugin without a terminal and return what it wrote to standard output. Raises PluginError.

    After `seconds`, or with more than LARGEST bytes, the plugin and everything in its process group are killed.
    """
    end = time.monotonic() + seconds
    try:
        process = subprocess.Popen(
            list(command),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise PluginError(type(error).__name__) from None
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    with process.stdout as output:
        try:
            found = _read(output.fileno(), end)
            process.wait(max(0.0, end - time.monotonic()))
        except (PluginError, subprocess.TimeoutExpired) as error:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            # Not waited for here: a plugin of another user goes on.
            threading.Thread(target=process.wait, name="plugin", daemon=True).start()
            late = f"it did not end within {seconds:.0f} s"
            raise PluginError(str(error) if isinstance(error, PluginError) else late) from None
    if process.returncode:
        raise PluginError(f"exit code {process.returncode}")
    return found


def _read(output: int, end: float) -> bytes:
    """Return all output. Raises PluginError if it is too much, TimeoutExpired if it does not end in time."""
    found = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while (left := end - time.monotonic()) > 0 and selector.select(left):
            part = os.read(output, 65536)
            if not part:
                return bytes(found)
            found += part
            if len(found) > LARGEST:
                raise PluginError(f"more than {LARGEST} bytes of output")
    raise subprocess.TimeoutExpired("plugin", 0)
