"""The pool: a missing API key is taken from spares that an operator made beforehand, since the API creates none.

An open `create` intent names the spare. Then it is claimed (create-only: of two keys one gets it), written into the
record, renamed, and regenerated: the secret that the operator saw is dead before anyone relies on the key.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from keyturn.core.machine.facts import intent_of, intent_slot, note, record_of
from keyturn.core.machine.guards import relisted, settled
from keyturn.core.machine.ownership import claim, gated, release
from keyturn.core.machine.policy import Chain, when
from keyturn.core.model import ApiKey, SlotName
from keyturn.core.record import Intent, Retire, Slot
from keyturn.core.results import Change, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, LookClaim, Rename, Write, WriteRecord

POOL = "pool"
"""The code of a change that takes a spare."""


def from_pool(state: State, intent: Intent) -> Intent | LookClaim:
    """Name an unclaimed spare in a `create` intent, if there is one; or return the claim that has to be read first."""
    for spare in _spares(state):
        if spare.uuid not in state.observed.claims:
            return LookClaim(spare.uuid)
        if not _taken(state, spare.uuid):
            return replace(intent, spare=spare.uuid)
    return intent


# Under an open `create` that names a spare.


def names_spare(state: State) -> bool:
    """Tell whether the open `create` takes a spare."""
    return intent_of(state).spare != ""


def unrecorded(state: State) -> bool:
    """Tell whether the spare is not in the record yet."""
    return intent_slot(state) is None


def another_spare(state: State) -> Decision | None:
    """Name another spare: this one is another key's, or was deleted or renamed. Without one, create."""
    intent = intent_of(state)
    listed = state.observed.key(intent.spare)
    usable = listed is not None and (_is_spare(state, listed) or listed.name == _wanted_name(state))
    if usable and not _taken(state, intent.spare):
        return None
    if not _taken(state, intent.spare) and (decision := release(state, intent.spare, spare=True)):
        return decision
    again = from_pool(state, replace(intent, spare=""))
    return WriteRecord(replace(record_of(state), intent=again), Write.REOPEN) if isinstance(again, Intent) else again


def claim_spare(state: State) -> Decision | None:
    """Claim the spare: of two keys that want it, one gets it."""
    return claim(state, intent_of(state).spare)


def record_spare(state: State) -> Decision | None:
    """Write the spare down as the slot's API key."""
    slot, listed = intent_of(state).slot or SlotName.A, state.observed.key(intent_of(state).spare)
    if listed is None:
        return None
    prefix = state.desired.pool.prefix if state.desired.pool else ""
    why = f"takes a spare of the pool {prefix!r}; the secret that an operator saw dies"
    slots = record_of(state).with_slot(slot, Slot(listed.uuid, _wanted_name(state), listed.created_at))
    shown = Planned(Change.ADOPT, POOL, why, slot=slot)
    return WriteRecord(replace(record_of(state), slots=slots), Write.NOTE, shown)


def misnamed_spare(state: State) -> tuple[str, ...]:
    """Return the uuid of the spare if it still has its name in the pool."""
    slot = intent_slot(state)
    listed = state.observed.key(slot.uuid) if slot else None
    return (listed.uuid,) if slot and listed and listed.name != slot.name else ()


def rename_spare(state: State) -> Decision | None:
    """Rename the spare before its secret is made."""
    slot, name = intent_slot(state), intent_of(state).slot or SlotName.A
    listed = state.observed.key(slot.uuid) if slot else None
    if slot is None or listed is None or listed.name == slot.name:
        return None
    why = f"the spare {listed.name!r} becomes {slot.name!r}"
    return Rename(slot.uuid, slot.name, Planned(Change.RENAME, "spare", why, slot=name, uuid=slot.uuid))


def spare_standby(state: State) -> Decision | None:
    """A new standby: nobody needs its secret, so it is regenerated and thrown away by a retire."""
    record, slot, name = record_of(state), intent_slot(state), intent_of(state).slot or SlotName.A
    if slot is None or record.live is None or name is record.live:
        return None
    retire = record.retire or Retire(name, state.clock.now)
    taken = replace(record, intent=None, retire=retire)
    return WriteRecord(
        note(taken, state, f"took the spare {slot.uuid} as slot {name}", intent_of(state).cause, slot=name),
        Write.COMMIT,
    )


SPARE: Chain = (
    settled,
    relisted,
    when(unrecorded, another_spare),
    when(unrecorded, claim_spare),
    when(unrecorded, record_spare),
    gated(misnamed_spare),
    rename_spare,
    spare_standby,
)


def _wanted_name(state: State) -> str:
    return state.name_of(intent_of(state).slot or SlotName.A)


def _spares(state: State) -> list[ApiKey]:
    """Return the spares, in an order of this key's own, so that keys seldom want the same one."""
    ours = state.record.uuids if state.record else frozenset()
    mine = f"{state.desired.owner} {state.desired.id} "
    spares = [key for key in state.observed.keys if _is_spare(state, key) and key.uuid not in ours]
    return sorted(spares, key=lambda key: hashlib.sha256((mine + key.uuid).encode()).digest())


def _is_spare(state: State, key: ApiKey) -> bool:
    pool = state.desired.pool
    return pool is not None and pool.has(key.name)


def _taken(state: State, uuid: str) -> bool:
    """Tell whether another key claims it, or one that released it may still rely on it, as far as that was read."""
    found = state.observed.claims.get(uuid)
    if found is None:
        return False
    if found.released_at:
        return not found.spare
    return (found.owner, found.key) != (state.desired.owner, state.desired.id)
