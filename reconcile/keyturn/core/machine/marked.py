"""Write-only deliveries: what goes over their values, and what they may hold of an intent that a dead run left.

A place that cannot be read is never a source. It holds the noted secret as long as it shows the noted marker. At
another marker someone else wrote, or a run of this key whose write was never acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from keyturn.core.machine.deliveries import delivered, doubted, places, unknown, wanted
from keyturn.core.machine.facts import compromised, found, intent_of, intent_slot, note, protects, record_of, verdict
from keyturn.core.model import UNJUDGED, Delivery, SlotName, Verdict
from keyturn.core.record import Record, Requested, Retire
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, Purpose, Write, WriteRecord


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
