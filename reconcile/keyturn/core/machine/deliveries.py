"""What the deliveries hold: which are wanted, whose value they hold, what could not be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from keyturn.core.machine.facts import found, intent_of, record_of, together
from keyturn.core.model import Delivery
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, Op
from keyturn.core.results import End
from keyturn.core.state import Likeness, Reading, State
from keyturn.core.steps import LookBack

UNVERSIONED = "its target shows no versions, so nothing tells"
LOGIN = 5
"""The exit code of a refused login."""


def wanted(state: State) -> tuple[Delivery, ...]:
    """Return the deliveries of the entry."""
    return state.desired.deliveries


def unwanted(state: State) -> tuple[Delivery, ...]:
    """Return the deliveries of the record that the entry no longer has."""
    return tuple(item for item in recorded(state) if item not in state.desired.deliveries)


def merged(state: State, delivery: Delivery) -> bool:
    """Tell whether a delivery that the entry no longer has is one place with one that it has.

    It was read without the live secret; then this run wrote that only elsewhere; and now it holds it.
    """
    live, reading = record_of(state).live_digest, state.observed.readings.get(delivery)
    return live is not None and (delivery, live) in state.run.lacked and reading is not None and reading.digest == live


def likeness(state: State, old: Delivery, new: Delivery) -> Likeness | None:
    """Return what is known of a delivery that the entry no longer has, and one that it has; None: not looked at yet.

    They can be one place only if both are fields of one name, of one type of target, and hold the live secret. Two
    fields of one path share its version.
    """
    readings, kinds = state.observed.readings, state.desired.kinds
    held = (record_of(state).live_digest, record_of(state).live_digest)
    if old.field != new.field or old.target not in kinds or kinds[old.target] != kinds.get(new.target):
        return Likeness(same=False)
    if old not in readings or new not in readings or (readings[old].digest, readings[new].digest) != held:
        return Likeness(same=False)
    if (old, new) not in state.run.likeness and not (readings[old].version and readings[new].version):
        return Likeness(same=True, why=f"{old} is not emptied, because it may be another name of {new}: {UNVERSIONED}")
    return state.run.likeness.get((old, new))


def alike(state: State, old: Delivery) -> Likeness | None:
    """Return that a delivery is, or may be, another name of one that the entry has; None if it is another place.

    As long as that is not looked at, it may be.
    """
    found = [likeness(state, old, new) for new in places(state)]
    doubts = [item or Likeness(same=None) for item in found if item is None or item.same is not False]
    return next((item for item in doubts if item.same), doubts[0] if doubts else None)


def unsure(state: State, old: Delivery) -> End | None:
    """Return why a delivery that the entry no longer has is not emptied; None if it is, or is another name of one."""
    found = alike(state, old)
    if merged(state, old) or (found and found.same):
        return None
    return End(Reason.PENDING, found.why or "they were not compared") if found else withheld(state, old)


def ours_there(state: State, delivery: Delivery) -> bool:
    """Tell whether a delivery that was read holds, or may hold, a secret of this key."""
    reading = state.observed.readings[delivery]
    return (reading.digest in record_of(state).digests and not reading.unlike) or _left(state, delivery)


def _left(state: State, delivery: Delivery) -> bool:
    """Tell whether a write-only delivery may hold a secret that a run has sent and nobody knows to be there.

    By another name it may be a place that the entry has: then it shows the same marker.
    """
    noted, readings = record_of(state).delivery(delivery), state.observed.readings
    if noted is None or not noted.begun or not unknown(readings[delivery]):
        return False
    wanted_now = () if state.desired.absent else wanted(state)
    others = (readings.get(item) for item in wanted_now)
    return all(not (read and read.marked and read.version == readings[delivery].version) for read in others)


def withheld(state: State, delivery: Delivery) -> End | None:
    """Return why a write-only delivery is not emptied: only the record says that it is ours, and may be forged.

    A policy that names deliveries decides; else a signature of the record does, or an operator.
    """
    permit, reading = state.desired.permit, state.observed.readings.get(delivery)
    if reading is None or not reading.marked or not ours_there(state, delivery):
        return None
    if permit is not None and permit.deliver is not None:
        denied = permit.foreign(f"{delivery.target}:{delivery.path}", delivery.field)
        return End(Reason.CLEAN_FAILED, denied) if denied else None
    if state.observed.signed or state.options.take_over:
        return None
    why = "it cannot be read, and only the record says that its value is this key's"
    return End(Reason.PLACE_UNPROVEN, why)


def unproven(state: State) -> End | None:
    """Return which places the entry no longer has that stay as they are, since only the record says they are ours.

    It is told beside everything else: nothing but an operator, a signature or the entry ends it.
    """
    record, desired, readings = state.record, state.desired, state.observed.readings
    if record is None or record.deleted_at or desired.absent or not desired.name or not desired.clean_targets:
        return None
    kept = [item for item in unwanted(state) if item in readings]
    ends = {item: end for item in kept if (end := unsure(state, item)) and end.code is Reason.PLACE_UNPROVEN}
    whys = (f"{item} is not emptied: {end.why}" for item, end in ends.items())
    return End(Reason.PLACE_UNPROVEN, together(whys)) if ends else None


def recorded(state: State) -> tuple[Delivery, ...]:
    """Return the deliveries of the record."""
    return tuple(item.delivery for item in record_of(state).deliveries)


def anywhere(state: State) -> tuple[Delivery, ...]:
    """Return every delivery that may hold a secret of the key: the entry's, and those that it no longer has."""
    return (*wanted(state), *unwanted(state))


def ours(state: State) -> frozenset[str | None]:
    """Return the digests of the secrets that this key is known to have had; None stands for an empty delivery."""
    known = state.record.digests if state.record and not state.record.deleted_at else frozenset()
    return known | {state.run.attempt.minted, None}


def foreign(state: State) -> tuple[Delivery, ...]:
    """Return the wanted deliveries that hold a value which keyturn neither wrote nor was told to replace.

    A delivery is ours only if a secret of this key was read there once; that the record names it is not enough. Of a
    write-only one, a write whose outcome nobody knows may have come there.
    """
    if state.options.take_over:
        return ()
    record, readings = state.record if state.record and not state.record.deleted_at else None, state.observed.readings
    others = [
        (item, readings[item].digest)
        for item in wanted(state)
        if item in readings and not _consented(state, record.delivery(item) if record else None, readings[item])
    ]
    if not others:
        return ()
    known = ours(state)
    return tuple(item for item, digest in others if digest not in known)


def _consented(state: State, noted: DeliveryState | None, reading: Reading) -> bool:
    """Tell whether what a delivery holds may be replaced, whosever it is."""
    if noted is None:
        return False
    begun = noted.begun and unknown(reading) and noted.delivery not in state.run.denied
    return noted.proven or noted.over == reading.digest or begun


def unknown(reading: Reading | None) -> bool:
    """Tell whether a write-only delivery was read at a marker that nothing notes."""
    return reading is not None and reading.marked and reading.unlike


def places(state: State) -> tuple[Delivery, ...]:
    """Return the wanted deliveries without the foreign ones: these are reported, and left alone."""
    others = foreign(state)
    return tuple(item for item in wanted(state) if item not in others) if others else wanted(state)


def arrived(state: State) -> bool:
    """Tell whether every wanted delivery was read with the live secret: only then an old one is cleaned."""
    live, readings = record_of(state).live_digest, state.observed.readings
    return all(item in readings and readings[item].digest == live for item in state.desired.deliveries)


def behind(state: State, delivery: Delivery) -> bool:
    """Tell whether a delivery lacks the live secret, by the record or as it was read."""
    live = record_of(state).live_digest
    known = record_of(state).delivery(delivery)
    if known is None or known.digest != live:
        return True
    reading = state.observed.readings.get(delivery)
    return reading is not None and not reading.problem and reading.digest != live


def holds(state: State, digest: str) -> bool:
    """Tell whether a delivery holds this secret, as far as they were read."""
    return any(reading.digest == digest for reading in state.observed.readings.values())


def readable_holder(state: State, digest: str) -> bool:
    """Tell whether a delivery that can be read holds this secret: then no other one needs a mint to get it."""
    return any(reading.digest == digest and not reading.marked for reading in state.observed.readings.values())


def barred(state: State) -> tuple[Delivery, ...]:
    """Return the write-only deliveries that do not take the secret of this run's mint, if no other one can give it.

    Preflight does not show that, and each further try would take another mint.
    """
    minted, readings = state.run.attempt.minted, state.observed.readings
    if minted is None or readable_holder(state, minted):
        return ()
    lacking = (item for item in wanted(state) if item in readings and readings[item].digest != minted)
    return tuple(item for item in lacking if refuses(state, item))


def refuses(state: State, delivery: Delivery) -> bool:
    """Tell whether a write-only delivery takes no secret until an operator acts, as this run has read or tried it."""
    reading, failure = state.observed.readings[delivery], state.run.unwritten.get(delivery)
    return reading.marked and (bool(reading.refuses) or (failure is not None and failure.refused))


def unwritten(state: State, delivery: Delivery) -> str:
    """Say why this run's last write to a delivery failed, or would fail; empty if nothing speaks against it."""
    failure, reading = state.run.unwritten.get(delivery), state.observed.readings.get(delivery)
    return failure.why if failure else reading.refuses if reading else ""


def unreadable(state: State, deliveries: Iterable[Delivery]) -> str:
    """Say which of the deliveries could not be read, and why; they have been looked at."""
    readings = state.observed.readings
    return together(f"{item}: {readings[item].problem}" for item in deliveries if readings[item].problem)


def login_or(state: State, deliveries: Iterable[Delivery], reason: Reason) -> Reason:
    """Return `reason`, or that a login is refused, or a server silent, if that is why a delivery could not be read."""
    unread = [read for item in deliveries if (read := state.observed.readings[item]).problem]
    if any(read.exit_code == LOGIN for read in unread):
        return Reason.LOGIN_REFUSED
    silent = reason is Reason.UNREADABLE and unread and all(read.silent for read in unread)
    return Reason.NO_ANSWER if silent else reason


def earlier(state: State, digest: str) -> LookBack | None:
    """Look for a slot's secret in the versions that once held it; None if that was done, or no version is known."""
    record = record_of(state)
    held = [
        (item.delivery, item.version)
        for slot in record.slots.values()
        if slot.digest == digest
        for item in slot.held_in
    ]
    held += [(item.delivery, item.version) for item in record.deliveries if item.digest == digest and not item.marked]
    known = tuple(dict.fromkeys(item for item in held if item[1]))
    if not known or digest in state.observed.in_hand or digest in state.run.looked_back:
        return None
    return LookBack(known, digest)


def consented(state: State) -> tuple[DeliveryState, ...]:
    """Return the record's deliveries, with each free one that the coming mint may be delivered to.

    Written with the intent: a value that an operator agreed to replace is replaced by the next run, too.
    """
    record = record_of(state)
    free = [item for item in places(state) if item in state.observed.readings]
    known = (agreed(state, item.delivery) if item.delivery in free else item for item in record.deliveries)
    return (*known, *(agreed(state, item) for item in free if record.delivery(item) is None))


def agreed(state: State, delivery: Delivery) -> DeliveryState:
    """Return what the record is to say of a delivery that was read: unless it was ours, which value may be replaced."""
    noted = state.record.delivery(delivery) if state.record and not state.record.deleted_at else None
    if noted and noted.proven:
        return noted
    digest = state.observed.readings[delivery].digest
    return replace(noted or DeliveryState(delivery), over=None if digest in ours(state) else digest)


def never_ours(state: State, deliveries: Iterable[Delivery]) -> bool:
    """Tell whether one of these was never read with a secret of this key."""
    return any(not (noted := record_of(state).delivery(item)) or not noted.proven for item in deliveries)


def nowhere(state: State) -> bool:
    """Tell whether every wanted delivery holds a value of another origin: a new secret could go nowhere."""
    return bool(wanted(state)) and not places(state)


def delivered(state: State, delivery: Delivery, generation: int, digest: str) -> DeliveryState:
    """Return what the record is to say of a delivery that was read with this secret."""
    read = state.observed.readings[delivery]
    due = not read.effect.active
    return DeliveryState(
        delivery, generation, read.version, digest, state.clock.now, marked=read.marked, effect_due=due
    )


def as_seen(state: State) -> tuple[DeliveryState, ...]:
    """Return the record's deliveries for an intent that ends unfinished: unknown if not last read as recorded."""
    readings, op = state.observed.readings, intent_of(state).op
    if op not in {Op.DELIVER, Op.DELETE}:
        return doubted(state)
    return tuple(
        item
        if item.marked or ((read := readings.get(item.delivery)) and read.digest == item.digest)
        else replace(item, digest=None)
        for item in doubted(state)
    )


def doubted(state: State) -> tuple[DeliveryState, ...]:
    """Return the record's deliveries for an intent that ends: what it has sent to a write-only one may be there.

    That is so unless the delivery was read as the record, or this run's acknowledged write, says.
    """
    return tuple(in_doubt(state, item) for item in record_of(state).deliveries)


def in_doubt(state: State, noted: DeliveryState) -> DeliveryState:
    """Return what the record is to say of one delivery if nothing more is known than before.

    One that refused the write for certain was read before, and held nothing of ours. An acknowledged write is noted. If
    the intent is this run's own, another marker shows someone else's write, unless one of ours had no answer.
    """
    run, read, sent = state.run, state.observed.readings.get(noted.delivery), state.run.sent.get(noted.delivery)
    if noted.delivery in run.denied:
        return replace(noted, begun=False, digest=None, version="")
    known = read if read and not read.problem else None
    if not noted.marked or (known and known.digest == noted.digest):
        return noted
    if known and sent == (known.version, known.digest):
        return delivered(state, noted.delivery, noted.generation, sent[1])
    if found(state) or noted.delivery in run.unsure or (sent and not known):
        return replace(noted, begun=True)
    return replace(noted, digest=None) if known else noted
