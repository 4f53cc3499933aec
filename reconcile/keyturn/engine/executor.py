"""One key: the loop that observes, asks the machine, performs and writes down; the only place that mints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from keyturn.core.conditions import conditions, facts
from keyturn.core.errors import Conflict, KeyturnError, LeaseLost, RateLimited, RunStopped, TargetUnavailable
from keyturn.core.machine import next_step
from keyturn.core.machine.deliveries import unproven
from keyturn.core.machine.ownership import release_lease
from keyturn.core.model import Desired, DesiredKey
from keyturn.core.reasons import Reason
from keyturn.core.results import End, KeyReport, Options, Planned, Progress, Stage
from keyturn.core.state import Failed, Run, State
from keyturn.core.steps import (
    Check,
    Create,
    DeleteKey,
    Regenerate,
    Relist,
    Rename,
    Step,
    Wait,
    Write,
    WriteClaim,
    WriteRecord,
    WriteSource,
)
from keyturn.core.transition import Delivered, Done, Outcome, advance
from keyturn.core.world import StoredRecord, World
from keyturn.engine.effects import failed, perform
from keyturn.engine.ended import ended
from keyturn.engine.observe import Hand, clock, observe, overtaken, refresh
from keyturn.engine.planning import ENDLESS, MAX_STEPS, finished, left_open, look_closer, shown, worth_showing
from keyturn.engine.signals import stop_requested

Listener = Callable[[Progress], None]
Stop = Callable[[], bool]

REREADS = 5
PATIENCE = 75 * 60.0
"""Seconds for which the API's rate limit may hold one step back: an hour's limit, and a little more."""
SLICE = 1.0
"""Seconds of one sleep: how long a request to stop may go unheard."""
LIMITED = (Create, DeleteKey, Regenerate, Relist, Rename)
"""The steps that the API's rate limit holds back."""


@dataclass(slots=True)
class _Working:
    """What one apply of one key goes along with."""

    world: World
    listener: Listener
    stop: Stop
    hand: Hand = field(default_factory=Hand)
    done: list[Planned] = field(default_factory=list)
    left: str = ""
    """What an earlier run left open, as `left_open`."""
    rereads: int = 0
    holds: bool = False
    """Whether the listener was told that the only copy of a secret is in this process."""
    held_since: float | None = None
    """Uptime since which the API's rate limit has held the next step back."""


def apply_key(
    world: World,
    desired: DesiredKey,
    options: Options,
    run: str,
    listener: Listener = lambda _: None,
    stop: Stop = lambda: stop_requested() is not None,
) -> KeyReport:
    """Run the machine wet on one key until it rests; raises nothing but RunStopped.

    `stop` is asked between steps; between a mint and its first durable write it is not heard.
    """
    work = _Working(world, listener, stop)
    state: State | None = None
    end: End
    try:
        state = observe(world, desired, options, run, work.hand)
        work.left, steps = left_open(state), 0
        while steps < MAX_STEPS:
            state = replace(state, clock=clock(world, state.run))
            decision = next_step(state)
            if isinstance(decision, End):
                if work.rereads < REREADS and (stored := overtaken(world, state, decision)):
                    work.rereads, state = work.rereads + 1, refresh(world, state, stored)
                    continue
                end = decision
                break
            if stop() and work.hand.durable and _traceable(state):
                end = End(Reason.INTERRUPTED, _open_words(state))
                state = _released(work, state)
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
    if state and options.verify and end.code is not Reason.INTERRUPTED:
        with suppress(KeyturnError):
            state = look_closer(world, state, work.hand, end)
    run_state = state.run if state else Run("")
    smoke = None
    if state and state.record and state.record.live_digest:
        smoke = state.observed.verdicts.get(state.record.live_digest)
    done, record = tuple(worth_showing(work.done)), state.record if state else None
    known = conditions(facts(state, end, unproven=unproven(state))) if state else (end,)
    watch = run_state.watch if end.code is Reason.ANOTHER_RUN else None
    problems = (*run_state.problems, *run_state.undone)
    return KeyReport(desired.id, done, end, problems, smoke, run_state.mints, record, known, watch)


def _go(work: _Working, state: State, step: Step) -> State:
    """Perform one step. If the record was modified concurrently, or its fate is unknown, read it again."""
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
        if isinstance(step, WriteRecord | WriteSource | WriteClaim):
            return _reread(work, state)
        raise
    except TargetUnavailable:
        # A record write without an answer: what the store holds now tells whether it landed.
        if not isinstance(step, WriteRecord | WriteSource):
            raise
        return _reread(work, state)
    if isinstance(step, Wait) and step.reread:
        return _reread(work, state, patient=False)
    if not (isinstance(step, WriteRecord) and step.kind is Write.EXTEND):
        work.held_since = None
    after = advance(replace(state, clock=clock(work.world, state.run)), step, outcome)
    if isinstance(step, WriteRecord) and step.kind in {Write.COMMIT, Write.FAIL}:
        work.hand.durable = True
    work.done.extend(item for item in shown(step) if not _went_wrong(item, outcome))
    work.done.extend(finished(state, step, work.left, work.done))
    return after


def _traceable(state: State) -> bool:
    """Tell whether the next run would find the secret minted here by its digest; else it would have to mint again."""
    intent = state.record.intent if state.record else None
    return intent is None or state.run.attempt.minted is None or intent.digest == state.run.attempt.minted


def _released(work: _Working, state: State) -> State:
    """Release the lease, so that the next run need not wait for it; without an answer it waits."""
    step = release_lease(state)
    if step is None:
        return state
    try:
        return advance(state, step, perform(work.world, state, step, work.hand))
    except KeyturnError:
        return state


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
    now = work.world.now()
    limit = "waits for the API's rate limit"
    until = now + timedelta(seconds=pause)
    work.listener(Progress(state.desired.id, limit, now, Stage.WAIT, until=until, holds=work.holds))
    _sleep(work, min(pause, max(SLICE, (timing.lease - timing.request) / 4)))
    return True


def _went_wrong(item: Planned, outcome: Outcome) -> bool:
    problems = outcome.problems if isinstance(outcome, Delivered) else {}
    return isinstance(outcome, Failed) or (item.delivery is not None and item.delivery in problems)


def _reread(work: _Working, state: State, *, patient: bool = True) -> State:
    """Read the record again, and continue from what it says."""
    stored = _patiently(work, state) if patient else work.world.read_record(state.desired.id)
    return refresh(work.world, state, stored)


def _patiently(work: _Working, state: State) -> StoredRecord:
    """Read the record after a write of it went wrong; bounded over the whole run, with growing pauses."""
    last = "it was modified concurrently each time"
    while True:
        work.rereads += 1
        if work.rereads > REREADS:
            what = f"the record of {state.desired.id!r} could not be written"
            raise Conflict(what, evidence=last, remedy="Run again.")
        work.world.sleep(min(0.2 * 2**work.rereads, 5.0))
        try:
            return work.world.read_record(state.desired.id)
        except TargetUnavailable as error:
            last = str(error)


def _open_words(state: State) -> str:
    intent = state.record.intent if state.record else None
    if intent is None:
        return "stopped before anything was in flight"
    return f"stopped with an open {intent.op} (slot {intent.slot or '-'}); the next run continues from there"


def _tell(work: _Working, state: State, step: Step) -> None:
    """Say the next step, and before it whether the only copy of a secret that consumers need is in this process.

    Only a mint that kills the live secret makes such a copy: no consumer needs the secret of another slot.
    """
    text = step.why if isinstance(step, Wait) else "; ".join(item.why for item in shown(step))
    if isinstance(step, Check):
        text = "smoke-checks"
    mints = isinstance(step, Create | Regenerate) and step.hold_signals
    holds = mints or not work.hand.durable
    if text or holds != work.holds:
        work.holds = holds
        work.listener(Progress(state.desired.id, text, state.clock.now, Stage.STEP, holds=holds))


def unmanaged_key(key: str, owner: str) -> DesiredKey:
    """Return the desired state of a record without an entry: nothing, but a due retire still runs."""
    return DesiredKey(id=key, owner=owner)


def released_key(desired: Desired, key: str) -> DesiredKey:
    """Return the desired state of a record without an entry that is to be forgotten: released, and all left alive."""
    return DesiredKey(
        id=key, owner=desired.owner, absent=True, retain=True, timing=desired.timing, permit=desired.permit
    )
