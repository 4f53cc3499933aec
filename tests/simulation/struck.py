"""Rounds that are struck, or met by another process's rounds, at each effect; then all has to converge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from keyturn.core.model import Delivery
from keyturn.core.rounds import Pace
from tests.simulation.faults import Class, Fault, Killed, Kind, faults_at
from tests.simulation.fleet import Fleet, SimAccount, entry, kept, panel, restarted, rested, writes

PACE = Pace(shares=2)
REST = 3 * 3600.0
"""Longer than any back-off, overlap, lease or settle time, with a retire and the whole rounds after it."""
SETTLE = 240.0


@dataclass(frozen=True, slots=True)
class Broken:
    """A history that broke something."""

    where: str
    why: str


@cache
def _start() -> SimAccount:
    """Return an account with three keys at rest, of which something is to be done, and a new one."""
    account = rested(20).account
    keep = ("bot-0000", "bot-0001", "bot-0002")
    account.keys = {name: account.keys[name] for name in keep}
    universe = account.universe
    universe.records = {name: universe.records[name] for name in keep}
    universe.keys = {uuid: key for uuid, key in universe.keys.items() if key.name[:8] in keep}
    universe.fields = {place: value for place, value in universe.fields.items() if place.path in keep}
    universe.steady = frozenset(place for place in universe.steady if place.path in keep)
    first, second, third = (account.keys[name] for name in keep)
    account.keys[first.id] = replace(first, trigger="leak", fingerprint="2")
    account.keys[second.id] = replace(second, deliveries=(*second.deliveries, Delivery("w", "more", "key")))
    account.keys[third.id] = replace(third, trigger="leak", fingerprint="2")
    new = entry(900)
    account.keys[new.id] = new
    panel(universe, new)
    universe.others |= {(new.owner, new.id)}
    universe.wanted |= {place for key in account.keys.values() for place in key.deliveries}
    universe.given |= {key.secret for key in universe.keys.values()}
    return account


def _fresh(seed: str) -> Fleet:
    began = _start()
    return restarted(SimAccount(began.universe.copy(), dict(began.keys)), PACE, seed)


def _judge(*fleets: Fleet, once: bool = False) -> str:
    """Let time pass without faults, and say what is wrong then; `once`: each rotation came once."""
    one, universe = fleets[0], fleets[0].universe
    try:
        for _ in range(int(REST / SETTLE)):
            for each in fleets:
                each.go(SETTLE / len(fleets))
        parked = [key for key, (record, _) in universe.records.items() if record.parked]
        if parked:
            return f"parked: {parked}"
        kept(one)
        worlds = [world for each in fleets for world in each.go(700)]
    except AssertionError as error:
        return f"{universe.wrong or error!r}"
    generations = [universe.records[key][0].generation for key in one.account.keys]
    if once and generations != [2, 1, 2, 1]:
        return f"generations: {generations}"
    if writes(worlds):
        return "I8: rounds at rest wrote"
    return "; ".join(universe.wrong)


def _trace() -> list[Class]:
    """Return the effects of the first round, if nothing strikes it."""
    one = _fresh("one")
    one.rounds.step()
    return [kind for kind, *_ in one.account.worlds[0].trace]


def strikes(part: tuple[int, int] = (0, 1)) -> Iterator[tuple[int, Fault]]:
    """Yield every fault at every effect of the round, or a share of them.

    But for MUTE, which strikes all keys: what a run may send without an answer is counted for one key.
    """
    kinds = enumerate(_trace())
    every = [(at, fault) for at, kind in kinds for fault in faults_at(kind, coarse=True) if fault.kind is not Kind.MUTE]
    yield from every[part[0] :: part[1]]


def struck(index: int, fault: Fault) -> Broken | None:
    """Let a fault strike a round; a process that dies is followed by another one."""
    one = _fresh("one")
    one.account.faults = {index: fault}
    try:
        one.rounds.step()
    except Killed:
        one = restarted(one.account, PACE, "two")
    why = _judge(one)
    return Broken(f"{index}:{fault}", why) if why else None


def meetings(part: tuple[int, int] = (0, 1)) -> Iterator[int]:
    """Yield every effect of the round before which another process may do a round, or a share of them."""
    yield from range(len(_trace()))[part[0] :: part[1]]


def met(index: int, seconds: float = 0.0) -> Broken | None:
    """Let another process do rounds in the middle of this one's; then both go on, and no key rotates twice.

    `seconds`: for how long this process stands still meanwhile; 0: for one round of the other.
    """
    one = _fresh("one")
    other = restarted(SimAccount(one.universe, one.account.keys), PACE, "two")

    def meet(at: int) -> None:
        if at == index and not other.account.worlds:
            if seconds:
                other.go(seconds)
            else:
                other.rounds.step()

    one.account.before = meet
    one.rounds.step()
    one.account.before = None
    why = _judge(one, other, once=True)
    return Broken(f"met at {index} for {seconds:g} s", why) if why else None
