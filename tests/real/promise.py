"""What has to be true of a key at rest, looked at from outside: in the account, the store and the record."""

from __future__ import annotations

from collections.abc import Iterator

from keyturn.core.model import Strategy
from keyturn.core.record import Record, parse_claim
from keyturn.core.secret import Secret
from tests.real.environment import Site

QUIET_TRIES = 4
ASKED = "a rotation is still asked for"
"""No breach while an overlap lasts: the rotation waits for its end."""


def breaches(site: Site, key: str) -> list[str]:
    """Return which parts of the promise do not hold for a key; none is what every test wants."""
    record = site.record(key)
    entry = site.keys[key]
    if record is None:
        return [f"{key}: no record"]
    if entry.get("state") == "absent":
        return [f"{key}: {what}" for what in _gone(site, key, record)]
    return [f"{key}: {what}" for what in _rest(site, key, record)]


def _rest(site: Site, key: str, record: Record) -> Iterator[str]:
    if record.intent:
        yield f"an open intent: {record.intent.op}"
    if record.requested:
        yield ASKED
    if record.handoff or record.parked or record.unverified:
        yield "it is handed off, parked or unverified"
    for place in site.keys[key]["deliver"]:
        held = site.held_at(place["path"], place["field"], place["target"])
        if held is None or not site.sandbox.accepts(held):
            yield f"{place['path']} holds nothing that the API accepts"
        elif Secret(held).digest(record.digest_key) != record.live_digest:
            yield f"{place['path']} holds another secret than the record's live one"
    holds = {(item.delivery.target, item.delivery.path, item.digest) for item in record.deliveries}
    if holds != {(place["target"], place["path"], record.live_digest) for place in site.keys[key]["deliver"]}:
        yield "the record's deliveries are not the manifest's, all with the live secret"
    yield from _account(site, key, record)


def _account(site: Site, key: str, record: Record) -> Iterator[str]:
    """Compare the account with the record: no orphan, no duplicate, every key claimed and rightly named (I4)."""
    name = site.keys[key]["name"]
    alternating = site.keys[key]["rotation"]["strategy"] == "alternating"
    if (record.strategy is Strategy.ALTERNATING) is not alternating:
        yield f"the record's strategy is {record.strategy}"
    wanted = {f"{name}-a", f"{name}-b"} if alternating else {name}
    mine = site.account(key)
    if sorted(mine.values()) != sorted(wanted):
        yield f"the account has {sorted(mine.values())}, not {sorted(wanted)}"
    if set(mine) != {slot.uuid for slot in record.slots.values()}:
        yield "the record's slots are not the account's keys"
    for uuid in mine:
        text = site.document(f"slots/{uuid}")
        if text is None or parse_claim(text, where=uuid).key != key:
            yield f"{uuid} is not claimed"
    if record.retire and record.retire.slot is record.live:
        yield "the live slot is to be retired"


def _gone(site: Site, key: str, record: Record) -> Iterator[str]:
    if record.deleted_at is None or record.intent:
        yield "its record is no tombstone"
    if site.account(key):
        yield f"left in the account: {site.account(key)}"
    for place in site.keys[key]["deliver"]:
        if site.held_at(place["path"], place["field"], place["target"]) is not None:
            yield f"{place['path']} still holds a secret"


def noise(site: Site) -> list[str]:
    """Apply once more and return what that changed: nothing, at rest (I8). A retire that came due is waited out."""
    changed: list[str] = []
    for _ in range(QUIET_TRIES):
        before = {key: site.mark(key) for key in site.keys}
        site.settle_in()
        changed = [key for key in site.keys if site.mark(key) != before[key]]
        if not changed:
            return []
    return changed
