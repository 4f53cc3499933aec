"""Whole lives of a key: months of edits, faults, other people's hands and time, made from a number and shrunk."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from keyturn.core.model import Adopt, AdoptSecret, Delivery, DesiredKey, Rotation, SlotName, Strategy
from keyturn.core.reasons import Condition
from keyturn.core.record import Record
from keyturn.core.results import KeyReport, Options
from keyturn.engine.executor import apply_key
from keyturn.engine.planning import plan_key
from tests.simulation import rules, telling
from tests.simulation.faults import STOPS, Class, Fault, Killed, faults_at
from tests.simulation.naming import also, places, real
from tests.simulation.people import of_others
from tests.simulation.scenarios import OVERLAP, PLACES, TIMING, empty, entry
from tests.simulation.sequences import SET
from tests.simulation.universe import MARK, Rename, Renew, Universe
from tests.simulation.world import SimWorld

DAY = 86400.0
MONTHLY = timedelta(days=30)
ALL_PLACES = (*PLACES, Delivery("plain", "file", "key"))
KINDS = {
    name: "plain" if item.target == "plain" else "sim"
    for item in ALL_PLACES
    for name in (item.target, also(item).target)
}
"""The type of each target, where a place goes by two names: of one type, all have versions or none has."""
EVERY_FAULT = tuple({fault for kind in Class for fault in faults_at(kind)})
_ORDERED = tuple(sorted(fault for fault in EVERY_FAULT if fault.kind not in STOPS))


@dataclass(frozen=True, slots=True)
class Apply:
    """One run, with what strikes it."""

    faults: Mapping[int, Fault] = field(default_factory=dict)
    options: Options = Options()
    skew: float = 0.0
    """By how many seconds this machine's wall clock is off."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Time passes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Edit:
    """The entry is changed; None leaves as it is."""

    name: str | None = None
    strategy: Strategy | None = None
    places: tuple[Delivery, ...] | None = None
    trigger: str | None = None
    absent: bool | None = None


@dataclass(frozen=True, slots=True)
class Hand:
    """An operator does something.

    `renames` or `deletes` an API key, `puts-back` an old secret, `clears` a field, `steals` a key by regenerating it,
    or `hands-over` the record to another owner.
    """

    does: str
    which: int = 0


@dataclass(frozen=True, slots=True)
class Forget:
    """At rest, the key is forgotten, with what strikes that run; then its API keys are adopted again."""

    faults: Mapping[int, Fault] = field(default_factory=dict)


Event = Apply | Pass | Edit | Hand | Forget
RULE = 20
"""By so many characters of what broke two violations are the same."""
MILD = ("renames", "deletes", "hands-over")
"""What an operator does that the next apply finds, or is told."""
ROUGH = ("puts-back", "clears", "steals")
"""What an operator does that costs an outage by itself, and that only `--verify` finds."""


class Life:
    """A key as it lives: goes from event to event, and is judged at every effect and at its end."""

    def __init__(self, strategy: Strategy) -> None:
        """A life begins with an empty world."""
        self.universe: Universe = empty()
        self.universe.unfenced = frozenset({"plain"})
        self.desired: DesiredKey = entry(strategy, 1, rotation=Rotation(strategy, MONTHLY, OVERLAP))
        self.calm = True
        self.ours, self.handed = True, False
        self.effects = 0

    def live(self, event: Event) -> None:
        """Go through one event."""
        match event:
            case Apply():
                self._apply(event)
            case Pass(seconds):
                self.universe.advance(seconds)
            case Edit():
                self._edit(event)
            case Hand():
                self._by_hand(event)
            case Forget(faults):
                self._forget(faults)

    def _apply(self, event: Apply) -> None:
        universe, options = self.universe, event.options
        universe.advance(1.0)
        reader = SimWorld(universe, {}, TIMING)
        rules.leak(universe, plan_key(reader, self.desired, options))
        if reader.changes:
            universe.blame("I7: a plan wrote")
        telling.told(universe, self.desired, TIMING)
        universe.runs += 1
        rules.begin(universe, self.desired, compromised=options.compromised)
        if options.compromised:
            universe.steady = frozenset()
        # A take-over that was under way may have landed meanwhile.
        self.ours = self.ours or self._record().owner == self.desired.owner
        before, late = universe.mutations, bool(universe.late)  # what is under way lands anyone who owns the key
        world = SimWorld(universe, event.faults, TIMING, skew=event.skew)
        report: KeyReport | None = None
        try:
            run = f"run-{universe.runs}"
            report = apply_key(world, self.desired, options, run, stop=lambda: world.stopping)
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - whatever is raised is a violation
            universe.blame(f"raised {type(error).__name__}: {error}")
        self.effects += len(world.trace)
        rules.leak(universe, report)
        if not (self.ours or options.take_over or late) and universe.mutations != before:
            universe.blame("I9: it changed what belongs to another owner")
        self.ours = self.ours or self._record().owner == self.desired.owner
        if report is None or report.exit_code:
            universe.failed_runs += 1
            return
        if report.end.code != "back-off":
            rules.killed(universe)
        if report.end.condition is Condition.READY or report.end.code == "overlap":
            self._steady()

    def _steady(self) -> None:
        """From a rest on, no outage is allowed with `alternating`, while nobody's hand is in it."""
        if not self.calm or self.desired.absent:
            return
        if self.desired.rotation.strategy is Strategy.ALTERNATING and len(self._record().slots) > 1:
            self.universe.steady = places(self.desired.deliveries)
            self.universe.overlap = OVERLAP.total_seconds()

    def _record(self) -> Record:
        """Return the record of a key that has one, or had."""
        return self.universe.records["main"][0]

    def _edit(self, edit: Edit) -> None:
        desired = self.desired
        if edit.strategy:
            self.universe.steady = frozenset()
            desired = replace(desired, rotation=replace(desired.rotation, strategy=edit.strategy))
        if edit.places:
            self.universe.steady &= places(edit.places) & places(desired.deliveries)
            known = desired.kinds or (KINDS if any(item != real(item) for item in edit.places) else {})
            desired = replace(desired, deliveries=edit.places, kinds=known)
        if edit.absent is not None:
            self.universe.steady = frozenset()
            desired = replace(desired, absent=edit.absent)
        self.desired = replace(
            desired, name=edit.name or desired.name, trigger=edit.trigger or desired.trigger, fingerprint=repr(edit)
        )

    def _by_hand(self, hand: Hand) -> None:
        universe = self.universe
        record = universe.records.get("main", (None, 0))[0]
        ours = [slot.uuid for slot in record.slots.values() if slot.uuid in universe.keys] if record else []
        if not ours:
            return
        place = real(self.desired.deliveries[hand.which % len(self.desired.deliveries)])
        if hand.does == "renames":
            universe.land(Rename(ours[hand.which % len(ours)], "by-hand"))
            return
        if hand.does == "hands-over":
            of_others(universe)
            self.ours, self.handed = False, True
            return
        universe.steady = frozenset()
        if hand.does == "deletes":
            del universe.keys[ours[hand.which % len(ours)]]
            return
        self.calm = False
        if hand.does == "steals":
            universe.land(Renew(ours[hand.which % len(ours)], f"{MARK}stolen-{universe.made}"))
        elif hand.does == "clears":
            universe.fields.pop(place, None)
            universe.by_hand(place, "")
        else:
            held = [value for (kept, _), value in universe.kept.items() if kept == place]
            if held:
                universe.by_hand(place, held[hand.which % len(held)])

    def _forget(self, faults: Mapping[int, Fault]) -> None:
        """Forget the key: its record and claims are released, nothing else changes, and it can be adopted again."""
        universe = self.universe
        if self.desired.absent or self.end():
            return
        self.ours, self.handed, before = True, False, self._record()
        gone = DesiredKey(before.key, before.owner, absent=True, retain=True, timing=TIMING)
        universe.frozen = True
        for strikes in (faults, {}, {}):  # what was late may land over the second run
            universe.runs += 1
            world = SimWorld(universe, strikes, TIMING)
            with suppress(Killed):
                rules.leak(universe, apply_key(world, gone, Options(forget=True), f"run-{universe.runs}"))
            self.effects += len(world.trace)
            universe.advance(1.0 if strikes else TIMING.settle)
        universe.frozen = False
        if self._record().deleted_at is None:
            universe.blame("I1: a forgotten key still has its record")
        if any(claim.key == before.key and not claim.released_at for claim, _ in universe.claims.values()):
            universe.blame("I4: a forgotten key still has a claim")
        uuids = {name: slot.uuid for name, slot in before.slots.items()}
        a, b = (uuids.get(name, "") for name in SlotName)
        self.desired = replace(self.desired, adopt=Adopt(AdoptSecret.EXISTING, a, b, before.live))
        self._apply(Apply())
        self.desired = replace(self.desired, adopt=None)

    def end(self) -> tuple[str, ...]:
        """Let all faults be gone and time pass; return what broke."""
        if not self.universe.wrong:
            try:
                last = Options(verify=not self.calm, allow_delete=True, take_over=self.handed)
                rules.begin(self.universe, self.desired)
                rules.finish(self.universe, self.desired, last, TIMING)
            except Exception as error:  # noqa: BLE001 - whatever is raised is a violation
                self.universe.blame(f"raised {type(error).__name__}: {error}")
        return self.universe.wrong


def dream(number: int) -> tuple[Strategy, tuple[Event, ...]]:
    """Make a life from a number: the same one each time."""
    chance = random.Random(number)
    strategy = chance.choice(tuple(Strategy))
    events: list[Event] = [Apply()]
    for _ in range(chance.randint(3, 14)):
        events.append(_event(chance, rough=number % 3 == 0))
        if chance.random() < 0.6:
            events.append(Pass(chance.choice((5.0, 120.0, 1900.0, 4000.0, DAY, 20 * DAY, 40 * DAY))))
        skew = chance.choice((SET, -SET)) if chance.random() < 0.05 else 0.0
        events.append(Apply(_faults(chance), _options(chance), skew))
    return strategy, tuple(events)


def renamed(number: int) -> tuple[Strategy, tuple[Event, ...]]:
    """Make a life in which each new list of deliveries may name a place otherwise than the one before."""
    chance, (strategy, events) = random.Random(-number), dream(number)
    return strategy, tuple(
        replace(event, places=tuple(chance.choice((item, also(item))) for item in event.places))
        if isinstance(event, Edit) and event.places
        else event
        for event in events
    )


def stopped(number: int) -> tuple[Strategy, tuple[Event, ...]]:
    """Make a life in which every second run is asked to stop."""
    chance, (strategy, events) = random.Random(-number), dream(number)

    def also_stopped(event: Apply) -> Apply:
        stop = Fault(chance.choice(sorted(STOPS)))
        return replace(event, faults={**event.faults, chance.randint(0, 30): stop}) if chance.random() < 0.5 else event

    return strategy, tuple(also_stopped(event) if isinstance(event, Apply) else event for event in events)


MAKERS: Mapping[str, Callable[[int], tuple[Strategy, tuple[Event, ...]]]] = {
    "life": dream,
    "renamed": renamed,
    "stopped": stopped,
}
"""What makes a life from a number, by the word before the number in a seed."""


def _event(chance: random.Random, *, rough: bool) -> Event:
    roll = chance.random()
    if roll < 0.35:
        return Pass(chance.choice((60.0, DAY, 31 * DAY)))
    if roll < 0.45:
        return Edit(name=f"app{chance.randint(1, 3)}")
    if roll < 0.55:
        return Edit(strategy=chance.choice(tuple(Strategy)))
    if roll < 0.7:
        return Edit(places=tuple(chance.sample(ALL_PLACES, chance.randint(1, 3))))
    if roll < 0.8:
        return Edit(trigger=str(chance.randint(1, 9)))
    if roll < 0.85:
        return Edit(absent=chance.random() < 0.5)
    if roll < 0.87:
        return Forget(_faults(chance))
    return Hand(chance.choice(ROUGH if rough else MILD), chance.randint(0, 5))


def _faults(chance: random.Random) -> Mapping[int, Fault]:
    count = chance.choice((0, 0, 1, 1, 2, 3))
    return {chance.randint(0, 30): chance.choice(_ORDERED) for _ in range(count)}


def _options(chance: random.Random) -> Options:
    return Options(
        verify=chance.random() < 0.15,
        rotate=(rotate := chance.random() < 0.3),
        compromised=rotate and chance.random() < 0.2,
        take_over=chance.random() < 0.3,
        unpark=chance.random() < 0.1,
        allow_delete=chance.random() < 0.7,
    )


def judge(strategy: Strategy, events: Sequence[Event]) -> tuple[tuple[str, ...], int]:
    """Play a life to its end; return what broke, and how many effects it had."""
    life = Life(strategy)
    for event in events:
        life.live(event)
        if life.universe.wrong:
            break
    return life.end(), life.effects


def shrink(strategy: Strategy, events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Leave out events, then faults, as long as the same invariant still breaks."""
    rule = judge(strategy, events)[0][0][:RULE]
    shorter = True
    while shorter:
        shorter = False
        for candidate in _simpler(events):
            found, _ = judge(strategy, candidate)
            if found and found[0].startswith(rule):
                events, shorter = candidate, True
                break
    return events


def _simpler(events: tuple[Event, ...]) -> Sequence[tuple[Event, ...]]:
    fewer = [events[:index] + events[index + 1 :] for index in range(len(events) - 1, -1, -1)]
    for index, event in enumerate(events):
        if isinstance(event, Apply):
            for left in event.faults:
                kept = {place: fault for place, fault in event.faults.items() if place != left}
                fewer.append((*events[:index], replace(event, faults=kept), *events[index + 1 :]))
    return fewer
