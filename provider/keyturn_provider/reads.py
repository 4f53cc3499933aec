"""A key as the account, the record and the deliveries show it now. Nothing is changed.

Before each preview and up the engine reads every key. So the machine, which would take long to import, is not needed.
"""

from __future__ import annotations

from keyturn.core.record import Record
from keyturn.live.live_world import LiveWorld
from keyturn_provider import inputs, messages, session, state
from keyturn_provider.inputs import Props
from keyturn_provider.messages import KeyturnFailed


def read(key: str, props: Props) -> dict[str, object] | None:
    """Return the current outputs of a key, or None if it is certainly gone.

    Raises KeyturnError or KeyturnFailed if that cannot be determined.
    """
    desired = inputs.surroundings_of(props, session.environment())
    world = session.world(desired)
    record = world.read_record(key).record
    if record is None:
        raise KeyturnFailed(messages.no_record(key, desired))
    if record.deleted_at:
        return None
    session.breaker(world, record.owner).check_listed(key, record)
    if _gone(world, record):
        return None
    return state.of_found(props, world, desired, record)


def _gone(world: LiveWorld, record: Record) -> bool:
    """Tell whether no API key of the record is left: all are absent from two complete lists."""
    uuids = {slot.uuid for slot in record.slots.values()}
    return bool(uuids) and not any(
        key.uuid in uuids and key.deleted_at is None for fresh in (False, True) for key in world.list_keys(fresh=fresh)
    )
