"""What the deliveries hold against what the record says: caught up, restored, taken as it is, or asked about."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.common import (
    compromised,
    consented,
    earlier,
    look,
    new_intent,
    note,
    places,
    record_of,
    verdict,
    write,
)
from keyturn.core.machine.tend import arrived, unwanted
from keyturn.core.model import GOOD, UNJUDGED, Delivery, SlotName, Strategy, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import HeldAt, Op, Record, Retire
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, Purpose, Write, WriteRecord


def drift(state: State) -> Decision | None:
    """Judge what the deliveries hold, where they were looked at and differ from the record."""
    record, readings = record_of(state), state.observed.readings
    wanted = places(state)
    live = record.live_digest
    if live is None or not wanted or compromised(state):
        return None
    unproven = bool(record.unverified) or state.options.adopt is not None
    pending = any((item := record.delivery(place)) is None or item.digest != live for place in wanted)
    if (state.options.verify or unproven or pending) and (reads := look(state, wanted)):
        return reads
    if any(item not in readings for item in wanted):
        return None
    if any(readings[item].problem for item in wanted):
        # Nothing is decided by half of the places; but what the others hold is tried, and told.
        untried = state.options.verify and live in state.observed.in_hand and verdict(state, live) is None
        return Check(live, Purpose.ADOPT) if untried else None
    if all(readings[item].digest != live for item in wanted) and live not in state.observed.in_hand:
        return _sourceless(state, live)
    asked = state.options.verify or unproven or any(readings[item].digest != live for item in wanted)
    if asked and verdict(state, live) is None and live in state.observed.in_hand:
        # As for an adoption: a plan tries it too, since what follows depends on the answer.
        return Check(live, Purpose.ADOPT)
    found = verdict(state, live)
    if record.unverified and found in GOOD:
        return WriteRecord(note(replace(record, unverified=""), state, "verified"), Write.KEEP)
    told = state.options.adopt is not None and state.options.adopt.live is not None
    if found is Verdict.REFUSED or (told and any(readings[item].digest != live for item in wanted)):
        return _pasted(state, live)
    return None


def _sourceless(state: State, live: str) -> Decision | None:
    """No delivery holds the live secret: look at earlier versions, then at what they hold instead."""
    record = record_of(state)
    if found_again := earlier(state, live):
        return found_again
    leaked = record.retire.slot if record.retire and record.retire.at_once else None
    for name, slot in record.slots.items():
        held_now = {state.observed.readings[item].digest for item in places(state)}
        if slot.digest and slot.digest in held_now and name is not leaked:
            found = verdict(state, slot.digest)
            if found is None:
                return Check(slot.digest, Purpose.ADOPT)
            if found in UNJUDGED:
                return _untold(state, slot.digest)
            if found is Verdict.REFUSED:
                continue
            why = f"the targets were put back to slot {name}'s secret"
            # Whoever read the other one since has a whole overlap to come back from it.
            turned = Retire(name.other, state.clock.now + state.desired.rotation.overlap) if record.retire else None
            shown = Planned(Change.RECORD, "rolled-back", why, slot=name)
            return WriteRecord(note(replace(record, live=name, retire=turned), state, why), Write.KEEP, shown)
    return _pasted(state, live)


def _pasted(state: State, live: str) -> Decision | None:
    """The live secret is refused or lost: see whether a person regenerated the key and pasted the new one."""
    record, readings = record_of(state), state.observed.readings
    known = {slot.digest for slot in record.slots.values()}
    new = sorted({d for item in places(state) if (d := readings[item].digest) and d != live} - known)
    for digest in new:
        found = verdict(state, digest)
        if found is None:
            return Check(digest, Purpose.ADOPT)
        if found in UNJUDGED:
            return _untold(state, digest)
        if found is Verdict.REFUSED:
            continue
        if record.strategy is Strategy.ALTERNATING and not (state.options.adopt and state.options.adopt.live):
            how = f"`keyturn adopt {record.key} --live a or b`"
            why = f"a delivery was changed to a secret that the API accepts; say whose it is: {how}"
            return End(Reason.PASTED, why)
        return _take_pasted(state, record, digest)
    return None


def _untold(state: State, digest: str) -> End:
    """Say that a delivery holds another secret of which nothing could be learnt."""
    result = state.observed.verdicts[digest]
    why = f"a delivery was changed, and what it holds could not be judged: {result.advice}"
    return End(Reason.of(result.verdict.value), why)


def _take_pasted(state: State, record: Record, digest: str) -> Decision:
    slot_name = (state.options.adopt and state.options.adopt.live) or record.live or SlotName.A
    if slot_name not in record.slots:
        return End(Reason.LIVE_UNKNOWN, f"the key has no slot {slot_name}")
    now, readings = state.clock.now, state.observed.readings
    held = [item for item in places(state) if readings[item].digest == digest]
    states = tuple(
        replace(item, generation=record.generation + 1, digest=digest, version=readings[item.delivery].version, at=now)
        if item.delivery in held
        else item
        for item in record.deliveries
    )
    held_in = tuple(HeldAt(item, readings[item].version) for item in held)
    slot = replace(record.slots[slot_name], digest=digest, minted_at=now, held_in=held_in)
    retire = record.retire
    if slot_name is not record.live and record.slot(slot_name.other):
        retire = Retire(slot_name.other, now + state.desired.rotation.overlap)
    taken = replace(
        record,
        retire=retire,
        generation=record.generation + 1,
        live=slot_name,
        slots=record.with_slot(slot_name, slot),
        deliveries=states,
        unverified="",
    )
    shown = Planned(Change.RECORD, "pasted", "a person regenerated the key and pasted its secret: taken as it is")
    return WriteRecord(note(taken, state, "took a pasted secret"), Write.KEEP, shown)


def deliver(state: State) -> Decision | None:
    """Catch up deliveries that lack the live secret, clean those that are no longer wanted; never a mint."""
    record, readings = record_of(state), state.observed.readings
    live, wanted, extra = record.live_digest, state.desired.deliveries, unwanted(state)
    if live is None or state.run.gave_up or compromised(state):
        return None
    late = [place for place in wanted if behind(state, place, live)]
    if not late and not extra:
        return None
    if reads := look(state, (*wanted, *extra)):
        return reads
    late = [place for place in places(state) if behind(state, place, live)]
    if not late and not (extra and arrived(state)):
        return None
    if late and live not in state.observed.in_hand:
        return None
    if all(readings[place].problem for place in late) and late and not extra:
        return None
    if all(readings[place].problem for place in extra) and extra and not late:
        return None
    where = ", ".join(map(str, late or extra))
    shown = Planned(Change.RECORD, "deliveries-differ", f"brings up to date: {where}")
    opened, retire = new_intent(state, Op.DELIVER), _put_off(state, late)
    return write(state, Write.OPEN, shown, intent=opened, retire=retire, deliveries=consented(state))


def _put_off(state: State, late: list[Delivery]) -> Retire | None:
    """Let the overlap start again where a place goes from the old secret to the live one only now."""
    retire = record_of(state).retire
    old = record_of(state).slot(retire.slot) if retire else None
    if not retire or retire.at_once or not old or not old.digest:
        return retire
    if all(state.observed.readings[place].digest != old.digest for place in late):
        return retire
    return replace(retire, at=max(retire.at, state.clock.now + state.desired.rotation.overlap))


def behind(state: State, place: Delivery, live: str) -> bool:
    """Tell whether a place lacks the live secret, by the record or as it was looked at."""
    record, readings = record_of(state), state.observed.readings
    known = next((item for item in record.deliveries if item.delivery == place), None)
    if known is None or known.digest != live:
        return True
    reading = readings.get(place)
    return reading is not None and not reading.problem and reading.digest != live
