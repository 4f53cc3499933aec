"""Who may work on the key: its owner, its account, and the one run that holds the open intent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from keyturn.core.machine.common import MAX_SKEW, claim, intent_of, note, record_of, write
from keyturn.core.reasons import Reason
from keyturn.core.record import Intent, Record
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Relist, Wait, Write, WriteRecord

LONG_PAST = timedelta(minutes=10)
POLL = 2.0


def owned(state: State) -> Decision | None:
    """Refuse another owner's record; a take-over writes the new owner down."""
    record = state.record
    if record is None or record.deleted_at:
        return None
    if decision := _team(state, record):
        return decision
    if record.owner == state.desired.owner:
        return None
    if not state.options.take_over:
        why = f"its record belongs to {record.owner!r}, not to {state.desired.owner!r}; --take-over moves it here"
        return End(Reason.ANOTHER_OWNER, why)
    spare = record.intent.spare if record.intent else ""
    for uuid in (*sorted(record.uuids), *([spare] if spare else [])):
        if needs := claim(state, uuid):
            return needs
    shown = Planned(Change.ADOPT, "take-over", f"takes the key over from {record.owner!r}")
    taken = note(replace(record, owner=state.desired.owner), state, f"taken over from {record.owner}")
    return WriteRecord(taken, Write.KEEP, shown)


def _team(state: State, record: Record) -> Decision | None:
    """Stop if the account token is another team's, or may be: a list without any of the key's API keys proves nothing.

    The team's uuid decides if both the record and the token tell it. Otherwise one listed API key of the record does,
    or one of another key of the run (`same_team`).
    """
    account = state.observed.account
    if record.account and account:
        if record.account == account:
            return None
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


def note_team(state: State) -> Decision | None:
    """Fill in the team of a record that was made with a token that could not tell it."""
    record, account = record_of(state), state.observed.account
    if record.account or not account or not any(map(state.observed.key, record.uuids)):
        return None
    shown = Planned(Change.RECORD, "team", f"notes that its API keys are of the team {account}")
    return WriteRecord(replace(record, account=account, seen=()), Write.KEEP, shown)


def held(state: State) -> Decision | None:
    """Take over a dead run's intent, wait for a living one, keep our own lease long enough."""
    record = state.record
    if record is None or record.intent is None:
        return None
    if record.intent.run == state.run.id:
        return _extend(state)
    if _may_take(state, record.intent):
        now = state.clock.now
        lease = now + timedelta(seconds=state.desired.timing.lease)
        return write(state, Write.TAKE, intent=replace(record.intent, run=state.run.id, lease_until=lease))
    waited = state.clock.uptime - (state.run.waiting_since or state.clock.uptime)
    if waited >= state.options.lock_timeout:
        why = f"run {record.intent.run} has been working on it since {record.intent.since.isoformat()}"
        return End(Reason.ANOTHER_RUN, why)
    poll = max(POLL, state.options.lock_timeout / 100)
    return Wait(poll, f"run {record.intent.run} is working on it", reread=True)


def _may_take(state: State, intent: Intent) -> bool:
    clock_right = abs(state.observed.skew) <= MAX_SKEW
    if state.observed.holder_alive is False or (clock_right and state.clock.now - intent.lease_until > LONG_PAST):
        return True
    unchanged = state.clock.uptime - state.run.watched_since
    return state.run.watched == state.version and unchanged >= state.desired.timing.lease


def _extend(state: State) -> Decision | None:
    run, timing = state.run, state.desired.timing
    if run.minted and not run.attempted:
        return None
    # Without a moment that it counts from (the answer to the opening write was lost) the lease is taken as over.
    left = timing.lease - state.clock.since(run.leased) if run.leased else 0.0
    # A lease that is as short as it may be: what is left of it after the longest write is as good as it gets.
    if left >= min(timing.request + timing.settle, timing.lease - timing.request):
        return None
    until = state.clock.now + timedelta(seconds=timing.lease)
    return write(state, Write.EXTEND, intent=replace(intent_of(state), lease_until=until))


def unpark(state: State) -> Decision | None:
    """Let a parked key mint again: asked for, changed, or compromised."""
    record = record_of(state)
    if record.parked is None:
        return None
    changed = record.parked.fingerprint != state.desired.fingerprint and bool(state.desired.fingerprint)
    if not (changed or state.options.unpark or state.options.compromised):
        return None
    why = "its entry changed" if changed else "it was asked for"
    return WriteRecord(
        note(replace(record, parked=None, failures=type(record.failures)()), state, f"unparked: {why}"),
        Write.KEEP,
        Planned(Change.RECORD, "unpark", f"lets the key mint again: {why}"),
    )
