"""At rest: is a rotation called for, may it start now, and is all ready for it."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core import schedule
from keyturn.core.machine.common import (
    consented,
    foreign,
    gate,
    login_or,
    look,
    new_intent,
    note,
    places,
    record_of,
    trouble,
    unreadable,
    verdict,
    write,
)
from keyturn.core.machine.tend import unwanted
from keyturn.core.model import UNKNOWN, SlotName, Strategy, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import Op, Requested
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, Preflight, Purpose, Write, WriteRecord

Why = tuple[str, str]


def reason(state: State) -> Why | None:
    """Return the code and the sentence of the strongest reason to mint a new secret."""
    record, run, options = record_of(state), state.run, state.options
    if not record.slots:
        return None
    if options.rotate and not run.honoured:
        code = "compromised" if options.compromised else "requested"
        return code, f"{options.reason or 'asked for on the command line'}"
    if record.requested:
        asked = record.requested
        return "compromised" if asked.compromised else "requested", f"{asked.reason} (asked by {asked.by})"
    if record.live is None:
        return "live-gone", "no live secret is left"
    if record.live_digest is None:
        return "secret-unknown", "nobody knows the live secret"
    if verdict(state, record.live_digest) is Verdict.REFUSED and not run.rotated:
        return "refused", "the API refuses the delivered secret"
    if lost(state) and not run.rotated:
        return "secret-lost", "no target holds the live secret any more, and what they hold is refused"
    if state.desired.trigger and state.desired.trigger != record.trigger:
        return "trigger", "the rotation trigger changed"
    live = record.slot(record.live)
    minted = live.minted_at if live else None
    rotation = state.desired.rotation
    if rotation.every and minted and schedule.due(rotation, minted, state.clock.now):
        return (
            "due",
            f"its secret is from {minted:%Y-%m-%d %H:%M} UTC, and rotates every {schedule.shown(rotation.every)}",
        )
    return None


def lost(state: State) -> bool:
    """Tell whether every delivery was read, none holds the live secret, and what they hold is refused or nothing."""
    record, readings = record_of(state), state.observed.readings
    if not state.desired.deliveries or record.live_digest in state.observed.in_hand:
        return False
    held = (*state.desired.deliveries, *unwanted(state))
    if any(item not in readings or readings[item].problem for item in held):
        return False
    found = {digest for item in held if item not in foreign(state) and (digest := readings[item].digest)}
    return all(verdict(state, digest) is Verdict.REFUSED for digest in found)


def waits(state: State) -> End | None:
    """Return why the rotation that is called for may not start now."""
    record, now = record_of(state), state.clock.now
    why = reason(state)
    if why is None:
        return None
    code, _ = why
    if record.parked:
        return End(Reason.PARKED, record.parked.why)
    asked_now = state.options.rotate and not state.run.honoured
    back_off = record.failures.next_try_at
    if back_off and back_off > now and not asked_now:
        return End(Reason.BACK_OFF, "waits after failures before it tries again", back_off)
    if code in {"compromised", "live-gone"} or lost(state):
        return None
    if record.strategy is Strategy.ALTERNATING and record.live is not None:
        if record.slot(record.live.other) is None:
            return End(Reason.NO_STANDBY, f"cannot rotate ({code}) before its standby exists")
        if record.retire and record.retire.at > now and verdict(state, record.live_digest) is not Verdict.REFUSED:
            return End(Reason.OVERLAP, f"rotates ({code}) after the overlap", record.retire.at)
        if record.retire and record.retire.at <= now and verdict(state, record.live_digest) is not Verdict.REFUSED:
            return End(Reason.RETIRE_FIRST, "rotates once the old secret is retired")
    return None


def slot_to_mint(state: State) -> SlotName:
    """Return the slot that the rotation regenerates: the standby, where there is one."""
    record = record_of(state)
    if record.live is None:
        return SlotName.A if record.slot(SlotName.A) else SlotName.B
    if lost(state):
        # No target holds the live secret. One may hold the other slot's, refused by an API that may be ill.
        return record.live
    if record.strategy is Strategy.ALTERNATING and record.slot(record.live.other):
        return record.live.other
    return record.live


def start(state: State) -> Decision | None:
    """Make sure that nothing irreversible fails for a reason that could be known before, then open the intent."""
    why = reason(state)
    if why is None:
        return None
    record, options = record_of(state), state.options
    asked = record.requested
    if options.rotate and not state.run.honoured:
        by = options.by or state.run.id
        leaked = options.compromised or (asked is not None and asked.compromised)
        asked = Requested(by, options.reason or "on demand", state.clock.now, compromised=leaked)
    if waits(state):
        if asked != record.requested and options.rotate:
            return WriteRecord(note(replace(record, requested=asked), state, "rotation requested"), Write.REQUEST)
        return None
    if asked is None and state.desired.trigger and state.desired.trigger != record.trigger:
        asked = Requested("the entry", "the rotation trigger changed", state.clock.now)
    slot = slot_to_mint(state)
    code, sentence = why
    if decision := _ready(state, slot, sentence, forced=bool(asked and asked.compromised)):
        return decision
    outage = "" if slot is not record.live else "; until its consumers reload they are refused"
    shown = Planned(Change.ROTATE, code, f"rotates: {sentence}{outage}", slot=slot, uuid=record.slots[slot].uuid)
    # An open intent is always finished, or its request kept: from here on the trigger is honoured.
    trigger = state.desired.trigger or record.trigger
    opened = new_intent(state, Op.ROTATE, slot)
    ours, unverified = consented(state), record.unverified
    # What only a look has shown is written down: should nothing be minted now, the next run looks again.
    if code == "secret-lost":
        ours = tuple(replace(item, digest=None) for item in ours)
    if code == "refused":
        unverified = sentence
    return write(
        state,
        Write.OPEN,
        shown,
        intent=opened,
        requested=asked,
        trigger=trigger,
        deliveries=ours,
        unverified=unverified,
    )


def _ready(state: State, slot: SlotName, why: str, *, forced: bool) -> Decision | None:
    record, wanted = record_of(state), state.desired.deliveries
    if decision := gate(state, [record.slots[slot].uuid]):
        return decision
    if reads := look(state, wanted):
        return reads
    if forced:
        return None
    if problem := unreadable(state, wanted):
        text = f"was to be rotated ({why}), but nothing was minted: {problem}"
        return End(login_or(state, wanted, Reason.UNREADABLE), text)
    live = record.live_digest
    if live in state.observed.in_hand and live is not None:
        found = verdict(state, live)
        if found is None:
            return Check(live, Purpose.LIVE)
        if found in UNKNOWN:
            why = f"nothing was minted, since the live secret is {state.observed.verdicts[live].advice}"
            return End(Reason.of(found.value), why)
    if decision := trouble(state, Reason.PREFLIGHT_FAILED):
        return decision
    return None if state.run.preflighted else Preflight(places(state))
