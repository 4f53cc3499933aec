"""The record: all that keyturn knows of a key, without any secret; and the claim on an API key.

Both are JSON documents. Their types here are the schema: `schemas/record.v1.json` is generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from keyturn.core.errors import TargetMisfit
from keyturn.core.model import Cause, Delivery, DesiredKey, Event, Moment, SlotName, Strategy

HISTORY = 20
FORGOTTEN = "forgotten"
"""The trigger of an intent that releases a key and leaves everything alive."""
NOT_DELIVERED = "not delivered: "
"""How the words of an event begin that tells of a delivery which ended without its secret everywhere."""
FAILED = "failed: "
"""How the event of a run begins that failed after a mint."""
FORMER = 20
"""How many secrets of earlier a record remembers."""

Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
"""Part of the name of an API key while it is made; who has it in the name belongs to the create."""
DigestKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""The key of all digests of a record: 32 bytes."""
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{16}|[0-9a-f]{64})$")]
"""The digest of a secret, as it is noted or in full."""
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""An identifier of the API or of a run. It becomes a part of URLs and paths."""
KeyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""The id of another key. It becomes a part of paths."""

T = TypeVar("T", bound="Record | Claim")


class Op(StrEnum):
    """What an open intent is about; `create` and `rotate` mint, `retire` mints and throws away."""

    CREATE = "create"
    ROTATE = "rotate"
    RETIRE = "retire"
    RENAME = "rename"
    DELIVER = "deliver"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class HeldAt:
    """A delivery with the version at which it held a slot's secret: evidence for the proof that it died."""

    delivery: Delivery
    version: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One API key; `digest` is None while nobody knows its secret."""

    uuid: Word
    name: str
    created_at: Moment | None = None
    digest: Digest | None = None
    minted_at: Moment | None = None
    held_in: tuple[HeldAt, ...] = ()


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What was last read back from a delivery; without digest and time: no secret of this key was ever read there."""

    delivery: Delivery
    generation: int = 0
    version: str = ""
    digest: Digest | None = None
    at: Moment | None = None
    home: str = ""
    """Where its target was (`TargetConfig.home`): a target that moved under its old name holds nothing of ours."""
    over: Digest | None = None
    """The value of another origin that an operator agreed to overwrite; another one is not agreed to."""
    marked: bool = False
    """It cannot be read: `version` is the marker that was there after the secret with `digest` was written."""
    begun: bool = False
    """A write to it was begun and never acknowledged: at another marker it may hold a secret of ours."""
    effect_due: bool = False
    """Its secret was not seen in effect yet: each run looks again."""

    @property
    def proven(self) -> bool:
        """Whether it was once read with a secret of this key: what replaced that is drift."""
        return self.at is not None or self.digest is not None

    def same_place(self, delivery: Delivery, homes: Mapping[str, tuple[str, ...]]) -> bool:
        """Tell whether this is a delivery by another name: targets are the same by home, or else by name."""
        if (delivery.path, delivery.field) != (self.delivery.path, self.delivery.field):
            return False
        mine, known = (self.home,) if self.home else homes.get(self.delivery.target, ()), homes.get(delivery.target, ())
        if set(filter(None, mine)) & set(known):
            return True
        return not (self.home and known) and self.delivery.target == delivery.target


@dataclass(frozen=True, slots=True)
class Intent:
    """What is in flight: written before the effect, closed by the commit; also the lease of its run."""

    op: Op
    slot: SlotName | None
    nonce: Nonce
    run: Word
    since: Moment
    """By the API's clock."""
    lease_until: Moment
    digest: Digest | None = None
    spare: Word | Literal[""] = ""
    """Of a `create`: the API key of the pool that is to be taken."""
    cause: Cause | None = None
    """Why it was opened, for the history."""
    released: bool = False
    """Its run was asked to stop, and nothing that it sent is still under way: the next one goes on at once."""


@dataclass(frozen=True, slots=True)
class Retire:
    """An old secret that still lives, and when it may be killed."""

    slot: SlotName
    at: Moment
    at_once: bool = False
    """Compromised: retired without waiting for any delivery."""


@dataclass(frozen=True, slots=True)
class Gone:
    """An API key that no complete list showed any more; should it be listed again, it is the same slot.

    `live`: it was the live one, and no other secret was committed since. `retire`: what was to die when it went, or its
    own secret if another one was committed since.
    """

    slot: Slot
    name: SlotName
    live: bool = False
    retire: Retire | None = None
    at: Moment | None = None
    """When it was found to be gone; None in a record of an earlier version."""


@dataclass(frozen=True, slots=True)
class Requested:
    """A rotation that an operator or a rule asked for; only a commit clears it."""

    by: str
    reason: str
    at: Moment
    compromised: bool = False


@dataclass(frozen=True, slots=True)
class Handoff:
    """Keys that an operator has to make in the control panel: exact names, and the uuids that were there before."""

    names: tuple[str, ...]
    since: Moment
    known: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Failures:
    """Runs that failed after sending a mint, and when the next may try."""

    count: int = 0
    next_try_at: Moment | None = None
    since: Moment | None = None
    """When the first of them failed; None in a record of an earlier version."""


@dataclass(frozen=True, slots=True)
class Parked:
    """Why no more mints are made, since when, and the entry that was parked."""

    why: str
    at: Moment
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One key. `version` numbers belong to the store, not to the record."""

    key: str
    owner: str
    digest_key: DigestKey
    schema: Literal[1] = 1
    account: Word | Literal[""] = ""
    generation: int = 0
    strategy: Strategy = Strategy.IN_PLACE
    live: SlotName | None = None
    slots: Mapping[SlotName, Slot] = field(default_factory=dict)
    deliveries: tuple[DeliveryState, ...] = ()
    intent: Intent | None = None
    retire: Retire | None = None
    trigger: str = ""
    requested: Requested | None = None
    handoff: Handoff | None = None
    gone: tuple[Gone, ...] = ()
    seen: tuple[Word, ...] = ()
    """Some API keys that were listed when the record was made by a token that may not read its team."""
    failures: Failures = Failures()
    parked: Parked | None = None
    unverified: str = ""
    """Why the live secret could not be proven when it was committed; empty once it was."""
    hook_due: bool = False
    """A delivery was committed, and the hook of the entry has not succeeded since."""
    moved_from: KeyId | Literal[""] = ""
    """The key from whose id this record is being moved; empty once that is done."""
    moved_to: KeyId | Literal[""] = ""
    """The key to whose id this record is being moved, or was: no run works on it any more."""
    deleted_at: Moment | None = None
    """Set on a tombstone: the key is gone, its record stays so that versions go on counting."""
    former: tuple[Digest, ...] = ()
    """Secrets of this key that nothing else of the record names any more, the oldest first."""
    history: tuple[Event, ...] = ()

    def slot(self, name: SlotName | None) -> Slot | None:
        """Return the slot of that name, None if there is none."""
        return self.slots.get(name) if name else None

    @property
    def forgotten(self) -> bool:
        """Whether this is the tombstone of a key that lives on unmanaged."""
        cause = self.history[-1].cause if self.deleted_at and self.history else None
        return cause is not None and cause.trigger == FORGOTTEN

    @property
    def uuids(self) -> frozenset[str]:
        """Every API key that this key has, or had until no list showed it any more."""
        return frozenset(slot.uuid for slot in (*self.slots.values(), *(lost.slot for lost in self.gone)))

    @property
    def digests(self) -> frozenset[str]:
        """The digest of every secret that this record knows: of its API keys, deliveries and intent, now or earlier."""
        known = {slot.digest for slot in (*self.slots.values(), *(lost.slot for lost in self.gone))}
        known |= {item.digest for item in self.deliveries} | {self.intent.digest if self.intent else None}
        return frozenset(digest for digest in known if digest) | frozenset(self.former)

    def remembering(self, before: Record | None) -> Record:
        """Return the record with the secrets that it would forget otherwise: a delivery may still hold one."""
        if before is None or before.deleted_at or self.deleted_at or before.digest_key != self.digest_key:
            return self
        lost = sorted(before.digests - self.digests)
        return replace(self, former=(*self.former, *lost)[-FORMER:]) if lost else self

    @property
    def old_alive(self) -> SlotName | None:
        """The slot whose old secret still works; None if there is none, or nobody ever had it."""
        old = self.slot(self.retire.slot) if self.retire else None
        return self.retire.slot if self.retire and old and old.digest else None

    def cut_off(self, item: DeliveryState) -> bool:
        """Tell whether consumers of a delivery that is not in effect are refused: a rotation killed what they use.

        What someone else wrote there, or nothing, is not known to have worked.
        """
        rotated = any(event.generation == self.generation and event.at == item.at for event in self.history)
        return self.generation > 1 and rotated and self.old_alive is None

    def with_slot(self, name: SlotName, slot: Slot) -> Mapping[SlotName, Slot]:
        """Return the slots with one of them replaced."""
        return {**self.slots, name: slot}

    @property
    def live_digest(self) -> str | None:
        """The digest of the live slot's secret, None where it is not known."""
        live = self.slot(self.live)
        return live.digest if live else None

    def homed(self, homes: Mapping[str, tuple[str, ...]]) -> Record:
        """Return the record as it is to be written: each delivery with the home of its target, as far as known."""
        known = (replace(item, home=homes.get(item.delivery.target, (item.home,))[0]) for item in self.deliveries)
        return replace(self, deliveries=tuple(known))

    def at_home(self, desired: DesiredKey) -> Record:
        """Return the record without what it says of targets that have moved since, in the names of the entry.

        A wanted delivery may be one of the record's, by another name of its target. The target that holds the records
        has not moved: else no record would be found there.
        """
        names = {item.delivery: self._name_now(item, desired) for item in self.deliveries}
        if all(now == before for before, now in names.items()):
            return self
        renamed = (replace(item, delivery=now) for item in self.deliveries if (now := names[item.delivery]))
        return replace(
            self,
            slots={name: replace(slot, held_in=_renamed(slot.held_in, names)) for name, slot in self.slots.items()},
            deliveries=tuple(renamed),
        )

    def _name_now(self, noted: DeliveryState, desired: DesiredKey) -> Delivery | None:
        """Return the present name of a delivery, None if its target has moved or if it is noted by that name too."""
        named, homes, wanted = noted.delivery, desired.homes, desired.deliveries
        stays = not noted.home or named.target == desired.record_target
        if not stays and noted.home not in homes.get(named.target, (noted.home,)):
            return None
        if named in wanted:
            return named
        now = next((one for one in wanted if noted.same_place(one, homes)), named)
        return None if now != named and self.delivery(now) else now

    def delivery(self, delivery: Delivery) -> DeliveryState | None:
        """Return the state of one delivery, None where it was never ours."""
        return next((state for state in self.deliveries if state.delivery == delivery), None)


@dataclass(frozen=True, slots=True)
class Claim:
    """Which key owns an API key; written once, before the first mutating call on that uuid."""

    uuid: Word
    owner: str
    key: str
    created_at: Moment | None = None
    released_at: Moment | None = None
    spare: bool = False
    """Released untouched: nothing of the API key was changed, and nobody relies on it."""
    schema: Literal[1] = 1


def _renamed(held: tuple[HeldAt, ...], names: Mapping[Delivery, Delivery | None]) -> tuple[HeldAt, ...]:
    return tuple(replace(item, delivery=now) for item in held if (now := names.get(item.delivery, item.delivery)))


def prepare() -> None:
    """Make what reads and writes documents. Threads that need it first at the same moment would each make it."""
    _record()
    _claim()


def dump(document: Record | Claim) -> str:
    """Return the document as JSON."""
    text = _record().dump_json(document) if isinstance(document, Record) else _claim().dump_json(document)
    return text.decode()


def parse_record(text: str, *, where: str) -> Record:
    """Parse a record.

    Raises:
        TargetMisfit: not a record, or of a newer schema; its text is not repeated.
    """
    return _parse(_record(), text, where, "record")


def parse_claim(text: str, *, where: str) -> Claim:
    """Parse a claim; raises TargetMisfit like `parse_record`."""
    return _parse(_claim(), text, where, "claim")


def record_schema() -> dict[str, object]:
    """Return the JSON Schema of a record."""
    return _record().json_schema()


@cache
def _record() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


@cache
def _claim() -> TypeAdapter[Claim]:
    return TypeAdapter(Claim)


def _parse(adapter: TypeAdapter[T], text: str, where: str, kind: str) -> T:
    try:
        document = adapter.validate_json(text)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "its top"
        raise TargetMisfit(
            f"this is not a {kind} that this version of keyturn can read",
            where=where,
            evidence=f"at {place}",
            remedy=f"Nothing was changed. Use the keyturn version that wrote it, or restore the {kind}.",
        ) from None
    return document
