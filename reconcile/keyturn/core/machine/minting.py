"""What `create` and `rotate` share once there is an API key: mint, prove, deliver, commit; and what recovery needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from keyturn.core.machine.deliveries import (
    anywhere,
    delivered,
    doubted,
    holds,
    in_doubt,
    login_or,
    places,
    readable_holder,
    unreadable,
    unwritten,
    wanted,
)
from keyturn.core.machine.facts import compromised, found, intent_of, intent_slot, note, protects, record_of, together
from keyturn.core.machine.guards import landed, relisted, seen, settled
from keyturn.core.machine.in_use import all_in_use
from keyturn.core.machine.marked import moved_on, none_readable, put_back, untriable
from keyturn.core.machine.ownership import gated, reopened
from keyturn.core.machine.parking import failed_record, give_up, parked
from keyturn.core.machine.policy import Branch, Chain, when
from keyturn.core.machine.proof import PROOF, second_opinion, try_delivered, try_replaced
from keyturn.core.machine.source import MAX_MINTS, live_ready, noted_ready, standby_ready
from keyturn.core.machine.spread import SPREAD, carried, noted, pending
from keyturn.core.model import GOOD, Cause, Delivery, SlotName, Strategy, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, Failures, HeldAt, Op, Requested, Retire
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Regenerate, Write, WriteRecord


def unlisted(state: State) -> bool:
    """Tell whether the API key of the open intent is in no list."""
    slot = intent_slot(state)
    return slot is not None and state.observed.key(slot.uuid) is None


def slot_gone(state: State) -> Decision | None:
    """Close the intent of an API key that is gone.

    A target may hold the secret that was made: if the API key is listed again, it is known by its digest.
    """
    record, intent, slot = record_of(state), intent_of(state), intent_slot(state)
    if slot is None or not unlisted(state):
        return None
    slots = record.with_slot(intent.slot or SlotName.A, replace(slot, digest=intent.digest or slot.digest))
    return WriteRecord(replace(record, intent=None, slots=slots, deliveries=doubted(state)), Write.CLOSE)


SLOT_GONE: Chain = (when(unlisted, relisted), when(unlisted, settled), slot_gone)


# Minting.


def no_slot(state: State) -> Decision | None:
    """End if the record contradicts itself."""
    if intent_slot(state) is not None:
        return None
    return End(Reason.NO_SLOT, "the record's intent names a slot that it does not have")


def unanswered(state: State) -> Decision | None:
    """Give up after several mints without a clear answer."""
    if state.run.unanswered < MAX_MINTS:
        return None
    why = f"{MAX_MINTS} mints in one run had no clear answer; the last: {state.run.unclear}"
    return give_up(state, Reason.TOO_MANY_MINTS, why)


def minted_key(state: State) -> tuple[str, ...]:
    """Return the uuid of the API key that is to have a new secret."""
    slot = intent_slot(state)
    return (slot.uuid,) if slot else ()


MAY_REGENERATE: Chain = (no_slot, unanswered, gated(minted_key), reopened)
"""Every check that a regenerate has to pass, for a rotation and for a retire."""


def regenerate(state: State) -> Decision | None:
    """Mint a new secret for the slot of the open intent."""
    intent, slot = intent_of(state), intent_slot(state)
    if intent.slot is None or slot is None:
        return None
    shown = Planned(
        Change.ROTATE,
        "finishes" if found(state) else "regenerates",
        _regenerates(state),
        slot=intent.slot,
        uuid=slot.uuid,
    )
    return Regenerate(intent.slot, slot.uuid, discard=False, hold_signals=not protects(state), shown=shown)


def _regenerates(state: State) -> str:
    if protects(state):
        return "regenerates the standby; the live secret stays as it is"
    if intent_of(state).op is Op.CREATE:
        return "regenerates the key: no consumer has its secret yet"
    return "regenerates the key: its old secret dies at this moment; consumers are refused until they reload"


def careful(state: State) -> bool:
    """Tell whether a late write could harm: it could reach a target without compare-and-set, or name the standby."""
    return protects(state) or any(item in state.observed.unfenced for item in wanted(state))


def unhurried(state: State) -> bool:
    """Tell whether the key's secret has not leaked: a leaked one dies although its successor can go nowhere."""
    return not compromised(state)


def may_hold_it(state: State) -> Decision | None:
    """Mint nothing while a target that cannot be read may hold the secret (rule 2)."""
    deliveries = wanted(state)
    why = unreadable(state, deliveries)
    blind = bool(deliveries) and all(state.observed.readings[item].problem for item in deliveries)
    maybe = protects(state) or (found(state) and (intent_of(state).digest is not None or blind))
    if not why or compromised(state) or not maybe:
        return None
    text = f"nothing is minted while a target that cannot be read may hold the secret: {why}"
    return give_up(state, login_or(state, deliveries, Reason.MAY_HOLD_IT), text)


# A parked key: its unfinished rotation is closed, and its request kept.


def held_secret(state: State) -> str | None:
    """Return the digest that the intent names, if a delivery holds that secret."""
    digest = intent_of(state).digest
    return digest if digest and holds(state, digest) else None


def parked_open(state: State) -> Decision | None:
    """Leave the intent open: a late answer to a create is known by its nonce, a delivered standby by its digest."""
    kept = intent_of(state).op is Op.CREATE or (held_secret(state) is not None and protects(state))
    return parked(state) if kept else None


def is_parked(state: State) -> bool:
    """Tell whether the key is parked."""
    return parked(state) is not None


def parked_commit(state: State) -> Decision | None:
    """With `in-place` a new secret that a target holds is the live one, refused as it is."""
    held = held_secret(state)
    return committed(state, held) if held and held in state.observed.verdicts else None


def parked_close(state: State) -> Decision | None:
    """Close the intent and keep the request, so that unparking starts the rotation again."""
    record = record_of(state)
    asked = record.requested or Requested("keyturn", "a rotation was left unfinished", intent_of(state).since)
    closed = replace(record, intent=None, requested=asked, deliveries=doubted(state))
    return WriteRecord(closed, Write.CLOSE, then=parked(state))


PARKED: Chain = (parked_open, settled, parked_commit, parked_close)


MINT: Chain = (
    Branch("standby", when=standby_ready),
    Branch("live", when=live_ready),
    second_opinion,
    when(careful, settled),
    seen(anywhere),
    Branch("live", when=noted_ready),
    may_hold_it,
    put_back,
    moved_on,
    Branch("parked", when=is_parked),
    when(unhurried, all_in_use),
    *MAY_REGENERATE,
    regenerate,
)
"""Deliver what is in hand; if nothing is, look for it everywhere, and only then mint."""


# Delivering.


def undelivered(state: State) -> Decision | None:
    """After the last try: give up unless enough deliveries hold the secret.

    | the live secret is | and | then |
    |---|---|---|
    | another one, and works | a delivery lacks the new one | give up |
    | another one, compromised | a delivery lacks the new one | commit: the old one has to die |
    | the new one | no delivery that can be read holds it, if there is one | give up |
    | the new one | some deliveries lack it | commit: these stay pending (a failed run if no other one can give it) |

    Before it gives up it notes where its writes were acknowledged: the next run does not write there again.
    """
    lacking = pending(state)
    some = readable_holder(state, carried(state)) or (none_readable(state) and lacking != places(state))
    enough = compromised(state) if protects(state) else some
    if not lacking or enough:
        return None
    noted = replace(record_of(state), deliveries=doubted(state))
    if noted != record_of(state):
        return WriteRecord(noted, Write.NOTE)
    return give_up(state, Reason.DELIVERY_PENDING, _undelivered(state, lacking))


def late_write(state: State) -> bool:
    """Tell whether a write may still land: over the next secret, if its target has no compare-and-set.

    The commit closes what would make the next run wait, so this run waits.
    """
    return bool(pending(state)) or any(item in state.observed.unfenced for item in places(state))


def commit(state: State) -> Decision:
    """Close the rotation: the minted slot is live, the other one is retired after the overlap."""
    return committed(state, carried(state))


STANDBY: Chain = (settled, noted, *PROOF, *SPREAD, undelivered, when(late_write, landed), commit)
"""The live secret works: nobody gets the new one unproven."""

LIVE: Chain = (
    *SPREAD,
    undelivered,
    when(late_write, landed),
    settled,
    try_delivered,
    try_replaced,
    commit,
)
"""The old secret is dead: everyone gets the new one at once, and then it is tried."""


def committed(state: State, digest: str) -> Decision:
    """Return the commit of the secret with this digest."""
    record, intent, now = record_of(state), intent_of(state), state.clock.now
    minted = intent.slot or SlotName.A
    slot = record.slot(minted)
    if slot is None:
        return End(Reason.NO_SLOT, "the record's intent names a slot that it does not have")
    generation = record.generation + 1
    states = _delivered(state, digest, generation)
    held = tuple(HeldAt(item.delivery, item.version) for item in states if item.digest == digest and not item.marked)
    # An API key that is gone has an old secret from here on: it has to die if it comes back.
    lost = tuple(
        replace(item, live=False, retire=item.retire or Retire(item.name, now, compromised(state)))
        for item in record.gone
    )
    result = state.observed.verdicts[digest]
    unverified = "" if result.verdict in GOOD or untriable(state, result.verdict) else result.facts
    failure = unverified if result.verdict is Verdict.REFUSED else _left_out(state, digest)
    base = failed_record(state, failure) if failure else replace(record, failures=Failures())
    done = replace(
        base,
        generation=generation,
        live=minted,
        slots={**record.slots, minted: replace(slot, digest=digest, minted_at=now, held_in=held)},
        deliveries=(*_kept(state, digest), *states),
        intent=None,
        retire=_retire(state, minted),
        gone=lost,
        requested=_still_asked(state, digest),
        unverified=unverified,
        hook_due=record.hook_due or state.desired.hook is not None,
    )
    proof = f", old secret {state.run.attempt.proof}" if state.run.attempt.proof else ""
    return WriteRecord(
        note(
            done,
            state,
            f"generation {generation} on slot {minted}, {result.verdict}{proof}",
            _cause(state, digest),
            slot=minted,
            generation=generation,
            proof=state.run.attempt.proof,
        ),
        Write.COMMIT,
    )


def _left_out(state: State, digest: str) -> str:
    """Say which deliveries lack the secret and can get only another one; empty if all have it, or one can be read."""
    lacking = [item for item in places(state) if state.observed.readings[item].digest != digest]
    return _undelivered(state, lacking) if lacking and not readable_holder(state, digest) else ""


def _undelivered(state: State, lacking: Iterable[Delivery]) -> str:
    why = together(f"{item}: {unwritten(state, item) or 'does not hold it'}" for item in lacking)
    return f"the new secret could not be delivered everywhere: {why}"


def _still_asked(state: State, digest: str) -> Requested | None:
    """Return the request that this secret does not fulfil: it is younger than the intent, whose mint was earlier."""
    asked = record_of(state).requested
    earlier = state.run.attempt.minted != digest
    return asked if asked and earlier and asked.at > intent_of(state).since else None


def _cause(state: State, digest: str) -> Cause | None:
    """Return why the secret was made: why its intent was opened, and what was asked since that it fulfils, too."""
    asked, intent = record_of(state).requested, intent_of(state)
    if asked is None or asked.at <= intent.since or _still_asked(state, digest):
        return intent.cause
    before = intent.cause or Cause("")
    reason = "; ".join(dict.fromkeys(text for text in (before.reason, asked.reason) if text))
    code = "compromised" if asked.compromised else before.trigger or "requested"
    return replace(before, trigger=code, by=asked.by, reason=reason)


def _delivered(state: State, digest: str, generation: int) -> list[DeliveryState]:
    """Return the wanted deliveries as they were read back."""
    record, readings = record_of(state), state.observed.readings
    return [
        delivered(state, item, generation, digest)
        if readings[item].digest == digest
        else in_doubt(state, record.delivery(item) or DeliveryState(item))
        for item in places(state)
    ]


def _kept(state: State, digest: str) -> tuple[DeliveryState, ...]:
    """Return the unwanted deliveries: one may hold this secret from a run that died; known, it can be cleaned."""
    readings = state.observed.readings
    return tuple(
        replace(old, version=read.version, digest=digest, at=state.clock.now)
        if (read := readings.get(old.delivery)) and read.digest == digest
        else in_doubt(state, old)
        if found(state)
        else old
        for old in record_of(state).deliveries
        if old.delivery not in wanted(state)
    )


def _retire(state: State, minted: SlotName) -> Retire | None:
    """Return when the other slot's secret dies: after the overlap, at once if it is compromised."""
    record, now = record_of(state), state.clock.now
    until = now + state.desired.rotation.overlap
    if minted is record.live and not compromised(state):
        # The old secret may have been put back before this one replaced it: its overlap begins again.
        return record.retire and replace(record.retire, at=max(record.retire.at, until))
    if record.strategy is Strategy.ALTERNATING and record.slot(minted.other):
        at_once = compromised(state)
        return Retire(minted.other, now if at_once else until, at_once)
    return None
