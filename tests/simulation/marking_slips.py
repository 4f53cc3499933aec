"""Broken machines whose mistake shows only with deliveries that cannot be read, or that take effect later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from keyturn.core import transition
from keyturn.core.machine import deliveries, in_effect, marked, rotate, spread
from keyturn.core.machine.facts import record_of
from keyturn.core.model import Delivery
from keyturn.core.state import Reading, State
from keyturn.core.steps import Decision
from keyturn.core.world import Held
from keyturn.engine import effects
from keyturn.engine.observe import Hand
from tests.simulation.mutants import Mutant, Swap, everywhere, instead, without
from tests.simulation.world import SimWorld


def effect_not_awaited() -> tuple[Swap, ...]:
    """What was delivered counts as used."""
    return everywhere(in_effect, "not_in_effect", lambda state: None)


def marker_not_compared() -> tuple[Swap, ...]:
    """Whatever marker a place shows, it holds what was sent there last."""
    real = effects._marked

    def found(state: State, place: Delivery, held: Held) -> Reading:
        noted = state.record.delivery(place) if state.record else None
        last = state.run.sent.get(place, ("", ""))[0] or (noted.version if noted and noted.marked else "")
        return real(state, place, replace(held, version=last) if last and held.version else held)

    return ((effects, "_marked", found),)


def unread_is_a_source() -> tuple[Swap, ...]:
    """A secret counts as in hand if a place that cannot be read holds it."""
    real = effects._look

    def look(world: SimWorld, state: State, hand: Hand, places: tuple[Delivery, ...]) -> transition.Looked:
        found = real(world, state, hand, places)
        held = {read.digest for read in found.readings.values() if read.digest and not read.unlike}
        return replace(found, in_hand=found.in_hand | held)

    return ((effects, "_look", look),)


def all_at_once() -> tuple[Swap, ...]:
    """A place that cannot give the secret back gets it together with the readable ones."""

    def due(state: State) -> tuple[Delivery, ...]:
        return tuple(item for item in spread.pending(state) if not state.observed.readings[item].problem)

    return ((spread, "_due", due),)


def not_put_back() -> tuple[Swap, ...]:
    """A secret that nobody has is minted again although consumers may use it."""
    return without("marked.put_back")


def not_moved_on() -> tuple[Swap, ...]:
    """The same, where nothing can be read at all."""
    return without("marked.moved_on")


def covered_untried() -> tuple[Swap, ...]:
    """A secret is written over a value that nobody can know before it was tried."""
    return everywhere(marked, "covers", lambda state, places: False)


def first_write_unnoted() -> tuple[Swap, ...]:
    """Nothing says before the first write to a place that it is ours."""
    return ((spread, "never_ours", lambda state, places: False),)


def unanswered_write_forgotten() -> tuple[Swap, ...]:
    """An intent that ends unfinished leaves no trace of what it may have written."""
    return everywhere(deliveries, "in_doubt", lambda state, noted: noted)


def late_write_unseen() -> tuple[Swap, ...]:
    """After a wait a place is not read again that had the noted marker before."""
    real = transition._waited

    def waited(state: State) -> State:
        blind = {item: replace(read, marked=False) for item, read in state.observed.readings.items()}
        after = real(replace(state, observed=replace(state.observed, readings=blind)))
        kept = {item: state.observed.readings[item] for item in after.observed.readings}
        return replace(after, observed=replace(after.observed, readings=kept))

    return ((transition, "_waited", waited),)


def last_holder_minted() -> tuple[Swap, ...]:
    """If no place can give the live secret, it is replaced although one still holds it."""
    return ((rotate, "still_held", lambda state: False),)


def dropped_effect_not_awaited() -> tuple[Swap, ...]:
    """Of a place that the entry no longer has, nobody asks what its consumers use."""
    return ((in_effect, "anywhere", deliveries.places),)


def refused_standby_minted() -> tuple[Swap, ...]:
    """A standby's secret that a place holds is taken for dead because the API refuses it."""
    return ((rotate, "standby_held", lambda state: False),)


def unanswered_writes_uncounted() -> tuple[Swap, ...]:
    """What sets a rollout off is sent again and again until it is answered."""
    return everywhere(spread, "exhausted", lambda state, place: False)


def refusal_is_no_end() -> tuple[Swap, ...]:
    """A place that takes no secret for certain is tried again in the next run, with another mint."""
    return everywhere(deliveries, "barred", lambda state: ())


def tried_where_nothing_is_taken() -> tuple[Swap, ...]:
    """What a place shows of a part that is gone keeps nobody from sending a secret there."""
    return everywhere(deliveries, "refuses", lambda state, place: False)


def gone_unnoted() -> tuple[Swap, ...]:
    """That a place is gone is forgotten when the run ends."""
    return without("drift.gone")


def failure_noted_again() -> tuple[Swap, ...]:
    """Each run writes down that what a write set off has failed."""
    real = in_effect.failed

    def failed(state: State) -> Decision | None:
        return real(replace(state, record=replace(record_of(state), history=())))

    return instead("in_effect.failed", failed)


def record_alone_empties() -> tuple[Swap, ...]:
    """What a record says of a place that nobody can read is enough to empty it."""
    return everywhere(deliveries, "withheld", lambda state, place: None)


ALTERNATING, IN_PLACE = "alternating", "in-place"
SHUT = (("shut", IN_PLACE), ("shut", ALTERNATING))
MARKING: Mapping[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant("the effect is not awaited", effect_not_awaited, (("retire", ALTERNATING),), places=("d",)),
        Mutant("a failed effect is not told", effect_not_awaited, (("rollout-failed", ALTERNATING),), places=("dr",)),
        Mutant(
            "markers are not compared", marker_not_compared, (("drift-of-another-system", IN_PLACE),), places=("s",)
        ),
        Mutant("what cannot be read is a source", unread_is_a_source, (("delivery-added", IN_PLACE),), places=("s",)),
        Mutant("readable places do not come first", all_at_once, (("rotate", ALTERNATING),), places=("rs",)),
        Mutant("a lost secret is not put back", not_put_back, (("pasted-over", ALTERNATING),), places=("rs",)),
        Mutant("a delivered secret is not moved on to", not_moved_on, (("rotate", ALTERNATING),), places=("s",)),
        Mutant(
            "an unknown value is covered untried",
            covered_untried,
            (("rotate>live-gone>back", IN_PLACE),),
            places=("rs", "dr"),
        ),
        Mutant("a first write leaves no note", first_write_unnoted, (("create", IN_PLACE),), places=("s",)),
        Mutant(
            "an unanswered write is forgotten", unanswered_write_forgotten, (("rotate>moved", IN_PLACE),), places=("s",)
        ),
        Mutant("a late write is not seen", late_write_unseen, (("rotate", IN_PLACE),), places=("s",)),
        Mutant(
            "a dropped place is not waited for",
            dropped_effect_not_awaited,
            (("rotate>moved", ALTERNATING),),
            places=("dr",),
        ),
        Mutant(
            "a refused standby is minted",
            refused_standby_minted,
            (("retire-rolled-back", ALTERNATING),),
            places=("ps",),
        ),
        Mutant(
            "unanswered writes are not counted", unanswered_writes_uncounted, (("rotate", ALTERNATING),), places=("d",)
        ),
        Mutant("a refusal for certain is no end", refusal_is_no_end, (("barred", IN_PLACE),), places=("s", "d")),
        Mutant("what takes nothing is sent something", tried_where_nothing_is_taken, SHUT, places=("dr",)),
        Mutant("what is gone is forgotten", gone_unnoted, SHUT, places=("s", "dr")),
        Mutant("a failure is noted again", failure_noted_again, (("rollout-failed", ALTERNATING),), places=("dr",)),
        Mutant("a record alone empties a place", record_alone_empties, (("forged-place", IN_PLACE),)),
        Mutant("the last holder is minted", last_holder_minted, (("repair", ALTERNATING),), places=("ps",)),
    )
}
