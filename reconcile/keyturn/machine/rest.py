"""Without an open intent: what drifted, what is missing, what is due; and how the key stands when nothing is."""

from __future__ import annotations

from dataclasses import replace

from keyturn import schedule
from keyturn.machine import retire, rotate
from keyturn.machine.adopt import foreign
from keyturn.machine.common import claim, compromised, look, new_intent, note, record_of, verdict, write
from keyturn.machine.tend import misnamed, single, unwanted
from keyturn.model import Delivery, SlotName, Strategy, Verdict
from keyturn.outcome import Change, Condition, End, Planned
from keyturn.record import HeldAt, Op, Record, Requested, Retire, Slot
from keyturn.state import State
from keyturn.steps import Check, Decision, LookBack, Purpose, Relist, Write, WriteRecord


def gone(state: State) -> Decision | None:
    """Forget slots whose API key is gone: absent from two complete lists."""
    record = record_of(state)
    missing = [name for name, slot in record.slots.items() if state.observed.key(slot.uuid) is None]
    if not missing:
        return None
    if not state.observed.relisted:
        return Relist()
    lost = ", ".join(record.slots[name].uuid for name in missing)
    slots = {name: slot for name, slot in record.slots.items() if name not in missing}
    live = None if record.live in missing else record.live
    retired = None if record.retire and record.retire.slot in missing else record.retire
    shown = Planned(Change.RECORD, "gone", f"the API key {lost} is gone")
    left = replace(record, slots=slots, live=live, retire=retired if live else None)
    return WriteRecord(note(left, state, f"gone: {lost}"), Write.KEEP, shown)


def missing_slots(state: State) -> tuple[SlotName, ...]:
    """Return the slots that the strategy needs and the record lacks."""
    record = record_of(state)
    if record.strategy is Strategy.ALTERNATING:
        return tuple(name for name in SlotName if record.slot(name) is None)
    return () if record.slots else (SlotName.A,)


def provide(state: State) -> Decision | None:
    """Fill a missing slot: by what a person made, or by a create; a create that was answered 410 is not repeated."""
    record = record_of(state)
    missing = missing_slots(state)
    if not missing:
        done = replace(record, handoff=None)
        return WriteRecord(done, Write.KEEP) if record.handoff else None
    for slot in missing:
        name = state.name_of(slot)
        known = record.handoff.known if record.handoff else ()
        ours = {item.uuid for item in record.slots.values()}
        found = [key for key in state.observed.named(name) if key.uuid not in known and key.uuid not in ours]
        if len(found) == 1 and (record.handoff or state.options.adopt or state.desired.adopt):
            if needs := claim(state, found[0].uuid):
                return needs
            return _take(state, slot, Slot(found[0].uuid, name, found[0].created_at))
    if record.handoff or record.parked:
        return None
    namesakes = state.observed.named(state.name_of(missing[0]))
    if namesakes:
        uuids = ", ".join(key.uuid for key in namesakes)
        why = f"an API key called {namesakes[0].name!r} exists already ({uuids}) and is not this key's"
        return End(Condition.STOPPED, "namesake", why, exit_code=4)
    shown = Planned(Change.CREATE, "slot-missing", f"needs an API key {state.name_of(missing[0])!r}", slot=missing[0])
    return write(state, Write.OPEN, shown, intent=new_intent(state, Op.CREATE, missing[0]))


def _take(state: State, slot: SlotName, made: Slot) -> Decision:
    """Take what a person made; a person saw its secret, so it is regenerated, at once or as a standby."""
    record, now = record_of(state), state.clock.now
    slots = record.with_slot(slot, made)
    left = tuple(name for name in missing_slots(state) if name is not slot)
    handoff = replace(record.handoff, names=tuple(map(state.name_of, left))) if record.handoff and left else None
    taken = replace(record, slots=slots, handoff=handoff)
    if record.live is None:
        taken = replace(taken, requested=record.requested or Requested("hand-off", "a person saw its secret", now))
    elif record.retire is None:
        taken = replace(taken, retire=Retire(slot, now))
    shown = Planned(Change.ADOPT, "handed-over", f"takes {made.name!r} as slot {slot}", slot=slot, uuid=made.uuid)
    return WriteRecord(note(taken, state, f"took {made.uuid} as slot {slot}"), Write.KEEP, shown)


def handoff_waits(state: State) -> End | None:
    """Return what a person has to do in the control panel."""
    record = record_of(state)
    if not record.handoff:
        return None
    for name in record.handoff.names:
        found = [key for key in state.observed.named(name) if key.uuid not in record.handoff.known]
        if len(found) > 1:
            uuids = ", ".join(key.uuid for key in found)
            why = f"{len(found)} API keys are called {name!r}: {uuids}; delete all but one"
            return End(Condition.FAILED, "several-namesakes", why, exit_code=1)
    names = " and ".join(repr(name) for name in record.handoff.names)
    why = (
        f"the API no longer creates keys: in the control panel, under model access keys, make {names}"
        " (exactly so), then run apply again; its secret need not be copied, it is regenerated"
    )
    return End(Condition.WAITING, "hand-off", why, exit_code=1)


def switch(state: State) -> Decision | None:
    """Follow a changed strategy; never a mint for it."""
    record = record_of(state)
    if record.strategy is state.desired.rotation.strategy:
        return None
    if state.alternating:
        shown = Planned(Change.RECORD, "strategy", "becomes alternating: its key is slot a, slot b is still to come")
        return WriteRecord(
            note(replace(record, strategy=Strategy.ALTERNATING), state, "strategy alternating"), Write.KEEP, shown
        )
    if record.retire and not retire.due(state):
        return None
    if record.live is None:
        return None
    other = record.live.other
    if record.slot(other) is None:
        return WriteRecord(single(record, state), Write.KEEP)
    if record.retire:
        return None
    if not state.options.allow_delete:
        why = f"to become in-place its slot {other} has to be deleted; --allow-delete N allows that"
        return End(Condition.STOPPED, "delete-needs-consent", why, exit_code=4)
    shown = Planned(Change.RECORD, "strategy", f"becomes in-place: slot {other} goes")
    return write(state, Write.OPEN, shown, intent=new_intent(state, Op.DELETE, other))


def drift(state: State) -> Decision | None:
    """Judge what the deliveries hold, where they were looked at and differ from the record."""
    record, readings = record_of(state), state.observed.readings
    wanted = state.desired.deliveries
    live = record.live_digest
    if live is None or not wanted or compromised(state):
        return None
    unproven = bool(record.unverified) or state.options.adopt is not None
    pending = any((item := record.delivery(place)) is None or item.digest != live for place in wanted)
    if (state.options.verify or unproven or pending) and (reads := look(state, wanted)):
        return reads
    if any(item not in readings for item in wanted) or any(readings[item].problem for item in wanted):
        return None
    if all(readings[item].digest != live for item in wanted) and live not in state.observed.in_hand:
        return _sourceless(state, live)
    asked = state.options.verify or unproven or any(readings[item].digest != live for item in wanted)
    if asked and verdict(state, live) is None and live in state.observed.in_hand:
        return Check(live, Purpose.LIVE)
    found = verdict(state, live)
    if record.unverified and found in {Verdict.ACCEPTED, Verdict.SKIPPED}:
        return WriteRecord(note(replace(record, unverified=""), state, "verified"), Write.KEEP)
    if found is Verdict.REFUSED:
        return _pasted(state, live)
    return None


def _sourceless(state: State, live: str) -> Decision | None:
    """No delivery holds the live secret: look at earlier versions, then at what they hold instead."""
    record = record_of(state)
    held = tuple((item.delivery, item.version) for item in record.deliveries if item.digest == live and item.version)
    if held and live not in state.run.looked_back:
        return LookBack(held, live)
    for name, slot in record.slots.items():
        if slot.digest and any(
            state.observed.readings[item].digest == slot.digest for item in state.desired.deliveries
        ):
            why = f"the targets were put back to slot {name}'s secret"
            back = replace(record, live=name, retire=replace(record.retire, slot=name.other) if record.retire else None)
            shown = Planned(Change.RECORD, "rolled-back", why, slot=name)
            return WriteRecord(note(back, state, why), Write.KEEP, shown)
    return _pasted(state, live)


def _pasted(state: State, live: str) -> Decision | None:
    """The live secret is refused or lost: see whether a person regenerated the key and pasted the new one."""
    record, readings = record_of(state), state.observed.readings
    known = {slot.digest for slot in record.slots.values()}
    new = sorted({d for item in state.desired.deliveries if (d := readings[item].digest) and d != live} - known)
    for digest in new:
        found = verdict(state, digest)
        if found is None:
            return Check(digest, Purpose.ADOPT)
        if found is Verdict.UNREACHABLE:
            why = "a delivery was changed, and the inference API does not answer to tell by what"
            return End(Condition.FAILED, "unreachable", why, exit_code=1)
        if found is Verdict.REFUSED:
            continue
        if record.strategy is Strategy.ALTERNATING and not (state.options.adopt and state.options.adopt.live):
            how = f"`keyturn adopt {record.key} --live a or b`"
            why = f"a delivery was changed to a secret that the API accepts; say whose it is: {how}"
            return End(Condition.FAILED, "pasted", why, exit_code=1)
        return _take_pasted(state, record, digest)
    return None


def _take_pasted(state: State, record: Record, digest: str) -> Decision:
    slot_name = (state.options.adopt and state.options.adopt.live) or record.live or SlotName.A
    if slot_name not in record.slots:
        return End(Condition.FAILED, "live-unknown", f"the key has no slot {slot_name}", exit_code=1)
    now, readings = state.clock.now, state.observed.readings
    held = [item for item in state.desired.deliveries if readings[item].digest == digest]
    states = tuple(
        replace(item, generation=record.generation + 1, digest=digest, version=readings[item.delivery].version, at=now)
        if item.delivery in held
        else item
        for item in record.deliveries
    )
    held_in = tuple(HeldAt(item, readings[item].version) for item in held)
    slot = replace(record.slots[slot_name], digest=digest, minted_at=now, held_in=held_in)
    taken = replace(
        record,
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
    behind = [place for place in wanted if _behind(state, place, live)]
    if not behind and not extra:
        return None
    if reads := look(state, (*wanted, *extra)):
        return reads
    if stop := foreign(state, wanted):
        return stop
    if behind and live not in state.observed.in_hand:
        return None
    if all(readings[place].problem for place in behind) and behind and not extra:
        return None
    if all(readings[place].problem for place in extra) and extra and not behind:
        return None
    places = ", ".join(map(str, behind or extra))
    shown = Planned(Change.RECORD, "deliveries-differ", f"brings up to date: {places}")
    return write(state, Write.OPEN, shown, intent=new_intent(state, Op.DELIVER))


def _behind(state: State, place: Delivery, live: str) -> bool:
    record, readings = record_of(state), state.observed.readings
    known = next((item for item in record.deliveries if item.delivery == place), None)
    if known is None or known.digest != live:
        return True
    reading = readings.get(place)
    return reading is not None and not reading.problem and reading.digest != live


def rename(state: State) -> Decision | None:
    """Give every slot the name that the entry asks for."""
    wrong = misnamed(state)
    if not wrong:
        return None
    _, uuid, present = wrong[0]
    shown = Planned(Change.RECORD, "name-differs", f"{present!r} is to be renamed", uuid=uuid)
    return write(state, Write.OPEN, shown, intent=new_intent(state, Op.RENAME))


def at_rest(state: State) -> End:
    """Say how the key stands: the worst of what is pending, or rest."""
    record, readings = record_of(state), state.observed.readings
    wrong = list(state.run.problems)
    live = record.live_digest
    for place in state.desired.deliveries:
        if live is not None and _behind(state, place, live):
            problem = readings[place].problem if place in readings else ""
            wrong.append(f"{place} does not hold the live secret" + (f": {problem}" if problem else ""))
        elif place in readings and readings[place].problem:
            wrong.append(f"{place}: {readings[place].problem}")
    if record.unverified:
        wrong.append(f"its secret is not proven: {record.unverified}")
    found = state.observed.verdicts.get(live) if live else None
    if found and found.verdict not in {Verdict.ACCEPTED, Verdict.SKIPPED} and not record.unverified:
        wrong.append(f"its secret is {found.verdict}: {found.detail}")
    if retire.due(state) and record.retire:
        missing = retire.not_yet_live(state)
        wrong.append(f"the old secret cannot be retired yet: {missing or 'its key is not as recorded'}")
    if record.parked and not rotate.waits(state):
        return End(Condition.PARKED, "parked", record.parked.why, exit_code=1)
    ends = [end for end in (handoff_waits(state), rotate.waits(state)) if end]
    ends.sort(key=lambda end: -end.exit_code)
    if wrong and not (ends and ends[0].exit_code):
        return End(Condition.FAILED, "pending", "; ".join(wrong), exit_code=1)
    if ends:
        return ends[0]
    slot = record.slot(record.live)
    rotation = state.desired.rotation
    until = None
    if rotation.every and slot and slot.minted_at:
        until = schedule.next_rotation(rotation, slot.minted_at, state.clock.now)
    if record.retire:
        return End(Condition.WAITING, "overlap", "the old secret is retired after the overlap", record.retire.at)
    return End(Condition.REST, "at-rest", "nothing to do", until)
