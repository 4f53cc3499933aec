"""Who may work on the key: its owner, its team, the run that holds the open intent; and which API keys it may touch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from keyturn.core.machine.deliveries import consented
from keyturn.core.machine.facts import intent_of, note, record_of
from keyturn.core.machine.policy import Chain, Policy, named
from keyturn.core.machine.provenance import unproven
from keyturn.core.model import ApiKey, Cause, SlotName
from keyturn.core.reasons import Reason
from keyturn.core.record import Claim, Intent, Op
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, DeleteKey, LookClaim, Relist, Wait, Write, WriteClaim, WriteRecord

MAX_SKEW = 60.0
LONG_PAST = timedelta(minutes=10)
POLL = 2.0


def team(state: State) -> Decision | None:
    """Stop if the account token is another team's, or may be: a list without any of the key's API keys proves nothing.

    The team's uuid decides if both the record and the token tell it. Otherwise one listed API key of the record does,
    or one of another key of the run (`same_team`).
    """
    record, account = state.record, state.observed.account
    if record is None or record.deleted_at:
        return None
    if record.account and account:
        if record.account == account:
            return None
        if state.options.take_over and not record.uuids and record.intent is None:
            # Nothing of the other team is in it: the first run had the wrong token.
            shown = Planned(Change.ADOPT, "team", f"moves to the team {account}: it has no API key of {record.account}")
            moved = note(replace(record, account=account, seen=(), handoff=None), state, f"moved to the team {account}")
            return WriteRecord(moved, Write.KEEP, shown)
        why = f"its record belongs to the team {record.account}, the token to the team {account}"
        return End(Reason.ANOTHER_TEAM, why)
    uuids = record.uuids or frozenset(record.seen)
    if (
        not (uuids or record.account)
        or state.options.same_team
        or state.run.seen_ours
        or any(map(state.observed.key, uuids))
    ):
        return None
    if not state.observed.relisted:
        return Relist()
    missing = (
        "the record does not tell its team" if account else "the account token may not read its team (account:read)"
    )
    which = f"its API keys ({', '.join(sorted(record.uuids))})" if record.uuids else "the API keys that it knows"
    why = f"the list shows none of {which}, and {missing}: either they were deleted, or the token is another team's"
    return End(Reason.ANOTHER_ACCOUNT, why)


def owner(state: State) -> Decision | None:
    """Refuse another owner's record; a take-over claims its API keys and writes the new owner down."""
    record = state.record
    if record is None or record.deleted_at or record.owner == state.desired.owner:
        return None
    if not state.options.take_over:
        why = f"its record belongs to {record.owner!r}, not to {state.desired.owner!r}"
        return End(Reason.ANOTHER_OWNER, why)
    spare = record.intent.spare if record.intent else ""
    for uuid in (*sorted(record.uuids), *([spare] if spare else [])):
        if needs := claim(state, uuid):
            return needs
    shown = Planned(Change.ADOPT, "take-over", f"takes the key over from {record.owner!r}")
    taken = note(
        replace(record, owner=state.desired.owner),
        state,
        f"taken over from {record.owner}",
        Cause("requested", by=state.options.by),
    )
    return WriteRecord(taken, Write.KEEP, shown)


def note_team(state: State) -> Decision | None:
    """Fill in the team of a record that was made with a token that could not tell it."""
    record, account = record_of(state), state.observed.account
    if record.account or not account or not any(map(state.observed.key, record.uuids)):
        return None
    shown = Planned(Change.RECORD, "team", f"notes that its API keys are of the team {account}")
    return WriteRecord(replace(record, account=account, seen=()), Write.KEEP, shown)


def mine(state: State) -> bool:
    """Tell whether this run holds the open intent."""
    return intent_of(state).run == state.run.id


def lease(state: State) -> Decision | None:
    """Extend the lease of our own intent if too little of it is left; never between a mint and its first delivery."""
    run, timing = state.run, state.desired.timing
    if not mine(state) or (run.attempt.minted and not run.attempt.spread.attempted):
        return None
    # Without a start (the answer to the opening write was lost) the lease counts as over.
    left = timing.lease - state.clock.since(run.leased) if run.leased else 0.0
    # For the shortest allowed lease, what remains after the longest write has to suffice.
    if left >= min(timing.request + timing.settle, timing.lease - timing.request):
        return None
    return WriteRecord(
        replace(record_of(state), intent=replace(intent_of(state), lease_until=_lease_end(state))), Write.EXTEND
    )


def dead_run(state: State) -> Decision | None:
    """Take over the intent of a run that has released it, is dead, or was silent for a whole lease."""
    intent, watch = intent_of(state), state.run.watch
    if mine(state):
        return None
    clock_right = abs(state.observed.skew) <= MAX_SKEW
    long_past = clock_right and state.clock.now - intent.lease_until > LONG_PAST
    silent = state.clock.uptime - watch.since >= state.desired.timing.lease
    dead = state.observed.holder_alive is False or long_past or (watch.version == state.version and silent)
    if not (intent.released or dead):
        return None
    taken = replace(intent, run=state.run.id, lease_until=_lease_end(state), released=False)
    return WriteRecord(replace(record_of(state), intent=taken), Write.TAKE)


def release_lease(state: State) -> WriteRecord | None:
    """Return how a run that was asked to stop leaves its open intent: without a lease, if all that it sent has settled.

    What has not settled the next run waits out, as after a crash.
    """
    intent = state.record.intent if state.record else None
    if state.record is None or intent is None or intent.run != state.run.id:
        return None
    if state.run.unsettled_until > state.clock.uptime:
        return None
    return WriteRecord(replace(state.record, intent=replace(intent, released=True)), Write.RELEASE)


def another_run(state: State) -> Decision | None:
    """Wait for a run that may be alive; after the lock timeout the key is left to it."""
    intent = intent_of(state)
    if mine(state):
        return None
    waited = state.clock.uptime - (state.run.watch.waiting_since or state.clock.uptime)
    if waited >= state.options.lock_timeout:
        why = f"run {intent.run} has been working on it"
        return End(Reason.ANOTHER_RUN, why)
    poll = max(POLL, state.options.lock_timeout / 100)
    return Wait(poll, f"run {intent.run} is working on it", reread=True)


HOLD: Chain = (lease, dead_run, another_run)
"""Under an open intent, before anything else: one run works on the key, with a lease that is long enough."""


def _lease_end(state: State) -> datetime:
    return state.clock.now + timedelta(seconds=state.desired.timing.lease)


def new_intent(
    state: State, op: Op, slot: SlotName | None = None, *, nonce: str = "", cause: Cause | None = None
) -> Intent:
    """Make an intent of this run, leased from now."""
    return Intent(op, slot, nonce or state.run.nonce, state.run.id, api_now(state), _lease_end(state), cause=cause)


def api_now(state: State) -> datetime:
    """Return the present moment by the API's clock, as `created_at` of what is made from now on."""
    return state.clock.now + timedelta(seconds=state.observed.skew)


def reopened(state: State) -> Decision | None:
    """Write the intent again, unless this pass wrote it: with a whole lease and no digest, its mint is unsent."""
    if state.run.attempt.fresh:
        return None
    old = intent_of(state)
    nonce = old.nonce if old.op is Op.CREATE else ""
    fresh = new_intent(state, old.op, old.slot, nonce=nonce, cause=old.cause)
    # A run whose clock was ahead noted a moment that is yet to come, and made nothing.
    again = replace(fresh, since=min(old.since, fresh.since), spare=old.spare)
    return WriteRecord(replace(record_of(state), intent=again, deliveries=consented(state)), Write.REOPEN)


def gated(uuids: Callable[[State], Iterable[str]]) -> Policy:
    """Before a mutating call on these API keys, if any: each is as recorded, claimed and called; the clock is right."""

    def gated(state: State) -> Decision | None:
        found = tuple(uuids(state))
        return (gate(state, found) or _proven(state, found)) if found else None

    return named(gated, f"gated({uuids.__name__})")


def gate(state: State, uuids: Iterable[str]) -> Decision | None:
    """Return what is missing before a mutating call on these uuids; None if it may be made.

    Each is in a complete list, with a name that the policy admits and the record's creation time, and its claim names
    this key; and the clock is right.
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
        if end := outside_policy(state, listed):
            return end
        known = times.get(uuid)
        if known and listed.created_at and listed.created_at != known:
            said = f"{listed.created_at.isoformat()}, the record says {known.isoformat()}"
            why = f"the API key {uuid} was created at {said}"
            return End(Reason.CREATED_AT_DIFFERS, why)
        if needs := _claimed(state, uuid, listed):
            return needs
    return wrong_clock(state)


def outside_policy(state: State, listed: ApiKey) -> End | None:
    """Stop at an API key whose name the operator's policy does not admit, whatever the record says."""
    permit = state.desired.permit
    why = permit.refusal(listed.name) if permit else ""
    return End(Reason.OUTSIDE_POLICY, f"the API key {listed.uuid} is not to be changed: {why}") if why else None


def _proven(state: State, uuids: Iterable[str]) -> Decision | None:
    """Stop at an API key that may not be this key's, unless an operator allows it."""
    doubts = [doubt for uuid in uuids if (doubt := unproven(state, uuid))]
    if not doubts or state.options.allow_unproven:
        return None
    if not state.observed.relisted:
        return Relist()  # another run may have renamed it since
    return End(Reason.UNPROVEN, f"{doubts[0]}; it was not changed", number=len(doubts))


def drop_extra(state: State, extra: ApiKey, why: str) -> Decision:
    """Return what is missing until an API key is deleted that only the nonce of a create shows to be this key's.

    No other key claims it. An operator agrees, unless this run has made the nonce itself.
    """
    if extra.uuid not in state.observed.claims:
        return LookClaim(extra.uuid)
    found = state.observed.claims[extra.uuid]
    if found and not found.released_at and (found.owner, found.key) != (state.desired.owner, state.desired.id):
        why = f"the API key {extra.uuid} ({extra.name}) belongs to key {found.key!r} of {found.owner!r}"
        return End(Reason.CLAIMED, why)
    if stop := outside_policy(state, extra) or wrong_clock(state):
        return stop
    if not (state.run.attempt.opened or state.options.allow_extra):
        return End(Reason.EXTRA, f"{why}: the API key {extra.uuid} ({extra.name}) is to be deleted", number=1)
    return DeleteKey(extra.uuid, Planned(Change.DELETE, "extra", f"{why}: {extra.name}", uuid=extra.uuid))


def wrong_clock(state: State) -> Decision | None:
    """Stop if this machine's clock differs from the API's: a lease counts by it."""
    if abs(state.observed.skew) <= MAX_SKEW:
        return None
    why = f"this machine's clock is {-state.observed.skew:+.0f} s from the API's; leases cannot be trusted"
    return End(Reason.CLOCK_SKEW, why)


def _claimed(state: State, uuid: str, listed: ApiKey) -> Decision | None:
    """Ask for the claim: a record alone is no proof that the API key is this key's."""
    if uuid not in state.observed.claims or state.options.take_over:
        return claim(state, uuid)
    found = state.observed.claims[uuid]
    if found is None or found.released_at:
        why = f"no claim says that the API key {uuid} is this key's"
        return End(Reason.UNCLAIMED, why)
    if found.created_at and listed.created_at and found.created_at != listed.created_at:
        why = f"the API key {uuid} was created at {listed.created_at.isoformat()}, its claim says otherwise"
        return End(Reason.CREATED_AT_DIFFERS, why)
    return claim(state, uuid)


def contested(state: State, uuid: str) -> Decision | None:
    """Read the claim on that uuid; stop if it is another key's."""
    if uuid not in state.observed.claims:
        return LookClaim(uuid)
    found = state.observed.claims[uuid]
    if found is None or found.released_at or _is_mine(state, found) or state.options.take_over:
        return None
    return End(Reason.CLAIMED, f"the API key {uuid} belongs to key {found.key!r} of {found.owner!r}")


def _is_mine(state: State, found: Claim) -> bool:
    return (found.owner, found.key) == (state.desired.owner, state.desired.id)


def claim(state: State, uuid: str) -> Decision | None:
    """Return what is missing until this key claims that uuid."""
    if needs := contested(state, uuid):
        return needs
    found, mine = state.observed.claims[uuid], (state.desired.owner, state.desired.id)
    if found and not found.released_at and _is_mine(state, found):
        return None
    listed = state.observed.key(uuid)
    shown = Planned(Change.ADOPT, "claims", f"claims the API key {uuid}", uuid=uuid)
    return WriteClaim(Claim(uuid, *mine, created_at=listed.created_at if listed else None), shown)


def release(state: State, uuid: str, *, spare: bool = False) -> Decision | None:
    """Release this key's claim on an API key; `spare`: it was not touched, and stays a spare."""
    if uuid not in state.observed.claims:
        return LookClaim(uuid)
    found = state.observed.claims[uuid]
    if found is None or found.released_at or not _is_mine(state, found):
        return None
    released = Claim(uuid, found.owner, found.key, found.created_at, state.clock.now, spare)
    return WriteClaim(released, Planned(Change.RELEASE, "released", f"releases the API key {uuid}", uuid=uuid))
