"""What people do to a simulated world between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from keyturn.core.model import Delivery, DesiredKey, SlotName
from tests.simulation.marking import MARKED
from tests.simulation.rules import SPARE
from tests.simulation.universe import MARK, START, Key, Renew, Universe


def calm(world: Universe) -> None:
    """From here on an outage was asked for."""
    world.steady = frozenset()


def of_two_types(world: Universe) -> None:
    """Two types of target reach one store: what goes from one to the other is emptied for a moment."""
    calm(world)
    world.two_types = True


def freeze(world: Universe) -> None:
    """From here on no API key and no field may change, unless something sent before is still under way."""
    world.frozen = not world.late


def thaw(world: Universe) -> None:
    """From here on they may."""
    world.frozen = False


def live_gone(world: Universe) -> None:
    """Someone deletes the live API key."""
    record = world.records["main"][0]
    _delete(world, record.live or SlotName.A)


def live_stolen(world: Universe) -> None:
    """Someone regenerates the live API key and keeps the secret."""
    calm(world)
    record = world.records["main"][0]
    world.land(Renew(record.slots[record.live or SlotName.A].uuid, f"{MARK}stolen"))


def standby_gone(world: Universe) -> None:
    """Someone deletes the API key that is not live."""
    record = world.records["main"][0]
    held = {value for place in world.steady for value in (world.fields.get(place), world.in_use(place))}
    slot = record.slot((record.live or SlotName.A).other)
    if world.late or (slot and slot.uuid in world.keys and world.keys[slot.uuid].secret in held):
        calm(world)
    if slot:
        world.keys.pop(slot.uuid, None)


def spares(world: Universe, count: int = 3, *, first: int = 1) -> None:
    """An operator makes spare API keys; the API makes none."""
    no_create(world)
    for number in range(first, first + count):
        uuid, seen = f"pool-{number}", f"{MARK}pool-{number}"
        world.keys[uuid] = Key(uuid, f"{SPARE}{number}", START, seen)
        world.spares[uuid] = seen


def spares_for_gone(world: Universe) -> None:
    """The live API key is deleted, and spares are there."""
    spares(world)
    live_gone(world)


def _untaken(world: Universe) -> str:
    """Return the spare that keyturn is about to take, or one that it is not; not one that is in the record."""
    record = world.records.get("main", (None, 0))[0]
    taken = {slot.uuid for slot in record.slots.values()} if record else set()
    about = record.intent.spare if record and record.intent else ""
    left = [uuid for uuid, key in world.keys.items() if key.name.startswith(SPARE) and uuid not in taken]
    return about if about in left else left[0]


def spare_deleted(world: Universe) -> None:
    """An operator deletes a spare."""
    if world.late:
        return  # an operator does not come within the settle time of a request that is still under way
    uuid = _untaken(world)
    del world.keys[uuid], world.spares[uuid]


def spare_renamed(world: Universe) -> None:
    """An operator takes a spare for something else, and renames it."""
    if world.late:
        return
    uuid = _untaken(world)
    del world.spares[uuid]
    world.keys[uuid] = replace(world.keys[uuid], name="of-a-person")
    world.foreign_keys |= {uuid}


def vanish(world: Universe, which: str = "both") -> None:
    """The list no longer shows the live API key, the standby, or both, though they live on; none is made instead."""
    no_create(world)
    calm(world)
    record = world.records["main"][0]
    live = record.live or SlotName.A
    for name, slot in record.slots.items():
        if slot.uuid in world.keys and (which == "both" or (which == "live") == (name is live)):
            world.away[slot.uuid] = world.keys.pop(slot.uuid)


def come_back(world: Universe) -> None:
    """The list shows them again."""
    world.keys.update(world.away)
    world.away = {}


def intent_gone(world: Universe) -> None:
    """Someone deletes the API key that is being minted."""
    record = world.records["main"][0]
    if record.intent and record.intent.slot:
        _delete(world, record.intent.slot)


def _delete(world: Universe, name: SlotName) -> None:
    calm(world)
    slot = world.records["main"][0].slot(name)
    if slot:
        world.keys.pop(slot.uuid, None)


def clear(world: Universe, desired: DesiredKey, *, noting: bool = False) -> None:
    """An operator empties the first delivery. What nobody can read elsewhere has to go on working."""
    place = desired.deliveries[0]
    world.steady = frozenset(item for item in world.steady - {place} if item.target in MARKED)
    if noting:
        world.noted = world.records["main"][1]
    world.fields.pop(place, None)
    world.by_hand(place, "")


def unless_begun(world: Universe, desired: DesiredKey) -> None:
    """The person fills it again, unless keyturn has written down that it is about to."""
    place, record = desired.deliveries[0], world.records["main"]
    if record[1] == world.noted and place not in world.fields and not world.late:
        live = record[0].slot(record[0].live)
        world.by_hand(place, world.keys[live.uuid].secret if live else "")


def put_back(world: Universe, desired: DesiredKey) -> None:
    """An operator puts the secret that was there at first back into every delivery."""
    calm(world)
    bury(world)
    for place in desired.deliveries:
        world.by_hand(place, next(value for (kept, _), value in world.kept.items() if kept == place))


def bury(world: Universe) -> None:
    """What should be dead by now is."""
    for uuid, key in world.keys.items():
        world.keys[uuid] = replace(key, old_until=min(key.old_until, world.now))


def paste_standby(world: Universe, desired: DesiredKey) -> None:
    """An operator regenerates the standby and pastes its secret into the first delivery."""
    record = world.records["main"][0]
    standby = record.slots[(record.live or SlotName.A).other]
    secret = world.new_secret()
    world.land(Renew(standby.uuid, secret))
    world.mints -= {secret}
    world.given |= {secret}
    world.by_hand(desired.deliveries[0], secret)


def close(world: Universe, place: Delivery) -> None:
    """Writing to a target is forbidden."""
    world.readonly = frozenset({place.target})


def closed_now(world: Universe) -> str:
    """A target cannot be written."""
    return ", ".join(sorted(world.readonly | world.barred | world.shut))


def bar(world: Universe, place: Delivery) -> None:
    """Writing to a target is forbidden, and nothing shows it before a write."""
    world.barred = frozenset({place.target})


def shut(world: Universe, place: Delivery) -> None:
    """Someone removes what a place is part of, with all that it held."""
    world.by_hand(place, "")
    world.shut = frozenset({place.target})


def reopen(world: Universe) -> None:
    """Writing is allowed everywhere, and what was removed is there again."""
    world.readonly = world.barred = world.shut = frozenset()
    world.refused = frozenset()


def deafen(world: Universe) -> None:
    """The API no longer knows the secrets that it makes."""
    world.deaf = True


def hear(world: Universe) -> None:
    """From here on it knows them."""
    world.deaf = False


def more_models(world: Universe, *, live: bool) -> None:
    """An operator lets the live key, or every key, use a second model."""
    record = world.records["main"][0]
    for name, slot in record.slots.items():
        if not live or name is record.live:
            world.keys[slot.uuid] = replace(world.keys[slot.uuid], more_models=True)


def made_anew(world: Universe) -> None:
    """What has the uuid of the key to be minted is not what it was."""
    record = world.records["main"][0]
    name = record.live or SlotName.A
    uuid = record.slots[name.other if name.other in record.slots else name].uuid
    key = world.keys[uuid]
    world.keys[uuid] = replace(key, created_at=key.created_at + timedelta(days=1))
    world.foreign_keys |= {uuid}


def no_create(world: Universe) -> None:
    """The API no longer creates keys."""
    world.create_gone = True


def make_keys(world: Universe, names: Sequence[str]) -> None:
    """An operator makes API keys of these names."""
    for name in names:
        made = START + timedelta(seconds=world.now)
        world.keys[f"panel-{name}"] = Key(f"panel-{name}", name, made, f"{MARK}panel-{name}")


def of_others(world: Universe) -> None:
    """The record and its claims are another owner's."""
    record, version = world.records["main"]
    world.records["main"] = (replace(record, owner="others"), version + 1)
    world.claims = {uuid: (replace(claim, owner="others"), at + 1) for uuid, (claim, at) in world.claims.items()}
