"""The invariants of the lifecycle, as checks: after every effect, and at the end of a history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from keyturn.core.model import Delivery, DesiredKey, SlotName, Strategy, Timing
from keyturn.core.reasons import Condition, Reason
from keyturn.core.record import Claim, Record
from keyturn.core.results import KeyReport, Options
from keyturn.core.secret import Secret
from keyturn.engine.executor import apply_key
from keyturn.engine.planning import plan_key
from tests.simulation import showing
from tests.simulation.marking import MARKED, Rollout
from tests.simulation.naming import places
from tests.simulation.universe import MARK, Drop, Fill, Mutation, Put, Rename, Renew, Universe
from tests.simulation.world import SimWorld

OURS = ("tests", "main")
"""The owner and the key of every history."""
OVERLAPS = 2
"""A repair at the end of an overlap starts another one."""
ROLLED_OUT = 2
"""So many more runs may wait until what was delivered is in use, and for the old secret, which outlives that."""
SPARE = "spare-"
"""How the names of the pool's API keys begin."""
LONG = 3 * 3600.0
"""Longer than any back-off, overlap, lease or settle time of a history."""


class Stops(StrEnum):
    """Whether a history ends at what is not ours: then nothing more may be written (I9)."""

    NEVER = "never"
    MAY = "may"
    MUST = "must"


ASKED = frozenset({Reason.EXTRA, Reason.UNPROVEN})
"""How a run ends that asks an operator whose an API key is."""


def begin(universe: Universe, desired: DesiredKey, *, compromised: bool = False) -> None:
    """Note what the rules need to know before a run: what the entry wants, and what is known to have leaked."""
    wanted = places(() if desired.absent else desired.deliveries)
    back = {place for place in wanted - universe.wanted if universe.late or not universe.fields.get(place)}
    universe.wanted, universe.steady = wanted, universe.steady - back
    record = universe.records.get("main", (None, 0))[0]
    if record and not (record.intent or record.requested or record.unverified):
        universe.held_dead = False
    if compromised:
        held = (universe.held(item.delivery) for item in (record.deliveries if record else ()))
        universe.leaked |= frozenset(value for value in held if universe.lasting(value))


def watch(universe: Universe, mutation: Mutation | Rollout) -> None:
    """Check what must hold at every instant (I3, I9)."""
    if isinstance(mutation, Rollout):
        _steady(universe)
        return
    if universe.frozen and not isinstance(mutation, Put):
        universe.blame(f"I9: it did not leave all as it is: {type(mutation).__name__}")
    if stranger := _stranger(universe, mutation):
        universe.blame(f"I9: {stranger} of someone else was changed")
    if mistake := _spare(universe, mutation):
        universe.blame(f"I9: {mistake}")
    if isinstance(mutation, Put) and isinstance(mutation.document, Record):
        _learn(universe, mutation.document)
    if not universe.steady:
        return
    steady = _relied_on(universe)
    if isinstance(mutation, Renew | Drop):
        _died(universe, mutation, steady)
    if isinstance(mutation, Fill) and mutation.delivery in steady:
        _may_as_much(universe, mutation)
    _steady(universe)


def _relied_on(universe: Universe) -> list[Delivery]:
    """Return the places that must hold an accepted secret.

    One that the entry no longer has may be emptied; what it holds until then is someone's.
    """
    return [place for place in universe.steady if place in universe.wanted or universe.fields.get(place)]


def _steady(universe: Universe) -> None:
    """Check that the API accepts what places hold, and what their consumers use meanwhile."""
    for delivery in _relied_on(universe):
        if not universe.accepted(universe.fields.get(delivery, "")):
            universe.blame(f"I3: {delivery} holds a secret that the API refuses")
        if not universe.accepted(universe.in_use(delivery)):
            universe.blame(f"I3: the consumers of {delivery} use a secret that the API refuses")


def _stranger(universe: Universe, mutation: Mutation) -> str:
    """Tell what was changed, where it is not ours."""
    match mutation:
        case Renew(uuid) | Rename(uuid) | Drop(uuid) if uuid in universe.foreign_keys:
            return f"the API key {uuid}"
        case Fill(delivery) if delivery in universe.foreign_fields:
            return str(delivery)
        case Put(document) if (document.owner, document.key) not in {OURS, *universe.others}:
            return f"a document of {document.owner}"
        case _:
            return ""


def _spare(universe: Universe, mutation: Mutation) -> str:
    """Tell what is wrong with how a spare is taken: named by an intent, claimed, renamed, then regenerated."""
    document = mutation.document if isinstance(mutation, Put) else None
    claiming = isinstance(document, Claim) and not document.released_at
    uuid = document.uuid if isinstance(document, Claim) else getattr(mutation, "uuid", "")
    if uuid not in universe.spares:
        return ""
    claim = document if isinstance(document, Claim) else universe.claims.get(uuid, (None, 0))[0]
    if claim is None or claim.released_at:
        return f"the spare {uuid} was changed without a claim on it" if document is None else ""
    record = universe.records.get(claim.key, (None, 0))[0]
    slots = {slot.uuid for slot in record.slots.values()} if record else set()
    if record is None or not (uuid in slots or (record.intent and record.intent.spare == uuid)):
        return f"the spare {uuid} was taken, and no record said so before"
    if claiming:
        return ""
    if isinstance(mutation, Renew) and universe.keys[uuid].name.startswith(SPARE):
        return f"the spare {uuid} was regenerated under its name in the pool"
    return ""


def _learn(universe: Universe, record: Record) -> None:
    """Keep what a record says that later ones may not say any more."""
    if record.requested and record.requested.compromised:
        universe.told |= universe.leaked
    digests = {slot.digest for slot in record.slots.values()} | {item.digest for item in record.deliveries}
    digests |= {record.intent.digest} if record.intent else set()
    universe.known |= {digest for digest in digests if digest}


def _may_as_much(universe: Universe, fill: Fill) -> None:
    """Check that who used a second model may go on to."""
    others = [universe.fields.get(place, "") for place in universe.steady if place != fill.delivery]
    if any(map(universe.uses_more, others)) and fill.value and not universe.uses_more(fill.value):
        universe.blame(f"I3: {fill.delivery} got a secret that may not use what the one before may")


def _died(universe: Universe, mutation: Renew | Drop, steady: list[Delivery]) -> None:
    """Check that every target was read with the new secret before an old one died, and that the overlap was over."""
    for delivery in steady:
        if not universe.read.get(delivery, True):
            universe.blame(f"I3: an old secret died before {delivery} was read with the new one")
    if isinstance(mutation, Renew):
        left = universe.left.get(universe.keys[mutation.uuid].old)
        if left is not None and universe.now - left < universe.overlap and not universe.held_dead:
            universe.blame("I3: an old secret died before its overlap was over")


def killed(universe: Universe) -> None:
    """Check that what leaked is dead, where the record knows of it."""
    if any(map(universe.lasting, universe.told)):
        universe.blame("a leaked secret lives on")


def leak(universe: Universe, *shown: object) -> None:
    """Check that none of these shows a secret (I5)."""
    if any(MARK in repr(one) for one in shown):
        universe.blame("I5: a secret leaked")


def finish(
    universe: Universe, desired: DesiredKey, options: Options, timing: Timing, *, stops: Stops = Stops.NEVER
) -> None:
    """With the faults gone and time passed: converge, rest, be quiet, and have lost nothing (I1, I2, I4, I7, I8)."""

    def go(options: Options) -> KeyReport:
        universe.advance(LONG)
        universe.runs += 1
        report = apply_key(SimWorld(universe, {}, timing), desired, options, f"run-{universe.runs}")
        leak(universe, report)
        return report

    start = universe.mutations
    report = go(options)
    stopped = report.end.condition is Condition.HELD
    if stops is Stops.MUST or (stops is Stops.MAY and stopped):
        if not stopped or universe.mutations != start:
            universe.blame("I9: it did not stop at what is not ours")
        return
    if report.end.condition is Condition.PARKED and universe.failed_runs >= 3:
        report = go(Options(verify=options.verify, allow_delete=options.allow_delete, unpark=True))
    report = _agreed(report, options, go)
    for _ in range(OVERLAPS + (ROLLED_OUT if universe.rollouts.used else 0)):
        outlived = bool(universe.rollouts.used) and any(end.code is Reason.OVERLAP for end in report.conditions)
        if report.end.code == "overlap" or rolling(report) or outlived:
            report = go(options)
    if report.end.condition is not Condition.READY or report.exit_code:
        universe.blame(f"I1: no rest: {report.end.code}: {report.end.why} {' '.join(report.problems)}")
        return
    reader = SimWorld(universe, {}, timing)
    plan = plan_key(reader, desired, options).plan
    leak(universe, plan, universe.records, universe.claims)
    if reader.changes:
        universe.blame("I7: a plan wrote")
    before = universe.mutations
    if plan.now.exit_code:
        universe.blame(f"status: {plan.now.code} at rest: {plan.now.why}")
    if plan.changes:
        universe.blame(f"I8: at rest a plan still wants to {plan.changes[0].why}")
    go(options)
    if universe.mutations != before:
        universe.blame("I8: a second apply wrote")
    killed(universe)
    _kept(universe, desired)


def rolling(report: KeyReport) -> bool:
    """Tell whether a run said that it waits for a rollout: what is left is done after that."""
    return any(end.code in {Reason.EFFECT_PENDING, Reason.EFFECT_OUTAGE} for end in report.conditions)


def rolled_out(universe: Universe) -> bool:
    """Tell whether a rollout has ended that the record still waits for: the next run writes that down."""
    record = universe.records.get("main", (None, 0))[0]
    due = [item.delivery for item in record.deliveries if item.effect_due] if record else []
    return any(universe.in_use(place) == universe.held(place) for place in due)


def _agreed(report: KeyReport, options: Options, go: Callable[[Options], KeyReport]) -> KeyReport:
    """Let an operator look at an API key that may not be the key's own, and agree."""
    if report.end.code in ASKED:
        return go(replace(options, allow_extra=True, allow_unproven=True))
    return report


def _kept(universe: Universe, desired: DesiredKey) -> None:
    """Check that nothing is lost, orphaned or doubled."""
    record, _ = universe.records.get(desired.id, (None, 0))
    if desired.absent and record is None and not any(key.ours for key in universe.keys.values()):
        return
    if record is None or record.intent:
        universe.blame("I1: no record, or an open intent, at rest")
        return
    old, _ = universe.records.get(desired.moved_from, (None, 0))
    if old and (not old.deleted_at or old.moved_to != desired.id or record.moved_from or record.moved_to):
        universe.blame("I4: a record has not moved to its new id")
    slots = {slot.uuid: name for name, slot in record.slots.items()}
    for key in universe.keys.values():
        if key.ours and key.uuid not in slots and not desired.retain:
            universe.blame(f"I4: {key.uuid} ({key.name}) was made by keyturn and is in no record")
    if desired.clean_targets and not desired.retain:
        _cleaned(universe, desired, record.digest_key)
    if desired.absent:
        if not desired.retain and any(key.ours for key in universe.keys.values()):
            universe.blame("I4: the key was to be deleted")
        mine = (claim for claim, _ in universe.claims.values() if claim.key == desired.id)
        if any((desired.retain or claim.uuid in universe.dropped) and not claim.released_at for claim in mine):
            universe.blame("I4: a claim on a key that is gone, or was forgotten, was not released")
        return
    _delivered(universe, desired, record)
    _slots(universe, desired, record, slots)


def _delivered(universe: Universe, desired: DesiredKey, record: Record) -> None:
    """Check that the API accepts what every delivery holds, that its consumers use it, and that its marker is noted."""
    for delivery in desired.deliveries:
        value = universe.held(delivery)
        if not universe.accepted(value):
            universe.blame(f"I2: {delivery} holds {'a refused secret' if value else 'nothing'}")
        if universe.in_use(delivery) != value:
            universe.blame(f"I2: the consumers of {delivery} use something else")
        noted = record.delivery(delivery)
        shown = delivery.target in MARKED and delivery not in universe.by_others
        if shown and (noted is None or noted.version != showing.marker(universe, delivery)):
            universe.blame(f"I2: the record does not know what {delivery} shows")


def _cleaned(universe: Universe, desired: DesiredKey, digest_key: str) -> None:
    """Check that no secret that a record knew of, or that lasts, stays where the entry has no delivery."""
    wanted = places(() if desired.absent else desired.deliveries)
    for delivery, value in universe.fields.items():
        if delivery in wanted or delivery in universe.by_others:
            continue
        if desired.kinds and delivery.target in universe.unfenced:
            continue  # without versions it may be another name of a wanted one: that is told, and it stays
        if universe.lasting(value) or Secret(value).digest(digest_key) in universe.known:
            universe.blame(f"{delivery} is no longer wanted, and still holds a secret")


def _slots(universe: Universe, desired: DesiredKey, record: Record, slots: dict[str, SlotName]) -> None:
    alternating = desired.rotation.strategy is Strategy.ALTERNATING
    if len(slots) != (2 if alternating else 1):
        universe.blame(f"I4: {len(slots)} slots")
    delivered = {value for (delivery, _), value in universe.kept.items() if delivery not in universe.foreign_fields}
    for uuid, seen in universe.spares.items():
        taken = universe.claims.get(uuid, (None, 0))[0]
        if uuid in slots and universe.lasting(seen):
            universe.blame(f"I5: the secret that an operator saw of {uuid} is still accepted")
        left = uuid in universe.keys and uuid not in slots
        if left and taken and not taken.released_at and (taken.owner, taken.key) == OURS:
            universe.blame(f"I4: the spare {uuid} is claimed and in no record")
    for uuid, name in slots.items():
        key = universe.keys.get(uuid)
        if key is None:
            universe.blame(f"I2: the API key of slot {name} is gone")
            continue
        wanted = f"{desired.name}-{name}" if alternating else desired.name
        if key.name != wanted:
            universe.blame(f"I4: slot {name} is called {key.name}")
        claim = universe.claims.get(uuid, (None, 0))[0]
        if not isinstance(claim, Claim) or claim.key != desired.id or claim.released_at:
            universe.blame(f"I4: no claim on {uuid}")
        if name is not record.live and key.secret in delivered & universe.mints:
            universe.blame(f"I3: the old secret of slot {name} was never retired")
        if name is record.live and any(universe.held(item) != key.secret for item in desired.deliveries):
            universe.blame("I2: a delivery does not hold the live secret")
