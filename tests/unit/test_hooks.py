"""Hooks after deliveries: however many keys are at work, only a few programs run at the same time."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from keyturn.core.model import Delivery, DesiredKey, Hook, SlotName
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, Record, Slot
from keyturn.core.results import End, KeyReport
from keyturn.core.world import World
from keyturn.engine import hooks, programs
from keyturn.engine.threads import map_in_threads
from tests.support.rig import FakeWorld

PLACE = Delivery("v", "app", "key")
ENTRY = DesiredKey("bot", "tests", "bot", deliveries=(PLACE,), hook=Hook(("/bin/true",), allowed=True))
DELIVERED = Record(
    "bot",
    "tests",
    "00",
    live=SlotName.A,
    slots={SlotName.A: Slot("uuid", "bot", digest="d")},
    deliveries=(DeliveryState(PLACE, digest="d"),),
    hook_due=True,
)


def test_only_so_many_programs_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty deliveries end together: each has its program run, and never more than eight at once."""
    lock, now, most, done = threading.Lock(), 0, 0, 0

    def run(*_: object, **__: object) -> str:
        nonlocal now, most, done
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1
            done += 1
        return ""

    monkeypatch.setattr(programs, "run", run)
    report, world = KeyReport("bot", (), End(Reason.AT_REST), record=DELIVERED), cast("World", FakeWorld())

    def work(_number: int, _say: object) -> KeyReport:
        return hooks.after_delivery(world, ENTRY, report, lambda _: None)

    map_in_threads(range(30), work, lambda _: None, 30)
    assert done == 30
    assert 1 < most <= hooks.AT_ONCE
