"""Two workers on the same keys, killed, paused for longer than their lease, and cut off from the API server.

The keys are delivered to two clusters, their records are in an OpenBao that both workers share, and consumers in both
clusters read and call without pause. A worker is a process that is started by a command line and runs until it is
ended.
"""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum

from tests.real.consumer import consuming
from tests.real.environment import LEASE, SETTLE, Servers, Site
from tests.real.promise import breaches, noise
from tests.real.relay import Gate, Moment
from tests.real.run import Run
from tests.real.stores import ELSEWHERE

KEYS = {"swap": "alternating", "swift": "in-place"}
COMMAND = ("run", "--every", "5s")
ENDS = {0, 143}
"""How a worker may end that is asked to: 143 before its loop has begun."""
EVERY, OVERLAP = "8s", "4s"
LANES, EACH = 5, 4
"""So many sites at a time, and so many strikes at each."""
LONGEST = 20.0
"""Seconds after which nobody waits for an effect any more: the strike comes at whatever is going on."""


class How(StrEnum):
    """What happens to a worker."""

    KILL = "killed -9"
    PAUSE = "paused for longer than its lease"
    CUT = "cut off from the API server"


@dataclass(frozen=True, slots=True)
class Strike:
    """What happens, and at which of its changing requests; `what` empty: at a random moment."""

    how: How
    what: str = ""
    moment: Moment = Moment.BEFORE

    @property
    def where(self) -> str:
        """At which effect, in words."""
        return f"{self.moment} a {self.what}" if self.what else "by chance"


@dataclass(frozen=True, slots=True)
class Struck:
    """What came of the strikes at one site, or at all of them."""

    strikes: tuple[Strike, ...]
    """As they happened."""
    generations: int
    mints: int
    twice: int
    """Mints that no write of the record allowed."""
    calls: int
    refused: int
    outage: float
    """Seconds for which a delivery of an `alternating` key held a dead secret."""
    wrong: tuple[str, ...]
    seconds: float = 0.0


class Worker:
    """One process, on a machine of its own, with logins of its own: by them the relays know what it sends."""

    def __init__(self, site: Site, number: int, command: tuple[str, ...] = COMMAND) -> None:
        """Start it."""
        self.gate = Gate()
        self._site, self._command, self._machine = site, command, f"machine-{number}"
        self._logins = site.logins(self.gate)
        self._run = self._start()

    def _start(self) -> Run:
        return self._site.start(*self._command, machine=self._machine, logins=self._logins)

    def suffer(self, how: How, chance: random.Random) -> None:
        """Let it happen, and let it be over. A request that is held breaks, before its server or after it."""
        if how is How.KILL:
            self._run.kill()
            self.gate.open()
            time.sleep(chance.uniform(0, 2))
            self._run = self._start()
        elif how is How.PAUSE:
            self._run.signal(signal.SIGSTOP)
            self.gate.open()
            time.sleep(LEASE + SETTLE + chance.uniform(0, 4))
            self._run.signal(signal.SIGCONT)
        else:
            self.gate.cut = self._site.store.address
            self.gate.open()
            time.sleep(chance.uniform(1, LEASE + SETTLE))
            self.gate.cut = ""

    def end(self) -> int:
        """Ask it to stop; return its exit code."""
        self.gate.open()
        self._run.signal(signal.SIGTERM)
        return self._run.wait()


def strikes(number: int, chance: random.Random) -> list[Strike]:
    """Return so many: each way at each kind of effect, before and after it; the others by chance."""
    at = itertools.product(How, ("record", "regenerate", "delivery"), (Moment.BEFORE, Moment.AFTER))
    every = [Strike(*one) for one in at]
    chance.shuffle(every)
    return [every[n] if n < len(every) else Strike(chance.choice(tuple(How))) for n in range(number)]


def happen(strike: Strike, workers: Sequence[Worker], chance: random.Random) -> Strike:
    """Strike the worker that comes to the effect first; return what really happened."""
    struck = chance.choice(workers)
    if strike.what:
        nth, end = chance.randrange(1, 3), time.monotonic() + LONGEST
        holds = [(worker, worker.gate.on(strike.what, strike.moment, nth)) for worker in workers]
        reached: list[Worker] = []
        while not reached and time.monotonic() < end:
            time.sleep(0.01)
            reached = [worker for worker, hold in holds if hold.reached.is_set()]
        if reached:
            struck = reached[0]
        else:
            strike = Strike(strike.how)
        for worker, hold in holds:
            if worker is not struck:
                hold.let_go()
    else:
        time.sleep(chance.uniform(0, LONGEST / 2))
    struck.suffer(strike.how, chance)
    return strike


def two_workers(shared: Servers, number: int, seed: int = 1) -> Struck:
    """Strike so often, at sites that are worked on side by side."""
    start, chance = time.monotonic(), random.Random(seed)
    planned = strikes(number, chance)
    chance.shuffle(planned)
    shares = [planned[begin : begin + EACH] for begin in range(0, number, EACH)]
    with ThreadPoolExecutor(LANES) as pool:
        chances = [random.Random(f"{seed}/{number}") for number in range(len(shares))]
        found = list(pool.map(lambda one: _site(replace(shared, apart=True), *one), zip(shares, chances, strict=True)))
    return Struck(
        strikes=tuple(strike for one in found for strike in one.strikes),
        generations=sum(one.generations for one in found),
        mints=sum(one.mints for one in found),
        twice=sum(one.twice for one in found),
        calls=sum(one.calls for one in found),
        refused=sum(one.refused for one in found),
        outage=sum(one.outage for one in found),
        wrong=tuple(what for one in found for what in one.wrong),
        seconds=time.monotonic() - start,
    )


def _site(shared: Servers, planned: list[Strike], chance: random.Random) -> Struck:
    with Site(shared) as site:
        for key, strategy in KEYS.items():
            site.existing(key, strategy)
            site.keys[key]["deliver"].append(site.delivery(site.path(key), ELSEWHERE))
        site.come_to_rest(OVERLAP)
        before = {key: site.mints(key) for key in KEYS}
        for key in KEYS:
            site.keys[key]["rotation"]["every"] = EVERY
        with consuming(site, ["swap"]) as seen:
            workers = [Worker(site, number) for number in range(2)]
            done = tuple(happen(one, workers, chance) for one in planned)
            codes = [worker.end() for worker in workers]
            for key in KEYS:
                del site.keys[key]["rotation"]["every"]
            wrong = [f"a worker ends with {code}" for code in codes if code not in ENDS]
            wrong += _at_rest(site)
        where = f"{site.id}, {', '.join(f'{one.how} {one.where}' for one in done)}"
        again = [f"{key}: {what}" for key in KEYS for what in twice(site, key)]
        records = [record for key in KEYS if (record := site.record(key))]
        return Struck(
            strikes=done,
            generations=sum(record.generation - 1 for record in records),
            mints=sum(site.mints(key) - before[key] for key in KEYS),
            twice=len(again),
            calls=sum(one.calls for one in seen.values()),
            refused=sum(one.refused + one.other for one in seen.values()),
            outage=site.outage("swap"),
            wrong=tuple(f"{where}: {what}" for what in (*wrong, *again)),
        )


def _at_rest(site: Site) -> Iterator[str]:
    """Apply once, wait for the overlap, and yield what is wrong then."""
    run = site.apply()
    if run.code != 0:
        yield f"once nothing was in the way, apply ends with {run.code}: {run.out}"
    site.wait_for_overlap("swap")
    if loud := noise(site):
        yield f"a further apply changes {loud}"
    for key in KEYS:
        yield from breaches(site, key)


def twice(site: Site, key: str) -> Iterator[str]:
    """Yield each mint that nothing allowed: each has its own write of the record before it, since the mint before.

    The times are those of the OpenBao and of the API, which answered the write before the mint was sent.
    """
    state, mine = site.sandbox.state, site.account(key)
    written = [version.since for version in site.notes.history(f"{site.prefix}/keys/{key}", "document")]
    mints = sorted(
        secret.minted_at for secret in state.secrets.values() if secret.uuid in mine and secret.by == "regenerate"
    )
    for first, second in itertools.pairwise(mints):
        if not any(first < moment < second for moment in written):
            yield f"minted twice within {second - first:.3f} s under one write of its record"
