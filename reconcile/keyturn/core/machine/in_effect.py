"""Whether consumers use what was delivered: until they do, no secret that they may use instead dies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from keyturn.core.effect import EffectState
from keyturn.core.late import late_end
from keyturn.core.machine.deliveries import anywhere
from keyturn.core.machine.facts import note, record_of
from keyturn.core.model import Cause
from keyturn.core.record import Record
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Write, WriteRecord

LINGERS = timedelta(minutes=15)
"""How long instances of before may run on after a new deployment is active. In App Platform jobs do, to their end."""


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
    details = {item: readings[item].effect.detail for item in failed or late}
    return late_end(record_of(state), details, failed=bool(failed))


def lingering(state: State, record: Record) -> Record:
    """Let the old secret live a little longer if this record is the first that says of an effect that it was seen."""
    due = {item.delivery for item in record_of(state).deliveries if item.effect_due}
    seen = any(item.delivery in due and not item.effect_due for item in record.deliveries)
    old = record.slot(record.retire.slot) if record.retire else None
    if not seen or not record.retire or record.retire.at_once or not old or not old.digest:
        return record
    until = state.clock.now + min(state.desired.rotation.overlap, LINGERS)
    return replace(record, retire=replace(record.retire, at=max(record.retire.at, until)))


def failed(state: State) -> Decision | None:
    """Write down, once for each write, that what it set off has failed: the target may not show it for long."""
    record, readings = record_of(state), state.observed.readings
    for item in record.deliveries:
        read = readings.get(item.delivery)
        if read is None or read.effect.state is not EffectState.FAILED:
            continue
        if item.at is None or read.digest is None or item.digest != read.digest:
            continue
        what = f"not in use: {item.delivery}: "
        if not any(event.at >= item.at and event.what.startswith(what) for event in record.history):
            noted = note(record, state, f"{what}{read.effect.detail}", Cause("effect-failed"))
            return WriteRecord(noted, Write.KEEP)
    return None


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
    return WriteRecord(note(known, state, what, Cause("effect")), Write.KEEP, shown)
