"""What the machine decides from: the desired key, its record, what was observed, and what this run did so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from keyturn.core.model import ApiKey, Delivery, DesiredKey, SlotName, SmokeResult, Strategy
from keyturn.core.record import Claim, Record
from keyturn.core.results import End, Options


@dataclass(frozen=True, slots=True)
class Clock:
    """One moment on both clocks: the wall (UTC), and seconds that never jump.

    Within a run `now` goes on evenly from its beginning, where the wall clock was compared with the API's: a clock
    that is set meanwhile ends no overlap.
    """

    now: datetime
    uptime: float
    jumped: float = 0.0
    """By how many seconds the wall clock was set, or slept unseen, since the run began."""

    def later(self, uptime: float, wall: datetime) -> Clock:
        """Return a later moment of the run that began at this one."""
        now = self.now + timedelta(seconds=uptime - self.uptime)
        return Clock(now, uptime, (wall - now).total_seconds())

    def since(self, earlier: Clock) -> float:
        """Return the seconds since `earlier`, by whichever clock says more: the cautious age of a lease."""
        elapsed = self.uptime - earlier.uptime
        return elapsed + max(0.0, self.jumped - earlier.jumped)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a delivery held when it was last looked at: no digest where the field is absent or unreadable."""

    digest: str | None = None
    version: str = ""
    problem: str = ""
    """Why it could not be read; empty where it was."""
    exit_code: int = 1
    """The exit code of the problem."""
    account_token: bool = False
    """It holds a token of the account, not a model access key."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the world showed. A delivery without a reading, a uuid without a claim entry: not looked at yet."""

    keys: tuple[ApiKey, ...] = ()
    gone: frozenset[str] = frozenset()
    """Uuids of the record that two complete lists did not show, or with `deleted_at` set."""
    relisted: bool = False
    account: str = ""
    skew: float = 0.0
    claims: Mapping[str, Claim | None] = field(default_factory=dict)
    readings: Mapping[Delivery, Reading] = field(default_factory=dict)
    verdicts: Mapping[str, SmokeResult] = field(default_factory=dict)
    in_hand: frozenset[str] = frozenset()
    """Digests of the secrets that this run can deliver."""
    unfenced: frozenset[Delivery] = frozenset()
    """Deliveries whose target has no compare-and-set."""
    holder_alive: bool | None = None
    """Whether the run that holds the open intent lives: None where this machine cannot know."""

    def key(self, uuid: str) -> ApiKey | None:
        """Return the API key of that uuid, None where the list does not show it."""
        return next((key for key in self.keys if key.uuid == uuid and uuid not in self.gone), None)

    def named(self, name: str) -> tuple[ApiKey, ...]:
        """Return the living API keys of exactly that name."""
        return tuple(key for key in self.keys if key.name == name and key.deleted_at is None)


@dataclass(frozen=True, slots=True)
class Run:
    """What this run did to this key so far; a plan starts from an empty one."""

    id: str
    began: Clock | None = None
    """When this run first looked at the key."""
    digest_key: str = ""
    """The record's, or a fresh one for a key without a record."""
    nonce: str = ""
    """Fresh random hex digits for the next intent."""
    fresh: bool = False
    """The open intent was written by this pass and its mint is unsent (rule 1)."""
    found: bool = False
    """The open intent was found, so what it is about may have been sent."""
    unsettled_until: float = 0.0
    """Uptime until which something sent may still land."""
    minted: str | None = None
    """Digest of the secret minted for the open intent by this run."""
    mints: int = 0
    unanswered: int = 0
    """How many of the mints had no clear answer."""
    discarded: bool = False
    """The open retire's regenerate was answered with 200."""
    trouble: str = ""
    """Why the last effect or preflight failed; the machine decides what follows."""
    trouble_exit: int = 1
    trouble_definite: bool = True
    create_retired: bool = False
    preflighted: bool = False
    attempted: bool = False
    """Every delivery had its first try with the minted secret."""
    paused: bool = False
    """The pause before the next try is over."""
    tries: int = 0
    deliver_until: float | None = None
    delivery_problems: Mapping[Delivery, str] = field(default_factory=dict)
    gave_up: bool = False
    """This run's time for catching up deliveries is over; the rest stays pending."""
    proof: str = ""
    """What is known of the old secret's death: proven, by-contract, alive."""
    looked_back: frozenset[str] = frozenset()
    leased: Clock | None = None
    """When this run last wrote the open intent."""
    watched: str = ""
    watched_since: float = 0.0
    waiting_since: float | None = None
    seen_ours: bool = False
    """This run's list showed an API key of the record, so the account token is of its team; later it may be deleted."""
    honoured: bool = False
    """The rotation that the options ask for is in the record, or done."""
    counted: bool = False
    then: End | None = None
    """How the run ends, decided together with its last record write."""
    rotated: bool = False
    """This run delivered a new secret; if that is refused, it is not minted once more."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """All that `next_step` may look at."""

    desired: DesiredKey
    record: Record | None
    version: str
    observed: Observed
    run: Run
    clock: Clock
    options: Options = Options()

    @property
    def alternating(self) -> bool:
        """Whether the entry asks for two slots."""
        return self.desired.rotation.strategy is Strategy.ALTERNATING

    def name_of(self, slot: SlotName) -> str:
        """Return the name that a slot's API key has at rest."""
        return f"{self.desired.name}-{slot}" if self.alternating else self.desired.name

    def with_run(self, **changes: object) -> State:
        """Return the state with some of the run's fields changed."""
        return replace(self, run=replace(self.run, **changes))  # type: ignore[arg-type]

    def with_observed(self, **changes: object) -> State:
        """Return the state with some of the observations changed."""
        return replace(self, observed=replace(self.observed, **changes))  # type: ignore[arg-type]
