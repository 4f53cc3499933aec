"""What a key resource shows: its inputs again, since that is all that a delete gets, and what its record knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pulumi.runtime import rpc

from keyturn.core import schedule
from keyturn.core.model import Delivery, Desired, DesiredKey, Rotation
from keyturn.core.record import Record
from keyturn.core.secret import Secret
from keyturn.live.live_world import LiveWorld
from pulumi_keyturn import due, health, inputs, intake
from pulumi_keyturn.failure import KeyturnFailed
from pulumi_keyturn.inputs import Props

SECRET = "secret"


def of_key(props: Props, world: LiveWorld, key: DesiredKey, record: Record) -> dict[str, object]:
    """Return all outputs of a key that the machine left at rest."""
    shown = {**_inputs(props), **_facts(record, key.rotation), "health": due.HEALTHY}
    if props.get("expose_secret") is True:
        shown[SECRET] = rpc.wrap_rpc_secret(_live_secret(world, record, key.deliveries).reveal())
    return shown


def of_found(props: Props, world: LiveWorld, desired: Desired, record: Record) -> dict[str, object]:
    """Return all outputs of a key as a look at the API and its deliveries finds it."""
    targets = {target.name for target in desired.targets}
    held = {
        item.delivery: world.read_delivery(item.delivery)
        for item in record.deliveries
        if item.delivery.target in targets
    }
    live = next((value.secret for value in held.values() if health.is_live(record, value.secret)), None)
    found = health.of(
        record,
        owner=inputs.owner(props) if props.get("resource_name") else record.owner,
        names={key.uuid: key.name for key in world.list_keys()},
        held=held,
        accepted=health.tried(world, live, desired.timing) if props.get("verify") is True else None,
    )
    shown = {**_inputs(props), **_facts(record, intake.rotation(props)), "health": found}
    if props.get("expose_secret") is True and live is not None:
        shown[SECRET] = rpc.wrap_rpc_secret(live.reveal())
    return shown


def kept(olds: Props) -> dict[str, object]:
    """Return the outputs as they are; a secret arrived unwrapped and has to be wrapped again."""
    shown = dict(olds)
    if SECRET in shown:
        shown[SECRET] = rpc.wrap_rpc_secret(shown[SECRET])
    return shown


def _inputs(props: Props) -> dict[str, object]:
    return inputs.given(props, (*inputs.KEY, *inputs.ORIGIN))


def _facts(record: Record, rotation: Rotation) -> dict[str, object]:
    live = record.slot(record.live)
    rotated_at = live.minted_at if live else None
    following = schedule.next_rotation(rotation, rotated_at, rotated_at) if rotated_at else None
    return {
        "uuid": live.uuid if live else None,
        "slots": {name.value: {"uuid": slot.uuid, "name": slot.name} for name, slot in record.slots.items()},
        "generation": record.generation,
        "rotated_at": _moment(rotated_at),
        "next_rotation_at": _moment(following),
        "retire_at": _moment(record.retire.at if record.retire else None),
        "digest": record.live_digest,
        "deliveries": [_reference(item.delivery, item.version) for item in record.deliveries],
    }


def _reference(delivery: Delivery, version: str) -> Mapping[str, str]:
    whole = {"target": delivery.target, "path": delivery.path, "field": delivery.field, "version": version}
    return {name: value for name, value in whole.items() if value}


def _live_secret(world: LiveWorld, record: Record, deliveries: tuple[Delivery, ...]) -> Secret:
    for delivery in deliveries:
        secret = world.read_delivery(delivery).secret
        if secret is not None and health.is_live(record, secret):
            return secret
    raise KeyturnFailed(f"{record.key}: no delivery holds the live secret, so there is none to expose")


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
