"""The words of the protocol as frozen types; nothing here does anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from keyturn.core.errors import Mistake
from keyturn.core.permits import Permit

_LAST = datetime(9000, 1, 1, tzinfo=UTC)


def _plausible(moment: datetime) -> datetime:
    try:
        if moment.tzinfo and moment.astimezone(UTC) < _LAST:
            return moment
    except OverflowError:
        pass
    raise ValueError("must be a moment with its offset, before the year 9000")


Moment = Annotated[datetime, AfterValidator(_plausible)]
"""A moment of a stored document: it can be compared with any other, and a duration can be added to it."""


class Strategy(StrEnum):
    """How a key rotates."""

    IN_PLACE = "in-place"
    ALTERNATING = "alternating"


class SlotName(StrEnum):
    """One API key that serves a key; `in-place` has only `a`."""

    A = "a"
    B = "b"

    @property
    def other(self) -> SlotName:
        """The slot beside this one."""
        return SlotName.B if self is SlotName.A else SlotName.A


@dataclass(frozen=True, slots=True, order=True)
class Delivery:
    """A place where a key's secret is kept; `field` empty means the whole value."""

    target: str
    path: str
    field: str = ""

    def __str__(self) -> str:
        """Show as `target:path#field`."""
        return f"{self.target}:{self.path}#{self.field}" if self.field else f"{self.target}:{self.path}"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What the list shows of one API key; times are None where the API did not say."""

    uuid: str
    name: str
    created_at: datetime | None = None
    deleted_at: datetime | None = None


class Api(StrEnum):
    """Which inference call the tiny completion uses."""

    CHAT = "chat"
    RESPONSES = "responses"


class Origin(StrEnum):
    """Where the smoke-check runs from."""

    HERE = "here"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Smoke:
    """The smoke-check of a key; `model` is empty only with `origin=skip`."""

    model: str = ""
    api: Api = Api.CHAT
    expect_models: tuple[str, ...] = ()
    origin: Origin = Origin.HERE


class Verdict(StrEnum):
    """What a smoke-check found. Only `refused` is about the secret itself, and only it ever leads to a mint."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    VPC = "vpc"
    """The key may be good, but it is not accepted from this network."""
    TIER = "tier"
    """The account's subscription tier lacks the model."""
    MODEL = "model"
    """There is no such model: retired, or misspelt in the manifest."""
    MODEL_DENIED = "model-denied"
    """The key may not use the model."""
    QUOTA = "quota"
    BALANCE = "balance"
    """The account has no balance for inference."""
    UNREACHABLE = "unreachable"
    SKIPPED = "skipped"


GOOD = frozenset({Verdict.ACCEPTED, Verdict.SKIPPED})
"""Nothing is wrong."""
UNKNOWN = frozenset({Verdict.UNREACHABLE, Verdict.VPC})
"""Nothing could be learnt from here: whatever needs a proof waits."""
UNJUDGED = UNKNOWN | {Verdict.BALANCE}
"""Nothing was learnt about the secret, so a secret of unknown origin is not taken for a good one."""
DENIED = frozenset({Verdict.MODEL, Verdict.TIER, Verdict.MODEL_DENIED})
"""The secret is accepted, but the model does not answer to it."""


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """A verdict with its evidence: a sentence without any secret, the API that answered, seconds to first answer."""

    verdict: Verdict
    detail: str = ""
    api: Api | None = None
    seconds: float | None = None
    models: tuple[str, ...] = ()
    """What `/v1/models` listed for the secret."""

    @property
    def facts(self) -> str:
        """The verdict and its evidence."""
        return f"{self.verdict}: {self.detail}" if self.detail else self.verdict.value


@dataclass(frozen=True, slots=True)
class Window:
    """When a scheduled rotation may start: from each cron moment in `timezone` (IANA), for `duration`."""

    cron: str
    duration: timedelta
    timezone: str = "UTC"


LONGEST_FREEZE = timedelta(days=366)
"""The longest freeze of a manifest, and the longest time for which freezes hold back what is due."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which nothing scheduled starts: from `since` to just before `until`, aware moments in UTC.

    What has been due for `most` is not held back any longer, however many freezes there are.
    """

    since: datetime
    until: datetime
    reason: str
    most: timedelta = LONGEST_FREEZE


@dataclass(frozen=True, slots=True)
class Rotation:
    """How and when a key rotates; `every` None means only on demand."""

    strategy: Strategy = Strategy.IN_PLACE
    every: timedelta | None = None
    overlap: timedelta = timedelta(hours=24)
    window: Window | None = None
    freezes: tuple[Freeze, ...] = ()
    """Those of the whole manifest."""


class AdoptSecret(StrEnum):
    """What happens to the present secret of an adopted key."""

    EXISTING = "existing"
    REGENERATE = "regenerate"


@dataclass(frozen=True, slots=True)
class Adopt:
    """Consent to take over existing API keys; uuids empty means: found by name."""

    secret: AdoptSecret
    a: str = ""
    b: str = ""
    live: SlotName | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """Spare API keys that an operator made: their names begin with `prefix`; fewer than `low` of them are few."""

    prefix: str
    low: int = 0

    def has(self, name: str) -> bool:
        """Tell whether an API key of this name is a spare; one that is called as the prefix is a key of its own."""
        return name.startswith(self.prefix) and name != self.prefix


@dataclass(frozen=True, slots=True)
class Timing:
    """The bounds of waiting, in seconds; the manifest writes them as durations."""

    delivery: float = 300.0
    settle: float = 30.0
    lease: float = 90.0
    propagation: float = 60.0
    request: float = 30.0


@dataclass(frozen=True, slots=True)
class Hook:
    """A program that is run after each verified delivery: its absolute path with arguments, and seconds to end in.

    `allowed`: the operator permits the program. Without that it is never run.
    """

    command: tuple[str, ...]
    timeout: float = 60.0
    allowed: bool = False


@dataclass(frozen=True, slots=True)
class Receiver:
    """One receiver of notices: `webhook`, `slack`, `command` or `dead-man`, and the events that it wants to hear of.

    `url` is empty if a variable of the operator holds it. `allowed`: the operator permits the program of `command`.
    """

    kind: str
    name: str
    on: tuple[str, ...] = ()
    url: str = ""
    command: tuple[str, ...] = ()
    allowed: bool = False


@dataclass(frozen=True, slots=True)
class DesiredKey:
    """One entry of a manifest, or one Pulumi resource; `name` is the plain name in DigitalOcean."""

    id: str
    owner: str
    name: str = ""
    absent: bool = False
    adopt: Adopt | None = None
    deliveries: tuple[Delivery, ...] = ()
    rotation: Rotation = Rotation()
    smoke: Smoke = Smoke()
    clean_targets: bool = True
    timing: Timing = Timing()
    trigger: str = ""
    trigger_reason: str = ""
    """What the history says of a rotation that the trigger asks for."""
    pool: Pool | None = None
    """Where a missing API key is taken from."""
    moved_from: str = ""
    """The id under which the key's record was before the entry was renamed."""
    retain: bool = False
    """`absent` with `retain`: the API keys stay, only their claims are released (Pulumi's `on_delete: retain`)."""
    lenient: bool = False  # `absent`: a delivery that cannot be read does not keep the API keys
    fingerprint: str = ""
    """Digest of the entry as written; a change of it unparks the key."""
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """`TargetConfig.homes` of each target."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """`TargetConfig.type` of each target: only two targets of one type can be two names of one store."""
    record_target: str = ""
    """The target that holds the records: its deliveries move with them."""
    permit: Permit | None = None
    """What the operator's policy allows; None without a policy."""
    hook: Hook | None = None
    """What is run after each verified delivery."""


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """A target as configured: its kind (entry point name) and settings, credentials never among them."""

    name: str
    type: str
    settings: Mapping[str, object] = field(default_factory=dict)
    home: str = ""
    """16 hex digits that tell one store from another: two targets that differ only in their login have the same."""
    former_home: str = ""
    """The same as earlier versions made it, from the settings as they are written; records of theirs hold it."""
    place: tuple[tuple[str, str], ...] = ()
    """The settings in normal form, for people: name and value. Of a variable the name is shown, as `${NAME}`."""
    digest: str = ""
    """16 hex digits of all settings in normal form, login included, with the values of variables."""

    @property
    def homes(self) -> tuple[str, ...]:
        """The home to note in records, and one that means the same in records of earlier versions."""
        return (self.home, self.former_home)


@dataclass(frozen=True, slots=True)
class RecordsConfig:
    """Where the records are: a target's name (or `local` for a directory) and the prefix."""

    target: str
    prefix: str = "keyturn"


@dataclass(frozen=True, slots=True)
class Desired:
    """A whole manifest: its owner name, its targets and its keys."""

    owner: str
    targets: tuple[TargetConfig, ...]
    records: RecordsConfig
    keys: tuple[DesiredKey, ...]
    rotations_per_run: int = 20
    timing: Timing = Timing()
    permit: Permit | None = None
    """What the operator's policy allows; None without a policy."""
    receivers: tuple[Receiver, ...] = ()
    """Who is told what happens."""
    unpermitted: tuple[Mistake, ...] = ()
    """Programs that the operator does not permit; before anything is planned they are refused."""
    unset: tuple[Mistake, ...] = ()
    """What the environment lacks to tell the receivers: their notices wait, and each report says so."""
    freezes: tuple[Freeze, ...] = ()
    agreed: frozenset[str] = frozenset()
    """Keys whose owner has agreed to every delete of their API keys: no brake counts them."""


class WireKind(StrEnum):
    """What one inference request came to, before any waiting or judging."""

    OK = "ok"
    UNAUTHORIZED = "unauthorized"
    VPC = "vpc"
    TIER = "tier"
    MODEL = "model"
    MODEL_DENIED = "model-denied"
    WRONG_API = "wrong-api"
    QUOTA = "quota"
    BALANCE = "balance"
    UNPAID = "unpaid"
    """A 401 that speaks of the balance: it says nothing of the secret, unless the account is not blocked."""
    UNREACHABLE = "unreachable"


SILENT = frozenset({WireKind.UNREACHABLE, WireKind.VPC, WireKind.BALANCE, WireKind.UNPAID})
"""Answers that say nothing about the secret, as `UNJUDGED` of the verdicts."""


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """One inference answer without its text; `models` only from `/v1/models`; `seconds` to the first answer."""

    kind: WireKind
    models: tuple[str, ...] = ()
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is done.

    `trigger` is a code: `due`, `requested`, `compromised`, `trigger`, `refused`, `secret-lost` and so on. `by` and
    `reason` are those of the operator or rule that asked for it; `evidence` is what was found, and where.
    """

    trigger: str
    by: str = ""
    reason: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a key's history; events of earlier versions have only the first three fields.

    `by` is the operator, or the run if nobody gave a name. `proof` is what is known of an old secret's death: proven,
    by-contract or alive.
    """

    at: Moment
    what: str
    by: str = ""
    cause: Cause | None = None
    slot: SlotName | None = None
    generation: int | None = None
    proof: str = ""
