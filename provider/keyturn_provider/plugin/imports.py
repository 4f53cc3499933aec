"""Keys that a program does not have in its state yet: imported, or only looked up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from keyturn_provider import inputs, messages, session
from keyturn_provider.inputs import Props
from keyturn_provider.messages import KeyturnFailed

if TYPE_CHECKING:
    from keyturn.core.model import ApiKey
    from keyturn.core.record import Record

PLACES = ("targets", "records", "timing")
"""The defaults of the provider's configuration that a key without inputs of its own is looked up with."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TO_ADOPT = "imported: the next up takes it over with its present secret"


def found(name: str, props: Props, identity: str) -> tuple[str, dict[str, object], dict[str, object]]:
    """Return the id, the outputs and the inputs of a key by the id of its record, or of an API key by its UUID.

    `props` are the places, and the owner of the resource if it is to be imported. `identity` is the id of an API key
    that has no record yet. Raises KeyturnError or KeyturnFailed if there is no such key.
    """
    if _UUID.fullmatch(name):
        listed = next((key for key in listing(props) if key.uuid == name.lower()), None)
        if listed is None:
            raise KeyturnFailed(f"{name}: the API shows no API key of this UUID; look it up in the control panel.")
        given = _of_api_key(listed)
        return identity, {**props, **given, "health": _TO_ADOPT}, given
    desired = inputs.surroundings_of(props, session.environment())
    record = session.world(desired).read_record(name).record
    if record is None or record.deleted_at:
        place = f"{desired.records.target}:{desired.records.prefix}"
        raise KeyturnFailed(
            f"{name}: {place} holds no record of this key. Give the id of a record there, such as PROJECT.STACK.NAME, "
            "or the UUID of an API key."
        )
    from keyturn_provider import reads

    given = _of_record(record)
    outputs = reads.read(name, {**props, **given})
    if outputs is None:
        raise KeyturnFailed(f"{name}: its API keys are gone from the account.")
    return name, {"owner": record.owner, **outputs}, given


def listing(props: Props) -> list[ApiKey]:
    """Return the API keys of the account, as of now. Without any place of the configuration none is needed."""
    environment = session.environment()
    anywhere = {} if "targets" in props or environment.get(inputs.RECORDS) else {"records": {"target": "local"}}
    world = session.world(inputs.surroundings_of({**props, **anywhere}, environment))
    return [key for key in world.list_keys(fresh=True) if not key.deleted_at]


def only_imported(olds: Props) -> bool:
    """Tell whether a resource was imported by the UUID of an API key, and no up has taken it over yet."""
    return olds.get("generation") is None


def adopting(olds: Props, news: Props) -> dict[str, object]:
    """Return the inputs with the consent that an import gives, unless they have their own."""
    return {**news, "adopt": news.get("adopt") or olds.get("adopt")}


def warn_released(key: object) -> None:
    """Say that nothing was deleted of an API key that was imported and not taken over."""
    messages.warn(f"{key}: it was imported and never taken over; nothing was changed")


def _of_api_key(listed: ApiKey) -> dict[str, object]:
    return {"name": listed.name, "adopt": {"secret": "existing", "a": listed.uuid}}


def _of_record(record: Record) -> dict[str, object]:
    """Return the inputs of a program that declares what a record says. It says nothing of smoke and rotation times."""
    from keyturn.core.model import SlotName

    slots = {name: slot.name for name, slot in record.slots.items()}
    both = SlotName.B in slots
    name = next(iter(slots.values()), record.key)
    places = [item.delivery for item in record.deliveries]
    return {
        "key": record.key,
        "name": name.removesuffix("-a").removesuffix("-b") if both else name,
        "deliver": [
            {"target": item.target, "path": item.path, **({"field": item.field} if item.field else {})}
            for item in places
        ],
        **({"rotation": {"strategy": "alternating"}} if both else {}),
    }
