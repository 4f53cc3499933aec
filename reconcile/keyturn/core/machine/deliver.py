"""The operation `deliver`: the live secret is copied to deliveries that lack it, old ones are cleaned; never a mint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from keyturn.core.machine.deliveries import (
    alike,
    anywhere,
    arrived,
    as_seen,
    behind,
    consented,
    delivered,
    earlier,
    in_doubt,
    likeness,
    login_or,
    merged,
    ours_there,
    places,
    refuses,
    unknown,
    unsure,
    unwanted,
    unwritten,
    wanted,
    withheld,
)
from keyturn.core.machine.facts import compromised, intent_of, note, record_of, together, verdict
from keyturn.core.machine.guards import failed, landed, seen, settled
from keyturn.core.machine.in_effect import lingering
from keyturn.core.machine.marked import covers, usable
from keyturn.core.machine.ownership import new_intent
from keyturn.core.machine.parking import give_up
from keyturn.core.machine.policy import Chain, Policy, named, when
from keyturn.core.machine.retire import ripe, unforced
from keyturn.core.machine.spread import SPREAD, pending
from keyturn.core.model import Cause, Delivery, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import NOT_DELIVERED, DeliveryState, Op, Retire
from keyturn.core.results import ANOTHER_NAME, Change, Planned
from keyturn.core.state import Reading, State
from keyturn.core.steps import Check, Decision, Purpose, Remove, TellApart, Write, WriteRecord

# At rest.


def called_for(state: State) -> bool:
    """Tell whether a delivery lacks the live secret or is no longer wanted, and this run has not tried it before.

    A compromised secret dies first.
    """
    if record_of(state).live_digest is None or state.run.gave_up or compromised(state):
        return False
    if ripe(state) and not unforced(state):
        return False
    return any(behind(state, item) for item in wanted(state)) or bool(unwanted(state))


def open_deliver(state: State) -> Decision | None:
    """Open the intent if the secret is in hand and some delivery can be read that is to be changed."""
    record, readings, extra = record_of(state), state.observed.readings, unwanted(state)
    late = [item for item in places(state) if behind(state, item)]
    if not late and not (extra and arrived(state)):
        return None
    if late and all(refuses(state, item) for item in late):
        return None
    if late and (record.live_digest not in state.observed.in_hand or (covers(state, late) and not usable(state))):
        return None
    if not (late and extra) and all(readings[item].problem for item in late or extra):
        return None
    where = ", ".join(map(str, late or extra))
    shown = Planned(Change.RECORD, "deliveries-differ", f"brings up to date: {where}")
    opened = replace(
        record,
        intent=new_intent(state, Op.DELIVER, cause=_cause(state, late)),
        retire=put_off(state, late),
        deliveries=consented(state),
    )
    return WriteRecord(opened, Write.OPEN, shown)


def _cause(state: State, late: list[Delivery]) -> Cause:
    """Return what was found: drift if the record says that a delivery held the live secret, else a change or a rest."""
    record, readings = record_of(state), state.observed.readings
    noted = {item.delivery: item.digest for item in record.deliveries}
    drifted = any(noted.get(item) == record.live_digest for item in late)
    trigger = "drift" if drifted else "pending" if any(item in noted for item in late) else "entry"
    evidence = [f"{item} {_held(readings[item], record.live_digest)}" for item in late]
    evidence += [f"{item} is no longer in the entry" for item in unwanted(state)]
    return Cause(trigger, evidence="; ".join(evidence))


def _held(reading: Reading, live: str | None) -> str:
    if reading.problem:
        return "could not be read"
    if reading.digest == live:
        return "held the secret already"
    return "held another value" if reading.digest else "held nothing"


def put_off(state: State, late: list[Delivery]) -> Retire | None:
    """Let the overlap start again if a delivery goes from the old secret to the live one only now."""
    retire = record_of(state).retire
    old = record_of(state).slot(retire.slot) if retire else None
    if not retire or retire.at_once or not old or not old.digest:
        return retire
    readings = state.observed.readings
    if all(readings[item].digest != old.digest and not unknown(readings[item]) for item in late):
        return retire
    return replace(retire, at=max(retire.at, state.clock.now + state.desired.rotation.overlap))


def late_risky(state: State) -> bool:
    """Tell whether a delivery that is to be brought up to date holds a value that nobody can have back."""
    live = record_of(state).live_digest
    return live in state.observed.in_hand and covers(state, (item for item in places(state) if behind(state, item)))


def try_live(state: State) -> Decision | None:
    """Try the live secret before it goes over a value that nobody can have back: that one may be good."""
    live = record_of(state).live_digest
    return Check(live, Purpose.LIVE) if live and verdict(state, live) is None else None


OPEN_DELIVER: Chain = (seen(anywhere), when(late_risky, try_live), open_deliver)


# Under an open `deliver`.


def look_back(state: State) -> Decision | None:
    """Look for the live secret in versions that once held it."""
    live = record_of(state).live_digest
    return earlier(state, live) if live and places(state) else None


def no_source(state: State) -> Decision | None:
    """Close the intent if a delivery lacks the live secret, and no other one can give it any more."""
    live, readings = record_of(state).live_digest, state.observed.readings
    lacking = any(readings[item].digest != live for item in places(state))
    if live is not None and (live in state.observed.in_hand or not lacking):
        return None
    return WriteRecord(replace(record_of(state), intent=None, deliveries=as_seen(state)), Write.CLOSE)


def risky(state: State) -> bool:
    """Tell whether a value that nobody can have back is to be written over."""
    return covers(state, pending(state))


def unusable(state: State) -> Decision | None:
    """Close the intent rather than write a secret that does not work over a value that nobody can have back."""
    if usable(state):
        return None
    return WriteRecord(replace(record_of(state), intent=None, deliveries=as_seen(state)), Write.CLOSE)


def late_write(state: State) -> bool:
    """Tell whether a write may still land, over what a later run delivers."""
    live, readings = record_of(state).live_digest, state.observed.readings
    return any(readings[item].digest != live or item in state.observed.unfenced for item in places(state))


def readable_unwanted(state: State) -> tuple[Delivery, ...]:
    """Return the deliveries to clean now; what cannot be read is cleaned by a later run, another name never is."""
    readings = state.observed.readings
    read = (item for item in unwanted(state) if not readings[item].problem)
    return tuple(item for item in read if not (merged(state, item) or alike(state, item) or withheld(state, item)))


def told_apart(state: State) -> Decision | None:
    """Before a copy of the live secret is removed, find out whether its place is one that the entry has."""
    for old in unwanted(state) if state.desired.clean_targets else ():
        found = alike(state, old)
        if found and not found.same and not merged(state, old):
            for new in places(state):
                if likeness(state, old, new) is None:
                    return TellApart(old, new)
    return None


def left_alone(state: State) -> tuple[str, ...]:
    """Say of each delivery that is no longer wanted why it is not emptied: it is, or may be, another name."""
    told = []
    for item in unwanted(state) if state.desired.clean_targets and cleanable(state) else ():
        found = alike(state, item)
        if merged(state, item):
            told.append(f"{item} is another name of one of them, and is not emptied")
        elif found and found.same:
            told.append(found.why)
    return tuple(told)


def tried(state: State) -> Decision | None:
    """If it was asked for, try the live secret before another copy is removed."""
    live = record_of(state).live_digest
    if live is None or not (state.options.verify and unwanted(state)) or verdict(state, live) is not None:
        return None
    return Check(live, Purpose.LIVE)


def cleanable(state: State) -> bool:
    """Tell whether every wanted delivery holds the live secret, and nothing speaks against that one.

    If the API was seen to refuse it, what is no longer wanted may hold the only secret that works. One that leaked is
    replaced first.
    """
    refused = verdict(state, record_of(state).live_digest) is Verdict.REFUSED
    return arrived(state) and not refused and not compromised(state)


def cleaned(deliveries: Callable[[State], Iterable[Delivery]]) -> Policy:
    """Remove our field from each delivery that holds a secret of ours; another value stays."""

    def cleaned(state: State) -> Decision | None:
        if not state.desired.clean_targets:
            return None
        for item in deliveries(state):
            reading = state.observed.readings[item]
            if reading.problem and state.desired.lenient:
                continue
            if reading.problem:
                why = f"{item} could not be cleaned: {reading.problem}"
                return give_up(state, login_or(state, [item], Reason.CLEAN_FAILED), why)
            if end := withheld(state, item):
                return give_up(state, end.code, f"{item} is not emptied: {end.why}")
            if ours_there(state, item):
                known = state.run.likeness.items()
                guessed = [str(new) for (old, new), found in known if old == item and found.assumed]
                unless = f", unless it is another name of {', '.join(guessed)}" if guessed else ""
                then = reading.consequence
                why = f"removes the secret from {item}{unless}{f'; {then}' if then else ''}"
                shown = Planned(Change.REMOVE, "no-longer-wanted", why, delivery=item, consequence=then)
                return Remove(item, shown)
        return None

    return named(cleaned, f"cleaned({deliveries.__name__})")


def commit(state: State) -> Decision | None:
    """Write down what every delivery holds, as it was read back.

    An unwanted delivery stays in the record until it is empty, or was read and may be cleaned.
    """
    record, readings, live = record_of(state), state.observed.readings, record_of(state).live_digest
    states = [
        item
        for item in record.deliveries
        if state.desired.clean_targets and item.delivery in unwanted(state) and _stays(state, item.delivery)
    ]
    for item in places(state):
        reading = readings[item]
        old = in_doubt(state, record.delivery(item) or DeliveryState(item))
        if live and reading.digest == live:
            states.append(delivered(state, item, record.generation, live))
        else:
            states.append(old if old.marked else replace(old, digest=None, version=""))
    left = left_alone(state)
    late = [item for item in places(state) if readings[item].digest != live]
    whys = (f"{item}: {unwritten(state, item) or readings[item].problem or 'does not hold it'}" for item in late)
    what = f"{NOT_DELIVERED}{together(whys)}" if late else "deliveries brought up to date"
    hook_due = record.hook_due or state.desired.hook is not None
    done = note(
        lingering(state, replace(record, deliveries=tuple(states), intent=None, hook_due=hook_due)),
        state,
        "; ".join((what, *left)),
        intent_of(state).cause,
    )
    return WriteRecord(done, Write.COMMIT, Planned(Change.RECORD, ANOTHER_NAME, "; ".join(left)) if left else None)


def _stays(state: State, old: Delivery) -> bool:
    """Tell whether a delivery that the entry no longer has may still hold something of ours."""
    reading = state.observed.readings[old]
    return bool(reading.problem or (reading.digest and (not cleanable(state) or unsure(state, old))))


DELIVER: Chain = (
    failed(Reason.DELIVER_FAILED),
    settled,
    seen(anywhere),
    look_back,
    no_source,
    when(risky, try_live),
    when(risky, unusable),
    *SPREAD,
    when(late_write, landed),
    when(arrived, tried),
    when(cleanable, told_apart),
    when(cleanable, cleaned(readable_unwanted)),
    commit,
)
