"""A key whose id was renamed in the manifest: its record and claims go on under the new id; nothing else changes.

The old record says first where it moves to: from then on no run works on it. Then the new record is written as a copy
that says where it comes from, the claims follow one by one, the old record becomes a tombstone, and the new record
forgets where it came from. A run that finds any of these continues from there.
"""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.facts import note, record_of
from keyturn.core.machine.ownership import team
from keyturn.core.machine.policy import Chain, when
from keyturn.core.model import Cause
from keyturn.core.reasons import Reason
from keyturn.core.record import Record
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, LookClaim, LookSource, Relist, Write, WriteClaim, WriteRecord, WriteSource

MOVED = "moved"
"""The trigger of the events of a move."""


def old_id(state: State) -> str:
    """Return the id under which the record was, or is while it moves; empty if it does not move."""
    under_way = state.record.moved_from if _own(state) and state.record else ""
    return under_way or state.desired.moved_from


def concerned(state: State) -> bool:
    """Tell whether the entry says that its record has another id, or a move to it is under way."""
    return bool(old_id(state)) and (bool(state.desired.name) or state.desired.absent)


def moved_away(state: State) -> Decision | None:
    """Leave a record that is moving to another id."""
    record = state.record
    if record is None or record.deleted_at or not record.moved_to:
        return None
    return End(Reason.MOVED_AWAY, f"its record is moving to the key {record.moved_to!r}")


def read_source(state: State) -> Decision | None:
    """Read the record of the old id."""
    return LookSource(old_id(state)) if state.observed.source is None else None


def _source(state: State) -> Record | None:
    """Return the record of the old id, None if there is none or it is a tombstone."""
    record = state.observed.source.record if state.observed.source else None
    return None if record is None or record.deleted_at else record


def _own(state: State) -> bool:
    """Tell whether the key has a record."""
    return state.record is not None and state.record.deleted_at is None


def to_begin(state: State) -> bool:
    """Tell whether there is a record to move, and none in its way."""
    return not _own(state) and _source(state) is not None


def under_way(state: State) -> bool:
    """Tell whether the record was copied, and its old id still has to be left behind."""
    return _own(state) and record_of(state).moved_from != ""


def both(state: State) -> Decision | None:
    """Stop if both ids have a record that is not a copy of the other."""
    source = _source(state)
    if source is None or not _own(state) or source.owner != state.desired.owner:
        return None
    if under_way(state) and source.moved_to == state.desired.id:
        return None
    why = f"both {source.key!r} and {state.desired.id!r} have a record, so none can be moved"
    return End(Reason.MOVED_BOTH, why)


def others(state: State) -> Decision | None:
    """Move no record of another owner."""
    source = _source(state)
    if source is None or source.owner == state.desired.owner:
        return None
    why = f"the record of {source.key!r} belongs to {source.owner!r}, not to {state.desired.owner!r}"
    return End(Reason.MOVED_OF_OTHERS, why)


def same_team(state: State) -> Decision | None:
    """Move no record of another team."""
    found = team(replace(state, record=_source(state), options=replace(state.options, take_over=False)))
    return found if isinstance(found, End | Relist) else None


def unfinished(state: State) -> Decision | None:
    """Move no record with an open intent: the run that holds it may be at work."""
    source = _source(state)
    if source is None or source.intent is None:
        return None
    intent = source.intent
    why = f"run {intent.run} left an open {intent.op} in the record of {source.key!r}"
    return End(Reason.MOVE_UNFINISHED, why, since=intent.since)


def elsewhere(state: State) -> Decision | None:
    """Stop if the record is moving to a third id, or has not yet arrived at its own."""
    source = _source(state)
    if source is None:
        return None
    if source.moved_to not in {"", state.desired.id}:
        return End(Reason.MOVED_AWAY, f"the record of {source.key!r} is moving to the key {source.moved_to!r}")
    if source.moved_from:
        return End(Reason.MOVED_AWAY, f"the record of {source.key!r} is still being moved from {source.moved_from!r}")
    return None


def fence(state: State) -> Decision | None:
    """Say in the old record where it moves to: from then on no run works on it."""
    source = _source(state)
    if source is None or source.moved_to:
        return None
    why = f"moves the record from {source.key!r}: no API key and no delivery changes"
    return WriteSource(replace(source, moved_to=state.desired.id), Planned(Change.RECORD, "moves", why))


def copy(state: State) -> Decision | None:
    """Write the record under the new id."""
    source = _source(state)
    if source is None:
        return None
    # The id is a part of the entry's fingerprint; another id is no reason to unpark the key.
    parked = source.parked and replace(source.parked, fingerprint=state.desired.fingerprint)
    arrived = replace(source, key=state.desired.id, moved_from=source.key, moved_to="", parked=parked)
    return WriteRecord(
        note(arrived, state, f"moved from {source.key!r}", Cause(MOVED, by=state.options.by)), Write.KEEP
    )


def claims(state: State) -> Decision | None:
    """Move each claim of the old id; one that is another key's is left to the gate before a change."""
    record = record_of(state)
    old = (record.owner, record.moved_from)
    for uuid in sorted(record.uuids):
        if uuid not in state.observed.claims:
            return LookClaim(uuid)
        found = state.observed.claims[uuid]
        if found and not found.released_at and (found.owner, found.key) == old:
            shown = Planned(Change.ADOPT, "claims", f"moves the claim on the API key {uuid}", uuid=uuid)
            return WriteClaim(replace(found, key=record.key), shown)
    return None


def leave(state: State) -> Decision | None:
    """Turn the old record into a tombstone that says where it went."""
    source = _source(state)
    if source is None or source.owner != state.desired.owner:
        return None
    empty = Record(source.key, source.owner, source.digest_key, account=source.account, moved_to=source.moved_to)
    gone = replace(empty, history=source.history, deleted_at=state.clock.now)
    what = f"moved to {state.desired.id!r}"
    return WriteSource(
        note(gone, state, what, Cause(MOVED, by=state.options.by)), Planned(Change.RECORD, "moved", what)
    )


def arrive(state: State) -> Decision | None:
    """Forget where the record came from: the move is done."""
    return WriteRecord(replace(record_of(state), moved_from=""), Write.KEEP)


MOVE: Chain = (
    read_source,
    both,
    when(to_begin, others),
    when(to_begin, elsewhere),
    when(to_begin, same_team),
    when(to_begin, unfinished),
    when(to_begin, fence),
    when(to_begin, copy),
    when(under_way, claims),
    when(under_way, leave),
    when(under_way, arrive),
)
