"""What the machine decides from: the desired key, its record, what was observed, and what this run did so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from keyturn.core.effect import Effect
from keyturn.core.listing import Listing
from keyturn.core.model import ApiKey, Delivery, DesiredKey, SlotName, SmokeResult, Strategy
from keyturn.core.record import Claim, Record
from keyturn.core.results import End, Options, Watch


@dataclass(frozen=True, slots=True)
class Clock:
    """One moment on both clocks: the wall (UTC), and seconds that never jump.

    Within a run `now` advances steadily from its start, where the wall clock was compared with the API's: setting the
    clock during the run ends no overlap.
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
    silent: bool = False
    """It could not be read because its server did not answer: the same look may succeed later."""
    unlike: bool = False
    """It holds something that keyturn did not write: it does not look like a model access key, and no record knows it.

    Such a value is never tried, adopted, copied or removed, and it is not in hand.
    """
    account_token: bool = False
    """It holds a token of the account, not a model access key."""
    marked: bool = False
    """It cannot be read: `version` is a marker. `digest` is that of the secret which was sent when the place got it.

    At a marker that nothing notes, `digest` is the marker's own, and `unlike` is set.
    """
    effect: Effect = Effect()
    """Whether consumers use what it holds."""
    consequence: str = ""
    """What a write sets off, in words."""
    refuses: str = ""
    """Why a write, or another look, is refused until an operator acts; empty where none is known to be."""


@dataclass(frozen=True, slots=True)
class Source:
    """The record under the id that a key had before, with its version; `record` None: there is none."""

    record: Record | None
    version: str


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
    holders: Mapping[str, str] = field(default_factory=dict)
    """Of a digest: what another key has of it or of the deliveries, in words; empty if none was found."""
    verdicts: Mapping[str, SmokeResult] = field(default_factory=dict)
    assumed: frozenset[str] = frozenset()
    """Digests whose verdict a plan assumed: the secret was not sent anywhere."""
    in_hand: frozenset[str] = frozenset()
    """Digests of the secrets that this run can deliver."""
    signed: bool = False
    """The record can only be keyturn's own: its signature was checked."""
    source: Source | None = None
    """The record of the id from which this key's record moves; None: not read yet."""
    given: str | None = None
    """Digest of the secret to adopt, if the operator gave it to this run."""
    unfenced: frozenset[Delivery] = frozenset()
    """Deliveries whose target has no compare-and-set."""
    holder_alive: bool | None = None
    """Whether the run that holds the open intent lives: None where this machine cannot know."""

    def key(self, uuid: str) -> ApiKey | None:
        """Return the API key of that uuid, None where the list does not show it."""
        return None if uuid in self.gone else Listing.of(self.keys).by_uuid.get(uuid)

    def named(self, name: str) -> tuple[ApiKey, ...]:
        """Return the living API keys of exactly that name."""
        return Listing.of(self.keys).living.by_name.get(name, ())


@dataclass(frozen=True, slots=True)
class Failed:
    """An effect failed; `definite`: nothing happened and nothing will. `retired`: the API creates no keys any more.

    `refused`: a target does not take this, so the same is answered until an operator has done something.
    """

    why: str
    exit_code: int = 1
    definite: bool = True
    retired: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Likeness:
    """Whether a delivery is another name of another one; `same` None: that could not be told, and `why`."""

    same: bool | None
    why: str = ""
    assumed: bool = False
    """A plan takes it for granted."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the delivery of one secret is."""

    attempted: bool = False
    """Every delivery had its first try."""
    paused: bool = False
    """The pause before the next try is over."""
    handed_on: bool = False
    """So had the write-only ones, which come after a readable one where that is safer."""
    tries: int = 0
    until: float | None = None
    """Uptime at which this run stops trying."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What this run did under one intent; replaced as a whole when an intent is opened, taken over or closed."""

    fresh: bool = False
    """The open intent was written by this pass and its mint is unsent (rule 1)."""
    opened: bool = False
    """This run made the nonce of the open intent: nobody else knew it before."""
    found: bool = False
    """The open intent was found, so what it is about may have been sent."""
    minted: str | None = None
    """Digest of the secret minted for the open intent by this run."""
    discarded: bool = False
    """The open retire's regenerate was answered with 200."""
    trouble: Failed | None = None
    """The last effect or preflight that failed; the machine decides what follows."""
    proof: str = ""
    """What is known of the old secret's death: proven, by-contract, alive."""
    spread: Spread = Spread()


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
    attempt: Attempt = Attempt()
    watch: Watch = Watch()
    leased: Clock | None = None
    """When this run last sent the open intent to the store: from then on its lease counts."""
    unsettled_until: float = 0.0
    """Uptime until which something sent may still land."""
    mints: int = 0
    unanswered: int = 0
    """How many of the mints had no clear answer."""
    unclear: str = ""
    """What the last of them came to instead."""
    counted: bool = False
    """This run's failure is counted in the record."""
    preflighted: bool = False
    lacked: frozenset[tuple[Delivery, str]] = frozenset()
    """Deliveries that the entry no longer has, read without this digest when this run wrote it, and only elsewhere."""
    likeness: Mapping[tuple[Delivery, Delivery], Likeness] = field(default_factory=dict)
    """Of a delivery that the entry no longer has, and one that it has: what is known of their being one place."""
    looked_back: frozenset[str] = frozenset()
    """Digests that were looked for in earlier versions of deliveries."""
    gave_up: bool = False
    """This run's time for catching up deliveries is over; the rest stays pending."""
    unwritten: Mapping[Delivery, Failed] = field(default_factory=dict)
    """How the last write to a delivery failed; the last write to any other one succeeded."""
    unsure: Mapping[Delivery, int] = field(default_factory=dict)
    """How many writes to a delivery had no clear answer."""
    denied: frozenset[Delivery] = frozenset()
    """Write-only deliveries that held nothing of ours, and refused the write for certain: what comes is another's."""
    sent: Mapping[Delivery, tuple[str, str]] = field(default_factory=dict)
    """Of each write-only delivery that this run wrote: the marker after the acknowledged write, and the digest."""
    seen_ours: bool = False
    """This run's list showed an API key of the record, so the account token is of its team; later it may be deleted."""
    honoured: bool = False
    """The rotation that the options ask for is in the record, or done."""
    rotated: bool = False
    """This run delivered a new secret; if that is refused, it is not minted once more."""
    problems: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    """What this run's writes have undone of others: no later write makes that good, so the run tells it at its end."""
    then: End | None = None
    """How the run ends, decided together with its last record write."""


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


def tried(state: State, writes: Collection[Delivery], problems: Mapping[Delivery, Failed]) -> Run:
    """Return the run after these writes: which failed for certain, and which may have taken effect all the same."""
    run, readings = state.run, state.observed.readings
    unwritten = {**{item: why for item, why in run.unwritten.items() if item not in writes}, **problems}
    agreed = {item.delivery: item.over for item in state.record.deliveries} if state.record else {}
    free = {
        item
        for item in problems
        if (read := readings.get(item)) and read.marked and read.digest in {None, agreed.get(item)}
    }
    unsure = (item for item, failure in problems.items() if not failure.definite)
    unclear = {**run.unsure, **{item: run.unsure.get(item, 0) + 1 for item in unsure}}
    return replace(run, unwritten=unwritten, unsure=unclear, denied=(run.denied - {*writes} | free) - unclear.keys())
