"""A changed strategy: never a mint for it. The operation `delete` drops the slot that `in-place` does not need."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.facts import compromised, note, record_of
from keyturn.core.machine.ownership import new_intent
from keyturn.core.machine.policy import Chain
from keyturn.core.machine.retire import due
from keyturn.core.model import Cause, SlotName, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.record import Op, Record
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Write, WriteRecord


def changed(state: State) -> bool:
    """Tell whether the entry asks for another strategy than the record has; a compromised secret is rotated first."""
    return record_of(state).strategy is not state.desired.rotation.strategy and not compromised(state)


def to_alternating(state: State) -> Decision | None:
    """The only slot becomes `a`; `b` is still to come."""
    if not state.alternating:
        return None
    shown = Planned(Change.RECORD, "strategy", "becomes alternating: its key is slot a, slot b is still to come")
    record = replace(record_of(state), strategy=Strategy.ALTERNATING)
    return WriteRecord(note(record, state, "strategy alternating", Cause("entry")), Write.KEEP, shown)


def other(state: State) -> SlotName | None:
    """Return the slot that `in-place` does not need; None during the overlap, or if no slot is live."""
    record = record_of(state)
    if record.live is None or (record.retire and not due(state)):
        return None
    return record.live.other


def to_in_place(state: State) -> Decision | None:
    """The live slot stays alone, if there is no other."""
    record, slot = record_of(state), other(state)
    if slot is None or record.slot(slot) is not None:
        return None
    return WriteRecord(single(record, state), Write.KEEP)


def drop(state: State) -> Decision | None:
    """Open a `delete` of the other slot once its secret is retired."""
    record, slot = record_of(state), other(state)
    if slot is None or record.slot(slot) is None or record.retire:
        return None
    if not state.options.allow_delete:
        why = f"to become in-place its slot {slot} has to be deleted"
        return End(Reason.DELETE_NEEDS_CONSENT, why, number=1)
    shown = Planned(Change.RECORD, "strategy", f"becomes in-place: slot {slot} goes")
    return WriteRecord(
        replace(record, intent=new_intent(state, Op.DELETE, slot, cause=Cause("entry"))), Write.OPEN, shown
    )


SWITCH: Chain = (to_alternating, to_in_place, drop)


def single(record: Record, state: State) -> Record:
    """Return the record as an `in-place` one: the live slot becomes `a`, alone."""
    live = record.slot(record.live)
    slots = {SlotName.A: live} if live else {}
    one = replace(record, strategy=Strategy.IN_PLACE, slots=slots, live=SlotName.A if live else None, intent=None)
    return note(replace(one, handoff=None, retire=None), state, "strategy in-place", Cause("entry"))
