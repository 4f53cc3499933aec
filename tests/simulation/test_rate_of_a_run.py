"""Hundreds of rotations in one run: nothing but the API's limit holds them back, and no call meets a 429."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from keyturn.core.errors import RateLimited
from keyturn.core.model import Desired, DesiredKey, RecordsConfig, Strategy
from keyturn.core.results import Change, KeyReport, Options
from keyturn.core.world import Guard, Minted, World
from keyturn.engine.executor import Stop, apply_key
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Engine, Listener, Runner
from keyturn.engine.threads import WORKERS
from keyturn.live.digitalocean.budget import BURST, MINUTE, RateBudget
from keyturn.live.digitalocean.keys import SOON
from keyturn.sandbox.limits import Meter
from tests.simulation.faults import Class, Fault
from tests.simulation.scenarios import ROTATE, TIMING, entry, settled
from tests.simulation.universe import START, Universe
from tests.simulation.world import SimWorld
from tests.support.rig import FakeEngine, FakeWorld, plan

ROTATIONS = 300
LATENCY = 0.2
"""Seconds of each call, to whatever server."""
HOUR_LIMIT = 5000
TICK = 0.001
"""Seconds that a wait lasts at least: a real clock goes on by itself."""


class Clock:
    """Seconds for many workers: they go on to the next moment that one waits for, as soon as all of them wait."""

    def __init__(self, workers: int, tasks: int) -> None:
        """Begin with `workers` at work, of whom each takes a task, and the next one when it has ended."""
        self.seconds = 0.0
        self.lock = threading.Lock()
        self.awake = self.taken = workers
        self.tasks = tasks
        self.waiting: list[tuple[float, int, threading.Event]] = []

    def sleep(self, seconds: float) -> None:
        """Wait until it is so much later."""
        over = threading.Event()
        with self.lock:
            heapq.heappush(self.waiting, (self.seconds + max(TICK, seconds), id(over), over))
            self._rest()
        assert over.wait(60), "time stands still"

    @contextmanager
    def task(self) -> Iterator[None]:
        """Do one task; after the last one its worker goes home."""
        yield
        with self.lock:
            if self.taken < self.tasks:
                self.taken += 1
            else:
                self._rest()

    def _rest(self) -> None:
        """One worker less is at work."""
        self.awake -= 1
        if not self.awake and self.waiting:
            self.seconds, _, over = heapq.heappop(self.waiting)
            self.awake = 1
            over.set()

    def now(self) -> datetime:
        """The same as a moment."""
        return START + timedelta(seconds=self.seconds)


class Account:
    """What all keys share: the API's limit as the sandbox has it, and keyturn's budget for it."""

    def __init__(self, clock: Clock) -> None:
        """Begin a minute in which nothing was sent."""
        self.clock = clock
        self.budget = RateBudget(clock.sleep, clock.now, ticks=lambda: clock.seconds)
        self.minted: list[float] = []
        self.refused = 0
        self._meter = Meter()
        self._lock = threading.Lock()

    def take(self) -> tuple[bool, dict[str, str]]:
        """Count a call, or refuse it with 429."""
        with self._lock:
            found = self._meter.take("token", self.clock.now().timestamp(), HOUR_LIMIT, BURST)
            if found.allowed:
                self.minted.append(self.clock.seconds)
            self.refused += not found.allowed
            return found.allowed, found.headers()


class FarWorld(SimWorld):
    """A simulated world of one key whose calls take time, and whose account has others."""

    def __init__(self, universe: Universe, account: Account) -> None:
        """Continue from the moment when the key came to rest."""
        super().__init__(universe, {}, TIMING)
        self.account_of_all = account
        self.began = universe.now

    def sleep(self, seconds: float) -> None:
        """Wait beside the others."""
        self.account_of_all.clock.sleep(seconds)
        self.uptime()

    def uptime(self) -> float:
        """The clock of all."""
        self.universe.advance(max(0.0, self.began + self.account_of_all.clock.seconds - self.universe.now))
        return self.universe.now

    def throttled(self) -> float:
        """As the budget knows."""
        pause = self.account_of_all.budget.throttled()
        return max(pause, TICK) if pause else 0.0

    def regenerate(self, uuid: str, guard: Guard) -> Minted:
        """Send one call, if the budget and the API let it through."""
        shared = self.account_of_all
        shared.budget.acquire(SOON)
        allowed, headers = shared.take()
        minted = super().regenerate(uuid, guard) if allowed else None
        shared.budget.release(200 if minted else 429, headers)
        if minted is None:
            raise RateLimited("too many requests", status=429)
        return minted

    def _point(self, kind: Class, where: str) -> Fault | None:
        self.sleep(LATENCY)
        return super()._point(kind, where)


def test_a_run_rotates_as_fast_as_the_api_lets_it(tmp_path: Path) -> None:
    """Both strategies, 0.2 s for each call: 95 % of the limit at least, although a rotation takes many seconds."""
    clock = Clock(min(WORKERS, ROTATIONS), ROTATIONS)
    account = Account(clock)
    rest = {strategy: settled(entry(strategy)) for strategy in Strategy}
    entries = {f"bot-{number}": entry(list(Strategy)[number % 2]) for number in range(ROTATIONS)}
    worlds = {key: FarWorld(rest[one.rotation.strategy].copy(), account) for key, one in entries.items()}

    def apply(_: World, desired: DesiredKey, options: Options, run: str, listener: Listener, stop: Stop) -> KeyReport:
        with clock.task():
            report = apply_key(cast("World", worlds[desired.id]), entries[desired.id], options, run, listener, stop)
        return replace(report, key=desired.id)

    keys = tuple(replace(one, id=key) for key, one in entries.items())
    plans = FakeEngine({key: plan(key, Change.ROTATE, mints=True) for key in entries})
    runner = Runner(
        cast("World", FakeWorld()),
        Desired("tests", (), RecordsConfig("v"), keys, ROTATIONS),
        lambda _: None,
        engine=Engine(plans.plan, apply, DesiredKey),
        runs=Runs([tmp_path]),
        linger=False,
    )
    report = runner.apply((), ROTATE)
    assert {one.end.code for one in report.reports if one.exit_code} == set()
    assert len(account.minted) == ROTATIONS
    assert account.refused == 0
    assert clock.seconds > MINUTE, "the limit was not reached"
    assert ROTATIONS / clock.seconds >= 0.95 * BURST / MINUTE, clock.seconds
