"""PURE: one key as `status` shows it, from its conditions, its record and what was read now."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from keyturn.core import schedule
from keyturn.core.model import DesiredKey, Rotation
from keyturn.core.reasons import mixed
from keyturn.core.record import Record
from keyturn.core.results import End, KeyStatus
from keyturn.core.state import Reading, State


def retire_at(record: Record, rotation: Rotation) -> datetime | None:
    """Return when the old secret may be retired, after a freeze that delays it; None if there is none."""
    if record.retire is None or record.retire.at_once:
        return record.retire.at if record.retire else None
    return schedule.thawed(schedule.counting(rotation.freezes, record.retire.at), record.retire.at)


def status(
    desired: DesiredKey, conditions: tuple[End, ...], record: Record | None, seen: State | None, now: datetime
) -> KeyStatus:
    """Return the status of a key; `seen` None: it could not be observed, so the record is all that is known."""
    first = conditions[0]
    base = KeyStatus(
        key=desired.id,
        name=desired.name,
        condition=first.condition,
        why=first.why,
        strategy=desired.rotation.strategy,
        code=first.code,
        since=first.since,
        until=first.until,
        conditions=conditions,
        make=next((end.make for end in conditions if end.make), ()),
        exit_code=mixed(end.exit_code for end in conditions),
        owner=desired.owner,
    )
    if record is None or record.deleted_at:
        return base
    live, rotation = record.slot(record.live), desired.rotation
    minted = live.minted_at if live else None
    readings = seen.observed.readings if seen else {}
    verdicts = seen.observed.verdicts if seen else {}
    places = desired.deliveries or tuple(item.delivery for item in record.deliveries)
    read = {place: found for place in places if (found := readings.get(place)) and not found.problem}
    held = {item.delivery: Reading(item.digest) for item in record.deliveries} | read
    return replace(
        base,
        strategy=record.strategy,
        live=record.live,
        uuids=tuple((name, slot.uuid) for name, slot in record.slots.items()),
        generation=record.generation,
        minted_at=minted,
        next_rotation_at=schedule.next_rotation(rotation, minted, now) if rotation.every and minted else None,
        retire_at=retire_at(record, rotation),
        requested=record.requested is not None,
        deliveries=tuple(
            (place, record.live_digest is not None and held.get(place, Reading()).digest == record.live_digest)
            for place in places
        ),
        read=len(read) == len(places) and bool(places),
        verdict=verdicts.get(record.live_digest or ""),
        results=tuple(
            (place, result)
            for place, found in read.items()
            if (result := verdicts.get(found.digest or "")) and not found.marked
        ),
        untried=tuple(place for place, found in read.items() if found.marked and found.digest == record.live_digest),
        problems=(record.unverified,) if record.unverified else (),
        recorded_at=record.history[-1].at if record.history else None,
    )
