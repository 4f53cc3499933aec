"""Whether an API key is this key's own. A record can be forged; the entry and what the API lists of a key cannot."""

from __future__ import annotations

import re
from datetime import timedelta

from keyturn.core.machine.facts import intent_of, record_of
from keyturn.core.model import ApiKey, SlotName
from keyturn.core.record import HISTORY, Op, Slot
from keyturn.core.state import State

SLACK = timedelta(seconds=65)
"""By how much an API key may be older than the intent of its create: an earlier version noted the intent's time by its
own clock, which may differ from the API's by a minute."""

_NONCE = re.compile(r"-kt[0-9a-f]{8}\Z")
_SLOT = re.compile(r"-[ab]\Z")
_ADOPTED = "adopt"
"""The cause of an event that may be about both slots."""


def made(state: State) -> tuple[ApiKey, ...]:
    """Return the listed API keys that were made under the open intent: they carry its nonce, and are not older."""
    intent, opened = intent_of(state), state.run.attempt.opened
    ending, since = f"-kt{intent.nonce}", intent.since - SLACK
    return tuple(
        key
        for key in state.observed.keys
        if key.name.endswith(ending) and (key.created_at >= since if key.created_at else opened)
    )


def unproven(state: State, uuid: str) -> str:
    """Say why an API key that is to be changed may not be this key's; empty if name and history show that it is."""
    record, listed = record_of(state), state.observed.key(uuid)
    name = next((name for name, slot in record.slots.items() if slot.uuid == uuid), None)
    slot = record.slot(name)
    if listed is None or slot is None:
        return ""
    if not (_consented(state, uuid) or _named(state, listed.name) or _renamed(state, slot, listed.name)):
        return f"the API key {uuid} is called {listed.name!r}, which is no name of this key"
    intent, retire = record.intent, record.retire
    retired = {intent.slot if intent and intent.op is Op.RETIRE else None, retire.slot if retire else None}
    if name and name in retired and not _minted(state, name, slot):
        return f"the record's history does not show where the secret of the API key {uuid} ({listed.name!r}) is from"
    return ""


def unproven_made(state: State) -> str:
    """Say why an API key that carries the nonce of a create that was found may not be this key's; empty if it is."""
    found = made(state)
    if not found or state.run.attempt.opened or _named(state, found[0].name):
        return ""
    return f"the API key {found[0].uuid} is called {found[0].name!r}, which is no name of this key"


def _consented(state: State, uuid: str) -> bool:
    """Tell whether the entry, or the operator of this run, names this API key; or a spare that is taken just now."""
    adopt, intent, pool = state.options.adopt or state.desired.adopt, record_of(state).intent, state.desired.pool
    if adopt and uuid in {adopt.a, adopt.b}:
        return True
    listed = state.observed.key(uuid)
    return bool(pool and listed and intent and intent.spare == uuid and pool.has(listed.name))


def named_by_nonce(state: State, name: str) -> bool:
    """Tell whether an API key has the name under which one of the entry's is made."""
    return _NONCE.search(name) is not None and _named(state, name)


def _named(state: State, name: str) -> bool:
    """Tell whether the entry gives this name to one of its API keys, at rest or while it is made."""
    plain = state.desired.name
    return bool(plain) and _NONCE.sub("", name) in {plain, *(f"{plain}-{slot}" for slot in SlotName)}


def _renamed(state: State, slot: Slot, name: str) -> bool:
    """Tell whether the entry may have another name now, or no longer exists: all API keys have their recorded names.

    If the other one is called as the entry and the record say, then the entry was not renamed. If only the entry says
    so, a rename may have ended half done: then both have had names of one kind.
    """
    if _NONCE.search(name) or slot.name != name:
        return False
    for other in record_of(state).slots.values():
        listed = state.observed.key(other.uuid)
        if listed and _named(state, listed.name) and (other.name == listed.name or _kind(other.name) != _kind(name)):
            return False
    return True


def _kind(name: str) -> str:
    """Return the name of an API key without the part that tells its slot."""
    return _SLOT.sub("", name)


def _minted(state: State, name: SlotName, slot: Slot) -> bool:
    """Tell whether the history shows how the slot came to its secret; what a full history has dropped is not asked."""
    history = record_of(state).history
    told = any(
        event.slot is name
        or (event.cause is not None and event.cause.trigger == _ADOPTED)
        # Events of earlier versions have their text only.
        or (
            event.cause is None and (f"slot {name}" in event.what or slot.uuid in event.what or "adopted" in event.what)
        )
        for event in history
    )
    return told or len(history) >= HISTORY
