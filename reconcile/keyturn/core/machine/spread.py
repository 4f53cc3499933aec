"""Bring one secret to every delivery: to all at once, then to each on its own until the deadline."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.deliveries import never_ours, places, wanted
from keyturn.core.machine.facts import compromised, intent_of, protects, record_of
from keyturn.core.machine.guards import seen
from keyturn.core.machine.policy import Chain, when
from keyturn.core.machine.source import ready_secret
from keyturn.core.model import Delivery
from keyturn.core.record import Op
from keyturn.core.results import Change, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Deliver, Wait, Write, WriteRecord

LONGEST_PAUSE = 10.0


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
    return (spread.attempted and hurried) or late or not pending(state)


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
    return _deliver(state)


def next_try(state: State) -> Decision | None:
    """After a pause, deliver to those that can be read and still lack it."""
    return _deliver(state) if state.run.attempt.spread.paused and not over(state) and _readable(state) else None


def pause(state: State) -> Decision | None:
    """Wait longer before each try."""
    if over(state):
        return None
    longest = max(LONGEST_PAUSE, state.desired.timing.delivery / 30)
    seconds = min(2.0 ** min(state.run.attempt.spread.tries, 16) / 2, longest)
    return Wait(seconds, f"waiting to deliver again to {', '.join(map(str, pending(state)))}")


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
    next_try,
    pause,
)


def _readable(state: State) -> tuple[Delivery, ...]:
    return tuple(item for item in pending(state) if not state.observed.readings[item].problem)


def _deliver(state: State) -> Decision:
    return Deliver(carried(state), tuple(_shown(state, item) for item in _readable(state)))


def _shown(state: State, item: Delivery) -> Planned:
    held = state.observed.readings[item].digest
    code, why = ("fills", "holds nothing yet") if held is None else ("replaces", "holds another secret")
    return Planned(Change.DELIVER, code, f"delivers to {item}, which {why}", delivery=item)
