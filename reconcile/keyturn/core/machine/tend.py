"""Under an open `rename`, `deliver` or `delete` intent: effects that may be repeated."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.common import (
    as_seen,
    earlier,
    gate,
    give_up,
    intent_of,
    let_go,
    login_or,
    look,
    new_intent,
    note,
    places,
    record_of,
    settle,
    trouble,
    write,
)
from keyturn.core.machine.spread import spread
from keyturn.core.model import Delivery, SlotName, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, Op, Record
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, DeleteKey, Relist, Remove, Rename, Step, Write, WriteRecord


def misnamed(state: State) -> tuple[tuple[SlotName, str, str], ...]:
    """Return (slot, uuid, present name) of each slot whose name is not the one the entry asks for."""
    found = []
    record = record_of(state)
    if record.strategy is not state.desired.rotation.strategy:
        return ()
    for name, slot in record.slots.items():
        listed = state.observed.key(slot.uuid)
        if listed and listed.name != state.name_of(name):
            found.append((name, slot.uuid, listed.name))
    return tuple(found)


def renaming(state: State) -> Decision:
    """Rename every slot that is misnamed, then write the names down."""
    record = record_of(state)
    if decision := trouble(state, Reason.RENAME_FAILED):
        return decision
    if state.run.found and (wait := settle(state)):
        return wait
    if state.run.found and not state.observed.relisted:
        return Relist()
    for slot, uuid, present in misnamed(state):
        if decision := gate(state, [uuid]):
            return decision
        wanted = state.name_of(slot)
        why = f"is called {present!r}, the entry says {wanted!r}"
        return Rename(uuid, wanted, Planned(Change.RENAME, "name-differs", why, slot=slot, uuid=uuid))
    listed = {name: state.observed.key(slot.uuid) for name, slot in record.slots.items()}
    slots = {
        name: replace(slot, name=key.name if (key := listed[name]) else slot.name)
        for name, slot in record.slots.items()
    }
    return WriteRecord(note(replace(record, slots=slots, intent=None), state, "renamed"), Write.COMMIT)


def unwanted(state: State) -> tuple[Delivery, ...]:
    """Return the deliveries of the record that the entry no longer has."""
    return tuple(item.delivery for item in record_of(state).deliveries if item.delivery not in state.desired.deliveries)


def arrived(state: State) -> bool:
    """Tell whether every wanted delivery was read with the live secret: only then an old place is cleaned."""
    live, readings = record_of(state).live_digest, state.observed.readings
    return all(item in readings and readings[item].digest == live for item in state.desired.deliveries)


def delivering(state: State) -> Decision:
    """Copy the live secret to where it is missing, remove it from where it is no longer wanted."""
    record, now = record_of(state), state.clock.now
    if decision := trouble(state, Reason.DELIVER_FAILED):
        return decision
    if state.run.found and (wait := settle(state)):
        return wait
    if reads := look(state, (*state.desired.deliveries, *unwanted(state))):
        return reads
    live = record.live_digest
    if live and places(state) and (found_again := earlier(state, live)):
        return found_again
    if live is None or (places(state) and live not in state.observed.in_hand):
        return write(state, Write.CLOSE, intent=None, deliveries=as_seen(state))
    if decision := spread(state, live):
        return decision
    readings = state.observed.readings
    late = any(readings[item].digest != live or item in state.observed.unfenced for item in places(state))
    if late and (wait := settle(state)):
        # A write that is still under way must not land over what a later run delivers.
        return wait
    readable = tuple(item for item in unwanted(state) if not readings[item].problem)
    if arrived(state) and (decision := _clean(state, readable)):
        return decision
    # What could not be read, or is the last resort of who was to move, is cleaned by a later run.
    states = [
        item
        for item in record.deliveries
        if state.desired.clean_targets
        and item.delivery in unwanted(state)
        and (readings[item.delivery].problem or not arrived(state))
    ]
    for item in places(state):
        reading = readings[item]
        held = DeliveryState(item, record.generation, reading.version, live, now)
        old = record.delivery(item) or DeliveryState(item)
        states.append(held if reading.digest == live else replace(old, digest=None, version=""))
    done = note(replace(record, deliveries=tuple(states), intent=None), state, "deliveries brought up to date")
    return WriteRecord(done, Write.COMMIT)


def _clean(state: State, unneeded: tuple[Delivery, ...]) -> Decision | None:
    """Remove our field where it holds a secret of ours; what somebody else put there stays."""
    record = record_of(state)
    if not state.desired.clean_targets:
        return None
    ours = {slot.digest for slot in record.slots.values()} | {item.digest for item in record.deliveries}
    ours |= {record.intent.digest} if record.intent else set()
    for place in unneeded:
        reading = state.observed.readings[place]
        if reading.problem:
            why = f"{place} could not be cleaned: {reading.problem}"
            return give_up(state, login_or(state, [place], Reason.CLEAN_FAILED), why)
        if reading.digest and reading.digest in ours:
            why = f"removes the secret from {place}"
            return Remove(place, Planned(Change.REMOVE, "no-longer-wanted", why, delivery=place))
    return None


def open_delete(state: State) -> Decision:
    """Start (or go on) to let a whole key go; a record that is a tombstone, or none, is rest."""
    record = state.record
    if record is None or record.deleted_at:
        return End(Reason.ABSENT, "is absent")
    intent = record.intent
    if intent and intent.op is Op.DELETE and intent.slot is None:
        return _deleting(state)
    uuids = [uuid for uuid in record.uuids if state.observed.key(uuid)]
    if uuids and not state.options.allow_delete and not state.desired.retain:
        why = f"its {len(uuids)} API key(s) are to be deleted; --allow-delete N allows that"
        return End(Reason.DELETE_NEEDS_CONSENT, why)
    if state.run.found and (decision := settle(state) or (None if state.observed.relisted else Relist())):
        return decision
    shown = Planned(Change.RECORD, "absent", "starts to remove the key")
    creating = intent if intent and intent.op is Op.CREATE else None
    fresh = new_intent(state, Op.DELETE, nonce=creating.nonce if creating else "")
    fresh = replace(fresh, digest=intent.digest if intent else None, spare=creating.spare if creating else "")
    return write(state, Write.OPEN, shown, intent=fresh)


def _deleting(state: State) -> Decision:
    record = record_of(state)
    if decision := trouble(state, Reason.DELETE_FAILED):
        return decision
    held = tuple(item.delivery for item in record.deliveries)
    if state.run.found and (decision := settle(state) or (None if state.observed.relisted else Relist())):
        return decision
    if state.desired.clean_targets and not state.desired.retain:
        if reads := look(state, held):
            return reads
        if decision := _clean(state, held):
            return decision
    order = sorted(record.slots, key=lambda name: name is record.live)
    for name in order:
        if decision := _release(state, record.slots[name].uuid, name):
            return decision
    for lost in record.gone:
        if decision := _release(state, lost.slot.uuid, lost.name):
            return decision
    if extra := _left_behind(state) or _untaken(state):
        return extra
    gone = replace(
        record, slots={}, gone=(), deliveries=(), live=None, intent=None, retire=None, handoff=None, requested=None
    )
    tomb = note(replace(gone, deleted_at=state.clock.now, parked=None), state, "deleted")
    return WriteRecord(tomb, Write.COMMIT)


def _left_behind(state: State) -> Decision | None:
    """Delete what an unanswered create may have left behind: it carries our nonce, and is in no record."""
    ours = {slot.uuid for slot in record_of(state).slots.values()}
    for key in state.observed.keys:
        if key.name.endswith(f"-kt{intent_of(state).nonce}") and key.uuid not in ours:
            if needs := let_go(state, key.uuid):
                return needs
            return DeleteKey(key.uuid, Planned(Change.DELETE, "extra", "an answer to a create was lost", uuid=key.uuid))
    return None


def _untaken(state: State) -> Decision | None:
    """Release the claim on a spare that the intent names and the record never took."""
    spare = intent_of(state).spare
    return let_go(state, spare, spare=True) if spare and spare not in record_of(state).uuids else None


def _release(state: State, uuid: str, name: SlotName) -> Step | Decision | None:
    if not state.desired.retain and state.observed.key(uuid):
        if decision := gate(state, [uuid]):
            return decision
        return DeleteKey(uuid, Planned(Change.DELETE, "absent", f"deletes slot {name}", slot=name, uuid=uuid))
    return let_go(state, uuid)


def dropping(state: State) -> Decision:
    """From `alternating` back to `in-place`: delete the slot that is not live."""
    record, intent = record_of(state), intent_of(state)
    if decision := trouble(state, Reason.DELETE_FAILED):
        return decision
    if state.run.found and (wait := settle(state)):
        return wait
    live = record.slot(record.live)
    drop = record.slot(intent.slot)
    # No slot: a delete of the whole key that its entry took back; what is gone by now, the next step finds.
    if live is None or intent.slot in {None, record.live}:
        if intent.slot is None and (decision := (None if state.observed.relisted else Relist()) or _left_behind(state)):
            return decision
        if decision := _untaken(state):
            return decision
        # What was removed meanwhile is not known any more: each delivery is looked at again.
        unsure = tuple(replace(item, digest=None) for item in record.deliveries)
        return write(state, Write.CLOSE, intent=None, deliveries=unsure)
    if drop and intent.slot and (decision := _release(state, drop.uuid, intent.slot)):
        return decision
    return WriteRecord(single(record, state), Write.COMMIT)


def single(record: Record, state: State) -> Record:
    """Return the record as an `in-place` one: the live slot becomes `a`, alone."""
    live = record.slot(record.live)
    slots = {SlotName.A: live} if live else {}
    one = replace(record, strategy=Strategy.IN_PLACE, slots=slots, live=SlotName.A if live else None, intent=None)
    return note(replace(one, handoff=None, retire=None), state, "strategy in-place")
