"""The operation `delete`: a whole key whose entry is absent, or the slot that a key no longer needs."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.deliver import cleaned
from keyturn.core.machine.deliveries import doubted, recorded
from keyturn.core.machine.facts import found, intent_of, intent_slot, note, record_of
from keyturn.core.machine.guards import failed, relisted, seen, settled
from keyturn.core.machine.ownership import contested, drop_extra, gate, new_intent, release
from keyturn.core.machine.policy import Branch, Chain, when
from keyturn.core.machine.provenance import made
from keyturn.core.machine.retire import no_record
from keyturn.core.machine.strategy import single
from keyturn.core.model import Cause, SlotName
from keyturn.core.reasons import Reason
from keyturn.core.record import FORGOTTEN, Op, Record
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, DeleteKey, Write, WriteClaim, WriteRecord

# The entry says `state: absent`.


def forgetting(state: State) -> bool:
    """Tell whether an operator stops managing a key that has no entry any more."""
    return state.options.forget


def forgotten(state: State) -> bool:
    """Tell whether the open intent releases the key, and leaves everything alive."""
    cause = intent_of(state).cause
    return deleting(state) and cause is not None and cause.trigger == FORGOTTEN


def unfinished(state: State) -> Decision | None:
    """Forget no key with an open intent, before anything is written: nobody would finish what was begun."""
    record = state.record
    intent = record.intent if record and not record.deleted_at else None
    if intent is None or forgotten(state):
        return None
    slot = f" of slot {intent.slot}" if intent.slot else ""
    why = f"run {intent.run} left an open {intent.op}{slot}; nobody would finish it"
    return End(Reason.FORGET_UNFINISHED, why, since=intent.since)


def old_secret(state: State) -> Decision | None:
    """Forget no key with an old or leaked secret that is to die, unless an operator leaves it alive."""
    record = state.record
    if record is None or record.deleted_at or state.options.leave_old:
        return None
    left = _left_alive(record)
    return End(Reason.OLD_SECRET_LEFT, f"{left}; nobody would kill it") if left else None


def _left_alive(record: Record) -> str:
    """Say which secret is to die and still works; empty if none."""
    retire, asked = record.retire, record.requested
    if retire and retire.slot is not record.live and (slot := record.slot(retire.slot)):
        return f"the old secret of slot {retire.slot} ({slot.name}) still works"
    return "the secret that was reported as compromised still works" if asked and asked.compromised else ""


def deleting(state: State) -> bool:
    """Tell whether a delete of the whole key is open."""
    intent = record_of(state).intent
    return intent is not None and intent.op is Op.DELETE and intent.slot is None


def consent(state: State) -> Decision | None:
    """Delete no API key unless this run may."""
    uuids = [uuid for uuid in record_of(state).uuids if state.observed.key(uuid)]
    if not uuids or state.options.allow_delete or state.desired.retain:
        return None
    why = f"its {len(uuids)} API key(s) are to be deleted"
    return End(Reason.DELETE_NEEDS_CONSENT, why)


def open_delete(state: State) -> Decision | None:
    """Open the intent over whatever is open; the trace of an open create goes into it."""
    intent = record_of(state).intent
    shown = Planned(Change.RECORD, "absent", "starts to remove the key")
    cause = None
    if state.desired.retain:
        cause = Cause(FORGOTTEN, state.options.by, state.options.reason, _leaves(state))
        shown = Planned(Change.RECORD, "forgets", f"stops managing the key; {cause.evidence}")
    creating = intent if intent and intent.op is Op.CREATE else None
    fresh = new_intent(state, Op.DELETE, nonce=creating.nonce if creating else "", cause=cause)
    fresh = replace(fresh, digest=intent.digest if intent else None)
    if creating:
        fresh = replace(fresh, spare=creating.spare, since=min(creating.since, fresh.since))
    deliveries = doubted(state) if intent else record_of(state).deliveries
    return WriteRecord(replace(record_of(state), intent=fresh, deliveries=deliveries), Write.OPEN, shown)


def _leaves(state: State) -> str:
    """Say what stays as it is."""
    record = record_of(state)
    keys = [f"{slot.name} ({slot.uuid})" for slot in record.slots.values()]
    places = [str(item.delivery) for item in record.deliveries if item.digest]
    parts = [f"the API key{'s' if len(keys) > 1 else ''} {', '.join(keys)}"] if keys else []
    parts += [f"the secret at {', '.join(places)}"] if places else []
    left = f"; {old}" if (old := _left_alive(record)) else ""
    return (f"left as they are: {' and '.join(parts)}" if parts else "it has no API key and no delivery") + left


ABSENT: Chain = (
    no_record,
    Branch("delete-key", when=deleting),
    consent,
    settled,
    when(found, relisted),
    open_delete,
)


# Under an open `delete` of the whole key.


def cleans(state: State) -> bool:
    """Tell whether the entry wants its secret removed from the targets."""
    return state.desired.clean_targets and not state.desired.retain


def release_keys(state: State) -> Decision | None:
    """Delete each API key and release its claim, the live one last; a retained one is only released."""
    record = record_of(state)
    slots = [(name, record.slots[name].uuid) for name in sorted(record.slots, key=lambda name: name is record.live)]
    for name, uuid in (*slots, *((lost.name, lost.slot.uuid) for lost in record.gone)):
        if decision := release_key(state, uuid, name):
            return decision
    return None


def release_key(state: State, uuid: str, name: SlotName) -> Decision | None:
    """Delete one API key unless it is retained or gone, then release its claim."""
    if not state.desired.retain and state.observed.key(uuid):
        if decision := gate(state, [uuid]):
            return decision
        return DeleteKey(
            uuid, Planned(Change.DELETE, "absent", f"deletes the API key in slot {name}", slot=name, uuid=uuid)
        )
    return release(state, uuid)


def left_behind(state: State) -> Decision | None:
    """Delete what an unanswered create may have left behind: it carries our nonce, and is in no record."""
    ours = {slot.uuid for slot in record_of(state).slots.values()}
    extra = next((key for key in made(state) if key.uuid not in ours), None)
    if extra is None:
        return None
    return release(state, extra.uuid) or drop_extra(state, extra, "an answer to a create was lost")


def untaken_spare(state: State) -> Decision | None:
    """Release the claim on a spare that the intent names and the record never took."""
    spare = intent_of(state).spare
    return release(state, spare, spare=True) if spare and spare not in record_of(state).uuids else None


def tombstone(state: State) -> Decision | None:
    """Leave a tombstone, so that the versions of the record go on counting."""
    gone = replace(
        record_of(state),
        slots={},
        gone=(),
        deliveries=(),
        live=None,
        intent=None,
        retire=None,
        handoff=None,
        requested=None,
        parked=None,
        deleted_at=state.clock.now,
    )
    if not state.desired.retain:
        return WriteRecord(note(gone, state, "deleted", Cause("entry")), Write.COMMIT)
    cause = intent_of(state).cause or Cause(FORGOTTEN, state.options.by, state.options.reason)
    return WriteRecord(note(gone, state, "forgotten; nothing else was touched", cause), Write.COMMIT)


DELETE_KEY: Chain = (
    failed(Reason.DELETE_FAILED),
    settled,
    when(found, relisted),
    when(cleans, seen(recorded)),
    when(cleans, cleaned(recorded)),
    release_keys,
    left_behind,
    untaken_spare,
    tombstone,
)


# Under an open `delete` of a key that has an entry.


def taken_back(state: State) -> bool:
    """Tell whether nothing is to be dropped: the entry is wanted again, or the slot is live by now."""
    record, slot = record_of(state), intent_of(state).slot
    return record.slot(record.live) is None or slot in {None, record.live}


def close_taken_back(state: State) -> Decision | None:
    """Close the intent; what was removed meanwhile is not known any more, so each delivery is read again."""
    unsure = tuple(item if item.marked else replace(item, digest=None) for item in doubted(state))
    return WriteRecord(replace(record_of(state), intent=None, deliveries=unsure), Write.CLOSE)


def claimed_again(state: State) -> Decision | None:
    """Claim again what this key released while it was being forgotten; stop if another key has claimed it since.

    Only a claim that names this key is taken again: a record alone is no proof that an API key is this key's.
    """
    for uuid in sorted(record_of(state).uuids):
        if needs := contested(state, uuid):
            return needs
        found = state.observed.claims[uuid]
        if found and found.released_at and (found.owner, found.key) == (state.desired.owner, state.desired.id):
            shown = Planned(Change.ADOPT, "claims", f"claims the API key {uuid} again", uuid=uuid)
            return WriteClaim(replace(found, released_at=None), shown)
    return None


TAKEN_BACK: Chain = (
    when(deleting, relisted),
    when(deleting, left_behind),
    untaken_spare,
    when(forgotten, claimed_again),
    close_taken_back,
)


def drop_slot(state: State) -> Decision | None:
    """Delete the API key of the slot, then release its claim."""
    slot, name = intent_slot(state), intent_of(state).slot
    return release_key(state, slot.uuid, name) if slot and name else None


def commit(state: State) -> Decision | None:
    """Keep the live slot alone: from `alternating` back to `in-place`."""
    return WriteRecord(single(record_of(state), state), Write.COMMIT)


DELETE: Chain = (
    failed(Reason.DELETE_FAILED),
    settled,
    Branch("taken-back", when=taken_back),
    drop_slot,
    commit,
)
