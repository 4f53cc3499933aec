"""What is simulated: the jobs, how they are shared among processes, and what they come to."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from tests.simulation import duel, lives
from tests.simulation.decisions import counting, recorded
from tests.simulation.marking_slips import MARKING
from tests.simulation.mutants import MUTANTS, Mutant, broken
from tests.simulation.play import Scenario, Setting, Sweep, Tally, Violation
from tests.simulation.scenarios import scenarios
from tests.simulation.slips import SLIPS

HERE = Setting()
SETTINGS = {
    "here": HERE,
    "elsewhere": Setting(None, 1.0),
    "later": Setting(None, 900.0),
    "backwards": Setting(False, 1.0, backwards=True),
}
WRITE_ONLY = {"s": True, "dr": True, "d": False, "rs": False, "ps": False}
"""Places of which some or all cannot be read (`scenarios.placed`), and whether operations in a row are played there."""
IN_PAIRS = (("rotate", "in-place"), ("rotate", "alternating"), ("rotate-twice", "alternating"))
"""The operations whose pairs of faults are always played."""
EVERY_MUTANT = {**MUTANTS, **SLIPS, **MARKING}
MANY = 100_000
"""How many histories are enough, unless HISTORIES asks for more."""


@dataclass(frozen=True, slots=True)
class Job:
    """A share of the histories of one operation."""

    kind: str
    operation: str
    strategy: str
    places: str = "1"
    setting: str = "here"
    faults: int = 1
    coarse: bool = False
    part: tuple[int, int] = (0, 1)

    def __str__(self) -> str:
        """Show as it is named among the decisions."""
        faults = f"{self.faults} coarse" if self.coarse else str(self.faults)
        share = f"{self.part[0]}/{self.part[1]}"
        return f"{self.kind}|{self.operation}|{self.strategy}|{self.places}|{self.setting}|{faults}|{share}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a job came to."""

    job: Job
    tally: Tally
    seconds: float
    decisions: str = ""
    """The number of all decisions, if they were counted (decisions.py)."""


@dataclass(frozen=True, slots=True)
class Caught:
    """Which history showed a mutant; None where none did."""

    mutant: str
    by: Violation | None
    histories: int = 0


@cache
def table(label: str = "1") -> dict[tuple[str, str], Scenario]:
    """Return every operation by name and strategy, with these places."""
    return {(one.name, one.strategy): one for one in scenarios(label)}


def singles() -> Iterator[Job]:
    """Every fault at every effect of every operation: one target; then two and three, other orders and machines.

    Of operations in a row, three targets and late retries are left out.
    """
    for (name, strategy), one in table().items():
        yield Job("faults", name, strategy)
        yield Job("faults", name, strategy, places="2", setting="elsewhere", coarse=True)
        if not one.row:
            yield Job("faults", name, strategy, places="3", setting="backwards", coarse=True)
    for (name, strategy), one in table("1u").items():
        yield Job("faults", name, strategy, places="1u", coarse=one.row)
        if not one.row:
            yield Job("faults", name, strategy, places="2u", setting="later", coarse=True)
    for label, rows in WRITE_ONLY.items():
        for (name, strategy), one in table(label).items():
            if rows or not one.row:
                yield Job("faults", name, strategy, places=label, coarse=True)


def always() -> Iterator[Job]:
    """Return the part of them that every test run plays: of operations in a row, the coarse faults with one target.

    Alternately it is one with compare-and-set and one without: operations in a row take most of the time.
    """
    rows = [where for where, one in table().items() if one.row]
    unfenced = {where for number, where in enumerate(rows) if number // 2 % 2 and where in table("1u")}
    for job in singles():
        where = job.operation, job.strategy
        if where not in rows:
            if WRITE_ONLY.get(job.places, True):
                yield job
        elif job.places == ("1u" if where in unfenced else "1"):
            yield replace(job, coarse=True)


def pairs(*operations: tuple[str, str]) -> Iterator[Job]:
    """Every pair of faults of some operations, in shares of like size."""
    for name, strategy in operations:
        yield from (Job("faults", name, strategy, faults=2, coarse=True, part=(share, 6)) for share in range(6))


def meetings(switches: int, shares: int) -> Iterator[Job]:
    """Two runs of a rotation at once."""
    for strategy in ("in-place", "alternating"):
        for share in range(shares):
            yield Job("two runs", "rotate", strategy, faults=switches, part=(share, shares))


def whole_lives(count: int, first: int = 0, *, maker: str = "life") -> Iterator[Job]:
    """Random lives, in shares of fifty; `part` holds the first number and the one after the last."""
    for start in range(first, first + count, 50):
        yield Job("lives", maker, "either", part=(start, start + 50))


def _of_kinds(count: int, first: int = 0) -> Iterator[Job]:
    """Return lives with a twist."""
    for maker in lives.MAKERS:
        if maker != "life":
            yield from whole_lives(count, first, maker=maker)


def batches(histories: int) -> Iterator[list[Job]]:
    """Return the jobs, the always played first; the later ones are for those who ask for more histories."""
    others = [where for where in sorted(table()) if where not in IN_PAIRS]
    yield [*pairs(*IN_PAIRS), *singles(), *meetings(2, 4), *whole_lives(1000), *_of_kinds(300)]
    if histories > MANY:
        yield list(pairs(*others))
    for number in range(1, 1000):
        yield [*whole_lives(5000, number * 5000), *_of_kinds(500, number * 500)]


def work(job: Job) -> Result:
    """Play one job."""
    started = time.process_time()
    if job.kind == "lives":
        tally = _lives(job.operation, *job.part)
    else:
        scenario = table(job.places)[job.operation, job.strategy]
        if job.kind == "two runs":
            tally = duel.duels(scenario, job.faults, part=job.part)
        else:
            tally = Sweep(scenario, SETTINGS[job.setting], coarse=job.coarse).play(job.faults, part=job.part)
    return Result(job, tally, time.process_time() - started)


def counted(job: Job) -> Result:
    """Play one job and count its decisions.

    The world that its histories start from is made before: it is kept for other jobs, so it belongs to none of them.
    """
    if job.kind != "lives":
        table(job.places)[job.operation, job.strategy].start()
    with recorded() as digest:
        result = work(job)
    return replace(result, decisions=str(digest))


def _lives(maker: str, first: int, end: int) -> Tally:
    tally = Tally()
    for number in range(first, end):
        strategy, events = lives.MAKERS[maker](number)
        wrong, effects = lives.judge(strategy, events)
        tally.histories += 1
        tally.effects += effects
        tally.runs += sum(isinstance(event, lives.Apply) for event in events)
        tally.faults += sum(len(event.faults) for event in events if isinstance(event, lives.Apply))
        if wrong:
            tally.violations.append(Violation(f"{maker}:{number}", wrong))
    return tally


def hunt(name: str) -> Caught:
    """Break the product as a mutant says, and play histories until one shows it."""
    mutant: Mutant = EVERY_MUTANT[name]
    played = 0
    for places in mutant.places:
        for where in mutant.where:
            scenario = table(places)[where]
            scenario.start()
            for faults in range(1, mutant.faults + 1):
                with broken(mutant):
                    if mutant.two:
                        tally = duel.duels(scenario, 2, first=True)
                    else:
                        tally = Sweep(scenario, HERE, coarse=faults > 1, first=True).play(faults)
                played += tally.histories
                if tally.violations:
                    return Caught(name, tally.violations[0], played)
    return Caught(name, None, played)


def in_parallel(jobs: Iterable[Job]) -> Iterator[Result]:
    """Share jobs among as many processes as there are cores."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        yield from pool.imap_unordered(counted if counting() else work, jobs)


def hunts() -> list[Caught]:
    """Hunt every mutant, side by side."""
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        return pool.map(hunt, EVERY_MUTANT, chunksize=1)
