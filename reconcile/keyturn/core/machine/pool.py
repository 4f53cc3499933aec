"""The pool: a missing API key is taken from spares that a person made beforehand, since the API creates none.

An open `create` intent names the spare. Then it is claimed (create-only: of two keys one gets it), written into the
record, renamed, and regenerated: the secret that the person saw is dead before anyone relies on the key.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from keyturn.core.machine.common import claim, gate, intent_of, let_go, note, record_of, settle, write
from keyturn.core.model import ApiKey, SlotName
from keyturn.core.record import Intent, Retire, Slot
from keyturn.core.results import Change, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision, LookClaim, Relist, Rename, Step, Write, WriteRecord

POOL = "pool"
"""The code of a change that takes a spare."""


def choose(state: State) -> ApiKey | Step | None:
    """Return an unclaimed spare, or what has to be read first; None if there is no pool, or it is empty."""
    for spare in _spares(state):
        if spare.uuid not in state.observed.claims:
            return LookClaim(spare.uuid)
        if not _others(state, spare.uuid):
            return spare
    return None


def from_pool(state: State, intent: Intent) -> Intent | Step:
    """Let a `create` intent name a spare, if there is one; the step is what has to be read first."""
    spare = choose(state)
    if isinstance(spare, ApiKey):
        return replace(intent, spare=spare.uuid)
    return intent if spare is None else spare


def take(state: State) -> Decision | None:
    """Claim the spare that the intent names, write it down, rename it; None once its secret is to be made anew."""
    record, intent = record_of(state), intent_of(state)
    name = intent.slot or SlotName.A
    if state.run.found and (wait := settle(state)):
        return wait
    if not state.observed.relisted:
        # A person may have deleted or renamed it since this run began.
        return Relist()
    slot = record.slot(name)
    if slot is None:
        return _claimed(state, intent, name)
    listed = state.observed.key(slot.uuid)
    if listed and listed.name != slot.name:
        if decision := gate(state, [slot.uuid]):
            return decision
        why = f"the spare {listed.name!r} becomes {slot.name!r}"
        return Rename(slot.uuid, slot.name, Planned(Change.RENAME, "spare", why, slot=name, uuid=slot.uuid))
    if record.live is None or name is record.live:
        return None
    # A new standby: nobody needs its secret, so it is regenerated and thrown away.
    retire = record.retire or Retire(name, state.clock.now)
    taken = replace(record, intent=None, retire=retire)
    return WriteRecord(note(taken, state, f"took the spare {slot.uuid} as slot {name}"), Write.COMMIT)


def _claimed(state: State, intent: Intent, name: SlotName) -> Decision:
    wanted = state.name_of(name)
    listed = state.observed.key(intent.spare)
    if listed is None or not (_is_spare(state, listed) or listed.name == wanted):
        return _another(state, intent)
    if listed.uuid not in state.observed.claims:
        return LookClaim(listed.uuid)
    if _others(state, listed.uuid):
        return _another(state, intent)
    if needs := claim(state, listed.uuid):
        return needs
    prefix = state.desired.pool.prefix if state.desired.pool else ""
    why = f"takes a spare of the pool {prefix!r}; the secret that a person saw dies"
    slots = record_of(state).with_slot(name, Slot(listed.uuid, wanted, listed.created_at))
    return write(state, Write.NOTE, Planned(Change.ADOPT, POOL, why, slot=name), slots=slots)


def _another(state: State, intent: Intent) -> Decision:
    """Name another spare: this one is another key's, or a person deleted or renamed it. Without one, create."""
    if not _others(state, intent.spare) and (decision := let_go(state, intent.spare, spare=True)):
        return decision
    again = from_pool(state, replace(intent, spare=""))
    return write(state, Write.REOPEN, intent=again) if isinstance(again, Intent) else again


def _spares(state: State) -> list[ApiKey]:
    """Return the spares, in an order of this key's own, so that keys seldom want the same one."""
    ours = state.record.uuids if state.record else frozenset()
    mine = f"{state.desired.owner} {state.desired.id} "
    spares = [key for key in state.observed.keys if _is_spare(state, key) and key.uuid not in ours]
    return sorted(spares, key=lambda key: hashlib.sha256((mine + key.uuid).encode()).digest())


def _is_spare(state: State, key: ApiKey) -> bool:
    pool = state.desired.pool
    return pool is not None and key.name.startswith(pool.prefix)


def _others(state: State, uuid: str) -> bool:
    """Tell whether another key claims it, or one that let it go may still rely on it, as far as that was read."""
    found = state.observed.claims.get(uuid)
    if found is None:
        return False
    if found.released_at:
        return not found.spare
    return (found.owner, found.key) != (state.desired.owner, state.desired.id)
