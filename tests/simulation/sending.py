"""What must hold when a mutating call goes out, whatever becomes of it."""

from __future__ import annotations

import hashlib
from functools import cache

from keyturn.core.errors import Ambiguous, KeyturnError, NotAccepted, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.model import Delivery
from keyturn.core.record import Intent, Op, Record
from tests.simulation.faults import Class
from tests.simulation.marking import DELAYED, MARKED
from tests.simulation.naming import real
from tests.simulation.universe import Universe

MAX_MINTS = 3
MAX_ROLLOUTS = 2
MAX_SKEW = 60.0
"""Seconds by which a wall clock may be off that mints or retires."""


@cache
def chance(number: int, size: int) -> str:
    """Return hex digits that look random, and are the same in every replay."""
    return hashlib.shake_256(str(number).encode()).hexdigest(size)


def error(where: str, *, ambiguous: bool) -> KeyturnError:
    """Return what is raised where the API or a target has no answer, or a definite no."""
    if where == "api":
        return Ambiguous("no answer", status=500) if ambiguous else NotAccepted("refused", status=422)
    return TargetUnavailable("no answer", where=where, ambiguous=ambiguous)


def _record(universe: Universe) -> Record | None:
    return universe.records.get("main", (None, 0))[0]


def _intent(universe: Universe) -> Intent | None:
    record = _record(universe)
    return record.intent if record else None


def provable(universe: Universe) -> bool:
    """Tell whether the open intent is to kill a secret that some earlier version of a field still shows."""
    record, intent = _record(universe), _intent(universe)
    slot = record.slot(intent.slot) if record and intent and intent.op is Op.RETIRE else None
    return slot is not None and slot.digest is not None and any(item.version for item in slot.held_in)


def alone(universe: Universe, run: str, where: str) -> None:
    """Check that the open intent is this run's (I6)."""
    if not any(record.intent and record.intent.run == run for record, _ in universe.records.values()):
        universe.blame(f"I6: {run} changed the {where} while another run held the key")


def unheard(universe: Universe, kind: Class, where: str, unanswered: int) -> None:
    """Check that a run does not send again and again what has no answer, and sets something off."""
    if kind is Class.MINT and unanswered >= MAX_MINTS:
        universe.blame("a fourth mint after three without an answer in one run")
    if kind is Class.DELIVER and where == DELAYED and unanswered >= MAX_ROLLOUTS:
        universe.blame("a third write that starts a rollout, after two without an answer in one run")


def mint(universe: Universe, skew: float) -> None:
    """Check a mint: the intent is written, the clock right, the key not parked.

    A retire is no mint of a parked key: it throws its secret away.
    """
    minting = {Op.CREATE, Op.ROTATE, Op.RETIRE}
    open_ones = [one for one, _ in universe.records.values() if one.intent and one.intent.op in minting]
    record = next(iter(open_ones), None)
    intent = record.intent if record else None
    if record is None or intent is None:
        universe.blame("a mint without an intent that says so")
        return
    if abs(skew) > MAX_SKEW:
        universe.blame(f"a {intent.op} by a clock that is {skew:+.0f} s off")
    if record.parked and intent.op is not Op.RETIRE:
        universe.blame("a mint of a parked key")
    # Only where there is something already can be tried whether it can be written over.
    filled = [place for place in universe.wanted if universe.fields.get(place)]
    closed = sorted(str(place) for place in filled if place.target in universe.readonly)
    if intent.op is Op.ROTATE and closed:
        universe.blame(f"a mint although {closed[0]} cannot be written")
    barred = sorted(map(str, universe.refused & universe.wanted))
    if barred and all(place.target in MARKED for place in universe.wanted):
        universe.blame(f"a mint although {barred[0]} refused the secret before for certain")


def removal(universe: Universe, delivery: Delivery) -> None:
    """Check a removal: where the key lives on, each place that it has now holds a secret that lasts, and keeps it."""
    if real(delivery) in universe.wanted and not universe.two_types:
        universe.blame(f"I2: {delivery} was emptied, which the entry names")
    if not universe.lasting(universe.held(delivery)):
        return
    if any(not universe.lasting(universe.fields.get(place, "")) for place in universe.wanted):
        universe.blame(f"I2: {delivery} was emptied before the other places had the secret")


def _source(universe: Universe, value: str) -> None:
    """Check that a place which cannot be read gets only what a readable one has, where one is to have it."""
    readable = [place for place in universe.wanted if place.target not in MARKED]
    intent = _intent(universe)
    if intent is None or intent.op is not Op.ROTATE or not universe.steady or not readable:
        return
    if all(universe.fields.get(place) != value for place in readable):
        universe.blame("I3: a place that cannot be read got a secret before a readable one could give it back")


def admit(universe: Universe, delivery: Delivery) -> None:
    """Refuse a write for certain if the target is barred, and remember it. To what is gone nothing is sent."""
    if delivery.target in universe.shut:
        raise TargetMisfit("there is no such part", where=str(delivery))
    if delivery.target in universe.barred:
        universe.refused |= {delivery}
        raise TargetForbidden("this login may not write", where=str(delivery))


def fill(universe: Universe, delivery: Delivery, value: str) -> None:
    """Check a write: what lasts is not replaced by what is dead."""
    if value and delivery.target in MARKED:
        _source(universe, value)
    if value and universe.stranger(value):
        universe.blame(f"I9: a value of another system was copied to {delivery}")
    held = universe.fields.get(delivery, "")
    if value and universe.lasting(held) and not universe.lasting(value):
        universe.blame(f"I2: a dead secret was written over a good one in {delivery}")
