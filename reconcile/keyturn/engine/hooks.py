"""The hook of a key: a program that is run after each verified delivery, so that consumers read the new secret.

The commit of a delivery marks its record (`Record.hook_due`) in the same write; a hook that succeeds clears the mark.
After a run that was killed in between, the next run calls the hook; it may do so a second time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from keyturn.core.errors import Conflict, KeyturnError
from keyturn.core.model import DesiredKey
from keyturn.core.reasons import Reason
from keyturn.core.record import Record
from keyturn.core.results import HOOK, Change, End, KeyReport, Planned, Progress, by_urgency
from keyturn.core.world import World
from keyturn.engine import programs

TRIES = 3
AT_ONCE = 8
"""Programs that run at the same time, however many keys are at work."""
_places = threading.BoundedSemaphore(AT_ONCE)


def due(desired: DesiredKey, record: Record | None) -> bool:
    """Tell whether the hook of an entry has to run: a delivery was committed, and every place holds the live secret."""
    if desired.hook is None or desired.absent or record is None or record.deleted_at or not record.hook_due:
        return False
    held = [state.digest if (state := record.delivery(place)) else None for place in desired.deliveries]
    return record.intent is None and record.live_digest is not None and set(held) == {record.live_digest}


def after_delivery(
    world: World, desired: DesiredKey, report: KeyReport, listener: Callable[[Progress], None]
) -> KeyReport:
    """Run the hook if it is due, and return the report with its failure, if it failed. Nothing is undone.

    Raises nothing: a mark that cannot be cleared lets the next run repeat the hook.
    """
    record, hook = report.record, desired.hook
    if record is None or hook is None or not due(desired, record):
        return report
    if not hook.allowed:
        return _failed(report, "the operator does not permit this program")
    listener(Progress(desired.id, "runs the hook after the delivery", world.now()))
    with _places:
        failure = programs.run(hook.command, variables(desired, record), seconds=hook.timeout)
    if failure:
        return _failed(report, failure)
    _clear(world, record)
    return replace(report, done=(*report.done, Planned(Change.RECORD, HOOK, "ran the hook after the delivery")))


def variables(desired: DesiredKey, record: Record) -> dict[str, str]:
    """Return the variables that a hook gets besides PATH; no secret is among them."""
    return {
        "KEYTURN_KEY": desired.id,
        "KEYTURN_OWNER": desired.owner,
        "KEYTURN_GENERATION": str(record.generation),
        "KEYTURN_PLACES": "\n".join(map(str, desired.deliveries)),
    }


def _clear(world: World, done: Record) -> None:
    """Remove the mark, unless a delivery was committed after the one that the hook ran for."""
    for _ in range(TRIES):
        try:
            stored = world.read_record(done.key)
            now = stored.record
            if now is None or not now.hook_due or _commit(now) != _commit(done):
                return
            world.write_record(replace(now, hook_due=False), stored.version)
        except Conflict:
            continue
        except KeyturnError:
            return
        return


def _commit(record: Record) -> object:
    """Return what tells one commit of a delivery from another."""
    return record.generation, [(item.delivery, item.digest, item.version, item.at) for item in record.deliveries]


def _failed(report: KeyReport, why: str) -> KeyReport:
    record = report.record
    # Nothing records the failure itself: it has been so since the delivery after which the hook is due.
    since = max((item.at for item in record.deliveries if item.at), default=None) if record else None
    text = f"the hook after the delivery failed: {why}; the delivery itself is complete"
    end = End(Reason.HOOK_FAILED, text, since=since)
    return replace(report, conditions=by_urgency((*(report.conditions or (report.end,)), end)))
