"""The operator: watches, one Lease per account, and a thread of rounds for each account whose Lease is held."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from keyturn.core.errors import InputError, KeyturnError
from keyturn.core.results import KeyStatus, PoolState
from keyturn.core.rounds import Pace
from keyturn.engine.ended import ended
from keyturn.engine.rounds import Told
from keyturn.engine.threads import map_in_threads
from keyturn.kube.account import KubeAccount, Setting
from keyturn.kube.api import METADATA, Api, collection
from keyturn.kube.cache import Cache, Changed
from keyturn.kube.lease import Lease
from keyturn.kube.report import Reporter
from keyturn.kube.resources import ACCOUNT, CLUSTER_ACCOUNT, KEY
from keyturn.kube.watch import Changed as Hear
from keyturn.kube.watch import Kind, Watch
from keyturn.live.digitalocean.budget import LONGEST_WAIT
from keyturn.targets.kubernetes_login import Login
from keyturn.targets.kubernetes_server import Server

DEAF = 300.0
"""Seconds without a word from the API server after which the operator is failing: it sends one each minute."""
TICK = 0.25
"""Seconds between two looks at which Leases are held."""
PATIENCE = 390.0
"""Seconds for which a stop waits for what is under way: a request, its propagation and the deliveries."""
AGAIN = 5.0
"""Seconds before an account is begun again whose thread ended."""
STUCK = 30.0
"""Seconds without any answered or failed try for a Lease, or of a held account without a thread: the operator fails."""
HUNG = Pace().resync.total_seconds() + PATIENCE + LONGEST_WAIT
"""Seconds after the last round at which an account hangs: none is later or takes longer, even at the rate limit."""
GATHER, REFUSE = 2.0, 60.0
"""Seconds between two looks at changed keys whose account does not exist, and at all such keys."""
RENEWERS = 8
"""Leases that are renewed at once."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The API server: what asks it, what the Leases ask, the login, and the origin for watches.

    The Leases have a client of their own, with a deadline that is shorter than their time.
    """

    server: Server
    leases: Server
    login: Login
    origin: str


@dataclass(slots=True)
class _Work:
    """An account that is wanted: its Lease, and the thread that works on it."""

    lease: Lease
    account: KubeAccount | None = None
    thread: threading.Thread | None = None
    ended: float = float("-inf")
    began: datetime | None = None
    fine: float = field(default_factory=time.monotonic)
    """When it last had a thread or needed none."""

    @property
    def busy(self) -> bool:
        """Whether a thread works on it."""
        return self.thread is not None and self.thread.is_alive()


@dataclass(frozen=True, slots=True)
class Seen:
    """What is shown of the operator. `accounts`: those that it holds, and why the last round of each failed."""

    well: bool
    ready: bool
    accounts: Mapping[str, str]
    keys: tuple[KeyStatus, ...]
    pools: tuple[PoolState, ...]
    looked: datetime | None


class Operator:
    """`run` is for the main thread; all else may be called by any."""

    def __init__(
        self,
        connection: Connection,
        setting: Setting,
        *,
        only: Collection[str] = (),
        stopping: Callable[[], bool],
        uptime: Callable[[], float],
    ) -> None:
        """`only`: names of accounts, NAMESPACE/NAME for one of a namespace; none means all."""
        self._connection, self._setting, self._only = connection, setting, only
        self._stopping, self._uptime = stopping, uptime
        self._cache = Cache(self._changed)
        self._api = Api(connection.server)
        self._lock = threading.Lock()
        self._works: dict[str, _Work] = {}
        self._marked: set[str] = set()
        self._missing = self._lease(missing_lease_name(only))
        self._ending = threading.Event()
        self._watches = {kind.name: self._watch(kind, hear) for kind, hear in self._kinds()}
        self._began = time.monotonic()
        self._renewed = float("inf")
        self._told: dict[str, str] = {}

    def run(self) -> None:
        """Work until `stopping`; then finish what is under way, and give the Leases up."""
        watches = [
            threading.Thread(target=watch.run, name=f"watch-{name}", daemon=True)
            for name, watch in self._watches.items()
        ]
        workers = [
            threading.Thread(target=self._renew, name="leases", daemon=True),
            threading.Thread(target=self._refuse, name="missing-accounts", daemon=True),
        ]
        for thread in watches:
            thread.start()
        try:
            while not self._stopping() and not self._listed():
                self._tell_troubles()
                self._ending.wait(TICK)
            self._renewed = time.monotonic()
            for thread in workers:
                thread.start()
            while not self._stopping():
                self._tell_troubles()
                self._look()
                self._ending.wait(TICK)
        finally:
            self._end()
            self._ending.set()
            for watch in self._watches.values():
                watch.stop()
            for thread in (*watches, *(one for one in workers if one.ident)):
                thread.join(5)
            self._missing.release()

    def seen(self) -> Seen:
        """Return how it is, and what it last found."""
        with self._lock:
            works = {owner: work for owner, work in self._works.items() if work.account and work.busy}
        accounts = [work.account for work in works.values() if work.account]
        looked = [one.looked for one in accounts]
        shown = min((at for at in looked if at), default=self._setting.now() if not accounts else None)
        return Seen(
            well=not self._ill(),
            ready=self._listed(),
            accounts={one.owner: one.trouble for one in accounts},
            keys=tuple(key for one in accounts for key in one.shown),
            pools=tuple(pool for one in accounts for pool in one.pools),
            looked=shown,
        )

    def _ill(self) -> list[str]:
        """Return what only a new process ends."""
        now, found = time.monotonic(), []
        if silent := [name for name, watch in self._watches.items() if now - self._heard(watch) > DEAF]:
            found.append(f"no word of {', '.join(silent)} for {DEAF:.0f} s")
        if now - self._renewed > STUCK:
            found.append(f"no Lease was tried for {STUCK:.0f} s")
        with self._lock:
            works = {owner: work for owner, work in self._works.items() if work.lease.held()}
        for owner, work in works.items():
            if not work.busy and now - work.fine > STUCK:
                found.append(f"account {owner} has no thread")
            elif work.busy and self._late(work) > HUNG:
                found.append(f"account {owner} ended no round for {HUNG / 60:.0f} minutes")
        return found

    def _late(self, work: _Work) -> float:
        """Return for how many seconds a working account ended no round."""
        moments = [at for at in (work.began, work.account and work.account.looked) if at]
        return (self._setting.now() - max(moments)).total_seconds() if moments else 0.0

    def _kinds(self) -> list[tuple[Kind, Hear]]:
        cache = self._cache
        found: list[tuple[Kind, Hear]] = [
            (Kind("modelaccesskeys", collection(KEY), {}), cache.key),
            (Kind("keyturnaccounts", collection(ACCOUNT), {}), partial(cache.account, ACCOUNT)),
            (Kind("clusterkeyturnaccounts", collection(CLUSTER_ACCOUNT), {}), partial(cache.account, CLUSTER_ACCOUNT)),
            (Kind("namespaces", "/api/v1/namespaces", {}, METADATA), cache.namespace),
        ]
        if self._setting.watches_secrets:
            found.append((Kind("secrets", "/api/v1/secrets", {}, METADATA), cache.secret))
        return found

    def _watch(self, kind: Kind, hear: Hear) -> Watch:
        return Watch(self._connection.server, self._connection.login, self._connection.origin, kind, hear)

    def _heard(self, watch: Watch) -> float:
        return max(watch.heard, self._began)

    def _listed(self) -> bool:
        return all(watch.listed.is_set() for watch in self._watches.values())

    def _changed(self, what: Changed) -> None:
        """Pass a change on to the rounds of its account, if they are ours."""
        with self._lock:
            work = self._works.get(what.owner)
            account = work.account if work and work.busy else None
            self._marked |= set() if account else {what.owner}
        if account:
            account.changed(what.keys, verify=what.verify, account=what.account)

    def _look(self) -> None:
        """Begin the accounts whose Lease is ours; those whose Lease is lost end by themselves."""
        wanted, _ = self._accounts()
        with self._lock:
            for owner in wanted - set(self._works):
                self._works[owner] = _Work(self._lease(lease_name(owner)))
            works = dict(self._works)
        for owner, work in works.items():
            if owner not in wanted:
                self._drop(owner, work)
            elif work.busy or not work.lease.held():
                work.fine = time.monotonic()
            elif time.monotonic() - work.ended > AGAIN:
                self._begin(owner, work)

    def _begin(self, owner: str, work: _Work) -> None:
        self._setting.say(f"account {owner}: begins, as {self._setting.identity}")
        before = work.account.queue if work.account else None
        account = KubeAccount(owner, self._cache, self._api, self._setting, work.lease.held, before=before)

        def run() -> None:
            try:
                account.run()
            except KeyturnError as error:
                self._setting.say(f"account {owner}: {error}")
            except Exception as error:  # noqa: BLE001 - its text may hold a secret; the account begins again
                self._setting.say(f"account {owner}: keyturn failed with {type(error).__name__}. This is a bug.")
            finally:
                work.ended = time.monotonic() if work.lease.held() else float("-inf")

        thread = threading.Thread(target=run, name=f"account-{owner}", daemon=True)
        with self._lock:
            try:
                thread.start()
            except RuntimeError:  # the system gives no more threads
                work.ended = time.monotonic()
                self._setting.say(f"account {owner}: no thread can be started")
                return
            work.account, work.thread, work.began = account, thread, self._setting.now()
        # What changed between the two was told to nobody.
        account.changed((), account=True)

    def _drop(self, owner: str, work: _Work) -> None:
        """Give up an account that is gone, when nothing is under way."""
        if work.account and work.busy:
            work.account.stop()
            return
        work.lease.release()
        with self._lock:
            self._works.pop(owner, None)

    def _accounts(self) -> tuple[set[str], set[str]]:
        """Return the accounts that there are, and those that are only named by keys."""
        named = {one for one in self._cache.owners() if not self._only or one in self._only}
        there = {one for one in named if self._cache.account_now(one)}
        return there, named - there

    def _refuse(self) -> None:
        """Tell keys whose account does not exist that it does not, until the operator has ended.

        All such accounts share one Lease and this thread: who may make a key could name thousands.
        """
        looked = float("-inf")
        reporters: dict[str, Reporter] = {}  # each knows since when its account is missing
        while not self._ending.wait(GATHER):
            with self._lock:
                marked, self._marked = self._marked, set()
            if not self._missing.held():
                looked = float("-inf")
                reporters.clear()
                continue
            _, missing = self._accounts()
            reporters = {owner: one for owner, one in reporters.items() if owner in missing}
            if time.monotonic() - looked > REFUSE:
                looked, marked = time.monotonic(), missing
            for owner in marked & missing:
                if self._ending.is_set():
                    return
                if owner not in reporters:
                    setting = self._setting
                    reporters[owner] = Reporter(self._cache, self._api, owner, setting.identity, setting.say)
                self._tell_missing(owner, reporters[owner])

    def _tell_missing(self, owner: str, reporter: Reporter) -> None:
        view, setting = self._cache.view(owner), self._setting
        if view.account is not None:
            return
        reporter.begin(view, None)
        failed, now = ended(InputError(f"there is no account {owner}")), setting.now()
        try:
            again = reporter.tell(Told(now, now, trouble=failed.why, failed=failed))
        except Exception as error:  # noqa: BLE001 - its text may hold anything; the other accounts go on
            why = str(error) if isinstance(error, KeyturnError) else f"keyturn failed with {type(error).__name__}"
            setting.say(f"account {owner}: {why}")
            return
        if again:
            with self._lock:
                self._marked.add(owner)

    def _lease(self, name: str) -> Lease:
        place = (self._setting.home, name)
        identity, now = self._setting.identity, self._setting.now
        timing = self._setting.lease
        return Lease(self._connection.leases, place, identity, uptime=self._uptime, now=now, timing=timing)

    def _renew(self) -> None:
        """Take and renew Leases until the operator has ended."""
        pause = 0.0
        while not self._ending.wait(pause):
            with self._lock:
                leases = [work.lease for work in self._works.values()]
            leases += [self._missing] if self._accounts()[1] else []
            # Those that are ours come first: they lapse.
            leases.sort(key=Lease.held, reverse=True)
            try:
                map_in_threads(leases, lambda lease, _: self._turn(lease), lambda _: None, RENEWERS)
            except RuntimeError:  # the system gives no more threads
                for lease in leases:
                    self._turn(lease)
            pause = self._setting.lease.retry if leases else TICK
            self._renewed = time.monotonic()

    def _turn(self, lease: Lease) -> None:
        lease.turn()
        self._renewed = time.monotonic()

    def _end(self) -> None:
        """Wait for what is under way, with a bound, and give up each Lease as soon as its thread has ended."""
        deadline = time.monotonic() + PATIENCE
        with self._lock:
            works = list(self._works.values())
        for work in works:
            if work.account:
                work.account.stop()
        while works:
            busy = [work.busy for work in works]
            for work in (one for one, at_work in zip(works, busy, strict=True) if not at_work):
                work.lease.release()
            works = [one for one, at_work in zip(works, busy, strict=True) if at_work]
            if not works or time.monotonic() > deadline:
                return
            self._ending.wait(TICK)

    def _troubles(self) -> dict[str, str]:
        found = {f"watch {name}": watch.trouble for name, watch in self._watches.items() if watch.trouble}
        with self._lock:
            found |= {f"lease {one}": work.lease.trouble for one, work in self._works.items() if work.lease.trouble}
        missing = set(self._only) - self._accounts()[0] if self._listed() else set()
        found |= {f"account {one}": "there is none" for one in missing}
        return found | {f"{kind} {'/'.join(filter(None, one))}": why for (kind, one), why in self._unread()}

    def _unread(self) -> list[tuple[tuple[str, tuple[str, str]], str]]:
        return list(self._cache.unread.items())

    def _tell_troubles(self) -> None:
        """Say what went wrong once, and again when it is something else."""
        now = self._troubles() | dict.fromkeys(self._ill(), "only a new process ends this")
        for what, why in now.items():
            if self._told.get(what) != why:
                self._setting.say(f"{what}: {why}")
        self._told = now


def lease_name(owner: str) -> str:
    """Return the name of an account's Lease; that of a namespaced account cannot be that of another one."""
    namespace, _, name = owner.rpartition("/")
    return f"keyturn-namespaced-account-{namespace}.{name}" if namespace else f"keyturn-account-{name}"


def missing_lease_name(only: Collection[str]) -> str:
    """Return the name of the Lease for accounts that do not exist; operators for other accounts have another one."""
    digest = hashlib.sha256("\n".join(sorted(only)).encode()).hexdigest()[:12]
    return f"keyturn-missing-accounts{f'-{digest}' if only else ''}"
