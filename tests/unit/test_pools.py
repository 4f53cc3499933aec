"""Pools of spare API keys: in manifests, in plans and reports, and how many are left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyturn.core.errors import ManifestError
from keyturn.core.model import Delivery, Desired, DesiredKey, Pool, RecordsConfig, Strategy
from keyturn.core.results import Options, PoolState, RunPlan
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from keyturn.manifest import load_text
from keyturn.report.handoff import CLICKS, PANEL
from keyturn.report.lines import paint_plain
from keyturn.report.plan import plan_lines
from keyturn.report.pools import pool_text
from tests.simulation.people import spares
from tests.simulation.rules import SPARE
from tests.simulation.scenarios import TIMING, empty, entry
from tests.simulation.universe import START, Key, Universe
from tests.simulation.world import SimWorld

MANIFEST = """
apiVersion: keyturn/v1
name: tests
targets: {{env: {{type: dotenv, root: ./secrets}}}}
records: {{target: local}}
{pool}
keys:
  bot:
    name: {name}
    smoke: {{from: skip}}
    deliver: [{{target: env, path: bot, field: KEY}}]
    {own}
"""
POOL = "pool: {prefix: spare-, low: 2}"


def _load(pool: str = "", own: str = "", name: str = "bot") -> DesiredKey:
    return load_text(MANIFEST.format(pool=pool, own=own, name=name), "keyturn.yaml", {}).keys[0]


class TestManifest:
    """Where a pool may be named."""

    @pytest.mark.parametrize(
        ("pool", "own"),
        [(POOL, ""), (f"defaults: {{{POOL}}}", ""), ("", POOL), (f"defaults: {{{POOL}}}", "pool: {low: 2}")],
    )
    def test_a_pool_is_the_manifests_the_defaults_or_the_keys(self, pool: str, own: str) -> None:
        """All of these name the same one."""
        assert _load(pool, own).pool == Pool("spare-", 2)

    def test_the_nearest_pool_wins(self) -> None:
        """A key's own prefix before that of the defaults before the manifest's."""
        other = "pool: {prefix: other-}"
        assert _load(f"{POOL}\ndefaults: {{{other}}}").pool == Pool("other-", 0)
        assert _load(POOL, other).pool == Pool("other-", 2)

    def test_a_key_may_not_be_called_like_a_spare(self) -> None:
        """It would count as one, and be taken."""
        with pytest.raises(ManifestError, match="starts with the prefix of the pool 'spare-'"):
            _load(POOL, name="spare-parts")

    def test_an_entry_without_a_pool_is_the_same_entry_as_before_there_were_pools(self) -> None:
        """Its digest is the one that the version before wrote, so that an upgrade unparks nothing."""
        assert _load().fingerprint == "96360ab7216b7df7"


def _keys(*strategies: Strategy) -> tuple[DesiredKey, ...]:
    return tuple(
        replace(
            entry(strategy),
            id=f"key-{number}",
            name=f"app-{number}",
            deliveries=(Delivery("v", f"app-{number}", "key"),),
            pool=Pool(SPARE, 2),
        )
        for number, strategy in enumerate(strategies)
    )


class Manifest:
    """A manifest with one alternating key and three others, none of whose API keys exists."""

    def __init__(self, folder: Path, count: int) -> None:
        """Let the account have so many spares."""
        self.folder = folder
        self.world: Universe = empty()
        self.world.watch = None
        spares(self.world, count)
        self.keys = _keys(Strategy.ALTERNATING, *[Strategy.IN_PLACE] * 3)

    @property
    def runner(self) -> Runner:
        """A new run."""
        desired = Desired("tests", (), RecordsConfig("v"), self.keys, timing=TIMING)
        world = SimWorld(self.world, {}, TIMING)
        return Runner(world, desired, lambda _: None, runs=Runs([self.folder]), workers=1)

    def taken(self) -> list[str]:
        """Return the API keys that serve a key."""
        return [slot.uuid for record, _ in self.world.records.values() for slot in record.slots.values()]


def _text(plan: RunPlan) -> str:
    return paint_plain(plan_lines([plan]))


class TestPlan:
    """What is to be made is said at once, in one list."""

    def test_a_missing_key_is_shown_as_what_it_will_be(self, tmp_path: Path) -> None:
        """Without spares: one list of all names, with the page and the clicks; no create is promised."""
        plan = Manifest(tmp_path, 0).runner.plan([], Options())
        said = _text(plan)
        names = ["app-0-a", "app-0-b", "app-1", "app-2", "app-3"]
        assert [line.strip() for line in said.splitlines() if line.strip() in names] == names
        assert said.count(PANEL) == said.count(CLICKS) == 1
        assert "creates" not in said.replace("no longer creates", "")
        assert not any(key.mints for key in plan.plans)
        assert plan.exit_code == 1

    def test_a_plan_says_how_many_spares_are_missing(self, tmp_path: Path) -> None:
        """Five API keys are wanted, three spares are there."""
        plan = Manifest(tmp_path, 3).runner.plan([], Options())
        assert plan.pools == (PoolState(SPARE, 3, 2, 5),)
        assert [name for key in plan.plans for name in key.end.make] == ["app-2", "app-3"]
        assert sum(key.mints for key in plan.plans) == 2
        assert (
            "The pool 'spare-' has 3 spares for 5 missing API keys: make 2 more, or the named keys instead."
            in _text(plan)
        )

    def test_a_near_miss_in_the_name_is_mentioned(self, tmp_path: Path) -> None:
        """`App_1` is not `app-1`, and may well be meant."""
        made = Manifest(tmp_path, 0)
        made.world.keys["near"] = Key("near", "App_1", START, "sk-simulated-near")
        ends = {plan.key: plan.end.why for plan in made.runner.plan([], Options()).plans}
        assert "'App_1'" in ends["key-1"]
        assert "App_1" not in ends["key-2"]


@pytest.mark.finding(
    "B2", before="a pool whose prefix is a key's name took that key", now="a spare has something after the prefix"
)
class TestPrefix:
    """An API key that is called as the prefix is a key of its own."""

    def test_it_is_not_counted_and_not_taken(self, tmp_path: Path) -> None:
        """The account has only this one: every API key is handed over to an operator."""
        made = Manifest(tmp_path, 0)
        made.world.keys["prod"] = Key("prod", SPARE, START, "sk-do-of-prod")
        plan = made.runner.plan([], Options())
        assert plan.pools == (PoolState(SPARE, 0, 2, 5),)
        made.runner.apply([], Options())
        assert made.taken() == []
        assert made.world.keys["prod"].name == SPARE


class TestApply:
    """Spares are taken until none is left; the rest is handed off by name."""

    def test_three_spares_for_five_keys(self, tmp_path: Path) -> None:
        """Each spare serves one key, is renamed, and the secret that an operator saw is dead; the others are named."""
        made = Manifest(tmp_path, 3)
        report = made.runner.apply([], Options(), allow_rotations=9)
        assert report.exit_code == 1
        made.world.advance(3 * 3600.0)
        again = made.runner.apply([], Options(), allow_rotations=9)
        assert sorted(made.taken()) == ["pool-1", "pool-2", "pool-3"]
        assert not any(made.world.lasting(seen) for seen in made.world.spares.values())
        assert not any(key.name.startswith(SPARE) for key in made.world.keys.values())
        missing = [name for one in again.reports for name in one.end.make]
        assert len(missing) == 2
        assert again.pools == (PoolState(SPARE, 0, 2, 2),)

    def test_a_spare_that_comes_later_is_taken_in_place_of_the_hand_off(self, tmp_path: Path) -> None:
        """Who waited for an operator takes it, and rests."""
        made = Manifest(tmp_path, 3)
        made.runner.apply([], Options(), allow_rotations=9)
        spares(made.world, 2, first=4)
        codes = []
        for _ in range(3):
            made.world.advance(3 * 3600.0)
            codes.append(made.runner.apply([], Options(), allow_rotations=9).exit_code)
        assert codes[-1] == 0
        assert len(set(made.taken())) == 5


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        (PoolState("spare-", 4, 2), "The pool 'spare-' has 4 spares."),
        (PoolState("spare-", 1, 2), "The pool 'spare-' has 1 spare, fewer than 2: make some more."),
        (PoolState("spare-", 1, 0, 1), "The pool 'spare-' has 1 spare."),
        (
            PoolState("spare-", 0, 0, 2),
            "The pool 'spare-' has 0 spares for 2 missing API keys: make 2 more, or the named keys instead.",
        ),
    ],
)
def test_few_spares_are_said(pool: PoolState, said: str) -> None:
    """How many are left, and how many to make."""
    assert pool_text(pool) == said
