"""Write-only deliveries: what they may hold of an open intent, and whether what they hold is in effect.

A place that cannot be read is never a source. It holds the noted secret as long as it shows the noted marker. At
another marker someone else wrote, or a run of this key whose write was never acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from keyturn.core.effect import EffectState
from keyturn.core.machine.deliveries import anywhere, doubted, in_doubt, places, unknown, wanted
from keyturn.core.machine.facts import (
    compromised,
    found,
    intent_of,
    intent_slot,
    note,
    protects,
    record_of,
    together,
    verdict,
)
from keyturn.core.model import UNJUDGED, Cause, Delivery, SlotName, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, Record, Requested, Retire
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, Purpose, Write, WriteRecord

LINGERS = timedelta(minutes=15)
"""How long instances of before may run on after a new deployment is active. In App Platform jobs do, to their end."""


def delivered(state: State, delivery: Delivery, generation: int, digest: str) -> DeliveryState:
    """Return what the record is to say of a delivery that was read with this secret."""
    read = state.observed.readings[delivery]
    due = not read.effect.active
    return DeliveryState(
        delivery, generation, read.version, digest, state.clock.now, marked=read.marked, effect_due=due
    )


def covers(state: State, deliveries: Iterable[Delivery]) -> bool:
    """Tell whether a write to these would go over a value that nobody can have back, and that may be good."""
    found = (state.observed.readings.get(item) for item in deliveries)
    return any(read is not None and read.marked and read.digest for read in found)


def usable(state: State) -> bool:
    """Tell whether the live secret was tried and works: only that one goes over a value that nobody can have back."""
    found = verdict(state, record_of(state).live_digest)
    return found is not None and found is not Verdict.REFUSED and found not in UNJUDGED


def none_readable(state: State) -> bool:
    """Tell whether every delivery is a write-only one, as they were read: no run can try the live secret again."""
    readings = [state.observed.readings.get(item) for item in places(state)]
    return bool(readings) and all(read is not None and read.marked for read in readings)


def untriable(state: State, verdict: Verdict) -> bool:
    """Tell whether a secret that was not refused is to be taken as good: nobody could try it later."""
    return verdict is not Verdict.REFUSED and none_readable(state)


# Under an open intent.


def unnoted(state: State) -> Record | None:
    """Return the record with what this run's writes came to; None if it says that already.

    If the run gives up, the next one does not write again where a write was acknowledged. Where it was refused, what
    comes there later is not ours.
    """
    record = record_of(state)
    noted = tuple(
        delivered(state, item.delivery, item.generation, sent[1])
        if (sent := state.run.sent.get(item.delivery))
        and (item.version, item.digest) != sent
        and (read := state.observed.readings.get(item.delivery))
        and (read.version, read.digest) == sent
        else in_doubt(state, item)
        if item.delivery in state.run.denied
        else item
        for item in record.deliveries
    )
    return replace(record, deliveries=noted) if noted != record.deliveries else None


def lost_track(state: State) -> tuple[Delivery, ...]:
    """Return the deliveries that may hold the standby's secret, which a run delivered and nobody has any more."""
    intent, readings = intent_of(state), state.observed.readings
    if not (found(state) and protects(state)) or compromised(state):
        return ()
    if intent.digest is None or intent.digest in state.observed.in_hand:
        return ()
    return tuple(item for item in places(state) if unknown(readings[item]) or readings[item].digest == intent.digest)


def put_back(state: State) -> Decision | None:
    """Close the intent if the live secret can take the place of one that may be in use and that nobody has.

    Consumers of that one have a whole overlap to come back from it; then it dies, and the rotation starts again.
    """
    record, live = record_of(state), record_of(state).live_digest
    if not lost_track(state) or live is None or live not in state.observed.in_hand:
        return None
    if verdict(state, live) is None:
        return Check(live, Purpose.LIVE)
    if verdict(state, live) is Verdict.REFUSED:
        return None
    what = "the new secret is lost, and may be in use; the live one takes its place again"
    ended = note(_ended(state, record.live), state, what, intent_of(state).cause, slot=intent_of(state).slot)
    return WriteRecord(ended, Write.CLOSE)


def moved_on(state: State) -> Decision | None:
    """Commit a secret that only write-only deliveries got before its run ended: they show another marker since.

    No secret is in hand, so nothing can be written. The rotation is asked for again, because no write of it was
    acknowledged.
    """
    record, intent, standby = record_of(state), intent_of(state), intent_slot(state)
    lost = lost_track(state)
    if not lost or lost != wanted(state) or standby is None or intent.slot is None or intent.digest is None:
        return None
    ended = _ended(state, intent.slot)
    digest, generation = intent.digest, record.generation + 1
    kept = tuple(item for item in record.deliveries if item.delivery not in lost)
    states = (replace(delivered(state, item, generation, digest), effect_due=True) for item in lost)
    slots = record.with_slot(intent.slot, replace(standby, digest=digest, minted_at=state.clock.now, held_in=()))
    what = f"generation {generation} on slot {intent.slot}, delivered by a run that did not finish"
    done = replace(ended, generation=generation, slots=slots, deliveries=(*kept, *states))
    return WriteRecord(note(done, state, what, intent.cause, slot=intent.slot, generation=generation), Write.COMMIT)


def _ended(state: State, live: SlotName | None) -> Record:
    """Return the record without the intent, its rotation asked for again; the secret that is not live has an overlap.

    The standby has the secret that the intent names, wherever that is.
    """
    record, intent, standby = record_of(state), intent_of(state), intent_slot(state)
    asked = record.requested or Requested("keyturn", "a rotation was left unfinished", intent.since)
    until = state.clock.now + state.desired.rotation.overlap
    slots = record.with_slot(intent.slot, replace(standby, digest=intent.digest)) if standby and intent.slot else {}
    return replace(
        record,
        intent=None,
        live=live,
        slots=slots or record.slots,
        deliveries=doubted(state),
        retire=Retire(live.other, until) if live else None,
        requested=asked,
    )


# In effect.


def not_in_effect(state: State) -> End | None:
    """Return that consumers do not use the live secret yet which a delivery holds; None if they do.

    One that the entry no longer has counts until it is emptied.
    """
    live, readings = record_of(state).live_digest, state.observed.readings
    late = [item for item in anywhere(state) if (read := readings.get(item)) and read.digest == live]
    late = [item for item in late if not readings[item].effect.active]
    if not late:
        return None
    failed = [item for item in late if readings[item].effect.state is EffectState.FAILED]
    why = together(f"{item}: {readings[item].effect.detail}" for item in failed or late)
    if failed:
        return End(Reason.EFFECT_FAILED, f"the secret is delivered and not in use: {why}")
    return End(Reason.EFFECT_PENDING, f"the secret is delivered and not in use yet: {why}")


def lingering(state: State, record: Record) -> Record:
    """Let the old secret live a little longer if this record is the first that says of an effect that it was seen."""
    due = {item.delivery for item in record_of(state).deliveries if item.effect_due}
    seen = any(item.delivery in due and not item.effect_due for item in record.deliveries)
    old = record.slot(record.retire.slot) if record.retire else None
    if not seen or not record.retire or record.retire.at_once or not old or not old.digest:
        return record
    until = state.clock.now + min(state.desired.rotation.overlap, LINGERS)
    return replace(record, retire=replace(record.retire, at=max(record.retire.at, until)))


def seen_again(state: State) -> Decision | None:
    """Write down that what was in doubt is as it should be: the live secret is there, and in effect."""
    record, readings = record_of(state), state.observed.readings
    live = record.live_digest
    good = [
        item.delivery
        for item in record.deliveries
        if (item.begun or item.effect_due)
        and item.digest == live
        and (read := readings.get(item.delivery))
        and read.digest == live
        and read.effect.active
    ]
    if not good or live is None:
        return None
    states = tuple(
        replace(item, begun=False, effect_due=False) if item.delivery in good else item for item in record.deliveries
    )
    what = f"in effect: {', '.join(map(str, good))}"
    shown = Planned(Change.RECORD, "in-effect", f"notes that the secret is {what}")
    known = lingering(state, replace(record, deliveries=states))
    return WriteRecord(note(known, state, what, Cause("entry")), Write.KEEP, shown)
