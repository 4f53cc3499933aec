"""What a round came to, written to the resources: a status only where it differs, an Event only at a transition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from keyturn.core.errors import KeyturnError
from keyturn.core.model import Desired
from keyturn.core.reasons import Reason
from keyturn.core.results import End, KeyStatus, PoolState
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
NOTHING = View(-1, None, {}, {})


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

        Raises KeyturnError if something could not be written.
        """
        self.looked, self.trouble = told.at, told.trouble
        self._known |= {one.key: one for one in told.keys}
        ids = {id_of(key) for key in self._view.keys.values()}
        self._known = {key: one for key, one in self._known.items() if key in ids}
        self.shown = tuple(self._known.values())
        self._count(told, ids)
        states = self._states(told)
        work = [(name, state) for name, state in states.items() if state is not None]
        done = map_in_threads(work, lambda one, _: self._write(*one, told.at), lambda _: None, WORKERS)
        self._account(told)
        again = tuple(id_of(self._view.keys[name]) for (name, _), well in zip(work, done, strict=True) if not well)
        return (*again, *self._finalize(told))

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
            return {
                name: refused_state(key, why, now)
                for name, key in keys.items()
                if key.status.observed_generation < 0 or not key.status.conditions
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

    def _write(self, name: Name, state: KeyState, at: datetime) -> bool:
        """Write the status of a key if it differs; False if the key changed meanwhile."""
        present = self._cache.key_now(name)
        if present is None or present.metadata.uid != self._view.keys[name].metadata.uid:
            return True
        body = patch(present.status, state)
        if body is None:
            return True
        written = self._api.patch(KEY, name, body, "status")
        if written is None:
            return self._cache.key_now(name) is None
        self._cache.key(name, written, ours=True)
        if told := events.of_key(present.status, state):
            self.event(present, told, at)
        return True

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

    def _finalize(self, told: Told) -> tuple[str, ...]:
        """Add our finalizer where an API key would be left behind, and remove it where nothing is left to do.

        Return the ids of keys that changed meanwhile.
        """
        gone = {one.key for one in told.keys if one.code is Reason.ABSENT}
        again = []
        for name in self._view.keys:
            key = self._cache.key_now(name)
            if key is None:
                continue
            ours, deleting = FINALIZER in key.metadata.finalizers, bool(key.metadata.deletion_timestamp)
            kept = key.spec.deletion_policy == "Delete" and not (deleting and id_of(key) in gone)
            wanted = kept and (ours or (bool(key.status.api_keys) and not deleting))
            if ours == wanted:
                continue
            others = [one for one in key.metadata.finalizers if one != FINALIZER]
            metadata = {
                "resourceVersion": key.metadata.resource_version,
                "finalizers": [*others, *([FINALIZER] if wanted else [])],
            }
            written = self._api.patch(KEY, name, {"metadata": metadata})
            if written is None:
                again.append(id_of(key))
            else:
                self._cache.key(name, written, ours=True)
        return tuple(again)

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


def _models(desired: Desired | None) -> Mapping[str, str]:
    return {key.id: key.smoke.model for key in desired.keys} if desired else {}
