"""What planning and applying one key come to: frozen types that the faces render."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from keyturn.core.model import Adopt, Delivery, SlotName, SmokeResult, Strategy
from keyturn.core.reasons import Condition, Reason
from keyturn.core.record import Record
from keyturn.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked of this run; the manifest never sets these.

    `rotate` asks for a rotation now; `adopt` overrides the entry's consent; `secret` is the one to adopt where it
    comes from standard input; `allow_delete` is the run's brake, released for this key; `lock_timeout` is in seconds.
    `same_team`: an operator, or another key of the run, says that the account token is of the key's own team.
    """

    verify: bool = False
    rotate: bool = False
    compromised: bool = False
    reason: str = ""
    by: str = ""
    adopt: Adopt | None = None
    take_over: bool = False
    same_team: bool = False
    unpark: bool = False
    allow_delete: bool = False
    secret: Secret | None = None
    lock_timeout: float = 120.0


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


@dataclass(frozen=True, slots=True)
class End:
    """Why the machine stopped for now: a reason of the catalogue, the facts, and when it goes on.

    The condition and the exit code follow from the reason.
    """

    code: Reason
    why: str = ""
    until: datetime | None = None
    make: tuple[str, ...] = ()
    """Names of the API keys that a person has to make in the control panel."""
    condition: Condition = field(init=False)
    exit_code: int = field(init=False)

    def __post_init__(self) -> None:
        """Fill in what follows."""
        object.__setattr__(self, "condition", self.code.condition)
        object.__setattr__(self, "exit_code", self.code.condition.exit_code)


@dataclass(frozen=True, slots=True)
class KeyPlan:
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


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What applying came to for one key: what was done, how it ended, what is wrong now."""

    key: str
    done: tuple[Planned, ...]
    end: End
    problems: tuple[str, ...] = ()
    smoke: SmokeResult | None = None
    mints: int = 0
    record: Annotated[Record | None, Field(exclude=True)] = None
    """The record as it was last read or written, None if it was never read or there is none; in no document."""

    @property
    def exit_code(self) -> int:
        """The key's own exit code: the end's, or 1 where a problem stands."""
        return self.end.exit_code or (1 if self.problems else 0)


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """One key as `status` shows it; times None where unknown."""

    key: str
    name: str
    condition: Condition
    why: str
    strategy: Strategy
    code: Reason = Reason.AT_REST
    make: tuple[str, ...] = ()
    """Names of the API keys that a person has to make in the control panel."""
    live: SlotName | None = None
    uuids: tuple[tuple[SlotName, str], ...] = ()
    generation: int = 0
    minted_at: datetime | None = None
    next_rotation_at: datetime | None = None
    retire_at: datetime | None = None
    requested: bool = False
    deliveries: tuple[tuple[Delivery, bool], ...] = ()
    """Each delivery and whether it was last read back with the live secret."""
    verdict: SmokeResult | None = None
    problems: tuple[str, ...] = ()
    exit_code: int = 0
    """What the command line ends with for this key: 0 at rest or waiting for time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of talk while a key is worked on."""

    key: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PoolState:
    """How many spares of a pool the account has; `wanted`: how many more keys would take one if they could."""

    prefix: str
    left: int
    low: int
    wanted: int = 0

    @property
    def few(self) -> bool:
        """Whether a person should make some more."""
        return self.left < self.low or self.left < self.wanted


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What apply would do to all keys; `digest` covers every key's basis and is what a saved plan is checked by.

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
