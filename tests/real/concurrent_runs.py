"""Two `keyturn apply` at once: one works, the other says who."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.real.environment import PATIENT, Servers, Site
from tests.real.promise import breaches, noise
from tests.real.relay import Moment
from tests.real.run import SECONDS, Run

KEY = "key"
LANES = 4
WAITING = "is working on it"
LEAVES = "the first is held in its mint, the second may wait 1 s"
WAITS = "the first is held in its mint, the second may wait longer"
RACES = "both are free, and may wait"
WHO = re.compile(r"run [0-9a-f]{32} has been working on it")


@dataclass(frozen=True, slots=True)
class Pair:
    """How a pair ended: whether the second said who was working, the codes, the mints, and what was wrong."""

    how: str
    said_who: bool
    codes: tuple[int, int]
    mints: int
    wrong: tuple[str, ...]


def concurrent_runs(shared: Servers, pairs: int) -> list[Pair]:
    """Run so many pairs, in turns: the second may not wait for the first, it may, or both are free to race."""
    with ThreadPoolExecutor(LANES) as pool:
        return list(pool.map(lambda number: _pair(shared, number), range(pairs)))


def _pair(shared: Servers, number: int) -> Pair:
    with Site(shared) as site:
        site.timing = PATIENT
        site.existing(KEY, "alternating" if number % 2 else "in-place")
        if number % 3 == 2:
            return _race(site)
        return _held(site, patient=number % 3 == 1)


def _held(site: Site, *, patient: bool) -> Pair:
    """Start the second while the first waits for the answer to its mint."""
    hold = site.gate.on("regenerate", Moment.AFTER)
    first = site.start("apply", "--yes")
    wrong = [] if site.until_reached(hold, first) else ["the first never minted"]
    if patient:
        second = site.start("apply", "--yes")
        said = _until_it_says_who(second)
        hold.let_go()
        second.wait()
    else:
        second = site.apply("--lock-timeout", "1s")
        said = bool(WHO.search(second.out))
        hold.let_go()
    first.wait()
    wrong += _codes(first, second, (0, 0) if patient else (0, 1))
    wrong += [] if said else [f"the second does not say who: {second.out}{second.err}"]
    return _judge(site, first, second, wrong, how=WAITS if patient else LEAVES, said=said)


def _until_it_says_who(run: Run) -> bool:
    """Wait until a run says that another one is at work; False where it ends, or a while passes, without that."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and run.alive:
        if WAITING in run.err:
            return True
        time.sleep(0.05)
    return WAITING in run.err


def _race(site: Site) -> Pair:
    """Start both at once, free to meet wherever they meet, or nowhere; the one that comes second waits."""
    first, second = (site.start("apply", "--yes") for _ in range(2))
    first.wait(), second.wait()
    said = any(WAITING in run.err or WHO.search(run.out) for run in (first, second))
    return _judge(site, first, second, _codes(first, second, (0, 0)), how=RACES, said=said)


def _codes(first: Run, second: Run, right: tuple[int, int]) -> list[str]:
    if (first.code, second.code) == right:
        return []
    return [f"exit codes {first.code}, {second.code}:\n{first.out}{first.err}\n{second.out}{second.err}"]


def _judge(site: Site, first: Run, second: Run, wrong: list[str], *, how: str, said: bool) -> Pair:
    mints = site.mints(KEY)
    found = [*wrong, *_rest(site)]
    if mints != 1:
        found.append(f"{mints} mints")
    return Pair(how, said, (first.wait(), second.wait()), mints, tuple(found))


def _rest(site: Site) -> Iterator[str]:
    yield from breaches(site, KEY)
    if loud := noise(site):
        yield f"a further apply changes {loud}"
