"""The steps that the machine can ask for; each holds everything its performer needs, with a code and a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keyturn.core.model import Delivery, SlotName
from keyturn.core.record import Claim, Record
from keyturn.core.results import End, Planned


class Write(StrEnum):
    """Why a record is written; the run's memory follows from it."""

    ADOPT = "adopt"
    OPEN = "open"
    REOPEN = "reopen"
    TAKE = "take"
    EXTEND = "extend"
    NOTE = "note"
    COMMIT = "commit"
    CLOSE = "close"
    FAIL = "fail"
    REQUEST = "request"
    KEEP = "keep"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Look:
    """Read these deliveries."""

    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class LookBack:
    """Read, at their recorded versions, where a secret was held: to restore it, or to prove that it died."""

    held: tuple[tuple[Delivery, str], ...]
    digest: str


@dataclass(frozen=True, slots=True)
class LookClaim:
    """Read who claims an API key."""

    uuid: str


@dataclass(frozen=True, slots=True)
class LookAround:
    """Look whether another key has the secret with this digest, or one of the deliveries."""

    digest: str
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class LookSource:
    """Read the record of the id that the key had before."""

    key: str


@dataclass(frozen=True, slots=True)
class Relist:
    """List the keys again, not from this run's cache."""


class Purpose(StrEnum):
    """What a smoke-check is for; decides how often and how patiently it asks."""

    LIVE = "live"
    ADOPT = "adopt"
    PASTED = "pasted"
    FRESH = "fresh"
    BEFORE_DELIVERY = "before-delivery"
    OLD = "old"


@dataclass(frozen=True, slots=True)
class Check:
    """Smoke-check the secret with this digest."""

    digest: str
    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Preflight:
    """Show that each delivery is readable and writable."""

    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class TellApart:
    """Find out whether `old` is another name of `new`, without changing what either holds."""

    old: Delivery
    new: Delivery


@dataclass(frozen=True, slots=True)
class Wait:
    """Sleep, then read the record again where `reread`."""

    seconds: float
    why: str
    reread: bool = False


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """Write the record over the version that was read."""

    record: Record
    kind: Write
    shown: Planned | None = None
    then: End | None = None


@dataclass(frozen=True, slots=True)
class WriteSource:
    """Write the record of the id that the key had before, over the version that was read."""

    record: Record
    shown: Planned


@dataclass(frozen=True, slots=True)
class WriteClaim:
    """Write a claim over the version that was read."""

    claim: Claim
    shown: Planned


@dataclass(frozen=True, slots=True)
class Create:
    """Mint a new API key.

    `hold_signals`: no other secret of the key works, so until this one is written down no signal stops the run.
    """

    slot: SlotName
    name: str
    hold_signals: bool
    shown: Planned


@dataclass(frozen=True, slots=True)
class Regenerate:
    """Mint a new secret for an API key; with `discard` the answer is thrown away.

    `hold_signals`: the live secret dies, so until the new one is written down no signal stops the run.
    """

    slot: SlotName
    uuid: str
    discard: bool
    hold_signals: bool
    shown: Planned


@dataclass(frozen=True, slots=True)
class Rename:
    """Rename an API key."""

    uuid: str
    name: str
    shown: Planned


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """Delete an API key."""

    uuid: str
    shown: Planned


@dataclass(frozen=True, slots=True)
class Deliver:
    """Write the secret with this digest to each delivery, side by side, each over what was read there."""

    digest: str
    shown: tuple[Planned, ...]

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Where to."""
        return tuple(item.delivery for item in self.shown if item.delivery)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove our field from a delivery, over what was read there."""

    delivery: Delivery
    shown: Planned


Reads = Look | LookBack | LookAround | LookClaim | LookSource | Relist
Step = (
    Look
    | LookBack
    | LookAround
    | LookClaim
    | LookSource
    | Relist
    | Check
    | Preflight
    | TellApart
    | Wait
    | WriteRecord
    | WriteSource
    | WriteClaim
    | Create
    | Regenerate
    | Rename
    | DeleteKey
    | Deliver
    | Remove
)
Decision = Step | End
