"""How often the balance is asked for, against a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keyturn.core.model import (
    Desired,
    RecordsConfig,
)
from keyturn.live.live_world import open_world
from tests.support.raw_http import RawServer, reply


def test_the_balance_is_asked_for_once_in_ten_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many refused keys want to know; later the operator may have added some."""
    answers = (reply(200, json.dumps({"status": {"blocked": blocked}})) for blocked in (True, False))
    with RawServer(*answers) as server:
        environment = {"DIGITALOCEAN_TOKEN": "t", "KEYTURN_API_URL": server.url}
        with open_world(Desired("tests", (), RecordsConfig("local"), ()), environment, tmp_path) as world:
            now = world.uptime()
            assert [world.prepayment_blocked() for _ in range(3)] == [True] * 3
            monkeypatch.setattr(world, "uptime", lambda: now + 60)
            assert world.prepayment_blocked() is False
        assert len(server.requests) == 2
