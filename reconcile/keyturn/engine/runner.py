"""Many keys: plan all, brake, apply what is free, each key on its own; progress and one exit code.

A run at rest costs one complete list, one reading of each record and one list of the records.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keyturn.core import brakes
from keyturn.core.errors import InputError, KeyturnError, RunStopped
from keyturn.core.limits import NONE_ALLOWED, Allowed, Limits
from keyturn.core.model import Desired, DesiredKey
from keyturn.core.reasons import Condition, Reason, mixed
from keyturn.core.record import Record
from keyturn.core.results import (
    End,
    KeyPlan,
    KeyReport,
    KeyStatus,
    Options,
    PoolState,
    Progress,
    RunPlan,
    RunReport,
    RunStatus,
    Stage,
    by_urgency,
)
from keyturn.core.status import status
from keyturn.core.world import World
from keyturn.engine import executor, hooks, worklist
from keyturn.engine.announce import APPLY, PLAN, Announcer
from keyturn.engine.common_cause import CommonCause
from keyturn.engine.ended import ended
from keyturn.engine.overview import unmanaged, unread
from keyturn.engine.planning import Planning, as_recorded, failed_planning, plan_key
from keyturn.engine.run_lock import Runs
from keyturn.engine.signals import pause, stop_requested
from keyturn.engine.threads import WORKERS, map_in_threads
from keyturn.engine.worklist import NO_GROUP, Call, bound, check_digest, exit_code, has_retire, rotated, still, to_do
from keyturn.report.handoff import handoff_text

Listener = Callable[[Progress], None]

POLL = 10.0
"""Seconds between two looks for keys that an operator has to make (`--wait`)."""
GRACE = timedelta(seconds=5)
"""Overlaps that end within so long of each other are waited for together."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What works on one key; tests put another in its place."""

    plan: Callable[[World, DesiredKey, Options], Planning] = plan_key
    apply: Callable[[World, DesiredKey, Options, str, Listener, executor.Stop], KeyReport] = executor.apply_key
    unmanaged: Callable[[str, str], DesiredKey] = executor.unmanaged_key


class Runner:
    """Works on the keys of one manifest through one world.

    `listener` is called in the caller's thread only. Within `signals.Signals`, no new key is started after a request to
    stop; those under way end by themselves. `stop` asks for the same, where another process has the keys.
    """

    def __init__(
        self,
        world: World,
        desired: Desired,
        listener: Listener,
        *,
        engine: Engine | None = None,
        runs: Runs | None = None,
        workers: int = WORKERS,
        linger: bool = True,
        stop: executor.Stop = lambda: False,
    ) -> None:
        """Prepare; nothing is read yet. `linger`: an apply waits for an overlap that the next run would just miss."""
        self._world = world
        self._desired = desired
        self._listener = listener
        self._engine = engine or Engine()
        self._runs = runs or Runs()
        self._workers = workers
        self._linger = linger
        self._stop = stop
        self._announcer = Announcer(self._hear, self._now, workers)
        self._cause = CommonCause(world, desired.owner)
        self._seen: tuple[Call, tuple[Planning, ...], brakes.Braked] | None = None

    def plan(
        self,
        keys: Sequence[str],
        options: Options,
        *,
        allow_delete: int = 0,
        allow_rotations: int = 0,
        allowed: Allowed = NONE_ALLOWED,
        unpark: Collection[str] = (),
    ) -> RunPlan:
        """Plan these keys (none named: all, and due retires of records without an entry); nothing is written.

        Raises InputError if a key is not in the manifest, OwnershipError for what the operator's policy does not allow.
        """
        limits = Limits.under(self._desired, allow_rotations, allow_delete, allowed)
        call, planned, braked = self._seen = self._see(*self._begin(keys, options, limits, unpark))
        pools = self._pools(call, braked.plans)
        short = any(pool.left < pool.wanted for pool in pools)
        plan = RunPlan(
            owner=self._desired.owner,
            plans=brakes.halted(braked.plans, call.stopped),
            deferred=braked.deferred,
            unmanaged=call.unmanaged,
            stopped=call.stopped.why if call.stopped else "",
            stop=call.stopped,
            exit_code=exit_code(call, braked.plans) or int(short),
            notes=worklist.notes(self._desired, planned, self._now()) + self._cause.notes(call),
            pools=pools,
            policy=self._desired.permit.where[""] if self._desired.permit else "",
        )
        return bound(plan, self._desired, planned)

    def apply(  # noqa: PLR0913 - what `plan` takes, and how to apply it
        self,
        keys: Sequence[str],
        options: Options,
        *,
        allow_delete: int = 0,
        allow_rotations: int = 0,
        allowed: Allowed = NONE_ALLOWED,
        unpark: Collection[str] = (),
        expected_digest: str = "",
        wait: bool = False,
        planned_now: bool = False,
    ) -> RunReport:
        """Plan these keys as `plan` does, then apply those that no brake holds back.

        `wait`: until a signal, look again and again for keys that an operator has to make; nothing is held meanwhile.
        `planned_now`: `plan` was called with the same a moment ago; what it saw is not read again.

        Raises:
            InputError: a key is not in the manifest.
            OwnershipError: the plan's digest is not `expected_digest`, or the policy does not allow what is asked for.
        """
        limits = Limits.under(self._desired, allow_rotations, allow_delete, allowed)
        seen, self._seen = self._seen if planned_now else None, None
        call, planned, braked = seen or self._see(*self._begin(keys, options, limits, unpark))
        if expected_digest and not call.unknown:
            check_digest(self._desired, planned, expected_digest)
        with self._runs.hold() as run:
            reports = {report.key: report for report in self._apply(call, call.work, braked, run.id)}
            if wait:
                self._wait_for_persons(call, reports, run.id)
            if self._linger and not expected_digest:
                self._wait_for_overlaps(call, reports, run.id)
            run.unfinished = any(report.exit_code for report in reports.values())
        ordered = tuple(reports[key.id] for key in call.work)
        return RunReport(
            owner=self._desired.owner,
            run=run.id,
            reports=ordered,
            deferred=braked.deferred,
            unmanaged=call.unmanaged,
            stopped=call.stopped.why if call.stopped else "",
            stop=call.stopped,
            exit_code=exit_code(call, ordered),
            pools=self._pools(call, ordered),
            unread=call.unknown,
        )

    def status(self, keys: Sequence[str], options: Options) -> RunStatus:
        """Tell the condition of these keys (none named: all, and every record without an entry), by reading only.

        Raises InputError if a key is not in the manifest.
        """
        call, why = self._begin(keys, options, Limits(self._desired.rotations_per_run))
        working = {key.id for key in call.work}
        idle = tuple(self._entryless(key) for key in call.unmanaged if key not in working)
        _, planned, braked = self._see(call, why)

        def tell(key: DesiredKey, plan: KeyPlan, one: Planning) -> KeyStatus:
            record = one.record
            if one.seen is None:
                with suppress(Exception):  # an error of its own is told by the plan
                    record = self._world.read_record(key.id).record
            told = status(key, plan.conditions or (plan.end,), record, one.seen, self._now())
            return replace(told, entry=key.id not in call.unmanaged)

        found = [tell(*item) for item in zip(call.work, braked.plans, planned, strict=True)]
        found += [tell(key, one.plan, one) for key, one in zip(idle, self._planned(call, idle), strict=True)]
        return RunStatus(
            owner=self._desired.owner,
            keys=tuple(found),
            stopped=call.stopped.why if call.stopped else "",
            stop=call.stopped,
            exit_code=mixed([*(key.exit_code for key in found), brakes.OWNERSHIP if call.stopped else 0]),
            pools=self._pools(call, braked.plans),
        )

    def _begin(
        self, keys: Sequence[str], options: Options, limits: Limits, unpark: Collection[str] = ()
    ) -> tuple[Call, End | None]:
        """Find what the call works on, and read the account meanwhile; also return why that is not possible."""
        worklist.check_permitted(self._desired.permit, options, limits)
        known = {key.id: key for key in self._desired.keys}
        for name in (*keys, *unpark):
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                remedy = f"Did you mean {near[0]}?" if near else ""
                raise InputError(f"the manifest has no key {name!r}", remedy=remedy)
        if keys:
            work = tuple(key for key in self._desired.keys if key.id in keys)
            return Call(work, options, limits, unpark), unread(self._world)

        found: list[tuple[str, Record]] = []
        others = {*known, *(key.moved_from for key in self._desired.keys)}

        def find() -> None:
            found.extend(unmanaged(self._world, others, self._desired.owner, self._hear, self._workers))

        why = None
        if known:
            why = unread(self._world, find)
        else:
            find()
        lost = tuple(self._entryless(key) for key, record in found if has_retire(record))
        if lost and not known:
            why = unread(self._world)
        work = (*self._desired.keys, *lost)
        return Call(work, options, limits, unpark, unmanaged=tuple(key for key, _ in found)), why

    def _entryless(self, key: str) -> DesiredKey:
        """Return what is desired of a record without an entry; it settles as long as everything else here."""
        entryless = self._engine.unmanaged(key, self._desired.owner)
        rotation = replace(entryless.rotation, freezes=self._desired.freezes)
        return replace(entryless, timing=self._desired.timing, permit=self._desired.permit, rotation=rotation)

    def _see(self, call: Call, why: End | None) -> tuple[Call, tuple[Planning, ...], brakes.Braked]:
        """Plan the keys of a call, and hold back what the brakes hold back."""
        planned = self._look(call, call.work, why)
        return call, planned, self._brake(call, planned)

    def _look(self, call: Call, work: Sequence[DesiredKey], why: End | None) -> tuple[Planning, ...]:
        """Plan each key dry, as if every brake were off; then see whether the whole run has to stop.

        `why` the account could not be read is how every key ends.
        """
        call.unknown = why is not None and bool(work)
        if why:
            return self._recorded(work, why)

        planned = self._planned(call, work)
        try:
            unsure = [one.plan.key for one in planned if one.plan.end.code is Reason.ANOTHER_ACCOUNT]
            if again := self._cause.vouch(call, work, unsure):
                surer = {one.plan.key: one for one in self._planned(call, again)}
                planned = tuple(surer.get(one.plan.key, one) for one in planned)
            call.stopped = call.stopped or self._cause.common(call, work, planned)
            if short := call.share_spares(work, planned, self._world.list_keys()):
                handed = {one.plan.key: one for one in self._planned(call, short)}
                planned = tuple(handed.get(one.plan.key, one) for one in planned)
        except KeyturnError as error:
            call.unknown = True
            return self._recorded(work, ended(error))
        return planned

    def _recorded(self, work: Sequence[DesiredKey], end: End) -> tuple[Planning, ...]:
        """Return what the records tell while the account cannot be read."""
        return map_in_threads(work, lambda key, _: as_recorded(self._world, key, end), self._hear, self._workers)

    def _planned(self, call: Call, work: Sequence[DesiredKey]) -> tuple[Planning, ...]:
        """Plan each key on its own."""

        def see(key: DesiredKey, _say: Listener) -> Planning:
            if end := self._halted(call, key.id):
                return failed_planning(key.id, end)
            try:
                return self._engine.plan(self._world, key, replace(call.options_of(key), allow_delete=True))
            except RunStopped as stop:
                call.stopped = ended(stop)
                return failed_planning(key.id, ended(stop))
            except Exception as error:  # noqa: BLE001 - one key's failure never stops the others
                return failed_planning(key.id, ended(error))

        return self._announcer.each(PLAN, work, {key.id for key in work}, see)

    def _brake(self, call: Call, planned: Sequence[Planning]) -> brakes.Braked:
        asked = call.options.rotate or call.options.compromised
        braked = brakes.brake([one.plan for one in planned], call.limits, asked=asked, agreed=self._desired.agreed)
        call.limits = call.limits.after(one.plan for one in planned if one.plan.key in braked.free)
        return braked

    def _apply(self, call: Call, work: Sequence[DesiredKey], braked: brakes.Braked, run: str) -> tuple[KeyReport, ...]:
        """Apply each key that is free and has something to do; the others end as their plan did."""
        plans = {plan.key: plan for plan in braked.plans}
        busy = {key.id for key in work if key.id in braked.free and to_do(plans[key.id], call.options_of(key))}

        def do(key: DesiredKey, say: Listener) -> KeyReport:
            plan = plans[key.id]
            if key.id not in busy:
                return KeyReport(key.id, (), plan.end, conditions=plan.conditions, record=plan.record)
            if end := self._halted(call, key.id):
                return KeyReport(key.id, (), end, conditions=by_urgency((end, *plan.conditions)), record=plan.record)
            try:
                entry, options = call.entry_of(key), call.released(key, plan)
                report = self._engine.apply(self._world, entry, options, run, say, self._stopping)
            except RunStopped as stop:
                call.stopped = call.stopped or ended(stop)
                return KeyReport(key.id, (), ended(stop))
            except Exception as error:  # noqa: BLE001 - one key's failure never stops the others
                return KeyReport(key.id, (), ended(error))
            call.saw(key.id, report.smoke.verdict if report.smoke else None)
            return hooks.after_delivery(self._world, key, report, say)

        return self._announcer.each(APPLY, work, {key.id for key in work if key.id in busy}, do)

    def _again(self, call: Call, waiting: Sequence[DesiredKey], run: str, *, patient: bool) -> tuple[KeyReport, ...]:
        """Look at waiting keys once more and apply those that need not wait.

        A failed look is said; if the run is not `patient`, it is also how the key ends.
        """
        planned = {one.plan.key: one for one in self._look(call, waiting, unread(self._world))}
        ready = [key for key in waiting if not still(planned[key.id].plan)]
        bad = {Condition.FAILED, Condition.UNKNOWN, Condition.LOGIN_REFUSED}
        ends = [one.plan for one in planned.values() if one.plan.end.code is not Reason.INTERRUPTED]
        lost = [plan for plan in ends if plan.end.condition in bad]
        for plan in lost:
            self._hear(Progress(plan.key, plan.end.why, self._now()))
        braked = self._brake(call, [planned[key.id] for key in ready])
        failures = () if patient else tuple(KeyReport(plan.key, (), plan.end) for plan in lost)
        return (*failures, *self._apply(call, ready, braked, run))

    def _wait_for_persons(self, call: Call, reports: dict[str, KeyReport], run: str) -> None:
        """Look for API keys that an operator has to make, and go on with what is there, until none is missing."""
        told: list[str] = []
        while not self._halted(call) and (waiting := worklist.waiting(call.work, reports)):
            names = [name for key in waiting for name in reports[key.id].end.make]
            wanted = handoff_text(names, last=f"keyturn looks every {POLL:.0f} s. Ctrl-C stops it.")
            if wanted != told:
                told = wanted
                self._hear(Progress("", "\n".join(wanted), self._now()))
            pause(self._world.sleep, POLL)
            reports |= {report.key: report for report in self._again(call, waiting, run, patient=True)}

    def _wait_for_overlaps(self, call: Call, reports: dict[str, KeyReport], run: str) -> None:
        """Retire what becomes due while this run is at work, or so soon that the next run would just miss it."""
        tried: set[str] = set()
        began = self._now()
        while not self._halted(call):
            ends = {key: report.end for key, report in reports.items() if not rotated(report)}
            work = [key for key in call.work if key.id in ends and key.id not in tried]
            due = sorted(worklist.soon(work, ends, began), key=lambda item: item[1])
            if not due:
                return
            first = due[0][1]
            ready = [key for key, at in due if at <= first + GRACE]
            if (seconds := (due[len(ready) - 1][1] - self._now()).total_seconds()) > 0:
                text = f"Waits {seconds:.0f} s for the overlap of {', '.join(key.id for key in ready)} to end."
                self._hear(Progress("", text, now := self._now(), Stage.WAIT, until=now + timedelta(seconds=seconds)))
                pause(self._world.sleep, seconds)
            tried |= {key.id for key in ready}
            reports |= {report.key: report for report in self._again(call, ready, run, patient=False)}

    def retires_soon(self, plan: RunPlan) -> bool:
        """Tell whether an apply of this plan would wait for an overlap that is about to end."""
        ends = {key.key: key.end for key in plan.plans}
        return any(worklist.soon([key for key in self._desired.keys if key.id in ends], ends, self._now()))

    def _halted(self, call: Call, key: str = NO_GROUP) -> End | None:
        """Return why a key, or any further one, is not begun; None if it may be."""
        if end := call.halted(key):
            return end
        if self._stopping():
            return End(Reason.INTERRUPTED, "Not started, because a signal asked to stop.")
        return None

    def _stopping(self) -> bool:
        return stop_requested() is not None or self._stop()

    def _pools(self, call: Call, results: Sequence[KeyPlan] | Sequence[KeyReport]) -> tuple[PoolState, ...]:
        if call.unknown or call.stopped or not any(key.pool for key in call.work):
            return ()
        with suppress(KeyturnError):
            return worklist.pools(call.work, worklist.wants(results), self._world.list_keys())
        return ()

    def _hear(self, line: Progress) -> None:
        """Pass a line on; nobody listening any more is no reason to leave a key half done."""
        with suppress(Exception):
            self._listener(line)

    def _now(self) -> datetime:
        return self._world.now()
