"""Two runs at once: every interleaving of their effects with up to so many switches between them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from keyturn.core.model import DesiredKey, Timing
from keyturn.core.results import KeyReport, Options
from keyturn.engine.executor import apply_key
from tests.simulation import rules
from tests.simulation.faults import Class, Fault, Killed, Kind, parse
from tests.simulation.play import Scenario, Tally, Violation
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld

BRISK = Timing(delivery=6, settle=5, lease=14, propagation=5, request=3)
"""Shorter waits, so that fewer of them are met while the other run stands still."""
LONGEST = 60
"""Among how many effects switches are tried."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """How two runs meet: at which effects (of both, counted together) the other goes on, and what the first suffers.

    `frozen`: who is left stands still until the next switch; otherwise it goes on when the other sleeps.
    `here`: both are on one machine, and see whether the other lives.
    """

    switches: tuple[int, ...]
    frozen: bool = False
    here: bool = False
    fault: tuple[int, Fault] | None = None
    second: Options = Options()

    def __str__(self) -> str:
        """Show as in a seed."""
        fault = f"{self.fault[0]}:{self.fault[1]}" if self.fault else "-"
        asks = "rotate" if self.second.rotate else "apply"
        where = "here" if self.here else "elsewhere"
        return f"{'frozen' if self.frozen else 'free'} {where} {','.join(map(str, self.switches))} {fault} {asks}"


def meeting(text: str) -> Meeting:
    """Read what `str` of a meeting shows."""
    frozen, here, switches, fault, asks = text.split()
    index, _, kind = fault.partition(":")
    return Meeting(
        tuple(map(int, switches.split(","))),
        frozen == "frozen",
        here == "here",
        (int(index), parse(kind)) if kind else None,
        Options(rotate=asks == "rotate"),
    )


class _Runner(SimWorld):
    """One of the two: asks the match before each effect, and sleeps by letting the other go on."""

    match: Match
    number: int

    def _point(self, kind: Class, where: str) -> Fault | None:
        self.match.step(self.number)
        return super()._point(kind, where)

    def sleep(self, seconds: float) -> None:
        """Let the other go on meanwhile."""
        self.match.sleep(self.number, seconds)


class Match:
    """Runs both, one effect at a time, on two threads that hand each other one baton."""

    def __init__(
        self, universe: Universe, scenario: Scenario, meeting: Meeting, second: DesiredKey | None = None
    ) -> None:
        """Nothing runs before `play`. `second`: the other run's own key, else both have the same."""
        self.second = second
        self.universe = universe
        self.meeting = meeting
        self.scenario = scenario
        self.steps = 0
        self.wakes = [universe.now, universe.now]
        self.frozen = [False, False]
        self.done = [False, False]
        self.reports: list[KeyReport | None] = [None, None]
        self.batons = [threading.Semaphore(0), threading.Semaphore(0)]
        self.worlds: list[_Runner] = []

    def play(self) -> list[KeyReport | None]:
        """Run both to their ends; None for one that died."""
        act = self.scenario.acts[0]
        desired = [replace(one, timing=BRISK) for one in (act.desired, self.second or act.desired)]
        asked = (act.options, self.meeting.second)
        faults: Mapping[int, Fault] = dict([self.meeting.fault]) if self.meeting.fault else {}

        def work(number: int) -> None:
            self.batons[number].acquire()
            try:
                world = self.worlds[number]
                self.reports[number] = apply_key(world, desired[number], asked[number], f"run-{number}")
            except Killed:
                pass
            except Exception as error:  # noqa: BLE001 - whatever is raised is a violation
                self.universe.blame(f"raised {type(error).__name__}: {error}")
            self.done[number] = True
            other = 1 - number
            self.worlds[other].alive = False if self.meeting.here else None
            self.frozen[other] = False
            if not self.done[other]:
                self._go_on(other)

        for number in (0, 1):
            alive = True if self.meeting.here else None
            world = _Runner(self.universe, {} if number else faults, BRISK, alive=alive, run=f"run-{number}")
            world.match, world.number = self, number
            self.worlds.append(world)
        threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in (0, 1)]
        for thread in threads:
            thread.start()
        self.batons[0].release()
        for thread in threads:
            thread.join(60)
            if thread.is_alive():
                self.universe.blame("the two runs do not end")
        return self.reports

    def _go_on(self, number: int) -> None:
        """Let a runner continue from where it is, at the moment when it wakes."""
        self.universe.advance(max(0.0, self.wakes[number] - self.universe.now))
        self.batons[number].release()

    def step(self, number: int) -> None:
        """Let the other go on before this effect, where the meeting says so."""
        here = self.steps
        self.steps += 1
        other = 1 - number
        if here not in self.meeting.switches or self.done[other]:
            return
        self.frozen[number], self.frozen[other] = self.meeting.frozen, False
        self.wakes[number] = self.universe.now
        self._go_on(other)
        self.batons[number].acquire()

    def sleep(self, number: int, seconds: float) -> None:
        """Sleep; anyone who wakes first goes on."""
        other = 1 - number
        self.wakes[number] = self.universe.now + seconds
        if self.done[other] or self.frozen[other] or self.wakes[other] > self.wakes[number]:
            self.universe.advance(max(0.0, self.wakes[number] - self.universe.now))
            return
        self._go_on(other)
        self.batons[number].acquire()


def meetings(effects: int, switches: int, *, part: tuple[int, int] = (0, 1)) -> Iterator[Meeting]:
    """Return every meeting with up to so many switches among so many effects."""
    for count in range(1, switches + 1):
        for number, places in enumerate(combinations(range(effects), count)):
            if number % part[1] != part[0]:
                continue
            for frozen in (True, False):
                for second in (Options(), Options(rotate=True)):
                    yield Meeting(places, frozen, here=frozen and count == 1, second=second)


def struck(effects: int) -> Iterator[Meeting]:
    """Return meetings with one switch, in which the first run suffers one fault near its mint."""
    for index in range(4, 16):
        for fault in (Fault(Kind.LATE), Fault(Kind.LATE, 5), Fault(Kind.LOST), Fault(Kind.STALL), Fault(Kind.SLOW)):
            for place in range(index, effects, 2):
                for frozen in (True, False):
                    yield Meeting((place,), frozen, fault=(index, fault))


def fight(scenario: Scenario, meeting: Meeting) -> tuple[Universe, int]:
    """Play one meeting to the end of the history; return the world and the effects of both runs."""
    universe = scenario.start()
    match = Match(universe, scenario, meeting)
    reports = match.play()
    rules.leak(universe, reports)
    universe.failed_runs = 3
    if not universe.wrong:
        last = scenario.acts[0]
        rules.finish(universe, last.desired, scenario.last, last.desired.timing)
    return universe, match.steps


def duels(scenario: Scenario, switches: int, *, part: tuple[int, int] = (0, 1), first: bool = False) -> Tally:
    """Play every meeting of two runs of a scenario's first act."""
    tally = Tally()
    probes = (Meeting((place,), frozen, second=Options(rotate=True)) for place in (5, 9) for frozen in (True, False))
    longest = min(max(fight(scenario, probe)[1] for probe in probes), LONGEST)
    more = (meeting for number, meeting in enumerate(struck(longest)) if number % part[1] == part[0])
    for one in (*meetings(longest, switches, part=part), *more):
        universe, steps = fight(scenario, one)
        tally.histories += 1
        tally.runs += 2
        tally.effects += steps
        if universe.wrong:
            tally.violations.append(
                Violation(f"{scenario.name}|{scenario.strategy}|{scenario.places}|two: {one}", universe.wrong)
            )
            if first:
                break
    return tally
