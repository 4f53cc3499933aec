"""Places that are gone and take nothing, a rollout that failed, an overlap that was shortened: what is said of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from keyturn.core.errors import KeyturnError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.model import Delivery, DesiredKey, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.results import Change, KeyPlan, Options
from keyturn.core.world import Held
from keyturn.engine.executor import apply_key
from keyturn.engine.planning import plan_key
from tests.simulation.marking import Rollouts
from tests.simulation.people import reopen, shut
from tests.simulation.rules import LONG
from tests.simulation.scenarios import TIMING, VERIFY, settled
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld
from tests.unit.test_write_only import BOTH, ROTATE, go, key, of

GONE = "there is no such part"


def planned(universe: Universe, desired: DesiredKey, options: Options = Options()) -> KeyPlan:  # noqa: B008
    """Return a plan."""
    return plan_key(SimWorld(universe, {}, TIMING), desired, options).plan


@BOTH
@pytest.mark.parametrize("label", ["dr", "rs", "ps", "s"])
def test_a_place_that_is_gone_is_told_and_nothing_is_promised(strategy: Strategy, label: str) -> None:
    """By plan and apply alike, with the words of the target, and in each later run; when it is back it is filled."""
    one = key(strategy, label)
    universe = settled(one)
    place = next(item for item in one.deliveries if item.target in "sd")
    shut(universe, place)
    told = Reason.PREFLIGHT_FAILED if label == "s" else Reason.DELIVER_FAILED
    before = len(universe.mints)
    for options in (VERIFY, Options(), Options()):
        plan = planned(universe, one, options)
        assert (plan.end.code, plan.now.code, plan.exit_code) == (told, told, 1)
        assert GONE in plan.end.why
        assert not [item for item in plan.changes if item.change in {Change.DELIVER, Change.ROTATE}]
        report = go(universe, one, options)
        assert (report.end.code, report.now.code, report.exit_code) == (told, told, 1)
    written = universe.mutations
    go(universe, one)
    assert universe.mutations == written
    assert len(universe.mints) == before
    assert [event.what for event in of(universe).history].count(f"{place} holds nothing: {GONE}") == 1
    reopen(universe)
    report = [go(universe, one, after=LONG) for _ in range(4)][-1]
    assert (report.exit_code, report.now.code) == (0, Reason.AT_REST)
    assert universe.accepted(universe.held(place))


@BOTH
def test_nothing_is_minted_for_a_place_that_is_gone(strategy: Strategy) -> None:
    """The plan says so, too; for a secret that leaked one is minted all the same, and only one."""
    one = key(strategy, "dr")
    universe = settled(one)
    place = next(item for item in one.deliveries if item.target in "sd")
    shut(universe, place)
    plan = planned(universe, one, ROTATE)
    assert (plan.end.code, plan.mints) == (Reason.PREFLIGHT_FAILED, False)
    before = len(universe.mints)
    assert go(universe, one, ROTATE).end.code is Reason.PREFLIGHT_FAILED
    assert len(universe.mints) == before
    leaked = universe.held(next(item for item in one.deliveries if item != place))
    go(universe, one, Options(rotate=True, compromised=True))
    go(universe, one, after=LONG)
    assert not universe.accepted(leaked)


@BOTH
def test_a_leaked_secret_of_a_place_that_is_gone_is_replaced_once(strategy: Strategy) -> None:
    """Nothing can take the new one: the key is parked at once."""
    one = key(strategy, "s")
    universe = settled(one)
    before, leaked = len(universe.mints), universe.held(one.deliveries[0])
    shut(universe, one.deliveries[0])
    for options in (Options(rotate=True, compromised=True), Options(), Options()):
        go(universe, one, options, after=LONG)
    assert len(universe.mints) - before == 1
    assert not universe.accepted(leaked)
    assert of(universe).parked


@BOTH
def test_a_place_that_is_gone_and_dropped_is_forgotten(strategy: Strategy) -> None:
    """It holds nothing: there is nothing to remove."""
    one = key(strategy, "dr")
    universe = settled(one)
    place = next(item for item in one.deliveries if item.target in "sd")
    shut(universe, place)
    less = replace(one, deliveries=tuple(item for item in one.deliveries if item != place))
    assert go(universe, less).exit_code == 0
    assert of(universe).delivery(place) is None


@pytest.mark.parametrize(
    ("error", "waits"), [(TargetMisfit, False), (TargetForbidden, False), (TargetUnavailable, True)]
)
def test_a_repair_waits_only_for_what_may_be_read_soon(error: type[KeyturnError], waits: bool) -> None:
    """A place that is not seen, such as one of an app that is gone, is the same until an operator acts."""
    one = key(Strategy.ALTERNATING, "rps")
    universe, told = settled(one), list[str]()
    _, emptied, hidden = one.deliveries
    live = universe.held(emptied)
    universe.by_hand(emptied, "")

    class Hidden(SimWorld):
        def read_delivery(self, delivery: Delivery) -> Held:
            if delivery == hidden:
                raise error("there is no such place")
            return super().read_delivery(delivery)

    report = apply_key(Hidden(universe, {}, TIMING), one, VERIFY, "run-hidden", lambda said: told.append(said.text))
    assert any(text.startswith("waiting to deliver again") for text in told) is waits
    assert report.exit_code == 1
    assert universe.held(emptied) == live


def test_a_failed_rollout_is_in_the_history_once() -> None:
    """However often it is seen; a later one is told again."""
    one = key(Strategy.ALTERNATING, "dr")
    universe = settled(one)
    universe.rollouts = replace(universe.rollouts, broken=True)
    place = next(item for item in one.deliveries if item.target == "d")
    what = f"not in use: {place}: its rollout failed"
    for number, options in enumerate([ROTATE, Options(), Options()]):
        go(universe, one, options, after=LONG if number else 1.0)
        assert [event.what for event in of(universe).history].count(what) == 1
    universe.rollouts = Rollouts({**universe.rollouts.used, place: universe.held(place)}, broken=True)
    for _ in range(3):
        go(universe, one, after=LONG)
    go(universe, one, ROTATE, after=LONG)
    assert [event.what for event in of(universe).history].count(what) == 2


@pytest.mark.parametrize("label", ["r", "dr"])
def test_an_overlap_that_the_entry_shortens_goes_on_and_that_is_said(label: str) -> None:
    """Also while the new secret is not in use yet."""
    one = key(Strategy.ALTERNATING, label)
    universe = settled(one)
    go(universe, one, ROTATE)
    shorter = replace(one, rotation=replace(one.rotation, overlap=one.rotation.overlap - timedelta(minutes=5)))
    for desired, said in ((one, False), (shorter, True)):
        asked = planned(universe, desired, ROTATE).conditions
        for found in (asked, planned(universe, desired).conditions, go(universe, desired).conditions):
            [overlap] = [end for end in found if end.code is Reason.OVERLAP]
            assert ("which began before the entry shortened it" in overlap.why) is said


def test_what_can_be_read_is_named_and_written_first() -> None:
    """Also where all get it in one step."""
    one = key(Strategy.IN_PLACE, "dr")
    changes = planned(settled(one), one, ROTATE).changes
    assert [item.delivery for item in changes if item.change is Change.DELIVER] == [*reversed(one.deliveries)]
