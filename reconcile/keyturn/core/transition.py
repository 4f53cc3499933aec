"""PURE: what the outcome of a step changes.

`plan` and `apply` go through the same `advance`, so that a plan cannot say one thing and apply do another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from keyturn.core.model import ApiKey, Delivery, SmokeResult, Verdict
from keyturn.core.record import Claim, Op
from keyturn.core.state import Attempt, Clock, Failed, Likeness, Reading, Source, Spread, State, tried
from keyturn.core.steps import (
    Check,
    Create,
    DeleteKey,
    Deliver,
    Look,
    LookAround,
    LookBack,
    LookClaim,
    LookSource,
    Preflight,
    Purpose,
    Regenerate,
    Relist,
    Remove,
    Rename,
    Step,
    TellApart,
    Wait,
    Write,
    WriteClaim,
    WriteRecord,
    WriteSource,
)


@dataclass(frozen=True, slots=True)
class Done:
    """The effect took place."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Deliveries were read; the digests can be delivered from now on."""

    readings: Mapping[Delivery, Reading] = field(default_factory=dict)
    in_hand: frozenset[str] = frozenset()
    likeness: Mapping[tuple[Delivery, Delivery], Likeness] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim was read."""

    claim: Claim | None


@dataclass(frozen=True, slots=True)
class LookedAround:
    """The other records were read; `holder` says what another key has, empty if nothing."""

    holder: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """The keys were listed again."""

    keys: tuple[ApiKey, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A secret was smoke-checked; `assumed`: a plan takes the result for granted."""

    result: SmokeResult
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A record was written at this version.

    `sent`: from then on its lease counts, however long the answer took or the process slept.
    """

    version: str
    sent: Clock


@dataclass(frozen=True, slots=True)
class Made:
    """A secret was minted: its digest, and the key that a create made."""

    digest: str
    key: ApiKey | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """Deliveries were tried: what went wrong; and, in a plan only, what they hold now. Apply reads them back."""

    problems: Mapping[Delivery, Failed] = field(default_factory=dict)
    written: Mapping[Delivery, str] = field(default_factory=dict)
    """The new version, or marker, of each acknowledged write."""
    undone: tuple[str, ...] = ()
    assumed: Mapping[Delivery, Reading] | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """A delivery was emptied; `assumed`: a plan takes for granted that no other one is the same place."""

    assumed: bool = False
    undone: tuple[str, ...] = ()


Outcome = (
    Done | Looked | LookedAround | Claimed | Source | Listed | Checked | Written | Made | Delivered | Removed | Failed
)


def advance(state: State, step: Step, outcome: Outcome) -> State:  # noqa: C901, PLR0912 - one case per step
    """Return the state after the outcome of a step."""
    if isinstance(outcome, Failed):
        return _failed(state, step, outcome)
    seen, run = state.observed, state.run
    match step, outcome:
        case ((Look() | LookBack() | TellApart()), Looked()):
            return _looked(state, step, outcome)
        case LookAround(digest), LookedAround(holder):
            return replace(state, observed=replace(seen, holders={**seen.holders, digest: holder}))
        case LookClaim(uuid), Claimed(claim):
            return replace(state, observed=replace(seen, claims={**seen.claims, uuid: claim}))
        case LookSource(), Source():
            return replace(state, observed=replace(seen, source=outcome))
        case WriteSource(record), Written(version):
            return replace(state, observed=replace(seen, source=Source(record, version)))
        case Relist(), Listed(keys):
            return relisted(state, keys)
        case Check(digest), Checked(result, assumed):
            after = _checked(state, step, result)
            guessed = after.observed.assumed | {digest}
            return replace(after, observed=replace(after.observed, assumed=guessed)) if assumed else after
        case Preflight(), _:
            return replace(state, run=replace(run, preflighted=True))
        case Wait(), _:
            return _waited(state)
        case WriteRecord(), Written():
            return _written(state, step, outcome)
        case WriteClaim(claim), Claimed(other):
            # Another process was quicker: the machine decides again.
            return replace(state, observed=replace(seen, claims={**seen.claims, claim.uuid: other}))
        case WriteClaim(claim), _:
            return replace(state, observed=replace(seen, claims={**seen.claims, claim.uuid: claim}))
        case Create(), Made(digest, key):
            keys = (*seen.keys, key) if key else seen.keys
            return _minted(replace(state, observed=replace(seen, keys=keys)), digest)
        case Regenerate(discard=True), Made():
            attempt = replace(run.attempt, discarded=True, fresh=False)
            return replace(state, run=replace(run, attempt=attempt, mints=run.mints + 1))
        case Regenerate(), Made(digest):
            return _minted(state, digest)
        case Rename(uuid, name), _:
            keys = tuple(replace(key, name=name) if key.uuid == uuid else key for key in seen.keys)
            return replace(state, observed=replace(seen, keys=keys))
        case DeleteKey(uuid), _:
            keys = tuple(key for key in seen.keys if key.uuid != uuid)
            return replace(state, observed=replace(seen, keys=keys), run=replace(run, seen_ours=True))
        case Deliver(), Delivered():
            return _delivered(state, step, outcome)
        case Remove(), Removed():
            return _removed(state, step, outcome)
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
    gone = frozenset(recorded - {key.uuid for key in kept})
    return replace(state, observed=replace(state.observed, keys=kept, relisted=True, gone=gone))


def _looked(state: State, step: Look | LookBack | TellApart, outcome: Looked) -> State:
    seen, run = state.observed, state.run
    looked_back = run.looked_back | ({step.digest} if isinstance(step, LookBack) else set())
    readings = {**seen.readings, **outcome.readings}
    return replace(
        state,
        observed=replace(seen, readings=readings, in_hand=seen.in_hand | outcome.in_hand),
        run=replace(run, looked_back=looked_back, likeness={**run.likeness, **outcome.likeness}),
    )


def _minted(state: State, digest: str) -> State:
    seen, run = state.observed, state.run
    attempt = replace(run.attempt, minted=digest, fresh=False, spread=Spread())
    return replace(
        state,
        observed=replace(seen, in_hand=seen.in_hand | {digest}),
        run=replace(run, attempt=attempt, mints=run.mints + 1),
    )


def _checked(state: State, step: Check, result: SmokeResult) -> State:
    seen, run = state.observed, state.run
    if step.purpose is not Purpose.OLD:
        return replace(state, observed=replace(seen, verdicts={**seen.verdicts, step.digest: result}))
    proof = {Verdict.REFUSED: "proven", Verdict.ACCEPTED: "alive"}.get(result.verdict, "by-contract")
    why = "OldSecretAlive: the old secret is still accepted; it belongs to another API key"
    problems = (*run.problems, why) if proof == "alive" else run.problems
    return replace(state, run=replace(run, attempt=replace(run.attempt, proof=proof), problems=problems))


def _waited(state: State) -> State:
    """What could not be read may be readable now, and what does not hold the secret yet is read again.

    So is a write-only delivery, unless a plan assumed what it holds: a late write changes its marker. If all had the
    secret before, a write that this brings about has the whole time for deliveries.
    """
    seen, run, attempt = state.observed, state.run, state.run.attempt
    intent = state.record.intent if state.record else None
    known = attempt.minted or (intent.digest if intent else None)
    if state.record and intent and intent.op is Op.DELIVER:
        known = state.record.live_digest
    doubtful = {item for item, read in seen.readings.items() if read.marked and read.version}
    readings = {
        delivery: item
        for delivery, item in seen.readings.items()
        if not item.problem and delivery not in doubtful and (known is None or item.digest == known)
    }
    read = [seen.readings.get(item) for item in state.desired.deliveries]
    had_all = bool(doubtful) and all(one and one.digest == known for one in read)
    until = None if had_all else attempt.spread.until
    spread = replace(attempt.spread, paused=True, tries=attempt.spread.tries + 1, until=until)
    return replace(
        state,
        observed=replace(seen, readings=readings),
        run=replace(run, attempt=replace(attempt, spread=spread)),
    )


def _delivered(state: State, step: Deliver, outcome: Delivered) -> State:
    seen, run, timing, uptime = state.observed, state.run, state.desired.timing, state.clock.uptime
    before = run.attempt.spread
    until = before.until if before.until is not None else uptime + timing.delivery
    marked = {item for item in step.deliveries if (read := seen.readings.get(item)) and read.marked}
    handed_on = before.handed_on or bool(marked)
    spread = replace(before, attempted=True, handed_on=handed_on, paused=False, until=until)
    sent = {item: (marker, step.digest) for item, marker in outcome.written.items() if item in marked}
    unsure = any(not failure.definite for failure in outcome.problems.values())
    left = {delivery: item for delivery, item in seen.readings.items() if delivery not in step.deliveries}
    # What is no longer in the entry may be one place with a delivery that is: it is read again before it is emptied.
    # If it held the secret already, and the other did not, these are two places.
    others = {item for item, read in left.items() if item not in state.desired.deliveries and not read.problem}
    lacked = {item for item in others if left[item].digest != step.digest}
    left = {delivery: item for delivery, item in left.items() if delivery not in lacked}
    apart = {(old, new): Likeness(same=False) for old in others - lacked for new in step.deliveries}
    return replace(
        state,
        observed=replace(seen, readings={**left, **(outcome.assumed or {})}),
        run=replace(
            tried(state, step.deliveries, outcome.problems),
            sent={**run.sent, **sent},
            undone=(*run.undone, *outcome.undone),
            lacked=run.lacked | {(delivery, step.digest) for delivery in lacked},
            likeness={**run.likeness, **apart},
            attempt=replace(run.attempt, spread=spread),
            unsettled_until=uptime + timing.settle if unsure else run.unsettled_until,
        ),
    )


def _removed(state: State, step: Remove, outcome: Removed) -> State:
    """Another name of the same place may be among the wanted deliveries: they are read again, and have every try."""
    seen, run = state.observed, replace(state.run, undone=(*state.run.undone, *outcome.undone))
    if outcome.assumed or state.desired.absent:
        return replace(state, observed=replace(seen, readings={**seen.readings, step.delivery: Reading()}), run=run)
    left = {item: reading for item, reading in seen.readings.items() if item not in state.desired.deliveries}
    return replace(
        state,
        observed=replace(seen, readings={**left, step.delivery: Reading()}),
        run=replace(run, attempt=replace(run.attempt, spread=Spread())),
    )


def _written(state: State, step: WriteRecord, outcome: Written) -> State:
    after, intent = _remembered(state, step, outcome), step.record.intent
    if intent is not None and intent.spare and step.kind in {Write.OPEN, Write.REOPEN}:
        # An operator may have taken the spare meanwhile: it is listed again after the intent.
        return replace(after, observed=replace(after.observed, relisted=False))
    return after


def _remembered(state: State, step: WriteRecord, outcome: Written) -> State:
    """Return the state with the new record; what belonged to an intent that is opened, taken or closed is forgotten."""
    before, intent = state.record, step.record.intent
    ours = intent is not None and intent.run == state.run.id
    run = replace(
        state.run,
        then=step.then,
        leased=outcome.sent if ours else None,
        nonce=_next_nonce(state.run.nonce),
    )
    after = replace(state, record=step.record, version=outcome.version, run=run)
    match step.kind:
        case Write.OPEN:
            honoured = run.honoured or (intent is not None and intent.op is Op.ROTATE)
            # A delete takes the nonce of an open create over, which may be another run's.
            kept = before is not None and before.intent is not None and before.intent.nonce == (intent and intent.nonce)
            opened = run.attempt.opened if kept else True
            return replace(after, run=replace(run, attempt=Attempt(fresh=True, opened=opened), honoured=honoured))
        case Write.TAKE:
            released = before is not None and before.intent is not None and before.intent.released
            until = state.clock.uptime + (0.0 if released else state.desired.timing.settle)
            return replace(
                after,
                run=replace(run, attempt=Attempt(found=True), unsettled_until=until, lacked=frozenset(), likeness={}),
                observed=replace(state.observed, readings={}, in_hand=frozenset()),
            )
        case Write.REOPEN:
            attempt = replace(run.attempt, fresh=True, minted=None, spread=Spread())
            return replace(after, run=replace(run, attempt=attempt))
        case Write.COMMIT | Write.CLOSE:
            closed = before.intent.op if before and before.intent else None
            newer = before is not None and step.record.generation > before.generation
            # A compromised secret dies after one try; what this run has in hand is delivered after that.
            hurried = step.record.retire is not None and step.record.retire.at_once
            tried = closed is Op.DELIVER or (run.attempt.spread.attempted and _pending(after) and not hurried)
            gave_up = tried or (run.gave_up and not newer)
            after = replace(after, observed=replace(after.observed, readings=_still_unknown(after)))
            return replace(after, run=replace(run, attempt=Attempt(), gave_up=gave_up, rotated=run.rotated or newer))
        case Write.FAIL:
            return replace(after, run=replace(run, counted=True))
        case Write.REQUEST:
            return replace(after, run=replace(run, honoured=True))
        case Write.ADOPT | Write.EXTEND | Write.NOTE | Write.KEEP | Write.RELEASE:
            return after


def _pending(state: State) -> bool:
    record = state.record
    known = {item.delivery: item.digest for item in record.deliveries} if record else {}
    return record is not None and any(known.get(item) != record.live_digest for item in state.desired.deliveries)


def _still_unknown(state: State) -> Mapping[Delivery, Reading]:
    """Return the readings without those of write-only deliveries whose markers the record knows only now."""
    readings, record = state.observed.readings, state.record
    known = {
        item.delivery
        for item in (record.deliveries if record else ())
        if (read := readings.get(item.delivery)) and read.marked and read.unlike and read.version == item.version
    }
    return {item: read for item, read in readings.items() if item not in known} if known else readings


def _next_nonce(nonce: str) -> str:
    """Return another nonce of the same randomness, so that two intents of one run differ."""
    return f"{(int(nonce or '0', 16) + 1) % 16 ** max(len(nonce), 1):0{max(len(nonce), 1)}x}"


def _failed(state: State, step: Step, outcome: Failed) -> State:
    seen, run, attempt = state.observed, state.run, state.run.attempt
    until = state.clock.uptime + state.desired.timing.settle
    if isinstance(step, Create | Regenerate):
        if outcome.definite:
            return replace(state, run=replace(run, attempt=replace(attempt, fresh=False, trouble=outcome)))
        # Rule 1: from here on the open intent is a found one.
        return replace(
            state,
            observed=replace(seen, readings={}, relisted=False),
            run=replace(
                run,
                attempt=replace(attempt, fresh=False, found=True, minted=None),
                mints=run.mints + 1,
                unanswered=run.unanswered + 1,
                unclear=outcome.why,
                unsettled_until=until,
            ),
        )
    found = attempt.found or not outcome.definite
    return replace(
        state,
        run=replace(
            run,
            attempt=replace(attempt, trouble=outcome, found=found),
            unsettled_until=run.unsettled_until if outcome.definite else until,
        ),
    )
