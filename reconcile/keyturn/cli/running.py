"""What `keyturn run` does in each look, and how it waits between two."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from keyturn import __version__
from keyturn.cli.console import Screen
from keyturn.cli.files import policy_of
from keyturn.cli.metrics import report, status_of
from keyturn.cli.pages import Pages, Render
from keyturn.cli.session import Opened, Order, apply_once
from keyturn.core.model import Desired
from keyturn.core.reasons import Reason, mixed
from keyturn.core.results import Options, RunReport
from keyturn.core.sanitize import plain
from keyturn.engine.loop import ALL, Health, Looked, Snapshot
from keyturn.engine.run_lock import ManifestLock
from keyturn.engine.runner import Runner
from keyturn.engine.signals import Signals
from keyturn.live.live_world import open_world
from keyturn.manifest import load_all
from keyturn.report.documents import StatusDocument
from keyturn.report.run import run_lines

LONGEST_TEXT = 2000
"""Characters of a problem that `/healthz` tells."""
SLICE = 1.0
"""Seconds between two looks for a signal and for a change of the manifest's files."""

Told = tuple[tuple[tuple[str, Reason, tuple[str, ...]], ...], str, tuple[str, ...]]
"""What a report says: the keys with a failure, what stopped the run, its notes."""
Seen = tuple[tuple[str, int, int, int], ...]
"""Files with their time of change in nanoseconds, size and inode."""


class FileWork:
    """The work of a manifest's file or directory: each look opens its own connections and logins."""

    def __init__(self, screen: Screen, file: str, asked: Options, signals: Signals) -> None:
        """Prepare; nothing is read yet."""
        self._screen = screen
        self._path = Path(file)
        self._order = Order(asked, yes=True)
        self._signals = signals
        self._stopped = False
        self._seen: Seen = ()
        self._policy: Seen = ()
        self._locks: dict[str, ManifestLock] = {}
        self._told: dict[str, Told] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the locks."""
        for lock in self._locks.values():
            lock.release()

    def now(self) -> datetime:
        """Return the wall clock, in UTC."""
        return datetime.now(UTC)

    def wait(self, until: datetime) -> None:
        """Wait in slices, by the wall clock: it may be set, and the machine may sleep."""
        while not self.stopping() and not self.changed():
            left = (until - self.now()).total_seconds()
            if left <= 0:
                return
            time.sleep(min(left, SLICE))

    def stopping(self) -> bool:
        """Tell whether a signal came, also while a look had the handlers."""
        return self._stopped or self._signals.stop_requested is not None

    def changed(self) -> bool:
        """Tell whether a file changed, came or went."""
        return self._now_seen() != self._seen

    def load(self) -> tuple[Desired, ...]:
        """Read the manifests under the policy."""
        self._seen = self._now_seen()
        policy = _seen(_policy_file(self._screen))
        every = load_all(self._path, os.environ, policy=policy_of(self._screen))
        self._policy = policy
        return every

    def policy_changed(self) -> bool:
        """Tell whether the policy differs from that of the last load that succeeded."""
        return _seen(_policy_file(self._screen)) != self._policy

    def claim(self, manifests: tuple[Desired, ...]) -> str:
        """Lock each manifest, and release those that are gone."""
        names = {f"{one.owner}\n{self._place(one)}" for one in manifests}
        for gone in set(self._locks) - names:
            self._locks.pop(gone).release()
        for name in sorted(names):
            if holder := self._locks.setdefault(name, ManifestLock(name)).take():
                return holder
        return ""

    def look(self, manifests: tuple[Desired, ...], keys: frozenset[str]) -> Looked:
        """Apply, report what was done or is wrong, and read the status."""
        with self._opened(manifests, keys) as opened:
            reports, number = apply_once(opened, self._order, {})
            self._tell(reports)
            if number is not None:
                self._stopped = True
                return Looked()
            runs = {one.desired.owner: one.runner.status(one.keys, self._order.options) for one in opened}
        return Looked(runs, frozenset(key for one in reports for key in one.deferred))

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Tell the operator, with the time; with `-q` only what is wrong."""
        tell = self._screen.error if wrong else self._screen.say
        tell(f"{self.now():%Y-%m-%d %H:%M:%S} {text}")

    @contextmanager
    def _opened(self, manifests: Sequence[Desired], keys: frozenset[str]) -> Iterator[tuple[Opened, ...]]:
        base = self._path if self._path.is_dir() else self._path.parent
        with ExitStack() as stack:
            result: list[Opened] = []
            world = None  # one token, so one rate budget
            for desired in manifests:
                mine = tuple(key.id for key in desired.keys if key.id in keys)
                if mine or keys == ALL:
                    world = open_world(desired, os.environ, base, beside=world, hear=self._screen.progress)
                    stack.enter_context(world)
                    runner = Runner(world, desired, self._screen.progress, linger=False)
                    result.append(Opened(desired, world, runner, mine))
            yield tuple(result)

    def _tell(self, reports: Sequence[RunReport]) -> None:
        """Show the report of a manifest if something was done, or if it says something else than before."""
        for one in reports:
            ends = tuple((key.key, key.now.code, key.problems) for key in one.reports if key.exit_code)
            done = any(key.done for key in one.reports)
            now, before = (ends, one.stopped, one.notes), self._told.get(one.owner, ((), "", ()))
            if done or now != before:
                told = replace(one, notes=tuple(note for note in one.notes if note not in before[2]))
                self._screen.result(run_lines([told], at=self.now()))
            self._told[one.owner] = now

    def _place(self, one: Desired) -> str:
        """Return where the records are, to tell two manifests of the same owner name apart."""
        target = next((target for target in one.targets if target.name == one.records.target), None)
        base = self._path if self._path.is_dir() else self._path.parent
        return f"{target.home if target else base.resolve()} {one.records.prefix}"

    def _now_seen(self) -> Seen:
        return (*_seen(self._path), *_seen(_policy_file(self._screen)))


class Looping(Protocol):
    """What is shown of a loop."""

    @property
    def snapshot(self) -> Snapshot:
        """What it last saw."""

    @property
    def every(self) -> timedelta:
        """Its interval."""


def _policy_file(screen: Screen) -> Path | None:
    return Path(screen.policy) if screen.policy else None


def _seen(path: Path | None) -> Seen:
    """Return what a file, or each manifest of a directory, looks like; a file that is not there looks like nothing."""
    if path is None:
        return ()
    files = [path]
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"})
        found = [(str(file), file.stat()) for file in files]
    except OSError as error:
        return ((error.strerror or type(error).__name__, 0, 0, 0),)
    return tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in found)


def pages(
    loop: Looping, now: Callable[[], datetime], metrics: Render | None = None, html: Render | None = None
) -> Pages:
    """Return what the server of this loop serves; `metrics` and `html` are those of the reports by default."""

    def health() -> tuple[bool, dict[str, object]]:
        seen, moment = loop.snapshot, now()
        state = seen.health(moment, loop.every)
        due = seen.next_due
        return state in {Health.OK, Health.STANDBY}, {
            "status": state.value,
            "why": plain(seen.problem or seen.holder or seen.trouble, LONGEST_TEXT),
            "last_look": _text(seen.last_look),
            "last_success": _text(seen.last_success),
            "next_look": _text(seen.next_look),
            "next_due": _text(due.at) if due else None,
            "next_due_what": f"{due.what} {due.key}" if due else None,
            "exit_code": mixed(run.exit_code for run in seen.statuses),
            "keyturn": __version__,
        }

    last: tuple[object, StatusDocument | None] = (None, None)

    def status() -> StatusDocument | None:
        nonlocal last  # one document per snapshot: a page is rendered once for it
        seen = loop.snapshot
        if last[0] is not seen:
            last = seen, status_of(seen.statuses, seen.last_success) if seen.last_success else None
        return last[1]

    return Pages(health, status, metrics or report("openmetrics"), html or report("html"))


def _text(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
