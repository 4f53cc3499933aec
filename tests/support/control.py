"""A control API client for tests, and the answers that it is given."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from keyturn.core.model import Timing
from keyturn.core.secret import Secret
from keyturn.live.digitalocean import ControlApi
from tests.support.raw_http import reply

TOKEN = Secret("dop_v1_" + "5" * 64)
UUID = "0f0e8f0c-8a55-4f0e-9d0a-5b3f5f3f9b11"
SECRET = "sk-do-" + "x" * 64
NOW = datetime(2026, 9, 1, tzinfo=UTC)


class Waits(list[float]):
    """A sleep that only notes."""

    def __call__(self, seconds: float) -> None:
        """Note the seconds."""
        self.append(seconds)


def nothing() -> None:
    """A guard that lets everything pass."""


def api(url: str, token: Secret = TOKEN, waits: Waits | None = None) -> ControlApi:
    """A control API whose clock stands still."""
    sleep = Waits() if waits is None else waits
    return ControlApi(url, token, timing=Timing(request=2), sleep=sleep, now=lambda: NOW)


def ok(info: dict[str, Any]) -> bytes:
    """The answer to a change."""
    return reply(200, json.dumps({"api_key_info": info}))


def page(uuids: list[str], total: int | None) -> bytes:
    """One page of a list."""
    infos = [{"uuid": uuid, "name": f"name of {uuid}"} for uuid in uuids]
    return reply(200, json.dumps({"api_key_infos": infos, "meta": {} if total is None else {"total": total}}))


MINTED = ok({"uuid": UUID, "name": "n", "secret_key": SECRET})
