"""Rounds over the keys of one account: the loop that does what `core/rounds.py` decides. It knows no Kubernetes.

If you use it, give it an `Account`, and mark the keys that changed, from any thread. Each account has rounds of its
own; they share nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from keyturn.core.errors import KeyturnError
from keyturn.core.model import Desired
from keyturn.core.reasons import Reason
from keyturn.core.results import End, KeyStatus, Options, PoolState
from keyturn.core.rounds import Pace, Queue, Release, Round, statuses
from keyturn.engine.ended import ended
from keyturn.engine.runner import Runner

ASKED = Options(lock_timeout=0.0)
"""A key that another run has is looked at again in a later round: nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one round came to.

    `keys`: the status of each key that it looked at, none if only keys that are not worked on have changed; nothing is
    told of the others. `brakes`: what holds keys back
    until an operator releases them. `stop`: why the whole round stopped. `trouble`: why the account could not be worked
    on: then nothing is known of its keys; `failed` is the same with its reason. `waiting`: how many first secrets and
    scheduled rotations come later.
    """

    at: datetime
    next_at: datetime
    keys: tuple[KeyStatus, ...] = ()
    brakes: tuple[End, ...] = ()
    stop: End | None = None
    trouble: str = ""
    pools: tuple[PoolState, ...] = ()
    waiting: int = 0
    failed: End | None = None


class Account(Protocol):
    """What the rounds need of an account. Methods that may fail raise KeyturnError."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""

    def wait(self, until: datetime) -> None:
        """Wait until this moment, until `wake`, or until the process is to stop."""

    def wake(self) -> None:
        """End a wait. Called in any thread."""

    def stopping(self) -> bool:
        """Tell whether the process is to stop."""

    def desired(self) -> Desired:
        """Return what is wanted now of all keys of the account."""

    def open(self, desired: Desired) -> AbstractContextManager[Runner]:
        """Return a runner that does not linger, in a world of its own beside the last one."""

    def release(self) -> Release | None:
        """Return what an operator released and was not spent."""

    def spend(self, release: Release) -> bool:
        """Note where it lasts that a release is used up; False if it was already. Only then it is used."""

    def tell(self, told: Told) -> None:
        """Show what a round came to; write only what differs."""


class Rounds:
    """The rounds of one account. `step` and `run` belong to one thread, `mark` to any."""

    def __init__(self, account: Account, pace: Pace | None = None, *, seed: str, by: str = "") -> None:
        """Prepare; the first round looks at all keys.

        `seed` tells accounts and processes apart, so that they do not all act at once; `by` is for the records.
        """
        self._account = account
        self._options = replace(ASKED, by=by)
        self._marks: deque[tuple[tuple[str, ...], bool]] = deque()
        self._spent = ""
        self.queue = Queue.began(pace or Pace(), seed, account.now())

    def mark(self, keys: Iterable[str], *, verify: bool = False) -> None:
        """Note that keys changed, came or went; `verify`: that what they deliver to changed."""
        self._marks.append((tuple(keys), verify))
        self._account.wake()

    def run(self) -> None:
        """Do rounds until the process is to stop."""
        while not self._account.stopping():
            self._account.wait(self.step())

    def step(self) -> datetime:
        """Do the round that is due, if there is one, and return when the next one is."""
        now = self._account.now()
        while self._marks:
            keys, verify = self._marks.popleft()
            self.queue = self.queue.marked(keys, now, verify=verify)
        release = self._released()
        if self.queue.at(now, release) <= now:
            self._round(now, release)
        return self.queue.at(self._account.now())

    def _released(self) -> Release | None:
        """Return a release that was not used; one that meets no brake is used up without an effect."""
        release = self._account.release()
        if release is None or release.token == self._spent:
            return None
        if self.queue.seen and not self.queue.held:
            self._spend(release)
            return None
        return release if self.queue.held else None

    def _spend(self, release: Release) -> bool:
        self._spent = release.token
        return self._account.spend(release)

    def _round(self, now: datetime, release: Release | None) -> None:
        taken: Round | None = None
        try:
            desired = self._account.desired()
            if release and not self._spend(release):
                release = None
            marked = self.queue.dirty
            taken, self.queue = self.queue.taken(now, {key.id for key in desired.keys}, release)
            if taken:
                self._account.tell(self._apply(taken, desired, release))
            elif marked != self.queue.dirty:  # of keys that are not worked on: that can be told without the API
                self._account.tell(self._told())
            return
        except KeyturnError as error:
            failed = ended(error)
        except Exception as error:  # noqa: BLE001 - its text may hold a secret; the next round may well succeed
            failed = End(Reason.UNEXPECTED, f"keyturn failed with {type(error).__name__}. This is a bug.")
        self.queue = self.queue.missed(taken, self._account.now())
        with suppress(Exception):  # it may be what failed
            self._account.tell(self._told(failed=failed))

    def _apply(self, taken: Round, desired: Desired, release: Release | None) -> Told:
        """Let the runner work on the keys of a round."""
        allowed = release or Release("")
        with self._account.open(desired) as runner:
            report = runner.apply(
                taken.named,
                self._options,
                allow_delete=max(self.queue.pace.deletes, allowed.deletes),
                allow_rotations=allowed.rotations,
                allowed=replace(allowed.allowed, part=taken.part),
            )
        if report.unread:
            self.queue = self.queue.missed(taken, self._account.now())
            return self._told(failed=report.reports[0].end)
        now = self._account.now()
        found = statuses(desired, report, now)
        self.queue = self.queue.settled(taken, desired, report, found, now)
        return self._told(keys=found, stop=report.stop, pools=report.pools, waiting=len(report.deferred))

    def _told(
        self,
        *,
        keys: tuple[KeyStatus, ...] = (),
        stop: End | None = None,
        pools: tuple[PoolState, ...] = (),
        waiting: int = 0,
        failed: End | None = None,
    ) -> Told:
        now, trouble = self._account.now(), failed.why if failed else ""
        return Told(now, self.queue.at(now), keys, self.queue.brakes, stop, trouble, pools, waiting, failed)
