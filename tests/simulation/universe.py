"""All that exists in a simulated world: an account, targets, records, a clock; what is on its way; what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import inf

from keyturn.core.model import Delivery
from keyturn.core.record import Claim, Record
from tests.simulation.marking import DELAYED, MARKED, ROLLOUT, Rollout, Rollouts
from tests.simulation.naming import real

START = datetime(2025, 3, 1, tzinfo=UTC)
MARK = "sk-do-simulated-"
"""Every secret of the simulation starts so, or holds this (`odd`); wherever this is seen, a secret leaked."""
PASSWORD = f"pg-{MARK}password"
"""A value of another system, which keyturn did not write."""


@dataclass(frozen=True, slots=True)
class Key:
    """One API key: its present secret, and the one before with the moment at which it stops working."""

    uuid: str
    name: str
    created_at: datetime
    secret: str
    accepted_from: float = 0.0
    old: str = ""
    old_until: float = 0.0
    ours: bool = False
    """keyturn caused it to exist."""
    more_models: bool = False
    """Its secrets may use a second model too."""
    flaps: int = 0
    """How many questions are answered well before `accepted_from`: it is known in some places only."""
    refusals: int = 0
    """How many questions about the old secret are answered as if it were dead."""


@dataclass(frozen=True, slots=True)
class MakeKey:
    """A create that takes effect."""

    uuid: str
    name: str
    secret: str
    delay: float = 0.0
    flaps: int = 0


@dataclass(frozen=True, slots=True)
class Renew:
    """A regenerate that takes effect; `delay`: seconds until the change is known everywhere.

    `undead`: the secret before it is accepted for ever.
    """

    uuid: str
    secret: str
    delay: float = 0.0
    flaps: int = 0
    undead: bool = False
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Rename:
    """A rename that takes effect."""

    uuid: str
    name: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A delete that takes effect."""

    uuid: str


@dataclass(frozen=True, slots=True)
class Fill:
    """A write to a field (or its removal); `version` of its path is compared, except where it is None."""

    delivery: Delivery
    value: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Put:
    """A write of a record or a claim over a version."""

    document: Record | Claim
    version: int


Mutation = MakeKey | Renew | Rename | Drop | Fill | Put


@dataclass(frozen=True, slots=True)
class Late:
    """A mutation on its way: it lands `effects` effects later, or at `deadline` at the latest."""

    mutation: Mutation
    effects: int
    deadline: float


@dataclass(slots=True)
class Universe:
    """The world that all runs share; a copy of it is a moment to continue from."""

    now: float = 0.0
    keys: dict[str, Key] = field(default_factory=dict)
    fields: dict[Delivery, str] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    kept: dict[tuple[Delivery, int], str] = field(default_factory=dict)
    read: dict[Delivery, bool] = field(default_factory=dict)
    """Whether a field was read since it was last written."""
    records: dict[str, tuple[Record, int]] = field(default_factory=dict)
    claims: dict[str, tuple[Claim, int]] = field(default_factory=dict)
    late: tuple[Late, ...] = ()
    random: int = 0
    made: int = 0
    runs: int = 0
    failed_runs: int = 0
    mutations: int = 0
    create_gone: bool = False
    unfenced: frozenset[str] = frozenset()
    foreign_keys: frozenset[str] = frozenset()
    foreign_fields: frozenset[Delivery] = frozenset()
    steady: frozenset[Delivery] = frozenset()
    """Fields that must hold an accepted secret at every instant (I3)."""
    mints: frozenset[str] = frozenset()
    """Every secret that keyturn made."""
    given: frozenset[str] = frozenset()
    """Secrets of others that keyturn may replace."""
    left: dict[str, float] = field(default_factory=dict)
    """When keyturn last took a secret out of a field."""
    overlap: float = 0.0
    """How long an old secret must outlive that, where no outage is allowed."""
    wanted: frozenset[Delivery] = frozenset()
    """The deliveries of the entry, none where it is absent."""
    leaked: frozenset[str] = frozenset()
    """Secrets that someone got hold of, and keyturn is to kill."""
    told: frozenset[str] = frozenset()
    """Those of which the record knew."""
    by_others: frozenset[Delivery] = frozenset()
    """Fields that were last written by an operator."""
    dropped: frozenset[str] = frozenset()
    """Every API key that keyturn deleted."""
    known: frozenset[str] = frozenset()
    """Every digest that a record ever had."""
    held_dead: bool = False
    """The inference API said that the live secret is dead, so that there is no overlap to keep."""
    readonly: frozenset[str] = frozenset()
    """Targets that can be read, and not written."""
    deaf: bool = False
    """No secret that is made from now on is ever accepted."""
    odd: bool = False
    """Secrets that are made from now on have a format that nobody knows."""
    others: frozenset[tuple[str, str]] = frozenset()
    """Other owners' keys that runs of theirs work on in this world."""
    spares: dict[str, str] = field(default_factory=dict)
    """Spare API keys of the pool, each with the secret that the person saw who made it."""
    away: dict[str, Key] = field(default_factory=dict)
    """API keys that live on though no list shows them."""
    frozen: bool = False
    """The key is being forgotten, or its record moves: no API key and no field may change."""
    two_types: bool = False
    """The two names of a place are of two types of target, so that nobody looks whether they are one."""
    noted: int = 0
    """The version of the record to which a later act comes back."""
    forged: bool = False
    """Records have no signature, and someone forged one."""
    barred: frozenset[str] = frozenset()
    """Targets that refuse each write, which preflight does not show."""
    shut: frozenset[str] = frozenset()
    """Targets whose places are gone, as each read shows: they hold nothing and take nothing."""
    refused: frozenset[Delivery] = frozenset()
    """Places that did so, of a target that still does."""
    rollouts: Rollouts = Rollouts()
    wrong: tuple[str, ...] = ()
    watch: Callable[[Universe, Mutation | Rollout], None] | None = None

    def copy(self) -> Universe:
        """Return a world that goes its own way from here."""
        return Universe(
            self.now, dict(self.keys), dict(self.fields), dict(self.versions), dict(self.kept), dict(self.read),
            dict(self.records), dict(self.claims), self.late, self.random, self.made, self.runs, self.failed_runs,
            self.mutations, self.create_gone, self.unfenced, self.foreign_keys, self.foreign_fields, self.steady,
            self.mints, self.given, dict(self.left), self.overlap, self.wanted, self.leaked, self.told,
            self.by_others, self.dropped, self.known,
            self.held_dead, self.readonly, self.deaf, self.odd, self.others,
            dict(self.spares), dict(self.away), self.frozen, self.two_types,
            self.noted, self.forged, self.barred, self.shut, self.refused, self.rollouts, self.wrong, self.watch,
        )  # fmt: skip

    def print(self) -> str:
        """Return all that later runs, acts and rules can depend on, as text: equal prints have equal futures.

        Left out is `mutations`, which is only ever compared within one step. Sets are printed in one order, so that
        equal worlds have equal prints in every process.
        """
        parts = (
            self.now, self.keys, self.fields, self.versions, self.kept, self.read, self.records, self.claims, self.late,
            self.random, self.made, self.runs, self.failed_runs, self.create_gone, self.unfenced, self.foreign_keys,
            self.foreign_fields, self.steady, self.mints, self.given, self.left, self.overlap, self.wanted,
            self.leaked, self.told, self.by_others, self.dropped, self.known, self.held_dead, self.readonly, self.deaf,
            self.odd, self.others, self.spares, self.away, self.frozen, self.two_types, self.noted,
            self.forged, self.barred, self.shut, self.refused, self.rollouts, self.wrong,
        )  # fmt: skip
        return repr([sorted(map(repr, part)) if isinstance(part, frozenset) else part for part in parts])

    def blame(self, what: str) -> None:
        """Note a violation."""
        if what not in self.wrong:
            self.wrong = (*self.wrong, what)

    def new_secret(self) -> str:
        """Return a secret that never was."""
        self.made += 1
        return f"{'odd-' if self.odd else ''}{MARK}{self.made}"

    def stranger(self, value: str) -> bool:
        """Tell whether a value is of another system: keyturn never sends, copies or removes it."""
        return not (value.startswith(MARK) or value in self.mints)

    def accepted(self, secret: str) -> bool:
        """Tell whether the API accepts a secret now."""
        return any(
            (key.secret == secret and self.now >= key.accepted_from) or (key.old == secret and self.now < key.old_until)
            for key in self.keys.values()
        )

    def asked(self, secret: str) -> bool:
        """Tell whether the API accepts a secret this time: what is not known everywhere may be, once."""
        for key in self.keys.values():
            if key.secret == secret and key.flaps:
                self.keys[key.uuid] = replace(key, flaps=key.flaps - 1)
                return True
            if key.old == secret and key.refusals:
                self.keys[key.uuid] = replace(key, refusals=key.refusals - 1)
                return False
        return self.accepted(secret)

    def lasting(self, secret: str) -> bool:
        """Tell whether the API will go on to accept a secret."""
        return any(key.secret == secret for key in self.keys.values())

    def uses_more(self, secret: str) -> bool:
        """Tell whether a secret may use the second model."""
        return any(secret in {key.secret, key.old} and key.more_models for key in self.keys.values())

    def version(self, delivery: Delivery) -> int:
        """Return the version of a delivery's path, 0 where nothing was ever written."""
        return self.versions.get((real(delivery).target, delivery.path), 0)

    def held(self, delivery: Delivery) -> str:
        """Return what a delivery holds, by whichever name of its place."""
        return self.fields.get(real(delivery), "")

    def in_use(self, delivery: Delivery) -> str:
        """Return what the consumers of a delivery use."""
        place = real(delivery)
        return (self.rollouts.used if place.target == DELAYED else self.fields).get(place, "")

    def by_hand(self, delivery: Delivery, value: str) -> None:
        """Write a field as an operator does. What that is in a place that nobody can read, nobody can keep alive."""
        self._fill(Fill(delivery, value, None))
        self.by_others |= {delivery}
        self.steady -= {delivery} if delivery.target in MARKED else set()

    def advance(self, seconds: float) -> None:
        """Let time pass; what is on its way lands at its deadline."""
        end = self.now + seconds
        while self.late or self.rollouts.under_way:
            coming: tuple[Late | Rollout, ...] = (*self.late, *self.rollouts.under_way)
            first = min(coming, key=lambda one: one.deadline)
            if first.deadline > end:
                break
            self.now = max(self.now, first.deadline)
            if isinstance(first, Late):
                self._arrive(first)
                continue
            self.rollouts = self.rollouts.end(first)
            if self.watch:
                self.watch(self, first)
        self.now = end

    def tick(self) -> None:
        """Count one effect; what is on its way for so many effects lands before it."""
        if not self.late:
            return
        self.late = tuple(replace(late, effects=late.effects - 1) for late in self.late)
        for late in self.late:
            if late.effects == 0:
                self._arrive(late)

    def post(self, mutation: Mutation, effects: int, within: float) -> None:
        """Put a mutation on its way."""
        self.late = (*self.late, Late(mutation, effects or -1, self.now + within))

    def _arrive(self, late: Late) -> None:
        self.late = tuple(other for other in self.late if other is not late)
        self.land(late.mutation)

    def land(self, mutation: Mutation) -> bool:
        """Let a mutation take effect; False where its compare-and-set lost, or there is nothing to change."""
        if isinstance(mutation, Fill):
            landed = mutation.version is None or mutation.version == self.version(mutation.delivery)
            if landed:
                held = self.fields.get(mutation.delivery, "")
                if mutation.delivery in self.steady and held != mutation.value:
                    self.left[held] = self.now
                self._fill(mutation)
                self.by_others -= {mutation.delivery}
        elif isinstance(mutation, Put):
            landed = self._put(mutation.document, mutation.version)
        else:
            landed = self._account(mutation)
        if landed:
            self.mutations += 1
            if self.watch:
                self.watch(self, mutation)
        return landed

    def _account(self, mutation: MakeKey | Renew | Rename | Drop) -> bool:
        """Change an API key."""
        if isinstance(mutation, MakeKey):
            created, known = START + timedelta(seconds=self.now), self.now + mutation.delay
            known = inf if self.deaf else known
            made = Key(mutation.uuid, mutation.name, created, mutation.secret, known, ours=True, flaps=mutation.flaps)
            self.keys[mutation.uuid] = made
            self.mints |= {mutation.secret}
            return True
        key = self.keys.get(mutation.uuid)
        if key is None:
            return False
        match mutation:
            case Renew(uuid, secret, delay, flaps, undead, refusals):
                known = self.now + delay
                self.keys[uuid] = replace(
                    key,
                    secret=secret,
                    accepted_from=inf if self.deaf else known,
                    old=key.secret,
                    old_until=inf if undead else known,
                    flaps=0 if self.deaf else flaps,
                    refusals=refusals,
                )
                self.mints |= {secret}
            case Rename(uuid, name):
                self.keys[uuid] = replace(key, name=name)
            case Drop(uuid):
                del self.keys[uuid]
                self.dropped |= {uuid}
        return True

    def _fill(self, fill: Fill) -> None:
        place = (fill.delivery.target, fill.delivery.path)
        version = self.versions.get(place, 0) + 1
        self.versions[place] = version
        if self.fields.get(fill.delivery, "") != fill.value:
            self.read[fill.delivery] = False
        if fill.delivery.target == DELAYED:
            self.rollouts = self.rollouts.begin(Rollout(self.now + ROLLOUT, fill.delivery, fill.value, version))
        if fill.value:
            self.fields[fill.delivery] = fill.value
        else:
            self.fields.pop(fill.delivery, None)
        for delivery, value in self.fields.items():
            if (delivery.target, delivery.path) == place:
                self.kept[delivery, version] = value

    def _put(self, document: Record | Claim, version: int) -> bool:
        if isinstance(document, Record):
            if self.records.get(document.key, (None, 0))[1] != version:
                return False
            self.records[document.key] = (document, version + 1)
        else:
            if self.claims.get(document.uuid, (None, 0))[1] != version:
                return False
            self.claims[document.uuid] = (document, version + 1)
        return True
