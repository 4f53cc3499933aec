"""A runner among fakes: one key's work is armed by the test, so that the runner's own part can be seen."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from keyturn.core.model import (
    ApiKey,
    Desired,
    DesiredKey,
    RecordsConfig,
    SlotName,
    SmokeResult,
    Verdict,
    WireAnswer,
    WireKind,
)
from keyturn.core.reasons import Reason
from keyturn.core.record import Record, Retire, Slot
from keyturn.core.results import Change, End, KeyPlan, KeyReport, Options, Planned, Progress
from keyturn.core.secret import Secret
from keyturn.core.state import Clock, Observed, Run, State
from keyturn.core.world import StoredRecord, World
from keyturn.engine.executor import Stop
from keyturn.engine.planning import Planning
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Engine, Listener, Runner

NOW = datetime(2026, 8, 1, tzinfo=UTC)
REST = End(Reason.AT_REST)
DONE = End(Reason.ABSENT)
HAND_OFF = End(Reason.HAND_OFF, "make a key in the control panel")
ACCEPTED = SmokeResult(Verdict.ACCEPTED)
REFUSED = SmokeResult(Verdict.REFUSED)


@dataclass
class FakeWorld:
    """A list, records and a clock in memory; counts what is asked of it."""

    keys: list[ApiKey] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    team: str = "team"
    blocked: bool | None = None
    list_error: Exception | None = None
    records_error: Exception | None = None
    answers: dict[str, WireKind] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    slept: float = 0.0
    on_list: Callable[[int], None] = lambda count: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        """Count a call."""
        with self.lock:
            self.calls[what] += 1

    def list_keys(self, *, fresh: bool = False) -> tuple[ApiKey, ...]:
        """Give the list."""
        if fresh:
            self.count("list")
            self.on_list(self.calls["list"])
        if self.list_error:
            raise self.list_error
        return tuple(self.keys)

    def account(self) -> str:
        """Give the team."""
        self.count("account")
        return self.team

    def prepayment_blocked(self) -> bool | None:
        """Tell of the balance as armed."""
        return self.blocked

    def list_records(self) -> tuple[str, ...]:
        """Give the ids."""
        self.count("list records")
        if self.records_error:
            raise self.records_error
        return tuple(self.records)

    def read_record(self, key: str) -> StoredRecord:
        """Give a record."""
        self.count(f"record {key}")
        return StoredRecord(self.records.get(key), "1")

    def models(self, secret: Secret) -> WireAnswer:
        """Answer as armed."""
        self.count("models")
        return WireAnswer(self.answers[secret.reveal()])

    def now(self) -> datetime:
        """Stand still."""
        return NOW

    def sleep(self, seconds: float) -> None:
        """Count the seconds."""
        self.slept += seconds

    def together(self, tasks: Sequence[Callable[[], None]]) -> None:
        """One after the other."""
        for task in tasks:
            task()


@dataclass
class FakeEngine:
    """Plans and reports by key id, or an error to raise; remembers what it was asked."""

    plans: dict[str, KeyPlan | Exception] = field(default_factory=dict)
    reports: dict[str, KeyReport | Exception] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    options: dict[str, Options] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    on_apply: Callable[[str], None] = lambda key: None

    def plan(self, world: World, desired: DesiredKey, options: Options) -> Planning:
        """Read as a real plan does, then plan as armed."""
        record = world.read_record(desired.id).record
        observed = Observed(world.list_keys())
        if options.verify:
            refused = world.models(Secret(desired.id)).kind is WireKind.UNAUTHORIZED
            observed = replace(observed, verdicts={"digest": REFUSED if refused else ACCEPTED})
        state = State(desired, record, "1", observed, Run("plan"), Clock(NOW, 0.0), options)
        self.options[desired.id] = options
        found = self.plans.get(desired.id, plan(desired.id))
        if isinstance(found, Exception):
            raise found
        return Planning(found, state)

    def apply(
        self, world: World, desired: DesiredKey, options: Options, run: str, listener: Listener, stop: Stop
    ) -> KeyReport:
        """Say a line, then report as armed."""
        self.applied.append(desired.id)
        self.options[desired.id] = options
        self.runs.add(run)
        listener(Progress(desired.id, "working", world.now()))
        self.on_apply(desired.id)
        found = self.reports.get(desired.id, KeyReport(desired.id, (), DONE))
        if isinstance(found, Exception):
            raise found
        return found

    def seam(self) -> Engine:
        """Stand in for the executor."""
        return Engine(self.plan, self.apply, DesiredKey)


def plan(key: str, *changes: Change, end: End = REST, mints: bool = False, deletes: int = 0) -> KeyPlan:
    """A plan with these changes."""
    planned = tuple(Planned(change, "code", "why") for change in changes)
    return KeyPlan(key, planned, end, f"basis of {key}", mints, deletes)


def record(key: str, *, owner: str = "owner", account: str = "team", retire: bool = False) -> Record:
    """A record whose live slot is `uuid-KEY`."""
    slots = {SlotName.A: Slot(f"uuid-{key}", key)}
    due = Retire(SlotName.B, NOW) if retire else None
    return Record(key, owner, "00", account=account, live=SlotName.A, slots=slots, retire=due)


@dataclass
class Rig:
    """A runner with its fakes."""

    world: FakeWorld
    engine: FakeEngine
    runner: Runner
    said: list[Progress]
    heard_in: set[int]
    runs: Path


MakeRig = Callable[..., Rig]


def make_rig(
    directory: Path, ids: tuple[str, ...], limit: int = 20, plans: Mapping[str, KeyPlan | Exception] | None = None
) -> Rig:
    """Make a runner for keys of these ids, all of them in the list and with a record; `directory` takes run files."""
    keys = tuple(DesiredKey(key, "owner", key) for key in ids)
    desired = Desired("owner", (), RecordsConfig("local"), keys, limit)
    world = FakeWorld([ApiKey(f"uuid-{key}", key) for key in ids], {key: record(key) for key in ids})
    engine = FakeEngine(dict(plans or {}))
    said: list[Progress] = []
    heard_in: set[int] = set()

    def listener(line: Progress) -> None:
        said.append(line)
        heard_in.add(threading.get_ident())

    runner = Runner(cast("World", world), desired, listener, engine=engine.seam(), runs=Runs([directory]))
    return Rig(world, engine, runner, said, heard_in, directory)
