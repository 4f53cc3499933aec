"""The runner, the executor and the real world together: the sandbox, a real OpenBao, several keys."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from keyturn.core.errors import OwnershipError
from keyturn.core.model import (
    Adopt,
    AdoptSecret,
    Delivery,
    Desired,
    DesiredKey,
    RecordsConfig,
    Rotation,
    Smoke,
    TargetConfig,
    Timing,
)
from keyturn.core.reasons import Condition
from keyturn.core.results import Change, Options, Progress
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from keyturn.live.live_world import LiveWorld, open_world
from keyturn.sandbox import ReadyKey, Sandbox
from tests.support.openbao import OpenBao

TIMING = Timing(delivery=5.0, settle=0.2, lease=20.0, propagation=1.0, request=5.0)
COUNT = 6
PAGES = 2


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """An account with more keys than one page of its list can show."""
    with Sandbox(seed=1, keys=[ReadyKey("bot", count=COUNT), ReadyKey("other", count=200)]) as running:
        yield running


@pytest.fixture
def desired(openbao: OpenBao) -> Desired:
    """Some keys in place, each with a path of its own, and records beside them."""
    prefix = f"real-{uuid4().hex[:8]}"
    keys = tuple(
        DesiredKey(
            f"key-{number}",
            "owner",
            f"bot-{number}",
            adopt=Adopt(AdoptSecret.REGENERATE),
            deliveries=(Delivery("vault", f"{prefix}/apps/{number}", "KEY"),),
            smoke=Smoke("llama3.3-70b-instruct"),
            timing=TIMING,
            rotation=Rotation(),
            fingerprint="1",
        )
        for number in range(1, COUNT + 1)
    )
    vault = TargetConfig("vault", "vault", {"address": openbao.address, "mount": "secret"})
    return Desired("owner", (vault,), RecordsConfig("vault", prefix), keys, timing=TIMING)


@pytest.fixture
def environment(sandbox: Sandbox, openbao: OpenBao) -> dict[str, str]:
    """What an operator would export."""
    return sandbox.exports | {"VAULT_ADDR": openbao.address, "VAULT_TOKEN": openbao.root_token}


@pytest.fixture
def make(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Callable[[Desired], Runner]]:
    """Make a runner with a real world of its own, as each command does."""
    worlds: list[LiveWorld] = []
    said: list[Progress] = []

    def runner(desired: Desired) -> Runner:
        worlds.append(open_world(desired, environment, tmp_path))
        return Runner(worlds[-1], desired, said.append, runs=Runs([tmp_path / "runs"]))

    yield runner
    for world in worlds:
        world.close()
    assert not any("sk-do-" in line.text for line in said)


def held(openbao: OpenBao, delivery: Delivery) -> str:
    """What a delivery holds."""
    data = openbao.call("GET", f"secret/data/{delivery.path}")["data"]
    assert isinstance(data, dict)
    return str(data["data"][delivery.field])


def test_adopted_keys_work_and_then_rest_quietly(
    make: Callable[[Desired], Runner], desired: Desired, sandbox: Sandbox, openbao: OpenBao
) -> None:
    """Every target holds a secret that the API accepts; a second apply lists twice (two pages) and mutates nothing."""
    report = make(desired).apply([], Options())
    assert [(item.key, item.end.condition, item.problems) for item in report.reports] == [
        (key.id, Condition.READY, ()) for key in desired.keys
    ]
    assert report.exit_code == 0
    for key in desired.keys:
        assert sandbox.accepts(held(openbao, key.deliveries[0]))
    sandbox.clear_requests()
    assert make(desired).apply([], Options()).exit_code == 0
    assert Counter(seen.op for seen in sandbox.requests) == {"list": PAGES, "account": 1}


def test_a_plan_says_what_apply_does_and_holds_to_its_digest(
    make: Callable[[Desired], Runner], desired: Desired, sandbox: Sandbox
) -> None:
    """Planning mutates nothing; after a key was renamed by hand the saved plan is refused."""
    planned = make(desired).plan([], Options())
    assert all(Change.ADOPT in {change.change for change in item.changes} for item in planned.plans)
    assert not any(seen.mutating for seen in sandbox.requests)
    key = next(key for key in sandbox.state.keys.values() if key.name == "bot-1")
    sandbox.by_hand("rename", key.uuid, "someone-else")
    with pytest.raises(OwnershipError, match="out of date"):
        make(desired).apply([], Options(), expected_digest=planned.digest)
    sandbox.by_hand("rename", key.uuid, "bot-1")
    assert make(desired).apply([], Options(), expected_digest=planned.digest).exit_code == 0


def test_too_many_adoptions_start_none(make: Callable[[Desired], Runner], desired: Desired, sandbox: Sandbox) -> None:
    """Exit 4 and no mint, until they are allowed."""
    few = replace(desired, rotations_per_run=2)
    report = make(few).apply([], Options())
    assert {item.end.code for item in report.reports} == {"too-many-rotations"}
    assert report.exit_code == 4
    assert not any(seen.mutating for seen in sandbox.requests)
    assert make(few).apply([], Options(), allow_rotations=COUNT).exit_code == 0


def test_a_broken_target_harms_only_its_key(
    make: Callable[[Desired], Runner], desired: Desired, sandbox: Sandbox, openbao: OpenBao
) -> None:
    """The others are adopted; the one with the target that may not be used keeps its secret."""
    broken = TargetConfig("broken", "vault", {"address": "https://vault.example.com"})
    first = replace(desired.keys[0], deliveries=(Delivery("broken", "app", "KEY"),))
    mixed = replace(desired, targets=(*desired.targets, broken), keys=(first, *desired.keys[1:]))
    report = make(mixed).apply([], Options())
    bad, *good = report.reports
    assert bad.exit_code != 0
    assert "vault.example.com" in bad.end.why
    assert {item.exit_code for item in good} == {0}
    uuid = next(key.uuid for key in sandbox.state.keys.values() if key.name == "bot-1")
    assert not any(seen.mutating and seen.uuid == uuid for seen in sandbox.requests)


def test_all_keys_gone_at_once_stop_the_run(
    make: Callable[[Desired], Runner], desired: Desired, sandbox: Sandbox
) -> None:
    """Nothing is minted, created or handed off."""
    assert make(desired).apply([], Options()).exit_code == 0
    for key in tuple(sandbox.state.keys.values()):
        if key.name.startswith("bot-"):
            sandbox.by_hand("delete", key.uuid)
    sandbox.clear_requests()
    report = make(desired).apply([], Options())
    assert f"none of the {COUNT} live keys" in report.stopped
    assert report.exit_code == 4
    assert not any(seen.mutating for seen in sandbox.requests)


def test_an_api_that_refuses_every_key_is_ill(
    make: Callable[[Desired], Runner], desired: Desired, sandbox: Sandbox
) -> None:
    """`apply --verify` mints nothing."""
    assert make(desired).apply([], Options()).exit_code == 0
    for key in tuple(sandbox.state.keys.values()):
        if key.name.startswith("bot-"):
            sandbox.by_hand("regenerate", key.uuid)
    sandbox.clear_requests()
    report = make(desired).apply([], Options(verify=True))
    assert "every key that was checked" in report.stopped
    assert report.exit_code == 4
    assert not any(seen.mutating for seen in sandbox.requests)


def test_a_removed_entry_is_listed_and_left_alone(
    make: Callable[[Desired], Runner], desired: Desired, sandbox: Sandbox
) -> None:
    """Its API key, its delivery and its record stay."""
    assert make(desired).apply([], Options()).exit_code == 0
    sandbox.clear_requests()
    report = make(replace(desired, keys=desired.keys[1:])).apply([], Options())
    assert report.unmanaged == ("key-1",)
    assert report.exit_code == 0
    assert not any(seen.mutating for seen in sandbox.requests)


def test_waiting_sees_the_key_that_a_person_makes_and_writes_nothing_until_then(
    make: Callable[[Desired], Runner],
    desired: Desired,
    sandbox: Sandbox,
    openbao: OpenBao,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The record stands still while it waits; the key made by hand is regenerated and delivered."""
    monkeypatch.setattr("keyturn.engine.runner.POLL", 1)
    new = replace(desired.keys[0], name="new-bot", adopt=None)
    one = replace(desired, keys=(new,))
    assert make(one).apply([], Options()).exit_code == 1
    path = f"secret/metadata/{desired.records.prefix}/keys/{new.id}"
    before = openbao.call("GET", path)["data"]
    seen_while_waiting: list[object] = []

    def person() -> None:
        seen_while_waiting.append(openbao.call("GET", path)["data"])
        sandbox.panel_create("new-bot")

    timer = threading.Timer(3.0, person)
    timer.start()
    try:
        report = make(one).apply([], Options(), wait=True)
    finally:
        timer.join(20)
    assert report.exit_code == 0
    assert seen_while_waiting == [before]
    assert sandbox.accepts(held(openbao, new.deliveries[0]))
