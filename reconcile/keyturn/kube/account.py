"""One account as the rounds see it: its desired state from the resources, and its statuses written back to them."""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from keyturn.core.errors import InputError, KeyturnError
from keyturn.core.limits import Allowed
from keyturn.core.model import Desired
from keyturn.core.reasons import Reason
from keyturn.core.results import KeyStatus, PoolState, Progress
from keyturn.core.rounds import Pace, Queue, Release
from keyturn.core.sanitize import plain
from keyturn.core.secret import Secret
from keyturn.engine.rounds import Rounds, Told
from keyturn.engine.runner import Runner
from keyturn.engine.signals import stop_requested
from keyturn.engine.threads import map_in_threads
from keyturn.kube.api import Api
from keyturn.kube.cache import Cache, View
from keyturn.kube.conditions import READY
from keyturn.kube.lease import Timing
from keyturn.kube.report import Reporter
from keyturn.kube.resources import RELEASE, Account, ClusterAccountResource
from keyturn.kube.tenants import Name, SecretFacts, Surroundings, secrets_of
from keyturn.kube.translate import Mistakes, Translated, id_of, translate
from keyturn.live.live_world import LiveWorld, open_world

SLICE = 1.0
"""Seconds between two looks at whether to stop."""
FACTS = timedelta(minutes=10)
"""How long the metadata of a Secret is believed at most, if Secrets are not watched; half as long at least."""
WORKERS = 8
"""Requests to the API server at once, for one account."""
_PART = re.compile(r"(rotations|deletes|removals|unproven)=([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Setting:
    """What all accounts of an operator share.

    `home`: its namespace, that of the records. `environment`: without a token of DigitalOcean. `address`: of the API
    server. `identity`: of this process, for Events and records.
    """

    environment: Mapping[str, str]
    home: str
    address: str
    identity: str
    now: Callable[[], datetime]
    say: Callable[[str], None]
    watches_secrets: bool = False
    pace: Pace = Pace()
    lease: Timing = Timing()


class KubeAccount:
    """Implements the port `engine.rounds.Account`. `run` is for a thread of its own; `changed` for any."""

    def __init__(
        self,
        owner: str,
        cache: Cache,
        api: Api,
        setting: Setting,
        held: Callable[[], bool],
        *,
        before: Queue | None = None,
    ) -> None:
        """`held` tells whether this process may go on with the account. `before`: the queue of its last thread."""
        self.owner = owner
        self._cache, self._api, self._setting, self._held = cache, api, setting, held
        self._woken = threading.Event()
        self._stop = threading.Event()
        self._again = False
        self._view = View(-1, None, {}, {})
        self._found: Translated | None = None
        self._mistakes: Mistakes = {}
        self._facts: dict[Name, tuple[datetime, SecretFacts | None]] = {}
        self._last: LiveWorld | None = None
        self._token: Secret | None = None
        self._reporter = Reporter(cache, api, owner, setting.identity, setting.say)
        self._rounds = self._begun()
        if before:
            # What a brake held back and what was counted stays so; all keys are looked at again.
            self._rounds.queue = replace(before, pace=self._rounds.queue.pace, hold=None)
            self._rounds.mark(tuple(map(id_of, cache.view(owner).keys.values())))

    # The port.
    def now(self) -> datetime:
        """Return the wall clock, in UTC."""
        return self._setting.now()

    def wait(self, until: datetime) -> None:
        """Wait in slices, by the wall clock; at most until something is to be written once more."""
        until = min((until, *self._reporter.retries))
        while not self.stopping():
            left = (until - self.now()).total_seconds()
            if left <= 0 or self._woken.wait(min(left, SLICE)):
                break
        self._woken.clear()

    def wake(self) -> None:
        """End a wait."""
        self._woken.set()

    def stopping(self) -> bool:
        """Tell whether to stop: the process ends, or another one has the account."""
        return self._stop.is_set() or not self._held()

    def desired(self) -> Desired:
        """Translate all keys of the account. Raises KeyturnError if the account cannot be used."""
        view = self._cache.view(self.owner)
        account = view.account
        self._reporter.begin(view, None)
        if account is None:
            self._found = None
            raise InputError(f"there is no account {self.owner}")
        self._use(account)
        around = Surroundings(view.namespaces, self._look_at_secrets(view))
        if self._found is None or view.version != self._view.version:
            setting, keys = self._setting, tuple(view.keys.values())
            self._found = translate(
                account, keys, around, setting.home, setting.environment, setting.address, self._mistakes
            )
        self._view = view
        self._reporter.begin(view, self._found)
        if self._found.desired is None:
            why = self._found.problem.why if self._found.problem else ""
            self._found = None
            raise InputError(f"the account {self.owner} cannot be used: {why}")
        return self._found.desired

    @contextmanager
    def open(self, desired: Desired) -> Iterator[Runner]:
        """Open a world beside the last one, which keeps its clients.

        A run that loses the account begins nothing more. What it wants may be old: an order that another process has
        carried out would look like a new one, and mint again. Records are compared and set, so it cannot overtake.
        """
        world = self._last = open_world(
            desired, self._setting.environment, Path("/"), beside=self._last, token=self._token
        )
        try:
            yield Runner(world, desired, self._hear, linger=False, stop=lambda: not self._held())
        finally:
            world.close_targets()

    def release(self) -> Release | None:
        """Return what the annotation of the account allows once; a text that says nothing allows nothing."""
        account = self._cache.account_now(self.owner)
        text = account.metadata.annotations.get(RELEASE, "") if account else ""
        if not text or account is None:
            return None
        words = map(_PART.fullmatch, text.replace(",", " ").split())
        found = {word[1]: int(word[2]) for word in words if word}
        allowed = Allowed(found.get("removals", 0), found.get("unproven", 0))
        token = f"{account.metadata.uid} {account.metadata.resource_version} {text}"
        return Release(token, found.get("rotations", 0), found.get("deletes", 0), allowed)

    def spend(self, release: Release) -> bool:
        """Take the annotation away from exactly the object that was seen."""
        account = self._cache.account_now(self.owner)
        if account is None or self.release() != release:
            return False
        version = account.metadata.resource_version
        body = {"metadata": {"resourceVersion": version, "annotations": {RELEASE: None}}}
        name = (account.metadata.namespace, account.metadata.name)
        written = self._api.patch(account.kind, name, body)
        if written is not None:
            self._cache.account(account.kind, name, written, ours=True)
            text = plain(account.metadata.annotations[RELEASE], 100)
            self._reporter.event(account, ("Normal", "Released", f"{text} is allowed once"), self.now())
        return written is not None

    def tell(self, told: Told) -> None:
        """Write the statuses that differ. Raises KeyturnError if one could not be written: then the round is missed.

        Of what a stop cut short nothing is told: the next operator looks again. So does one that took the Lease while
        a round went on: what this one found is old. If no one did, and this one gets it back, it looks again.
        """
        if not self._held():
            self._rounds.mark(tuple(one.key for one in told.keys))
            return
        if told.failed and (self._stop.is_set() or stop_requested() is not None):
            return
        told = replace(told, keys=tuple(one for one in told.keys if not _cut_short(one)))
        if again := self._reporter.tell(told):
            self._rounds.mark(again)

    # The thread.
    def run(self) -> None:
        """Do rounds until told to stop."""
        try:
            while not self.stopping():
                if self._again:
                    self._again = False
                    if self._rounds.queue.hold or self._limit() != self._rounds.queue.pace.adoptions:
                        self._rounds = self._begun()
                if late := self._reporter.late(self.now()):
                    self._rounds.mark(late)
                self.wait(self._rounds.step())
        finally:
            if self._last is not None:
                self._last.close()

    def stop(self) -> None:
        """End `run` after the round under way."""
        self._stop.set()
        self.wake()

    def changed(self, keys: tuple[str, ...], *, verify: bool = False, account: bool = False) -> None:
        """Hear that keys or the account changed."""
        self._again = self._again or account
        self._rounds.mark(keys, verify=verify)

    @property
    def shown(self) -> tuple[KeyStatus, ...]:
        """What was last found of each key."""
        return self._reporter.shown

    @property
    def pools(self) -> tuple[PoolState, ...]:
        """The pool of the account, if it has one."""
        return self._reporter.pools

    @property
    def queue(self) -> Queue:
        """What the rounds keep."""
        return self._rounds.queue

    @property
    def looked(self) -> datetime | None:
        """When the last round ended."""
        return self._reporter.looked

    @property
    def trouble(self) -> str:
        """Why the last round could not be done; empty if it was."""
        return self._reporter.trouble

    def _begun(self) -> Rounds:
        """Return rounds that begin: everything is looked at, and what was not well is verified."""
        pace = replace(self._setting.pace, adoptions=self._limit())
        rounds = Rounds(self, pace, seed=self.owner, by=self._setting.identity)
        keys = self._cache.view(self.owner).keys.values()
        ill = [key for key in keys for one in key.status.conditions if one.type == READY and one.status != "True"]
        if ill:
            rounds.mark(tuple(map(id_of, ill)), verify=True)
        return rounds

    def _limit(self) -> int:
        account = self._cache.account_now(self.owner)
        return account.spec.limits.rotations_per_round if account else Pace().adoptions

    def _use(self, account: Account) -> None:
        """Read the token; another one than before gets clients of its own. Raises KeyturnError."""
        ref = account.spec.token_secret_ref
        namespace = account.metadata.namespace
        if isinstance(account, ClusterAccountResource):
            namespace = account.spec.token_secret_ref.namespace
        token = self._api.token((namespace, ref.name), ref.key)
        if self._last is not None and token != self._token:
            self._last.close()
            self._last = None
        self._token = token

    def _look_at_secrets(self, view: View) -> dict[Name, SecretFacts | None]:
        """Return what is known of the Secrets that the keys name; one that cannot be looked at is left out."""
        wanted = sorted({name for key in view.keys.values() for name in secrets_of(key)})
        if self._setting.watches_secrets:
            return {name: self._cache.facts(name) for name in wanted}
        now = self.now()
        fresh = view.version != self._view.version
        changed = {
            name
            for one, key in view.keys.items()
            if fresh and self._view.keys.get(one) != key
            for name in secrets_of(key)
        }
        old = [name for name in wanted if name in changed or self._facts.get(name, (now, None))[0] <= now]

        def look(name: Name, _say: Callable[[str], None]) -> tuple[bool, SecretFacts | None]:
            try:
                return True, self._api.facts(name)
            except KeyturnError as error:
                self._setting.say(str(error))
                return False, None

        before = {name: self._facts.get(name) for name in old}
        for name, (known, facts) in zip(old, map_in_threads(old, look, lambda _: None, WORKERS), strict=True):
            self._facts.pop(name, None)
            if known:
                self._facts[name] = (now + FACTS * (1 - _spread(name) / 2), facts)
        self._facts = {name: self._facts[name] for name in wanted if name in self._facts}
        if any((kept and kept[1]) != (self._facts.get(name) or (now, None))[1] for name, kept in before.items()):
            self._found = None
        return {name: facts for name, (_, facts) in self._facts.items()}

    def _hear(self, line: Progress) -> None:
        """Nothing is told of steps: Events and statuses tell what they come to."""
        del line


def _cut_short(one: KeyStatus) -> bool:
    return any(end.code is Reason.INTERRUPTED for end in one.every)


def _spread(name: Name) -> float:
    """Return a number from 0 to 1 that follows from a name, so that not all are looked at together."""
    return zlib.crc32("/".join(name).encode()) / 2**32
