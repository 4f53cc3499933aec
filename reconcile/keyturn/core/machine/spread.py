"""Bring one secret to every delivery: all at once, then each on its own until the deadline."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.common import compromised, intent_of, look, places, protects, write
from keyturn.core.model import Delivery
from keyturn.core.record import Op
from keyturn.core.results import Change, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, Deliver, Wait, Write

LONGEST_PAUSE = 10.0


def spread(state: State, digest: str) -> Decision | None:
    """Return the next step of delivering; None when all hold it, or the time is over and some stay pending."""
    run = state.run
    if reads := look(state, state.desired.deliveries):
        return reads
    ready = tuple(item for item in _pending(state, digest) if not state.observed.readings[item].problem)
    intent = intent_of(state)
    if intent.op is Op.CREATE and intent.digest != digest:
        # Nobody relies on a new key yet: its secret is traceable before anyone gets it.
        return write(state, Write.NOTE, intent=replace(intent, digest=digest))
    if not run.attempted and _pending(state, digest):
        # Also where nothing can be read: the first try starts the deadline.
        return Deliver(digest, tuple(_shown(state, item) for item in ready))
    if intent.op is Op.ROTATE and intent.digest != digest:
        # After the first try, so that an outage is not longer by a write; before the retries, so that a crash during
        # them finds its source.
        return write(state, Write.NOTE, intent=replace(intent, digest=digest))
    pending = _pending(state, digest)
    if (
        not pending
        or (run.attempted and compromised(state) and intent.op is Op.ROTATE and protects(state))
        or (run.deliver_until is not None and state.clock.uptime >= run.deliver_until)
    ):
        return None
    if run.paused and ready:
        return Deliver(digest, tuple(_shown(state, item) for item in ready))
    longest = max(LONGEST_PAUSE, state.desired.timing.delivery / 30)
    pause = min(2.0 ** min(run.tries, 16) / 2, longest)
    return Wait(pause, f"waiting to deliver again to {', '.join(map(str, pending))}")


def _pending(state: State, digest: str) -> tuple[Delivery, ...]:
    return tuple(item for item in places(state) if state.observed.readings[item].digest != digest)


def _shown(state: State, item: Delivery) -> Planned:
    held = state.observed.readings[item].digest
    code, why = ("fills", "holds nothing yet") if held is None else ("replaces", "holds another secret")
    return Planned(Change.DELIVER, code, f"delivers to {item}, which {why}", delivery=item)
