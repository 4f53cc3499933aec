"""What several policies want to know of a state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from keyturn.core import schedule
from keyturn.core.model import UNJUDGED, Cause, Event, Freeze, SlotName, Verdict
from keyturn.core.record import HISTORY, Intent, Record, Slot
from keyturn.core.state import State


def record_of(state: State) -> Record:
    """Return the record of a policy that is asked only if there is one."""
    if state.record is None:
        message = "this policy needs a record"
        raise AssertionError(message)
    return state.record


def intent_of(state: State) -> Intent:
    """Return the open intent of a policy that is asked only under one."""
    intent = record_of(state).intent
    if intent is None:
        message = "this policy needs an open intent"
        raise AssertionError(message)
    return intent


def together(texts: Iterable[str]) -> str:
    """Join texts by semicolons; only the last keeps its full stop."""
    *others, last = (*texts,) or ("",)
    return "; ".join((*(text.rstrip(".") for text in others), last))


def idle(state: State) -> bool:
    """Tell whether no intent is open."""
    return record_of(state).intent is None


def intent_slot(state: State) -> Slot | None:
    """Return the slot that the open intent is about, None if the record does not have it."""
    return record_of(state).slot(intent_of(state).slot)


def note(
    record: Record,
    state: State,
    what: str,
    cause: Cause | None = None,
    *,
    slot: SlotName | None = None,
    generation: int | None = None,
    proof: str = "",
) -> Record:
    """Add an event to the record's history."""
    by = state.options.by or state.run.id
    event = Event(state.clock.now, what, by, cause, slot, generation, proof)
    return replace(record, history=(*record.history, event)[-HISTORY:])


def retire_frozen(state: State) -> Freeze | None:
    """Return the freeze that delays a retire now, None if nothing does.

    A retire kills a secret that a forgotten consumer may still use, and in a freeze nobody looks after that. A
    compromised secret dies all the same, and so does one that stands in the way of a rotation that was asked for.
    """
    record, options = record_of(state), state.options
    wanted = (options.rotate and not state.run.honoured) or record.requested is not None
    triggered = bool(state.desired.trigger) and state.desired.trigger != record.trigger
    if wanted or triggered or record.live_digest is None or record.retire is None or record.retire.at_once:
        return None
    freezes = schedule.counting(state.desired.rotation.freezes, record.retire.at)
    return schedule.frozen(freezes, state.clock.now)


def retire_at(state: State) -> datetime | None:
    """Return when the old secret may be retired, after a freeze that delays it; None if there is none."""
    retire = record_of(state).retire
    if retire is None or retire.at_once:
        return retire.at if retire else None
    return schedule.thawed(schedule.counting(state.desired.rotation.freezes, retire.at), retire.at)


def found(state: State) -> bool:
    """Tell whether the open intent was found, not written by this pass: its mint may have been sent (rule 1)."""
    return state.run.attempt.found


def verdict(state: State, digest: str | None) -> Verdict | None:
    """Return what a smoke-check of this run said of a secret."""
    result = state.observed.verdicts.get(digest) if digest else None
    return result.verdict if result else None


def unjudged(state: State, digest: str) -> bool:
    """Tell whether a smoke-check left open if the API knows a secret; a quota may be used up for any secret."""
    result = state.observed.verdicts[digest]
    return result.verdict in UNJUDGED or (result.verdict is Verdict.QUOTA and not result.models)


def compromised(state: State) -> bool:
    """Tell whether a rotation was asked for because the secret leaked: the old one has to die soon."""
    record, options = record_of(state), state.options
    asked = record.requested is not None and record.requested.compromised
    return asked or (options.rotate and options.compromised and not state.run.honoured)


def protects(state: State) -> bool:
    """Tell whether the live secret stays untouched by the open mint, so that delivery can wait for the proof."""
    record = record_of(state)
    return record.live is not None and intent_of(state).slot is not record.live
