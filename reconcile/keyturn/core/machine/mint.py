"""Under an open `create` or `rotate` intent: mint, check, deliver, read back, commit; and all that recovery needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from keyturn.core.machine import pool
from keyturn.core.machine.common import (
    MAX_MINTS,
    claim,
    compromised,
    failed_record,
    gate,
    give_up,
    intent_of,
    login_or,
    look,
    note,
    places,
    protects,
    record_of,
    regenerate,
    reopen,
    settle,
    trouble,
    unreadable,
    verdict,
    write,
)
from keyturn.core.machine.spread import spread
from keyturn.core.machine.tend import unwanted
from keyturn.core.model import DENIED, GOOD, UNKNOWN, SlotName, Strategy, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, Failures, Handoff, HeldAt, Op, Parked, Requested, Retire, Slot
from keyturn.core.results import Change, End, Planned
from keyturn.core.sanitize import plain
from keyturn.core.state import State
from keyturn.core.steps import Check, Create, Decision, DeleteKey, LookBack, Purpose, Relist, Write, WriteRecord


def nonce_name(state: State) -> str:
    """Return the name under which an API key of the open `create` is made: ours beyond doubt."""
    intent = intent_of(state)
    return f"{state.name_of(intent.slot or SlotName.A)}-kt{intent.nonce}"


def mint(state: State) -> Decision:
    """Go one step on."""
    record, intent = record_of(state), intent_of(state)
    if state.run.create_retired:
        return hand_off(state)
    if decision := trouble(state, Reason.MINT_FAILED):
        return decision
    slot = record.slot(intent.slot)
    if slot and state.observed.key(slot.uuid) is None:
        if not state.observed.relisted:
            return Relist()
        # A target may hold the secret that was made: should the API key be listed again, it is known by its digest.
        slots = record.with_slot(intent.slot or SlotName.A, replace(slot, digest=intent.digest or slot.digest))
        return (settle(state) if state.run.found else None) or write(state, Write.CLOSE, intent=None, slots=slots)
    fill = pool.take if intent.spare else _create
    if intent.op is Op.CREATE and (decision := fill(state)):
        return decision
    known = state.run.minted or intent.digest
    if known is None or known not in state.observed.in_hand:
        return _mint_again(state)
    if _superseded(state, known):
        return _second_opinion(state, known) or _mint_again(state)
    return _with_secret(state, known)


def _superseded(state: State, known: str) -> bool:
    """Tell whether a secret that another pass minted, or that a late mint may have killed, was found dead."""
    if verdict(state, known) is not Verdict.REFUSED or state.run.mints >= MAX_MINTS:
        return False
    return state.run.minted is None or (state.run.found and not protects(state))


def _second_opinion(state: State, known: str) -> Decision | None:
    """Where a target holds the refused secret, the live one must be accepted: else the API may be ill, not the key."""
    if not protects(state) or not _held(state, known):
        return None
    record = record_of(state)
    live = record.live_digest
    if live and live not in state.observed.in_hand and live not in state.run.looked_back:
        slot = record.slot(record.live)
        return LookBack(tuple((item.delivery, item.version) for item in slot.held_in) if slot else (), live)
    if live and live in state.observed.in_hand and verdict(state, live) is None:
        return Check(live, Purpose.LIVE)
    if verdict(state, live) is Verdict.ACCEPTED or state.options.verify:
        return None
    why = "the API refuses the delivered secret, and no other one is known to be accepted; apply --verify mints again"
    return give_up(state, Reason.REFUSED, why)


def _held(state: State, digest: str) -> bool:
    """Tell whether a delivery holds this secret, as far as they were looked at."""
    return any(reading.digest == digest for reading in state.observed.readings.values())


def _create(state: State) -> Decision | None:
    record, intent, run = record_of(state), intent_of(state), state.run
    slot = record.slot(intent.slot)
    if run.found:
        if wait := settle(state):
            return wait
        if not state.observed.relisted:
            return Relist()
    ours = tuple(key for key in state.observed.keys if key.name.endswith(f"-kt{intent.nonce}"))
    keep = slot.uuid if slot else (ours[0].uuid if ours else "")
    for extra in ours:
        if extra.uuid != keep:
            why = f"an answer was lost: {extra.name} was made twice"
            return DeleteKey(extra.uuid, Planned(Change.DELETE, "extra", why, uuid=extra.uuid))
    if slot is None and ours:
        if needs := claim(state, keep):
            return needs
        made = Slot(keep, ours[0].name, ours[0].created_at)
        noted = replace(intent, digest=run.minted)
        return write(state, Write.NOTE, slots=record.with_slot(intent.slot or SlotName.A, made), intent=noted)
    if slot is None:
        return _create_now(state)
    if record.live is not None and intent.slot is not record.live:
        # A new standby: nobody needs its secret, the next rotation regenerates it.
        return WriteRecord(note(replace(record, intent=None), state, f"created the standby {slot.uuid}"), Write.COMMIT)
    return None


def _create_now(state: State) -> Decision:
    slot = intent_of(state).slot or SlotName.A
    if state.run.unanswered >= MAX_MINTS:
        return give_up(state, Reason.TOO_MANY_MINTS, f"{MAX_MINTS} creates in one run had no clear answer")
    if not state.run.fresh:
        return reopen(state)
    if needs := gate(state, []):
        return needs
    name = nonce_name(state)
    why = f"asks the API to create {state.name_of(slot)!r}"
    return Create(slot, name, Planned(Change.CREATE, "create", why, slot=slot))


def _mint_again(state: State) -> Decision:
    record, intent, run = record_of(state), intent_of(state), state.run
    wanted = state.desired.deliveries
    careful = protects(state) or any(item in state.observed.unfenced for item in wanted)
    if run.found and careful and (wait := settle(state)):
        return wait
    # A place that the entry no longer has may hold the new secret too: then it is the source.
    if reads := look(state, (*wanted, *unwanted(state))):
        return reads
    if intent.digest and intent.digest in state.observed.in_hand and not _superseded(state, intent.digest):
        return _with_secret(state, intent.digest)
    why = unreadable(state, wanted)
    blind = bool(wanted) and all(state.observed.readings[item].problem for item in wanted)
    if why and not compromised(state) and (protects(state) or (run.found and (intent.digest or blind))):
        text = f"nothing is minted while a target that cannot be read may hold the secret: {why}"
        return give_up(state, login_or(state, wanted, Reason.MAY_HOLD_IT), text)
    if record.parked:
        return _rest_parked(state, record.parked)
    shown = Planned(
        Change.ROTATE,
        "finishes" if run.found else "regenerates",
        "regenerates the standby; the live secret stays as it is"
        if protects(state)
        else "regenerates the key: its old secret dies at this moment, until consumers reload they are refused",
        slot=intent.slot,
        uuid=slot.uuid if (slot := record.slot(intent.slot)) else "",
    )
    return regenerate(state, discard=False, shown=shown)


def _rest_parked(state: State, parked: Parked) -> Decision:
    """Let an unfinished rotation of a parked key be asked for anew once it is unparked: until then nothing is written.

    The intent of a create stays open: its nonce is what a late answer would be known by. So does one whose standby's
    secret a target holds. With `in-place` a new secret that a target holds is the live one, refused as it is.
    """
    record, intent = record_of(state), intent_of(state)
    end = End(Reason.PARKED, parked.why)
    held = intent.digest if intent.digest and _held(state, intent.digest) else None
    if intent.op is Op.CREATE or (held and protects(state)):
        return end
    if state.run.found and (wait := settle(state)):
        return wait
    if held and held in state.observed.verdicts:
        return commit(state, held)
    asked = record.requested or Requested("keyturn", "a rotation was left unfinished", intent.since)
    return write(state, Write.CLOSE, then=end, intent=None, requested=asked)


def _with_secret(state: State, known: str) -> Decision:
    intent = intent_of(state)
    if protects(state):
        if state.run.found and (wait := settle(state)):
            return wait
        if intent.digest != known:
            return write(state, Write.NOTE, intent=replace(intent, digest=known))
        if decision := _prove(state, known):
            return decision
    if decision := spread(state, known):
        return decision
    if decision := _undelivered(state, known):
        return decision
    if not protects(state):
        if state.run.found and (wait := settle(state)):
            return wait
        if verdict(state, known) is None:
            return Check(known, Purpose.FRESH)
        if decision := _prove_dead(state):
            return decision
    return commit(state, known)


def _undelivered(state: State, known: str) -> Decision | None:
    """After the last try: who still lacks the secret decides whether to give up, and what may still land is waited for.

    A secret that nobody has is not committed, nor, with a live one that works, one that somebody lacks; but a
    compromised one has to die although a target is down.
    """
    wanted = places(state)
    pending = [item for item in wanted if state.observed.readings[item].digest != known]
    if pending and (not compromised(state) if protects(state) else len(pending) == len(wanted)):
        problems = state.run.delivery_problems
        why = "; ".join(f"{item}: {problems.get(item, 'does not hold it')}" for item in pending)
        return give_up(state, Reason.DELIVERY_PENDING, f"the new secret could not be delivered everywhere: {why}")
    # The commit closes what would make the next run wait; and only time keeps a late write without compare-and-set
    # from landing over the next secret.
    return settle(state) if pending or any(item in state.observed.unfenced for item in wanted) else None


def _lacking(state: State, known: str) -> str:
    """Name a model that the live secret may use and the new one may not; empty where there is none, or nobody knows."""
    verdicts = state.observed.verdicts
    live = verdicts.get(record_of(state).live_digest or "")
    lacking = sorted(set(live.models) - set(verdicts[known].models)) if live and verdicts[known].models else []
    return ", ".join(map(plain, lacking[:3]))


def _prove(state: State, known: str) -> Decision | None:
    """Before anyone gets it: the new secret must be accepted, for what the live one is accepted."""
    found = verdict(state, known)
    live = record_of(state).live_digest
    if live and live in state.observed.in_hand and verdict(state, live) is None and not compromised(state):
        return Check(live, Purpose.LIVE)
    if found is None:
        return Check(known, Purpose.BEFORE_DELIVERY)
    result = state.observed.verdicts[known]
    if compromised(state) and found is not Verdict.REFUSED:
        return None
    # Closed only while nobody holds it: else it is the source, or what has to be put right.
    close = not _held(state, known)
    if found is Verdict.REFUSED:
        return give_up(state, Reason.REFUSED, f"the API refuses the new secret: {result.detail}", close=close)
    of_live = verdict(state, live)
    # A refusal that a blocked balance explains says nothing of the key, unless the list of models accepted it.
    unproven = found in UNKNOWN or (found is Verdict.BALANCE and not result.models)
    if unproven or (found is Verdict.BALANCE and of_live in GOOD):
        return give_up(state, Reason.of(found.value), f"the new secret was not proven: {result.advice}", close=close)
    if found in DENIED and of_live is not found:
        return give_up(state, Reason.of(found.value), f"the new secret was not delivered: {result.advice}", close=close)
    if lacking := _lacking(state, known):
        why = f"the new secret may not use what the live one may: {lacking}; give its API key the same models"
        return give_up(state, Reason.MODELS_DIFFER, why, close=close)
    return None


def _prove_dead(state: State) -> Decision | None:
    """With `in-place`: try whether the old secret, accepted before, is refused now."""
    record = record_of(state)
    old = record.live_digest if intent_of(state).slot is record.live else None
    if not old or state.run.proof or old not in state.observed.in_hand or verdict(state, old) is not Verdict.ACCEPTED:
        return None
    return Check(old, Purpose.OLD)


def commit(state: State, known: str) -> Decision:
    """Close the rotation: the minted slot is live, the other one is retired after the overlap."""
    record, intent, now = record_of(state), intent_of(state), state.clock.now
    minted = intent.slot or SlotName.A
    slot = record.slot(minted)
    if slot is None:
        return End(Reason.NO_SLOT, "the record's intent names a slot that it does not have")
    generation = record.generation + 1
    readings = state.observed.readings
    states: list[DeliveryState] = []
    for item in places(state):
        reading = readings[item]
        if reading.digest == known:
            states.append(DeliveryState(item, generation, reading.version, known, now))
        else:
            states.append(record.delivery(item) or DeliveryState(item))
    # A place that is no longer wanted may hold this secret from a run that died: known, it can be cleaned.
    kept = tuple(
        replace(old, version=read.version, digest=known)
        if (read := readings.get(old.delivery)) and read.digest == known
        else old
        for old in record.deliveries
        if old.delivery not in state.desired.deliveries
    )
    held = tuple(HeldAt(item.delivery, item.version) for item in states if item.digest == known)
    slots = {**record.slots, minted: replace(slot, digest=known, minted_at=now, held_in=held)}
    retire = None
    if minted is record.live and not compromised(state):
        # The old secret may have been put back before this one replaced it: its overlap begins again.
        until = now + state.desired.rotation.overlap
        retire = record.retire and replace(record.retire, at=max(record.retire.at, until))
    elif record.strategy is Strategy.ALTERNATING and record.slot(minted.other):
        at_once = compromised(state)
        retire = Retire(minted.other, now if at_once else now + state.desired.rotation.overlap, at_once)
    # An API key that is gone has an old secret from here on: it has to die if it comes back.
    lost = tuple(
        replace(item, live=False, retire=item.retire or Retire(item.name, now, compromised(state)))
        for item in record.gone
    )
    result = state.observed.verdicts[known]
    unverified = "" if result.verdict in GOOD else result.facts
    base = (
        failed_record(state, unverified) if result.verdict is Verdict.REFUSED else replace(record, failures=Failures())
    )
    proof = f", old secret {state.run.proof}" if state.run.proof else ""
    done = replace(
        base,
        generation=generation,
        live=minted,
        slots=slots,
        deliveries=(*kept, *states),
        intent=None,
        retire=retire,
        gone=lost,
        requested=None,
        unverified=unverified,
    )
    return WriteRecord(
        note(done, state, f"generation {generation} on slot {minted}, {result.verdict}{proof}"), Write.COMMIT
    )


def hand_off(state: State) -> Decision:
    """The API no longer creates: write down what a person has to make, and wait."""
    record = record_of(state)
    missing = tuple(
        state.name_of(slot) for slot in (SlotName if state.alternating else (SlotName.A,)) if record.slot(slot) is None
    )
    known = tuple(key.uuid for key in state.observed.keys if key.name in missing)
    wanted = " and ".join(map(repr, missing))
    shown = Planned(Change.HAND_OFF, "create-retired", f"needs {wanted}, which a person makes in the control panel")
    handed = Handoff(missing, state.clock.now - timedelta(seconds=state.desired.timing.request), known)
    return WriteRecord(
        note(replace(record, intent=None, handoff=handed), state, f"handed off: {', '.join(missing)}"),
        Write.CLOSE,
        shown,
    )
