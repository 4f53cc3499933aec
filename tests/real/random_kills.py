"""Rotations under SIGKILL at any moment, each followed by one `apply`; what was lost, and what was left over."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.real.environment import Servers, Site
from tests.real.promise import ASKED, breaches, noise
from tests.real.relay import Moment

KEYS = {"swap": "alternating", "swift": "in-place"}
LANES = 5
LONGEST = 8.0
"""Seconds that a rotation takes, about: no moment of it is spared."""
EFFECTS = 14


@dataclass(frozen=True, slots=True)
class Kills:
    """What came of it; `begun` counts rotations of one key that a killed run had started or was asked for."""

    kills: int
    begun: int
    generations: int
    mints: int
    wrong: tuple[str, ...]
    outage: float
    """Seconds for which the store held a dead secret of an `alternating` key: 0, or the promise is broken."""
    seconds: float


def random_kills(shared: Servers, kills: int, seed: int = 1) -> Kills:
    """Kill so many runs, each of which rotates a key of each strategy, and apply after each."""
    start = time.monotonic()
    lanes = min(LANES, kills)
    shares = [kills // lanes + (lane < kills % lanes) for lane in range(lanes)]
    with ThreadPoolExecutor(lanes) as pool:
        found = list(pool.map(lambda lane: _lane(shared, shares[lane], random.Random(f"{seed}/{lane}")), range(lanes)))
    return Kills(
        kills=kills,
        begun=kills * len(KEYS),
        generations=sum(one.generations for one in found),
        mints=sum(one.mints for one in found),
        wrong=tuple(wrong for one in found for wrong in one.wrong),
        outage=sum(one.outage for one in found),
        seconds=time.monotonic() - start,
    )


def _lane(shared: Servers, kills: int, chance: random.Random) -> Kills:
    with Site(shared) as site:
        for key, strategy in KEYS.items():
            site.existing(key, strategy)
        site.come_to_rest(overlap="1s")
        before = {key: site.mints(key) for key in KEYS}
        wrong = [f"{site.id}, kill {number}: {what}" for number in range(kills) for what in _kill(site, chance)]
        for key in KEYS:
            site.wait_for_overlap(key)
        wrong += [f"{site.id}: not quiet: {key}" for key in noise(site)]
        wrong += [f"{site.id}, at the end: {what}" for key in KEYS for what in breaches(site, key)]
        generations = sum(record.generation - 1 for key in KEYS if (record := site.record(key)))
        mints = sum(site.mints(key) - before[key] for key in KEYS)
        return Kills(kills, kills * len(KEYS), generations, mints, tuple(wrong), site.outage("swap"), 0.0)


def _kill(site: Site, chance: random.Random) -> Iterator[str]:
    """Rotate, kill at a random moment, apply once; yield what is wrong then."""
    if chance.random() < 0.5:
        moment = chance.choice((Moment.BEFORE, Moment.AFTER))
        hold = site.gate.at(chance.randrange(1, EFFECTS), moment)
        run = site.start("rotate", *KEYS, "--yes")
        site.until_reached(hold, run)
        run.kill()
        site.gate.open()
        how = f"{moment} {hold.what}"
    else:
        after = chance.uniform(0.0, LONGEST)
        run = site.start("rotate", *KEYS, "--yes")
        deadline = time.monotonic() + after
        while run.alive and time.monotonic() < deadline:
            time.sleep(0.005)
        run.kill()
        how = f"after {after:.2f} s"
    next_run = site.apply()
    if next_run.code != 0:
        yield f"{how}: the next apply ends with {next_run.code}: {next_run.out}"
    for key in KEYS:
        # A rotation that was asked for during an overlap waits for its end; the next round does both.
        for what in breaches(site, key):
            if not what.endswith(ASKED):
                yield f"{how}: {what}"
