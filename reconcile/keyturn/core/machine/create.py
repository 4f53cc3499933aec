"""The operation `create`: an API key for a missing slot; by the API, from the pool, or handed over by an operator."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.facts import found, intent_of, intent_slot, note, protects, record_of
from keyturn.core.machine.guards import failed, relisted, settled
from keyturn.core.machine.handoff import create_retired, missing_slots
from keyturn.core.machine.minting import MINT, SLOT_GONE
from keyturn.core.machine.ownership import claim, drop_extra, new_intent, reopened, wrong_clock
from keyturn.core.machine.parking import give_up, parked
from keyturn.core.machine.policy import Branch, Chain, when
from keyturn.core.machine.pool import from_pool, names_spare
from keyturn.core.machine.provenance import made, unproven_made
from keyturn.core.machine.source import MAX_MINTS
from keyturn.core.model import Cause, SlotName
from keyturn.core.reasons import Reason
from keyturn.core.record import Intent, Op, Slot
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Create, Decision, Write, WriteRecord

# At rest.


def slot_to_create(state: State) -> SlotName | None:
    """Return the missing slot to create; None if the key is parked, or if the hand-off tells what has the names."""
    record, missing = record_of(state), missing_slots(state)
    if not missing or parked(state):
        return None
    if not record.handoff:
        return missing[0]
    return next((slot for slot in missing if not state.observed.named(state.name_of(slot))), None)


def namesake(state: State) -> Decision | None:
    """Stop at an API key that has the name of the slot, unless it is the other slot's from before a change."""
    slot = slot_to_create(state)
    ours = {item.uuid for item in record_of(state).slots.values()}
    named = [key for key in state.observed.named(state.name_of(slot)) if key.uuid not in ours] if slot else []
    if not named:
        return None
    uuids = ", ".join(key.uuid for key in named)
    why = f"an API key called {named[0].name!r} exists already ({uuids}) and is not this key's"
    return End(Reason.NAMESAKE, why)


def open_create(state: State) -> Decision | None:
    """Open the intent; a create that was answered 410 is not repeated, but a spare may be taken."""
    record, slot = record_of(state), slot_to_create(state)
    if slot is None or state.observed.named(state.name_of(slot)):
        return None
    intent = from_pool(state, new_intent(state, Op.CREATE, slot, cause=Cause("slot-missing")))
    if not isinstance(intent, Intent):
        return intent
    if record.handoff and not intent.spare:
        return None
    needed = Planned(Change.CREATE, "slot-missing", f"needs an API key {state.name_of(slot)!r}", slot=slot)
    return WriteRecord(replace(record, intent=intent), Write.OPEN, needed)


# Under an open `create` without a spare.


def nonce_name(state: State) -> str:
    """Return the name under which the API key is made: ours beyond doubt."""
    intent = intent_of(state)
    return f"{state.name_of(intent.slot or SlotName.A)}-kt{intent.nonce}"


def delete_extra(state: State) -> Decision | None:
    """Delete a second API key, made by a request whose answer was lost."""
    slot, ours = intent_slot(state), made(state)
    keep = slot.uuid if slot else (ours[0].uuid if ours else "")
    extra = next((key for key in ours if key.uuid != keep), None)
    return drop_extra(state, extra, "an answer was lost, and an API key was made twice") if extra else None


def is_made(state: State) -> bool:
    """Tell whether the API key exists and is not in the record yet."""
    return intent_slot(state) is None and bool(made(state))


def doubted(state: State) -> Decision | None:
    """Take no API key that carries the nonce of a found intent under a name that is not this key's."""
    doubt = unproven_made(state)
    if not doubt or state.options.allow_unproven:
        return None
    return End(Reason.UNPROVEN, f"{doubt}; it was not taken", number=1)


def claim_made(state: State) -> Decision | None:
    """Claim the new API key."""
    return claim(state, made(state)[0].uuid)


def record_made(state: State) -> Decision | None:
    """Write the new API key down as the slot's."""
    intent, key = intent_of(state), made(state)[0]
    slots = record_of(state).with_slot(intent.slot or SlotName.A, Slot(key.uuid, key.name, key.created_at))
    noted = replace(intent, digest=state.run.attempt.minted)
    return WriteRecord(replace(record_of(state), slots=slots, intent=noted), Write.NOTE)


def is_unmade(state: State) -> bool:
    """Tell whether the API key is still to be created."""
    return intent_slot(state) is None and not made(state)


def unanswered(state: State) -> Decision | None:
    """Give up after several creates without a clear answer."""
    if state.run.unanswered < MAX_MINTS:
        return None
    why = f"{MAX_MINTS} creates in one run had no clear answer; the last: {state.run.unclear}"
    return give_up(state, Reason.TOO_MANY_MINTS, why)


def create(state: State) -> Decision | None:
    """Ask the API for a new key, under the name with the nonce."""
    slot = intent_of(state).slot or SlotName.A
    shown = Planned(Change.CREATE, "create", f"asks the API to create {state.name_of(slot)!r}", slot=slot)
    return Create(slot, nonce_name(state), hold_signals=not protects(state), shown=shown)


def created_standby(state: State) -> Decision | None:
    """A new standby: nobody needs its secret, the next rotation regenerates it."""
    slot = intent_slot(state)
    if slot is None or not protects(state):
        return None
    done = replace(record_of(state), intent=None)
    return WriteRecord(
        note(done, state, f"created the standby {slot.uuid}", intent_of(state).cause, slot=intent_of(state).slot),
        Write.COMMIT,
    )


def by_api(state: State) -> bool:
    """Tell whether the API is asked for a new key; otherwise a spare is taken."""
    return not names_spare(state)


BY_API: Chain = (
    settled,
    when(found, relisted),
    delete_extra,
    when(is_made, doubted),
    when(is_made, claim_made),
    when(is_made, record_made),
    when(is_unmade, unanswered),
    when(is_unmade, reopened),
    when(is_unmade, wrong_clock),
    when(is_unmade, create),
    created_standby,
)

CREATE: Chain = (
    create_retired,
    failed(Reason.MINT_FAILED),
    *SLOT_GONE,
    Branch("spare", when=names_spare),
    Branch("by-api", when=by_api),
    *MINT,
)
