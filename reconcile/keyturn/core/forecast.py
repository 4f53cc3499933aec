"""PURE: what will happen when: rotations, retires and freezes, from the status of each key.

It assumes that each rotation succeeds at the moment at which it may start, so that the following ones are known too.
All moments are aware and in UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from keyturn.core import schedule
from keyturn.core.model import Desired, Freeze, Rotation, Strategy
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import KeyStatus

MOST = 1000
"""How many moments of one key are told."""

STUCK = frozenset({Condition.PARKED, Condition.HELD, Condition.ACTION_NEEDED, Condition.MISCONFIGURED})
"""Conditions in which a key waits for an operator: nothing of it is foretold."""
UNREAD = frozenset({Condition.FAILED, Condition.UNKNOWN, Condition.LOGIN_REFUSED})
"""Conditions in which the forecast of a key rests on less than all that could be read."""


_FAR = datetime.max.replace(tzinfo=UTC)


class What(StrEnum):
    """What will happen."""

    ROTATE = "rotate"
    RETIRE = "retire"
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class Coming:
    """One moment to come.

    `until`: the end of a freeze; of a rotation, when its window closes, None without a window. `key` is empty for a
    freeze. `generation` is that of the secret that the rotation makes, or whose predecessor the retire kills.
    """

    at: datetime
    what: What
    owner: str
    key: str = ""
    until: datetime | None = None
    why: str = ""
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """One key: whose it is, its status, and when it rotates."""

    owner: str
    status: KeyStatus
    rotation: Rotation


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will happen, in the order of time, and what the forecast cannot tell: one sentence each."""

    coming: tuple[Coming, ...]
    notes: tuple[str, ...] = ()


def forecast(subjects: Iterable[Subject], now: datetime, until: datetime) -> Forecast:
    """Return what will happen to these keys from `now` to `until`, both included. What is overdue happens now."""
    coming: list[Coming] = []
    notes: list[str] = []
    for subject in subjects:
        if note := _unsure(subject):
            notes.append(f"{subject.status.key}: {note}")
        found = list(_of_key(subject, now.astimezone(UTC), until))
        if len(found) >= MOST:
            notes.append(f"{subject.status.key}: only its next {MOST} moments are told")
        coming += found
    return Forecast(tuple(sorted(coming, key=_order)), tuple(notes))


def first(subject: Subject, now: datetime) -> Coming | None:
    """Return the first thing that will happen to a key, at `now` if it is overdue; None if nothing is foretold."""
    return next(_of_key(subject, now.astimezone(UTC), _FAR), None)


def subjects(desired: Desired, found: Iterable[KeyStatus]) -> tuple[Subject, ...]:
    """Return the subjects of a manifest; a record without an entry has nothing to come but its retire."""
    known = {key.id: key.rotation for key in desired.keys if not key.absent}
    other = Rotation(freezes=desired.freezes)
    return tuple(Subject(desired.owner, status, known.get(status.key, other)) for status in found)


def freezes(owner: str, found: Sequence[Freeze], now: datetime, until: datetime) -> tuple[Coming, ...]:
    """Return the freezes of a manifest that are not over and begin by `until`."""
    return tuple(
        Coming(freeze.since, What.FREEZE, owner, until=freeze.until, why=freeze.reason)
        for freeze in sorted(found, key=lambda freeze: freeze.since)
        if freeze.until > now and freeze.since <= until
    )


def together(*parts: Iterable[Coming]) -> tuple[Coming, ...]:
    """Return all of them in the order of time."""
    return tuple(sorted((one for part in parts for one in part), key=_order))


def crowded(coming: Iterable[Coming], owner: str, limit: int) -> str:
    """Say that more rotations of an owner start at once than one run may start; empty if never."""
    starts = Counter(one.at for one in coming if one.what is What.ROTATE and one.owner == owner)
    more = sorted(at for at, number in starts.items() if number > limit)
    if not more:
        return ""
    first = schedule.utc(more[0])
    return f"{starts[more[0]]} rotations are due at {first}, and one run starts {limit}: the others come in later runs"


def _order(one: Coming) -> tuple[datetime, str, str, str]:
    return one.at, one.owner, one.key, one.what


def _unsure(subject: Subject) -> str:
    """Say what keeps the forecast of a key from being the whole truth; empty if nothing does."""
    status, every = subject.status, subject.rotation.every
    told = {end.condition for end in status.every}
    if stuck := STUCK & told:
        return f"{min(stuck)}, so nothing is foretold before an operator has acted"
    if every and status.minted_at is None:
        return "has no secret yet, so its rotations are not known"
    if unread := UNREAD & told:
        return f"{min(unread)}: this is what its record tells"
    return ""


def _moved(why: str, planned: datetime, at: datetime) -> str:
    return f"{why}, moved by a freeze from {schedule.utc(planned)}" if planned < at else why


def _of_key(subject: Subject, now: datetime, until: datetime) -> Iterator[Coming]:
    status, rotation = subject.status, subject.rotation
    if STUCK & {end.condition for end in status.every}:
        return
    codes = {end.code: end for end in status.every}
    back_off = codes.get(Reason.BACK_OFF)
    start = max(now, back_off.until) if back_off and back_off.until else now
    asked, minted, retire, generation = status.requested, status.minted_at, status.retire_at, status.generation
    hurried = asked or Reason.COMPROMISED in codes
    for _ in range(MOST):
        if retire is not None:
            planned = max(retire, now)
            freezes = schedule.counting(rotation.freezes, retire)
            at, retire = planned if hurried else schedule.thawed(freezes, planned), None
            why = _moved("the overlap is over", planned, at)
            one = Coming(at, What.RETIRE, subject.owner, status.key, why=why)
        elif asked:
            one, asked, hurried = Coming(start, What.ROTATE, subject.owner, status.key, why="asked for"), False, False
        elif minted and rotation.every and (following := schedule.next_rotation(rotation, minted, start)):
            closes = schedule.closing(rotation.window, following) if rotation.window else None
            planned = schedule.next_rotation(replace(rotation, freezes=()), minted, start) or following
            why = _moved(f"every {schedule.shown(rotation.every)}", planned, following)
            one = Coming(following, What.ROTATE, subject.owner, status.key, closes, why)
        else:
            return
        if one.at > until:
            return
        now, start = max(one.at, now), max(one.at, start)
        if one.what is What.ROTATE:
            minted, generation = one.at, generation + 1
            if rotation.strategy is Strategy.ALTERNATING:
                retire = one.at + rotation.overlap
        yield Coming(one.at, one.what, one.owner, one.key, one.until, one.why, generation)
