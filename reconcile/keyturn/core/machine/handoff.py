"""The hand-off: API keys that an operator makes in the control panel, since the API no longer creates them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from keyturn.core.machine.adopt import fits, named_otherwise
from keyturn.core.machine.facts import intent_of, note, record_of
from keyturn.core.machine.ownership import api_now, claim
from keyturn.core.machine.policy import Chain
from keyturn.core.model import AdoptSecret, ApiKey, Cause, SlotName, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.record import Handoff, Requested, Retire, Slot
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Write, WriteRecord

SLACK = timedelta(seconds=5)
"""By how much an API key may be older than the hand-off: the clocks are compared to a second or two."""


def missing_slots(state: State) -> tuple[SlotName, ...]:
    """Return the slots that the strategy needs and the record lacks."""
    record = record_of(state)
    if record.strategy is Strategy.ALTERNATING:
        return tuple(name for name in SlotName if record.slot(name) is None)
    return () if record.slots else (SlotName.A,)


def create_retired(state: State) -> Decision | None:
    """Under an open `create` that was answered 410: write down what an operator has to make, and wait."""
    trouble = state.run.attempt.trouble
    if trouble is None or not trouble.retired:
        return None
    record = record_of(state)
    missing = tuple(
        state.name_of(slot) for slot in (SlotName if state.alternating else (SlotName.A,)) if record.slot(slot) is None
    )
    known = tuple(key.uuid for key in state.observed.keys if key.name in missing)
    wanted = " and ".join(map(repr, missing))
    shown = Planned(Change.HAND_OFF, "create-retired", f"needs {wanted}, which an operator makes in the control panel")
    handed = Handoff(missing, api_now(state), known)
    return WriteRecord(
        note(
            replace(record, intent=None, handoff=handed),
            state,
            f"handed off: {', '.join(missing)}",
            intent_of(state).cause,
        ),
        Write.CLOSE,
        shown,
    )


def complete(state: State) -> Decision | None:
    """End the hand-off once every slot has its API key."""
    record = record_of(state)
    if missing_slots(state) or not record.handoff:
        return None
    return WriteRecord(replace(record, handoff=None), Write.KEEP)


def other_names(state: State) -> Decision | None:
    """Ask for other names after the entry changed; what has such a name already is not what an operator makes now."""
    handoff, missing = record_of(state).handoff, missing_slots(state)
    names = tuple(dict.fromkeys(map(state.name_of, missing)))
    if not handoff or set(names) <= set(handoff.names):
        return None
    there = sorted(key.uuid for key in state.observed.keys if key.name in names and key.name not in handoff.names)
    again = replace(handoff, names=names, known=(*handoff.known, *there))
    return WriteRecord(
        note(replace(record_of(state), handoff=again), state, f"handed off: {', '.join(names)}", Cause("entry")),
        Write.KEEP,
        Planned(Change.HAND_OFF, "renamed", f"asks for {' and '.join(map(repr, names))} instead"),
    )


def made(state: State) -> tuple[SlotName, ApiKey] | None:
    """Return the first missing slot for which exactly one API key was made since, or may be adopted."""
    handoff = record_of(state).handoff
    if not (handoff or state.options.adopt or state.desired.adopt):
        return None
    known = handoff.known if handoff else ()
    ours = {item.uuid for item in record_of(state).slots.values()}
    since = handoff.since if handoff else None
    consent = state.options.adopt or state.desired.adopt
    for slot in missing_slots(state):
        named = (consent.a if slot is SlotName.A else consent.b) if consent else ""
        if consent and named and named not in ours:
            # Only the API key that the entry names, and only if its secret is to be replaced.
            listed = state.observed.key(named) if consent.secret is AdoptSecret.REGENERATE else None
            if listed and (state.options.confirmed or fits(state, slot, listed)):
                return slot, listed
            continue
        found = [
            key
            for key in state.observed.named(state.name_of(slot))
            if key.uuid not in known
            and key.uuid not in ours
            and not (since and key.created_at and key.created_at < since - SLACK)
        ]
        if len(found) == 1:
            return slot, found[0]
    return None


def claim_made(state: State) -> Decision | None:
    """Claim what was made."""
    found = made(state)
    return claim(state, found[1].uuid) if found else None


def take(state: State) -> Decision | None:
    """Take what an operator made, who saw its secret: it is regenerated, at once or as a standby."""
    found = made(state)
    if found is None:
        return None
    slot, key = found
    record, now = record_of(state), state.clock.now
    slots = record.with_slot(slot, Slot(key.uuid, state.name_of(slot), key.created_at))
    left = tuple(name for name in missing_slots(state) if name is not slot)
    handoff = replace(record.handoff, names=tuple(map(state.name_of, left))) if record.handoff and left else None
    taken = replace(record, slots=slots, handoff=handoff)
    if record.live is None:
        taken = replace(taken, requested=record.requested or Requested("hand-off", "an operator saw its secret", now))
    elif record.retire is None:
        taken = replace(taken, retire=Retire(slot, now))
    why = f"takes {key.name!r} as slot {slot}; the secret that it has now dies"
    shown = Planned(Change.ADOPT, "handed-over", why, slot=slot, uuid=key.uuid)
    return WriteRecord(
        note(taken, state, f"took {key.uuid} as slot {slot}", Cause("hand-off"), slot=slot), Write.KEEP, shown
    )


def other_name(state: State) -> Decision | None:
    """Stop at an API key that the entry names by its uuid, of another name, unless an operator asked for it."""
    asked = state.desired.adopt
    for slot in missing_slots(state) if asked and not state.options.confirmed else ():
        uuid = (asked.a if slot is SlotName.A else asked.b) if asked else ""
        listed = state.observed.key(uuid) if uuid not in record_of(state).uuids else None
        if listed and not fits(state, slot, listed):
            return named_otherwise(state, slot, listed)
    return None


HANDOFF: Chain = (complete, other_names, claim_made, take, other_name)


def waits(state: State) -> End | None:
    """Return what an operator has to do in the control panel."""
    record = record_of(state)
    if not record.handoff:
        return None
    for name in record.handoff.names:
        found = [key for key in state.observed.named(name) if key.uuid not in record.handoff.known]
        if len(found) > 1:
            uuids = ", ".join(key.uuid for key in found)
            return End(Reason.SEVERAL_CANDIDATES, f"{len(found)} API keys are called {name!r}: {uuids}")
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
