"""What a plan with `verify` says of a key, against what is true in the simulated world."""

from __future__ import annotations

from keyturn.core.model import DesiredKey, Timing
from keyturn.core.reasons import Reason
from keyturn.core.results import Options
from keyturn.engine.planning import Planning, plan_key
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld


def told(universe: Universe, desired: DesiredKey, timing: Timing) -> None:
    """Check that no dead secret is called good, and no good one dead; and that nothing is written for it."""
    reader = SimWorld(universe, {}, timing)
    before, good = _harmed(universe, desired), _all_accepted(universe, desired)
    found = plan_key(reader, desired, Options(verify=True))
    after = _harmed(universe, desired)  # a secret may become good, or die, while it is looked at
    if reader.changes:
        universe.blame("I7: a plan wrote")
    if _ours(found, desired) and before & after and not found.plan.now.exit_code:
        universe.blame(f"status: {found.plan.now.code} although {', '.join(sorted(before & after))} cannot be used")
    if found.plan.now.code is Reason.REFUSED and good and _all_accepted(universe, desired):
        universe.blame("status: refused although every delivery holds a secret that the API accepts")
    if found.plan.now.code in {Reason.DRIFTED, Reason.EMPTIED} and _as_recorded(desired, found):
        universe.blame(f"status: {found.plan.now.code} although every delivery holds the live secret")


def _harmed(universe: Universe, desired: DesiredKey) -> frozenset[str]:
    """Return the entry's deliveries that hold nothing that the API accepts, and that a record knows."""
    record, _ = universe.records.get(desired.id, (None, 0))
    if record is None or desired.absent or record.live_digest is None:
        return frozenset()
    return frozenset(
        str(place)
        for place in desired.deliveries
        if record.delivery(place) and not universe.accepted(universe.held(place))
    )


def _all_accepted(universe: Universe, desired: DesiredKey) -> bool:
    """Tell whether every delivery of the entry holds a secret that the API accepts, also one that is new in it."""
    return all(universe.accepted(universe.held(place)) for place in desired.deliveries)


def _ours(found: Planning, desired: DesiredKey) -> bool:
    """Tell whether the record is this entry's and its key is to be kept."""
    record = found.record
    return record is not None and record.owner == desired.owner and not (record.deleted_at or desired.absent)


def _as_recorded(desired: DesiredKey, found: Planning) -> bool:
    seen, record = found.seen, found.record
    if seen is None or record is None:
        return False
    readings = seen.observed.readings
    return all(place in readings and readings[place].digest == record.live_digest for place in desired.deliveries)
