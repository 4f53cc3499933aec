"""Two `keyturn apply` at once: one works, the other says who."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.real.promise import breaches, noise
from tests.real.relay import Moment
from tests.real.run import Run
from tests.real.site import PATIENT, Servers, Site

KEY = "key"
LANES = 4
WHO = re.compile(r"run [0-9a-f]{32} has been working on it")


@dataclass(frozen=True, slots=True)
class Twins:
    """How a pair ended: whether the second said who was working, the codes, the mints, and what was wrong."""

    held: bool
    said_who: bool
    codes: tuple[int, int]
    mints: int
    wrong: tuple[str, ...]


def twins(shared: Servers, pairs: int) -> list[Twins]:
    """Run so many pairs: every other one free to race, the rest with the first held in the middle of its mint."""
    with ThreadPoolExecutor(LANES) as pool:
        return list(pool.map(lambda number: _pair(shared, number), range(pairs)))


def _pair(shared: Servers, number: int) -> Twins:
    with Site(shared) as site:
        site.timing = PATIENT
        site.existing(KEY, "alternating" if number % 4 < 2 else "in-place")
        return _held(site) if number % 2 else _race(site)


def _held(site: Site) -> Twins:
    """Start the second while the first waits for the answer to its mint: it must not wait longer than it is told."""
    hold = site.gate.on("regenerate", Moment.AFTER)
    first = site.start("apply", "--yes")
    reached = site.until_reached(hold, first)
    second = site.apply("--lock-timeout", "1s")
    hold.let_go()
    first.wait()
    said = bool(WHO.search(second.out))
    wrong = [] if reached else ["the first never minted"]
    wrong += _codes(first, second, {(0, 1)}) + ([] if said else [f"the second does not say who: {second.out}"])
    return _judge(site, first, second, wrong, held=True, said=said)


def _race(site: Site) -> Twins:
    """Start both at once, free to meet wherever they meet; the one that comes second waits for the other."""
    first, second = (site.start("apply", "--yes") for _ in range(2))
    first.wait(), second.wait()
    said = any("is working on it" in run.err or WHO.search(run.out) for run in (first, second))
    return _judge(site, first, second, _codes(first, second, {(0, 0)}), held=False, said=said)


def _codes(first: Run, second: Run, right: set[tuple[int, int]]) -> list[str]:
    if (first.code, second.code) in right:
        return []
    return [f"exit codes {first.code}, {second.code}:\n{first.out}{first.err}\n{second.out}{second.err}"]


def _judge(site: Site, first: Run, second: Run, wrong: list[str], *, held: bool, said: bool) -> Twins:
    mints = site.mints(KEY)
    found = [*wrong, *_rest(site)]
    if mints != 1:
        found.append(f"{mints} mints")
    return Twins(held, said, (first.wait(), second.wait()), mints, tuple(found))


def _rest(site: Site) -> Iterator[str]:
    yield from breaches(site, KEY)
    if loud := noise(site):
        yield f"a further apply changes {loud}"
