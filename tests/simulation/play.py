"""Histories: what is done to a key, run by run, and every way in which it can be disturbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from keyturn.core.model import DesiredKey
from keyturn.core.reasons import Condition
from keyturn.core.results import KeyReport, Options, Progress
from keyturn.engine.executor import apply_key
from tests.simulation import rules
from tests.simulation.faults import LIMITS, OWN, Fault, Killed, Kind, Token, faults_at, parse
from tests.simulation.rules import Stops
from tests.simulation.universe import Universe
from tests.simulation.world import Point, SimWorld

Faults = Mapping[int, Fault]
WHOLE = (0, 1)
"""The share that is all of it: (number, of how many)."""
TRIES = 6
"""How often a run is tried again, where each try may be struck again."""


@dataclass(frozen=True, slots=True)
class Act:
    """One thing done: time passes, an operator may change something, then apply runs."""

    desired: DesiredKey
    options: Options = Options()
    after: float = 1.0
    by_hand: Callable[[Universe], None] | None = None
    once: bool = False
    """It is not tried again: what comes next happens to it as it is."""
    again: bool = False
    """It is tried again with its own options, not with the history's last ones: an operator insists."""
    ends: str = ""
    """It is also done when it ends with this code: it waits for an operator, or says what is wrong."""
    excused: Callable[[Universe], str] | None = None
    """Says why it cannot come to its end here: then one apply without a fault is all of it; empty where it can."""
    skew: float = 0.0
    """By how many seconds this machine's wall clock is off."""
    token: Token = OWN
    quiet: bool = False
    """It changes nothing, where no fault strikes it, and nothing was left open."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world at rest, and what is done to it."""

    name: str
    strategy: str
    places: str
    """How many deliveries, with a `u` where their target has no compare-and-set."""
    start: Callable[[], Universe]
    acts: tuple[Act, ...]
    last: Options = Options()
    """The options of the last applies, and of every run that is tried again."""
    stops: Stops = Stops.NEVER
    row: bool = False
    """It is one operation over another."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for a whole history: where the next run is, how soon it comes, in which order it delivers."""

    alive: bool | None = False
    gap: float = 1.0
    backwards: bool = False

    def __str__(self) -> str:
        """Show as in a seed."""
        return f"{'here' if self.alive is False else 'elsewhere'}/{self.gap:g}/{'back' if self.backwards else 'forth'}"


@dataclass(frozen=True, slots=True)
class Violation:
    """What broke, and the seed that replays it."""

    seed: str
    what: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What one sweep, or many, came to."""

    histories: int = 0
    runs: int = 0
    effects: int = 0
    points: int = 0
    """The effects at which the faults struck: a history is cut before and after each of them."""
    faults: int = 0
    violations: list[Violation] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another sweep's."""
        self.histories += other.histories
        self.runs += other.runs
        self.effects += other.effects
        self.points += other.points
        self.faults += other.faults
        self.violations += other.violations


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a scenario a history is: the next act, and how often it was tried."""

    act: int = 0
    tries: int = 0


def run(
    universe: Universe, scenario: Scenario, place: Place, faults: Faults, setting: Setting
) -> tuple[Place, list[Point]]:
    """Play one run on `universe`; return where the history goes on, and the points that the run passed."""
    act = scenario.acts[place.act]
    if place.tries == 0:
        universe.advance(act.after)
        if act.by_hand:
            act.by_hand(universe)
    else:
        universe.advance(setting.gap)
    _begin(universe, act, place)
    limited = bool(faults) and all(fault.kind in LIMITS for fault in faults.values())
    calm, before = (not faults or limited) and not universe.late, universe.mutations
    twin, minted = universe.copy() if limited and calm else None, len(universe.mints)
    record = universe.records.get("main", (None, 0))[0]
    still = record is not None and not record.intent and (record.parked is not None or act.ends != "parked")
    still = still and not rules.rolled_out(universe)
    world = SimWorld(
        universe,
        faults,
        act.desired.timing,
        alive=setting.alive,
        backwards=setting.backwards,
        skew=act.skew,
        token=act.token,
    )
    told: list[Progress] = []
    report: KeyReport | None = None
    options = scenario.last if place.tries and not act.again else act.options
    usual = _mints(twin, act, options, setting) if twin else 0
    try:
        report = apply_key(world, act.desired, options, f"run-{universe.runs}", told.append, lambda: world.stopping)
        if calm and _edited(scenario, place) and report.end.code in rules.ASKED:
            agreed = replace(options, allow_extra=True, allow_unproven=True)
            fresh = SimWorld(universe, {}, act.desired.timing, skew=act.skew, token=act.token)
            report = apply_key(fresh, act.desired, agreed, f"run-{universe.runs}-agreed", told.append)
    except Killed:
        pass
    except Exception as error:  # noqa: BLE001 - whatever is raised is a violation
        universe.blame(f"raised {type(error).__name__}: {error}")
    if world.fired:  # it may not have come to write down what refused it
        universe.refused = frozenset()
    rules.leak(universe, report, told)
    _blame_success(world, report)
    if twin and len(universe.mints) - minted != usual:
        universe.blame(f"a 429 made it mint {len(universe.mints) - minted} times, not {usual}")
    if act.quiet and calm and still and universe.mutations != before:
        universe.blame("I8: it changed something where there was nothing to change")
    if act.token.foreign:
        _touched_nothing(universe, world, report)
    done = _done(scenario, act, report, struck=bool(faults))
    done = done or bool(calm and act.excused and act.excused(universe))
    if calm and report and not (done or act.once):
        universe.blame(f"I1: one apply was not enough: {report.end.code}: {report.end.why} {' '.join(report.problems)}")
    if done or act.once or place.tries >= TRIES:
        return Place(place.act + 1), world.trace
    universe.failed_runs += 1
    return Place(place.act, place.tries + 1), world.trace


def _mints(universe: Universe, act: Act, options: Options, setting: Setting) -> int:
    """Play a run without faults and return how often it minted."""
    before = len(universe.mints)
    world = SimWorld(universe, {}, act.desired.timing, alive=setting.alive, skew=act.skew, token=act.token)
    apply_key(world, act.desired, options, f"run-{universe.runs}")
    return len(universe.mints) - before


def _blame_success(world: SimWorld, report: KeyReport | None) -> None:
    """Check what has to be true where a run says that all is well."""
    if report is None or report.exit_code:
        return
    if report.end.code != "back-off":
        rules.killed(world.universe)
    if any(place.target in world.universe.shut for place in world.universe.wanted):
        world.universe.blame("all is well, though a place is gone")
    if world.undead:
        world.universe.blame("an old secret lives on, and nobody was told")


def _touched_nothing(universe: Universe, world: SimWorld, report: KeyReport | None) -> None:
    """Check that a run with another team's token sent nothing and said so."""
    if world.changes:
        universe.blame("I9: a run with another team's token changed something")
    gone = report is not None and report.end.code == "absent"
    if report is not None and not gone and not world.fired and report.exit_code != 4:
        universe.blame(f"I9: a run with another team's token ended with {report.exit_code}: {report.end.code}")


def _begin(universe: Universe, act: Act, place: Place) -> None:
    """Note what the rules need to know of an act before its next run."""
    universe.runs += 1
    rules.begin(universe, act.desired, compromised=act.options.compromised and place.tries == 0)


def _edited(scenario: Scenario, place: Place) -> bool:
    """Tell whether the entry has changed: what the earlier one left half made, an operator has to agree to."""
    return any(act.desired != scenario.acts[place.act].desired for act in scenario.acts[: place.act])


def _done(scenario: Scenario, act: Act, report: KeyReport | None, *, struck: bool) -> bool:
    """Tell whether an act came to its end; what a fault has left open does not wait for a rollout."""
    if report is None:
        return False
    stopped = report.end.condition is Condition.HELD and scenario.stops is not Stops.NEVER
    ended = report.exit_code == 0 or (rules.rolling(report) and not struck)
    return ended or stopped or (act.ends != "" and report.end.code == act.ends)


class Sweep:
    """Every history of a scenario with up to so many faults; equal moments between two runs are gone on from once."""

    def __init__(self, scenario: Scenario, setting: Setting, *, coarse: bool = False, first: bool = False) -> None:
        """`coarse`: fewer kinds of faults; `first`: stop at the first violation."""
        self.scenario = scenario
        self.setting = setting
        self.coarse = coarse
        self.first = first
        self.tally = Tally()
        self._known: dict[tuple[str, Place, int], int] = {}

    def play(self, faults: int, *, part: tuple[int, int] = WHOLE) -> Tally:
        """Play all histories with up to `faults` faults, or the share `part` = (n, of) of them."""
        self.tally.histories += self._explore(self.scenario.start(), Place(), faults, (), part)
        return self.tally

    @property
    def over(self) -> bool:
        """Whether to stop."""
        return self.first and bool(self.tally.violations)

    def _explore(
        self, universe: Universe, place: Place, left: int, path: tuple[Faults, ...], part: tuple[int, int]
    ) -> int:
        if universe.wrong:
            self._report(universe, path)
            return 1
        known = (universe.print(), place, left)
        if known in self._known:
            return self._known[known]
        if place.act == len(self.scenario.acts):
            self._finish(universe.copy(), path)
            count = 1
        else:
            count = self._within(universe, place, {}, 0, left, path, part)
        self._known[known] = count
        return count

    def _within(
        self,
        universe: Universe,
        place: Place,
        faults: Faults,
        start: int,
        left: int,
        path: tuple[Faults, ...],
        part: tuple[int, int] = WHOLE,
    ) -> int:
        """Play a run with these faults and continue from its end; then with one more, at every point from `start`."""
        moment = universe.copy()
        after, trace = run(moment, self.scenario, place, faults, self.setting)
        self.tally.runs += 1
        self.tally.effects += len(trace)
        here = (*path, faults)
        count = self._explore(moment, after, left, here, WHOLE) if part[0] == 0 else 0
        if not left:
            return count
        cut: tuple[Point, int] | None = None
        for index in range(start, len(trace)):
            if index % part[1] != part[0]:
                continue
            self.tally.points += 1
            for fault in faults_at(trace[index][0], coarse=self.coarse):
                if self.over:
                    return count
                if fault.kind is Kind.CUT and cut and cut[0][1:] == trace[index][1:]:
                    count += cut[1]
                    continue
                self.tally.faults += 1
                found = self._within(universe, place, {**faults, index: fault}, index + 1, left - 1, path)
                if fault.kind is Kind.CUT:
                    cut = (trace[index], found)
                count += found
        return count

    def _finish(self, universe: Universe, path: tuple[Faults, ...]) -> None:
        last = self.scenario.acts[-1]
        try:
            rules.finish(universe, last.desired, self.scenario.last, last.desired.timing, stops=self.scenario.stops)
        except Exception as error:  # noqa: BLE001 - whatever is raised is a violation
            universe.blame(f"raised {type(error).__name__}: {error}")
        if universe.wrong:
            self._report(universe, path)

    def _report(self, universe: Universe, path: tuple[Faults, ...]) -> None:
        self.tally.violations.append(Violation(seed(self.scenario, self.setting, path), universe.wrong))


def seed(scenario: Scenario, setting: Setting, path: tuple[Faults, ...]) -> str:
    """Return the text from which a history can be played again."""
    runs = "/".join(",".join(f"{index}:{fault}" for index, fault in faults.items()) for faults in path)
    return f"{scenario.name}|{scenario.strategy}|{scenario.places}|{setting}|{runs}"


def unseed(text: str) -> tuple[Setting, tuple[Faults, ...]]:
    """Read the last two parts of a seed."""
    where, runs = text.split("|")
    alive, gap, order = where.split("/")
    setting = Setting(False if alive == "here" else None, float(gap), order == "back")
    path = []
    for one in runs.split("/"):
        pairs = (item.split(":") for item in one.split(",") if item)
        path.append({int(index): parse(fault) for index, fault in pairs})
    return setting, tuple(path)


def replay(scenario: Scenario, text: str, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Play one history and tell its runs; return what broke."""
    setting, path = unseed(text)
    universe, place = scenario.start(), Place()
    runs = list(path)
    while place.act < len(scenario.acts) and not universe.wrong:
        faults = runs.pop(0) if runs else {}
        before = place
        place, trace = run(universe, scenario, place, faults, setting)
        struck = {index: f"{fault} at {trace[index][0]}" for index, fault in faults.items() if index < len(trace)}
        record = universe.records.get("main", (None, 0))[0]
        tell(f"act {before.act} try {before.tries}: {len(trace)} effects, {struck}, record {record}")
    if not universe.wrong:
        last = scenario.acts[-1]
        rules.finish(universe, last.desired, scenario.last, last.desired.timing, stops=scenario.stops)
        tell(f"end: {universe.records.get('main', (None, 0))[0]}")
    return universe.wrong
