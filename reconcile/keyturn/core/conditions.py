"""PURE: from what was read, recorded and planned to the condition of a key, the most urgent first.

`plan`, `apply`, `status`, `smoke` and the Pulumi provider use this one function. Only facts count: an answer that a
plan assumed is not among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from keyturn.core import schedule
from keyturn.core.effect import EffectState
from keyturn.core.late import late_end
from keyturn.core.model import GOOD, Delivery, Freeze, SmokeResult, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import FAILED, Op, Record
from keyturn.core.results import Change, End, Planned, by_urgency
from keyturn.core.state import Reading, State

NOT_OURS = frozenset({Reason.ANOTHER_OWNER, Reason.ANOTHER_TEAM, Reason.ANOTHER_ACCOUNT, Reason.UNMANAGED})
"""Ends after which the list and the deliveries say nothing about this key."""
UNSAID = frozenset({Reason.KEY_MISSING})
"""Ends that only repeat what a better reason says, if there is one."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one key.

    `wanted` are the entry's deliveries, empty if the key is to be deleted. `missing` are uuids of the record that two
    complete lists did not show. `changes` and `end` are what a plan would do and how it would end; of an apply, how it
    ended. `due_since` is when a planned rotation became due. `unproven` says which places are kept that were dropped.
    `overlap` is what the entry asks for.
    """

    record: Record | None
    wanted: tuple[Delivery, ...]
    missing: frozenset[str]
    readings: Mapping[Delivery, Reading]
    verdicts: Mapping[str, SmokeResult]
    now: datetime
    changes: tuple[Planned, ...] = ()
    end: End = field(default_factory=lambda: End(Reason.AT_REST))
    due_since: datetime | None = None
    problems: tuple[str, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    unproven: End | None = None
    overlap: timedelta = timedelta.max


def facts(
    state: State,
    end: End,
    changes: tuple[Planned, ...] = (),
    due_since: datetime | None = None,
    unproven: End | None = None,
) -> Facts:
    """Return the facts of a state that holds nothing assumed."""
    seen, desired = state.observed, state.desired
    return Facts(
        state.record,
        () if desired.absent else desired.deliveries,
        seen.gone,
        seen.readings,
        seen.verdicts,
        state.clock.now,
        changes,
        end,
        due_since,
        state.run.problems,
        desired.rotation.freezes,
        unproven,
        desired.rotation.overlap,
    )


def conditions(known: Facts) -> tuple[End, ...]:
    """Return everything that is to be said of a key, the most urgent first; never empty."""
    record, end = known.record, _dated(known)
    found: list[End] = []
    if record is not None and not record.deleted_at and end.code not in NOT_OURS:
        found += tuple(_gone(known, record)) or tuple(_refused(known, record))
        found += [known.unproven] if known.unproven else []
        found += [*_drifted(known, record), *_late(known, record), *_recorded(known, record)]
        found += [
            *_old_secret(known, record),
            *_tried(known, record),
            *(End(Reason.OLD_SECRET_ALIVE, problem) for problem in known.problems),
        ]
    elif record is not None and end.code is Reason.UNMANAGED:
        found += _old_secret(known, record)
    told = any(one.exit_code for one in found)
    if end.exit_code and not (told and end.code in UNSAID):
        found.insert(0, end)
    if known.changes:
        found += _planned(known)
    elif not end.exit_code:
        found.insert(0, end)
    return by_urgency(found)


def _dated(known: Facts) -> End:
    """Return the end with the moment since when it is so, if the record has it."""
    record, end = known.record, known.end
    if record is None or end.since:
        return end
    match end.code:
        case Reason.HAND_OFF | Reason.NO_STANDBY | Reason.SEVERAL_CANDIDATES if record.handoff:
            return replace(end, since=record.handoff.since)
        case Reason.ANOTHER_RUN if record.intent:
            return replace(end, since=record.intent.since)
        case Reason.PARKED if record.parked:
            return replace(end, since=record.parked.at)
        case Reason.BACK_OFF:
            return replace(end, since=record.failures.since)
        case _:
            return end


def _refused(known: Facts, record: Record) -> Iterator[End]:
    """Say which deliveries hold a secret that the API was seen to refuse."""
    dead = {digest for digest, result in known.verdicts.items() if result.verdict is Verdict.REFUSED}
    if holders := _holding(known, dead):
        yield End(Reason.REFUSED, f"the API refuses the secret that {_names(holders)} {_hold(holders)}")
    elif holders := _holding(known, _replaced(record) - set(known.verdicts)):
        yield End(Reason.REFUSED, f"{_names(holders)} {_hold(holders)} an old secret, which died when it was replaced")
    elif known.wanted and record.live_digest in dead and not _all_work(known):
        yield End(Reason.REFUSED, "the API refuses the live secret")


def _holding(known: Facts, digests: Collection[str]) -> list[Delivery]:
    """Return the wanted deliveries that were read with one of these secrets."""
    return [place for place in known.wanted if (read := known.readings.get(place)) and read.digest in digests]


def _replaced(record: Record) -> frozenset[str]:
    """Return the secrets of this key that the API was told to replace: neither a slot nor an open intent has them.

    None of them counts if no secret is known to be live, or if an old one was still accepted after its replacement.
    """
    if record.live_digest is None or any(event.proof == "alive" for event in record.history):
        return frozenset()
    alive = {slot.digest for slot in (*record.slots.values(), *(lost.slot for lost in record.gone))}
    return record.digests - alive - {record.intent.digest if record.intent else None}


def _all_work(known: Facts) -> bool:
    """Tell whether every delivery was read with a secret that the API accepts, such as the other slot's."""
    good = {digest for digest, result in known.verdicts.items() if result.verdict in GOOD}
    return all((read := known.readings.get(place)) is not None and read.digest in good for place in known.wanted)


def _gone(known: Facts, record: Record) -> Iterator[End]:
    """Say that the live API key is missing: consumers are refused until another one has their secret."""
    live = record.slot(record.live)
    lost = next((gone for gone in record.gone if gone.live), None) if record.live is None else None
    uuid = live.uuid if live and live.uuid in known.missing else lost.slot.uuid if lost else ""
    if uuid and known.wanted:
        why = f"the live API key {uuid} is not listed any more, so its secret is refused"
        yield End(Reason.GONE, why, make=known.end.make, since=lost.at if lost else None)


def _drifted(known: Facts, record: Record) -> Iterator[End]:
    """Say which of our deliveries hold nothing, or something other than the live secret."""
    live, intent = record.live_digest, record.intent
    if live is None or known.end.code is Reason.ANOTHER_RUN:
        return
    other: list[Delivery] = []
    written: list[Delivery] = []
    empty: list[Delivery] = []
    shut: list[str] = []
    for place in known.wanted:
        read, ours = known.readings.get(place), record.delivery(place)
        if read is None or read.problem or ours is None or read.digest == live:
            continue
        # Under an open rotation a delivery may hold the secret that is being made.
        if intent and intent.op in {Op.CREATE, Op.ROTATE} and read.digest and read.digest not in _old(record):
            continue
        if read.refuses and not read.digest:
            shut.append(f"{place} does not hold the live secret: {read.refuses}")
            continue
        by_other_hand = read.marked and read.unlike and not ours.begun
        (written if by_other_hand else other if read.digest else empty).append(place)
    told = [f"{_names(other)} {_hold(other)} something other than the live secret"] if other else []
    if written:
        was = "was" if len(written) == 1 else "were"
        told.append(f"{_names(written)} {was} written by someone else since keyturn's own write")
    if told:
        yield End(Reason.DRIFTED, "; ".join(told))
    if empty:
        yield End(Reason.EMPTIED, f"{_names(empty)} {_hold(empty)} nothing")
    if shut:
        yield End(Reason.DELIVER_FAILED, "; ".join(shut))


def _late(known: Facts, record: Record) -> Iterator[End]:
    """Say which deliveries hold the live secret that consumers do not use yet, or will not without a repair."""
    late: dict[bool, dict[Delivery, str]] = {}
    for place in known.wanted:
        read, noted = known.readings.get(place), record.delivery(place)
        if read is None and noted and noted.effect_due:
            late.setdefault(False, {})[place] = "not in effect at the last look"
        elif read and read.digest == record.live_digest and not read.effect.active:
            failed = read.effect.state is EffectState.FAILED
            late.setdefault(failed, {})[place] = read.effect.detail
    for failed, places in late.items():
        yield late_end(record, places, failed=failed)


def _old(record: Record) -> set[str | None]:
    return {slot.digest for slot in record.slots.values()}


def _recorded(known: Facts, record: Record) -> Iterator[End]:
    """Say what the record alone tells: parked, handed off, left open, failed before."""
    if record.parked and not any(change.code == "unpark" for change in known.changes):
        yield End(Reason.PARKED, record.parked.why, since=record.parked.at)
    if record.handoff and not known.changes and known.end.code is not Reason.SEVERAL_CANDIDATES:
        names, since = record.handoff.names, record.handoff.since
        yield End(Reason.HAND_OFF, f"waits for an operator to make {', '.join(map(repr, names))}", None, names, since)
    if record.intent and known.end.code is not Reason.ANOTHER_RUN:
        yield End(Reason.UNFINISHED, f"a run left an open {record.intent.op}", since=record.intent.since)
    again = any(change.change is Change.ROTATE for change in known.changes)
    if record.failures.count and again and not record.parked and not known.end.exit_code:
        why = next((event.what for event in reversed(record.history) if event.what.startswith(FAILED)), "")
        yield End(Reason.LAST_RUN_FAILED, why or "the last run failed", since=record.failures.since)


def _old_secret(known: Facts, record: Record) -> Iterator[End]:
    """Say that an old or leaked secret still works, and until when; also of a record without an entry."""
    retire = record.retire
    late = retire is not None and not retire.at_once and any(_late(known, record))
    longer = schedule.outlasts(retire.at, known.now, known.overlap) if retire else ""
    if late and record.old_alive:
        why = f"the old secret (slot {record.old_alive}) stays alive until the new one is in use"
        yield End(Reason.OVERLAP, f"{why}, and for the overlap{longer}" if longer else why)
    elif retire and retire.at > known.now:
        yield End(Reason.OVERLAP, f"the old secret works until the overlap ends{longer}", retire.at)
    elif retire and not retire.at_once and (freeze := _frozen(known, retire.at)):
        until = schedule.thawed(schedule.counting(known.freezes, retire.at), known.now)
        yield End(Reason.FROZEN, schedule.frozen_text("a retire", freeze), until, since=retire.at)
    elif retire and not retire.at_once:
        yield End(Reason.RETIRE_DUE, "an old secret is to be retired", since=retire.at)
    leaked = [retire.at] if retire and retire.at_once else []
    leaked += [record.requested.at] if record.requested and record.requested.compromised else []
    if leaked:
        yield End(Reason.COMPROMISED, "a compromised secret may still be accepted", since=min(leaked))


def _frozen(known: Facts, due_at: datetime) -> Freeze | None:
    return schedule.frozen(schedule.counting(known.freezes, due_at), known.now)


def _tried(known: Facts, record: Record) -> Iterator[End]:
    """Say what a smoke-check of the live secret found, if it is neither good nor a refusal."""
    result = known.verdicts.get(record.live_digest or "")
    if result and result.verdict not in {*GOOD, Verdict.REFUSED}:
        yield End(Reason.of(result.verdict.value), f"the smoke-check of the live secret: {result.facts}")


def _planned(known: Facts) -> Iterator[End]:
    """Say what the next run changes; nobody is harmed meanwhile, or a worse condition says so."""
    scheduled = [change for change in known.changes if change.change is Change.ROTATE and change.code == "due"]
    if scheduled:
        yield End(Reason.DUE, "; ".join(change.why for change in scheduled), since=known.due_since)
    else:
        yield End(Reason.TO_DO, f"the next run: {'; '.join(change.why for change in known.changes)}")


def _names(places: Iterable[Delivery]) -> str:
    return ", ".join(map(str, places))


def _hold(places: list[Delivery]) -> str:
    return "holds" if len(places) == 1 else "hold"
