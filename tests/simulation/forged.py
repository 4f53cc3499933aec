"""Worlds at rest in which someone forged the record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from keyturn.core.model import Delivery, SlotName
from keyturn.core.record import Claim, DeliveryState, Intent, Op, Retire, Slot
from tests.simulation.marking import PLAIN
from tests.simulation.universe import MARK, PASSWORD, START, Key, Universe

NONCE = "0badcafe"


def open_create(world: Universe) -> Universe:
    """Return a world whose record has an open create, with the nonce in the name of another team's older API key."""
    team = Key("team", f"team-kt{NONCE}", START, f"{MARK}team")
    world.keys["team"], world.foreign_keys = team, world.foreign_keys | {"team"}
    record, version = world.records["main"]
    since = START + timedelta(seconds=world.now)
    forged = Intent(Op.CREATE, record.live, NONCE, "run-x", since, START)
    world.records["main"] = (replace(record, intent=forged), version)
    return world


def due_retire(world: Universe) -> Universe:
    """Return a world whose record and claims say that another team's API key is the slot to be retired."""
    record, version = world.records["main"]
    other = (record.live or SlotName.A).other
    slots = {**record.slots, other: Slot("other", "other")}
    world.records["main"] = (replace(record, slots=slots, retire=Retire(other, START)), version)
    world.claims["other"] = (Claim("other", "tests", "main"), 1)
    return world


def place_of_others(world: Universe) -> Universe:
    """Return a world whose record, without a signature, says that the key wrote to a place that nobody can read."""
    theirs = Delivery(PLAIN, "others", "password")
    world.by_hand(theirs, PASSWORD)
    world.foreign_fields, world.forged = world.foreign_fields | {theirs}, True
    record, version = world.records["main"]
    states = (*record.deliveries, DeliveryState(theirs, marked=True, begun=True))
    world.records["main"] = (replace(record, deliveries=states), version)
    return world
