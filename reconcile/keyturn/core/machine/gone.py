"""API keys of the record that no list shows any more, and those that are listed again."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.facts import note, record_of
from keyturn.core.machine.guards import relisted
from keyturn.core.machine.policy import Chain, when
from keyturn.core.model import Cause, SlotName
from keyturn.core.record import Gone, Retire
from keyturn.core.results import Change, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Write, WriteRecord


def back(state: State) -> Decision | None:
    """Take API keys that were gone and are listed again for the slots that they were, not for an operator's new ones.

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
    return WriteRecord(note(taken, state, f"back: {uuids}", Cause("list")), Write.KEEP, shown)


def unlisted(state: State) -> list[SlotName]:
    """Return the slots whose API key is in no list."""
    return [name for name, slot in record_of(state).slots.items() if state.observed.key(slot.uuid) is None]


def any_unlisted(state: State) -> bool:
    """Tell whether a slot's API key is in no list."""
    return bool(unlisted(state))


def forget(state: State) -> Decision | None:
    """Note slots as gone: absent from two complete lists."""
    record, missing = record_of(state), unlisted(state)
    if not missing:
        return None
    lost = ", ".join(record.slots[name].uuid for name in missing)
    slots = {name: slot for name, slot in record.slots.items() if name not in missing}
    live = None if record.live in missing else record.live
    retired = None if record.retire and record.retire.slot in missing else record.retire
    shown = Planned(Change.RECORD, "gone", f"the API key {lost} is gone")
    lost_now = tuple(
        Gone(record.slots[name], name, name is record.live, record.retire, state.clock.now) for name in missing
    )
    left = replace(record, slots=slots, live=live, retire=retired if live else None, gone=(*record.gone, *lost_now))
    return WriteRecord(
        note(left, state, f"gone: {lost}", Cause("list", evidence="two complete lists do not show it")),
        Write.KEEP,
        shown,
    )


GONE: Chain = (back, when(any_unlisted, relisted), forget)


def surplus(state: State) -> tuple[str, ...]:
    """Return API keys that were gone, are listed again, and whose slot has another one: they live on, unused."""
    record = record_of(state)
    return tuple(
        lost.slot.uuid
        for lost in record.gone
        if record.slot(lost.name) is not None and state.observed.key(lost.slot.uuid) is not None
    )
