"""What every face of `status` shows: the order, the totals, the place of a key, the coming moments."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from keyturn.core.brakes import OWNERSHIP
from keyturn.core.model import ApiKey
from keyturn.core.reasons import STATES, Condition, Reason, mixed
from keyturn.core.results import KeyStatus, RunStatus
from keyturn.report.documents import StatusDocument
from keyturn.report.lines import count

ORDER = {condition: number for number, condition in enumerate(Condition)}
"""The rank of each condition, the most urgent first."""


class Kind(StrEnum):
    """What happens at a coming moment."""

    ROTATION = "rotation"
    RETIRE = "retire"
    WAIT_ENDS = "wait ends"


@dataclass(frozen=True, slots=True)
class Coming:
    """A moment that is expected: a scheduled rotation, the end of an overlap, or the end of a wait."""

    at: datetime
    key: str
    kind: Kind


def status_document(
    runs: Iterable[RunStatus],
    at: datetime,
    unowned: tuple[ApiKey, ...] | None = None,
    only: Collection[str] = (),
) -> StatusDocument:
    """Return what `status` shows of the manifests, at the moment `at`; `only`: keys of these STATES, empty for all.

    The exit code is that of what is shown: the keys of these conditions, and what would stop a whole apply.
    """
    told = tuple(runs)
    every = [key for run in told for key in run.keys]
    shown = tuple(key for key in every if not only or key.condition in only or key.word in only)
    stops = tuple(run.stop for run in told if run.stop)
    codes = [key.exit_code for key in shown] + [OWNERSHIP for run in told if run.stopped]
    return StatusDocument(
        at=at,
        exit_code=mixed(codes),
        keys=shown,
        unowned=unowned,
        pools=tuple(pool for run in told for pool in run.pools),
        stopped=tuple(end.why for end in stops),
        stops=stops,
        only=tuple(state for state in STATES if state in only),
        hidden=len(every) - len(shown),
    )


def needing_someone(document: StatusDocument) -> StatusDocument:
    """Return the document with only the keys that make the exit code; the others are counted as hidden."""
    kept = tuple(key for key in document.keys if key.exit_code)
    return replace(document, keys=kept, hidden=document.hidden + len(document.keys) - len(kept))


def worst_first(keys: Iterable[KeyStatus]) -> list[KeyStatus]:
    """Return the keys by urgency, then by name."""
    return sorted(keys, key=lambda key: (ORDER[key.condition], key.key, key.owner))


def counts(keys: Iterable[KeyStatus]) -> dict[Condition, int]:
    """Return how many keys each condition has, the most urgent first, without those that no key has."""
    found = [key.condition for key in keys]
    return {condition: found.count(condition) for condition in Condition if condition in found}


def totals(document: StatusDocument) -> str:
    """Return `40 keys: 2 refused, 1 parked, 37 ready`, and how many are not shown."""
    parts = ", ".join(f"{number} {condition}" for condition, number in counts(document.keys).items())
    text = f"{count(len(document.keys), 'key')}{': ' if parts else ''}{parts}"
    return f"{text}; {count(document.hidden, 'key')} of other conditions not shown" if document.hidden else text


def place(key: KeyStatus) -> str:
    """Return where a key is delivered: the first place that lacks the live secret, or the first; and how many more."""
    places = [where for where, held in key.deliveries if not held] or [where for where, _ in key.deliveries]
    if not places:
        return ""
    more = len(key.deliveries) - 1
    return f"{places[0]}{f' and {more} more' if more else ''}"


def is_remembered(key: KeyStatus) -> bool:
    """Tell whether the last known state is shown, because a server could not be asked."""
    blind = key.condition in {Condition.UNKNOWN, Condition.LOGIN_REFUSED}
    return blind and key.recorded_at is not None and not key.read


def coming(keys: Iterable[KeyStatus]) -> list[Coming]:
    """Return the expected moments of the keys, the earliest first; one that has passed is due."""
    found: set[tuple[datetime, str, Kind]] = set()
    for key in keys:
        if key.next_rotation_at:
            found.add((key.next_rotation_at, key.key, Kind.ROTATION))
        ends = [end.until for end in key.every if end.code is Reason.OVERLAP and end.until]
        if retire := key.retire_at or next(iter(ends), None):
            found.add((retire, key.key, Kind.RETIRE))
        for end in key.every:
            if end.until and end.condition is Condition.WAITING:
                found.add((end.until, key.key, Kind.WAIT_ENDS))
    return [Coming(*one) for one in sorted(found)]
