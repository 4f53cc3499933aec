"""The operation `rotate`: is a rotation called for, may it start now, is everything ready for it; then a mint."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core import schedule
from keyturn.core.machine.deliveries import (
    anywhere,
    consented,
    foreign,
    in_doubt,
    login_or,
    places,
    unreadable,
    wanted,
)
from keyturn.core.machine.facts import note, record_of, together, verdict
from keyturn.core.machine.guards import failed, seen
from keyturn.core.machine.in_effect import not_in_effect
from keyturn.core.machine.in_use import all_in_use
from keyturn.core.machine.marked import none_readable
from keyturn.core.machine.minting import MINT, SLOT_GONE
from keyturn.core.machine.ownership import api_now, gated, new_intent
from keyturn.core.machine.parking import parked
from keyturn.core.machine.policy import Chain, when
from keyturn.core.model import UNKNOWN, Cause, SlotName, Strategy, Verdict
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
    if hopeless(state) and not run.rotated:
        return "refused", f"nobody can try the delivered secret again: {record.unverified}"
    if lost(state) and not run.rotated:
        return "secret-lost", _lost_words(state)
    if state.desired.trigger and state.desired.trigger != record.trigger:
        return "trigger", "the rotation trigger changed"
    live = record.slot(record.live)
    minted = live.minted_at if live else None
    rotation = state.desired.rotation
    if rotation.every and minted and schedule.due(rotation, minted, state.clock.now):
        return (
            "due",
            f"its secret is from {schedule.utc(minted)}, and rotates every {schedule.shown(rotation.every)}",
        )
    return None


def lost(state: State) -> bool:
    """Tell whether all deliveries were read, none can give the live secret, and no wanted one holds one that works.

    A write-only delivery cannot give it; if one has it and no other one lacks it, nothing is lost.
    """
    record, readings = record_of(state), state.observed.readings
    if not state.desired.deliveries or record.live_digest in state.observed.in_hand:
        return False
    if any(item not in readings or readings[item].problem for item in anywhere(state)):
        return False
    mine = [item for item in wanted(state) if item not in foreign(state)]
    if mine and all(readings[item].digest == record.live_digest for item in mine):
        return False
    found = {readings[item].digest for item in mine if not readings[item].unlike and not readings[item].marked}
    return all(verdict(state, digest) is Verdict.REFUSED for digest in found - {None})


def hopeless(state: State) -> bool:
    """Tell whether the live secret was refused when it was committed, and no delivery can be read to try it again."""
    return bool(record_of(state).unverified) and none_readable(state)


def still_held(state: State) -> bool:
    """Tell whether a write-only delivery holds the live secret, as far as anyone can know: consumers may rely on it."""
    live, readings = record_of(state).live_digest, state.observed.readings
    return any(item in readings and readings[item].digest == live for item in anywhere(state))


def standby_held(state: State) -> bool:
    """Tell whether a delivery that was read holds the standby's secret: if the API is failing, a mint kills it."""
    record, readings = record_of(state), state.observed.readings
    standby = record.slot(record.live.other) if record.live else None
    digest = standby.digest if standby else None
    return digest is not None and any(
        readings[item].digest == digest and not readings[item].marked for item in wanted(state)
    )


def _lost_words(state: State) -> str:
    if not still_held(state):
        return f"no target holds the live secret any more{_instead(state)}"
    live, readings = record_of(state).live_digest, state.observed.readings
    lacking = ", ".join(str(item) for item in places(state) if readings[item].digest != live)
    return f"no target can be read that holds the live secret, so only a new one can be delivered to {lacking}"


def _instead(state: State) -> str:
    """Say what the targets hold instead of the live secret."""
    readings, assumed = state.observed.readings, state.observed.assumed
    untried = ", ".join(str(item) for item in anywhere(state) if readings[item].digest in assumed)
    if untried:
        return f", unless the API accepts what {untried} holds"
    held = any(readings[item].digest for item in anywhere(state))
    return ", and they hold nothing that the API accepts" if held else ""


def waits(state: State) -> End | None:
    """Return why the rotation that is called for may not start now, and until when."""
    record, now = record_of(state), state.clock.now
    why = reason(state)
    if why is None:
        return None
    code, _ = why
    if no_mint := parked(state):
        return no_mint
    asked_now = state.options.rotate and not state.run.honoured
    back_off = record.failures.next_try_at
    if back_off and back_off > now and not asked_now:
        return End(Reason.BACK_OFF, "waits after failures before it tries again", back_off)
    gone = lost(state)
    if code in {"compromised", "live-gone"} or (gone and not still_held(state)):
        return None
    if gone and standby_held(state) and not state.options.verify:
        text = "the API refuses the old secret, which a delivery holds, and the live one cannot be tried"
        return End(Reason.REFUSED, f"{text}: nothing shows whether the API is failing")
    if record.strategy is Strategy.ALTERNATING and record.live is not None:
        if record.slot(record.live.other) is None:
            return End(Reason.NO_STANDBY, f"cannot rotate ({code}) before its standby exists")
        if record.retire:
            refused = verdict(state, record.live_digest) is Verdict.REFUSED or hopeless(state)
            if not refused and record.retire.at > now:
                longer = schedule.outlasts(record.retire.at, now, state.desired.rotation.overlap)
                return End(Reason.OVERLAP, f"rotates ({code}) after the overlap{longer}", record.retire.at)
            # The standby's secret may still be in use; if none can be delivered without a mint, no retire comes before.
            first = None if refused or gone else End(Reason.RETIRE_FIRST, "rotates once the old secret is retired")
            return not_in_effect(state) or first
    return None


def called_for(state: State) -> bool:
    """Tell whether there is a reason to rotate."""
    return reason(state) is not None


def may_start(state: State) -> bool:
    """Tell whether a rotation is called for and nothing makes it wait."""
    return called_for(state) and waits(state) is None


def asked(state: State) -> Requested | None:
    """Return the request that the rotation fulfils: this run's, the record's, or the entry's trigger."""
    record, options = record_of(state), state.options
    if options.rotate and not state.run.honoured:
        by = options.by or state.run.id
        leaked = options.compromised or (record.requested is not None and record.requested.compromised)
        return Requested(by, options.reason or "on demand", api_now(state), compromised=leaked)
    if record.requested is None and state.desired.trigger and state.desired.trigger != record.trigger:
        why = state.desired.trigger_reason or "the rotation trigger changed"
        return Requested("the entry", why, api_now(state))
    return record.requested


def cause_of(state: State) -> Cause:
    """Return why the key rotates, for its history."""
    code, sentence = reason(state) or ("", "")
    if wanted_by := asked(state):
        return Cause(code, wanted_by.by, wanted_by.reason)
    return Cause(code, evidence=sentence)


def request(state: State) -> Decision | None:
    """Write down a rotation that was asked for and has to wait, so that a later run finishes it."""
    record, options = record_of(state), state.options
    if not options.rotate or state.run.honoured or not called_for(state) or asked(state) == record.requested:
        return None
    if waits(state) is None:
        return None
    waiting = waits(state)
    why = f"notes the rotation, which has to wait: {waiting.why if waiting else ''}"
    noted = note(replace(record, requested=asked(state)), state, "rotation requested", cause_of(state))
    return WriteRecord(noted, Write.REQUEST, Planned(Change.RECORD, "requested", why))


def request_first(state: State) -> Decision | None:
    """Write down an asked-for rotation before other work on the key, so that a failure of that loses nothing."""
    if not state.options.rotate or state.run.honoured or not called_for(state):
        return None
    noted = note(replace(record_of(state), requested=asked(state)), state, "rotation requested", cause_of(state))
    return WriteRecord(noted, Write.REQUEST, Planned(Change.RECORD, "requested", "notes the rotation first"))


def slot_to_mint(state: State) -> SlotName:
    """Return the slot that the rotation regenerates: the standby, if there is one."""
    record = record_of(state)
    if record.live is None:
        return SlotName.A if record.slot(SlotName.A) else SlotName.B
    if lost(state) and not still_held(state):
        # No target holds the live secret. One may hold the other slot's, refused by an API that may be failing.
        return record.live
    if record.strategy is Strategy.ALTERNATING and record.slot(record.live.other):
        return record.live.other
    return record.live


# Everything that can fail for a known reason fails before the intent is opened.


def key_to_mint(state: State) -> tuple[str, ...]:
    """Return the uuid of the API key that the rotation regenerates."""
    return (record_of(state).slots[slot_to_mint(state)].uuid,)


def unhurried(state: State) -> bool:
    """Tell whether the targets have to be ready: a compromised secret is rotated although one is down."""
    request = asked(state)
    return request is None or not request.compromised


def unread(state: State) -> Decision | None:
    """Mint nothing while a delivery cannot be read."""
    problem = unreadable(state, wanted(state))
    if not problem:
        return None
    _, sentence = reason(state) or ("", "")
    why = problem.rstrip(".")
    text = f"nothing was minted, since a delivery cannot be read: {why}; the rotation waits for it: {sentence}"
    return End(login_or(state, wanted(state), Reason.UNREADABLE), text)


def unwritable(state: State) -> Decision | None:
    """Mint nothing while a delivery was seen to take no secret: a preflight, which no plan asks for, would say so."""
    readings = state.observed.readings
    why = together(f"{item}: {readings[item].refuses}" for item in places(state) if readings[item].refuses)
    return End(Reason.PREFLIGHT_FAILED, f"nothing was minted: {why}") if why else None


def try_live(state: State) -> Decision | None:
    """Try the live secret: if the inference API does not answer, a new secret could not be proven."""
    live = record_of(state).live_digest
    if live is None or live not in state.observed.in_hand or verdict(state, live) is not None:
        return None
    return Check(live, Purpose.LIVE)


def live_unknown(state: State) -> Decision | None:
    """Mint nothing while the inference API says nothing of the live secret."""
    live = record_of(state).live_digest
    found = verdict(state, live)
    if live is None or live not in state.observed.in_hand or found not in UNKNOWN:
        return None
    why = f"nothing was minted, since the live secret is {state.observed.verdicts[live].facts}"
    return End(Reason.of(found.value), why)


def preflight(state: State) -> Decision | None:
    """Show that every delivery can be written."""
    return None if state.run.preflighted else Preflight(places(state))


def in_freeze(state: State) -> str:
    """Say that the manifest is frozen, although this rotation starts: nothing but a scheduled one waits."""
    freeze = schedule.frozen(state.desired.rotation.freezes, state.clock.now)
    return f"; the manifest is frozen until {schedule.utc(freeze.until)} ({freeze.reason})" if freeze else ""


def open_rotate(state: State) -> Decision | None:
    """Open the intent. It is always finished, or its request kept: from here on the trigger is honoured."""
    why = reason(state)
    if why is None:
        return None
    record, slot = record_of(state), slot_to_mint(state)
    code, sentence = why
    outage = "" if slot is not record.live else "; until its consumers reload they are refused"
    outage += in_freeze(state)
    shown = Planned(Change.ROTATE, code, f"rotates: {sentence}{outage}", slot=slot, uuid=record.slots[slot].uuid)
    ours = consented(state)
    # What only a reading has shown is written down: should nothing be minted now, the next run reads again.
    if code == "secret-lost":
        ours = tuple(in_doubt(state, item) if item.marked else replace(item, digest=None) for item in ours)
    intent, request = new_intent(state, Op.ROTATE, slot, cause=cause_of(state)), asked(state)
    opened = replace(
        record,
        intent=intent,
        # Noted by another clock, it could look younger than the rotation that fulfils it.
        requested=request and replace(request, at=min(request.at, intent.since)),
        trigger=state.desired.trigger or record.trigger,
        deliveries=ours,
        unverified=sentence if code == "refused" else record.unverified,
    )
    return WriteRecord(opened, Write.OPEN, shown)


OPEN_ROTATE: Chain = (
    gated(key_to_mint),
    seen(wanted),
    when(unhurried, unread),
    when(unhurried, all_in_use),
    when(unhurried, unwritable),
    when(unhurried, try_live),
    when(unhurried, live_unknown),
    when(unhurried, failed(Reason.PREFLIGHT_FAILED)),
    when(unhurried, preflight),
    open_rotate,
)

ROTATE: Chain = (failed(Reason.MINT_FAILED), *SLOT_GONE, *MINT)
