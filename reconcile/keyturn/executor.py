"""One key: the loop that observes, asks the machine, performs and writes down; the only place that mints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from keyturn import schedule
from keyturn.advance import ASSUMED, Claimed, Outcome, advance, assume
from keyturn.errors import Conflict, KeyturnError, LeaseLost, RunStopped, TargetError
from keyturn.machine import next_step
from keyturn.model import DesiredKey
from keyturn.outcome import (
    Change,
    Condition,
    End,
    KeyPlan,
    KeyReport,
    KeyStatus,
    Options,
    Planned,
    Progress,
)
from keyturn.perform import Hand, clock, digest_key, perform
from keyturn.record import Record
from keyturn.signals import stop_requested
from keyturn.state import Observed, Run, State
from keyturn.steps import (
    Check,
    Deliver,
    Look,
    LookBack,
    LookClaim,
    Purpose,
    Relist,
    Step,
    Wait,
    Write,
    WriteClaim,
    WriteRecord,
)
from keyturn.world import World

Talk = Callable[[Progress], None]
Stop = Callable[[], bool]

MAX_STEPS = 400
REREADS = 5
SCHEDULED = {"due"}
READS = (Look, LookBack, LookClaim, Relist)


def plan_key(world: World, desired: DesiredKey, options: Options) -> KeyPlan:
    """Run the machine dry on one key; nothing is written (I7)."""
    dry = replace(options, allow_delete=True, lock_timeout=0.0)
    changes: list[Planned] = []
    writes = False
    due_since = None
    try:
        hand = Hand()
        state = _observe(world, desired, dry, "plan", hand)
        basis = _basis(state)
        first, due_since = state.record, _due_since(state)
        for _ in range(MAX_STEPS):
            decision = next_step(state)
            if isinstance(decision, End):
                break
            changes.extend(_shown(decision))
            writes = writes or isinstance(decision, WriteRecord)
            if isinstance(decision, LookClaim) and decision.uuid.startswith(ASSUMED):
                outcome: Outcome = Claimed(None)
            elif isinstance(decision, READS) or (isinstance(decision, Check) and _really(decision, state, options)):
                outcome = perform(world, state, decision, hand)
            else:
                outcome = assume(state, decision)
            state = advance(_passed(state, decision), decision, outcome)
        else:
            decision = End(Condition.FAILED, "endless", "the plan does not come to an end", exit_code=1)
    except KeyturnError as error:
        return KeyPlan(desired.id, (), _end_of(error), "unknown")
    mints = state.run.mints > 0 and not (first and first.retire and state.run.mints == 1 and _only_retires(changes))
    deletes = sum(change.change is Change.DELETE and change.code != "extra" for change in changes)
    rotations = [change for change in changes if change.change is Change.ROTATE]
    scheduled = bool(rotations) and all(change.code in SCHEDULED | {"regenerates"} for change in rotations)
    shown = _worth_showing(changes)
    if writes and not shown:
        shown = [Planned(Change.RECORD, "record", "finishes what an earlier run left open, and writes its record")]
    if state.run.problems and decision.exit_code == 0:
        decision = replace(decision, exit_code=1, why="; ".join(state.run.problems))
    return KeyPlan(
        key=desired.id,
        changes=tuple(shown),
        end=decision,
        basis=basis,
        mints=mints,
        deletes=deletes,
        scheduled=scheduled,
        due_since=due_since if scheduled else None,
    )


@dataclass(slots=True)
class _Working:
    """What one apply of one key goes along with."""

    world: World
    talk: Talk
    stop: Stop
    hand: Hand = field(default_factory=Hand)
    done: list[Planned] = field(default_factory=list)
    rereads: int = 0


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
        state = _observe(world, desired, options, run, work.hand)
        for _ in range(MAX_STEPS):
            state = replace(state, clock=clock(world))
            decision = next_step(state)
            if isinstance(decision, End):
                end = decision
                break
            if stop() and work.hand.durable:
                end = End(Condition.WAITING, "interrupted", _open_words(state), exit_code=1)
                break
            state = _go(work, state, decision)
        else:
            end = End(Condition.FAILED, "endless", "it does not come to rest; nothing more is tried", exit_code=1)
    except RunStopped:
        raise
    except KeyturnError as error:
        end = _end_of(error)
    run_state = state.run if state else Run("")
    smoke = None
    if state and state.record and state.record.live_digest:
        smoke = state.observed.verdicts.get(state.record.live_digest)
    return KeyReport(desired.id, tuple(_worth_showing(work.done)), end, run_state.problems, smoke, run_state.mints)


def _go(work: _Working, state: State, step: Step) -> State:
    """Perform one step; where somebody else wrote, or a record's fate is unknown, observe the record again."""
    _tell(work, state, step)
    try:
        outcome = perform(work.world, state, step, work.hand)
    except LeaseLost:
        return _reread(work, state)
    except Conflict:
        if isinstance(step, WriteRecord | WriteClaim):
            return _reread(work, state)
        raise
    except TargetError:
        # A record write without an answer: what the store holds now tells whether it landed.
        if not isinstance(step, WriteRecord):
            raise
        return _reread(work, state)
    if isinstance(step, Wait) and step.reread:
        return _reread(work, state, pause=0.0)
    after = advance(replace(state, clock=clock(work.world)), step, outcome)
    if isinstance(step, WriteRecord) and step.kind in {Write.COMMIT, Write.FAIL, Write.NOTE}:
        work.hand.durable = work.hand.durable or step.kind is not Write.NOTE
    work.done.extend(item for item in _shown(step) if not _went_wrong(item, outcome))
    return after


def _went_wrong(item: Planned, outcome: object) -> bool:
    problems = getattr(outcome, "problems", {})
    return type(outcome).__name__ == "Failed" or (item.delivery is not None and item.delivery in problems)


def _reread(work: _Working, state: State, *, pause: float | None = None) -> State:
    """Read the record again; what was open in it is found, not just written (rule 1)."""
    world, run = work.world, state.run
    if pause is None:
        work.rereads += 1
        if work.rereads > REREADS:
            raise Conflict(f"the record of {state.desired.id!r} could not be written", remedy="Run apply again.")
        world.sleep(min(0.2 * 2**work.rereads, 5.0))
    stored = world.read_record(state.desired.id)
    now = clock(world)
    record = stored.record
    intent = record.intent if record else None
    mine = intent is not None and intent.run == run.id
    same = mine and state.record is not None and state.record.intent is not None
    same = same and intent is not None and state.record.intent.nonce == intent.nonce  # type: ignore[union-attr]
    changed = stored.version != run.watched
    run = replace(
        run,
        fresh=False,
        found=run.found or mine,
        unsettled_until=max(run.unsettled_until, now.uptime + state.desired.timing.settle) if mine else 0.0,
        minted=run.minted if same else None,
        discarded=run.discarded and same,
        leased=run.leased if mine else None,
        watched=stored.version,
        watched_since=now.uptime if changed else run.watched_since,
        waiting_since=None if mine else (run.waiting_since if run.waiting_since is not None else now.uptime),
    )
    alive = world.run_alive(intent.run) if intent and not mine else None
    observed = replace(state.observed, readings={}, claims={}, holder_alive=alive)
    return replace(state, record=record, version=stored.version, run=run, observed=observed, clock=now)


def _observe(world: World, desired: DesiredKey, options: Options, run: str, hand: Hand) -> State:
    """Make the first observation: the complete list and the record; all else is looked at when the machine asks."""
    keys = world.list_keys()
    stored = world.read_record(desired.id)
    record, now = stored.record, clock(world)
    fresh_key = world.random_hex(32)
    start = Run(
        id=run,
        digest_key=record.digest_key if record and not record.deleted_at else fresh_key,
        nonce=world.random_hex(4),
        watched=stored.version,
        watched_since=now.uptime,
        waiting_since=now.uptime,
    )
    alive = world.run_alive(record.intent.run) if record and record.intent else None
    observed = Observed(
        keys=tuple(key for key in keys if key.deleted_at is None),
        account=world.account(),
        skew=world.clock_skew(),
        unfenced=frozenset(item for item in desired.deliveries if not world.fenced(item)),
        holder_alive=alive,
    )
    state = State(desired, record, stored.version, observed, start, now, options)
    if options.secret is not None:
        given = hand.take(options.secret, digest_key(state))
        state = state.with_observed(in_hand=frozenset({given}))
    return state


def _basis(state: State) -> str:
    """Digest what the plan is made from: the entry, the record's version, the listed keys that concern it."""
    record = state.record
    uuids = {slot.uuid for slot in record.slots.values()} if record else set()
    names = {state.desired.name, f"{state.desired.name}-a", f"{state.desired.name}-b"}
    concerned = sorted((key.uuid, key.name) for key in state.observed.keys if key.uuid in uuids or key.name in names)
    text = repr((state.desired.id, state.desired.fingerprint, state.version, concerned))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _due_since(state: State) -> datetime | None:
    record = state.record
    live = record.slot(record.live) if record else None
    every = state.desired.rotation.every
    return live.minted_at + every if live and live.minted_at and every else None


def _really(step: Check, state: State, options: Options) -> bool:
    """A plan tries real secrets only where asked to, or where the answer decides what it would do."""
    return (
        step.digest in state.observed.in_hand
        and not step.digest.startswith("minted-")
        and (options.verify or step.purpose is Purpose.ADOPT)
    )


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


def _worth_showing(changes: list[Planned]) -> list[Planned]:
    """Leave out what only announces, or repeats, the effect that follows."""
    quiet = {"claims", "regenerates", "deliveries-differ", "name-differs-announced", "slot-missing"}
    kept: list[Planned] = []
    for change in changes:
        announces = change.change is Change.RECORD and change.code in {"deliveries-differ", "name-differs", "absent"}
        if change.code in quiet or announces or (change.change is Change.RETIRE and change.code == "finishes"):
            continue
        kept.append(change)
    return kept


def _only_retires(changes: list[Planned]) -> bool:
    return all(change.change is not Change.ROTATE and change.change is not Change.CREATE for change in changes)


def _end_of(error: KeyturnError) -> End:
    condition = Condition.STOPPED if error.exit_code == 4 else Condition.FAILED  # noqa: PLR2004 - documented exit code
    return End(condition, type(error).__name__, str(error), exit_code=error.exit_code)


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
    plan = plan_key(world, desired, options)
    record: Record | None = None
    try:
        record = world.read_record(desired.id).record
    except KeyturnError as error:
        return KeyStatus(desired.id, desired.name, Condition.FAILED, str(error), desired.rotation.strategy)
    return _status(desired, record, plan)


def _status(desired: DesiredKey, record: Record | None, plan: KeyPlan) -> KeyStatus:
    condition, why = plan.end.condition, plan.end.why
    if plan.changes and condition is Condition.REST:
        condition, why = Condition.WAITING, f"apply would: {'; '.join(change.why for change in plan.changes)}"
    if record is None or record.deleted_at:
        return KeyStatus(desired.id, desired.name, condition, why, desired.rotation.strategy)
    live = record.slot(record.live)
    minted = live.minted_at if live else None
    rotation = desired.rotation
    following = (
        schedule.next_rotation(rotation, minted, plan.end.until or minted) if rotation.every and minted else None
    )
    return KeyStatus(
        key=desired.id,
        name=desired.name,
        condition=condition,
        why=why,
        strategy=record.strategy,
        live=record.live,
        uuids=tuple((name, slot.uuid) for name, slot in record.slots.items()),
        generation=record.generation,
        minted_at=minted,
        next_rotation_at=following,
        retire_at=record.retire.at if record.retire else None,
        requested=record.requested is not None,
        deliveries=tuple((item.delivery, item.digest == record.live_digest) for item in record.deliveries),
        problems=(record.unverified,) if record.unverified else (),
    )


def unmanaged_key(key: str, owner: str) -> DesiredKey:
    """Return the desired state of a record without an entry: nothing, but a due retire still runs."""
    return DesiredKey(id=key, owner=owner)
