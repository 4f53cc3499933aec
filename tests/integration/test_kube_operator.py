"""When the operator is healthy and ready, and how it says what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.core.reasons import Reason
from keyturn.core.results import End
from keyturn.kube.account import KubeAccount, Setting
from keyturn.kube.api import Api
from keyturn.kube.cache import Cache
from keyturn.kube.operator import AGAIN, DEAF, HUNG, STUCK, Connection, Operator, lease_name, missing_lease_name
from keyturn.kube.resources import CLUSTER_ACCOUNT
from keyturn.kube.tenants import Name
from tests.support.custom_resources import cluster_account_object, key_object
from tests.support.leases import LOGIN, LeaseServer
from tests.support.process import wait_until

ADDRESS = "https://127.0.0.1:9"
NOW = datetime(2026, 11, 29, tzinfo=UTC)


def operator_of(
    server: LeaseServer,
    only: Collection[str] = (),
    stopping: Callable[[], bool] = lambda: True,
    say: Callable[[str], None] = lambda _: None,
) -> Operator:
    """Return one that was not started."""
    setting = Setting({}, "keyturn-system", ADDRESS, "pod-a", lambda: NOW, say)
    connection = Connection(server, server, LOGIN, ADDRESS)
    return Operator(connection, setting, only=only, stopping=stopping, uptime=time.monotonic)


def add(operator: Operator, *names: str) -> None:
    """Let a watch tell of accounts."""
    for name in names:
        whole = cluster_account_object()
        whole["metadata"] |= {"name": name, "uid": name, "resourceVersion": "1"}
        operator._cache.account(CLUSTER_ACCOUNT, ("", name), whole)


class Written(Api):
    """Takes statuses of keys, and lets the watch tell of them."""

    def __init__(self, cache: Cache) -> None:
        self.cache, self.told, self.patches = cache, dict[str, str](), 0

    def patch(self, kind: str, name: Name, body: Mapping[str, Any], part: str = "") -> Mapping[str, object]:
        """Note what `Ready` says."""
        (ready,) = (one for one in body["status"]["conditions"] if one["type"] == "Ready")
        self.told[name[1]] = ready["message"]
        self.patches += 1
        key = self.cache.key_now(name)
        assert key
        found = key.model_dump(by_alias=True)
        found["metadata"]["resourceVersion"] = str(int(key.metadata.resource_version) + 1000)
        return {**found, "status": body["status"]}

    def event(self, namespace: str, body: Mapping[str, object]) -> None:
        """Take it."""


@contextmanager
def running(server: LeaseServer, *names: str, say: Callable[[str], None] = lambda _: None) -> Iterator[Operator]:
    """Run one with these accounts, whose watches say nothing."""
    stop = threading.Event()
    operator = operator_of(server, stopping=stop.is_set, say=say)
    for watch in operator._watches.values():
        watch.run = watch.listed.set  # type: ignore[method-assign]
    add(operator, *names)
    thread = threading.Thread(target=operator.run, daemon=True)
    thread.start()
    try:
        yield operator
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts wait until they are stopped, and do nothing."""

    def run(self: KubeAccount) -> None:
        while not self.stopping():
            self.wait(self.now() + timedelta(hours=1))

    monkeypatch.setattr(KubeAccount, "run", run)


@pytest.fixture
def said() -> list[str]:
    """What an operator said."""
    return []


@pytest.fixture
def operator(said: list[str]) -> Operator:
    """One that was never started."""
    return operator_of(LeaseServer(), {"team"}, say=said.append)


def test_a_watch_that_was_not_heard_of_for_long_is_no_health(operator: Operator, said: list[str]) -> None:
    """At a start it has as much time; one silent watch is enough."""
    assert operator.seen().well
    for watch in operator._watches.values():
        watch.heard = time.monotonic()
    operator._began -= DEAF + 1
    assert operator.seen().well
    operator._watches["namespaces"].heard -= DEAF + 1
    assert not operator.seen().well
    operator._tell_troubles()
    assert said == ["no word of namespaces for 300 s: only a new process ends this"]


def test_it_is_ready_once_everything_is_listed(operator: Operator, said: list[str]) -> None:
    """And then it says which account there is not."""
    first, *others = operator._watches.values()
    for watch in others:
        watch.listed.set()
    assert not operator.seen().ready
    operator._tell_troubles()
    assert said == []
    first.listed.set()
    assert operator.seen().ready
    operator._tell_troubles()
    assert said == ["account team: there is none"]


def test_it_ends_though_it_never_began(operator: Operator) -> None:
    """A signal may come at once."""
    began = time.monotonic()
    operator.run()
    assert time.monotonic() - began < 10


@pytest.mark.usefixtures("idle")
def test_accounts_that_do_not_exist_cost_one_lease_and_no_thread() -> None:
    """Their keys are told once, and an account that comes is worked on at once."""
    server = LeaseServer()
    names = [f"none-{number}" for number in range(20)]
    with running(server) as operator:
        api = Written(operator._cache)
        operator._api = api
        for number, name in enumerate(names):
            whole = key_object(name, accountRef={"kind": CLUSTER_ACCOUNT, "name": name})
            whole["metadata"] |= {"uid": name, "resourceVersion": str(number + 1)}
            operator._cache.key(("payments", name), whole)
        wait_until(lambda: len(api.told) == 20, "each key is told", seconds=15)
        assert all(f"there is no account {name}" in text for name, text in api.told.items())
        assert set(server.leases) == {missing_lease_name(())}
        assert not [one.name for one in threading.enumerate() if one.name.startswith("account-")]
        add(operator, names[0])
        wait_until(lambda: set(operator.seen().accounts) == {names[0]}, "the account that came", seconds=10)
        assert operator.seen().well
    assert api.patches == 20
    assert server.holder(missing_lease_name(())) == ""


def test_keys_without_an_account_are_told_by_one_replica_only() -> None:
    """By who holds the Lease for that; operators for other accounts have Leases of their own."""
    server = LeaseServer()
    other = operator_of(server)
    other._missing._identity = "pod-b"
    other._missing.turn()
    with running(server) as operator:
        api = Written(operator._cache)
        operator._api = api
        whole = key_object("bot", accountRef={"kind": CLUSTER_ACCOUNT, "name": "none"})
        whole["metadata"] |= {"uid": "bot", "resourceVersion": "1"}
        operator._cache.key(("payments", "bot"), whole)
        wait_until(lambda: server.asked.count(missing_lease_name(())) > 4, "three tries", seconds=20)
        assert api.patches == 0
        other._missing.release()
        wait_until(lambda: api.patches == 1, "the other one is gone", seconds=20)
    names = [missing_lease_name(only) for only in ((), ("a", "b"), ("b", "a"), ("a",))]
    assert len(set(names)) == 3
    assert names[1] == names[2]


@pytest.mark.usefixtures("idle")
def test_a_lease_that_fails_stops_no_other_one(said: list[str]) -> None:
    """Whatever the failure is, it is told, and the operator is well."""

    def broken(verb: str, name: str) -> None:
        if name == lease_name("ill"):
            raise ValueError

    with running(LeaseServer(broken), "ill", "team", say=said.append) as operator:
        wait_until(lambda: "team" in operator.seen().accounts, "the other account", seconds=10)
        first = operator._renewed
        wait_until(lambda: operator._renewed > first + 1, "the next pass", seconds=10)
        assert operator.seen().well
        assert said.count("lease ill: keyturn failed with ValueError") == 1
        assert set(operator.seen().accounts) == {"team"}


@pytest.mark.usefixtures("idle")
def test_what_only_a_new_process_mends_is_no_health(said: list[str]) -> None:
    """No Lease is tried, a held account has no thread, or it has ended no round for very long."""
    ends = "only a new process ends this"
    with running(LeaseServer(), "team", say=said.append) as operator:
        wait_until(lambda: "team" in operator.seen().accounts, "the account", seconds=10)
        work = operator._works["team"]
        assert operator.seen().well
        work.began = NOW - timedelta(seconds=HUNG + 1)
        assert not operator.seen().well
        wait_until(lambda: f"account team ended no round for 92 minutes: {ends}" in said, "the line", seconds=10)
        assert work.account
        work.account._reporter.looked = NOW
        assert operator.seen().well
    operator._renewed = time.monotonic() - STUCK - 1
    assert not operator.seen().well
    operator._tell_troubles()
    assert said[-1] == f"no Lease was tried for 30 s: {ends}"


def test_an_account_without_a_thread_is_no_health_after_a_while(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """It is begun again as soon as the system gives a thread."""
    operator, threads = operator_of(LeaseServer(), say=said.append), threading.Thread

    def none(thread: threading.Thread) -> None:
        raise RuntimeError

    add(operator, "team")
    operator._look()
    work = operator._works["team"]
    work.lease.turn()
    monkeypatch.setattr(threads, "start", none)
    operator._look()
    assert not work.busy
    assert operator.seen().well
    work.fine -= STUCK + 1
    assert not operator.seen().well
    operator._tell_troubles()
    assert said[-1] == "account team has no thread: only a new process ends this"
    monkeypatch.undo()
    work.ended -= AGAIN
    monkeypatch.setattr(KubeAccount, "run", lambda self: self._stop.wait(10))
    operator._look()
    operator._look()
    assert operator.seen().well
    operator._end()


@pytest.mark.usefixtures("idle")
def test_a_lost_lease_loosens_no_brake() -> None:
    """What was held back and counted is so for the next thread, too; and it looks at all keys."""
    with running(LeaseServer(), "team") as operator:
        whole = key_object()
        whole["metadata"] |= {"uid": "bot", "resourceVersion": "1"}
        operator._cache.key(("payments", "bot"), whole)
        wait_until(lambda: "team" in operator.seen().accounts, "the account", seconds=10)
        work = operator._works["team"]
        first = work.account
        assert first
        held = {"payments.bot": End(Reason.TOO_MANY_ROTATIONS, "20 of 20")}
        first._rounds.queue = replace(first.queue, held=held, rotated={"payments": 20}, seen=True, hold=NOW)
        first.stop()
        assert work.thread
        work.thread.join(10)
        work.ended = float("-inf")
        wait_until(lambda: work.account is not first, "the next thread", seconds=20)
        assert work.account
        assert work.account.queue.held == held
        assert work.account.queue.rotated == {"payments": 20}
        assert work.account.queue.hold is None
        assert (("payments.bot",), False) in work.account._rounds._marks


@pytest.mark.usefixtures("idle")
def test_leases_that_are_held_are_renewed_first() -> None:
    """Many new accounts cost no other one its Lease."""
    server = LeaseServer()
    operator = operator_of(server)
    add(operator, *(f"new-{number}" for number in range(50)), "team")
    operator._look()
    operator._works["team"].lease.turn()
    operator._works = dict(sorted(operator._works.items()))
    server.asked.clear()
    threading.Timer(0.5, operator._ending.set).start()
    operator._renew()
    assert lease_name("team") in server.asked[:8]
    assert len(server.leases) == 51


@pytest.mark.usefixtures("idle")
def test_a_stop_gives_each_lease_up_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of an account which has ended, while another one still works."""
    go_on, server = threading.Event(), LeaseServer()
    idle = KubeAccount.run

    def run(self: KubeAccount) -> None:
        idle(self)
        if self.owner == "slow":
            go_on.wait(10)

    monkeypatch.setattr(KubeAccount, "run", run)
    with running(server, "fast", "slow") as operator:
        wait_until(lambda: len(operator.seen().accounts) == 2, "both accounts", seconds=10)
        operator._stopping = lambda: True
        wait_until(lambda: server.holder(lease_name("fast")) == "", "the end of one", seconds=10)
        renewed = len(server.asked)
        wait_until(lambda: len(server.asked) > renewed + 2, "two more renewals", seconds=10)
        assert server.holder(lease_name("slow")) == "pod-a"
        assert server.holder(lease_name("fast")) == ""
        go_on.set()
    assert server.holder(lease_name("slow")) == ""


def test_a_deletion_does_not_wait_for_ever_for_an_account_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is counted over all looks, not begun again by each."""
    monkeypatch.setattr("keyturn.kube.operator.REFUSE", 0.0)
    monkeypatch.setattr("keyturn.kube.operator.GATHER", 0.05)
    now, released = [NOW], list[object]()

    class Finalized(Written):
        def patch(self, kind: str, name: Name, body: Mapping[str, Any], part: str = "") -> Mapping[str, object]:
            if part == "status":
                return super().patch(kind, name, body, part)
            released.append(body["metadata"]["finalizers"])
            key = self.cache.key_now(name)
            assert key
            found = key.model_dump(by_alias=True)
            found["metadata"] |= {"finalizers": [], "resourceVersion": "9000"}
            return found

    with running(LeaseServer()) as operator:
        operator._setting = replace(operator._setting, now=lambda: now[0])
        api = operator._api = Finalized(operator._cache)
        ref = {"kind": CLUSTER_ACCOUNT, "name": "none"}
        whole = key_object("bot", accountRef=ref, deletionPolicy="Delete")
        deleted = {"deletionTimestamp": "2026-11-28T23:00:00Z", "finalizers": ["keyturn.dev/keys"]}
        whole["metadata"] |= {"uid": "bot", "resourceVersion": "1", **deleted}
        operator._cache.key(("payments", "bot"), whole)
        wait_until(lambda: "the deletion waits" in api.told.get("bot", ""), "why it waits", seconds=15)
        assert released == []
        now[0] += timedelta(minutes=10)
        wait_until(lambda: released == [[]], "the finalizer is gone", seconds=15)
