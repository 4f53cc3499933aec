"""Many keys of one account in a simulated world, worked on in rounds: what an operator of them would do and see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache

from keyturn.core.errors import KeyturnError
from keyturn.core.model import (
    Adopt,
    AdoptSecret,
    Delivery,
    Desired,
    DesiredKey,
    RecordsConfig,
    Rotation,
    Smoke,
    Strategy,
)
from keyturn.core.results import KeyStatus
from keyturn.core.rounds import Pace, Release
from keyturn.core.world import Held
from keyturn.engine.rounds import Rounds, Told
from keyturn.engine.run_lock import HeldRun, Runs
from keyturn.engine.runner import Runner
from tests.simulation import rules
from tests.simulation.faults import Class, Fault
from tests.simulation.marking import Rollout
from tests.simulation.scenarios import TIMING
from tests.simulation.showing import MODEL
from tests.simulation.universe import MARK, START, Drop, Key, Mutation, Renew, Universe
from tests.simulation.world import SimWorld

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
OWNER = "team"
WRITES = frozenset({Class.MINT, Class.CHANGE, Class.DELIVER, Class.WRITE})
MOST = 5000
"""Rounds after which a test gives up."""


def entry(number: int, *, every: timedelta | None = 30 * DAY, target: str = "v", **changes: object) -> DesiredKey:
    """Return one of the keys; every third one has no second slot."""
    name = f"bot-{number:04}"
    given: dict[str, object] = {
        "deliveries": (Delivery(target, name, "key"),),
        "rotation": Rotation(Strategy.IN_PLACE if number % 3 == 2 else Strategy.ALTERNATING, every, HOUR),
        "smoke": Smoke(MODEL),
        "timing": TIMING,
        "fingerprint": "1",
        "adopt": Adopt(AdoptSecret.REGENERATE),
    }
    return DesiredKey(name, OWNER, name, **(given | changes))  # type: ignore[arg-type]


def panel(universe: Universe, *keys: DesiredKey) -> None:
    """Let an operator make the API keys of these entries; their secrets are in no delivery."""
    for key in keys:
        slots = ("-a", "-b") if key.rotation.strategy is Strategy.ALTERNATING else ("",)
        for slot in slots:
            name = f"{key.name}{slot}"
            universe.keys[f"uuid-{name}"] = Key(f"uuid-{name}", name, START, f"{MARK}by-hand-{name}")


def watch(universe: Universe, mutation: Mutation | Rollout) -> None:
    """Check what must hold at every instant, of many keys: an old secret dies after its own deliveries were read."""
    every = universe.steady
    if isinstance(mutation, Renew | Drop):
        owners = [record for record, _ in universe.records.values() if mutation.uuid in record.uuids]
        own = {item.delivery for record in owners for item in record.deliveries}
        universe.steady = every & own
    rules.watch(universe, mutation)
    universe.steady = every
    for place in every:
        if place in universe.wanted and not universe.accepted(universe.fields.get(place, "")):
            universe.blame(f"I3: {place} holds a secret that the API refuses")


class CountedWorld(SimWorld):
    """A world of one round: counts its effects, and lets something happen before one of them."""

    before: Callable[[int], None] = staticmethod(lambda _: None)

    def __init__(self, universe: Universe, faults: Mapping[int, Fault], run: str) -> None:
        """Note when it was opened. Other runs are of other machines: only their leases tell."""
        super().__init__(universe, faults, TIMING, alive=None, run=run)
        self.opened = universe.now
        self.verified: set[Delivery] = set()
        """The deliveries that were read."""

    def read_delivery(self, delivery: Delivery) -> Held:
        """Note it."""
        self.verified.add(delivery)
        return super().read_delivery(delivery)

    def _point(self, kind: Class, where: str) -> Fault | None:
        self.before(len(self.trace))
        return super()._point(kind, where)

    @property
    def cost(self) -> Counter[Class]:
        """How many effects of each class there were."""
        return Counter(kind for kind, *_ in self.trace)


class _Runs(Runs):
    """Gives the one run a name that the world knows (I6)."""

    def __init__(self, name: str) -> None:
        """Without files."""
        super().__init__([])
        self._name = name

    @contextmanager
    def hold(self) -> Iterator[HeldRun]:
        """The run."""
        yield HeldRun(self._name)


@dataclass
class SimAccount:
    """An `Account` in memory. What an operator would write of a key is written only where it differs."""

    universe: Universe
    keys: dict[str, DesiredKey]
    rotations: int = 20
    worlds: list[CountedWorld] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    """When the round of each of them began."""
    shown: dict[str, tuple[object, ...]] = field(default_factory=dict)
    patches: Counter[str] = field(default_factory=Counter)
    faults: Mapping[int, Fault] = field(default_factory=dict)
    """What strikes in the world that is opened next."""
    before: Callable[[int], None] | None = None
    down: frozenset[str] = frozenset()
    """Servers that do not answer."""
    given: Release | None = None
    spent: set[str] = field(default_factory=set)
    broken: KeyturnError | None = None
    """Why what is wanted cannot be told."""
    woken: bool = False
    end: float = 0.0
    most: int = 0
    """How many rounds there may be."""
    skew: timedelta = timedelta()

    def now(self) -> datetime:
        """The virtual moment."""
        return START + timedelta(seconds=self.universe.now) + self.skew

    def wait(self, until: datetime) -> None:
        """Let time pass, unless something was marked."""
        if not self.woken:
            assert until > self.now(), "a wait without an end"
            left = min((until - self.now()).total_seconds(), self.end - self.universe.now)
            self.universe.advance(max(0.0, left))
        self.woken = False

    def wake(self) -> None:
        """Note that something was marked."""
        self.woken = True

    def stopping(self) -> bool:
        """Stop at the end."""
        assert len(self.worlds) <= self.most, "rounds without an end"
        return self.universe.now >= self.end

    def desired(self) -> Desired:
        """All keys."""
        if self.broken:
            raise self.broken
        return Desired(OWNER, (), RecordsConfig("v"), tuple(self.keys.values()), self.rotations, TIMING)

    @contextmanager
    def open(self, desired: Desired) -> Iterator[Runner]:
        """A runner in a new world; it works on one key after the other."""
        self.universe.runs += 1
        run = f"{self.universe.runs:08x}"
        world = CountedWorld(self.universe, self.faults, run)
        self.faults = {}
        world.down = set(self.down)
        if self.before:
            world.before = self.before
        self.worlds.append(world)
        yield Runner(world, desired, lambda _: None, runs=_Runs(run), workers=1, linger=False)

    def release(self) -> Release | None:
        """What a test gave."""
        return self.given if self.given and self.given.token not in self.spent else None

    def spend(self, release: Release) -> bool:
        """Note it, once."""
        known = release.token in self.spent
        self.spent.add(release.token)
        return not known

    def tell(self, told: Told) -> None:
        """Keep it, and write what differs."""
        rules.leak(self.universe, told)
        self.told.append(told)
        self.began.append(self.worlds[-1].opened if self.worlds else self.universe.now)
        for key in told.keys:
            if self.shown.get(key.key) != line(key):
                self.shown[key.key] = line(key)
                self.patches[key.key] += 1

    def code(self, key: str) -> object:
        """What is shown of a key."""
        return self.shown[key][0]

    def codes(self) -> Counter[object]:
        """How many keys are shown with each reason."""
        return Counter(found[0] for found in self.shown.values())


def line(key: KeyStatus) -> tuple[object, ...]:
    """What an operator would write of a key."""
    ends = tuple((end.code, end.why, end.until, end.make) for end in key.every)
    return (key.code.value, ends, key.live, key.generation, key.next_rotation_at, key.retire_at)


@dataclass
class Fleet:
    """An account, its rounds, and what has to hold of them."""

    account: SimAccount
    rounds: Rounds

    @property
    def universe(self) -> Universe:
        """The world."""
        return self.account.universe

    def go(self, seconds: float) -> list[CountedWorld]:
        """Let the rounds run for so long; return the worlds that they opened."""
        first = len(self.account.worlds)
        self.account.end, self.account.most = self.universe.now + seconds, first + MOST
        self.rounds.run()
        assert not self.universe.wrong, self.universe.wrong
        bugs = [told.trouble for told in self.account.told if "a bug" in told.trouble]
        assert not [bug for bug in bugs if "RuntimeError" not in bug], bugs  # that one is raised by a test
        return self.account.worlds[first:]


def restarted(account: SimAccount, pace: Pace | None = None, seed: str = "one") -> Fleet:
    """Return the rounds of a process that has just started."""
    return Fleet(account, Rounds(account, pace, seed=seed))


def fleet(*keys: DesiredKey, pace: Pace | None = None, made: bool = True, rotations: int = 20) -> Fleet:
    """Return the keys with rounds that have just started; `made`: an operator made their API keys."""
    universe = Universe(watch=watch, create_gone=True)
    universe.others = frozenset((OWNER, key.id) for key in keys)
    if made:
        panel(universe, *keys)
        universe.given = frozenset(key.secret for key in universe.keys.values())
    return restarted(SimAccount(universe, {key.id: key for key in keys}, rotations), pace)


def steady(one: Fleet) -> Fleet:
    """From here on no alternating key may have an outage (I3)."""
    keys = [key for key in one.account.keys.values() if key.rotation.strategy is Strategy.ALTERNATING]
    one.universe.steady = frozenset(place for key in keys for place in key.deliveries)
    one.universe.wanted = frozenset(place for key in one.account.keys.values() for place in key.deliveries)
    one.universe.overlap = HOUR.total_seconds()
    one.universe.read.clear()
    return one


def writes(worlds: list[CountedWorld]) -> int:
    """How many effects of these rounds change something."""
    return sum(count for world in worlds for kind, count in world.cost.items() if kind in WRITES)


def cost(worlds: list[CountedWorld]) -> Counter[Class]:
    """What these rounds cost."""
    return sum((world.cost for world in worlds), Counter())


def kept(one: Fleet) -> None:
    """Check that nothing is lost, orphaned or doubled at rest (I1, I2, I4)."""
    universe = one.universe
    for key in one.account.keys.values():
        record = universe.records[key.id][0]
        assert record.intent is None, key.id
        assert record.retire is None, key.id
        live = record.slot(record.live)
        assert live is not None
        for place in key.deliveries:
            assert universe.fields[place] == universe.keys[live.uuid].secret, place
            assert universe.accepted(universe.fields[place])
        for name, slot in record.slots.items():
            claim = universe.claims[slot.uuid][0]
            assert (claim.owner, claim.key, claim.released_at) == (OWNER, key.id, None)
            alternating = key.rotation.strategy is Strategy.ALTERNATING
            assert universe.keys[slot.uuid].name == (f"{key.name}-{name}" if alternating else key.name)


BLOCK = 20
"""So many keys are brought to rest in a world of their own, before the worlds become one: a world of many is slow."""


@cache
def _block(start: int, every: float, apart: float, targets: str) -> SimAccount:
    """Return the account of one block of keys at rest."""
    keys = [
        entry(one, every=timedelta(hours=every, minutes=apart * one), target=targets[one % len(targets)])
        for one in range(start, start + BLOCK)
    ]
    made = fleet(*keys, pace=Pace(verify=None, adoptions=BLOCK), rotations=BLOCK)
    made.universe.made = made.universe.random = start * 1000  # no secret and no uuid twice
    made.go(2 * HOUR.total_seconds())
    assert set(made.account.codes()) == {"at-rest"}, made.account.codes()
    kept(made)
    return made.account


def _rested(number: int, every: float, apart: float, targets: str) -> SimAccount:
    whole = SimAccount(Universe(watch=watch, create_gone=True), {})
    for start in range(0, number, BLOCK):
        made, world = _block(start, every, apart, targets), whole.universe
        for name in ("keys", "fields", "versions", "kept", "records", "claims"):
            getattr(world, name).update(getattr(made.universe, name))
        for name in ("others", "given", "mints", "known"):
            setattr(world, name, getattr(world, name) | getattr(made.universe, name))
        for name in ("now", "made", "random"):
            setattr(world, name, max(getattr(world, name), getattr(made.universe, name)))
        whole.keys |= made.keys
        whole.shown |= made.shown
    return whole


def rested(
    number: int,
    *,
    every: float = 720.0,
    apart: float = 0.0,
    pace: Pace | None = None,
    seed: str = "one",
    targets: str = "v",
) -> Fleet:
    """Return so many keys at rest, in whole blocks; the process just started, and what was shown before still shown.

    `every`: the hours between two rotations, `apart`: how many minutes more for each further key. `targets`: the names
    of their targets, in turn.
    """
    made = _rested(number, every, apart, targets)
    return steady(restarted(made, pace, seed))
