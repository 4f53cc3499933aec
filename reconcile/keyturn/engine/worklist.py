"""One call of the runner: what it works on, what it saw, and what is still open at its end. Decisions only."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from keyturn.core import brakes, schedule
from keyturn.core.configuration import configuration
from keyturn.core.errors import OwnershipError
from keyturn.core.limits import Limits, Part, group_of
from keyturn.core.machine.pool import POOL
from keyturn.core.model import ApiKey, Desired, DesiredKey, Pool, Verdict
from keyturn.core.permits import Permit
from keyturn.core.reasons import Condition, Reason, mixed
from keyturn.core.record import Record
from keyturn.core.results import Change, End, KeyPlan, KeyReport, Options, PoolState, RunPlan
from keyturn.engine.planning import Planning

RESTING = frozenset({Condition.READY, Condition.OVERLAP, Condition.WAITING, Condition.DUE})
KEEP = "set clean_targets: false"
NO_GROUP = ""
"""What holds for this group holds for each, also for one of which nothing was seen."""
PATIENT = frozenset({
    Reason.HAND_OFF, Reason.NO_STANDBY, Reason.ANOTHER_RUN, Reason.RETIRE_FIRST, Reason.INTERRUPTED
})  # fmt: skip
"""What a run waits for that may be over at the next look."""


@dataclass(slots=True)
class Call:
    """One call of the runner: what it works on, what it saw, and why it stopped, if it did."""

    work: tuple[DesiredKey, ...]
    options: Options
    limits: Limits
    unpark: Collection[str] = ()
    unmanaged: tuple[str, ...] = ()
    """Ids of this owner's records without an entry; in `work` only where something of theirs is still open."""
    stopped: End | None = None
    unknown: bool = False
    """The list or the account could not be read, so every key failed."""
    verdicts: dict[str, Verdict | None] = field(default_factory=dict)
    """What the last check of each key's live secret said."""
    live: dict[str, str] = field(default_factory=dict)
    """The live API key of each key that was looked at."""
    same_team: Collection[str] = ()
    """Keys of which another key of the run shows that the token is of their team."""
    gone: dict[str, End] = field(default_factory=dict)
    """Why no key of a group is begun: all that were looked at are gone, by more than one other group's keys."""
    without_spare: frozenset[str] = frozenset()
    """Keys whose spare the plan gives to other keys."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def part(self) -> Part:
        """Which part of a run it is."""
        return self.limits.allowed.part

    def share_spares(
        self, work: Sequence[DesiredKey], planned: Sequence[Planning], listed: Iterable[ApiKey]
    ) -> tuple[DesiredKey, ...]:
        """Give the spares to the plans in their order, and return the keys that get none, without their pool.

        Each was planned as if it were alone. What a plan promises to one key, an apply gives to no other.
        """
        short = without_spare(work, planned, listed)
        self.without_spare = (self.without_spare - {key.id for key in work}) | short
        return tuple(self.entry_of(key) for key in work if key.id in short)

    def entry_of(self, key: DesiredKey) -> DesiredKey:
        """Return the entry as this run applies it: a key that gets no spare has no pool."""
        return replace(key, pool=None) if key.id in self.without_spare else key

    def options_of(self, key: DesiredKey) -> Options:
        """What was asked for is asked of the manifest's keys, not of records that lost their entry."""
        same_team = self.options.same_team or key.id in self.same_team
        verify, watch = self.options.verify or key.id in self.part.verify, self.part.watches.get(key.id)
        asked = replace(self.options, verify=verify, watch=watch)
        if key.id in self.unmanaged:
            return Options(verify, by=asked.by, lock_timeout=asked.lock_timeout, watch=watch, same_team=same_team)
        return replace(asked, unpark=asked.unpark or key.id in self.unpark, same_team=same_team)

    def released(self, key: DesiredKey, plan: KeyPlan) -> Options:
        """Return the options of a key with those brakes off that let its plan pass."""
        deletes = plan.deletes > 0
        unproven = bool(plan.unproven)
        return replace(self.options_of(key), allow_delete=deletes, allow_extra=deletes, allow_unproven=unproven)

    def saw(self, key: str, verdict: Verdict | None) -> None:
        """Stop once two keys were checked and none was accepted; in a part of a run, of more than one group."""
        with self.lock:
            self.verdicts[key] = verdict
            self.stopped = self.stopped or brakes.all_refused(self.verdicts, NO_GROUP if self.limits.by_group else None)

    def halted(self, key: str) -> End | None:
        """Return why a key is not begun, None if it may be."""
        if self.stopped:
            return End(Reason.RUN_STOPPED, self.stopped.why)
        if not self.limits.by_group:
            return None
        group = group_of(key)
        with self.lock:
            return self.gone.get(group) or brakes.all_refused(self.verdicts, group)


def has_retire(record: Record) -> bool:
    """Whether a record without an entry still has an old secret to retire."""
    return record.retire is not None


def to_do(plan: KeyPlan, options: Options) -> bool:
    """Whether applying can come to more than the plan: a change, a check, or a wait for another run's lease."""
    resting = plan.end.condition in RESTING or plan.end.code in PATIENT
    return bool(plan.changes) or (resting and (options.verify or plan.end.exit_code != 0))


def waiting(work: Sequence[DesiredKey], reports: Mapping[str, KeyReport]) -> tuple[DesiredKey, ...]:
    """Return the keys that wait for an operator or another run, not for time."""
    ends = {key: report.end for key, report in reports.items()}
    return tuple(key for key in work if ends[key.id].code in PATIENT)


def still(plan: KeyPlan) -> bool:
    """Whether a waiting key goes on waiting: nothing to do yet, or it could not be looked at just now."""
    patient = plan.end.exit_code == 1 and plan.end.condition is not Condition.PARKED
    return patient and not plan.changes


def exit_code(call: Call, results: Sequence[KeyPlan] | Sequence[KeyReport]) -> int:
    """Return the exit code of the whole run."""
    return mixed([*(result.exit_code for result in results), brakes.OWNERSHIP if call.stopped else 0])


def bound(plan: RunPlan, desired: Desired, planned: Sequence[Planning]) -> RunPlan:
    """Return the plan with what it was made with, and with the digest that a saved plan is checked by."""
    return replace(plan, configuration=configuration(desired), digest=_digest(desired, planned))


def notes(desired: Desired, planned: Iterable[Planning], now: datetime) -> tuple[str, ...]:
    """Return what a plan has to say beside its changes."""
    return freeze_notes(desired, now) + path_moves(planned)


def freeze_notes(desired: Desired, now: datetime) -> tuple[str, ...]:
    """Say that the manifest is frozen now, and what that holds back; nothing if it is not."""
    freeze = schedule.frozen(desired.freezes, now)
    if freeze is None:
        return ()
    until = schedule.utc(schedule.thawed(desired.freezes, now))
    return (f"frozen until {until} ({freeze.reason}): no scheduled rotation and no retire after an overlap starts",)


def check_permitted(permit: Permit | None, options: Options, limits: Limits) -> None:
    """Raise OwnershipError if the operator's policy does not allow what is asked for."""
    if refused := brakes.beyond(permit, options, limits):
        raise OwnershipError("; ".join(refused), remedy="Nothing was done. Leave it out, or change the policy.")


def check_digest(desired: Desired, planned: Sequence[Planning], expected: str) -> None:
    """Raise OwnershipError if the plan is not the one that was reviewed."""
    if _digest(desired, planned) != expected:
        raise OwnershipError(
            "the saved plan is out of date; nothing was changed",
            evidence="a key, its record, its entry or a delivery changed since",
            remedy="Make a new plan and review it.",
        )


def soon(work: Sequence[DesiredKey], ends: Mapping[str, End], now: datetime) -> Iterator[tuple[DesiredKey, datetime]]:
    """Yield the keys whose old secret can be retired before the run has to end, each with the moment.

    A nightly run rotates some seconds after it began; the next one would come those seconds too early for an overlap
    of 24 h. So a run waits for an overlap that ends within `timing.delivery`, or half of it if it is a short one.
    """
    for key in work:
        end = ends[key.id]
        longest = min(timedelta(seconds=key.timing.delivery), key.rotation.overlap / 2)
        if end.until and end.code in {"overlap", "unmanaged"} and end.until - now <= longest:
            yield key, end.until


def pools(work: Iterable[DesiredKey], wants: Mapping[str, int], listed: Iterable[ApiKey]) -> tuple[PoolState, ...]:
    """Return the pools of these keys; `wants`: how many API keys each of them lacks."""
    names = [key.name for key in listed if key.deleted_at is None]
    low: dict[str, int] = {}
    wanted: dict[str, int] = {}
    for key in work:
        if key.pool and not key.absent:
            prefix = key.pool.prefix
            low[prefix] = max(low.get(prefix, 0), key.pool.low)
            wanted[prefix] = wanted.get(prefix, 0) + wants.get(key.id, 0)
    return tuple(
        PoolState(prefix, sum(map(Pool(prefix).has, names)), low[prefix], wanted[prefix]) for prefix in sorted(low)
    )


def without_spare(work: Sequence[DesiredKey], planned: Sequence[Planning], listed: Iterable[ApiKey]) -> frozenset[str]:
    """Return the keys whose plan takes a spare that others take: first those that name one already, then in order."""
    names = [key.name for key in listed if key.deleted_at is None]
    left: dict[str, int] = {}
    short: set[str] = set()
    for key, one in sorted(zip(work, planned, strict=True), key=lambda item: not _names_spare(item[1])):
        wanted = sum(change.code == POOL for change in one.plan.changes)
        if key.pool and wanted:
            prefix = key.pool.prefix
            left.setdefault(prefix, sum(map(Pool(prefix).has, names)))
            if left[prefix] < wanted:
                short.add(key.id)
            else:
                left[prefix] -= wanted
    return frozenset(short)


def _names_spare(one: Planning) -> bool:
    """Tell whether an earlier run began to take a spare for the key."""
    return one.record is not None and one.record.intent is not None and one.record.intent.spare != ""


def wants(results: Sequence[KeyPlan] | Sequence[KeyReport]) -> dict[str, int]:
    """Return how many API keys each key lacks: would take from its pool, or an operator has to make."""
    return {
        one.key: len(one.end.make)
        + (sum(change.code == POOL for change in one.changes) if isinstance(one, KeyPlan) else 0)
        for one in results
    }


def rotated(report: KeyReport) -> bool:
    """Tell whether this run began the overlap that the key is in."""
    return any(change.change is Change.ROTATE for change in report.done)


def path_moves(planned: Iterable[Planning]) -> tuple[str, ...]:
    """Return a note if a key loses one delivery and gets a new one in the same run: its consumers have no overlap."""
    moved: list[str] = []
    for one in planned:
        known = {item.delivery for item in one.record.deliveries} if one.record else set()
        changes = {kind: [item.delivery for item in one.plan.changes if item.change is kind] for kind in Change}
        new = [str(place) for place in changes[Change.DELIVER] if place not in known]
        old = [str(place) for place in changes[Change.REMOVE]]
        if new and old:
            moved.append(f"{one.plan.key} from {', '.join(old)} to {', '.join(new)}")
    if not moved:
        return ()
    what = f"Deliveries move: {'; '.join(moved)}. Consumers that still read the old place lose the secret in this run."
    return (f"{what} To let them move first, list both places, and drop the old one later; or {KEEP}.",)


def _digest(desired: Desired, planned: Sequence[Planning]) -> str:
    return brakes.digest(desired.owner, configuration(desired), (one.plan for one in planned))
