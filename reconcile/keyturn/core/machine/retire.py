"""The operation `retire`: after the overlap the old secret is killed by a regenerate whose answer is thrown away."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.deliveries import places, recorded
from keyturn.core.machine.facts import (
    idle,
    intent_of,
    intent_slot,
    note,
    record_of,
    retire_at,
    retire_frozen,
    together,
    verdict,
)
from keyturn.core.machine.guards import failed, seen, settled
from keyturn.core.machine.in_effect import not_in_effect, seen_again
from keyturn.core.machine.minting import MAY_REGENERATE
from keyturn.core.machine.ownership import gated, new_intent
from keyturn.core.machine.parking import give_up, parked
from keyturn.core.machine.policy import Branch, Chain, when
from keyturn.core.model import UNJUDGED, Cause, Delivery, Origin, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import Op, Record
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, LookBack, Purpose, Regenerate, Write, WriteRecord


def due(state: State) -> bool:
    """Tell whether an old secret waits to be killed, its time has come, and no freeze delays it."""
    retire = record_of(state).retire
    return retire is not None and retire.at <= state.clock.now and not retire_frozen(state)


def holders(state: State) -> tuple[Delivery, ...]:
    """Return the deliveries that must hold the live secret: the entry's, or the record's if there is no entry."""
    return places(state) if state.desired.name else recorded(state)


def unforced(state: State) -> bool:
    """Tell whether the deliveries decide: a compromised secret is retired without waiting for any."""
    retire = record_of(state).retire
    return retire is None or not retire.at_once


def not_yet_live(state: State) -> str:
    """Say which deliveries do not hold the live secret, as they were read; empty if all do."""
    if not unforced(state):
        return ""
    record, readings = record_of(state), state.observed.readings
    return together(
        f"{item}: {readings[item].problem or readings[item].refuses or 'holds another secret'}"
        for item in holders(state)
        if readings[item].digest != record.live_digest
    )


def waits_for_effect(state: State) -> End | None:
    """Return which deliveries hold the live secret that consumers do not use yet; None if the old one may die."""
    return not_in_effect(state) if unforced(state) else None


# At rest.


def ripe(state: State) -> bool:
    """Tell whether a retire is due and the live secret is not known to be bad: then nothing would work."""
    record = record_of(state)
    if record.retire is None or record.slot(record.retire.slot) is None or not due(state):
        return False
    live = verdict(state, record.live_digest)
    return live is not Verdict.REFUSED and not (record.unverified and live in UNJUDGED)


def forget_live(state: State) -> Decision | None:
    """Never retire the live slot."""
    record = record_of(state)
    if record.retire is None or record.retire.slot is not record.live:
        return None
    return WriteRecord(replace(record, retire=None), Write.KEEP)


def old_key(state: State) -> tuple[str, ...]:
    """Return the uuid of the API key whose secret is to die."""
    record = record_of(state)
    slot = record.slot(record.retire.slot) if record.retire else None
    return (slot.uuid,) if slot else ()


def open_retire(state: State) -> Decision | None:
    """Open the intent once every delivery was read with the live secret, and consumers use it."""
    record = record_of(state)
    if record.retire is None or not_yet_live(state) or waits_for_effect(state):
        return None
    never_live = record.slots[record.retire.slot].minted_at is None
    cause = _leak(record) if record.retire.at_once else Cause("standby" if never_live else "overlap-over")
    shown = Planned(
        Change.RETIRE,
        cause.trigger,
        "regenerates the old slot and throws the answer away: its old secret dies",
        slot=record.retire.slot,
        uuid=record.slots[record.retire.slot].uuid,
    )
    return WriteRecord(
        replace(record, intent=new_intent(state, Op.RETIRE, record.retire.slot, cause=cause)), Write.OPEN, shown
    )


def _leak(record: Record) -> Cause:
    """Return why a retire does not wait: who reported the leak, and the reason of the rotation that it ends."""
    causes = (event.cause for event in reversed(record.history) if event.generation)
    return replace(next(causes, None) or Cause(""), trigger="compromised")


OPEN_RETIRE: Chain = (
    forget_live,
    gated(old_key),
    when(unforced, seen(holders)),
    when(unforced, seen_again),
    open_retire,
)


# Under an open `retire`.


def discarded(state: State) -> bool:
    """Tell whether the old secret was replaced by one that nobody has."""
    return state.run.attempt.discarded and intent_slot(state) is not None


def try_old(state: State) -> Decision | None:
    """Try whether the old secret is refused now, if this run has it and can try it."""
    slot, smoke = intent_slot(state), state.desired.smoke
    if not slot or not slot.digest or slot.digest not in state.observed.in_hand or state.run.attempt.proof:
        return None
    return Check(slot.digest, Purpose.OLD) if smoke.model and smoke.origin is Origin.HERE else None


def commit(state: State) -> Decision | None:
    """Close the retire: nobody knows the slot's secret."""
    record, intent, slot = record_of(state), intent_of(state), intent_slot(state)
    if slot is None or intent.slot is None:
        return None
    skipped = state.desired.smoke.origin is Origin.SKIP
    proof = "unprovable" if skipped else state.run.attempt.proof or "by-contract"
    slots = record.with_slot(intent.slot, replace(slot, digest=None, minted_at=None, held_in=()))
    what = f"retired slot {intent.slot}: {proof}"
    closed = replace(record, intent=None, retire=None, slots=slots)
    done = note(closed, state, what, intent.cause, slot=intent.slot, proof=proof)
    return WriteRecord(done, Write.COMMIT)


def no_slot(state: State) -> Decision | None:
    """Close the intent of a slot that the record no longer has."""
    if intent_slot(state) is not None:
        return None
    return WriteRecord(replace(record_of(state), intent=None, retire=None), Write.CLOSE)


def slot_gone(state: State) -> Decision | None:
    """Close the intent of an API key that is gone."""
    slot = intent_slot(state)
    return _close(state) if slot and slot.uuid in state.observed.gone else None


def premature(state: State) -> Decision | None:
    """Close the intent if a delivery lacks the live secret, or if the slot is live by now."""
    lacking = not_yet_live(state) or waits_for_effect(state)
    return _close(state) if lacking or intent_of(state).slot is record_of(state).live else None


def evidence(state: State) -> Decision | None:
    """Read the old secret back from a version that still has it, so that its death can be proven."""
    slot = intent_slot(state)
    if not slot or not slot.digest or not slot.held_in:
        return None
    if slot.digest in state.observed.in_hand or slot.digest in state.run.looked_back:
        return None
    return LookBack(tuple((item.delivery, item.version) for item in slot.held_in), slot.digest)


def parked_once(state: State) -> Decision | None:
    """A parked key's retire has one mint per run."""
    if not parked(state) or not state.run.mints:
        return None
    return give_up(state, Reason.RETIRE_FAILED, "the old secret could not be retired")


def discard(state: State) -> Decision | None:
    """Regenerate the old slot and throw the answer away."""
    intent, slot = intent_of(state), intent_slot(state)
    if slot is None or intent.slot is None:
        return None
    shown = Planned(Change.RETIRE, "finishes", "retires the old secret", slot=intent.slot, uuid=slot.uuid)
    return Regenerate(intent.slot, slot.uuid, discard=True, hold_signals=False, shown=shown)


def _close(state: State) -> Decision:
    return WriteRecord(replace(record_of(state), intent=None), Write.CLOSE)


RETIRE: Chain = (
    when(discarded, try_old),
    when(discarded, commit),
    failed(Reason.RETIRE_FAILED),
    no_slot,
    slot_gone,
    settled,
    when(unforced, seen(holders)),
    premature,
    evidence,
    parked_once,
    *MAY_REGENERATE,
    discard,
)


# A record without an entry: nothing is touched, but a due retire still runs.


def concerns(state: State) -> bool:
    """Tell whether a record without an entry has a retire under way or no intent at all."""
    intent = state.record.intent if state.record else None
    return intent is None or intent.op is Op.RETIRE


def no_record(state: State) -> Decision | None:
    """Rest if there is no record, or a tombstone."""
    record = state.record
    if record is not None and not record.deleted_at:
        return None
    if record is not None and record.forgotten:
        return End(Reason.UNMANAGED, "was forgotten: its API keys and the delivered secrets were left as they are")
    return End(Reason.ABSENT, "is absent")


def retiring(state: State) -> bool:
    """Tell whether a retire is under way."""
    intent = record_of(state).intent
    return intent is not None and intent.op is Op.RETIRE


def idle_and_ripe(state: State) -> bool:
    """Tell whether a retire is to be opened."""
    return idle(state) and ripe(state)


def not_retired(state: State) -> Decision | None:
    """Say why a due retire cannot be."""
    if not idle(state) or not due(state):
        return None
    missing = not_yet_live(state)
    if not missing and (late := waits_for_effect(state)):
        return late
    return End(Reason.PENDING, f"the old secret cannot be retired yet: {missing or 'its key is not as recorded'}")


def untouched(state: State) -> Decision | None:
    """Leave everything else as it is."""
    return End(Reason.UNMANAGED, "is in no manifest; nothing of it is touched", retire_at(state))


UNMANAGED: Chain = (
    no_record,
    Branch("retire", when=retiring),
    Branch("open-retire", when=idle_and_ripe),
    not_retired,
    untouched,
)
