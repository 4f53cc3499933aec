"""SIGKILL at every effect of every operation, one run for each; then `apply`, and nothing may be wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.real.environment import SETTLE, Servers, Site
from tests.real.promise import breaches, noise
from tests.real.relay import Moment

KEY = "key"
OLD = "key-before"
LANES = 12
LANDS = 0.6 * SETTLE
"""Seconds after the death of its sender at which a late request reaches the server: within the settle time."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What is cut: how a site comes to where it starts, the command, and how many secrets it mints undisturbed."""

    name: str
    strategy: str
    prepare: Callable[[Site, str], None]
    command: tuple[str, ...] = ("apply", "--yes")
    mints: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.strategy}"


@dataclass(frozen=True, slots=True)
class Cut:
    """One history: the effect that was cut (its number and kind) and what was wrong afterwards."""

    operation: str
    nth: int
    moment: Moment
    what: str
    wrong: tuple[str, ...]
    mints: int


def _adopt(site: Site, strategy: str) -> None:
    site.existing(KEY, strategy)


def _create(site: Site, strategy: str) -> None:
    site.add(KEY, strategy)
    del site.keys[KEY]["adopt"]


def _rest(site: Site, strategy: str, overlap: str = "1h") -> None:
    site.existing(KEY, strategy)
    site.come_to_rest(overlap)


def _retire(site: Site, strategy: str) -> None:
    site.existing(KEY, strategy, overlap="1s")
    site.settle_in()
    site.wait_for_overlap(KEY)


def _rename(site: Site, strategy: str) -> None:
    _rest(site, strategy)
    site.keys[KEY]["name"] += "-new"


def _delete(site: Site, strategy: str) -> None:
    _rest(site, strategy)
    site.keys[KEY]["state"] = "absent"


def _forget(site: Site, strategy: str) -> None:
    """Take the entry out; a manifest needs another one."""
    _rest(site, strategy)
    site.keys["other"] = {**site.keys.pop(KEY), "state": "absent"}


def _adopt_again(site: Site) -> None:
    """Put the entry of a forgotten key back: it is adopted as it is."""
    entry = site.keys.pop("other")
    del entry["state"]
    site.keys[KEY] = {**entry, "adopt": {"secret": "existing"}}
    if entry["rotation"]["strategy"] == "alternating":
        site.keys[KEY]["adopt"]["live"] = "a"
    run = site.run("apply", "--yes")
    assert run.code == 0, f"a forgotten key is not adopted again: {run.code} {run.out} {run.err}"


def _move(site: Site, strategy: str) -> None:
    """Give the record another id, as if the entry had been renamed."""
    site.existing(OLD, strategy)
    site.come_to_rest("1h")
    site.keys[KEY] = {**site.keys.pop(OLD), "moved": {"from": OLD}}


def _spread(site: Site, strategy: str) -> None:
    _rest(site, strategy)
    site.keys[KEY]["deliver"].append(site.delivery(f"{site.path(KEY)}-too"))


def _to_in_place(site: Site, strategy: str) -> None:
    _rest(site, "alternating")
    site.keys[KEY]["rotation"]["strategy"] = strategy


def _to_alternating(site: Site, strategy: str) -> None:
    _rest(site, "in-place")
    site.keys[KEY]["rotation"]["strategy"] = strategy


BOTH = ("in-place", "alternating")
FORGET = ("forget", KEY, "--yes")
DELETES = ("apply", "--yes", "--allow-delete", "2")
ROTATE = ("rotate", KEY, "--yes")
ROTATIONS = tuple(Operation("rotate", strategy, _rest, ROTATE, 1) for strategy in BOTH)
RETIRE = Operation("retire", "alternating", _retire, mints=1)
OPERATIONS = (
    *(Operation("adopt", strategy, _adopt, mints=1) for strategy in BOTH),
    Operation("create", "in-place", _create, mints=1),
    Operation("create", "alternating", _create, mints=2),
    *ROTATIONS,
    RETIRE,
    *(Operation("rename", strategy, _rename) for strategy in BOTH),
    *(Operation("deliver elsewhere", strategy, _spread) for strategy in BOTH),
    *(Operation("delete", strategy, _delete, DELETES) for strategy in BOTH),
    *(Operation("forget", strategy, _forget, FORGET) for strategy in BOTH),
    *(Operation("move", strategy, _move) for strategy in BOTH),
    Operation("from alternating to", "in-place", _to_in_place, DELETES),
    Operation("from in-place to", "alternating", _to_alternating, mints=1),
)


def effects(shared: Servers, operation: Operation) -> tuple[str, ...]:
    """Run an operation undisturbed and return the kinds of its changing requests, in order."""
    with Site(shared) as site:
        operation.prepare(site, operation.strategy)
        start = site.mints(KEY)
        run = site.run(*operation.command)
        assert run.code == 0, f"{operation}: {run.code}\n{run.err}"
        changes = tuple(sent.what for sent in site.gate.changes)
        if operation.command == FORGET:
            _adopt_again(site)
        found = breaches(site, KEY)
        assert not found, f"{operation}, undisturbed: {found}"
        assert site.mints(KEY) - start == operation.mints, f"{operation}, undisturbed: mints"
        return changes


def cut(shared: Servers, operation: Operation, nth: int, moment: Moment) -> Cut:
    """Kill the operation at its n-th changing request, apply, and look."""
    with Site(shared) as site:
        operation.prepare(site, operation.strategy)
        start = site.mints(KEY)
        hold = site.gate.at(nth, moment)
        run = site.start(*operation.command)
        what = "" if site.until_reached(hold, run) else "(never came)"
        run.kill()
        if moment is Moment.LATE:
            hold.land(LANDS)
        else:
            hold.drop()
        wrong = list(_after(site, operation, moment))
        mints = site.mints(KEY) - start
        # A late mint, the next run's, and one more where the late one killed that.
        if mints > operation.mints + (2 if moment is Moment.LATE else 1):
            wrong.append(f"{mints} secrets were minted")
        return Cut(str(operation), nth, moment, what or hold.what, tuple(wrong), mints)


def _after(site: Site, operation: Operation, moment: Moment) -> Iterator[str]:
    """Yield what is wrong after the kill, after the next apply, and at rest."""
    landed = time.monotonic() + LANDS
    protected = operation.strategy == "alternating" and operation.name in {"rotate", "retire", "rename"}
    if protected and not site.sandbox.accepts(site.held(KEY) or ""):
        yield "right after the kill, the delivered secret is dead"
    after = operation.command if operation.command in {DELETES, FORGET} else ("apply", "--yes")
    run = site.run(*after)
    if run.code != 0:
        yield f"the next apply ends with {run.code}: {run.out} {run.err}"
    if operation.command == FORGET:
        _adopt_again(site)
    if moment is Moment.LATE:
        # A first write that lands when the next run has already found nothing to do is the work of the run after it.
        time.sleep(max(0.0, landed - time.monotonic()) + 0.2)
        site.settle_in()
    yield from breaches(site, KEY)
    if loud := noise(site):
        yield f"a second apply still changes {loud}"
    if protected and (seconds := site.outage(KEY)):
        yield f"the store held a dead secret for {seconds:.3f} s"


def cuts(
    shared: Servers,
    operations: Iterable[Operation],
    moments: Iterable[Moment] = tuple(Moment),
    only: frozenset[str] = frozenset(),
) -> list[Cut]:
    """Cut each operation at each of its effects (`only`: at those of a kind), at each moment, side by side."""
    chosen = tuple(moments)
    with ThreadPoolExecutor(LANES) as pool:
        known = list(pool.map(lambda one: (one, effects(shared, one)), operations))
        todo = [
            (one, nth, moment)
            for one, kinds in known
            for nth, kind in enumerate(kinds, 1)
            for moment in chosen
            if kind in only or not only
        ]
        return list(pool.map(lambda item: cut(shared, *item), todo))
