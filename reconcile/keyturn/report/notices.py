"""PURE: which notices follow from a run: what is new of each key, compared with what was told before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from keyturn.core import schedule
from keyturn.core.model import Desired, DesiredKey
from keyturn.core.model import Event as HistoryEvent
from keyturn.core.reasons import Condition, Reason, Tone
from keyturn.core.record import Record
from keyturn.core.results import End, KeyReport, RunReport
from keyturn.core.sanitize import plain
from keyturn.report.history import secret_text
from keyturn.report.remedies import remedy

OVERDUE = timedelta(hours=24)
"""So long after its moment a rotation that has not happened is overdue."""
LONGEST = 500
"""The most characters of the text of a notice."""
FEW = 3
"""So many keys with the same reason are told one by one, if their facts differ."""
NAMED, LISTED = 20, 100
"""The most keys that the text of a notice names, and that it lists."""
MARKS = 20
"""The most open events that are remembered of one key."""


class Event(StrEnum):
    """What a notice is about."""

    ROTATED = "rotated"
    FAILED = "failed"
    PARKED = "parked"
    ACTION_NEEDED = "action-needed"
    OVERDUE = "overdue"
    REFUSED = "refused"
    RECOVERED = "recovered"


_EVENTS: Mapping[Condition, Event] = {
    Condition.REFUSED: Event.REFUSED,
    Condition.GONE: Event.REFUSED,
    Condition.PARKED: Event.PARKED,
    Condition.ACTION_NEEDED: Event.ACTION_NEEDED,
    Condition.HELD: Event.ACTION_NEEDED,
    Condition.DRIFTED: Event.FAILED,
    Condition.FAILED: Event.FAILED,
    Condition.LOGIN_REFUSED: Event.FAILED,
    Condition.MISCONFIGURED: Event.FAILED,
    Condition.UNKNOWN: Event.FAILED,
}
"""The conditions that are told. The others harm nobody."""
GOOD = frozenset({Event.ROTATED, Event.RECOVERED})
"""The events after which nothing is to be done."""
SILENT = frozenset({Reason.INTERRUPTED, Reason.NOT_AGREED, Reason.ANOTHER_RUN})
"""Ends that say nothing of the key: someone who knows it stopped this run, or another run is at work."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice, as receivers get it; no secret and no digest is in it.

    `id` is the same whenever it is sent again. `key` is empty if several keys share the cause: `keys` lists the first
    hundred of them, and `count` is their number. `since` is null if nothing recorded it. `do` is what to type or do
    next, empty if nothing.
    """

    id: Annotated[str, Field(pattern=r"^ntc_[0-9a-f]{32}$")]
    at: datetime
    event: Event
    key: str
    owner: str
    condition: Condition
    reason: str
    text: str
    do: str
    since: datetime | None
    run: str
    keys: tuple[str, ...] = ()
    count: int = 1
    kind: Literal["notice"] = "notice"
    schema: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of one key: up to which generation its rotations, and which events are open."""

    generation: int = 0
    open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """One event of one key. `number` is the generation of a rotation."""

    key: str
    event: Event
    end: End
    reason: str
    text: str
    since: datetime | None = None
    number: int = 0

    @property
    def mark(self) -> str:
        """What is remembered, so that the same is not told twice."""
        word = self.end.condition if self.event is Event.FAILED else self.reason
        return f"{self.event}/{word}@{int(self.since.timestamp()) if self.since else ''}"


def first(record: Record | None) -> Told:
    """Return what counts as told of a key that was never told of: everything until now."""
    return Told(record.generation if record and not record.deleted_at else 0)


def ahead(told: Told | None, record: Record | None) -> bool:
    """Tell whether more rotations count as told than there were: a record was restored, or what was told is forged."""
    return told is not None and record is not None and told.generation > record.generation


def changes(
    report: RunReport, desired: Desired, told: Mapping[str, Told], now: datetime, number: int
) -> tuple[tuple[Notice, ...], dict[str, Told]]:
    """Return the notices of a run, and what is told of each of its keys after them.

    A key without an entry in `told` has been told of so far. `number` is how many notices there were before: with the
    run it makes the ids unique, and the same if the same run is looked at again.
    """
    entries = {key.id: key for key in desired.keys}
    after: dict[str, Told] = {}
    found: list[_Found] = []
    for one in report.reports:
        before = told.get(one.key) or first(one.record)
        fresh, after[one.key] = _key(_with_stop(one, report.stop), entries.get(one.key), before, now)
        found += fresh
    notices = [_notice(group, report, now, number + index) for index, group in enumerate(_grouped(found))]
    return tuple(notices), after


def _grouped(found: Iterable[_Found]) -> Iterator[list[_Found]]:
    """Yield what one notice tells: one event of one key, or of several that share a cause.

    If more than FEW keys have one reason, each with other facts, one notice tells them too: nobody reads three hundred.
    """
    alike: dict[tuple[Event, str], dict[object, list[_Found]]] = {}
    for one in found:
        facts = (one.key, one.number) if one.event in GOOD else (one.end.why, one.end.make)
        alike.setdefault((one.event, one.reason), {}).setdefault(facts, []).append(one)
    for groups in alike.values():
        if len(groups) > FEW:
            yield [one for group in groups.values() for one in group]
        else:
            yield from groups.values()


def _with_stop(report: KeyReport, stop: End | None) -> KeyReport:
    """Return the report of a key with the cause of the whole run's stop instead of the word that it stopped."""
    if stop is None:
        return report
    known = report.conditions or (report.end,)
    return replace(report, conditions=tuple(stop if end.code is Reason.RUN_STOPPED else end for end in known))


def _key(report: KeyReport, entry: DesiredKey | None, told: Told, now: datetime) -> tuple[list[_Found], Told]:
    """Return what is new of one key, and what is told of it afterwards."""
    known = report.conditions or (report.end,)
    record, worst = report.record, known[0]
    before_run = record.generation - report.mints if record and ahead(told, record) else told.generation
    # A new secret is good news only of a key that is well: else what is wrong with it is told, and this once it is.
    well = worst.condition.tone is not Tone.BAD
    found = list(_rotations(report.key, record, before_run, worst)) if well else []
    generation = record.generation if record and well else before_run
    if any(end.code in SILENT for end in known):
        return found, Told(generation, told.open)
    bad = [*_bad(report.key, known, record), *_overdue(report.key, entry, record, known, now)]
    if not bad and told.open:
        was = ", ".join(dict.fromkeys(mark.partition("/")[0] for mark in told.open))
        found.append(_Found(report.key, Event.RECOVERED, known[0], known[0].code, f"is well again; it was: {was}"))
    parked = any(mark.startswith(f"{Event.PARKED}/") for mark in told.open)
    unparked = parked and not any(one.event is Event.PARKED for one in bad)
    before = () if unparked or not bad else told.open
    found += [one for one in bad if one.mark not in before]
    return found, Told(generation, tuple(dict.fromkeys((*before, *(one.mark for one in bad))))[-MARKS:])


def _rotations(key: str, record: Record | None, told: int, now: End) -> Iterator[_Found]:
    """Yield each generation that was not told of; those that the history has forgotten are left out."""
    if record is None:
        return
    events: dict[int, HistoryEvent] = {}
    for event in record.history:
        if event.generation is not None and event.generation > told:
            events.setdefault(event.generation, event)
    for number in sorted(events):
        event = events[number]
        why = f" ({event.cause.reason})" if event.cause and event.cause.reason else ""
        code = event.cause.trigger if event.cause else Event.ROTATED
        yield _Found(
            key,
            Event.ROTATED,
            now,
            code,
            f"has a new secret: {secret_text(event) or event.what}{why}",
            event.at,
            number,
        )


def _bad(key: str, known: Iterable[End], record: Record | None) -> Iterator[_Found]:
    """Yield the most urgent end of each event; a parked key has failed, too, and that is not said again."""
    seen: set[Event] = set()
    for end in known:
        event = _EVENTS.get(end.condition)
        if event is None or event in seen or (event is Event.FAILED and Event.PARKED in seen):
            continue
        seen.add(event)
        counted = event is Event.FAILED and record and end.code is not Reason.HOOK_FAILED
        since = record.failures.since if counted and record else end.since
        yield _Found(key, event, end, end.code, end.why, since)


def _overdue(
    key: str, entry: DesiredKey | None, record: Record | None, known: Iterable[End], now: datetime
) -> Iterator[_Found]:
    """Say that a rotation should have happened long ago; of a parked key that is known."""
    live = record.slot(record.live) if record and not record.deleted_at else None
    if entry is None or live is None or live.minted_at is None or any(end.code is Reason.PARKED for end in known):
        return
    due = schedule.due_since(entry.rotation, live.minted_at)
    if due and now - due > OVERDUE:
        why = f"its rotation has been due since {schedule.utc(due)} and has not happened"
        yield _Found(key, Event.OVERDUE, End(Reason.DUE, why, since=due), Reason.DUE, why, due)


_SAID = {Event.ROTATED: "have new secrets", Event.RECOVERED: "are well again"}


def _notice(group: list[_Found], report: RunReport, now: datetime, number: int) -> Notice:
    """Return the notice of one event of one key, or of several that share the cause."""
    one, keys = group[0], tuple(dict.fromkeys(each.key for each in group))
    several, good = len(keys) > 1, group[0].event in GOOD
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    whose = f"{len(keys)} keys ({', '.join(keys[:NAMED])}{more})" if several else one.key
    said = one.text if len({each.text for each in group}) == 1 else _SAID.get(one.event) or one.end.code.meaning
    text = f"{whose} {said}" if good else f"{whose}: {said}"
    do = "" if good else remedy(one.end, *keys)
    if len(do) > LONGEST:  # a command that is cut could name a wrong key
        do = f"for each of the {len(keys)} keys: {remedy(one.end, 'KEY')}"
    seed = json.dumps([report.owner, report.run, number, one.event, one.reason, keys, str(one.since), one.number])
    return Notice(
        id=f"ntc_{hashlib.sha256(seed.encode()).hexdigest()[:32]}",
        at=now,
        event=one.event,
        key="" if several else one.key,
        owner=report.owner,
        condition=one.end.condition,
        reason=str(one.reason),
        text=plain(text, LONGEST),
        do=plain(do, LONGEST),
        since=one.since,
        run=report.run,
        keys=keys[:LISTED],
        count=len(keys),
    )
