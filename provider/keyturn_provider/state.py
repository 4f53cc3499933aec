"""The state of a resource: its outputs, its health after a refresh, and whether an update is due.

Every preview and up checks whether an update is due. That reads nothing and does not import keyturn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from keyturn_provider import inputs
from keyturn_provider.inputs import Props
from keyturn_provider.messages import KeyturnFailed

if TYPE_CHECKING:
    from keyturn.core.model import Delivery, Desired, DesiredKey, Rotation
    from keyturn.core.record import Record
    from keyturn.core.secret import Secret
    from keyturn.core.world import Held
    from keyturn.live.live_world import LiveWorld

HEALTHY = "healthy"
PROVIDER = "its provider changed"
SECRET = "secret"


# Is an update due?
class Cause(NamedTuple):
    """Why an update is due: a sentence, and the inputs or the output that show it. Both are empty at rest."""

    why: str = ""
    names: Sequence[str] = ()


def key_update(olds: Props, news: Props, now: datetime, environment: Mapping[str, str]) -> Cause:
    """Return why a key needs an update. `olds` are its outputs, `news` its inputs.

    The environment names the policy, which may bound the freezes of the inputs.
    """
    if changes := inputs.changed(olds, news, (*inputs.KEY, *inputs.ORIGIN)):
        return Cause(changed(changes), changes)
    if (health := olds.get("health", HEALTHY)) != HEALTHY:
        return Cause(str(health), ["health"])
    if _past(olds.get("retire_at"), now):
        return Cause("the overlap is over; the old secret is due to be retired", ["retire_at"])
    if _past(olds.get("next_rotation_at"), now) and _rotation_due(olds, now, environment):
        return Cause("its rotation is due", ["rotated_at"])
    return _provider(olds, news)


def changed(names: Sequence[str]) -> str:
    """Return the sentence that says which inputs differ."""
    return f"{', '.join(names)} changed"


def smoke_check_update(olds: Props, news: Props, now: datetime) -> Cause:
    """PURE: return why a secret is due to be checked again."""
    if changes := inputs.changed(olds, news, inputs.SMOKE_CHECK):
        return Cause(changed(changes), changes)
    if _past(olds.get("next_check_at"), now):
        return Cause("the next check is due", ["next_check_at"])
    return _provider(olds, news)


def only_provider(olds: Props, news: Props, now: datetime, environment: Mapping[str, str]) -> bool:
    """Tell whether only the reference to the provider differs. Then only that is updated."""
    return key_update(olds, news, now, environment).why == PROVIDER


def _provider(olds: Props, news: Props) -> Cause:
    return Cause(PROVIDER) if olds.get("__provider") != news.get("__provider") else Cause()


def _past(moment: object, now: datetime) -> bool:
    return isinstance(moment, str) and datetime.fromisoformat(moment) <= now


def _rotation_due(olds: Props, now: datetime, environment: Mapping[str, str]) -> bool:
    """Tell whether the rotation is due, in no freeze and inside its window. It may have closed since."""
    from keyturn.core import schedule

    rotated_at = olds.get("rotated_at")
    if not isinstance(rotated_at, str):
        return False
    return schedule.due(inputs.rotation(olds, environment), datetime.fromisoformat(rotated_at), now)


# Outputs: the inputs again, because a delete gets nothing else, and the facts of the record.
def of_key(props: Props, world: LiveWorld, key: DesiredKey, record: Record) -> dict[str, object]:
    """Return all outputs of a key that the machine left at rest."""
    from keyturn.targets.fields import with_field

    shown = {**_inputs(props), **_facts(record, key.rotation), "health": HEALTHY}
    live = _live_secret(world, record, key.deliveries) if props.get("expose_secret") is True else None
    return kept(with_field(shown, SECRET, live))


def of_unfinished(props: Props, key: DesiredKey, record: Record, found: str) -> dict[str, object]:
    """Return all outputs of a key that the machine could not bring to rest, without its secret. `found` says why."""
    return {**_inputs(props), **_facts(record, key.rotation), "health": found}


def of_found(props: Props, world: LiveWorld, desired: Desired, record: Record) -> dict[str, object]:
    """Return all outputs of a key as the API and its deliveries show it now."""
    from keyturn.engine import smoke
    from keyturn.targets.fields import with_field

    targets = {target.name for target in desired.targets}
    held = {
        item.delivery: world.read_delivery(item.delivery)
        for item in record.deliveries
        if item.delivery.target in targets
    }
    live = next((value.secret for value in held.values() if is_live(record, value.secret)), None)
    tried = live if props.get("verify") is True else None
    found = health(
        record,
        owner=inputs.owner(props) if props.get("owner") or props.get("resource_name") else record.owner,
        names={key.uuid: key.name for key in world.list_keys()},
        held=held,
        accepted=smoke.alive(world, tried, desired.timing) if tried is not None else None,
    )
    rotation = replace(inputs.rotation(props, {}), freezes=desired.freezes)
    shown = {**_inputs(props), **_facts(record, rotation), "health": found}
    return kept(with_field(shown, SECRET, live if props.get("expose_secret") is True else None))


def kept(olds: Props) -> dict[str, object]:
    """Return the outputs unchanged. A secret arrives unwrapped and has to be wrapped again."""
    shown = dict(olds)
    if SECRET in shown:
        from pulumi.runtime import rpc

        shown[SECRET] = rpc.wrap_rpc_secret(shown[SECRET])
    return shown


def _inputs(props: Props) -> dict[str, object]:
    return inputs.given(props, (*inputs.KEY, *inputs.ORIGIN))


def _facts(record: Record, rotation: Rotation) -> dict[str, object]:
    from keyturn.core import schedule, status

    live = record.slot(record.live)
    rotated_at = live.minted_at if live else None
    following = schedule.next_rotation(rotation, rotated_at, rotated_at) if rotated_at else None
    return {
        "uuid": live.uuid if live else None,
        "slots": {name.value: {"uuid": slot.uuid, "name": slot.name} for name, slot in record.slots.items()},
        "generation": record.generation,
        "rotated_at": _moment(rotated_at),
        "next_rotation_at": _moment(following),
        "retire_at": _moment(status.retire_at(record, rotation)),
        "digest": record.live_digest,
        "deliveries": [_reference(item.delivery, item.version) for item in record.deliveries],
    }


def _reference(delivery: Delivery, version: str) -> Mapping[str, str]:
    whole = {"target": delivery.target, "path": delivery.path, "field": delivery.field, "version": version}
    return {name: value for name, value in whole.items() if value}


def _live_secret(world: LiveWorld, record: Record, deliveries: tuple[Delivery, ...]) -> Secret:
    for delivery in deliveries:
        secret = world.read_delivery(delivery).secret
        if secret is not None and is_live(record, secret):
            return secret
    raise KeyturnFailed(f"{record.key}: no delivery holds the live secret, so it cannot be exposed")


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


# Health: a message to the user, which also tells the next up that there is something to heal.
def health(
    record: Record,
    *,
    owner: str,
    names: Mapping[str, str],
    held: Mapping[Delivery, Held],
    accepted: bool | None,
    now: datetime | None = None,
) -> str:
    """Return the condition with everything that is not as it should be, or `healthy`.

    `names` maps uuid to name for the API keys of a complete list. `held` has the values of the deliveries. `accepted`
    tells whether the API accepts the live secret (None: not tested, or no answer).
    """
    from keyturn.core.conditions import Facts, conditions
    from keyturn.core.model import SmokeResult, Verdict
    from keyturn.core.reasons import Condition, Reason
    from keyturn.core.results import End
    from keyturn.core.state import Reading
    from keyturn.engine.observe import by_marker
    from keyturn_provider import remedies

    if record.owner != owner:
        return f"{Condition.HELD}: its record belongs to {record.owner!r}"
    verdicts = {True: Verdict.ACCEPTED, False: Verdict.REFUSED}
    known = Facts(
        record=record,
        wanted=tuple(item.delivery for item in record.deliveries),
        missing=frozenset(slot.uuid for slot in record.slots.values() if slot.uuid not in names),
        readings={
            place: by_marker(record, place, value, record.digest_key)
            if value.marked
            else Reading(value.secret and value.secret.digest(record.digest_key))
            for place, value in held.items()
        },
        verdicts={record.live_digest: SmokeResult(verdicts[accepted])}
        if record.live_digest and accepted is not None
        else {},
        now=now or datetime.now(UTC),
    )
    found = [end for end in conditions(known) if end.exit_code]
    why = [remedies.told(end) if end.code is Reason.PARKED else end.why for end in found]
    renamed = [slot for slot in record.slots.values() if names.get(slot.uuid, slot.name) != slot.name]
    why += [f"the API key {slot.uuid} was renamed to {names[slot.uuid]!r}" for slot in renamed]
    missing = [slot for name, slot in record.slots.items() if slot.uuid in known.missing and name is not record.live]
    why += [f"the API key {slot.uuid} is gone" for slot in missing]
    if not why and record.live is None:
        why.append("it has no live secret yet")
    if not why:
        return HEALTHY
    return f"{(found[0] if found else End(Reason.TO_DO)).condition}: {'; '.join(why)}"


def is_live(record: Record, secret: Secret | None) -> bool:
    """PURE: tell whether a secret is the live one."""
    return secret is not None and secret.digest(record.digest_key) == record.live_digest
