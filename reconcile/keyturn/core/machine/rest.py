"""At rest: the condition of a key if no policy has a step to take; the first reason in this order is given."""

from __future__ import annotations

from keyturn.core import schedule
from keyturn.core.machine import handoff, parking, rotate
from keyturn.core.machine.deliveries import (
    anywhere,
    arrived,
    behind,
    login_or,
    places,
    refuses,
    unsure,
    unwanted,
    unwritten,
)
from keyturn.core.machine.facts import record_of, retire_at, retire_frozen, together
from keyturn.core.machine.gone import surplus
from keyturn.core.machine.in_effect import not_in_effect
from keyturn.core.machine.in_use import in_use
from keyturn.core.machine.policy import Chain
from keyturn.core.machine.retire import due, not_yet_live, waits_for_effect
from keyturn.core.model import GOOD
from keyturn.core.reasons import Reason
from keyturn.core.results import End
from keyturn.core.state import State


def parked(state: State) -> End | None:
    """The key is parked, and no rotation is called for."""
    return parking.parked(state) if rotate.waits(state) is None else None


def hand_off(state: State) -> End | None:
    """An operator has to make API keys."""
    return handoff.waits(state)


def rotation_blocked(state: State) -> End | None:
    """A rotation is called for and cannot start: time alone does not help.

    If it waits for a retire that cannot be, what keeps that is said.
    """
    end = rotate.waits(state)
    if end and end.code is Reason.RETIRE_FIRST and (wrong := pending(state)):
        code = Reason.LOGIN_REFUSED if wrong.code is Reason.LOGIN_REFUSED else end.code
        return End(code, f"{end.why}; {wrong.why}")
    return end if end and end.exit_code else None


def pending(state: State) -> End | None:
    """Something is not as it should be, and this run could not put it right."""
    wrong = _wrong(state)
    # A dropped place that is kept is told beside everything else, with its own remedy.
    wrong = [one for one in wrong if one[1] is not Reason.PLACE_UNPROVEN] or wrong
    live = record_of(state).live_digest
    found = state.observed.verdicts.get(live) if live else None
    if found and found.verdict not in GOOD and len(wrong) == 1:
        return End(Reason.of(found.verdict.value), wrong[0][0])
    read = [item for item in anywhere(state) if item in state.observed.readings]
    codes = {code for _, code in wrong if code}
    code = login_or(state, read, codes.pop() if len(codes) == 1 else Reason.PENDING)
    return End(code, together(text for text, _ in wrong)) if wrong else None


def effect_failed(state: State) -> End | None:
    """Consumers do not use the live secret that a delivery holds, and will not without a repair."""
    end = not_in_effect(state)
    return end if end and end.exit_code else None


def effect_pending(state: State) -> End | None:
    """Consumers do not use the live secret yet that a delivery holds."""
    return not_in_effect(state)


def rotation_waits(state: State) -> End | None:
    """A rotation is called for and waits for time."""
    return rotate.waits(state)


def frozen(state: State) -> End | None:
    """A rotation or a retire is due, and a freeze of the manifest keeps it from starting."""
    record, rotation, now = record_of(state), state.desired.rotation, state.clock.now
    slot = record.slot(record.live)
    if record.retire and record.retire.at <= now and (freeze := retire_frozen(state)):
        since = record.retire.at
        return End(Reason.FROZEN, schedule.frozen_text("a retire", freeze), retire_at(state), since=since)
    if slot and slot.minted_at and (freeze := schedule.held_back(rotation, slot.minted_at, now)):
        until = schedule.next_rotation(rotation, slot.minted_at, now)
        due = schedule.first_due(rotation, slot.minted_at)
        return End(Reason.FROZEN, schedule.frozen_text("a rotation", freeze), until, since=due)
    return None


def overlap(state: State) -> End | None:
    """The old secret still works."""
    retire, now = record_of(state).retire, state.clock.now
    if retire is None:
        return None
    longer = schedule.outlasts(retire.at, now, state.desired.rotation.overlap)
    return End(Reason.OVERLAP, f"the old secret is retired after the overlap{longer}", retire_at(state))


def ready(state: State) -> End:
    """Nothing is to be done until the next rotation."""
    record, rotation = record_of(state), state.desired.rotation
    slot = record.slot(record.live)
    until = None
    if rotation.every and slot and slot.minted_at:
        until = schedule.next_rotation(rotation, slot.minted_at, state.clock.now)
    return End(Reason.AT_REST, "nothing to do", until)


CONDITION: Chain = (
    parked,
    in_use,
    hand_off,
    rotation_blocked,
    pending,
    effect_failed,
    rotation_waits,
    effect_pending,
    frozen,
    overlap,
    ready,
)


def _minted_later(state: State) -> str:
    """Say why a delivery waits for a secret that is not made yet: nothing can give the live one; empty if it is not."""
    end = rotate.waits(state) if rotate.lost(state) else None
    if end is None:
        return ""
    until = f", {schedule.utc(end.until)}" if end.until else ""
    return f"only a new secret can be delivered there, and that waits: {end.why}{until}"


def _wrong(state: State) -> list[tuple[str, Reason | None]]:
    """Say what is not as it should be: deliveries, proofs, a retire that has to wait.

    Each with its reason: a delivery that could not be read, or what this run could not put right; None if it only
    follows from another one.
    """
    record, readings = record_of(state), state.observed.readings
    wrong: list[tuple[str, Reason | None]] = [(problem, Reason.PENDING) for problem in state.run.problems]
    live = record.live_digest
    for item in unwanted(state) if state.desired.clean_targets else ():
        unread, there = readings[item].problem if item in readings else "", arrived(state)
        doubt = unsure(state, item)
        kept = "could not be cleaned" if there else "is kept until every delivery holds the secret"
        problem = unread or (doubt.why if doubt else "")
        left = doubt.code if doubt else Reason.PENDING
        code = Reason.UNREADABLE if unread else left if there or left is Reason.PLACE_UNPROVEN else None
        wrong.append((f"{item} {'is not emptied' if doubt else kept}" + (f": {problem}" if problem else ""), code))
    for item in places(state):
        unread = readings[item].problem if item in readings else ""
        shut = item in readings and refuses(state, item)
        code = Reason.UNREADABLE if unread else Reason.DELIVER_FAILED if shut else Reason.PENDING
        if live is not None and behind(state, item):
            problem = unread or unwritten(state, item) or _minted_later(state)
            wrong.append((f"{item} does not hold the live secret" + (f": {problem}" if problem else ""), code))
        elif unread:
            wrong.append((f"{item}: {unread}", code))
    found = state.observed.verdicts.get(live) if live else None
    if record.unverified:
        told = found.facts if found and found.verdict not in GOOD else record.unverified
        wrong.append((f"its secret is not proven: {told}", Reason.PENDING))
    if found and found.verdict not in GOOD and not record.unverified:
        wrong.append((f"the smoke-check of its secret: {found.facts}", Reason.PENDING))
    again = (f"the API key {uuid} is listed again, its slot has another one" for uuid in surplus(state))
    wrong += [(text, Reason.PENDING) for text in again]
    if due(state) and record.retire:
        missing = not_yet_live(state)
        why = f"the old secret cannot be retired yet: {missing or 'its key is not as recorded'}"
        if missing or not waits_for_effect(state):
            wrong.append((why, None if missing else Reason.PENDING))
    return wrong
