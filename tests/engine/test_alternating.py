"""Alternating keys in a stack: no refused request, and a trigger that has to wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from tests.engine.harness import Site

RELOAD = 0.2
"""Seconds after which the consumer reads its secret again."""


class Consumer(threading.Thread):
    """Calls the inference API all the time with a secret that it reads again every now and then."""

    def __init__(self, site: Site) -> None:
        super().__init__(name="consumer")
        self._site = site
        self._over = threading.Event()
        self.served = 0
        self.refused: list[int] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(10)

    def run(self) -> None:
        """Ask until stopped."""
        with httpx.Client(base_url=self._site.sandbox.url, timeout=60, trust_env=False) as client:
            while not self._over.is_set():
                bearer = {"Authorization": f"Bearer {self._site.delivered()}"}
                until = time.monotonic() + RELOAD
                while time.monotonic() < until:
                    status = client.get("/v1/models", headers=bearer).status_code
                    self.served += 1
                    if status != httpx.codes.OK:
                        self.refused.append(status)
                    self._over.wait(0.02)


def test_four_rotations_go_by_without_a_refused_request(site: Site) -> None:
    """Each trigger regenerates the standby, retires the one before, and no consumer ever meets a 401."""
    rotation = {"strategy": "alternating", "overlap": "1s"}
    site.up(site.key(rotation=rotation))
    first = site.outputs()
    assert set(first["slots"]) == {"a", "b"}
    site.requests()
    with Consumer(site) as consumer:
        for round_ in range(4):
            site.up(site.key(rotation=rotation, rotation_trigger=round_))
        site.up(site.key(rotation=rotation, rotation_trigger=3))
    assert consumer.served > 50
    assert consumer.refused == []
    # The first standby was never delivered, so the first rotation has nothing to retire but what it replaced.
    assert site.mutations() == ["regenerate"] * 8
    last = site.outputs()
    assert (last["generation"], last["uuid"], last["slots"]) == (5, first["uuid"], first["slots"])
    assert "retire_at" not in last
    assert site.leaks() == []


def test_a_trigger_during_an_overlap_waits_and_is_shown_again(site: Site) -> None:
    """The up succeeds with a warning, the old trigger stays in the outputs, and the next preview shows an update."""
    rotation = {"strategy": "alternating", "overlap": "1h"}
    site.up(site.key(rotation=rotation, rotation_trigger=1))
    site.up(site.key(rotation=rotation, rotation_trigger=2))
    assert site.mutations()[-1] == "regenerate"
    secret = site.delivered()
    program = site.key(rotation=rotation, rotation_trigger=3)
    site.up(program)
    assert site.mutations() == []
    assert site.delivered() == secret
    assert site.outputs()["rotation_trigger"] == 2
    assert "the triggered rotation has to wait" in site.screen()
    assert site.preview(program)["update"] == 1
