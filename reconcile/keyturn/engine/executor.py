"""One key: the loop that observes, asks the machine, performs and writes down; the only place that mints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from keyturn.core import schedule
from keyturn.core.errors import Conflict, KeyturnError, LeaseLost, RateLimited, RunStopped, TargetUnavailable
from keyturn.core.machine import next_step
from keyturn.core.model import DesiredKey
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import Change, End, KeyPlan, KeyReport, KeyStatus, Options, Planned, Progress
from keyturn.core.state import Failed, Run, State
from keyturn.core.steps import (
    Check,
    Create,
    Decision,
    DeleteKey,
    Deliver,
    Look,
    LookBack,
    LookClaim,
    Purpose,
    Regenerate,
    Relist,
    Rename,
    Step,
    Wait,
    Write,
    WriteClaim,
    WriteRecord,
)
from keyturn.core.transition import Delivered, Done, Listed, Outcome, advance, assume
from keyturn.core.world import StoredRecord, World
from keyturn.engine.effects import failed, perform
from keyturn.engine.ended import ended
from keyturn.engine.observe import Hand, clock, observe, refresh
from keyturn.engine.signals import stop_requested

Talk = Callable[[Progress], None]
Stop = Callable[[], bool]
Trace = Callable[[State], None]

MAX_STEPS = 400
REREADS = 5
PATIENCE = 75 * 60.0
"""Seconds for which the API's rate limit may hold one step back: an hour's limit, and a little more."""
SLICE = 1.0
"""Seconds of one sleep: how long a request to stop may go unheard."""
ENDLESS = End(Reason.ENDLESS, "it does not come to rest; nothing more is tried")
QUIET = {
    (Change.ADOPT, "claims"),
    (Change.CREATE, "slot-missing"),
    (Change.RENAME, "spare"),
    (Change.ROTATE, "regenerates"),
    (Change.RETIRE, "finishes"),
    (Change.RECORD, "deliveries-differ"),
    (Change.RECORD, "name-differs"),
    (Change.RECORD, "absent"),
}
READS = (Look, LookBack, LookClaim, Relist)
LIMITED = (Create, DeleteKey, Regenerate, Relist, Rename)
"""The steps that the API's rate limit holds back."""


def plan_key(world: World, desired: DesiredKey, options: Options, trace: Trace | None = None) -> KeyPlan:
    """Run the machine dry on one key; nothing is written (I7). `trace` is told each state that is decided about."""
    return _dry(world, desired, options, trace)[0]


def _dry(
    world: World, desired: DesiredKey, options: Options, trace: Trace | None = None
) -> tuple[KeyPlan, State | None]:
    """Return the plan, and the state that it was made from once all was looked at."""
    dry = replace(options, allow_delete=True, lock_timeout=0.0)
    hand = Hand()
    try:
        state = first = observe(world, desired, dry, "plan", hand)
        steps: list[Step] = []
        decision = _traced(state, trace)
        while not isinstance(decision, End):
            steps.append(decision)
            if len(steps) > MAX_STEPS:
                decision = ENDLESS
                break
            outcome = _assumed(world, state, decision, hand, options)
            if isinstance(outcome, Failed):
                steps.pop()
            state = advance(_passed(state, decision), decision, outcome)
            decision = _traced(state, trace)
    except RunStopped:
        raise
    except KeyturnError as error:
        return KeyPlan(desired.id, (), ended(error), "unknown"), None
    changes = [item for step in steps for item in _shown(step)]
    shown = _worth_showing(changes)
    if not shown and any(isinstance(step, WriteRecord) for step in steps):
        shown = [Planned(Change.RECORD, "record", "finishes what an earlier run left open, and writes its record")]
    if state.run.problems and decision.exit_code == 0:
        decision = End(Reason.OLD_SECRET_ALIVE, "; ".join(state.run.problems))
    rotations = [item for item in shown if item.change is Change.ROTATE]
    scheduled = bool(rotations) and all(item.code == "due" for item in rotations)
    plan = KeyPlan(
        key=desired.id,
        changes=tuple(shown),
        end=decision,
        basis=_basis(first, shown, decision),
        mints=any(isinstance(step, Create) or (isinstance(step, Regenerate) and not step.discard) for step in steps),
        deletes=sum(item.change is Change.DELETE and item.code != "extra" for item in shown),
        scheduled=scheduled,
        due_since=_due_since(first) if scheduled else None,
    )
    return plan, replace(first, observed=state.observed)


def _traced(state: State, trace: Trace | None) -> Decision:
    if trace is not None:
        trace(state)
    return next_step(state)


def _assumed(world: World, state: State, step: Step, hand: Hand, options: Options) -> Outcome:
    """Read what a plan may read, assume the rest."""
    if isinstance(step, Relist) and state.record and state.record.intent and state.record.intent.spare:
        return Listed(state.observed.keys)  # the run's list is seconds old; apply lists again before it takes a spare
    if isinstance(step, READS) or (isinstance(step, Check) and _really(step, hand, options)):
        return perform(world, state, step, hand)
    return assume(state, step)


@dataclass(slots=True)
class _Working:
    """What one apply of one key goes along with."""

    world: World
    talk: Talk
    stop: Stop
    hand: Hand = field(default_factory=Hand)
    done: list[Planned] = field(default_factory=list)
    rereads: int = 0
    held_since: float | None = None
    """Uptime since which the API's rate limit has held the next step back."""


def apply_key(
    world: World,
    desired: DesiredKey,
    options: Options,
    run: str,
    talk: Talk = lambda _: None,
    stop: Stop = lambda: stop_requested() is not None,
) -> KeyReport:
    """Run the machine wet on one key until it rests; raises nothing but RunStopped.

    `stop` is asked between steps; between a mint and its first durable write it is not heard.
    """
    work = _Working(world, talk, stop)
    state: State | None = None
    end: End
    try:
        state = observe(world, desired, options, run, work.hand)
        steps = 0
        while steps < MAX_STEPS:
            state = replace(state, clock=clock(world, state.run))
            decision = next_step(state)
            if isinstance(decision, End):
                end = decision
                break
            if stop() and work.hand.durable and _traceable(state):
                end = End(Reason.INTERRUPTED, _open_words(state))
                break
            if isinstance(decision, LIMITED) and _held_back(work, state, world.throttled()):
                continue
            state = _go(work, state, decision)
            steps += not _held(work)
        else:
            end = ENDLESS
    except RunStopped:
        raise
    except KeyturnError as error:
        end = ended(error)
    run_state = state.run if state else Run("")
    smoke = None
    if state and state.record and state.record.live_digest:
        smoke = state.observed.verdicts.get(state.record.live_digest)
    done, record = tuple(_worth_showing(work.done)), state.record if state else None
    return KeyReport(desired.id, done, end, run_state.problems, smoke, run_state.mints, record)


def _go(work: _Working, state: State, step: Step) -> State:
    """Perform one step; where somebody else wrote, or a record's fate is unknown, observe the record again."""
    _tell(work, state, step)
    try:
        outcome = _sleep(work, step.seconds) if isinstance(step, Wait) else perform(work.world, state, step, work.hand)
    except RateLimited as error:
        # Nothing happened: the machine decides again, from the same state and a later moment.
        if _held_back(work, state, max(SLICE, work.world.throttled())):
            return state
        outcome = failed(error)
    except LeaseLost:
        return _reread(work, state)
    except Conflict:
        if isinstance(step, WriteRecord | WriteClaim):
            return _reread(work, state)
        raise
    except TargetUnavailable:
        # A record write without an answer: what the store holds now tells whether it landed.
        if not isinstance(step, WriteRecord):
            raise
        return _reread(work, state)
    if isinstance(step, Wait) and step.reread:
        return _reread(work, state, patient=False)
    if not (isinstance(step, WriteRecord) and step.kind is Write.EXTEND):
        work.held_since = None
    after = advance(replace(state, clock=clock(work.world, state.run)), step, outcome)
    if isinstance(step, WriteRecord) and step.kind in {Write.COMMIT, Write.FAIL}:
        work.hand.durable = True
    work.done.extend(item for item in _shown(step) if not _went_wrong(item, outcome))
    return after


def _traceable(state: State) -> bool:
    """Tell whether the next run would find the secret minted here by its digest; else it would have to mint again."""
    intent = state.record.intent if state.record else None
    return intent is None or state.run.attempt.minted is None or intent.digest == state.run.attempt.minted


def _sleep(work: _Working, seconds: float) -> Outcome:
    """Wait, but not past a request to stop, unless a secret could be lost by it."""
    end = work.world.uptime() + seconds
    while (left := end - work.world.uptime()) > 0 and not (work.stop() and work.hand.durable):
        work.world.sleep(min(left, SLICE))
    return Done()


def _held(work: _Working) -> bool:
    """Tell whether the API's rate limit holds the next step back, and has not done so for too long."""
    return work.held_since is not None and work.world.uptime() - work.held_since <= PATIENCE


def _held_back(work: _Working, state: State, pause: float) -> bool:
    """Wait for the API's rate limit, for no longer than leaves time to extend the lease; False where nothing is to be.

    False, too, once the limit has held the step back for too long: then the step itself says so.
    """
    timing = state.desired.timing
    if pause <= 0 or (work.held_since is not None and not _held(work)):
        return False
    work.held_since = work.world.uptime() if work.held_since is None else work.held_since
    _sleep(work, min(pause, max(SLICE, (timing.lease - timing.request) / 4)))
    return True


def _went_wrong(item: Planned, outcome: Outcome) -> bool:
    problems = outcome.problems if isinstance(outcome, Delivered) else {}
    return isinstance(outcome, Failed) or (item.delivery is not None and item.delivery in problems)


def _reread(work: _Working, state: State, *, patient: bool = True) -> State:
    """Read the record again, and go on from what it says."""
    stored = _patiently(work, state) if patient else work.world.read_record(state.desired.id)
    return refresh(work.world, state, stored)


def _patiently(work: _Working, state: State) -> StoredRecord:
    """Read the record after a write of it went wrong; bounded over the whole run, with growing pauses."""
    last = "somebody else wrote it each time"
    while True:
        work.rereads += 1
        if work.rereads > REREADS:
            what = f"the record of {state.desired.id!r} could not be written"
            raise Conflict(what, evidence=last, remedy="Run apply again.")
        work.world.sleep(min(0.2 * 2**work.rereads, 5.0))
        try:
            return work.world.read_record(state.desired.id)
        except TargetUnavailable as error:
            last = str(error)


def _basis(state: State, shown: Sequence[Planned], end: End) -> str:
    """Digest what a plan was made from and what it would do: the entry, the record's version, the listed keys."""
    record = state.record
    uuids = {slot.uuid for slot in record.slots.values()} if record else set()
    names = {state.desired.name, f"{state.desired.name}-a", f"{state.desired.name}-b"}
    concerned = sorted((key.uuid, key.name) for key in state.observed.keys if key.uuid in uuids or key.name in names)
    effects = [(item.change, item.code, item.slot, item.uuid, str(item.delivery)) for item in shown]
    text = repr((state.desired.id, state.desired.fingerprint, state.version, concerned, effects, end.code))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _due_since(state: State) -> datetime | None:
    record = state.record
    live = record.slot(record.live) if record else None
    return schedule.due_since(state.desired.rotation, live.minted_at) if live and live.minted_at else None


def _really(step: Check, hand: Hand, options: Options) -> bool:
    """A plan tries real secrets only where asked to, or where the answer decides what it would do."""
    return step.digest in hand.secrets and (options.verify or step.purpose is Purpose.ADOPT)


def _passed(state: State, step: Step) -> State:
    if not isinstance(step, Wait):
        return state
    later = replace(state.clock, uptime=state.clock.uptime + step.seconds)
    return replace(state, clock=later)


def _shown(step: Step) -> tuple[Planned, ...]:
    shown = getattr(step, "shown", None)
    if shown is None:
        return ()
    return shown if isinstance(step, Deliver) else (shown,)


def _worth_showing(changes: Sequence[Planned]) -> list[Planned]:
    """Leave out what only announces, or repeats, another line."""
    return [change for change in changes if (change.change, change.code) not in QUIET]


def _open_words(state: State) -> str:
    intent = state.record.intent if state.record else None
    if intent is None:
        return "stopped before anything was in flight"
    return f"stopped with an open {intent.op} (slot {intent.slot or '-'}); the next apply goes on from there"


def _tell(work: _Working, state: State, step: Step) -> None:
    text = step.why if isinstance(step, Wait) else "; ".join(item.why for item in _shown(step))
    if isinstance(step, Check):
        text = "smoke-checks"
    if text:
        work.talk(Progress(state.desired.id, text, state.clock.now))


def status_key(world: World, desired: DesiredKey, options: Options) -> KeyStatus:
    """Tell how one key stands, by reading only; `options.verify` also tries each delivered secret."""
    plan, state = _dry(world, desired, options)
    record = state.record if state else None
    end = plan.end
    if plan.changes and end.condition in {Condition.READY, Condition.OVERLAP}:
        end = End(Reason.TO_DO, f"apply would: {'; '.join(change.why for change in plan.changes)}", end.until, end.make)
    condition, why = end.condition, end.why
    if state is None or record is None or record.deleted_at:
        code = end.exit_code
        return KeyStatus(
            desired.id,
            desired.name,
            condition,
            why,
            desired.rotation.strategy,
            end.code,
            end.make,
            exit_code=code,
        )
    live = record.slot(record.live)
    minted = live.minted_at if live else None
    rotation = desired.rotation
    following = schedule.next_rotation(rotation, minted, state.clock.now) if rotation.every and minted else None
    return KeyStatus(
        key=desired.id,
        name=desired.name,
        condition=condition,
        why=why,
        strategy=record.strategy,
        code=end.code,
        make=end.make,
        live=record.live,
        uuids=tuple((name, slot.uuid) for name, slot in record.slots.items()),
        generation=record.generation,
        minted_at=minted,
        next_rotation_at=following,
        retire_at=record.retire.at if record.retire else None,
        requested=record.requested is not None,
        deliveries=tuple(
            (item.delivery, item.digest is not None and item.digest == record.live_digest) for item in record.deliveries
        ),
        verdict=state.observed.verdicts.get(record.live_digest or ""),
        problems=(record.unverified,) if record.unverified else (),
        exit_code=end.exit_code,
    )


def unmanaged_key(key: str, owner: str) -> DesiredKey:
    """Return the desired state of a record without an entry: nothing, but a due retire still runs."""
    return DesiredKey(id=key, owner=owner)
