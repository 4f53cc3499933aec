"""PURE: what a step that came to an outcome changes; and the outcome that a plan assumes.

`plan` and `apply` go through the same `advance`, so that a plan cannot say one thing and apply do another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from keyturn.core.model import ApiKey, Delivery, SmokeResult, Verdict
from keyturn.core.record import Claim, Op
from keyturn.core.state import Reading, State
from keyturn.core.steps import (
    Check,
    Create,
    DeleteKey,
    Deliver,
    Look,
    LookBack,
    LookClaim,
    Preflight,
    Purpose,
    Regenerate,
    Relist,
    Remove,
    Rename,
    Step,
    Wait,
    Write,
    WriteClaim,
    WriteRecord,
)


@dataclass(frozen=True, slots=True)
class Done:
    """The effect took place."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Deliveries were read; the digests can be delivered from now on."""

    readings: Mapping[Delivery, Reading] = field(default_factory=dict)
    in_hand: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim was read."""

    claim: Claim | None


@dataclass(frozen=True, slots=True)
class Listed:
    """The keys were listed again."""

    keys: tuple[ApiKey, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A secret was smoke-checked."""

    result: SmokeResult


@dataclass(frozen=True, slots=True)
class Written:
    """A record was written at this version."""

    version: str


@dataclass(frozen=True, slots=True)
class Made:
    """A secret was minted: its digest, and the key that a create made."""

    digest: str
    key: ApiKey | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """Deliveries were tried: what went wrong; and, in a plan only, what they hold now. Apply reads them back."""

    problems: Mapping[Delivery, str] = field(default_factory=dict)
    ambiguous: bool = False
    """A write was sent and its fate is unknown: it may still land."""
    assumed: Mapping[Delivery, Reading] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The effect failed; `definite`: nothing happened and nothing will."""

    why: str
    exit_code: int = 1
    definite: bool = True
    retired: bool = False


Outcome = Done | Looked | Claimed | Listed | Checked | Written | Made | Delivered | Failed


def advance(state: State, step: Step, outcome: Outcome) -> State:  # noqa: C901, PLR0912 - one case a step
    """Return the state after a step came to an outcome."""
    if isinstance(outcome, Failed):
        return _failed(state, step, outcome)
    match step, outcome:
        case ((Look() | LookBack()), Looked(readings, in_hand)):
            seen = state.observed
            looked_back = state.run.looked_back | ({step.digest} if isinstance(step, LookBack) else set())
            return state.with_observed(readings={**seen.readings, **readings}, in_hand=seen.in_hand | in_hand).with_run(
                looked_back=looked_back
            )
        case LookClaim(uuid), Claimed(claim):
            return state.with_observed(claims={**state.observed.claims, uuid: claim})
        case Relist(), Listed(keys):
            return relisted(state, keys)
        case Check(), Checked(result):
            return _checked(state, step, result)
        case Preflight(), _:
            return state.with_run(preflighted=True)
        case Wait(), _:
            return _waited(state)
        case WriteRecord(), Written(version):
            return _written(state, step, version)
        case WriteClaim(claim), Claimed(other):
            # Somebody else was quicker: the machine decides anew.
            return state.with_observed(claims={**state.observed.claims, claim.uuid: other})
        case WriteClaim(claim), _:
            return state.with_observed(claims={**state.observed.claims, claim.uuid: claim})
        case Create(), Made(digest, key):
            keys = (*state.observed.keys, key) if key else state.observed.keys
            return _minted(state.with_observed(keys=keys), digest)
        case Regenerate(discard=True), Made():
            return state.with_run(discarded=True, fresh=False, mints=state.run.mints + 1)
        case Regenerate(), Made(digest):
            return _minted(state, digest)
        case Rename(uuid, name), _:
            return state.with_observed(
                keys=tuple(replace(key, name=name) if key.uuid == uuid else key for key in state.observed.keys)
            )
        case DeleteKey(uuid), _:
            keys = tuple(key for key in state.observed.keys if key.uuid != uuid)
            return state.with_observed(keys=keys).with_run(seen_ours=True)
        case Deliver(), Delivered():
            return _delivered(state, step, outcome)
        case Remove(delivery), _:
            return state.with_observed(readings={**state.observed.readings, delivery: Reading()})
        case _:
            message = f"{type(step).__name__} cannot come to {type(outcome).__name__}"
            raise AssertionError(message)


def relisted(state: State, keys: tuple[ApiKey, ...]) -> State:
    """Take a second complete list: what neither shows is gone."""
    alive = tuple(key for key in keys if key.deleted_at is None)
    recorded = {slot.uuid for slot in state.record.slots.values()} if state.record else set()
    shown = {key.uuid for key in keys}
    # What only the first list showed is not gone yet: that takes two.
    once = tuple(key for key in state.observed.keys if key.uuid in recorded - shown)
    kept = (*alive, *once)
    return state.with_observed(keys=kept, relisted=True, gone=frozenset(recorded - {key.uuid for key in kept}))


def _minted(state: State, digest: str) -> State:
    return state.with_run(minted=digest, mints=state.run.mints + 1, fresh=False, tries=0).with_observed(
        in_hand=state.observed.in_hand | {digest}
    )


def _checked(state: State, step: Check, result: SmokeResult) -> State:
    if step.purpose is not Purpose.OLD:
        return state.with_observed(verdicts={**state.observed.verdicts, step.digest: result})
    if result.verdict is Verdict.REFUSED:
        return state.with_run(proof="proven")
    if result.verdict is Verdict.ACCEPTED:
        why = "OldSecretAlive: the old secret is still accepted; it belongs to another API key"
        return state.with_run(proof="alive", problems=(*state.run.problems, why))
    return state.with_run(proof="by-contract")


def _waited(state: State) -> State:
    """What could not be read may be readable now, and what does not hold the secret yet is read again."""
    intent = state.record.intent if state.record else None
    known = state.run.minted or (intent.digest if intent else None)
    if state.record and intent and intent.op is Op.DELIVER:
        known = state.record.live_digest
    readings = {
        place: item
        for place, item in state.observed.readings.items()
        if not item.problem and (known is None or item.digest == known)
    }
    return state.with_observed(readings=readings).with_run(paused=True, tries=state.run.tries + 1)


def _delivered(state: State, step: Deliver, outcome: Delivered) -> State:
    timing, run = state.desired.timing, state.run
    until = run.deliver_until if run.deliver_until is not None else state.clock.uptime + timing.delivery
    left = {place: item for place, item in state.observed.readings.items() if place not in step.deliveries}
    return state.with_observed(readings={**left, **(outcome.assumed or {})}).with_run(
        attempted=True,
        paused=False,
        deliver_until=until,
        delivery_problems=outcome.problems,
        unsettled_until=state.clock.uptime + timing.settle if outcome.ambiguous else run.unsettled_until,
    )


def _written(state: State, step: WriteRecord, version: str) -> State:
    after, intent = _remembered(state, step, version), step.record.intent
    if intent is not None and intent.spare and step.kind in {Write.OPEN, Write.REOPEN}:
        # A person may have taken the spare meanwhile: it is listed again after the intent.
        return after.with_observed(relisted=False)
    return after


def _remembered(state: State, step: WriteRecord, version: str) -> State:
    before, run = state.record, state.run
    after = replace(state, record=step.record, version=version)
    ours = step.record.intent is not None and step.record.intent.run == run.id
    after = after.with_run(then=step.then, leased=state.clock if ours else None, nonce=_next_nonce(run.nonce))
    match step.kind:
        case Write.OPEN:
            asked = step.record.intent is not None and step.record.intent.op is Op.ROTATE
            return _begun(after).with_run(fresh=True, found=False, honoured=run.honoured or asked)
        case Write.TAKE:
            until = state.clock.uptime + state.desired.timing.settle
            return (
                _begun(after)
                .with_run(found=True, unsettled_until=until)
                .with_observed(readings={}, in_hand=frozenset())
            )
        case Write.REOPEN:
            return after.with_run(fresh=True, minted=None, attempted=False, paused=False, deliver_until=None)
        case Write.COMMIT | Write.CLOSE:
            closed = before.intent.op if before and before.intent else None
            gave_up = run.gave_up or closed is Op.DELIVER or (run.attempted and _pending(after))
            rotated = run.rotated or (before is not None and step.record.generation > before.generation)
            return _begun(after).with_run(found=False, gave_up=gave_up, rotated=rotated)
        case Write.FAIL:
            return after.with_run(counted=True)
        case Write.REQUEST:
            return after.with_run(honoured=True)
        case Write.ADOPT | Write.EXTEND | Write.NOTE | Write.KEEP:
            return after


def _pending(state: State) -> bool:
    record = state.record
    known = {item.delivery: item.digest for item in record.deliveries} if record else {}
    return record is not None and any(known.get(item) != record.live_digest for item in state.desired.deliveries)


def _next_nonce(nonce: str) -> str:
    """Return another nonce of the same randomness, so that two intents of one run differ."""
    return f"{(int(nonce or '0', 16) + 1) % 16 ** max(len(nonce), 1):0{max(len(nonce), 1)}x}"


def _begun(state: State) -> State:
    """Forget what belonged to the intent before."""
    return state.with_run(
        fresh=False,
        minted=None,
        discarded=False,
        trouble="",
        create_retired=False,
        attempted=False,
        paused=False,
        tries=0,
        deliver_until=None,
        delivery_problems={},
        proof="",
    )


def _failed(state: State, step: Step, outcome: Failed) -> State:
    until = state.clock.uptime + state.desired.timing.settle
    if isinstance(step, Create | Regenerate):
        if outcome.definite:
            return state.with_run(
                fresh=False,
                trouble=outcome.why,
                trouble_exit=outcome.exit_code,
                trouble_definite=True,
                create_retired=outcome.retired,
            )
        # Rule 1: from here on the open intent is a found one.
        return state.with_run(
            fresh=False,
            found=True,
            mints=state.run.mints + 1,
            unanswered=state.run.unanswered + 1,
            unsettled_until=until,
            minted=None,
        ).with_observed(readings={}, relisted=False)
    return state.with_run(
        trouble=outcome.why,
        trouble_exit=outcome.exit_code,
        trouble_definite=outcome.definite,
        found=state.run.found or not outcome.definite,
        unsettled_until=state.run.unsettled_until if outcome.definite else until,
    )


def assume(state: State, step: Step) -> Outcome:
    """Return the outcome that a plan takes for granted. Reads are not assumed but made: see the executor."""
    match step:
        case WriteRecord():
            return Written(state.version)
        case Create():
            # As the API has answered since May 2026; apply tries it all the same, and uses it if it works.
            return Failed("the API no longer creates keys", retired=True)
        case Regenerate():
            return Made(f"minted-{state.run.mints}")
        case Check(purpose=Purpose.OLD):
            return Checked(SmokeResult(Verdict.REFUSED))
        case Check():
            return Checked(SmokeResult(Verdict.ACCEPTED))
        case Deliver(digest=digest):
            return Delivered(assumed={place: Reading(digest) for place in step.deliveries})
        case _:
            return Done()
