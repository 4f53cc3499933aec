"""Bring one secret to every delivery: to all at once, then to each on its own until the deadline."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.deliveries import never_ours, places, refuses, unknown, unwritten, wanted
from keyturn.core.machine.facts import compromised, intent_of, protects, record_of, verdict
from keyturn.core.machine.guards import seen
from keyturn.core.machine.policy import Chain, when
from keyturn.core.machine.source import ready_secret
from keyturn.core.model import Delivery, Verdict
from keyturn.core.record import DeliveryState, Op
from keyturn.core.results import Change, Planned
from keyturn.core.state import Reading, State
from keyturn.core.steps import Decision, Deliver, Wait, Write, WriteRecord

LONGEST_PAUSE = 10.0
UNANSWERED = 2
"""How many writes of one run may set something off and have no answer."""


def carried(state: State) -> str:
    """Return the digest that is delivered: under `deliver` the live secret's, otherwise that of the open mint."""
    record = record_of(state)
    digest = record.live_digest if intent_of(state).op is Op.DELIVER else ready_secret(state)
    if digest is None:
        message = "nothing is in hand that could be delivered"
        raise AssertionError(message)
    return digest


def pending(state: State) -> tuple[Delivery, ...]:
    """Return the deliveries that do not hold it yet, as read."""
    digest = carried(state)
    return tuple(item for item in places(state) if state.observed.readings[item].digest != digest)


def over(state: State) -> bool:
    """Tell whether delivering is over: all hold it, or this run's time is up.

    A compromised secret has to die: before that, its replacement gets one try.
    """
    spread = state.run.attempt.spread
    hurried = compromised(state) and intent_of(state).op is Op.ROTATE and protects(state)
    late = spread.until is not None and state.clock.uptime >= spread.until
    return (spread.attempted and hurried) or late or all(exhausted(state, item) for item in pending(state))


def exhausted(state: State, delivery: Delivery) -> bool:
    """Tell whether this run writes there no more: each write sets off a deployment of someone's app.

    What a write-only delivery refuses for certain it refuses until an operator acts. So does what may not be read; but
    a secret that only this run has waits for that, as long as it can.
    """
    reading = state.observed.readings[delivery]
    if refuses(state, delivery) or (reading.refuses and intent_of(state).op is Op.DELIVER):
        return True
    return bool(reading.consequence) and state.run.unsure.get(delivery, 0) >= UNANSWERED


def noted(state: State) -> Decision | None:
    """Write the digest of the new secret into the intent: from then on a delivery that holds it is a source."""
    intent, digest = intent_of(state), carried(state)
    if intent.digest == digest:
        return None
    return WriteRecord(replace(record_of(state), intent=replace(intent, digest=digest)), Write.NOTE)


def first_try(state: State) -> Decision | None:
    """Deliver to all at once; also if nothing can be read: the first try starts the deadline."""
    if state.run.attempt.spread.attempted or not pending(state):
        return None
    return _deliver(state, _due(state))


def handed_on(state: State) -> Decision | None:
    """Deliver to the write-only ones that came after a readable one, which has it now."""
    spread = state.run.attempt.spread
    due = tuple(item for item in _due(state) if state.observed.readings[item].marked)
    return _deliver(state, due) if due and spread.attempted and not spread.handed_on else None


def next_try(state: State) -> Decision | None:
    """After a pause, deliver to those that can be read and still lack it."""
    due = _due(state)
    return _deliver(state, due) if state.run.attempt.spread.paused and not over(state) and due else None


def pause(state: State) -> Decision | None:
    """Wait longer before each try."""
    if over(state):
        return None
    longest = max(LONGEST_PAUSE, state.desired.timing.delivery / 30)
    seconds = min(2.0 ** min(state.run.attempt.spread.tries, 16) / 2, longest)
    whys = (unwritten(state, item) or state.observed.readings[item].problem for item in pending(state))
    why = "" if state.run.attempt.spread.tries else "; ".join(filter(None, dict.fromkeys(whys)))  # it is told once
    waits = f"waiting to deliver again to {', '.join(map(str, pending(state)))}"
    return Wait(seconds, f"{waits}: {why}" if why else waits)


def creates(state: State) -> bool:
    """Tell whether the secret is a new API key's: nobody relies on it yet, so it is noted before anyone gets it."""
    return intent_of(state).op is Op.CREATE


def rotates(state: State) -> bool:
    """Tell whether the secret replaces another: it is noted after the first try, so that no outage is longer by it.

    It is noted before the retries, so that a crash during them finds its source.
    """
    return intent_of(state).op is Op.ROTATE


def first_there(state: State) -> bool:
    """Tell whether the secret replaces another, and goes to a delivery that never had one of ours.

    It is noted before: only by its digest does the next run know what it finds there.
    """
    return rotates(state) and never_ours(state, pending(state))


SPREAD: Chain = (
    seen(wanted),
    when(creates, noted),
    when(first_there, noted),
    first_try,
    when(rotates, noted),
    handed_on,
    next_try,
    pause,
)


def _due(state: State) -> tuple[Delivery, ...]:
    """Return the deliveries that lack it, can be read, and may get it now.

    A write-only one cannot give it back. If the live secret works meanwhile, a readable one gets the new one before: so
    a run that dies leaves a source, and nothing that consumers use has to be minted again.
    """
    readings, digest = state.observed.readings, carried(state)
    due = tuple(item for item in pending(state) if not (readings[item].problem or exhausted(state, item)))
    sources = [item for item in places(state) if not readings[item].marked]
    hurried = compromised(state) or intent_of(state).op is Op.DELIVER or not protects(state)
    if hurried or not sources or any(readings[item].digest == digest for item in sources):
        return due
    return tuple(item for item in due if item in sources)


def _deliver(state: State, due: tuple[Delivery, ...]) -> Decision:
    """Deliver, to the readable ones first; before the first write to a write-only one note that it may be there.

    Nothing else will tell.
    """
    due = tuple(sorted(due, key=lambda item: state.observed.readings[item].marked))
    record, marked = record_of(state), [item for item in due if state.observed.readings[item].marked]
    begun = {item.delivery for item in record.deliveries if item.begun}
    first = tuple(item for item in marked if item not in begun and never_ours(state, [item]))
    if not first:
        return Deliver(carried(state), tuple(_shown(state, item) for item in due))
    ours = (replace(record.delivery(item) or DeliveryState(item), marked=True, begun=True) for item in first)
    others = (item for item in record.deliveries if item.delivery not in first)
    return WriteRecord(replace(record, deliveries=(*others, *ours)), Write.NOTE)


def _shown(state: State, item: Delivery) -> Planned:
    reading = state.observed.readings[item]
    code, why = ("fills", "holds nothing yet") if reading.digest is None else ("replaces", "holds another secret")
    then = f"; {reading.consequence}{_meanwhile(state, reading)}" if reading.consequence else ""
    return Planned(
        Change.DELIVER, code, f"delivers to {item}, which {why}{then}", delivery=item, consequence=reading.consequence
    )


def _meanwhile(state: State, reading: Reading) -> str:
    """Say what consumers of a place use until what a write sets off is active; empty if they have had nothing there."""
    if reading.digest is None:
        return ""
    if unknown(reading):
        return "; its consumers use what someone wrote there until it is active"
    minted = None if intent_of(state).op is Op.DELIVER else intent_of(state).slot
    alive = {slot.digest for name, slot in record_of(state).slots.items() if name is not minted}
    if reading.digest in alive and not compromised(state) and verdict(state, reading.digest) is not Verdict.REFUSED:
        return "; the old secret lives until it is active"
    return "; its consumers are refused until it is active"
