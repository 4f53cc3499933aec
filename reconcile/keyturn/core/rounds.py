"""PURE: rounds over the keys of one account: which keys to look at next and when, what to verify, what a brake holds.

A whole round looks at every key, and one list of API keys serves it. Between two whole rounds, which together with the
rounds after it make one run for the brakes, a round looks at the keys that changed or are due. Timed looks happen on a
beat, so that many keys share a round. All that looks like chance follows from the seed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from keyturn.core import forecast, schedule
from keyturn.core.limits import NONE_ALLOWED, Allowed, Part, asked_for, group_of, rotated_since
from keyturn.core.model import Desired, DesiredKey, Rotation
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import Change, End, KeyReport, KeyStatus, RunReport, Watch, by_urgency
from keyturn.core.status import status

FIRST_RETRY = timedelta(seconds=15)
"""The first pause after a look that failed, or that left something due undone; each further one is twice as long."""
CALM = timedelta(minutes=5)
"""The longest that the marks of one key wait. A key that did not change for so long is looked at at once again."""
CROWD = 3
"""After so many rounds for marks within a minute, the next ones are `Pace.spread` apart."""
CATCH_UP = 2
"""How many turns of the verification one round takes if earlier ones are late."""
BRAKES = frozenset({
    Reason.TOO_MANY_ROTATIONS, Reason.TOO_MANY_DELETES, Reason.TOO_MANY_REMOVALS, Reason.UNPROVEN
})  # fmt: skip
"""What holds keys back until an operator releases them."""
WAITS = frozenset({
    Reason.HAND_OFF, Reason.NO_STANDBY, Reason.SEVERAL_CANDIDATES, Reason.ADOPT_NOT_FOUND, Reason.ANOTHER_RUN
})  # fmt: skip
"""What may be over as soon as the account is listed again, or another run has ended."""
UNTRIED = frozenset({Condition.HELD, Condition.PARKED, Condition.MISCONFIGURED})
"""What no further try ends: a change does, and marks the key."""
CLOSE = frozenset({Condition.REFUSED, Condition.DRIFTED, Condition.UNKNOWN, Condition.LOGIN_REFUSED})
"""What may be seen only by who reads the deliveries: without that, the next look would call the key well."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_MINTS = frozenset({Change.ADOPT, Change.CREATE, Change.ROTATE})


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how much. A timed look is at most one `beat` late.

    `resync`: between two whole rounds. `verify`: within that time each key is verified once, in `shares` portions;
    None: only what is marked so. `gather`: a marked key waits for others. `rest`: between two rounds, and between two
    looks at a marked key; twice as long each time while it keeps changing, up to `CALM`. `spread`: between two rounds
    for marks, if there are many. `jitter`: by which share an interval or a pause may be shorter. `adoptions`: how many
    first secrets, and secrets that were asked for, one round makes. `between`: between two rotations of a key that were
    asked for. `deletes`: what one round does unasked.
    """

    resync: timedelta = timedelta(minutes=10)
    verify: timedelta | None = timedelta(minutes=10)
    shares: int = 10
    beat: timedelta = timedelta(seconds=30)
    gather: timedelta = timedelta(seconds=0.25)
    rest: timedelta = timedelta(seconds=2)
    spread: timedelta = timedelta(seconds=10)
    between: timedelta = timedelta(minutes=1)
    jitter: float = 0.1
    adoptions: int = 20
    deletes: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """What an operator lets happen once, in the numbers that the brake told. `token` tells one release from another."""

    token: str
    rotations: int = 0
    deletes: int = 0
    allowed: Allowed = NONE_ALLOWED


@dataclass(frozen=True, slots=True)
class Round:
    """What one round does: `named` for the runner, none where it is whole.

    `timed`: it is whole because its time had come, so a new run begins for the brakes. `released`: with an operator's
    release, which the limits of the run do not count.
    """

    keys: frozenset[str]
    whole: bool
    timed: bool
    part: Part
    released: bool = False

    @property
    def named(self) -> tuple[str, ...]:
        """The keys by name, in order; none means all."""
        return () if self.whole else tuple(sorted(self.keys))


@dataclass(frozen=True, slots=True)
class _Changed:
    """When a key that was marked may be looked at, and how often it was marked without a `CALM` in between."""

    at: datetime
    times: int


@dataclass(frozen=True, slots=True)
class Queue:
    """All that is kept between two rounds. `began` makes the one of a start: everything is looked at, at once."""

    pace: Pace
    seed: str
    whole: datetime
    """When all keys are looked at next."""
    turn: int
    """The last turn of the verification that was taken."""
    dirty: Mapping[str, bool] = field(default_factory=dict)
    """Marked keys, and whether each is to be verified."""
    changes: Mapping[str, _Changed] = field(default_factory=dict)
    """Keys that were marked a short time ago."""
    rests: Mapping[str, datetime] = field(default_factory=dict)
    """Before when a key that was rotated because it was asked for is not rotated so again."""
    marks: tuple[datetime, ...] = ()
    """When the last rounds for marks began."""
    due: Mapping[str, datetime] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    doubtful: frozenset[str] = frozenset()
    """Keys of which the last verification was not good: each look verifies them, until one is."""
    held: Mapping[str, End] = field(default_factory=dict)
    """What a brake holds back. Such keys are looked at together: a brake counts what it sees."""
    watches: Mapping[str, Watch] = field(default_factory=dict)
    """What was seen of runs elsewhere that have a key."""
    rotated: Mapping[str, int] = field(default_factory=dict)
    """Heals and scheduled rotations since the last timed whole round, by group of keys."""
    removed: Mapping[str, int] = field(default_factory=dict)
    """Emptied deliveries, likewise."""
    ended: datetime | None = None
    hold: datetime | None = None
    """Before this no round begins, because the account could not be read."""
    lost: int = 0
    rounds: int = 0
    seen: bool = False
    """There was a whole round."""

    @classmethod
    def began(cls, pace: Pace, seed: str, now: datetime) -> Queue:
        """Return the queue of a start."""
        queue = cls(pace, seed, now, 0)
        return replace(queue, turn=queue._turns_until(now))

    @property
    def brakes(self) -> tuple[End, ...]:
        """Which brakes hold keys back now, each once."""
        return by_urgency(self.held.values())

    def marked(self, keys: Iterable[str], now: datetime, *, verify: bool = False) -> Queue:
        """Return the queue after these keys changed; `verify`: what they deliver to may have changed."""
        names = frozenset(keys)
        changes = {key: self._changed(key, now) for key in names - set(self.dirty)}
        return replace(self, dirty=self._with(dict.fromkeys(names, verify)), changes={**self.changes, **changes})

    def _with(self, marks: Mapping[str, bool]) -> Mapping[str, bool]:
        """Return the marked keys together with these."""
        return {**self.dirty, **{key: verify or self.dirty.get(key, False) for key, verify in marks.items()}}

    def _changed(self, key: str, now: datetime) -> _Changed:
        """Say when a key that has just changed may be looked at: ever later while it does so again and again."""
        last = self.changes.get(key)
        if last is None or not timedelta() <= now - last.at + CALM < 2 * CALM:
            return _Changed(now, 1)
        return _Changed(max(now, last.at + min(self.pace.rest * (1 << min(last.times - 1, 20)), CALM)), last.times + 1)

    def _ready(self, key: str) -> datetime:
        """Return when a marked key may be looked at."""
        return self.changes[key].at if key in self.changes else _EPOCH

    def _for_marks(self) -> datetime:
        """Return when the marked keys are looked at."""
        at = min(map(self._ready, self.dirty)) + self.pace.gather
        if len(self.marks) == CROWD:
            at = max(at, min(self.marks[-1] + self.pace.spread, self.marks[0] + _MINUTE))
        return at

    def at(self, now: datetime, release: Release | None = None) -> datetime:
        """Return when the next round is. A clock that was set back delays none."""
        if self.ended and self.ended > now:
            return now
        moments = [self.whole, *self.due.values()]
        moments += [self._for_marks()] if self.dirty else []
        moments += [self._turn_at(self.turn + 1)] if self.pace.verify else []
        moments += [now] if release and self.held else []
        rested = [self.ended + self.pace.rest] if self.ended else []
        return max([min(moments), *rested, *([self.hold] if self.hold else [])])

    def taken(
        self, now: datetime, known: Collection[str], release: Release | None = None
    ) -> tuple[Round | None, Queue]:
        """Take what is to be done now of the `known` keys; None if that is nothing.

        A mark of a key that is not known is dropped: there is nothing to do for it, or it comes at its moment.
        """
        timed = now >= self.whole or bool(self.ended and self.ended > now)
        turns = min(self._turns_until(now) - self.turn, CATCH_UP) if self.pace.verify else 0
        shares = {(self.turn + one) % self.pace.shares for one in range(1, turns + 1)}
        mine = {key for key in known if self._share(key) in shares} if shares else set()
        due = {key for key, at in self.due.items() if at <= now}
        # What has no entry cannot be named: a whole round retires its old secret.
        whole = timed or not due <= set(known)
        marked = set(self.dirty) if whole else {key for key in self.dirty if self._ready(key) <= now}
        wanted = marked | due | mine | set(self.held if release else ())
        if wanted & set(self.held):
            wanted |= set(self.held)
        keys = frozenset(known if whole else wanted & set(known))
        verify = {key for key in marked if self.dirty[key]} | mine | self.doubtful
        part = Part(
            frozenset(keys & verify),
            self.watches,
            self.pace.adoptions,
            rotations={} if timed else self.rotated,
            removals={} if timed else self.removed,
            # A start does not know what the process before it did a short time ago.
            since=None if self.seen else now - self.pace.resync,
            rests=self._resting(now),
        )
        until = self._turns_until(now)
        turn = max(self.turn + turns, until - self.pace.shares) if turns >= 0 else until
        dirty = {key: asked for key, asked in self.dirty.items() if key not in marked}
        marks = tuple(at for at in (*self.marks, *([now] if marked else [])) if at <= now)[-CROWD:]
        changes = {key: one for key, one in self.changes.items() if key in dirty or now - one.at < CALM}
        after = replace(self, dirty=dirty, turn=turn, marks=marks, changes=changes)
        if not keys and not whole:
            return None, replace(after, ended=now)
        return Round(keys, whole, timed, part, bool(release and self.held)), after

    def missed(self, taken: Round | None, now: datetime) -> Queue:
        """Return the queue after a round that could not be done, None: not even begun. It comes again after a pause."""
        lost = self.lost + 1
        hold = now + self._short(pause(lost, 4 * self.pace.beat), "lost", lost)
        dirty, whole = self.dirty, self.whole
        if taken:
            dirty = self._with({key: key in taken.part.verify for key in taken.keys})
            whole = now if taken.timed else whole
        return replace(self, dirty=dirty, whole=whole, hold=hold, ended=now, lost=lost)

    def settled(
        self, taken: Round, desired: Desired, report: RunReport, found: Sequence[KeyStatus], now: datetime
    ) -> Queue:
        """Return the queue after a round that `found` these statuses: when each of its keys is looked at again."""
        looked = {one.key for one in found}
        known = {key.id for key in desired.keys} | looked | (set() if taken.whole else set(self.due))
        due = {} if taken.whole else {key: at for key, at in self.due.items() if key in known - looked}
        failures = {key: count for key, count in self.failures.items() if key in known}
        doubtful, places = set(self.doubtful & known), {key: place for place, key in enumerate(report.deferred)}
        for subject in forecast.subjects(desired, found):
            key = subject.status.key
            if key in taken.part.verify:
                doubtful.discard(key)
                doubtful |= {key} if _doubt(subject.status) else set()
            again = self._again(subject, places.get(key), now, failures.get(key, 0), doubt=key in doubtful)
            failures.pop(key, None)
            if again.failed:
                failures[key] = again.failed
            if again.at:
                due[key] = self._on_beat(again.at)
        held = {key: end for key, end in self.held.items() if key in known - looked}
        held |= {one.key: end for one in found for end in one.every if end.code in BRAKES}
        watches = {key: watch for key, watch in self.watches.items() if key in known - looked}
        watches |= {one.key: one.watch for one in report.reports if one.watch}
        spent = _spent(report.reports, taken)
        rotated, removed = ({}, {}) if taken.timed else (self.rotated, self.removed)
        soon = now + self._short(self.pace.resync, "whole", self.rounds)
        return replace(
            self,
            whole=self._on_beat(soon) if taken.timed else self.whole,
            due=due,
            failures=failures,
            doubtful=frozenset(doubtful),
            held=held,
            watches=watches,
            rests=self._resting(now) | dict.fromkeys(_asked_again(report.reports), now + self.pace.between),
            rotated=Counter(rotated) + spent[0],
            removed=Counter(removed) + spent[1],
            ended=now,
            hold=None,
            lost=0,
            rounds=self.rounds + 1,
            seen=self.seen or taken.whole,
        )

    def _again(
        self, subject: forecast.Subject, place: int | None, now: datetime, failures: int, *, doubt: bool
    ) -> _Again:
        """Say when a key is looked at again before the next whole round, and how often it has failed by now."""
        one, found = subject.status, forecast.first(subject, now)
        # The rest of a key that was rotated may have ended while the round went on: then it is its turn.
        moments = [end.until for end in one.every if end.until and (end.until > now or end.code is Reason.DEFERRED)]
        codes = {end.code for end in one.every}
        if place is not None:
            # A scheduled rotation comes with the next run; a first secret, or one that was asked for, in its turn.
            at = [] if Reason.DUE in codes else [now + self.pace.beat * (1 + place // max(1, self.pace.adoptions))]
            return _Again(min(at, default=None))
        moments += [found.at] if found and found.at > now else []
        if codes & WAITS and not doubt:
            return _Again(min([*moments, now + self.pace.rest]))  # with the next beat
        if not (one.exit_code or (found and found.at <= now)) or codes & BRAKES or one.condition in UNTRIED:
            return _Again(min(moments, default=None))
        moments.append(now + self._short(pause(failures + 1, self.pace.resync), one.key, failures))
        return _Again(min(moments), failures + 1)

    def _resting(self, now: datetime) -> dict[str, datetime]:
        """Return the rests that are not over; one that a clock which was set back makes longer is."""
        return {key: until for key, until in self.rests.items() if now < until <= now + self.pace.between}

    def _on_beat(self, at: datetime) -> datetime:
        """Return the first beat that is not before this moment."""
        start = _EPOCH + self.pace.beat * _chance(self.seed)
        return start + self.pace.beat * -((start - at) // self.pace.beat)

    def _turns_until(self, now: datetime) -> int:
        """Return the number of the verification's last turn, counted from long ago: a restart changes nothing."""
        return (now - self._turn_at(0)) // (self._turn_at(1) - self._turn_at(0))

    def _turn_at(self, turn: int) -> datetime:
        every = (self.pace.verify or self.pace.resync) / self.pace.shares
        return _EPOCH + self.pace.beat * _chance(self.seed) + every * turn

    def _share(self, key: str) -> int:
        return int(_chance(self.seed, key) * self.pace.shares)

    def _short(self, length: timedelta, *what: object) -> timedelta:
        """Return a length of time, a little shorter by chance."""
        return length * (1 - self.pace.jitter * _chance(self.seed, *what))


@dataclass(frozen=True, slots=True)
class _Again:
    at: datetime | None
    failed: int = 0


def statuses(desired: Desired, report: RunReport, now: datetime) -> tuple[KeyStatus, ...]:
    """Return the status of each key of a round, from its report: no further list, no further reading.

    It changes only when something happens: a rotation that is overdue stays due since the moment at which it was.
    """
    entries = {key.id: key for key in desired.keys}

    def tell(one: KeyReport) -> KeyStatus:
        entry = entries.get(one.key, DesiredKey(one.key, desired.owner, rotation=Rotation(freezes=desired.freezes)))
        told = status(entry, one.conditions or (one.end,), one.record, None, now)
        following = told.next_rotation_at
        if following and following <= now and told.minted_at:
            following = schedule.due_since(entry.rotation, told.minted_at)
        known = one.key in entries
        return replace(told, verdict=one.smoke, entry=known, exit_code=one.exit_code, next_rotation_at=following)

    return tuple(map(tell, report.reports))


def pause(number: int, most: timedelta) -> timedelta:
    """Return the pause before the next try after so many failures."""
    return min(FIRST_RETRY * (1 << min(max(number, 1) - 1, 20)), most)


def _doubt(one: KeyStatus) -> bool:
    """Tell whether a verification was not good; a key that only waits is not doubtful for that."""
    codes, conditions = {end.code for end in one.every}, {end.condition for end in one.every}
    return bool(one.exit_code) and not (codes & WAITS and not conditions & CLOSE)


def _asked_again(reports: Iterable[KeyReport]) -> list[str]:
    """Return the keys that were rotated because it was asked for; an adoption asks too, for the first secret."""
    return [one.key for one in reports if one.record and one.record.generation > 1 and asked_for(one.done)]


def _spent(reports: Iterable[KeyReport], taken: Round) -> tuple[Counter[str], Counter[str]]:
    """Count by group what the limits of a run are about: rotations that do not trickle, and removals.

    It is what the round did, and after a start what the histories tell of a process before this one.
    """
    rotations: Counter[str] = Counter()
    removals: Counter[str] = Counter()
    for one in reports:
        changes, group = [change.change for change in one.done], group_of(one.key)
        if taken.part.since:
            rotations[group] += rotated_since(one.record, taken.part.since)
        elif one.record and one.record.generation > 1 and not taken.released and not asked_for(one.done):
            rotations[group] += bool(_MINTS.intersection(changes))
        removals[group] += 0 if taken.released else changes.count(Change.REMOVE)
    return rotations, removals


def _chance(*what: object) -> float:
    """Return a number from 0 to 1 that follows from these."""
    text = "\n".join(map(str, what))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
