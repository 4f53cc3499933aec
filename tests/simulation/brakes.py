"""What the rounds promise of brakes: first secrets trickle, a mass of rotations is held until it is released, once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import inf

from keyturn.core.model import Desired
from keyturn.core.rounds import Pace, Release
from keyturn.engine.runner import Runner
from tests.simulation.faults import Class
from tests.simulation.fleet import HOUR, OWNER, Fleet, entry, fleet, kept, panel, restarted, rested
from tests.simulation.marking import Rollout
from tests.simulation.universe import MARK, Drop, Mutation, Renew, Universe

UNVERIFIED = Pace(verify=None)
SOON = 5.0
"""Seconds within which what is marked is done."""


def adoptions_trickle() -> None:
    """Five at a time, on the beat, until all have their secret; each is looked at about once."""
    one = fleet(*(entry(number) for number in range(17)), pace=replace(UNVERIFIED, adoptions=5))
    worlds = one.go(200)
    mints = [world.cost[Class.MINT] for world in worlds if world.cost[Class.MINT]]
    assert mints == [5, 5, 5, 2]
    assert set(one.account.codes()) <= {"at-rest", "overlap"}
    assert sum(len(told.keys) for told in one.account.told[: len(mints)]) <= 32
    assert all(told.brakes == () for told in one.account.told)


def broken_adoptions_hold_nobody_up() -> None:
    """More broken keys than one round begins, and first in the order: the others get their secrets all the same."""
    broken = [entry(number, target="w") for number in range(7)]
    good = [entry(number) for number in range(7, 17)]
    one = fleet(*broken, *good, pace=replace(UNVERIFIED, adoptions=5))
    one.account.down = frozenset({"w"})
    one.go(300)
    assert all(one.account.code(key.id) in {"at-rest", "overlap"} for key in good)
    one.account.down = frozenset()
    one.go(1300)
    kept_or_overlap = {one.account.code(key.id) for key in broken}
    assert kept_or_overlap <= {"at-rest", "overlap"}, kept_or_overlap


def stolen(one: Fleet, count: int) -> None:
    """Someone regenerates the live API keys of so many keys: their deliveries hold refused secrets."""
    one.universe.steady = frozenset()
    for key in list(one.account.keys)[:count]:
        record = one.universe.records[key][0]
        live = record.slot(record.live)
        assert live is not None
        one.universe.land(Renew(live.uuid, f"{MARK}stolen-{key}"))


def theirs(one: Fleet, group: str) -> list[str]:
    """The keys of a group."""
    return [key for key in one.account.keys if key.startswith(f"{group}.")]


def heals(one: Fleet, keys: Iterable[str]) -> list[int]:
    """How many secrets each of these keys got after its first one."""
    return [one.universe.records[key][0].generation - 1 for key in keys]


def mass_healing_is_braked_though_found_in_portions() -> None:
    """Four are found at a time, six may be healed in a run; the others are held until they are released, once.

    Each key is a group here, and one other group is not counted.
    """
    one = rested(40)
    one.account.rotations = 6
    one.go(30)
    stolen(one, 40)
    begun = len(one.universe.mints)
    one.go(560)
    assert 0 < len(one.universe.mints) - begun <= 7
    one.go(1300)
    held = one.rounds.queue.held
    assert len(held) >= 28
    (brake,) = one.account.told[-1].brakes
    assert brake.code == "too-many-rotations"
    assert brake.number == len(held)
    before = one.account.patches.copy()
    one.go(700)
    assert not set(one.account.patches - before) & set(held)
    # Less than what is held releases nothing, and is used up.
    one.account.given = Release("first", rotations=len(held) - 1)
    one.go(SOON)
    assert len(one.rounds.queue.held) == len(held)
    assert one.account.spent == {"first"}
    one.account.given = Release("second", rotations=len(held))
    one.go(60)
    assert one.rounds.queue.held == {}
    assert one.account.told[-1].brakes == ()
    # The same token releases no other time.
    stolen(one, 40)
    one.go(1200)
    assert len(one.rounds.queue.held) >= 20


def a_release_that_meets_no_brake_is_used_up() -> None:
    """It does not lie in wait for the next mistake."""
    one = rested(20)
    one.account.rotations = 5
    one.go(30)
    one.account.given = Release("early", rotations=100)
    one.go(60)
    assert one.account.spent == {"early"}
    stolen(one, 20)
    one.rounds.mark(one.account.keys, verify=True)
    one.go(SOON)
    assert len(one.rounds.queue.held) == 20
    assert [brake.code for brake in one.account.told[-1].brakes] == ["too-many-rotations"]
    one.account.given = Release("now", rotations=20)
    one.go(60)
    assert one.rounds.queue.held == {}
    one.go(2 * 3600)
    kept(one)


def held_keys_are_counted_together() -> None:
    """A held key that is marked alone does not slip through the brake."""
    one = rested(20, pace=UNVERIFIED)
    one.account.rotations = 5
    one.go(30)
    stolen(one, 20)
    one.rounds.mark(one.account.keys, verify=True)
    one.go(SOON)
    begun = len(one.universe.mints)
    for name in list(one.account.keys)[:4]:
        one.rounds.mark([name], verify=True)
        one.go(SOON)
    assert len(one.universe.mints) == begun


def asked(one: Fleet, keys: Iterable[str], text: str = "leak") -> None:
    """Someone asks for a rotation of each of these keys."""
    for key in keys:
        one.account.keys[key] = replace(one.account.keys[key], trigger=text, fingerprint=text)


def who_asks_makes_nobody_wait() -> None:
    """Rotations that are asked for come a portion at a time, and count against no heal, neither before nor with it."""
    one = rested(20, pace=replace(UNVERIFIED, adoptions=5))
    one.account.rotations = 5
    one.go(30)
    lost, others = list(one.account.keys)[:2], list(one.account.keys)[2:]
    asked(one, others)
    one.rounds.mark([*lost, *others])
    one.go(SOON)
    stolen(one, 2)
    one.rounds.mark(lost, verify=True)
    one.go(SOON)
    assert heals(one, lost) == [1, 1]
    assert sum(heals(one, others)) == 5
    one.go(120)
    assert set(heals(one, one.account.keys)) == {1}
    assert all(told.brakes == () for told in one.account.told)
    mints = [world.cost[Class.MINT] for world in one.account.worlds if world.cost[Class.MINT]]
    assert mints == [5, 2, 5, 5, 3]


def who_asks_again_waits() -> None:
    """A key that was rotated because it was asked for rests before the next one; no text is lost."""
    one = fleet(*(entry(number) for number in range(3)), pace=UNVERIFIED)
    one.go(SOON)  # the first secret, after which no key rests
    for text, generation in (("one", 2), ("two", 2)):
        asked(one, ["bot-0002"], text)
        one.rounds.mark(["bot-0002"])
        one.go(SOON)
        assert one.universe.records["bot-0002"][0].generation == generation
    assert one.account.code("bot-0002") == "deferred"
    one.go(90)
    assert one.universe.records["bot-0002"][0].generation == 3


def a_rest_may_end_while_a_round_goes_on() -> None:
    """Then the key that waited for its end is looked at again at once, and does not wait for all keys."""
    one = fleet(*(entry(number) for number in range(3)), pace=UNVERIFIED)
    one.go(SOON)
    asked(one, ["bot-0002"], "one")
    one.rounds.mark(["bot-0002"])
    one.go(SOON)
    begin = one.account.open

    @contextmanager
    def long(desired: Desired) -> Iterator[Runner]:
        with begin(desired) as runner:
            yield runner
        one.universe.now += UNVERIFIED.between.total_seconds()

    one.account.open = long  # type: ignore[method-assign]
    asked(one, ["bot-0002"], "two")
    one.rounds.mark(["bot-0002"])
    one.go(SOON)
    one.account.open = begin  # type: ignore[method-assign]
    assert one.account.code("bot-0002") == "deferred"
    one.go(90)
    assert one.universe.records["bot-0002"][0].generation == 3


def groups_have_their_turns() -> None:
    """Who has many new keys, first in the order, does not make another one wait."""
    many = [replace(entry(number), id=f"many.bot-{number}") for number in range(19)]
    few = replace(entry(19), id="few.bot")
    one = fleet(*many, few, pace=replace(UNVERIFIED, adoptions=5))
    one.rounds.step()
    assert one.universe.records[few.id][0].generation == 1
    assert sum(record.generation == 1 for record, _ in one.universe.records.values()) == 5


def more_rotations_than_a_run_may_start_come_in_the_next_runs() -> None:
    """Eight from one whole round to the next, and one that is not counted, though the rounds between are many."""
    one = rested(20, every=3.0, apart=0.3, pace=UNVERIFIED)
    one.account.rotations = 8
    one.go(1.7 * 3600)
    generations = {key: record.generation for key, (record, _) in one.account.universe.records.items()}
    assert set(generations.values()) == {2}
    runs: list[int] = []
    before = dict.fromkeys(generations, 1)
    for told in one.account.told:
        if len(told.keys) == 20:
            runs.append(0)
        runs[-1] += sum(key.generation - before[key.key] for key in told.keys)
        before |= {key.key: key.generation for key in told.keys}
    assert max(runs) == 9, runs
    assert sum(runs) == 20


def a_restart_forgets_no_heal() -> None:
    """What was healed just before counts: an operator that starts again and again is braked like one that runs."""
    one = rested(20, pace=UNVERIFIED)
    one.account.rotations = 5
    one.go(30)
    lost = list(one.account.keys)[:5]

    def again(fleet: Fleet) -> int:
        stolen(fleet, len(lost))
        fleet.rounds.mark(lost, verify=True)
        begun = len(fleet.universe.mints)
        fleet.go(SOON)
        return len(fleet.universe.mints) - begun

    assert again(one) == len(lost)
    start = restarted(one.account, UNVERIFIED)
    assert again(start) == 0
    assert set(start.rounds.queue.held) == set(lost)
    start.go(600)  # the next run
    assert start.rounds.queue.held == {}


def a_group_holds_up_no_other_one() -> None:
    """However much one loses, and whatever it had before in the same run."""
    many = [replace(entry(number), id=f"many.bot-{number}") for number in range(6)]
    few = replace(entry(7), id="few.bot")
    one = fleet(*many, few, pace=UNVERIFIED)
    one.account.rotations = 5
    one.go(700)
    stolen(one, 7)
    one.rounds.mark(one.account.keys, verify=True)
    one.go(SOON)
    records = one.universe.records
    assert records[few.id][0].generation == 2
    assert set(one.rounds.queue.held) == {key.id for key in many}


def groups(**sizes: int) -> Fleet:
    """Return keys at rest, so many of each group, in this order."""
    names = [f"{group}.bot-{number}" for group, size in sizes.items() for number in range(size)]
    one = fleet(*(replace(entry(number), id=name) for number, name in enumerate(names)), pace=UNVERIFIED)
    one.go(2 * 3600)
    return one


def deaf(one: Fleet, keys: Collection[str]) -> None:
    """From here on no secret that these keys get is ever accepted."""
    uuids = {uuid for key in keys for uuid in one.universe.records[key][0].uuids}
    see = one.universe.watch
    assert see is not None

    def watch(universe: Universe, mutation: Mutation | Rollout) -> None:
        if isinstance(mutation, Renew) and mutation.uuid in uuids:
            universe.keys[mutation.uuid] = replace(universe.keys[mutation.uuid], accepted_from=inf)
        see(universe, mutation)

    one.universe.watch = watch


def refused_keys_of_a_group_stop_no_other_one() -> None:
    """Two keys get secrets that are refused. The API may be failing, but only one group says so: that one ends here.

    When a second group says so too, no group is begun.
    """
    one = groups(many=3, more=2, few=1)
    deaf(one, theirs(one, "many")[:2])
    stolen(one, 6)
    one.rounds.mark([*theirs(one, "many"), *theirs(one, "few")], verify=True)
    one.go(SOON)
    assert heals(one, one.account.keys) == [0, 0, 0, 0, 0, 1]
    told = one.account.told[-1]
    assert told.stop is None
    assert ["all-refused" in {end.code for end in key.every} for key in told.keys] == [False, False, True, False]
    deaf(one, theirs(one, "more"))
    stolen(one, 6)
    one.rounds.mark(one.account.keys, verify=True)
    one.go(SOON)
    assert heals(one, one.account.keys) == [0, 0, 0, 0, 0, 1]
    assert one.account.told[-1].stop is not None


def gone_keys_of_a_group_stop_no_other_one() -> None:
    """All API keys of a group are deleted in the panel; that of another group is taken over in the same round."""
    one = groups(many=2)
    for key in one.account.keys:
        for uuid in one.universe.records[key][0].uuids:
            one.universe.land(Drop(uuid))
    new = replace(entry(9), id="few.bot-0")
    one.account.keys[new.id] = new
    panel(one.universe, new)
    one.universe.given |= {key.secret for key in one.universe.keys.values()}
    one.universe.others |= {(OWNER, new.id)}
    one.rounds.mark(one.account.keys)
    one.go(SOON)
    told = one.account.told[-1]
    assert told.stop is None
    assert ["all-gone" in {end.code for end in key.every} for key in told.keys] == [True, True, False]
    assert one.universe.records[new.id][0].generation == 1


def heals_of_a_group_stop_no_other_one() -> None:
    """A group that needs more than a run allows is held; two groups that need much are taken for a mistake."""
    for sizes, held in (({"some": 3, "more": 5, "few": 1}, "more"), ({"some": 4, "more": 4, "few": 1}, "some more")):
        one = groups(**sizes)
        one.account.rotations = 4
        stolen(one, 9)
        one.rounds.mark(one.account.keys, verify=True)
        one.go(SOON)
        keys = {key for group in held.split() for key in theirs(one, group)}
        assert set(one.rounds.queue.held) == keys
        assert heals(one, one.account.keys) == [int(key not in keys) for key in one.account.keys]


def heals_of_a_group_postpone_no_rotation_of_another_one() -> None:
    """A group spends the whole limit at each look at all keys; the rotation of another one that is due starts there."""
    one = groups(many=3, few=1)
    one.account.rotations = 3
    many, few = theirs(one, "many"), theirs(one, "few")
    rotation = one.account.keys[few[0]].rotation
    one.account.keys[few[0]] = replace(one.account.keys[few[0]], rotation=replace(rotation, every=3 * HOUR))
    one.rounds.mark(few)
    for _ in range(10):
        one.go((one.rounds.queue.whole - one.account.now()).total_seconds() - 0.1)
        stolen(one, 3)
        one.rounds.mark(many, verify=True)
        one.go(SOON)
    assert heals(one, few) == [1]
    assert min(heals(one, many)) == 10


BRAKES: tuple[Callable[[], None], ...] = (
    adoptions_trickle,
    broken_adoptions_hold_nobody_up,
    mass_healing_is_braked_though_found_in_portions,
    a_release_that_meets_no_brake_is_used_up,
    held_keys_are_counted_together,
    who_asks_makes_nobody_wait,
    who_asks_again_waits,
    a_rest_may_end_while_a_round_goes_on,
    groups_have_their_turns,
    a_restart_forgets_no_heal,
    a_group_holds_up_no_other_one,
    refused_keys_of_a_group_stop_no_other_one,
    gone_keys_of_a_group_stop_no_other_one,
    heals_of_a_group_stop_no_other_one,
    heals_of_a_group_postpone_no_rotation_of_another_one,
    more_rotations_than_a_run_may_start_come_in_the_next_runs,
)
