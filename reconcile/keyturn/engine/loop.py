"""The loop of `run`: it looks at a key at the moment at which something of it is due, and at all keys at intervals.

It decides when to look. What a look does, the clock and the files are a `Work`: tests put a virtual clock in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from keyturn.core import forecast, schedule
from keyturn.core.brakes import OWNERSHIP
from keyturn.core.errors import KeyturnError
from keyturn.core.forecast import Coming
from keyturn.core.model import Desired
from keyturn.core.reasons import Condition, mixed
from keyturn.core.results import RunStatus
from keyturn.core.rounds import pause

STANDBY = timedelta(seconds=5)
"""The pause before the next try to become the one that works on a manifest."""
MISSED = 3
"""After so many intervals without a good look the loop is no longer healthy."""
BLIND = frozenset({Condition.UNKNOWN, Condition.LOGIN_REFUSED})
"""Conditions in which a key was not seen."""
ALL: frozenset[str] = frozenset()
"""Look at all keys."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look came to.

    `runs`: the status after it, by owner. `deferred`: keys whose due rotation was over the limit of one run.
    """

    runs: Mapping[str, RunStatus] = field(default_factory=dict)
    deferred: frozenset[str] = frozenset()


class Work(Protocol):
    """What the loop needs. Methods that may fail raise KeyturnError; nothing else is expected of them."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""

    def wait(self, until: datetime) -> None:
        """Wait until this moment, until a signal asks to stop, or until the manifest changes."""

    def stopping(self) -> bool:
        """Tell whether a signal asked to stop."""

    def changed(self) -> bool:
        """Tell whether a file of the manifest, or the policy, changed since the last load."""

    def load(self) -> tuple[Desired, ...]:
        """Read the manifests and the policy."""

    def policy_changed(self) -> bool:
        """Tell whether the policy changed since the last load that succeeded."""

    def claim(self, manifests: tuple[Desired, ...]) -> str:
        """Become the only one on this machine that works on these manifests; return who does, empty on success."""

    def look(self, manifests: tuple[Desired, ...], keys: frozenset[str]) -> Looked:
        """Apply these keys (none: all of them), and return their status after it."""

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Tell the operator; what is `wrong` is told to a quiet one too."""


class Health(StrEnum):
    """What `/healthz` says first."""

    STARTING = "starting"
    OK = "ok"
    STANDBY = "standby"
    DEGRADED = "degraded"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The loop as another thread may see it: replaced as a whole, never changed.

    `statuses`: the last known status of each manifest, in their order. `problem`: the manifest or the policy cannot be
    used. `trouble`: why the last look failed. `holder`: who works on the manifests instead.
    """

    statuses: tuple[RunStatus, ...] = ()
    last_look: datetime | None = None
    last_success: datetime | None = None
    next_look: datetime | None = None
    next_due: Coming | None = None
    problem: str = ""
    trouble: str = ""
    holder: str = ""

    def health(self, now: datetime, every: timedelta) -> Health:
        """Return the health at this moment."""
        if self.problem:
            return Health.DEGRADED
        if self.holder:
            return Health.STANDBY
        if self.last_success is None:
            return Health.FAILING if self.trouble else Health.STARTING
        return Health.FAILING if now - self.last_success > MISSED * every else Health.OK


class Loop:
    """Looks until `stopping`. `every`: the interval of looks at all keys."""

    def __init__(self, work: Work, every: timedelta) -> None:
        """Prepare; nothing is read yet."""
        self._work = work
        self.every = every
        self.snapshot = Snapshot()
        self._manifests: tuple[Desired, ...] = ()
        self._held = False
        self._coming: dict[str, Coming] = {}
        self._due: dict[str, datetime] = {}
        self._next_full = datetime.min.replace(tzinfo=UTC)
        self._failures = 0
        self._retries = 0

    def run(self) -> None:
        """Load, then look and wait in turn. Raises the error of the first load; later ones are told and outlived."""
        self._manifests = self._work.load()
        self._next_full = self._work.now()
        while not self._work.stopping():
            if self._work.changed():
                self._reload()
            now = self._work.now()
            if self._held:
                self._work.wait(now + self.every)
            elif holder := self._work.claim(self._manifests):
                self._stand_by(holder, now)
            elif (keys := self._ready(now)) is not None:
                self._look(keys)
            else:
                self._work.wait(self._wake())

    def _reload(self) -> None:
        """Read the manifest again. While it cannot be used, the last good one is applied, unless the policy changed."""
        try:
            self._manifests = self._work.load()
        except KeyturnError as error:
            self._held = self._work.policy_changed()
            kept = "nothing is applied until it is fixed" if self._held else "the last good one is still applied"
            self._work.say(f"The manifest was changed and cannot be used; {kept}.\n{error}", wrong=True)
            self.snapshot = replace(self.snapshot, problem=str(error))
            return
        self._work.say("The manifest was read again.")
        self._held = False
        self._next_full = self._work.now()
        self._coming, self._due = {}, {}
        self.snapshot = replace(self.snapshot, problem="")

    def _stand_by(self, holder: str, now: datetime) -> None:
        if holder != self.snapshot.holder:
            self._work.say(f"{holder} works on this manifest; this one waits until that ends.")
        self.snapshot = replace(self.snapshot, holder=holder)
        self._next_full = now
        self._work.wait(now + STANDBY)

    def _ready(self, now: datetime) -> frozenset[str] | None:
        """Return the keys to look at now, None if it is not yet time."""
        if self._next_full - now > 2 * self.every:  # the clock was set back
            self._next_full = now
        if now >= self._next_full:
            return ALL
        found = frozenset(key for key, at in self._due.items() if at <= now)
        known = {key.id for one in self._manifests for key in one.keys}
        # A record without an entry cannot be named: a look at all keys retires its old secret.
        return (found if found <= known else ALL) if found else None

    def _wake(self) -> datetime:
        return min((self._next_full, *self._due.values()))

    def _look(self, keys: frozenset[str]) -> None:
        began = self._work.now()
        self.snapshot = replace(self.snapshot, holder="", last_look=began)
        looked = Looked()
        try:
            looked = self._work.look(self._manifests, keys)
            trouble = _lost(looked) if keys is ALL else ""
        except KeyturnError as error:
            trouble = str(error)
        except Exception as error:  # noqa: BLE001 - its text may hold a secret; the next look may well succeed
            trouble = f"keyturn failed with {type(error).__name__}. This is a bug."
        if self._work.stopping():
            return
        now = self._work.now()
        if keys is ALL and not trouble:
            self._next_full = max(began + self.every, now + self.every / 10)
        self._keep(looked, whole=keys is ALL)
        self._plan(now, looked, whole=keys is ALL)
        if trouble:
            self._failed(trouble, now)
        elif not _lost(looked):
            self._failures = 0
            if self.snapshot.trouble:
                self._work.say("It works again.")
            self.snapshot = replace(self.snapshot, trouble="", last_success=now)
        self.snapshot = replace(self.snapshot, next_look=self._wake())

    def _keep(self, looked: Looked, *, whole: bool) -> None:
        """Keep the status of each key that was looked at."""
        before = {run.owner: run for run in self.snapshot.statuses}
        for owner, run in looked.runs.items():
            old = before.get(owner)
            if old is None or whole:
                before[owner] = run
                continue
            keys = tuple(({key.key: key for key in old.keys} | {key.key: key for key in run.keys}).values())
            code = mixed((*(key.exit_code for key in keys), OWNERSHIP if run.stop else 0))
            before[owner] = replace(old, keys=keys, exit_code=code, stopped=run.stopped, stop=run.stop)
        kept = tuple(before[one.owner] for one in self._manifests if one.owner in before)
        self.snapshot = replace(self.snapshot, statuses=kept)

    def _plan(self, now: datetime, looked: Looked, *, whole: bool) -> None:
        """Note when each key is due next. What is due and was not done, or was deferred, is tried again later."""
        if whole and looked.runs:
            self._coming, self._due = {}, {}
        left: list[str] = []
        for one in self._manifests:
            for subject in forecast.subjects(one, looked.runs[one.owner].keys if one.owner in looked.runs else ()):
                key, found = subject.status.key, forecast.first(subject, now)
                self._coming.pop(key, None)
                self._due.pop(key, None)
                if found is None:
                    continue
                self._coming[key], self._due[key] = found, found.at
                if found.at <= now and key in looked.deferred:
                    self._due[key] = self._next_full
                elif found.at <= now:
                    left.append(key)
        self._retries = self._retries + 1 if left else 0
        self._due |= dict.fromkeys(left, now + pause(self._retries, self.every))
        following = min(self._coming.values(), key=lambda one: one.at, default=None)
        if following and following != self.snapshot.next_due and following.at > now:
            self._work.say(f"Next: {following.what} {following.key} at {schedule.utc(following.at)}.")
        self.snapshot = replace(self.snapshot, next_due=following)

    def _failed(self, why: str, now: datetime) -> None:
        self._failures += 1
        self._next_full = now + pause(self._failures, self.every)
        self._due = {key: max(at, self._next_full) if at <= now else at for key, at in self._due.items()}
        if why != self.snapshot.trouble:
            self._work.say(f"{why}\nIt is tried again, from {schedule.utc(self._next_full)} on.", wrong=True)
        self.snapshot = replace(self.snapshot, trouble=why)


def _lost(looked: Looked) -> str:
    """Say why a look saw nothing: no key of a manifest could be read, for the same or other reasons."""
    for run in looked.runs.values():
        if run.keys and all(key.condition in BLIND for key in run.keys):
            return run.keys[0].why or run.keys[0].condition
    return ""
