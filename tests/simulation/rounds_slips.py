"""Rounds that are broken in one rule each: the proof that the promises would notice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from unittest.mock import patch

from keyturn.core import brakes as product
from keyturn.core import limits, rounds, schedule
from keyturn.core.results import Options
from keyturn.core.rounds import FIRST_RETRY, Queue, Release, Round
from keyturn.engine import rounds as engine
from keyturn.engine.rounds import Rounds
from tests.simulation import brakes, promises

Swap = tuple[object, str, object]


@dataclass(frozen=True, slots=True)
class Slip:
    """One broken rule, and the promise that breaks with it."""

    promise: Callable[[], None]
    swaps: Callable[[], tuple[Swap, ...]]


def _constant(name: str, value: object) -> Callable[[], tuple[Swap, ...]]:
    return lambda: ((rounds, name, value),)


def _began(change: Callable[[Queue], Queue]) -> tuple[Swap, ...]:
    """Change the queue of a start."""
    real = Queue.began.__func__  # type: ignore[attr-defined]
    return ((Queue, "began", classmethod(lambda cls, *given: change(real(cls, *given)))),)


def _pace(**changes: object) -> Callable[[], tuple[Swap, ...]]:
    return lambda: _began(lambda queue: replace(queue, pace=replace(queue.pace, **changes)))  # type: ignore[arg-type]


def _settled(change: Callable[[Queue, Queue], Queue]) -> tuple[Swap, ...]:
    """Change the queue after a round; the function gets the one before, too."""
    real = Queue.settled
    return ((Queue, "settled", lambda queue, *given: change(queue, real(queue, *given))),)


def _taken(change: Callable[[Queue, Round], Round], before: Callable[..., Queue] = lambda queue, _: queue) -> Swap:
    """Change what is taken; `before`: the queue before it is, by the known keys."""
    real = Queue.taken

    def taken(
        queue: Queue, now: datetime, known: Iterable[str], release: Release | None = None
    ) -> tuple[Round | None, Queue]:
        found, after = real(before(queue, known), now, list(known), release)
        return (change(queue, found) if found else None), after

    return Queue, "taken", taken


def verifies_all_at_a_start() -> tuple[Swap, ...]:
    """The first round takes every portion."""
    return (*_began(lambda queue: replace(queue, turn=queue.turn - queue.pace.shares)), (rounds, "CATCH_UP", 99))


def verifies_in_whole_rounds() -> tuple[Swap, ...]:
    """A whole round verifies all."""

    def change(_: Queue, found: Round) -> Round:
        return replace(found, part=replace(found.part, verify=found.keys)) if found.whole else found

    return (_taken(change),)


def marks_postpone() -> tuple[Swap, ...]:
    """Each mark begins the gathering again."""
    real = Queue.marked

    def marked(queue: Queue, keys: Iterable[str], now: datetime, *, verify: bool = False) -> Queue:
        after = real(queue, keys, now, verify=verify)
        return replace(after, changes={key: replace(one, at=now) for key, one in after.changes.items()})

    return ((Queue, "marked", marked),)


def marks_forget_to_verify() -> tuple[Swap, ...]:
    """That a delivery changed is not kept."""
    real = Queue.marked

    def marked(queue: Queue, keys: Iterable[str], now: datetime, *, verify: bool = False) -> Queue:
        return real(queue, keys, now)

    return ((Queue, "marked", marked),)


def held_keys_slip_through() -> tuple[Swap, ...]:
    """A held key is looked at alone."""

    def change(queue: Queue, found: Round) -> Round:
        return found if found.whole or found.released else replace(found, keys=found.keys & set(queue.dirty))

    return (_taken(change),)


def each_round_is_a_run() -> tuple[Swap, ...]:
    """A brake is not told what the rounds before did."""
    return (_taken(lambda _, found: replace(found, part=replace(found.part, rotations={}, removals={}))),)


def a_start_knows_nothing() -> tuple[Swap, ...]:
    """A start does not ask the histories."""
    return (_taken(lambda _, found: replace(found, part=replace(found.part, since=None))),)


def release_lies_in_wait() -> tuple[Swap, ...]:
    """A release that meets no brake is kept."""

    def released(self: Rounds) -> Release | None:
        release = self._account.release()
        return release if release and release.token != self._spent and self.queue.held else None

    return ((Rounds, "_released", released),)


def release_is_not_spent() -> tuple[Swap, ...]:
    """A release releases again and again."""
    return ((Rounds, "_spend", lambda self, release: True),)


def adoptions_are_all_or_none() -> tuple[Swap, ...]:
    """The brake of the command line: a standstill."""
    return (_taken(lambda _, found: replace(found, part=replace(found.part, adoptions=None))),)


def deferred_keys_come_on_each_beat() -> tuple[Swap, ...]:
    """Who waits for a first secret is looked at again and again."""
    real = Queue._again

    def again(self: Queue, subject: object, place: int | None, *given: object, **named: object) -> object:
        return real(self, subject, place and 0, *given, **named)  # type: ignore[arg-type]

    return ((Queue, "_again", again),)


def missed_rounds_are_forgotten() -> tuple[Swap, ...]:
    """What a round could not do is not kept."""
    real = Queue.missed
    return ((Queue, "missed", lambda queue, taken, now: real(queue, None, now)),)


def missed_rounds_hold_nothing() -> tuple[Swap, ...]:
    """An account that is away is asked again at once."""
    real = Queue.missed
    return ((Queue, "missed", lambda queue, taken, now: replace(real(queue, taken, now), hold=None)),)


def entryless_records_are_dropped() -> tuple[Swap, ...]:
    """A key without an entry is forgotten."""

    def before(queue: Queue, known: Iterable[str]) -> Queue:
        names = set(known)
        due = {key: at for key, at in queue.due.items() if key in names}
        return replace(queue, due=due, whole=queue.whole + timedelta(days=9) if queue.seen else queue.whole)

    return (_taken(lambda _, found: found, before),)


def overdue_is_now() -> tuple[Swap, ...]:
    """An overdue rotation is shown as due at the moment of the look."""
    return ((schedule, "due_since", lambda rotation, minted: datetime.now(minted.tzinfo)),)


def no_end_is_noted() -> tuple[Swap, ...]:
    """When the last round ended is not kept, so a clock that is set back is not noticed."""
    return _settled(lambda _, after: replace(after, ended=None))


def waits_for_leases() -> tuple[Swap, ...]:
    """A round waits for who has a key, as the command line does."""
    return ((engine, "ASKED", Options()),)


def watches_are_forgotten() -> tuple[Swap, ...]:
    """What was seen of a run elsewhere is not kept from round to round."""
    return _settled(lambda _, after: replace(after, watches={}))


def no_due_moments() -> tuple[Swap, ...]:
    """Only whole rounds look at what is due."""
    return _settled(lambda _, after: replace(after, due={}))


def asked_rotations_wait_for_a_run() -> tuple[Swap, ...]:
    """What is deferred comes with the next whole round, whatever it is."""
    return _settled(lambda _, after: replace(after, due={}))


def who_asks_counts_as_a_heal() -> tuple[Swap, ...]:
    """Nobody asks how a rotation came about."""
    return tuple((module, "asked_for", lambda _: False) for module in (product, limits, rounds))


def all_groups_are_counted() -> tuple[Swap, ...]:
    """No other group is left out of a count."""
    return ((product, "beside", lambda counts, group: sum(counts.values())),)


def strangers_want_all() -> tuple[Swap, ...]:
    """A mark of a key that is not worked on makes a whole round."""

    def before(queue: Queue, known: Iterable[str]) -> Queue:
        strange = set(queue.dirty) - set(known)
        return replace(queue, due={**queue.due, **dict.fromkeys(strange, rounds._EPOCH)})

    return (_taken(lambda _, found: found, before),)


SLIPS: Mapping[str, Slip] = {
    "who waits backs off": Slip(promises.who_waits_for_a_person_costs_nothing, _constant("WAITS", frozenset())),
    "verifies all at a start": Slip(promises.each_key_is_verified_in_its_turn, verifies_all_at_a_start),
    "verifies in whole rounds": Slip(promises.a_restart_is_one_round, verifies_in_whole_rounds),
    "catches up at once": Slip(promises.after_a_sleep_the_portions_follow_each_other, _constant("CATCH_UP", 99)),
    "never verifies by time": Slip(promises.drift_is_healed, _pace(verify=None)),
    "marks postpone": Slip(promises.marked_keys_share_a_round, marks_postpone),
    "no rest between rounds": Slip(promises.marked_keys_share_a_round, _pace(rest=timedelta())),
    "marks do not gather": Slip(promises.marked_keys_share_a_round, _pace(rest=timedelta(), gather=timedelta())),
    "who keeps changing is followed": Slip(
        promises.who_keeps_changing_is_looked_at_seldom, _constant("CALM", timedelta())
    ),
    "marks crowd": Slip(promises.marks_of_many_keys_do_not_crowd, _pace(spread=timedelta())),
    "strangers want all": Slip(promises.marks_of_strangers_cost_nothing, strangers_want_all),
    "marks forget to verify": Slip(promises.drift_is_healed, marks_forget_to_verify),
    "held keys slip through": Slip(brakes.held_keys_are_counted_together, held_keys_slip_through),
    "each round is a run": Slip(brakes.mass_healing_is_braked_though_found_in_portions, each_round_is_a_run),
    "each round rotates its fill": Slip(
        brakes.more_rotations_than_a_run_may_start_come_in_the_next_runs, each_round_is_a_run
    ),
    "a release lies in wait": Slip(brakes.a_release_that_meets_no_brake_is_used_up, release_lies_in_wait),
    "a release is not spent": Slip(brakes.mass_healing_is_braked_though_found_in_portions, release_is_not_spent),
    "adoptions stand still": Slip(brakes.adoptions_trickle, adoptions_are_all_or_none),
    "adoptions do not trickle": Slip(brakes.adoptions_trickle, _pace(adoptions=99)),
    "deferred keys come on each beat": Slip(brakes.adoptions_trickle, deferred_keys_come_on_each_beat),
    "who asks counts as a heal": Slip(brakes.who_asks_makes_nobody_wait, who_asks_counts_as_a_heal),
    "what was asked for counts later": Slip(brakes.who_asks_makes_nobody_wait, _constant("asked_for", lambda _: False)),
    "what was asked for waits for a run": Slip(brakes.who_asks_makes_nobody_wait, asked_rotations_wait_for_a_run),
    "who asks again is served": Slip(brakes.who_asks_again_waits, _pace(between=timedelta())),
    "who asks again waits for a run": Slip(brakes.who_asks_again_waits, asked_rotations_wait_for_a_run),
    "a start knows nothing": Slip(brakes.a_restart_forgets_no_heal, a_start_knows_nothing),
    "one brake for all groups": Slip(
        brakes.a_group_holds_up_no_other_one,
        lambda: tuple((module, "group_of", lambda _: "") for module in (product, limits)),
    ),
    "all are stopped by one group that is refused": Slip(
        brakes.refused_keys_of_a_group_stop_no_other_one, all_groups_are_counted
    ),
    "all are stopped by one group that is gone": Slip(
        brakes.gone_keys_of_a_group_stop_no_other_one, all_groups_are_counted
    ),
    "heals of one group stop another one": Slip(brakes.heals_of_a_group_stop_no_other_one, all_groups_are_counted),
    "heals of one group postpone rotations of another one": Slip(
        brakes.heals_of_a_group_postpone_no_rotation_of_another_one, all_groups_are_counted
    ),
    "a group that is refused goes on": Slip(
        brakes.refused_keys_of_a_group_stop_no_other_one,
        lambda: ((product, "all_refused", lambda verdicts, group=None: None),),
    ),
    "no turns": Slip(brakes.groups_have_their_turns, lambda: ((product, "_in_turn", list),)),
    "pauses do not grow": Slip(
        promises.a_broken_target_holds_nobody_up_and_is_not_hammered, _constant("pause", lambda *_: FIRST_RETRY)
    ),
    "an account that is away is hammered": Slip(
        promises.while_the_account_is_away_nothing_is_lost, missed_rounds_hold_nothing
    ),
    "missed rounds are forgotten": Slip(
        promises.while_the_account_is_away_nothing_is_lost, missed_rounds_are_forgotten
    ),
    "doubts are forgotten": Slip(
        promises.a_delivery_that_cannot_be_read_is_shown_once, _constant("_doubt", lambda _: False)
    ),
    "watches are forgotten": Slip(promises.a_key_that_another_run_has_holds_nobody_up, watches_are_forgotten),
    "overdue is now": Slip(promises.a_broken_target_holds_nobody_up_and_is_not_hammered, overdue_is_now),
    "records without an entry are dropped": Slip(promises.a_key_that_went_is_finished, entryless_records_are_dropped),
    "a clock that is set back": Slip(promises.a_clock_that_is_set_back_delays_nothing, no_end_is_noted),
    "waits for leases": Slip(promises.a_key_that_another_run_has_holds_nobody_up, waits_for_leases),
    "only whole rounds": Slip(promises.rotations_come_in_time, no_due_moments),
    "no beat": Slip(promises.two_accounts_are_independent, _constant("_chance", lambda *_: 0.5)),
    "chance of its own": Slip(promises.chance_follows_from_the_seed, _constant("_chance", lambda *_: 0.5)),
}


@contextmanager
def broken(slip: Slip) -> Iterator[None]:
    """Break a rule, within the block."""
    with ExitStack() as stack:
        for owner, name, value in slip.swaps():
            stack.enter_context(patch.object(owner, name, value))
        yield
