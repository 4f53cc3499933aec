"""The guard of the unit tests refuses what belongs in tests/integration, and notes it even if that is swallowed."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.support.isolation import NotIsolated, isolated


def test_sockets_processes_and_sleeps_are_refused() -> None:
    """Each names itself."""
    with isolated() as tried:
        with pytest.raises(NotIsolated, match="socket"):
            socket.socket()
        with pytest.raises(NotIsolated, match="Popen"):
            subprocess.run([sys.executable, "-V"], check=True)
        with pytest.raises(NotIsolated, match="sleep"):
            time.sleep(1)
        time.sleep(0.001)
    assert tried == {"socket.__new__", "subprocess.Popen", "time.sleep"}


def test_a_refusal_that_is_swallowed_is_still_known() -> None:
    """Code that survives anything survives the guard as well; the test does not."""
    with isolated() as tried, suppress(Exception):
        socket.socket()
    assert tried == {"socket.__new__"}
