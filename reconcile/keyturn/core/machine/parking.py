"""Failures are counted; the third in a row parks the key: no more secrets are made until it is unparked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from keyturn.core.machine.deliveries import as_seen, barred
from keyturn.core.machine.facts import note, record_of
from keyturn.core.model import Cause
from keyturn.core.reasons import Reason
from keyturn.core.record import FAILED, Failures, Parked, Record
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Write, WriteRecord

PARK_AFTER = 3
BACK_OFF = timedelta(minutes=10)
"""How much longer each failed run waits than the one before."""


def parked(state: State) -> End | None:
    """Return why no secret may be made; None if the key is not parked. This is all that parking forbids.

    No rotation starts, no missing API key is created, and an unfinished rotation is closed without its mint; a retire
    has one mint per run. Whatever makes no secret goes on.
    """
    reason = record_of(state).parked
    return End(Reason.PARKED, reason.why) if reason else None


def unparked(state: State) -> Decision | None:
    """Allow mints again: the entry changed, an operator says so, or the secret is compromised."""
    record = record_of(state)
    if record.parked is None:
        return None
    changed = record.parked.fingerprint != state.desired.fingerprint and bool(state.desired.fingerprint)
    if not (changed or state.options.unpark or state.options.compromised):
        return None
    why = "its entry changed" if changed else "it was asked for"
    return WriteRecord(
        note(
            replace(record, parked=None, failures=Failures()),
            state,
            f"unparked: {why}",
            Cause("entry" if changed else "requested", by="" if changed else state.options.by),
        ),
        Write.KEEP,
        Planned(Change.RECORD, "unpark", f"lets the key mint again: {why}"),
    )


def give_up(state: State, reason: Reason, why: str, *, close: bool = False) -> Decision:
    """End the run with a failure: counted in the record after a mint, closing the intent if that is safe."""
    end = End(reason, why)
    count = bool(state.run.mints) and not state.run.counted
    if not count and not close:
        return end
    record = failed_record(state, why) if count else record_of(state)
    if close:
        record = replace(record, intent=None, deliveries=as_seen(state))
    return WriteRecord(record, Write.FAIL, then=end)


def failed_record(state: State, why: str) -> Record:
    """Count a run that failed after a mint: the next waits longer, the third parks the key.

    If a delivery takes no secret until an operator has done something, the first one does: each mint kills a secret.
    """
    record, now, refused = record_of(state), state.clock.now, barred(state)
    count = record.failures.count + 1
    wait = BACK_OFF * (count - 1)
    parked = record.parked
    if (count >= PARK_AFTER or refused) and parked is None:
        runs = f"{count} runs in a row failed after a mint; the last"
        what = f"a new secret was refused by {', '.join(map(str, refused))}" if refused else runs
        parked = Parked(f"{what}: {why}", now, state.desired.fingerprint)
    failures = Failures(count, now + wait if wait else None, record.failures.since or now)
    cause = record.intent.cause if record.intent else None
    what = f"{FAILED}{why}" + ("; parked" if parked and not record.parked else "")
    return note(replace(record, failures=failures, parked=parked), state, what, cause)
