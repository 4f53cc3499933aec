"""One key planned: the machine run dry. What it needs to know is read, what it would change is assumed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from keyturn.core import schedule
from keyturn.core.assumed import assume
from keyturn.core.conditions import NOT_OURS, Facts, conditions, facts
from keyturn.core.errors import KeyturnError, RunStopped
from keyturn.core.listing import Listing
from keyturn.core.machine import next_step
from keyturn.core.machine.deliveries import unproven as unproven_places
from keyturn.core.machine.provenance import unproven
from keyturn.core.model import UNJUDGED, DesiredKey, Origin, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import NOT_DELIVERED, Op, Record
from keyturn.core.results import HOOK, LEFT_OPEN, Change, End, KeyPlan, Options, Planned
from keyturn.core.state import Failed, State
from keyturn.core.steps import (
    Check,
    Create,
    Decision,
    Deliver,
    Look,
    LookAround,
    LookBack,
    LookClaim,
    LookSource,
    Purpose,
    Regenerate,
    Relist,
    Rename,
    Step,
    Wait,
    Write,
    WriteRecord,
    WriteSource,
)
from keyturn.core.transition import Listed, Outcome, advance
from keyturn.core.world import World
from keyturn.engine import hooks
from keyturn.engine.effects import perform
from keyturn.engine.ended import ended
from keyturn.engine.observe import Hand, observe, overtaken, refresh

Trace = Callable[[State], None]

MAX_STEPS = 400
ENDLESS = End(Reason.ENDLESS, "the key did not converge; nothing more is tried")
QUIET = {
    (Change.ADOPT, "claims"),
    (Change.CREATE, "slot-missing"),
    (Change.RENAME, "spare"),
    (Change.ROTATE, "regenerates"),
    (Change.RECORD, "deliveries-differ"),
    (Change.RECORD, "name-differs"),
    (Change.RECORD, "absent"),
    (Change.RECORD, "moved"),
}
FINISHES = "finishes"
"""The code of a retire that is carried out, by this run or for one that opened it."""
NOUNS = {
    Op.CREATE: "creation of an API key",
    Op.ROTATE: "rotation",
    Op.RETIRE: "retire of an old secret",
    Op.RENAME: "change of a name",
    Op.DELIVER: "delivery",
    Op.DELETE: "removal",
}
READS = (Look, LookAround, LookBack, LookClaim, LookSource, Relist)


@dataclass(frozen=True, slots=True)
class Planning:
    """The plan of one key, and the state it was made from with everything that was read, but nothing that was assumed.

    `seen` is None if the key could not be observed.
    """

    plan: KeyPlan
    seen: State | None = None

    @property
    def record(self) -> Record | None:
        """The record that was read, None if there is none or it was not read."""
        return self.seen.record if self.seen else None

    @property
    def verdict(self) -> Verdict | None:
        """What the API said of this key's secrets: accepted if it accepted any, else refused if it refused any."""
        tried = {result.verdict for result in self.seen.observed.verdicts.values()} if self.seen else set()
        if tried - {Verdict.REFUSED, Verdict.SKIPPED, *UNJUDGED}:
            return Verdict.ACCEPTED
        return Verdict.REFUSED if Verdict.REFUSED in tried else None


def failed_planning(key: str, end: End, known: tuple[End, ...] = (), record: Record | None = None) -> Planning:
    """Return what is `known` of a key that could not be planned; nothing but the end by default."""
    return Planning(KeyPlan(key, (), end, basis=f"failed {end.code}", conditions=known or (end,), record=record))


def as_recorded(world: World, desired: DesiredKey, end: End) -> Planning:
    """Return what the record alone tells of a key that could not be observed."""
    try:
        record = world.read_record(desired.id).record
    except Exception:  # noqa: BLE001 - the end says why nothing is known
        return failed_planning(desired.id, end)
    rotation = desired.rotation
    known = Facts(
        record,
        desired.deliveries,
        frozenset(),
        {},
        {},
        world.now(),
        end=end,
        freezes=rotation.freezes,
        overlap=rotation.overlap,
    )
    return failed_planning(desired.id, end, conditions(known), record)


def plan_key(world: World, desired: DesiredKey, options: Options, trace: Trace = lambda _: None) -> Planning:
    """Run the machine dry on one key; nothing is written (I7). `trace` is told each state that is decided about.

    Raises RunStopped only.
    """
    dry = replace(options, allow_delete=True, allow_extra=True, allow_unproven=True, lock_timeout=0.0)
    hand = Hand()
    seen: State | None = None
    try:
        state = first = seen = observe(world, desired, dry, "plan", hand)
        steps: list[Step] = []
        doubts: dict[str, str] = {}
        decision, confirmed = _decided(state, trace), False
        while not (isinstance(decision, End) and confirmed):
            if isinstance(decision, End):
                confirmed = True
                if stored := overtaken(world, first, decision):
                    state = first = seen = refresh(world, first, stored)
                    steps, doubts, decision = [], {}, _decided(state, trace)
                continue
            steps.append(decision)
            doubts |= _doubts(state, decision)
            if len(steps) > MAX_STEPS:
                decision = ENDLESS
                break
            read = _read(world, state, decision, hand, seen.record)
            if read is not None:
                seen = advance(seen, decision, read)
            outcome = read or assume(state, decision)
            if isinstance(outcome, Failed):
                steps.pop()
            state = advance(_passed(state, decision), decision, outcome)
            decision = _decided(state, trace)
        seen = look_closer(world, seen, hand, decision) if options.verify else seen
    except RunStopped:
        raise
    except KeyturnError as error:
        end = ended(error)
        if seen is None:
            return as_recorded(world, desired, end)
        known = conditions(facts(seen, end, unproven=unproven_places(seen)))
        return Planning(KeyPlan(desired.id, (), end, "unknown", conditions=known, record=seen.record), seen)
    changes = worth_showing([item for step in steps for item in shown(step)])
    if not changes and any(isinstance(step, WriteRecord | WriteSource) for step in steps):
        writes = "finishes what an earlier run left open" if left_open(first) else "writes its record"
        changes = [Planned(Change.RECORD, "record", f"{writes}: no API key and no delivery changes")]
    if hooks.due(desired, seen.record):
        changes.append(Planned(Change.RECORD, HOOK, "runs the hook after a delivery"))
    rotations = [item for item in changes if item.change is Change.ROTATE]
    scheduled = bool(rotations) and all(item.code == "due" for item in rotations)
    due_since = _due_since(first) if scheduled else None
    decision = _foretold(decision, changes)
    plan = KeyPlan(
        key=desired.id,
        changes=tuple(changes),
        end=decision,
        basis=_basis(first, changes, decision),
        mints=any(isinstance(step, Create) or (isinstance(step, Regenerate) and not step.discard) for step in steps),
        deletes=sum(item.change is Change.DELETE for item in changes),
        removals=0 if desired.absent else sum(item.change is Change.REMOVE for item in changes),
        unproven=tuple(doubts.values()),
        scheduled=scheduled,
        due_since=due_since,
        conditions=conditions(facts(seen, decision, tuple(changes), due_since, unproven_places(seen))),
        record=seen.record,
    )
    return Planning(plan, seen)


def _foretold(end: End, changes: Sequence[Planned]) -> End:
    """Return how a plan ends: an outage after its changes is foretold, not seen; conditions tell of one that is now."""
    return End(Reason.EFFECT_PENDING, end.why) if changes and end.code is Reason.EFFECT_OUTAGE else end


def _decided(state: State, trace: Trace) -> Decision:
    trace(state)
    return next_step(state)


def shown(step: Step) -> tuple[Planned, ...]:
    """Return the changes that a step announces."""
    found = getattr(step, "shown", None)
    if found is None:
        return ()
    return found if isinstance(step, Deliver) else (found,)


def worth_showing(changes: Sequence[Planned]) -> list[Planned]:
    """Leave out what only announces, or repeats, another line."""
    opened = {change.slot for change in changes if change.change is Change.RETIRE and change.code != FINISHES}
    told = [change for change in changes if (change.change, change.code) not in QUIET]
    return [one for one in told if not (one.change is Change.RETIRE and one.code == FINISHES and one.slot in opened)]


def left_open(state: State) -> str:
    """Return what tells the operation that an earlier run left open from any other; empty if there is none."""
    intent = state.record.intent if state.record else None
    return intent.nonce if intent else ""


def finished(state: State, step: Step, left: str, done: Sequence[Planned]) -> tuple[Planned, ...]:
    """Return what a step finishes that an earlier run `left` open, unless what was `done` by this run says it."""
    intent = state.record.intent if state.record else None
    if intent is None or not left or intent.nonce != left:
        return ()
    if not isinstance(step, WriteRecord) or step.kind is not Write.COMMIT:
        return ()
    if any(event.what.startswith(NOT_DELIVERED) for event in step.record.history[-1:]):
        return ()
    change = Change(intent.op.value)
    if any(item.change is change for item in done):
        return ()
    kind = change if change is Change.ROTATE else Change.RECORD
    return (Planned(kind, LEFT_OPEN, f"finished the {NOUNS[intent.op]} that an earlier run left open", intent.slot),)


def _read(world: World, state: State, step: Step, hand: Hand, record: Record | None) -> Outcome | None:
    """Read what a plan may read; None if the step's outcome has to be assumed. `record` is the one that was read."""
    if isinstance(step, Relist) and state.record and state.record.intent and state.record.intent.spare:
        return Listed(state.observed.keys)  # the run's list is seconds old; apply lists again before it takes a spare
    if isinstance(step, READS) or (isinstance(step, Check) and _really(state, step, hand, record)):
        return perform(world, state, step, hand)
    return None


def _really(state: State, step: Check, hand: Hand, record: Record | None) -> bool:
    """A plan tries real secrets only if asked to, or if the answer decides what it would do.

    A secret that it merely found, which no record knows, is tried only if an operator asks for that. An old secret is
    never tried: that it is dead is true only once it was regenerated, and a plan does not do that.
    """
    if step.purpose is Purpose.OLD or step.digest not in hand.secrets:
        return False
    unsent = state.desired.smoke.origin is Origin.SKIP
    if unsent or state.options.verify or state.options.confirmed:
        return True
    return step.purpose is Purpose.ADOPT and record is not None and step.digest in record.digests


def look_closer(world: World, seen: State, hand: Hand, end: End) -> State:
    """Read each delivery that the machine had no need of, and try the key's own secrets that they hold.

    A value that is not this key's is not tried: it may be a password of another system. Raises KeyturnError.
    """
    record, wanted = seen.record, seen.desired.deliveries
    if record is None or record.deleted_at or end.code in NOT_OURS or seen.desired.absent:
        return seen
    unread = tuple(item for item in wanted if item not in seen.observed.readings)
    if unread:
        look = Look(unread)
        seen = advance(seen, look, perform(world, seen, look, hand))
    ours = {slot.digest for slot in record.slots.values()} - {None}
    held = {seen.observed.readings[item].digest for item in wanted}
    for digest in sorted(held & ours & set(hand.secrets) - set(seen.observed.verdicts), key=str):
        check = Check(str(digest), Purpose.ADOPT)
        seen = advance(seen, check, perform(world, seen, check, hand))
    return seen


def _doubts(state: State, step: Step) -> dict[str, str]:
    """Return why the API key that a step changes may not be this key's, by its uuid; empty if nothing speaks for it."""
    if not isinstance(step, Regenerate | Rename):
        return {}
    doubt = unproven(state, step.uuid)
    return {step.uuid: doubt} if doubt else {}


def _passed(state: State, step: Step) -> State:
    if not isinstance(step, Wait):
        return state
    later = replace(state.clock, uptime=state.clock.uptime + step.seconds)
    return replace(state, clock=later)


def _basis(state: State, changes: Sequence[Planned], end: End) -> str:
    """Digest what a plan was made from and what it would do: the entry, the record's version, the listed keys."""
    record = state.record
    uuids = {slot.uuid for slot in record.slots.values()} if record else set()
    names = {state.desired.name, f"{state.desired.name}-a", f"{state.desired.name}-b"}
    listed = Listing.of(state.observed.keys)
    found = [listed.by_uuid[uuid] for uuid in uuids if uuid in listed.by_uuid]
    found += [key for name in names for key in listed.by_name.get(name, ())]
    concerned = sorted({(key.uuid, key.name) for key in found})
    effects = [(item.change, item.code, item.slot, item.uuid, str(item.delivery)) for item in changes]
    text = repr((state.desired.id, state.desired.fingerprint, state.version, concerned, effects, end.code))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _due_since(state: State) -> datetime | None:
    record = state.record
    live = record.slot(record.live) if record else None
    return schedule.due_since(state.desired.rotation, live.minted_at) if live and live.minted_at else None
