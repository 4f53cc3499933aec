"""The operation `rename`: every API key gets the name that the entry asks for; never a mint for it."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.facts import found, note, record_of
from keyturn.core.machine.guards import failed, relisted, settled
from keyturn.core.machine.ownership import gated, new_intent
from keyturn.core.machine.policy import Chain, when
from keyturn.core.machine.provenance import named_by_nonce
from keyturn.core.model import Cause, SlotName
from keyturn.core.reasons import Reason
from keyturn.core.record import Op
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Rename, Write, WriteRecord


def misnamed(state: State) -> tuple[SlotName, str, str] | None:
    """Return (slot, uuid, present name) of the first slot whose name is not the one that the entry asks for."""
    record = record_of(state)
    if record.strategy is not state.desired.rotation.strategy:
        return None
    for name, slot in record.slots.items():
        listed = state.observed.key(slot.uuid)
        if listed and listed.name != state.name_of(name):
            return name, slot.uuid, listed.name
    return None


def name_taken(state: State) -> End | None:
    """Stop before a name that an API key of others has: two of one name cannot be told apart by it.

    An API key that was made just now has to lose its nonce; that others took its name meanwhile stops no consumer.
    """
    wrong = misnamed(state)
    if not wrong or named_by_nonce(state, wrong[2]):
        return None
    slot, _, present = wrong
    wanted, ours = state.name_of(slot), {item.uuid for item in record_of(state).slots.values()}
    others = ", ".join(key.uuid for key in state.observed.named(wanted) if key.uuid not in ours)
    why = f"{present!r} is to be called {wanted!r}, but an API key of that name exists already ({others})"
    return End(Reason.NAMESAKE, why) if others else None


def close_taken(state: State) -> Decision | None:
    """Close the intent of a rename to a name that others have by now; what is at rest tells it."""
    return WriteRecord(replace(record_of(state), intent=None), Write.CLOSE) if name_taken(state) else None


def open_rename(state: State) -> Decision | None:
    """Open the intent if a name differs."""
    wrong = misnamed(state)
    if not wrong:
        return None
    _, uuid, present = wrong
    shown = Planned(Change.RECORD, "name-differs", f"notes that it renames {present!r}", uuid=uuid)
    return WriteRecord(replace(record_of(state), intent=new_intent(state, Op.RENAME)), Write.OPEN, shown)


def misnamed_key(state: State) -> tuple[str, ...]:
    """Return the uuid of the API key to rename next."""
    wrong = misnamed(state)
    return (wrong[1],) if wrong else ()


def next_name(state: State) -> Decision | None:
    """Rename the next API key."""
    wrong = misnamed(state)
    if not wrong:
        return None
    slot, uuid, present = wrong
    wanted = state.name_of(slot)
    why = f"renames {present!r} to {wanted!r}"
    return Rename(uuid, wanted, Planned(Change.RENAME, "name-differs", why, slot=slot, uuid=uuid))


def commit(state: State) -> Decision | None:
    """Write the names down."""
    record = record_of(state)
    slots = {
        name: replace(slot, name=listed.name) if (listed := state.observed.key(slot.uuid)) else slot
        for name, slot in record.slots.items()
    }
    changed = [f"{record.slots[name].name!r} to {slot.name!r}" for name, slot in slots.items()]
    changed = [text for text, slot in zip(changed, slots.items(), strict=True) if record.slots[slot[0]] != slot[1]]
    what = f"renamed {', '.join(changed)}" if changed else "renamed"
    return WriteRecord(note(replace(record, slots=slots, intent=None), state, what, Cause("entry")), Write.COMMIT)


RENAME: Chain = (
    failed(Reason.RENAME_FAILED),
    settled,
    when(found, relisted),
    close_taken,
    gated(misnamed_key),
    next_name,
    commit,
)
