"""What the rounds promise, each promise as a check that plays a while with many keys. Mutants have to break them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

import pytest

from keyturn.core.errors import ManifestError, Mistake
from keyturn.core.model import Delivery
from keyturn.core.results import KeyStatus
from tests.simulation.brakes import BRAKES, SOON, UNVERIFIED
from tests.simulation.faults import Class, Killed
from tests.simulation.fleet import (
    HOUR,
    Fleet,
    cost,
    entry,
    fleet,
    panel,
    restarted,
    rested,
    writes,
)
from tests.simulation.universe import START

SILENT = 150.0
"""Seconds after which a run that died elsewhere is followed: its lease, a beat, and what its calls may take."""


def starts(one: Fleet, since: int = 0) -> list[float]:
    """The seconds at which the rounds since then began."""
    return [world.opened for world in one.account.worlds[since:]]


def at_rest_nothing_is_written() -> None:
    """An hour costs no write and no change of what is shown; each round has one list, and there are few rounds."""
    one = rested(20)
    worlds = one.go(3600)
    assert writes(worlds) == 0
    assert one.account.patches == {}
    assert all(world.cost[Class.LIST] == 1 for world in worlds)
    assert 50 <= len(worlds) <= 70
    unverified = rested(20, pace=UNVERIFIED).go(3600)
    assert 6 <= len(unverified) <= 9


def each_key_is_verified_in_its_turn() -> None:
    """Once in each interval, a portion in each round; a restart neither repeats nor skips a portion."""
    one = rested(40)
    (first,) = one.go(1)
    assert first.verified == set()
    worlds = one.go(660)
    found = Counter(key for world in worlds for key in world.verified)
    assert set(found) == {key.deliveries[0] for key in one.account.keys.values()}
    assert max(found.values()) <= 2
    assert max(len(world.verified) for world in worlds) <= 12
    again = restarted(one.account)
    found = Counter(key for world in again.go(600) for key in world.verified)
    assert set(found.values()) == {1}


def after_a_sleep_the_portions_follow_each_other() -> None:
    """A machine that slept does not verify all keys in one round."""
    one = rested(40)
    one.go(1)
    one.universe.advance(6 * 3600)
    worlds = one.go(120)
    assert max(len(world.verified) for world in worlds) <= 20
    assert len({key for world in worlds for key in world.verified}) == 40


def a_restart_is_one_round() -> None:
    """One list, each record once, nothing written or shown again."""
    one = rested(40)
    (world,) = one.go(1)
    assert world.cost[Class.LIST] == 1
    assert world.cost[Class.READ] <= 41
    assert writes([world]) == 0
    assert one.account.patches == {}
    assert len(one.account.told[0].keys) == 40


def marked_keys_share_a_round() -> None:
    """A new key is looked at at once, many in one round; and marks without end neither starve nor crowd."""
    one = rested(20, pace=UNVERIFIED)
    one.go(30)
    new = [entry(number) for number in range(500, 510)]
    panel(one.universe, *new)
    one.universe.others |= {(key.owner, key.id) for key in new}
    before = len(one.account.worlds)
    for key in new:
        one.account.keys[key.id] = key
        one.rounds.mark([key.id])
    one.go(SOON)
    assert len(one.account.worlds) - before == 1
    assert all(one.account.code(key.id) == "overlap" or one.account.code(key.id) == "at-rest" for key in new)
    before = len(one.account.worlds)
    one.go(60)
    for number in range(300):
        one.rounds.mark([f"bot-{number % 20:04}"])
        one.go(0.1)
    began = starts(one, before)
    assert 5 <= len(began) <= 8, began
    assert min(later - earlier for earlier, later in pairwise(began)) >= 2


def who_keeps_changing_is_looked_at_seldom() -> None:
    """Ever more seldom, up to five minutes; another key is looked at soon all the same, and so is this one later."""
    one = rested(20, pace=UNVERIFIED)
    one.go(30)
    before = len(one.account.worlds)
    for _ in range(1800):
        one.rounds.mark(["bot-0000"])
        one.go(1)
    began = starts(one, before)
    assert 8 <= len(began) <= 18, began  # with the whole rounds of half an hour
    told = len(one.account.told)
    one.rounds.mark(["bot-0001"])
    one.go(SOON)
    assert [[key.key for key in found.keys] for found in one.account.told[told:]] == [["bot-0001"]]
    one.go(660)
    told = len(one.account.told)
    one.rounds.mark(["bot-0000"])
    one.go(SOON)
    assert len(one.account.told) == told + 1


def marks_of_many_keys_do_not_crowd() -> None:
    """However many keys change one after the other, few lists are made, and none of the keys waits long."""
    one = rested(40, pace=UNVERIFIED)
    one.go(60)
    before = len(one.account.told)
    for number in range(40):
        one.rounds.mark([f"bot-{number:04}"])
        one.go(1.5)
        assert any(key.key == f"bot-{max(0, number - 8):04}" for told in one.account.told[before:] for key in told.keys)
    assert len(one.account.told) - before <= 12


def marks_of_strangers_cost_nothing() -> None:
    """A key that is not worked on: no list, but it can be told that it is not; and that, too, ever more seldom."""
    one = rested(20, pace=UNVERIFIED)
    one.go(30)
    before, told = len(one.account.worlds), len(one.account.told)
    for _ in range(300):
        one.rounds.mark(["refused"])
        one.go(1)
    assert len(one.account.worlds) - before <= 1  # a whole round
    assert 4 <= len(one.account.told) - told <= 10
    assert all(not found.trouble for found in one.account.told)


def who_waits_for_a_person_costs_nothing() -> None:
    """One list for all who wait, every 30 s; no write, nothing shown again; what the person makes is taken soon."""
    keys = [entry(number) for number in range(10)]
    one = fleet(*keys, pace=UNVERIFIED, made=False)
    one.go(120)
    assert set(one.account.codes()) == {"hand-off"}
    patches = one.account.patches.copy()
    worlds = one.go(900)
    assert writes(worlds) == 0
    assert one.account.patches == patches
    assert 29 <= len(worlds) <= 34
    assert cost(worlds)[Class.LIST] == len(worlds)
    panel(one.universe, keys[7])
    one.universe.given |= {key.secret for key in one.universe.keys.values()}
    one.go(36)
    assert one.account.code(keys[7].id) in {"at-rest", "overlap"}


def drift_is_healed() -> None:
    """At once where it is marked, else in the key's turn."""
    one = rested(20)
    one.go(30)
    one.universe.steady = frozenset()
    lost = list(one.account.keys.values())[:2]
    for key in lost:
        one.universe.by_hand(key.deliveries[0], "")
    one.rounds.mark([lost[0].id], verify=True)
    one.go(SOON)
    assert one.universe.fields.get(lost[0].deliveries[0])
    one.go(660)
    assert one.universe.fields.get(lost[1].deliveries[0])


def rotations_come_in_time() -> None:
    """Each rotation and each retire begins at most a beat and a round after its moment, and comes once."""
    one = rested(20, every=5.0, apart=7.0, pace=UNVERIFIED)
    one.go(11 * 3600)
    due: dict[str, KeyStatus] = {}
    late: list[float] = []
    for told, began in zip(one.account.told, one.account.began, strict=True):
        for key in told.keys:
            before = due.get(key.key)
            if before and before.next_rotation_at and key.generation > before.generation:
                assert key.generation == before.generation + 1
                late.append((START - before.next_rotation_at).total_seconds() + began)
            if before and before.retire_at and not key.retire_at:
                late.append((START - before.retire_at).total_seconds() + began)
            due[key.key] = key
    assert len(late) > 30
    assert 0 <= min(late) <= max(late) <= 45, late


def a_broken_target_holds_nobody_up_and_is_not_hammered() -> None:
    """Its keys are tried ever more seldom and shown once; the others rotate; when it is back, all is well soon."""
    one = rested(20, every=2.2, targets="vw")
    one.account.down = frozenset({"w"})
    one.go(60)
    before = one.account.patches.copy()
    worlds = one.go(1.6 * 3600)
    good = [key for key in one.account.keys.values() if key.deliveries[0].target == "v"]
    bad = [key for key in one.account.keys.values() if key.deliveries[0].target == "w"]
    assert all(one.universe.records[key.id][0].generation >= 2 for key in good)
    looks = Counter(key.key for told in one.account.told for key in told.keys)
    assert max(looks[key.id] for key in bad) <= 40
    assert len(worlds) <= 200
    for key in bad:
        assert one.account.patches[key.id] - before[key.id] <= 6, key.id
    one.account.down = frozenset()
    one.go(700)
    assert all(one.account.code(key.id) in {"at-rest", "overlap"} for key in bad)


def a_delivery_that_cannot_be_read_is_shown_once() -> None:
    """A look that does not verify does not call its key well, and what is shown does not change to and fro."""
    one = rested(20, targets="vw")
    one.account.down = frozenset({"w"})
    one.go(3600)
    bad = [key.id for key in one.account.keys.values() if key.deliveries[0].target == "w"]
    assert one.account.patches == dict.fromkeys(bad, 1)
    one.account.down = frozenset()
    one.go(650)
    assert one.account.patches == dict.fromkeys(bad, 2)
    assert one.account.codes() == {"at-rest": 20}


def while_the_account_is_away_nothing_is_lost() -> None:
    """It is told once per try, tries grow apart, and what was marked meanwhile is done right after it is back."""
    one = rested(20)
    one.go(30)
    key = one.account.keys["bot-0003"]
    one.account.keys[key.id] = replace(key, deliveries=(*key.deliveries, Delivery("v", "more", "key")), fingerprint="2")
    for seconds, least, most in ((200, 4, 8), (3600, 28, 40)):
        place = Delivery("v", f"more-{seconds}", "key")
        one.account.keys[key.id] = replace(key, deliveries=(*key.deliveries, place), fingerprint=f"{seconds}")
        one.account.down = frozenset({"api"})
        one.rounds.mark([key.id])
        before = len(one.account.told)
        worlds = one.go(seconds)
        assert least <= len(worlds) <= most, len(worlds)
        assert all(told.trouble and not told.keys for told in one.account.told[before:])
        assert writes(worlds) == 0
        one.account.down = frozenset()
        one.go(125)
        assert one.universe.fields.get(place)
        assert one.account.told[-1].trouble == ""
    assert one.account.codes() == {"at-rest": 20}


def a_key_that_another_run_has_holds_nobody_up() -> None:
    """Nobody waits for a lease: the others have their turn at once, and it is looked at again on the next beat."""
    one = rested(20, pace=UNVERIFIED)
    for key in list(one.account.keys.values())[:2]:
        one.account.keys[key.id] = replace(key, trigger="leak", fingerprint="2")

    def die(_: int) -> None:
        if any(record.intent for record, _ in one.universe.records.values()):
            raise Killed

    one.account.before = die
    with pytest.raises(Killed):
        one.rounds.step()
    (broken,) = (key for key, (record, _) in one.universe.records.items() if record.intent)
    one.account.before = None
    one = restarted(one.account, UNVERIFIED)
    began = one.universe.now
    one.rounds.step()
    assert one.universe.now - began < 10
    assert one.account.code(broken) == "another-run"
    assert sum(record.generation == 2 for record, _ in one.universe.records.values()) == 1
    one.go(SILENT)
    assert sum(record.generation == 2 for record, _ in one.universe.records.values()) == 2


def what_cannot_be_read_stops_nothing_for_ever() -> None:
    """No manifest, or nobody to tell: the next rounds come after a pause, and do what was left."""
    one = rested(20)
    one.account.broken = ManifestError([Mistake("k.yaml", 1, 1, "keys", "is wrong")])
    assert one.go(600) == []
    assert len(one.account.told) <= 16
    assert all(told.trouble for told in one.account.told)
    one.account.broken = None
    one.go(125)
    assert any(len(told.keys) == 20 for told in one.account.told)

    tell, said = one.account.tell, [0]

    def deaf(told: object) -> None:
        said[0] += 1
        if said[0] < 4:
            raise RuntimeError("the server is away")
        tell(told)  # type: ignore[arg-type]

    one.account.tell = deaf  # type: ignore[method-assign]
    one.rounds.mark(["bot-0001"])
    before = len(one.account.told)
    one.go(125)
    assert any(key.key == "bot-0001" for told in one.account.told[before:] for key in told.keys)


def a_key_that_went_is_finished() -> None:
    """Its record has no entry any more, and its old secret is retired at its moment."""
    one = fleet(*(entry(number, every=None) for number in range(6)), pace=UNVERIFIED)
    one.go(2 * 3600)
    assert one.account.code("bot-0000") == "at-rest"
    key = one.account.keys["bot-0000"]
    one.account.keys[key.id] = replace(key, trigger="x", fingerprint="2")
    one.rounds.mark([key.id])
    one.go(120)
    assert one.universe.records[key.id][0].retire is not None
    del one.account.keys[key.id]
    one.rounds.mark([key.id])
    one.go(HOUR.total_seconds() - 300)
    assert one.universe.records[key.id][0].retire is not None
    one.go(200)
    assert one.universe.records[key.id][0].retire is None


def a_clock_that_is_set_back_delays_nothing() -> None:
    """Not even by a day."""
    one = rested(20)
    one.go(30)
    one.account.skew = -24 * HOUR
    before = len(one.account.told)
    one.go(3)
    assert len(one.account.told[before].keys) == 20
    worlds = one.go(1200)
    assert 18 <= len(worlds) <= 26
    assert len({key for world in worlds for key in world.verified}) == 20


def two_accounts_are_independent() -> None:
    """One is away; the other one does its work, at other moments."""
    one, other = rested(20, seed="one"), rested(20, seed="two")
    for both in (one, other):
        both.go(600)
    assert not {round(at) for at in starts(one)[1:]} & {round(at) for at in starts(other)[1:]}
    one.account.down = frozenset({"api"})
    for both in (one, other):
        both.go(300)
    assert one.account.told[-1].trouble
    assert other.account.codes() == {"at-rest": 20}
    assert all(told.trouble == "" for told in other.account.told)


def chance_follows_from_the_seed() -> None:
    """The same seed and clock: the same rounds. Another seed: others."""
    first, again, other = (rested(20, seed=seed) for seed in ("a", "a", "b"))
    for one in (first, again, other):
        one.account.down = frozenset({"v"})
        one.go(1800)
    assert starts(first) == starts(again)
    assert first.account.told == again.account.told
    assert starts(first) != starts(other)


PROMISES: Mapping[str, Callable[[], None]] = {
    check.__name__: check
    for check in (
        *BRAKES,
        at_rest_nothing_is_written,
        each_key_is_verified_in_its_turn,
        after_a_sleep_the_portions_follow_each_other,
        a_restart_is_one_round,
        marked_keys_share_a_round,
        who_keeps_changing_is_looked_at_seldom,
        marks_of_many_keys_do_not_crowd,
        marks_of_strangers_cost_nothing,
        who_waits_for_a_person_costs_nothing,
        drift_is_healed,
        rotations_come_in_time,
        a_broken_target_holds_nobody_up_and_is_not_hammered,
        a_delivery_that_cannot_be_read_is_shown_once,
        while_the_account_is_away_nothing_is_lost,
        a_key_that_another_run_has_holds_nobody_up,
        what_cannot_be_read_stops_nothing_for_ever,
        a_key_that_went_is_finished,
        a_clock_that_is_set_back_delays_nothing,
        two_accounts_are_independent,
        chance_follows_from_the_seed,
    )
}
