"""The API keys that a key needs: gone ones, missing ones, the hand-off to a person, a change of strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from keyturn.core.machine import pool, retire
from keyturn.core.machine.common import (
    claim,
    compromised,
    new_intent,
    note,
    record_of,
    write,
)
from keyturn.core.machine.tend import single
from keyturn.core.model import SlotName, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.record import Gone, Handoff, Intent, Op, Requested, Retire, Slot
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Relist, Write, WriteRecord

SLACK = timedelta(seconds=60)
"""By how much the API's clock may be behind ours."""


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
    lost_now = tuple(Gone(record.slots[name], name, name is record.live, record.retire) for name in missing)
    left = replace(record, slots=slots, live=live, retire=retired if live else None, gone=(*record.gone, *lost_now))
    return WriteRecord(note(left, state, f"gone: {lost}"), Write.KEEP, shown)


def back(state: State) -> Decision | None:
    """Take API keys that were gone and are listed again for the slots that they were: never for a person's new ones.

    One that was live is live again, unless another secret was delivered since. Any other one's secret has to die.
    """
    record = record_of(state)
    found = [
        lost
        for lost in record.gone
        if record.slot(lost.name) is None and state.observed.key(lost.slot.uuid) is not None
    ]
    if not found:
        return None
    slots, live, retire = dict(record.slots), record.live, record.retire
    for lost in found:
        slots[lost.name] = lost.slot
        if lost.live and live is None:
            live, retire = lost.name, lost.retire or retire
    for lost in found:
        if lost.name is not live:
            own = lost.retire if lost.retire and lost.retire.slot is lost.name else None
            retire = own or retire or Retire(lost.name, state.clock.now + state.desired.rotation.overlap)
    if live is None or (retire and (retire.slot is live or retire.slot not in slots)):
        retire = None
    uuids = ", ".join(lost.slot.uuid for lost in found)
    left = tuple(lost for lost in record.gone if lost not in found)
    taken = replace(record, slots=slots, gone=left, live=live, retire=retire)
    shown = Planned(Change.RECORD, "back", f"the API key {uuids} is listed again", uuid=found[0].slot.uuid)
    return WriteRecord(note(taken, state, f"back: {uuids}"), Write.KEEP, shown)


def surplus(state: State) -> tuple[str, ...]:
    """Return API keys that were gone, are listed again, and whose slot another one has: they live on, unused."""
    record = record_of(state)
    return tuple(
        lost.slot.uuid
        for lost in record.gone
        if record.slot(lost.name) is not None and state.observed.key(lost.slot.uuid) is not None
    )


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
    if record.handoff and (renamed := _asked_anew(state, record.handoff, missing)):
        return renamed
    for slot in missing:
        name = state.name_of(slot)
        known = record.handoff.known if record.handoff else ()
        ours = {item.uuid for item in record.slots.values()}
        since = record.handoff.since if record.handoff else None
        found = [
            key
            for key in state.observed.named(name)
            if key.uuid not in known
            and key.uuid not in ours
            and not (since and key.created_at and key.created_at < since - SLACK)
        ]
        if len(found) == 1 and (record.handoff or state.options.adopt or state.desired.adopt):
            if needs := claim(state, found[0].uuid):
                return needs
            return _take(state, slot, Slot(found[0].uuid, name, found[0].created_at))
    if record.parked:
        return None
    free = [slot for slot in missing if not state.observed.named(state.name_of(slot))]
    if not free and record.handoff:
        return None  # what has these names was there before, and the hand-off tells it
    slot = free[0] if record.handoff else missing[0]
    if slot not in free:
        return _namesake(state, slot)
    intent = pool.from_pool(state, new_intent(state, Op.CREATE, slot))
    if not isinstance(intent, Intent):
        return intent
    if record.handoff and not intent.spare:
        return None
    needed = Planned(Change.CREATE, "slot-missing", f"needs an API key {state.name_of(slot)!r}", slot=slot)
    return write(state, Write.OPEN, needed, intent=intent)


def _namesake(state: State, slot: SlotName) -> Decision | None:
    """Stop at an API key that has the name of a missing slot, unless it is the other slot's from before a change."""
    ours = {item.uuid for item in record_of(state).slots.values()}
    named = [key for key in state.observed.named(state.name_of(slot)) if key.uuid not in ours]
    if not named:
        return None
    uuids = ", ".join(key.uuid for key in named)
    why = f"an API key called {named[0].name!r} exists already ({uuids}) and is not this key's"
    return End(Reason.NAMESAKE, why)


def _asked_anew(state: State, handoff: Handoff, missing: tuple[SlotName, ...]) -> Decision | None:
    """Ask for other names after the entry changed; what has such a name already is not what a person makes now."""
    names = tuple(dict.fromkeys(map(state.name_of, missing)))
    if set(names) <= set(handoff.names):
        return None
    there = sorted(key.uuid for key in state.observed.keys if key.name in names and key.name not in handoff.names)
    again = replace(handoff, names=names, known=(*handoff.known, *there))
    return WriteRecord(
        note(replace(record_of(state), handoff=again), state, f"handed off: {', '.join(names)}"),
        Write.KEEP,
        Planned(Change.HAND_OFF, "renamed", f"asks for {' and '.join(map(repr, names))} instead"),
    )


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
            return End(Reason.SEVERAL_NAMESAKES, why)
    missing = {state.name_of(slot) for slot in missing_slots(state)}
    names = tuple(name for name in record.handoff.names if name in missing) or record.handoff.names
    which = " and ".join(map(repr, names))
    why = f"waits for {which}, to be made in the control panel: the API no longer creates keys{_near(state, names)}"
    return End(Reason.HAND_OFF, why, make=names)


def _near(state: State, names: Sequence[str]) -> str:
    """Name API keys whose names differ from the wanted ones only in case, spaces or punctuation."""
    wanted = {_letters(name) for name in (*names, state.desired.name)}
    ours = record_of(state).uuids
    near = [key.name for key in state.observed.keys if _letters(key.name) in wanted and key.uuid not in ours]
    found = ", ".join(repr(name) for name in sorted(set(near) - {*names, state.desired.name}))
    older = [key for name in names for key in state.observed.named(name) if key.uuid not in ours]
    told = f"; the account has {found}, which is not the same name" if found else ""
    return told + "".join(f"; {key.name!r} ({key.uuid}) was there before, so it is not taken" for key in older)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def switch(state: State) -> Decision | None:
    """Follow a changed strategy; never a mint for it."""
    record = record_of(state)
    if record.strategy is state.desired.rotation.strategy or compromised(state):
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
        return End(Reason.DELETE_NEEDS_CONSENT, why)
    shown = Planned(Change.RECORD, "strategy", f"becomes in-place: slot {other} goes")
    return write(state, Write.OPEN, shown, intent=new_intent(state, Op.DELETE, other))
