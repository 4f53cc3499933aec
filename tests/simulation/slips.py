"""More deliberately broken machines: without one of the smaller rules around the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from unittest.mock import patch

from keyturn.core import transition
from keyturn.core.machine import delete, deliver, deliveries, facts, ownership, parking, provenance, source, spread
from keyturn.core.machine.deliver import cleaned, readable_unwanted
from keyturn.core.machine.facts import record_of
from keyturn.core.machine.guards import seen
from keyturn.core.machine.policy import Conditional
from keyturn.core.model import ApiKey, Delivery, SlotName
from keyturn.core.record import DeliveryState, Op, Record, Retire
from keyturn.core.state import Likeness, State
from keyturn.core.steps import Decision, DeleteKey, WriteRecord
from keyturn.core.world import Held
from keyturn.engine import effects, executor, smoke
from tests.simulation.mutants import Mutant, Swap, edited, everywhere, instead, without
from tests.simulation.world import SimWorld

ENOUGH = 10**9


def named_is_ours() -> tuple[Swap, ...]:
    """A field counts as ours as soon as the record names it."""
    return ((DeliveryState, "proven", property(lambda _: True)),)


def secret_forgotten() -> tuple[Swap, ...]:
    """A record knows only the secrets that it has now."""
    return ((Record, "remembering", lambda record, _: record),)


def first_delivery_unnoted() -> tuple[Swap, ...]:
    """The digest of a secret is noted only after its first delivery, also where none of ours was before."""
    return edited(
        lambda chain: tuple(
            link for link in chain if not (isinstance(link, Conditional) and link.when is spread.first_there)
        )
    )


def name_of_others_taken() -> tuple[Swap, ...]:
    """An API key is renamed to whatever the entry says."""
    return without("rename.name_taken", "rename.close_taken")


def team_not_compared() -> tuple[Swap, ...]:
    """The account token is taken for one of the key's own team."""
    return without("ownership.team")


def come_back_is_new() -> tuple[Swap, ...]:
    """An API key that is listed again is taken for one that an operator made."""
    return without("gone.back")


def spare_unclaimed() -> tuple[Swap, ...]:
    """A spare is taken without a claim."""
    return without("pool.claim_spare")


def spare_before_intent() -> tuple[Swap, ...]:
    """A spare is claimed before any record says so."""
    real = SimWorld.write_record

    def write_record(world: SimWorld, record: Record, version: str) -> str:
        if record.intent and record.intent.spare and not record.slots:
            record = replace(record, intent=replace(record.intent, spare=""))
        return real(world, record, version)

    return ((SimWorld, "write_record", write_record),)


def spare_not_renamed() -> tuple[Swap, ...]:
    """A spare is regenerated under its name in the pool."""
    return without("pool.rename_spare")


def clock_not_compared() -> tuple[Swap, ...]:
    """However wrong the clock is, it is taken as right."""
    return ((ownership, "MAX_SKEW", float(ENOUGH)),)


def overlap_not_put_off() -> tuple[Swap, ...]:
    """A place that is repaired at the end of an overlap has none."""

    def same(state: State, late: object) -> Retire | None:
        return record_of(state).retire

    return ((deliver, "put_off", same),)


def never_cleaned() -> tuple[Swap, ...]:
    """What a delivery held stays where there is no delivery any more."""
    return without("deliver.cleaned(readable_unwanted)", "deliver.cleaned(recorded)")


def cleaned_at_once() -> tuple[Swap, ...]:
    """The old place is emptied before the new one has the secret."""
    at_once = instead("deliver.cleaned(readable_unwanted)", cleaned(readable_unwanted))
    return (*at_once, *everywhere(deliveries, "arrived", lambda state: True))


def names_not_told_apart() -> tuple[Swap, ...]:
    """What was emptied is taken for a place of its own."""
    real = transition._removed
    return ((transition, "_removed", lambda state, step, _: real(state, step, transition.Removed(assumed=True))),)


def removed_unproven() -> tuple[Swap, ...]:
    """What is no longer wanted is taken for another place, whatever it is."""
    return everywhere(deliveries, "alike", lambda state, old: None)


def never_rewritten() -> tuple[Swap, ...]:
    """Two names that show the same version are compared without a write that would tell."""
    real = effects._likeness

    def likeness(world: SimWorld, old: Delivery, new: Delivery, found: dict[Delivery, Held]) -> Likeness:
        with patch.object(SimWorld, "preflight", lambda *_: None):
            return real(world, old, new, found)

    return ((effects, "_likeness", likeness),)


def other_name_emptied_again() -> tuple[Swap, ...]:
    """A place that filled when another one was written is emptied."""
    return everywhere(deliveries, "merged", lambda state, delivery: False)


def released_too_early() -> tuple[Swap, ...]:
    """A run that is asked to stop releases its lease although something that it sent may still land."""
    real = ownership.release_lease

    def release_lease(state: State) -> WriteRecord | None:
        return real(replace(state, run=replace(state.run, unsettled_until=0.0)))

    return everywhere(ownership, "release_lease", release_lease)


def cleaned_untried() -> tuple[Swap, ...]:
    """What is no longer wanted is removed although the API refuses the live secret."""
    return (
        *instead("deliver.cleaned(readable_unwanted)", cleaned(readable_unwanted)),
        *everywhere(deliver, "cleanable", deliveries.arrived),
    )


def never_parked() -> tuple[Swap, ...]:
    """However often it failed, it is minted again."""
    return ((parking, "PARK_AFTER", ENOUGH),)


def mints_without_end() -> tuple[Swap, ...]:
    """A run mints until it gets an answer."""
    return (*without("minting.unanswered", "create.unanswered"), (source, "MAX_MINTS", ENOUGH))


def no_preflight() -> tuple[Swap, ...]:
    """Nobody tries whether the targets can be written before a mint."""
    return without("rotate.preflight")


def no_second_opinion() -> tuple[Swap, ...]:
    """A delivered secret that is refused is minted again although the API may be failing."""
    return without("proof.second_opinion")


def accepted_once() -> tuple[Swap, ...]:
    """One answer proves a new secret."""
    return ((effects, "STRICT_TIMES", 1),)


def refused_once() -> tuple[Swap, ...]:
    """One answer proves that an old secret is dead."""
    return ((smoke, "DEAD", 1),)


def compromised_is_plain() -> tuple[Swap, ...]:
    """A leaked secret is rotated as any other."""
    return everywhere(facts, "compromised", lambda state: False)


def removed_places_not_looked_at() -> tuple[Swap, ...]:
    """A place that the entry no longer has is not looked at before a mint."""
    return instead("guards.seen(anywhere)", seen(deliveries.wanted), chains=(Op.ROTATE,))


def models_not_compared() -> tuple[Swap, ...]:
    """A new secret need not be allowed what the live one is."""
    return without("proof.other_models")


def old_secret_not_tried() -> tuple[Swap, ...]:
    """Nobody tries whether a retired secret is dead."""
    return without("retire.evidence")


def birth_not_compared() -> tuple[Swap, ...]:
    """An API key is known by its uuid alone."""
    real = ownership.gate

    def gate(state: State, uuids: Iterable[str]) -> Decision | None:
        record = record_of(state)
        slots = {name: replace(slot, created_at=None) for name, slot in record.slots.items()}
        claims = {uuid: claim and replace(claim, created_at=None) for uuid, claim in state.observed.claims.items()}
        observed = replace(state.observed, claims=claims)
        return real(replace(state, observed=observed, record=replace(record, slots=slots)), uuids)

    return everywhere(ownership, "gate", gate)


def claims_kept() -> tuple[Swap, ...]:
    """A deleted key's claims are never released."""

    def release_key(state: State, uuid: str, name: SlotName) -> Decision | None:
        return DeleteKey(uuid, None) if state.observed.key(uuid) else None  # type: ignore[arg-type]

    return ((delete, "release_key", release_key),)


def names_not_compared() -> tuple[Swap, ...]:
    """Whatever the record says is this key's API key."""
    return everywhere(provenance, "unproven", lambda state, uuid: "")


def age_not_compared() -> tuple[Swap, ...]:
    """However old it is, an API key with the nonce in its name was made by the create."""

    def made(state: State) -> tuple[ApiKey, ...]:
        return tuple(key for key in state.observed.keys if key.name.endswith(f"-kt{facts.intent_of(state).nonce}"))

    return everywhere(provenance, "made", made)


def limit_fails() -> tuple[Swap, ...]:
    """A key that the rate limit holds back fails, as by any other definite no."""
    return ((executor, "_held_back", lambda *_: False),)


def another_system_is_a_key() -> tuple[Swap, ...]:
    """Whatever a field holds is taken for a model access key."""
    return ((effects, "looks_like_key", lambda *_: True),)


def regenerated_over_another_system() -> tuple[Swap, ...]:
    """Consent to an API key is taken for consent to its field."""
    return without("in_use.in_use", chains=("adopt",))


def mint_has_to_look_like_a_key() -> tuple[Swap, ...]:
    """A secret of keyturn's own in a format that it does not know is taken for another system's."""
    return ((Record, "digests", frozenset()),)


def forgotten_unfinished() -> tuple[Swap, ...]:
    """A key is forgotten while an intent is open."""
    return without("delete.unfinished")


def forgotten_with_old_secret() -> tuple[Swap, ...]:
    """A key is forgotten although an old secret is to be killed."""
    return without("delete.old_secret")


def forgotten_and_deleted() -> tuple[Swap, ...]:
    """A key that is forgotten loses its API keys."""
    real = delete.release_key

    def release_key(state: State, uuid: str, name: SlotName) -> Decision | None:
        return real(replace(state, desired=replace(state.desired, retain=False)), uuid, name)

    return ((delete, "release_key", release_key),)


def half_forgotten() -> tuple[Swap, ...]:
    """Claims that a forget has released stay so although the entry is back."""
    return without("delete.claimed_again")


def moved_unfenced() -> tuple[Swap, ...]:
    """The record is copied while runs may still work on the old one."""
    return without("move.fence")


def claims_not_moved() -> tuple[Swap, ...]:
    """The claims stay with the old id."""
    return without("move.claims")


def old_record_left() -> tuple[Swap, ...]:
    """The record of the old id stays as it is."""
    return without("move.leave")


ALTERNATING, IN_PLACE = "alternating", "in-place"
SLIPS: Mapping[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant("the clock is never compared", clock_not_compared, (("clock-wrong", IN_PLACE),)),
        Mutant("a repaired place has no overlap", overlap_not_put_off, (("retire-rolled-back", ALTERNATING),)),
        Mutant("a removed delivery is not cleaned", never_cleaned, (("moved", IN_PLACE),)),
        Mutant("a moved delivery is cleaned too early", cleaned_at_once, (("moved", ALTERNATING),)),
        Mutant("two names are two places", names_not_told_apart, (("aliased-unlike", IN_PLACE),)),
        Mutant("another name is emptied again", other_name_emptied_again, (("aliased-unlike", ALTERNATING),)),
        Mutant("a copy is removed without the proof", removed_unproven, (("aliased", ALTERNATING),)),
        Mutant("two names are compared without a write", never_rewritten, (("apart-both", IN_PLACE),)),
        Mutant(
            "a stopped run releases too early", released_too_early, (("rotate", IN_PLACE), ("rotate", ALTERNATING)), 2
        ),
        Mutant(
            "old copies go before the live secret is tried",
            cleaned_untried,
            (("compromised+moved>stolen", ALTERNATING),),
        ),
        Mutant("a key is never parked", never_parked, (("parked", ALTERNATING),)),
        Mutant("a run mints without end", mints_without_end, (("rotate", IN_PLACE),)),
        Mutant("there is no preflight", no_preflight, (("closed", IN_PLACE),)),
        Mutant("there is no second opinion", no_second_opinion, (("rotate", ALTERNATING),), 2),
        Mutant("a secret accepted once is proven", accepted_once, (("rotate", ALTERNATING),)),
        Mutant("a secret refused once is dead", refused_once, (("retire", ALTERNATING),)),
        Mutant("a compromised key is rotated as any other", compromised_is_plain, (("compromised", ALTERNATING),)),
        Mutant("removed places may hold no secret", removed_places_not_looked_at, (("rotate>moved", ALTERNATING),)),
        Mutant("models need not be the same", models_not_compared, (("models-differ", ALTERNATING),)),
        Mutant("a retired secret is not tried", old_secret_not_tried, (("retire", ALTERNATING),)),
        Mutant("creation times are not compared", birth_not_compared, (("another-made", IN_PLACE),)),
        Mutant("teams are not compared", team_not_compared, (("another-account", ALTERNATING),)),
        Mutant("who comes back is new", come_back_is_new, (("gone>back", ALTERNATING),)),
        Mutant("a spare is taken unclaimed", spare_unclaimed, (("pool", IN_PLACE),)),
        Mutant("a spare is taken before the intent", spare_before_intent, (("pool", IN_PLACE),)),
        Mutant("a spare is not renamed", spare_not_renamed, (("pool", IN_PLACE),)),
        Mutant("claims are never released", claims_kept, (("delete", IN_PLACE),)),
        Mutant("names are not compared", names_not_compared, (("forged-retire", ALTERNATING),)),
        Mutant("ages are not compared", age_not_compared, (("forged-create", IN_PLACE),)),
        Mutant("a key fails by the rate limit", limit_fails, (("rotate", IN_PLACE),)),
        Mutant("another system's value is a key", another_system_is_a_key, (("adopt-of-another-system", IN_PLACE),)),
        Mutant("a repair tries what it finds", another_system_is_a_key, (("drift-of-another-system", ALTERNATING),)),
        Mutant(
            "consent to a key is one to its field",
            regenerated_over_another_system,
            (("adopt-over-another-system", IN_PLACE),),
        ),
        Mutant("a field that the record names is ours", named_is_ours, (("filled-meanwhile", IN_PLACE),)),
        Mutant("a secret of earlier is forgotten", secret_forgotten, (("adopt-regenerate", IN_PLACE),), 2),
        Mutant("a first delivery is not noted", first_delivery_unnoted, (("adopt-regenerate", IN_PLACE),)),
        Mutant("a name of others is taken", name_of_others_taken, (("name-taken", ALTERNATING),)),
        Mutant("unfinished work is forgotten", forgotten_unfinished, (("rotate>forget", IN_PLACE),)),
        Mutant("an old secret is forgotten", forgotten_with_old_secret, (("overlap>forget", ALTERNATING),)),
        Mutant("a forgotten key is deleted", forgotten_and_deleted, (("forget", IN_PLACE),)),
        Mutant("a key is half forgotten", half_forgotten, (("forget>back", ALTERNATING),)),
        Mutant("a record moves unfenced", moved_unfenced, (("id-moved", IN_PLACE),)),
        Mutant("claims do not move", claims_not_moved, (("id-moved>rotate", IN_PLACE),)),
        Mutant("the old record stays", old_record_left, (("id-moved", IN_PLACE),)),
        Mutant("a mint has to look like a key", mint_has_to_look_like_a_key, (("odd-format", IN_PLACE),)),
    )
}
