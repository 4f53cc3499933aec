"""The end of an overlap: the old secret is killed by a regenerate whose answer is thrown away."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.common import (
    gate,
    give_up,
    intent_of,
    look,
    new_intent,
    note,
    places,
    record_of,
    regenerate,
    settle,
    trouble,
    verdict,
    write,
)
from keyturn.core.model import UNJUDGED, Delivery, Origin, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import Op
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, LookBack, Purpose, Write, WriteRecord


def due(state: State) -> bool:
    """Tell whether an old secret waits to be killed, and its time has come."""
    retire = record_of(state).retire
    return retire is not None and retire.at <= state.clock.now


def not_yet_live(state: State) -> str:
    """Tell which deliveries do not hold the live secret, as far as they were looked at; empty where all do."""
    record = record_of(state)
    if record.retire and record.retire.at_once:
        return ""
    readings = state.observed.readings
    return "; ".join(
        f"{item}: {readings[item].problem or 'holds another secret'}"
        for item in deliveries(state)
        if readings[item].digest != record.live_digest
    )


def deliveries(state: State) -> tuple[Delivery, ...]:
    """Return the places that must hold the live secret: the entry's, or the record's where there is no entry."""
    if state.desired.name:
        return places(state)
    return tuple(item.delivery for item in record_of(state).deliveries)


def open_retire(state: State) -> Decision | None:
    """Open the intent once every delivery was read with the live secret."""
    record = record_of(state)
    retire = record.retire
    slot = record.slot(retire.slot) if retire else None
    if retire is None or slot is None or not due(state) or verdict(state, record.live_digest) is Verdict.REFUSED:
        return None
    if record.unverified and verdict(state, record.live_digest) in UNJUDGED:
        return None
    if retire.slot is record.live:
        return write(state, Write.KEEP, retire=None)
    if decision := gate(state, [slot.uuid]):
        return decision
    if not retire.at_once and (reads := look(state, deliveries(state))):
        return reads
    if not_yet_live(state):
        return None
    shown = Planned(
        Change.RETIRE,
        "overlap-over",
        "regenerates the old slot and throws the answer away: its old secret dies",
        slot=retire.slot,
        uuid=slot.uuid,
    )
    return write(state, Write.OPEN, shown, intent=new_intent(state, Op.RETIRE, retire.slot))


def retiring(state: State) -> Decision:
    """Go one step on under an open `retire` intent."""
    record, intent, run = record_of(state), intent_of(state), state.run
    slot = record.slot(intent.slot)
    if run.discarded and slot is not None:
        return _prove_and_commit(state)
    if decision := trouble(state, Reason.RETIRE_FAILED):
        return decision
    if slot is None:
        return write(state, Write.CLOSE, intent=None, retire=None)
    if slot.uuid in state.observed.gone:
        return write(state, Write.CLOSE, intent=None)
    if run.found and (wait := settle(state)):
        return wait
    forced = record.retire is not None and record.retire.at_once
    if not forced and (reads := look(state, deliveries(state))):
        return reads
    if not_yet_live(state) or intent.slot is record.live:
        return write(state, Write.CLOSE, intent=None)
    if held := _evidence(state):
        return held
    if record.parked and run.mints:
        return give_up(state, Reason.RETIRE_FAILED, "the old secret could not be retired")
    shown = Planned(Change.RETIRE, "finishes", "retires the old secret", slot=intent.slot, uuid=slot.uuid)
    return regenerate(state, discard=True, shown=shown)


def _evidence(state: State) -> Decision | None:
    """Read the old secret back where an earlier version still has it, so that its death can be proven."""
    slot = record_of(state).slot(intent_of(state).slot)
    if not slot or not slot.digest or not slot.held_in:
        return None
    if slot.digest in state.observed.in_hand or slot.digest in state.run.looked_back:
        return None
    return LookBack(tuple((item.delivery, item.version) for item in slot.held_in), slot.digest)


def _prove_and_commit(state: State) -> Decision:
    record, intent = record_of(state), intent_of(state)
    if intent.slot is None:
        return give_up(state, Reason.NO_SLOT, "the record's intent names no slot", close=True)
    slot = record.slots[intent.slot]
    if slot.digest and slot.digest in state.observed.in_hand and not state.run.proof and _can_prove(state):
        return Check(slot.digest, Purpose.OLD)
    skipped = state.desired.smoke.origin is Origin.SKIP
    proof = "unprovable" if skipped else state.run.proof or "by-contract"
    slots = record.with_slot(intent.slot, replace(slot, digest=None, minted_at=None, held_in=()))
    done = note(replace(record, intent=None, retire=None, slots=slots), state, f"retired slot {intent.slot}: {proof}")
    return WriteRecord(done, Write.COMMIT)


def _can_prove(state: State) -> bool:
    return bool(state.desired.smoke.model) and state.desired.smoke.origin is Origin.HERE


def concerns(state: State) -> bool:
    """Tell whether a record without an entry has a retire under way or no intent at all."""
    intent = state.record.intent if state.record else None
    return intent is None or intent.op is Op.RETIRE


def unmanaged(state: State) -> Decision:
    """A record without an entry: nothing is touched, but a due retire still runs."""
    record = state.record
    if record is None or record.deleted_at:
        return End(Reason.ABSENT, "is absent")
    if record.intent and record.intent.op is Op.RETIRE:
        return retiring(state)
    if record.intent is None and (decision := open_retire(state)):
        return decision
    if record.intent is None and due(state):
        why = f"the old secret cannot be retired yet: {not_yet_live(state) or 'its key is not as recorded'}"
        return End(Reason.PENDING, why)
    until = record.retire.at if record.retire else None
    return End(Reason.UNMANAGED, "is in no manifest; nothing of it is touched", until)
