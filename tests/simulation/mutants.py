"""Deliberately broken machines and executors: the proof that the simulator would notice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

from keyturn.core import transition
from keyturn.core.errors import Ambiguous, KeyturnError
from keyturn.core.machine import create, deliveries, minting, next_step, ownership, provenance, retire, rotate, source
from keyturn.core.machine.chain import CHAINS, first
from keyturn.core.machine.facts import intent_of, record_of
from keyturn.core.machine.policy import Branch, Chain, Conditional, Link, Policy, name_of
from keyturn.core.machine.proof import PROOF
from keyturn.core.machine.spread import SPREAD
from keyturn.core.model import ApiKey, SlotName
from keyturn.core.record import Op, Record
from keyturn.core.state import Failed, Reading, State
from keyturn.core.steps import Create, Decision, Deliver, Regenerate, Step, Write, WriteRecord
from keyturn.core.transition import Delivered, Made, Outcome, Written
from keyturn.core.world import Guard, Minted
from keyturn.engine import effects, executor
from keyturn.engine.observe import Hand, digest_key
from tests.simulation.world import SimWorld

Swap = tuple[object, str, object]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One break: what was broken, how, and the histories in which it has to show."""

    name: str
    swaps: Callable[[], tuple[Swap, ...]]
    where: tuple[tuple[str, str], ...]
    faults: int = 1
    places: tuple[str, ...] = ("1", "2")
    """The places with which it has to show."""
    two: bool = False
    """It shows only where two runs meet."""


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """Break the product for a while."""
    with ExitStack() as stack:
        for where, name, broken_one in mutant.swaps():
            if where is CHAINS:
                stack.enter_context(patch.dict(CHAINS, {name: broken_one}))
            else:
                stack.enter_context(patch.object(where, name, broken_one))
        yield


def everywhere(owner: object, name: str, new: object) -> tuple[Swap, ...]:
    """Swap a function in every module that imported it."""
    old = getattr(owner, name)
    modules = [module for label, module in sys.modules.items() if label.startswith("keyturn.")]
    return tuple((module, name, new) for module in modules if getattr(module, name, None) is old)


def edited(edit: Callable[[Chain], Chain], *chains: str) -> tuple[Swap, ...]:
    """Swap chains by edited ones: the named, or every one; the edit has to change something."""
    swaps = tuple((CHAINS, name, after) for name in chains or CHAINS if (after := edit(CHAINS[name])) != CHAINS[name])
    assert swaps, "the edit changes no chain"
    return swaps


def called(link: Link) -> str:
    """Return the name of a policy, or of the chain that a branch leads to."""
    if isinstance(link, Branch):
        return link.chain
    return name_of(link.policy if isinstance(link, Conditional) else link)


def without(*links: str, chains: tuple[str, ...] = ()) -> tuple[Swap, ...]:
    """Leave policies and branches out."""
    return edited(lambda chain: tuple(link for link in chain if called(link) not in links), *chains)


def instead(old: str, *new: Policy, chains: tuple[str, ...] = ()) -> tuple[Swap, ...]:
    """Ask other policies instead of one."""

    def edit(chain: Chain) -> Chain:
        return tuple(link for found in chain for link in (new if called(found) == old else (found,)))

    return edited(edit, *chains)


def swapped(chain: str, first_part: Chain, second_part: Chain) -> tuple[Swap, ...]:
    """Ask two parts of a chain, one right after the other, in the other order."""
    links, both = CHAINS[chain], (*first_part, *second_part)
    at = next(at for at in range(len(links)) if links[at : at + len(both)] == both)
    return ((CHAINS, chain, (*links[:at], *second_part, *first_part, *links[at + len(both) :])),)


def _performs(change: Callable[[SimWorld, State, Step, Hand], Outcome | None]) -> tuple[Swap, ...]:
    """Swap `perform` by one that does some steps differently."""
    real = effects.perform

    def mutated(world: SimWorld, state: State, step: Step, hand: Hand) -> Outcome:
        done = change(world, state, step, hand)
        return real(world, state, step, hand) if done is None else done

    return ((executor, "perform", mutated),)


def _mints(record: Record) -> bool:
    return record.intent is not None and record.intent.op in {Op.CREATE, Op.ROTATE, Op.RETIRE}


def intent_after_mint() -> tuple[Swap, ...]:
    """The intent reaches the store only with the next write, after the mint."""

    def change(world: SimWorld, state: State, step: Step, hand: Hand) -> Outcome | None:
        if isinstance(step, WriteRecord) and step.kind in {Write.OPEN, Write.REOPEN} and _mints(step.record):
            return Written(state.version, state.clock)
        return None

    return _performs(change)


def create_tried_again() -> tuple[Swap, ...]:
    """A create without an answer is sent again, blindly."""

    def change(world: SimWorld, state: State, step: Step, hand: Hand) -> Outcome | None:
        if not isinstance(step, Create):
            return None
        try:
            minted = world.create(step.name, lambda: None)
        except Ambiguous:
            minted = world.create(step.name, lambda: None)
        return Made(hand.take(minted.secret, digest_key(state)), minted.key)

    return _performs(change)


def regenerate_tried_again() -> tuple[Swap, ...]:
    """A regenerate without an answer is sent again, blindly, and its answer taken as the last."""

    def change(world: SimWorld, state: State, step: Step, hand: Hand) -> Outcome | None:
        if not isinstance(step, Regenerate):
            return None
        minted: Minted
        try:
            minted = world.regenerate(step.uuid, lambda: None)
        except Ambiguous:
            minted = world.regenerate(step.uuid, lambda: None)
        return Made(hand.take(minted.secret, digest_key(state)))

    return _performs(change)


def failed_list_is_empty() -> tuple[Swap, ...]:
    """A list that failed counts as one that shows no keys."""
    real = SimWorld.list_keys

    def list_keys(world: SimWorld, *, fresh: bool = False) -> tuple[ApiKey, ...]:
        try:
            return real(world, fresh=fresh)
        except KeyturnError:
            return ()

    return ((SimWorld, "list_keys", list_keys),)


def no_compare_and_set() -> tuple[Swap, ...]:
    """A record is written over whatever is there."""
    real = SimWorld.write_record

    def write_record(world: SimWorld, record: Record, version: str) -> str:
        return real(world, record, str(world.universe.records.get(record.key, (None, 0))[1]))

    return ((SimWorld, "write_record", write_record),)


def lease_not_checked() -> tuple[Swap, ...]:
    """Nothing is asked right before a call goes out."""

    def guard(world: SimWorld, state: State) -> Guard:
        return lambda: None

    return ((effects, "guard", guard),)


def no_settling() -> tuple[Swap, ...]:
    """Nobody waits for what may still land."""
    return without("guards.settled", "guards.landed")


def no_settling_of_a_retire() -> tuple[Swap, ...]:
    """Rule 4: an ambiguous retire is committed without settling."""

    def change(world: SimWorld, state: State, step: Step, hand: Hand) -> Outcome | None:
        if isinstance(step, Regenerate) and step.discard:
            try:
                world.regenerate(step.uuid, lambda: None)
            except Ambiguous:
                return Made("")
            return Made("")
        return None

    return _performs(change)


def found_is_fresh() -> tuple[Swap, ...]:
    """Rule 1: an open intent that was found counts as one that this pass wrote."""
    real = transition._written

    def written(state: State, step: WriteRecord, outcome: Written) -> State:
        after = real(state, step, outcome)
        if step.kind is Write.TAKE:
            attempt = replace(after.run.attempt, fresh=True, found=False)
            return replace(after, run=replace(after.run, attempt=attempt, unsettled_until=0.0))
        return after

    return ((transition, "_written", written),)


def mints_before_looking() -> tuple[Swap, ...]:
    """Rule 2: a run that finds an open intent mints without reading the targets first."""
    return without("guards.seen(anywhere)", "minting.may_hold_it", chains=(Op.CREATE, Op.ROTATE))


def takes_unreadable_for_empty() -> tuple[Swap, ...]:
    """Rule 2: a target that cannot be read counts as one that does not hold the new secret."""
    return without("minting.may_hold_it")


def found_secret_unused() -> tuple[Swap, ...]:
    """Rule 2: a secret that was found in a target is not copied: another one is minted."""

    def mint_anyway(state: State) -> Decision | None:
        if state.run.attempt.minted is not None or not source.ready(state):
            return None
        return first(state, (*minting.MAY_REGENERATE, minting.regenerate)).decision

    return edited(lambda chain: (mint_anyway, *chain), "standby", "live")


def late_mint_not_rechecked() -> tuple[Swap, ...]:
    """Rule 3: after an ambiguous mint the next one's answer is trusted at once."""
    real = transition._failed

    def failed(state: State, step: Step, outcome: Failed) -> State:
        after = real(state, step, outcome)
        if isinstance(step, Create | Regenerate) and not outcome.definite:
            attempt = replace(after.run.attempt, found=False)
            return replace(after, run=replace(after.run, attempt=attempt, unsettled_until=0.0))
        return after

    return ((transition, "_failed", failed),)


def claim_not_written() -> tuple[Swap, ...]:
    """Nothing says whose an API key is."""
    return everywhere(ownership, "claim", lambda state, uuid: None)


def unknown_digest_is_a_source() -> tuple[Swap, ...]:
    """Whatever a target holds counts as the secret of the open rotation."""

    def mutated(state: State) -> Decision:
        held = [reading.digest for reading in state.observed.readings.values() if reading.digest]
        intent = state.record.intent if state.record else None
        if state.record and intent and intent.op in {Op.CREATE, Op.ROTATE} and held and not state.run.attempt.minted:
            state = replace(state, record=replace(state.record, intent=replace(intent, digest=held[0])))
        return next_step(state)

    return ((executor, "next_step", mutated),)


def not_read_back() -> tuple[Swap, ...]:
    """A delivery that was sent counts as one that was made."""
    real = transition._delivered

    def delivered(state: State, step: Deliver, outcome: Delivered) -> State:
        assumed = {place: Reading(step.digest, "1") for place in step.deliveries}
        return real(state, step, replace(outcome, assumed=assumed))

    return ((transition, "_delivered", delivered),)


def delivered_unproven() -> tuple[Swap, ...]:
    """A new secret is delivered before the API accepted it."""
    return swapped("standby", PROOF, SPREAD)


def overlap_ignored() -> tuple[Swap, ...]:
    """The old secret is retired as soon as the new one is live."""
    real = retire.due
    return everywhere(retire, "due", lambda state: real(state) or bool(record_of(state).retire))


def retired_unread() -> tuple[Swap, ...]:
    """The old secret is retired without a look at the targets."""
    return everywhere(retire, "not_yet_live", lambda state: "")


def nonce_left_out() -> tuple[Swap, ...]:
    """A create is made, and recognised, under the plain name."""

    def plain(state: State) -> str:
        return state.name_of(intent_of(state).slot or SlotName.A)

    def made(state: State) -> tuple[ApiKey, ...]:
        return state.observed.named(plain(state))

    return ((create, "nonce_name", plain), *everywhere(provenance, "made", made))


def digest_not_noted() -> tuple[Swap, ...]:
    """The digest of a new secret is not written into the intent."""
    real = SimWorld.write_record

    def write_record(world: SimWorld, record: Record, version: str) -> str:
        if record.intent and record.intent.digest:
            record = replace(record, intent=replace(record.intent, digest=None))
        return real(world, record, version)

    return ((SimWorld, "write_record", write_record),)


def intent_never_closed() -> tuple[Swap, ...]:
    """A commit leaves its intent open."""
    real = minting.committed

    def committed(state: State, digest: str) -> Decision:
        step = real(state, digest)
        if isinstance(step, WriteRecord):
            return replace(step, record=replace(step.record, intent=intent_of(state)))
        return step

    return ((minting, "committed", committed),)


def live_slot_minted() -> tuple[Swap, ...]:
    """A rotation regenerates the live slot instead of the standby."""

    def slot(state: State) -> object:
        record = record_of(state)
        return record.live or next(iter(record.slots))

    return ((rotate, "slot_to_mint", slot),)


def foreign_overwritten() -> tuple[Swap, ...]:
    """A field that someone else filled is taken as ours."""
    return everywhere(deliveries, "foreign", lambda state: ())


def pending_forgotten() -> tuple[Swap, ...]:
    """The other targets are not caught up."""
    return without("open-deliver")


TWICE = (("rotate-twice", "alternating"),)
ROTATIONS = (("rotate", "in-place"), ("rotate", "alternating"))
ALTERNATING = (("rotate", "alternating"),)
CREATES = (("create", "in-place"), ("create", "alternating"))

MUTANTS: Mapping[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant("the intent is written after the mint", intent_after_mint, (*CREATES, *ROTATIONS)),
        Mutant("a create without an answer is tried again", create_tried_again, CREATES),
        Mutant("a regenerate without an answer is tried again", regenerate_tried_again, ALTERNATING),
        Mutant("a failed list is an empty list", failed_list_is_empty, (*ROTATIONS, ("delete", "in-place"))),
        Mutant("records are written without compare-and-set", no_compare_and_set, ROTATIONS, two=True),
        Mutant("the lease is not checked", lease_not_checked, ROTATIONS, two=True),
        Mutant("the settle time is dropped", no_settling, (*CREATES, *ALTERNATING)),
        Mutant("rule 1: a found intent counts as fresh", found_is_fresh, ALTERNATING),
        Mutant("rule 2: mints before it looks", mints_before_looking, ALTERNATING, 2),
        Mutant("rule 2: unreadable counts as empty", takes_unreadable_for_empty, ALTERNATING, 2),
        Mutant("rule 2: a found secret is not used", found_secret_unused, ALTERNATING),
        Mutant("rule 3: a late mint is not checked again", late_mint_not_rechecked, ROTATIONS),
        Mutant(
            "rule 4: an ambiguous retire is not settled", no_settling_of_a_retire, (("rotate-twice", "alternating"),)
        ),
        Mutant("the claim is not written", claim_not_written, CREATES),
        Mutant("an unknown digest is a source", unknown_digest_is_a_source, ROTATIONS),
        Mutant("deliveries are not read back", not_read_back, ROTATIONS),
        Mutant("delivers before the smoke-check", delivered_unproven, ALTERNATING),
        Mutant("the overlap is ignored", overlap_ignored, ALTERNATING),
        Mutant("retires without reading the targets", retired_unread, (("retire-rolled-back", "alternating"),)),
        Mutant("the nonce is left out", nonce_left_out, (("create-beside", "in-place"),)),
        Mutant("the digest is not noted", digest_not_noted, ALTERNATING, 2),
        Mutant("a commit leaves the intent open", intent_never_closed, ROTATIONS),
        Mutant("the live slot is minted", live_slot_minted, ALTERNATING),
        Mutant("a foreign field is overwritten", foreign_overwritten, (("field-in-use", "in-place"),)),
        Mutant("a pending delivery is forgotten", pending_forgotten, (("delivery-added", "in-place"),)),
    )
}
