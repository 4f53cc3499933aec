"""What the API says of a secret; what write-only places show, and how far their last write is on its way."""

from __future__ import annotations

from keyturn.core.effect import Effect, EffectState
from keyturn.core.model import Delivery, WireAnswer, WireKind
from keyturn.core.secret import Secret
from keyturn.core.world import Held
from tests.simulation.marking import DELAYED, MARKED
from tests.simulation.naming import real
from tests.simulation.universe import Universe

MODEL = "llama3.3-70b-instruct"
NO = WireAnswer(WireKind.UNAUTHORIZED, detail="401")
_OK = WireAnswer(WireKind.OK, (MODEL,))
_MORE = WireAnswer(WireKind.OK, (MODEL, "a-second-model"))


def answer(universe: Universe, secret: str) -> WireAnswer:
    """Return what the inference API says of a secret."""
    if not universe.asked(secret):
        return NO
    return _MORE if universe.uses_more(secret) else _OK


def marker(universe: Universe, delivery: Delivery) -> str:
    """Return the marker of a write-only place, empty if it holds nothing."""
    return f"m{universe.version(delivery)}" if real(delivery) in universe.fields else ""


def held(universe: Universe, delivery: Delivery) -> Held:
    """Return what reading a place shows."""
    place = real(delivery)
    if place.target in MARKED:
        then = "starts a rollout" if place.target == DELAYED else ""
        refuses = "there is no such part" if place.target in universe.shut else ""
        return Held(None, marker(universe, place), marked=True, consequence=then, refuses=refuses)
    value, version = universe.fields.get(place), "" if place.target in universe.unfenced else universe.version(place)
    return Held(Secret(value) if value else None, str(version))


def as_expected(universe: Universe, delivery: Delivery, expected: Held) -> bool:
    """Tell whether a place is as it was read."""
    found = held(universe, delivery)
    return found.version == expected.version if found.marked else found.secret == expected.secret


def effect(universe: Universe, delivery: Delivery) -> Effect:
    """Return how far the last write to a place is."""
    if universe.in_use(delivery) == universe.held(delivery):
        return Effect()
    version = universe.version(delivery)
    if any(one.delivery == real(delivery) and one.version == version for one in universe.rollouts.under_way):
        return Effect(EffectState.PENDING, "its rollout is under way")
    return Effect(EffectState.FAILED, "its rollout failed")
