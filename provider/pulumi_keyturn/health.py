"""What a refresh finds of a key: one sentence for people, and the sign that the next up has something to heal."""

from __future__ import annotations

from collections.abc import Mapping

from keyturn.core.model import Delivery, Timing
from keyturn.core.record import Record
from keyturn.core.secret import Secret
from keyturn.core.world import Held, World
from keyturn.engine import smoke
from pulumi_keyturn import words
from pulumi_keyturn.due import HEALTHY


def of(
    record: Record,
    *,
    owner: str,
    names: Mapping[str, str],
    held: Mapping[Delivery, Held],
    accepted: bool | None,
) -> str:
    """PURE: return everything that is not as recorded, or `healthy`.

    `names` are the API keys of a complete list by uuid, `held` what the deliveries hold, `accepted` whether the API
    takes the live secret (None: not tried, or no answer).
    """
    wrong = []
    if record.owner != owner:
        wrong.append(f"its record belongs to {record.owner!r}")
    for slot in record.slots.values():
        if slot.uuid not in names:
            wrong.append(f"the API key {slot.uuid} is gone")
        elif names[slot.uuid] != slot.name:
            wrong.append(f"the API key {slot.uuid} was renamed to {names[slot.uuid]!r}")
    for item in record.deliveries:
        now = held.get(item.delivery)
        if now is not None and not is_live(record, now.secret):
            wrong.append(f"{item.delivery} does not hold the live secret")
    if record.intent:
        wrong.append(f"a run left an open {record.intent.op}")
    if record.parked:
        wrong.append(words.parked(record))
    if accepted is False:
        wrong.append("the API refuses its secret")
    return "; ".join(wrong) or HEALTHY


def is_live(record: Record, secret: Secret | None) -> bool:
    """Tell whether a secret is the live one."""
    return secret is not None and secret.digest(record.digest_key) == record.live_digest


def tried(world: World, secret: Secret | None, timing: Timing) -> bool | None:
    """Tell whether the API accepts a secret; None where there is none, or no answer."""
    return smoke.alive(world, secret, timing) if secret is not None else None
