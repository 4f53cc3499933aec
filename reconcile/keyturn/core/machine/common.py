"""What all policies share: intents, leases, the gate before a mutating call, giving up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from keyturn.core.model import ApiKey, Delivery, Event, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import HISTORY, Claim, DeliveryState, Failures, Intent, Op, Parked, Record
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import (
    Decision,
    Look,
    LookBack,
    LookClaim,
    Regenerate,
    Relist,
    Step,
    Wait,
    Write,
    WriteClaim,
    WriteRecord,
)

OWNERSHIP, LOGIN = 4, 5
"""The exit codes of errors that have a reason of their own."""
MAX_MINTS = 3
PARK_AFTER = 3
MAX_SKEW = 60.0
BACK_OFF = timedelta(minutes=10)


def record_of(state: State) -> Record:
    """Return the record of a policy that runs only where there is one."""
    if state.record is None:
        message = "this policy needs a record"
        raise AssertionError(message)
    return state.record


def intent_of(state: State) -> Intent:
    """Return the open intent of a policy that runs only under one."""
    intent = record_of(state).intent
    if intent is None:
        message = "this policy needs an open intent"
        raise AssertionError(message)
    return intent


def note(record: Record, state: State, what: str) -> Record:
    """Add a line to the record's history."""
    by = state.options.by or state.run.id
    return replace(record, history=(*record.history, Event(state.clock.now, what, by))[-HISTORY:])


def write(state: State, kind: Write, shown: Planned | None = None, then: End | None = None, **changes: object) -> Step:
    """Write the record with these fields changed."""
    return WriteRecord(replace(record_of(state), **changes), kind, shown, then)  # type: ignore[arg-type]


def new_intent(state: State, op: Op, slot: object = None, *, nonce: str = "") -> Intent:
    """Make an intent of this run, leased from now."""
    now = state.clock.now
    lease = timedelta(seconds=state.desired.timing.lease)
    return Intent(op, slot, nonce or state.run.nonce, state.run.id, now, now + lease)  # type: ignore[arg-type]


def reopen(state: State) -> Step:
    """Write the intent anew, with a whole lease and no digest, so that the next mint is known to be unsent."""
    old = intent_of(state)
    nonce = old.nonce if old.op is Op.CREATE else ""
    fresh = new_intent(state, old.op, old.slot, nonce=nonce)
    again = replace(fresh, since=old.since, spare=old.spare)
    return write(state, Write.REOPEN, intent=again, deliveries=consented(state))


def consented(state: State) -> tuple[DeliveryState, ...]:
    """Return the record's deliveries, with each free place that the coming mint may be delivered to: ours from now on.

    Written with the intent: a secret that was delivered just before a crash is no stranger to the next run.
    """
    record = record_of(state)
    new = (item for item in places(state) if item in state.observed.readings and record.delivery(item) is None)
    return (*record.deliveries, *(DeliveryState(item) for item in new))


def as_seen(state: State) -> tuple[DeliveryState, ...]:
    """Return the record's deliveries for an intent that ends unfinished: what was not last read as noted is unsure."""
    readings, op = state.observed.readings, intent_of(state).op
    if op not in {Op.DELIVER, Op.DELETE}:
        return record_of(state).deliveries
    return tuple(
        item if (read := readings.get(item.delivery)) and read.digest == item.digest else replace(item, digest=None)
        for item in record_of(state).deliveries
    )


def earlier(state: State, digest: str) -> Step | None:
    """Look for a slot's secret in the versions that once held it; None where that was done, or none is known."""
    record = record_of(state)
    held = [
        (item.delivery, item.version)
        for slot in record.slots.values()
        if slot.digest == digest
        for item in slot.held_in
    ]
    held += [(item.delivery, item.version) for item in record.deliveries if item.digest == digest]
    known = tuple(dict.fromkeys(item for item in held if item[1]))
    if not known or digest in state.observed.in_hand or digest in state.run.looked_back:
        return None
    return LookBack(known, digest)


def settle(state: State) -> Step | None:
    """Wait until nothing that was sent can still land; None where that is so."""
    left = state.run.unsettled_until - state.clock.uptime
    return Wait(left, "waiting until a call without an answer has settled") if left > 0 else None


def gate(state: State, uuids: Iterable[str]) -> Decision | None:
    """Return what is missing before a mutating call on these uuids; None where it may be made.

    Each is in a complete list, with the record's creation time, and its claim names this key; and the clock is right.
    """
    record = record_of(state)
    known_slots = (*record.slots.values(), *(lost.slot for lost in record.gone))
    times = {slot.uuid: slot.created_at for slot in known_slots}
    for uuid in uuids:
        listed = state.observed.key(uuid)
        if listed is None:
            if not state.observed.relisted:
                return Relist()
            return End(Reason.KEY_MISSING, f"the API key {uuid} is in no complete list")
        known = times.get(uuid)
        if known and listed.created_at and listed.created_at != known:
            said = f"{listed.created_at.isoformat()}, the record says {known.isoformat()}"
            why = f"the API key {uuid} was created at {said}"
            return End(Reason.CREATED_AT_DIFFERS, why)
        if needs := _claimed(state, uuid, listed):
            return needs
    if abs(state.observed.skew) > MAX_SKEW:
        why = f"this machine's clock is {state.observed.skew:+.0f} s from the API's; leases cannot be trusted"
        return End(Reason.CLOCK_SKEW, why)
    return None


def _claimed(state: State, uuid: str, listed: ApiKey) -> Decision | None:
    """Ask for the claim: a record alone is no proof that the API key is this key's."""
    if uuid not in state.observed.claims or state.options.take_over:
        return claim(state, uuid)
    found = state.observed.claims[uuid]
    if found is None or found.released_at:
        why = f"no claim says that the API key {uuid} is this key's; --take-over claims it"
        return End(Reason.UNCLAIMED, why)
    if found.created_at and listed.created_at and found.created_at != listed.created_at:
        why = f"the API key {uuid} was created at {listed.created_at.isoformat()}, its claim says otherwise"
        return End(Reason.CREATED_AT_DIFFERS, why)
    return claim(state, uuid)


def claim(state: State, uuid: str) -> Decision | None:
    """Return what is missing until this key claims that uuid."""
    if uuid not in state.observed.claims:
        return LookClaim(uuid)
    found = state.observed.claims[uuid]
    mine = (state.desired.owner, state.desired.id)
    if found and not found.released_at:
        if (found.owner, found.key) == mine:
            return None
        if not state.options.take_over:
            why = f"the API key {uuid} belongs to key {found.key!r} of {found.owner!r}; --take-over moves it here"
            return End(Reason.CLAIMED, why)
    listed = state.observed.key(uuid)
    shown = Planned(Change.ADOPT, "claims", f"claims the API key {uuid}", uuid=uuid)
    return WriteClaim(Claim(uuid, *mine, created_at=listed.created_at if listed else None), shown)


def let_go(state: State, uuid: str, *, spare: bool = False) -> Step | None:
    """Release this key's claim on an API key; `spare`: it was not touched, and stays a spare."""
    if uuid not in state.observed.claims:
        return LookClaim(uuid)
    found = state.observed.claims[uuid]
    if found is None or found.released_at or (found.owner, found.key) != (state.desired.owner, state.desired.id):
        return None
    released = Claim(uuid, found.owner, found.key, found.created_at, state.clock.now, spare)
    return WriteClaim(released, Planned(Change.RELEASE, "released", f"lets go of the API key {uuid}", uuid=uuid))


def look(state: State, deliveries: Iterable[Delivery]) -> Step | None:
    """Read the deliveries that were not read yet."""
    unread = tuple(item for item in deliveries if item not in state.observed.readings)
    return Look(unread) if unread else None


def foreign(state: State) -> tuple[Delivery, ...]:
    """Return the wanted places that hold a value which keyturn neither wrote nor was told to replace."""
    if state.options.take_over:
        return ()
    record = state.record if state.record and not state.record.deleted_at else None
    ours = {slot.digest for slot in record.slots.values()} if record else set()
    ours |= {state.run.minted, record.intent.digest if record and record.intent else None, None}
    return tuple(
        item
        for item in state.desired.deliveries
        if item in state.observed.readings
        and state.observed.readings[item].digest not in ours
        and not (record and record.delivery(item))
    )


def places(state: State) -> tuple[Delivery, ...]:
    """Return the wanted places, without those that hold somebody else's value: these are told, and left alone."""
    others = foreign(state)
    return tuple(item for item in state.desired.deliveries if item not in others)


def exit_of(state: State, deliveries: Iterable[Delivery]) -> int:
    """Return the exit code of what could not be read: 5 where a login is refused, else 1."""
    codes = [state.observed.readings[item].exit_code for item in deliveries if state.observed.readings[item].problem]
    return max([1, *(code for code in codes if code in {1, 5})])


def login_or(state: State, deliveries: Iterable[Delivery], reason: Reason) -> Reason:
    """Return `reason`, or that a login is refused if that is why a delivery could not be read."""
    return Reason.LOGIN_REFUSED if exit_of(state, deliveries) == LOGIN else reason


def unreadable(state: State, deliveries: Iterable[Delivery]) -> str:
    """Tell which of the looked-at deliveries could not be read, and why."""
    readings = state.observed.readings
    return "; ".join(f"{item}: {readings[item].problem}" for item in deliveries if readings[item].problem)


def verdict(state: State, digest: str | None) -> Verdict | None:
    """Return what a smoke-check of this run said of a secret."""
    result = state.observed.verdicts.get(digest) if digest else None
    return result.verdict if result else None


def protects(state: State) -> bool:
    """Tell whether the live secret stays untouched by the open mint, so that delivery can wait for the proof."""
    record = record_of(state)
    return record.live is not None and intent_of(state).slot is not record.live


def compromised(state: State) -> bool:
    """Tell whether a rotation was asked for because the secret leaked: the old one has to die soon."""
    record, options = record_of(state), state.options
    asked = record.requested is not None and record.requested.compromised
    return asked or (options.rotate and options.compromised and not state.run.honoured)


def failed_record(state: State, why: str) -> Record:
    """Count a failure after a mint; the third parks the key."""
    record, now = record_of(state), state.clock.now
    count = record.failures.count + 1
    wait = BACK_OFF * (count - 1)
    parked = record.parked
    if count >= PARK_AFTER and parked is None:
        parked = Parked(f"{count} runs in a row failed after a mint; the last: {why}", now, state.desired.fingerprint)
    failures = Failures(count, now + wait if wait else None)
    return note(replace(record, failures=failures, parked=parked), state, f"failed: {why}")


def give_up(state: State, reason: Reason, why: str, *, close: bool = False) -> Decision:
    """End the run with a failure: counted in the record after a mint, closing the intent where that is safe."""
    end = End(reason, why)
    count = bool(state.run.mints) and not state.run.counted
    if not count and not close:
        return end
    record = failed_record(state, why) if count else record_of(state)
    if close:
        record = replace(record, intent=None, deliveries=as_seen(state))
    return WriteRecord(record, Write.FAIL, then=end)


def trouble(state: State, reason: Reason) -> Decision | None:
    """Return what follows from a failed effect: a definite no closes the intent, but only one this pass wrote.

    A delete is not closed: what of it was done is done, and its nonce may be the only trace of a create. Nor is the
    taking of a spare: it has to be renamed before its secret is made.
    """
    run, intent = state.run, record_of(state).intent
    if not run.trouble:
        return None
    whole = intent is not None and ((intent.op is Op.DELETE and intent.slot is None) or intent.spare != "")
    close = run.trouble_definite and not run.found and intent is not None and not whole
    told = {LOGIN: Reason.LOGIN_REFUSED, OWNERSHIP: Reason.STOPPED}.get(run.trouble_exit, reason)
    return give_up(state, told, run.trouble, close=close)


def regenerate(state: State, *, discard: bool, shown: Planned) -> Decision:
    """Mint for the open intent's slot, through every check that a mint has to pass."""
    intent = intent_of(state)
    slot = record_of(state).slot(intent.slot)
    if slot is None or intent.slot is None:
        return End(Reason.NO_SLOT, "the record's intent names a slot that it does not have")
    if state.run.unanswered >= MAX_MINTS:
        return give_up(state, Reason.TOO_MANY_MINTS, f"{MAX_MINTS} mints in one run had no clear answer")
    if needs := gate(state, [slot.uuid]):
        return needs
    if not state.run.fresh:
        return reopen(state)
    return Regenerate(intent.slot, slot.uuid, discard, shown)
