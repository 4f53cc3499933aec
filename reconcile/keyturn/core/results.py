"""What planning and applying one key come to: frozen types that the faces render."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from keyturn.core.configuration import Configuration
from keyturn.core.model import Adopt, Delivery, SlotName, SmokeResult, Strategy
from keyturn.core.reasons import Condition, Reason, Remedy, mixed
from keyturn.core.record import Record
from keyturn.core.secret import Secret

_URGENCY = tuple(Condition)


@dataclass(frozen=True, slots=True)
class Watch:
    """What this run saw of another run that may hold the key, in seconds of uptime."""

    version: str = ""
    since: float = 0.0
    """Since when the record has had this version."""
    waiting_since: float | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What an operator asked of this run; the manifest never sets these.

    `rotate` asks for a rotation now; `adopt` overrides the entry's consent; `secret` is the one to adopt where it
    comes from standard input; `lock_timeout` is in seconds. `allow_delete`, `allow_extra` (API keys that an unanswered
    create left) and `allow_unproven` (API keys that may not be this key's) are the run's brakes, released for this key.
    `confirmed`: an operator answers for it that the API keys and secrets to adopt are this key's.
    `same_team`: an operator, or another key of the run, says that the account token is of the key's own team.
    `forget`: the record without an entry is released, and nothing else is touched; with `leave_old` also if an old
    secret then lives on. `watch` is what an earlier round of this process saw of a run that has the key.
    """

    verify: bool = False
    rotate: bool = False
    compromised: bool = False
    reason: str = ""
    by: str = ""
    adopt: Adopt | None = None
    confirmed: bool = False
    take_over: bool = False
    same_team: bool = False
    unpark: bool = False
    forget: bool = False
    leave_old: bool = False
    allow_delete: bool = False
    allow_extra: bool = False
    allow_unproven: bool = False
    secret: Secret | None = None
    lock_timeout: float = 120.0
    watch: Watch | None = None


REQUESTED = "requested"
"""The code of a rotation that is written down, to be made as soon as it may start."""
LEFT_OPEN = "left-open"
"""The code of what a run finished for an earlier one."""
ANOTHER_NAME = "another-name"
"""The code of a delivery that is no longer wanted, and is not emptied, since it is or may be one that is."""
HOOK = "hook"
"""The code of a hook that is to run, or has run."""


class Change(StrEnum):
    """The kinds of effect that a plan shows; each is a mutating call, or a record write that matters to people."""

    ADOPT = "adopt"
    CREATE = "create"
    HAND_OFF = "hand-off"
    ROTATE = "rotate"
    RETIRE = "retire"
    RENAME = "rename"
    DELIVER = "deliver"
    REMOVE = "remove"
    DELETE = "delete"
    RELEASE = "release"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Planned:
    """One change and why: a reason code (kebab-case) and a sentence."""

    change: Change
    code: str
    why: str
    slot: SlotName | None = None
    uuid: str = ""
    delivery: Delivery | None = None
    consequence: str = ""
    """What it sets off beyond the place itself, such as a deployment; empty if nothing."""


@dataclass(frozen=True, slots=True)
class End:
    """Why the machine stopped for now: a reason of the catalogue, the facts, and when it goes on.

    The condition, the exit code and the kind of remedy follow from the reason.
    """

    code: Reason
    why: str = ""
    until: datetime | None = None
    make: tuple[str, ...] = ()
    """Names of the API keys that an operator has to make in the control panel."""
    since: datetime | None = None
    """Since when this has been so; None if nothing recorded it."""
    number: int = 0
    """How many API keys or keys a brake was asked about; 0 if it is not about a number."""
    condition: Condition = field(init=False, default=Condition.READY)
    exit_code: int = field(init=False, default=0)
    remedy: Remedy = field(init=False, default=Remedy.NONE)

    def __post_init__(self) -> None:
        """Fill in what follows."""
        object.__setattr__(self, "condition", self.code.condition)
        object.__setattr__(self, "exit_code", self.code.condition.exit_code)
        object.__setattr__(self, "remedy", self.code.remedy)


def by_urgency(ends: Iterable[End]) -> tuple[End, ...]:
    """Return each reason once, the most urgent first; of equal urgency in their order."""
    once: dict[Reason, End] = {}
    for end in ends:
        once.setdefault(end.code, end)
    return tuple(sorted(once.values(), key=lambda end: _URGENCY.index(end.condition)))


class _Judged:
    """What a plan and a report have in common: everything that was found, and how it ends."""

    __slots__ = ()
    conditions: tuple[End, ...]
    end: End

    @property
    def now(self) -> End:
        """The most urgent of what was found, or the end if nothing is known."""
        return self.conditions[0] if self.conditions else self.end

    @property
    def wanted(self) -> End:
        """What asks for API keys to be made, else the end."""
        return next((one for one in (*self.conditions, self.end) if one.make and one.since), self.end)


@dataclass(frozen=True, slots=True)
class KeyPlan(_Judged):
    """What apply would do to one key; `basis` is a digest of all that the plan was made from."""

    key: str
    changes: tuple[Planned, ...]
    end: End
    basis: str
    mints: bool = False
    deletes: int = 0
    scheduled: bool = False
    """The first change is a rotation only because it is due: it may be deferred over `rotations_per_run`."""
    due_since: datetime | None = None
    conditions: tuple[End, ...] = ()
    """The condition of the key now, before any change: everything that was found, the most urgent first."""
    removals: int = 0
    """How many deliveries lose their secret although their key stays."""
    record: Annotated[Record | None, Field(exclude=True)] = None
    """The record that was read, None if there is none or it was not read; in no document."""
    unproven: tuple[str, ...] = ()
    """Why API keys that would be changed may not be this key's: a sentence per API key."""

    @property
    def exit_code(self) -> int:
        """The key's own exit code: that of its condition, or of how the plan ends."""
        return mixed(end.exit_code for end in (*self.conditions, self.end))


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision: its kind (`End`, or a step such as `Look`), its sentence, and the policies in the order asked."""

    kind: str
    sentence: str
    asked: tuple[str, ...]

    @property
    def by(self) -> str:
        """The policy that decided."""
        return self.asked[-1]


@dataclass(frozen=True, slots=True)
class KeyReport(_Judged):
    """What applying came to for one key: what was done, how it ended, what is wrong now."""

    key: str
    done: tuple[Planned, ...]
    end: End
    problems: tuple[str, ...] = ()
    smoke: SmokeResult | None = None
    mints: int = 0
    record: Annotated[Record | None, Field(exclude=True)] = None
    """The record as it was last read or written, None if it was never read or there is none; in no document."""
    conditions: tuple[End, ...] = ()
    """The condition of the key after the run: everything that was found, the most urgent first."""
    watch: Annotated[Watch | None, Field(exclude=True)] = None
    """What was seen of another run that has the key, None if none has; in no document."""

    @property
    def exit_code(self) -> int:
        """The key's own exit code: that of its condition, or 1 if there is a problem."""
        found = self.conditions or (self.end,)
        return mixed((*(end.exit_code for end in found), int(bool(self.problems))))


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """One key as `status` shows it; times are None if unknown."""

    key: str
    name: str
    condition: Condition
    why: str
    strategy: Strategy
    code: Reason = Reason.AT_REST
    since: datetime | None = None
    until: datetime | None = None
    conditions: tuple[End, ...] = ()
    """Everything that was found, the most urgent first."""
    make: tuple[str, ...] = ()
    """Names of the API keys that an operator has to make in the control panel."""
    live: SlotName | None = None
    uuids: tuple[tuple[SlotName, str], ...] = ()
    generation: int = 0
    minted_at: datetime | None = None
    next_rotation_at: datetime | None = None
    retire_at: datetime | None = None
    requested: bool = False
    deliveries: tuple[tuple[Delivery, bool], ...] = ()
    """Each delivery and whether it holds the live secret: as read now, or as the record says."""
    read: bool = False
    """Every delivery was read now."""
    verdict: SmokeResult | None = None
    """What the API said of the live secret now, None if it was not tried."""
    results: tuple[tuple[Delivery, SmokeResult], ...] = ()
    """What the API said of the secret that a delivery holds, for each one that was tried."""
    untried: tuple[Delivery, ...] = ()
    """Deliveries that cannot be read, and show the marker of keyturn's own write: nobody can try what they hold."""
    problems: tuple[str, ...] = ()
    recorded_at: datetime | None = None
    """When the record was last written for a reason that its history tells."""
    exit_code: int = 0
    """The exit code of all conditions."""
    owner: str = ""
    """The owner of the record: the `name` of the manifest."""
    entry: bool = True
    """The manifest has an entry for it; without one only its record is left."""

    @property
    def word(self) -> str:
        """The condition as people are shown it (`Reason.word`)."""
        return self.code.word if self.condition is Condition.READY else self.condition.value

    @property
    def every(self) -> tuple[End, ...]:
        """Everything that was found, the most urgent first."""
        return self.conditions or (End(self.code, self.why, self.until, self.make, self.since),)


class Stage(StrEnum):
    """What a progress message is about."""

    SAY = "say"
    """A message for people: always shown."""
    BEGIN = "begin"
    """Work on `number` keys begins; `text` names it."""
    START = "start"
    """The work on one key begins."""
    STEP = "step"
    """One key's next step; without a text only `holds` is news."""
    WAIT = "wait"
    """A wait until `until`: of one key, or without a key of the whole run."""
    END = "end"
    """The work on one key ended; `code` is its exit code, `text` says why if it is not 0."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A progress message."""

    key: str
    text: str
    at: datetime
    stage: Stage = Stage.SAY
    number: int = 0
    """How many keys a BEGIN is about."""
    until: datetime | None = None
    """When a WAIT ends at the latest."""
    code: int = 0
    """The exit code of a key at its END."""
    holds: bool = False
    """Whether the only copy of a secret that consumers need is in this process: leaving now would lose it."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """How many spares of a pool the account has; `wanted`: how many more keys would take one if they could."""

    prefix: str
    left: int
    low: int
    wanted: int = 0

    @property
    def few(self) -> bool:
        """Whether an operator should make some more."""
        return self.left < self.low or self.left < self.wanted


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What apply would do to all keys; `digest` is what a saved plan is checked by.

    It covers every key's basis, the owner and the configuration: targets with their settings, records and timing.

    `deferred`: scheduled rotations over the limit, left for a later run. `unmanaged`: ids of this owner's records
    that the manifest no longer has. `stopped`: why the whole run stopped, empty where it did not.
    """

    owner: str
    plans: tuple[KeyPlan, ...]
    deferred: tuple[str, ...] = ()
    unmanaged: tuple[str, ...] = ()
    stopped: str = ""
    exit_code: int = 0
    digest: str = ""
    notes: tuple[str, ...] = ()
    """What the whole run has to say, such as what it cannot know."""
    pools: tuple[PoolState, ...] = ()
    stop: End | None = None
    """Why the whole run stopped, with its reason; None if it did not."""
    configuration: Configuration | None = None
    """The targets, records and timing that the plan was made with."""
    policy: str = ""
    """The place of the operator's rule for this owner; empty without a policy."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The condition of all keys of a manifest; `stopped`: why an apply would stop before any of them, else empty."""

    owner: str
    keys: tuple[KeyStatus, ...]
    stopped: str = ""
    exit_code: int = 0
    pools: tuple[PoolState, ...] = ()
    stop: End | None = None
    """Why the whole run stopped, with its reason; None if it did not."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did, key by key, in the manifest's order."""

    owner: str
    run: str
    reports: tuple[KeyReport, ...]
    deferred: tuple[str, ...] = ()
    unmanaged: tuple[str, ...] = ()
    stopped: str = ""
    exit_code: int = 0
    notes: tuple[str, ...] = ()
    pools: tuple[PoolState, ...] = ()
    stop: End | None = None
    """Why the whole run stopped, with its reason; None if it did not."""
    unread: Annotated[bool, Field(exclude=True)] = False
    """The account could not be read, so every key failed for that one reason; in no document."""
