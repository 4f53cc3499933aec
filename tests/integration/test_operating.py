"""What the operator is made of, before it asks anything."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from keyturn.cli.console import Screen
from keyturn.cli.operating import opened
from keyturn.engine.signals import Signals


def test_the_clock_of_leases_goes_on_while_the_machine_sleeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that wakes up holds nothing, however little its processor has counted."""
    kubeconfig = tmp_path / "config"
    parts = {
        "clusters": [{"name": "one", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "me", "user": {"token": "sixteen-characters"}}],
        "contexts": [{"name": "here", "context": {"cluster": "one", "user": "me"}}],
    }
    kubeconfig.write_text(yaml.safe_dump({"current-context": "here", **parts}))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    asked: list[int] = []

    def read(clock: int) -> float:
        asked.append(clock)
        return 1000.0

    with opened(Screen(), "keyturn-system", (), Signals(), watch_secrets=False) as operator:
        monkeypatch.setattr(time, "clock_gettime", read)
        assert operator._uptime() == 1000.0
    assert asked == [time.CLOCK_BOOTTIME]
