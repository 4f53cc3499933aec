"""How a key stands when there is nothing left to do; and renames, the least of what there may be."""

from __future__ import annotations

from keyturn.core import schedule
from keyturn.core.machine import retire, rotate, slots
from keyturn.core.machine.adopt import field_in_use
from keyturn.core.machine.common import (
    foreign,
    login_or,
    new_intent,
    places,
    record_of,
    write,
)
from keyturn.core.machine.drift import behind
from keyturn.core.machine.tend import arrived, misnamed, unwanted
from keyturn.core.model import GOOD
from keyturn.core.reasons import Reason
from keyturn.core.record import Op
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Write


def rename(state: State) -> Decision | None:
    """Give every slot the name that the entry asks for."""
    wrong = misnamed(state)
    if not wrong:
        return None
    _, uuid, present = wrong[0]
    shown = Planned(Change.RECORD, "name-differs", f"{present!r} is to be renamed", uuid=uuid)
    return write(state, Write.OPEN, shown, intent=new_intent(state, Op.RENAME))


def _wrong(state: State) -> list[str]:
    """Say what is not as it should be: deliveries, proofs, a retire that has to wait."""
    record, readings = record_of(state), state.observed.readings
    wrong = list(state.run.problems)
    live = record.live_digest
    for place in unwanted(state) if state.desired.clean_targets else ():
        problem = readings[place].problem if place in readings else ""
        kept = "is kept until every delivery holds the secret" if not arrived(state) else "could not be cleaned"
        wrong.append(f"{place} {kept}" + (f": {problem}" if problem else ""))
    for place in places(state):
        problem = readings[place].problem if place in readings else ""
        if live is not None and behind(state, place, live):
            wrong.append(f"{place} does not hold the live secret" + (f": {problem}" if problem else ""))
        elif problem:
            wrong.append(f"{place}: {problem}")
    found = state.observed.verdicts.get(live) if live else None
    if record.unverified:
        told = found.advice if found and found.verdict not in GOOD else record.unverified
        wrong.append(f"its secret is not proven: {told}")
    if found and found.verdict not in GOOD and not record.unverified:
        wrong.append(f"the smoke-check of its secret: {found.advice}")
    wrong += [f"the API key {uuid} is listed again, its slot has another one" for uuid in slots.surplus(state)]
    if retire.due(state) and record.retire:
        missing = retire.not_yet_live(state)
        wrong.append(f"the old secret cannot be retired yet: {missing or 'its key is not as recorded'}")
    return wrong


def at_rest(state: State) -> End:
    """Say how the key stands: the worst of what is pending, or rest."""
    record, readings = record_of(state), state.observed.readings
    wrong = _wrong(state)
    if record.parked and not rotate.waits(state):
        return End(Reason.PARKED, record.parked.why)
    if others := foreign(state):
        return field_in_use(state, others[0])
    ends = [end for end in (slots.handoff_waits(state), rotate.waits(state)) if end]
    ends.sort(key=lambda end: -end.exit_code)
    if wrong and not (ends and ends[0].exit_code):
        read = [place for place in state.desired.deliveries if place in readings]
        return End(login_or(state, read, Reason.PENDING), "; ".join(wrong))
    if ends:
        return ends[0]
    slot = record.slot(record.live)
    rotation = state.desired.rotation
    until = None
    if rotation.every and slot and slot.minted_at:
        until = schedule.next_rotation(rotation, slot.minted_at, state.clock.now)
    if record.retire:
        return End(Reason.OVERLAP, "the old secret is retired after the overlap", record.retire.at)
    return End(Reason.AT_REST, "nothing to do", until)
