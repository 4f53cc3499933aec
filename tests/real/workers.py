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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum

from keyturn.core.record import parse_record
from tests.real.consumer import consuming
from tests.real.environment import LEASE, SETTLE, Servers, Site
from tests.real.promise import breaches, noise
from tests.real.relay import Gate, Moment
from tests.real.run import Run
from tests.real.stores import ELSEWHERE

KEYS = {"swap": "alternating", "swift": "in-place"}
COMMAND = ("run", "--every", "5s")
ENDS = {0, 143, -signal.SIGTERM}
"""How a worker may end that is asked to: 143 before its loop has begun, by the signal itself before Python has begun.

The latter is a worker that was killed and started again just before. A loop that dies of the signal fails in
tests/real/test_signals.py.
"""
EVERY, OVERLAP = "8s", "4s"
LANES, EACH = 5, 4
"""So many sites at a time, and so many strikes at each."""


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
    """Mints that no write of the record before them allowed."""
    calls: int
    refused: int
    outage: float
    """Seconds for which a delivery of an `alternating` key held a dead secret."""
    wrong: tuple[str, ...]
    changes_of_hands: tuple[float, ...]
    """Seconds until another worker had what the struck one had, where that happened."""
    seconds: float = 0.0


class Workplace(Site):
    """A site whose keys are worked on by processes that run all the time."""

    longest = 20.0
    """Seconds after which nobody waits for an effect any more: the strike comes at whatever is going on."""

    @property
    def steady(self) -> list[str]:
        """The keys whose consumers are never refused."""
        return [key for key, entry in self.keys.items() if entry["rotation"]["strategy"] == "alternating"]

    def lasts(self, how: How, chance: random.Random) -> float:
        """Return for how many seconds a worker that is struck does nothing."""
        return chance.uniform(*{How.KILL: (0, 2), How.PAUSE: (LEASE + SETTLE, 15), How.CUT: (1, LEASE + SETTLE)}[how])

    def prepare(self) -> None:
        """Make the keys, at rest; from then on they are to be rotated again and again."""
        for key, strategy in KEYS.items():
            self.existing(key, strategy)
            self.keys[key]["deliver"].append(self.delivery(self.path(key), ELSEWHERE))
        self.come_to_rest(OVERLAP)
        for key in KEYS:
            self.keys[key]["rotation"]["every"] = EVERY

    def starting(self, name: str, gate: Gate) -> Callable[[], Run]:
        """Return how a worker is started, on a machine of its own, with logins of its own that pass its gate."""
        logins = self.logins(gate)
        return lambda: self.start(*COMMAND, machine=name, logins=logins)

    def urge(self) -> None:
        """See to it that there is something to do."""

    def meanwhile(self, struck: str, seconds: float) -> None:
        """Let so much time pass in which one worker does nothing."""
        time.sleep(seconds)

    def calm(self) -> Iterator[str]:
        """See to it that there is nothing more to do, while the workers run; yield what is wrong then."""
        for key in KEYS:
            del self.keys[key]["rotation"]["every"]
        return iter(())

    def changes_of_hands(self) -> tuple[float, ...]:
        """Return the seconds from each strike to the moment at which another worker had what the struck one had."""
        return ()


class Worker:
    """One process: by its logins or its ways the relays know what it sends."""

    def __init__(self, site: Workplace, number: int) -> None:
        """Start it."""
        self.gate, self.name = Gate(), f"machine-{number}"
        self._site, self._start = site, site.starting(self.name, self.gate)
        self._run = self._start()

    def suffer(self, how: How, chance: random.Random) -> None:
        """Let it happen, and let it be over. A request that is held breaks, before its server or after it."""
        seconds = self._site.lasts(how, chance)
        if how is How.KILL:
            self._run.kill()
        elif how is How.PAUSE:
            self._run.signal(signal.SIGSTOP)
        else:
            self.gate.cut_off(self._site.store.address)
        self.gate.open()
        self._site.meanwhile(self.name, seconds)
        if how is How.KILL:
            self._run = self._start()
        elif how is How.PAUSE:
            self._run.signal(signal.SIGCONT)
        else:
            self.gate.cut = ""

    def end(self) -> int:
        """Ask it to stop; return its exit code."""
        self.gate.open()
        self._run.signal(signal.SIGTERM)
        return self._run.wait()


def strikes(number: int, seed: int = 1) -> list[Strike]:
    """Return so many, mixed: each way at each kind of effect, before and after it; the others by chance."""
    chance = random.Random(seed)
    at = itertools.product(How, ("record", "regenerate", "delivery"), (Moment.BEFORE, Moment.AFTER))
    every = [Strike(*one) for one in at]
    chance.shuffle(every)
    found = [every[n] if n < len(every) else Strike(chance.choice(tuple(How))) for n in range(number)]
    chance.shuffle(found)
    return found


def happen(site: Workplace, strike: Strike, workers: Sequence[Worker], chance: random.Random) -> Strike:
    """Strike the worker that comes to the effect first; return what really happened."""
    struck = chance.choice(workers)
    if strike.what:
        nth = chance.randrange(1, 3)
        holds = [(worker, worker.gate.on(strike.what, strike.moment, nth)) for worker in workers]
        reached: list[Worker] = []

        def met() -> bool:
            reached[:] = [worker for worker, hold in holds if hold.reached.is_set()]
            return bool(reached)

        _until(site, met, site.longest)
        if reached:
            struck = reached[0]
        else:
            strike = Strike(strike.how)
        for worker, hold in holds:
            if worker is not struck:
                hold.let_go()
    else:
        _until(site, lambda: False, chance.uniform(0, 10))
    struck.suffer(strike.how, chance)
    return strike


def _until(site: Workplace, condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        site.urge()
        time.sleep(0.01)


def of_runs(shared: Servers) -> Workplace:
    """Return a site for two `keyturn run`: deliveries to two clusters, and records in the OpenBao."""
    return Workplace(replace(shared, apart=True))


def two_workers(
    shared: Servers,
    planned: Sequence[Strike],
    place: Callable[[Servers], Workplace] = of_runs,
    *,
    seed: int = 1,
    each: int = EACH,
    lanes: int = LANES,
) -> Struck:
    """Let all of them happen, `each` at one site; `lanes` sites are worked on side by side."""
    start = time.monotonic()
    shares = [planned[begin : begin + each] for begin in range(0, len(planned), each)]
    with ThreadPoolExecutor(lanes) as pool:
        chances = [random.Random(f"{seed}/{number}") for number in range(len(shares))]
        found = list(pool.map(lambda one: _site(place(shared), *one), zip(shares, chances, strict=True)))
    return Struck(
        strikes=tuple(strike for one in found for strike in one.strikes),
        generations=sum(one.generations for one in found),
        mints=sum(one.mints for one in found),
        twice=sum(one.twice for one in found),
        calls=sum(one.calls for one in found),
        refused=sum(one.refused for one in found),
        outage=sum(one.outage for one in found),
        wrong=tuple(what for one in found for what in one.wrong),
        changes_of_hands=tuple(seconds for one in found for seconds in one.changes_of_hands),
        seconds=time.monotonic() - start,
    )


def _site(place: Workplace, planned: Sequence[Strike], chance: random.Random) -> Struck:
    with place as site:
        site.prepare()
        before = {key: site.mints(key) for key in site.keys}
        with consuming(site, site.steady) as seen:
            workers = [Worker(site, number) for number in range(2)]
            done = tuple(happen(site, one, workers, chance) for one in planned)
            wrong = [*site.calm()]
            wrong += [f"a worker ends with {code}" for code in [one.end() for one in workers] if code not in ENDS]
            wrong += _at_rest(site)
        where = f"{site.id}, {', '.join(f'{one.how} {one.where}' for one in done)}"
        again = [f"{key}: {what}" for key in site.keys for what in unwritten(site, key)]
        records = [record for key in site.keys if (record := site.record(key))]
        return Struck(
            strikes=done,
            generations=sum(record.generation - 1 for record in records),
            mints=sum(site.mints(key) - before[key] for key in site.keys),
            twice=len(again),
            calls=sum(one.calls for one in seen.values()),
            refused=sum(one.refused + one.other for one in seen.values()),
            outage=sum(site.outage(key) for key in site.steady),
            wrong=tuple(f"{where}: {what}" for what in (*wrong, *again)),
            changes_of_hands=site.changes_of_hands(),
        )


def _at_rest(site: Site) -> Iterator[str]:
    """Apply once, wait for the overlap, and yield what is wrong then."""
    run = site.apply()
    if run.code != 0:
        yield f"once nothing was in the way, apply ends with {run.code}: {run.out}"
    for key in site.keys:
        site.wait_for_overlap(key)
    if loud := noise(site):
        yield f"a further apply changes {loud}"
    for key in site.keys:
        yield from breaches(site, key)


def unwritten(site: Site, key: str) -> Iterator[str]:
    """Yield each mint that nothing allowed: the last write of the record before it has an intent, for this mint only.

    The times are those of the store of the records and of the API. The write was answered before the mint was sent.
    """
    state, mine = site.sandbox.state, site.account(key)
    writes = [version for version in site.notes.documents(f"{site.prefix}/keys/{key}") if version.value]
    mints = sorted(one.minted_at for one in state.secrets.values() if one.uuid in mine and one.by == "regenerate")
    used = -1
    for mint in mints:
        last = sum(version.since < mint for version in writes) - 1
        text = writes[last].value if last > used else None
        if text is None or parse_record(text, where=key).intent is None:
            yield f"the mint at {mint:.3f} has no write of its record before it"
        used = max(used, last)
