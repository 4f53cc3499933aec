"""What the deliveries hold against what the record says: taken as it is, asked about, or left to `deliver`."""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.deliveries import earlier, places
from keyturn.core.machine.facts import compromised, note, record_of, unjudged, verdict
from keyturn.core.machine.guards import seen
from keyturn.core.machine.policy import Branch, Chain, when
from keyturn.core.model import GOOD, UNJUDGED, Cause, SlotName, Strategy, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import HeldAt, Record, Retire
from keyturn.core.results import Change, End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, Purpose, Write, WriteRecord


def live_of(state: State) -> str:
    """Return the digest of the live secret."""
    return record_of(state).live_digest or ""


def concerned(state: State) -> bool:
    """Tell whether there is a live secret and a delivery for it; a compromised one is rotated whatever they hold."""
    return bool(live_of(state)) and bool(places(state)) and not compromised(state)


def doubtful(state: State) -> bool:
    """Tell whether the live secret has to be tried: it was asked for, or it was never proven."""
    return state.options.verify or bool(record_of(state).unverified) or state.options.adopt is not None


def asked(state: State) -> bool:
    """Tell whether the deliveries have to be read: in doubt, or if the record says that one lacks the secret."""
    known = (record_of(state).delivery(item) for item in places(state))
    unsure = (item is None or item.digest != live_of(state) or item.begun or item.effect_due for item in known)
    return doubtful(state) or any(unsure)


def all_read(state: State) -> bool:
    """Tell whether every delivery was looked at."""
    return all(item in state.observed.readings for item in places(state))


def half_blind(state: State) -> bool:
    """Tell whether a delivery could not be read: nothing is decided by what the others hold."""
    return all_read(state) and any(state.observed.readings[item].problem for item in places(state))


def gone(state: State) -> Decision | None:
    """Write down that a delivery is empty and takes no secret, such as of a part that was removed: nothing is sent.

    From then on each run looks at it.
    """
    record, readings = record_of(state), state.observed.readings
    for item in record.deliveries:
        read = readings.get(item.delivery)
        if read and read.refuses and not (read.problem or read.digest) and item.digest:
            known = replace(item, digest=None, effect_due=False)
            states = tuple(known if one is item else one for one in record.deliveries)
            what = f"{item.delivery} holds nothing: {read.refuses}"
            return WriteRecord(note(replace(record, deliveries=states), state, what, Cause("drift")), Write.KEEP)
    return None


def try_in_hand(state: State) -> Decision | None:
    """Try the live secret as for an adoption: a plan tries it too, since what follows depends on the answer."""
    live = live_of(state)
    if live not in state.observed.in_hand or verdict(state, live) is not None:
        return None
    return Check(live, Purpose.ADOPT)


def verifies(state: State) -> bool:
    """Tell whether `verify` was asked for although a delivery could not be read: what the others hold is reported."""
    return half_blind(state) and state.options.verify


def readable(state: State) -> bool:
    """Tell whether every delivery was read."""
    return all_read(state) and not half_blind(state)


def differs(state: State) -> bool:
    """Tell whether a delivery holds another secret than the live one."""
    return any(state.observed.readings[item].digest != live_of(state) for item in places(state))


def lost(state: State) -> bool:
    """Tell whether a delivery lacks the live secret, and neither another one nor this run can give it."""
    return readable(state) and live_of(state) not in state.observed.in_hand and differs(state)


def comparable(state: State) -> bool:
    """Tell whether every delivery was read and the live secret is somewhere."""
    return readable(state) and not lost(state)


def look_back(state: State) -> Decision | None:
    """Look for the live secret in versions that once held it."""
    return earlier(state, live_of(state))


def rolled_back(state: State) -> Decision | None:
    """Make the other slot live if the deliveries were put back to its secret and the API accepts it."""
    record = record_of(state)
    leaked = record.retire.slot if record.retire and record.retire.at_once else None
    held_now = {state.observed.readings[item].digest for item in places(state)} & state.observed.in_hand
    for name, slot in record.slots.items():
        if not slot.digest or slot.digest not in held_now or name is leaked:
            continue
        found = verdict(state, slot.digest)
        if found is None:
            return Check(slot.digest, Purpose.ADOPT)
        if found in UNJUDGED:
            return _unjudged(state, slot.digest)
        if found is Verdict.REFUSED:
            continue
        why = f"the targets were put back to slot {name}'s secret"
        # Consumers that have read the other one since have a whole overlap to come back from it.
        turned = Retire(name.other, state.clock.now + state.desired.rotation.overlap) if record.retire else None
        shown = Planned(Change.RECORD, "rolled-back", why, slot=name)
        return WriteRecord(
            note(replace(record, live=name, retire=turned), state, why, Cause("drift"), slot=name), Write.KEEP, shown
        )
    return None


def pasted(state: State) -> Decision | None:
    """The live secret is refused or lost: take what a delivery holds instead, if the API accepts it.

    An operator regenerated the key and pasted the new secret. Of two slots it has to be said which one. A value that
    does not look like a key is not tried.
    """
    record, readings = record_of(state), state.observed.readings
    known = {slot.digest for slot in record.slots.values()}
    found = (read for item in places(state) if (read := readings[item]).digest and not (read.unlike or read.marked))
    held = {read.digest for read in found}
    for digest in sorted(str(one) for one in held - known):
        result = verdict(state, digest)
        if result is None:
            return Check(digest, Purpose.PASTED)
        if result is Verdict.REFUSED:
            continue
        if unjudged(state, digest):
            return _unjudged(state, digest)
        if result is Verdict.SKIPPED and not state.options.confirmed:
            why = f"{_holders(state, digest)} was changed to another secret, and smoke-checks are switched off"
            return End(Reason.PASTED, f"{why}: nothing shows whose it is")
        if record.strategy is Strategy.ALTERNATING and not (state.options.adopt and state.options.adopt.live):
            return End(Reason.PASTED, f"{_holders(state, digest)} was changed to a secret that the API accepts")
        return _take_pasted(state, record, digest)
    return None


def untried(state: State) -> bool:
    """Tell whether the live secret has to be tried: in doubt, or because a delivery holds another one."""
    return doubtful(state) or differs(state)


def verified(state: State) -> Decision | None:
    """Write down that a secret which could not be proven is accepted now."""
    record = record_of(state)
    if not record.unverified or verdict(state, live_of(state)) not in GOOD:
        return None
    return WriteRecord(note(replace(record, unverified=""), state, "verified"), Write.KEEP)


def dead(state: State) -> bool:
    """Tell whether the live secret is refused: a delivery may have been put back to the other slot's, which works."""
    return verdict(state, live_of(state)) is Verdict.REFUSED


def replaced(state: State) -> bool:
    """Tell whether another secret may be the live one: this one is refused, or an operator says so."""
    told = state.options.adopt is not None and state.options.adopt.live is not None
    return dead(state) or (told and differs(state))


DRIFT: Chain = (
    when(asked, seen(places)),
    gone,
    when(verifies, try_in_hand),
    Branch("drift-lost", when=lost),
    Branch("drift-compared", when=comparable),
)
LOST: Chain = (look_back, rolled_back, pasted)
COMPARED: Chain = (when(untried, try_in_hand), verified, when(dead, rolled_back), when(replaced, pasted))


def _unjudged(state: State, digest: str) -> End:
    """Say that a delivery holds another secret of which nothing could be learnt."""
    result = state.observed.verdicts[digest]
    why = f"a delivery was changed, and what it holds could not be judged: {result.facts}"
    return End(Reason.of(result.verdict.value), why)


def _holders(state: State, digest: str) -> str:
    readings = state.observed.readings
    return ", ".join(str(item) for item in places(state) if readings[item].digest == digest)


def _take_pasted(state: State, record: Record, digest: str) -> Decision:
    slot_name = (state.options.adopt and state.options.adopt.live) or record.live or SlotName.A
    if slot_name not in record.slots:
        return End(Reason.LIVE_UNKNOWN, f"the key has no slot {slot_name}")
    now, readings = state.clock.now, state.observed.readings
    held = [item for item in places(state) if readings[item].digest == digest]
    states = tuple(
        replace(item, generation=record.generation + 1, digest=digest, version=readings[item.delivery].version, at=now)
        if item.delivery in held
        else item
        for item in record.deliveries
    )
    held_in = tuple(HeldAt(item, readings[item].version) for item in held)
    slot = replace(record.slots[slot_name], digest=digest, minted_at=now, held_in=held_in)
    retire = record.retire
    if slot_name is not record.live and record.slot(slot_name.other):
        retire = Retire(slot_name.other, now + state.desired.rotation.overlap)
    taken = replace(
        record,
        retire=retire,
        generation=record.generation + 1,
        live=slot_name,
        slots=record.with_slot(slot_name, slot),
        deliveries=states,
        unverified="",
    )
    evidence = f"{', '.join(map(str, held))} held a secret that keyturn did not make and the API accepts"
    shown = Planned(Change.RECORD, "pasted", "an operator regenerated the key and pasted its secret: taken as it is")
    return WriteRecord(
        note(taken, state, "took a pasted secret", Cause("drift", evidence=evidence), slot=slot_name), Write.KEEP, shown
    )
