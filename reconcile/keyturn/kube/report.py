"""What a round came to, written to the resources: a status only where it differs, an Event only at a transition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import IntEnum

from keyturn.core.errors import KeyturnError
from keyturn.core.model import Desired
from keyturn.core.reasons import Reason
from keyturn.core.results import End, KeyStatus, PoolState
from keyturn.core.rounds import pause
from keyturn.engine.rounds import Told
from keyturn.engine.threads import map_in_threads
from keyturn.kube import events
from keyturn.kube.api import Api
from keyturn.kube.cache import Cache, View
from keyturn.kube.conditions import STUCK
from keyturn.kube.events import Line
from keyturn.kube.resources import FINALIZER, KEY, Account, KeyResource, KeyState
from keyturn.kube.status import account_state, key_state, patch, refused_state, suspended_state
from keyturn.kube.tenants import Name
from keyturn.kube.translate import Translated, id_of

WORKERS = 8
"""Statuses that are written at once, for one account."""
LONGEST_PAUSE = timedelta(minutes=10)
"""Between two tries to write to a resource that the API server refuses."""
PATIENCE = timedelta(minutes=10)
"""How long the deletion of a key waits for an account that cannot be used, or for its token."""
NOTHING = View(-1, None, {}, {})


class _Write(IntEnum):
    """What a write to a key came to. Of two, the worse one counts."""

    DONE = 0
    OVERTAKEN = 1
    """The key changed meanwhile."""
    REFUSED = 2


class Reporter:
    """Writes what the rounds of one account tell. For one thread; what it shows may be read by any."""

    def __init__(self, cache: Cache, api: Api, owner: str, identity: str, say: Callable[[str], None]) -> None:
        """Keep the parts. Nothing is written yet."""
        self._cache, self._api, self._owner, self._identity, self._say = cache, api, owner, identity, say
        self._view = NOTHING
        self._found: Translated | None = None
        self._known: dict[str, KeyStatus] = {}
        self._stop: End | None = None
        self._stopped: frozenset[str] = frozenset()
        self._lost: datetime | None = None
        self._failures: dict[Name, int] = {}
        self._retries: dict[Name, datetime] = {}
        self.shown: tuple[KeyStatus, ...] = ()
        """What was last found of each key."""
        self.pools: tuple[PoolState, ...] = ()
        self.looked: datetime | None = None
        self.trouble = ""

    def begin(self, view: View, found: Translated | None) -> None:
        """Take note of what the next round is about; `found` is None if the account cannot be used."""
        self._view, self._found = view, found

    def tell(self, told: Told) -> tuple[str, ...]:
        """Write what differs. Return the ids of keys that have to be looked at again, since they changed meanwhile.

        A key to which nothing can be written is tried again after a pause, see `late`, and holds up no other one.
        Raises KeyturnError if the status of the account could not be written.
        """
        self.looked, self.trouble = told.at, told.trouble
        self._known |= {one.key: one for one in told.keys}
        ids = {id_of(key) for key in self._view.keys.values()}
        self._known = {key: one for key, one in self._known.items() if key in ids}
        self.shown = tuple(self._known.values())
        self._count(told, ids)
        self._lost = self._lost_since(told)
        states = self._states(told)
        work = [(name, state) for name, state in states.items() if state is not None]
        done = map_in_threads(work, lambda one, _: self._write(*one, told.at), lambda _: None, WORKERS)
        ends = dict(zip((name for name, _ in work), done, strict=True))
        for name, end in self._finalize(told).items():
            ends[name] = max(end, ends.get(name, end))
        again = self._sort_out(ends, told.at)
        self._account(told)
        return again

    def late(self, now: datetime) -> tuple[str, ...]:
        """Return the ids of keys to which nothing could be written, and whose pause is over; each once."""
        names = [name for name, at in self._retries.items() if at <= now]
        keys = [key for name in names if (key := self._cache.key_now(name))]
        for name in names:
            del self._retries[name]
        return tuple(map(id_of, keys))

    @property
    def retries(self) -> tuple[datetime, ...]:
        """When `late` has something."""
        return tuple(self._retries.values())

    def event(self, about: KeyResource | Account, told: Line, at: datetime) -> None:
        """Make an Event, and say the same. What cannot be made is said only."""
        kind = about.kind if not isinstance(about, KeyResource) else KEY
        whole = events.event(about, kind, told, at, self._identity)
        name = "/".join(filter(None, (about.metadata.namespace, about.metadata.name)))
        self._say(f"{kind} {name}: {told[1]}: {told[2]}")
        try:
            self._api.event(about.metadata.namespace or events.CLUSTER_EVENTS, whole)
        except KeyturnError as error:
            self._say(str(error))

    def _states(self, told: Told) -> dict[Name, KeyState | None]:
        """Return the status of each key of which something is known."""
        now, found, keys = told.at, self._found, self._view.keys
        if told.failed:
            code = Reason.RUN_STOPPED if told.failed.condition in STUCK else told.failed.code
            why = End(code, f"nothing is done with the account {self._owner}: {told.failed.why}")
            waits = replace(why, why=f"the deletion waits, {PATIENCE.seconds // 60} minutes at most: {why.why}")
            return {
                name: refused_state(key, waits if self._lost and _leaves(key) else why, now)
                for name, key in keys.items()
                if key.status.observed_generation < 0 or not key.status.conditions or _leaves(key)
            }
        if found is None:
            return {}
        shown = {one.key: one for one in told.keys}
        models = _models(found.desired)
        states: dict[Name, KeyState | None] = {
            name: key_state(keys[name], shown[one], now, model=models.get(one, ""))
            for name, one in found.ids.items()
            if one in shown
        }
        states |= {name: refused_state(keys[name], why, now) for name, why in found.refused.items()}
        states |= {name: suspended_state(keys[name], now) for name in found.suspended}
        return states

    def _sort_out(self, ends: Mapping[Name, _Write], now: datetime) -> tuple[str, ...]:
        """Note which keys are tried again and when; return the ids of those that are at once.

        They changed meanwhile, which may well be over; who changes a key all the time makes it wait.
        """
        again = []
        for name in {*self._failures, *ends}:
            if ends.get(name) is _Write.OVERTAKEN and name not in self._failures:
                again.append(name)
                self._failures[name] = 0
            elif ends.get(name, _Write.DONE) is not _Write.DONE:
                self._failures[name] = self._failures.get(name, 0) + 1
                self._retries[name] = now + pause(self._failures[name], LONGEST_PAUSE)
            elif name in ends or name not in self._view.keys:
                self._failures.pop(name, None)
                self._retries.pop(name, None)
        return tuple(id_of(self._view.keys[name]) for name in again)

    def _write(self, name: Name, state: KeyState, at: datetime) -> _Write:
        """Write the status of a key if it differs."""
        present = self._cache.key_now(name)
        if present is None or present.metadata.uid != self._view.keys[name].metadata.uid:
            return _Write.DONE
        body = patch(present.status, state)
        if body is None:
            return _Write.DONE
        # One of the same name that was made since takes nothing. A uid says nothing here: the API server ignores it.
        at_version = {"metadata": {"resourceVersion": present.metadata.resource_version}}
        end = self._patch(name, {**at_version, **body}, "status")
        if end is _Write.DONE and (told := events.of_key(present.status, state)):
            self.event(present, told, at)
        return end

    def _patch(self, name: Name, body: Mapping[str, object], part: str = "") -> _Write:
        """Write to a key."""
        try:
            written = self._api.patch(KEY, name, body, part)
        except KeyturnError as error:
            self._say(str(error))
            return _Write.REFUSED
        if written is None:
            return _Write.DONE if self._cache.key_now(name) is None else _Write.OVERTAKEN
        self._cache.key(name, written, ours=True)
        return _Write.DONE

    def _account(self, told: Told) -> None:
        """Write the status of the account if it differs."""
        account = self._cache.account_now(self._owner)
        if account is None:
            return
        ends = (*([told.failed] if told.failed else []), *([self._stop] if self._stop else []), *told.brakes)
        spares = self.pools[0] if self.pools else None
        state = account_state(account, ends, len(self._view.keys), told.at, spares)
        body = patch(account.status, state)
        name = (account.metadata.namespace, account.metadata.name)
        if body is None or (written := self._api.patch(account.kind, name, body, "status")) is None:
            return
        self._cache.account(account.kind, name, written, ours=True)
        if line := events.of_conditions(account.status.conditions, state.conditions):
            self.event(account, line, told.at)

    def _lost_since(self, told: Told) -> datetime | None:
        """Return since when the account cannot be used, or its token cannot be read; None if that may be over soon.

        A server that gives no answer is another matter, which neither begins it nor ends it.
        """
        if told.failed is None:
            return None
        lost = told.failed.condition in STUCK or (self._found is None and told.failed.code is Reason.FAILED)
        return self._lost or (told.at if lost else None)

    def _is_over(self, key: KeyResource, now: datetime) -> bool:
        """Tell whether the deletion of a key waits no longer for an account that cannot be used."""
        if self._lost is None or not key.metadata.deletion_timestamp:
            return False
        return now - max(self._lost, datetime.fromisoformat(key.metadata.deletion_timestamp)) >= PATIENCE

    def _finalize(self, told: Told) -> dict[Name, _Write]:
        """Add our finalizer where an API key would be left behind, and remove it where nothing is left to do.

        Return what the writes came to.
        """
        gone = {one.key for one in told.keys if one.code is Reason.ABSENT}
        ends: dict[Name, _Write] = {}
        for name in self._view.keys:
            key = self._cache.key_now(name)
            if key is None:
                continue
            ours, deleting = FINALIZER in key.metadata.finalizers, bool(key.metadata.deletion_timestamp)
            over = self._is_over(key, told.at)
            kept = key.spec.deletion_policy == "Delete" and not over and not (deleting and id_of(key) in gone)
            wanted = kept and (ours or (bool(key.status.api_keys) and not deleting))
            if ours == wanted:
                continue
            others = [one for one in key.metadata.finalizers if one != FINALIZER]
            metadata = {
                "resourceVersion": key.metadata.resource_version,
                "finalizers": [*others, *([FINALIZER] if wanted else [])],
            }
            ends[name] = self._patch(name, {"metadata": metadata})
            if over and ends[name] is _Write.DONE:
                self.event(key, events.of_left(key, told.trouble), told.at)
        return ends

    def _count(self, told: Told, ids: Collection[str]) -> None:
        """Note what is true of the whole account, since a round may be about a few of its keys.

        That is how many spares are left and how many keys want one, and why a round stopped: until all of its keys were
        looked at again.
        """
        wanted = sum(len(one.make) for one in self._known.values())
        looked = frozenset(one.key for one in told.keys)
        if told.stop or not self._stopped.intersection(ids) - looked:
            self._stop, self._stopped = told.stop, looked if told.stop else frozenset()
        if told.pools:
            first = told.pools[0]
            self.pools = (PoolState(first.prefix, first.left, first.low, wanted),)
        account = self._view.account
        if account is not None and account.spec.pool is None:
            self.pools = ()


def _leaves(key: KeyResource) -> bool:
    """Tell whether the deletion of a key waits for us."""
    return bool(key.metadata.deletion_timestamp) and FINALIZER in key.metadata.finalizers


def _models(desired: Desired | None) -> Mapping[str, str]:
    return {key.id: key.smoke.model for key in desired.keys} if desired else {}
