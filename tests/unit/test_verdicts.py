"""What follows from each verdict: only a refusal of the secret itself ever leads to a mint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from keyturn.core.model import (
    DENIED,
    GOOD,
    UNJUDGED,
    UNKNOWN,
    Adopt,
    AdoptSecret,
    Api,
    DesiredKey,
    SlotName,
    Strategy,
    Verdict,
    WireAnswer,
    WireKind,
)
from keyturn.core.results import KeyReport, Options
from keyturn.core.secret import Secret
from keyturn.core.status import status
from keyturn.engine.executor import apply_key
from keyturn.engine.planning import plan_key
from keyturn.report.remedies import of_verdict, remedies
from tests.simulation.scenarios import NOTHING, PLACES, ROTATE, TIMING, VERIFY, entry, held, settled
from tests.simulation.showing import MODEL
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld

HARMLESS = sorted(set(Verdict) - GOOD - {Verdict.REFUSED})
"""Verdicts that say that something is wrong, but nothing of the secret."""
OF_MODEL = {WireKind.MODEL, WireKind.TIER, WireKind.MODEL_DENIED}
BOTH = pytest.mark.parametrize("strategy", Strategy)
EACH = pytest.mark.parametrize("verdict", HARMLESS)

Says = Callable[[str], WireKind]
PASTED = "sk-do-pasted"
UNPROVEN = UNJUDGED | {Verdict.QUOTA}
"""What leaves open, said of the list of models, whether the API knows a secret."""


class Answering(SimWorld):
    """A world whose inference API answers each secret as it is told to."""

    def __init__(self, universe: Universe, says: Says, *, blocked: bool | None = None) -> None:
        """`says` tells the answer to a secret; `blocked`: what the account's balance is known to do."""
        super().__init__(universe, {}, TIMING)
        self.says = says
        self.blocked = blocked

    def models(self, secret: Secret) -> WireAnswer:
        """The list is answered whatever the model does."""
        kind = self.says(secret.reveal())
        return WireAnswer(WireKind.OK, (MODEL,)) if kind in OF_MODEL else WireAnswer(kind, (MODEL,), "HTTP 4xx")

    def complete(self, secret: Secret, model: str, api: Api) -> WireAnswer:
        """A completion."""
        return WireAnswer(self.says(secret.reveal()), (), "HTTP 4xx")


def always(verdict: Verdict) -> Says:
    """The same answer to every secret."""
    return lambda _: WireKind(verdict.value)


def by_turn(universe: Universe, live: WireKind, new: WireKind) -> Says:
    """One answer to the secrets that exist now, another to those that are minted later."""
    known = frozenset(universe.mints)
    return lambda secret: live if secret in known else new


def go(world: SimWorld, desired: DesiredKey, options: Options = NOTHING) -> KeyReport:
    """Apply once."""
    world.universe.advance(1)
    world.universe.runs += 1
    return apply_key(world, desired, options, f"run-{world.universe.runs}")


def delivered(universe: Universe) -> str | None:
    """What consumers read."""
    return universe.fields.get(PLACES[0])


@BOTH
def test_a_refusal_heals(strategy: Strategy) -> None:
    """The one verdict that mints."""
    desired = entry(strategy)
    universe = settled(desired)
    before = delivered(universe)
    world = Answering(universe, lambda secret: WireKind.UNAUTHORIZED if secret == before else WireKind.OK)
    assert plan_key(world, desired, VERIFY).plan.mints
    assert go(world, desired, VERIFY).mints >= 1
    assert delivered(universe) != before


@BOTH
@EACH
def test_no_other_verdict_mints(strategy: Strategy, verdict: Verdict) -> None:
    """Nor writes a thing: the key ends with 1, its verdict, and what the operator can do."""
    desired = entry(strategy)
    universe = settled(desired)
    mints, before = list(universe.mints), delivered(universe)
    world = Answering(universe, always(verdict))
    planned = plan_key(world, desired, VERIFY)
    plan = planned.plan
    assert (plan.mints, plan.changes, plan.end.exit_code) == (False, (), 1)
    report = go(world, desired, VERIFY)
    assert (report.mints, report.exit_code, report.smoke and report.smoke.verdict) == (0, 1, verdict)
    assert of_verdict(verdict) in remedies(report.conditions, "main")
    assert (list(universe.mints), delivered(universe)) == (mints, before)
    shown = status(desired, plan.conditions, planned.record, planned.seen, world.now())
    assert (shown.verdict and shown.verdict.verdict, shown.code) == (verdict, verdict.value)
    assert report.now.code == verdict.value


@BOTH
def test_a_blocked_account_is_no_refusal(strategy: Strategy) -> None:
    """Every secret is answered 401 then: nothing is minted, and the balance is named."""
    desired = entry(strategy)
    universe = settled(desired)
    world = Answering(universe, always_no, blocked=True)
    assert not plan_key(world, desired, VERIFY).plan.mints
    report = go(world, desired, VERIFY)
    assert (report.mints, report.smoke and report.smoke.verdict) == (0, Verdict.BALANCE)


def always_no(_: str) -> WireKind:
    """Refuse every secret."""
    return WireKind.UNAUTHORIZED


@BOTH
@EACH
def test_a_changed_delivery_mints_nothing_either(strategy: Strategy, verdict: Verdict) -> None:
    """A pasted value, of which nothing is learnt, is neither replaced nor taken where the live secret is lost."""
    desired = entry(strategy)
    universe = settled(desired)
    universe.by_hand(PLACES[0], PASTED)
    universe.kept.clear()
    generation = universe.records["main"][0].generation
    report = go(Answering(universe, always(verdict)), desired, VERIFY)
    assert report.mints == 0
    if verdict in UNPROVEN:
        assert (report.end.code, universe.records["main"][0].generation) == (verdict.value, generation)
        assert delivered(universe) == PASTED


@BOTH
@pytest.mark.parametrize("verdict", sorted(UNKNOWN))
def test_a_rotation_waits_until_the_live_secret_can_be_tried(strategy: Strategy, verdict: Verdict) -> None:
    """A key of a VPC acts as one that does not answer."""
    desired = entry(strategy)
    universe = settled(desired)
    report = go(Answering(universe, always(verdict)), desired, ROTATE)
    assert (report.mints, report.end.code, report.exit_code) == (0, verdict.value, 1)
    assert of_verdict(verdict) in remedies(report.conditions, "main")


@pytest.mark.parametrize("verdict", sorted({*UNKNOWN, *DENIED, Verdict.BALANCE}))
def test_a_new_secret_that_is_worse_than_the_live_one_is_not_delivered(verdict: Verdict) -> None:
    """With `alternating` nobody notices; the end says the verdict."""
    desired = entry(Strategy.ALTERNATING)
    universe = settled(desired)
    before = delivered(universe)
    report = go(Answering(universe, by_turn(universe, WireKind.OK, WireKind(verdict.value))), desired, ROTATE)
    assert (report.mints, report.end.code, delivered(universe)) == (1, verdict.value, before)


def test_a_new_secret_that_nothing_proves_is_not_delivered() -> None:
    """A blocked balance explains every refusal, also that of a secret which the API does not know."""
    desired = entry(Strategy.ALTERNATING)
    universe = settled(desired)
    before = delivered(universe)
    report = go(Answering(universe, always(Verdict.BALANCE)), desired, ROTATE)
    assert (report.mints, report.end.code, delivered(universe)) == (1, "balance", before)


@pytest.mark.parametrize("verdict", sorted({*DENIED, Verdict.QUOTA}))
def test_a_new_secret_that_is_no_worse_is_delivered(verdict: Verdict) -> None:
    """The account or the manifest is at fault, for both alike."""
    desired = entry(Strategy.ALTERNATING)
    universe = settled(desired)
    before = delivered(universe)
    report = go(Answering(universe, always(verdict)), desired, ROTATE)
    assert (report.mints, report.exit_code) == (1, 1)
    assert delivered(universe) != before
    assert universe.records["main"][0].unverified.startswith(verdict.value)


@EACH
def test_an_in_place_secret_is_committed_unverified(verdict: Verdict) -> None:
    """Its predecessor is dead: consumers need it whatever the check says."""
    desired = entry(Strategy.IN_PLACE)
    universe = settled(desired)
    before = delivered(universe)
    report = go(Answering(universe, by_turn(universe, WireKind.OK, WireKind(verdict.value))), desired, ROTATE)
    assert (report.mints, report.exit_code) == (1, 1)
    assert delivered(universe) != before
    assert universe.records["main"][0].unverified.startswith(verdict.value)


@EACH
def test_adopting_the_present_secret(verdict: Verdict) -> None:
    """What could not be judged is not taken over, and no new secret is offered in its place."""
    desired = replace(entry(Strategy.IN_PLACE), adopt=Adopt(AdoptSecret.EXISTING))
    universe = held(desired, "")
    report = go(Answering(universe, always(verdict)), desired)
    assert report.mints == 0
    if verdict in UNPROVEN:
        assert (report.end.code, report.exit_code) == (verdict.value, 1)
        assert of_verdict(verdict) in remedies(report.conditions, "main")
        assert "regenerate" not in report.end.why
    else:
        assert universe.records["main"][0].live is SlotName.A


@pytest.mark.parametrize(
    ("secret", "code"),
    [("sk-do-" + "x" * 64, ""), ("doo_v1_" + "0" * 64, ""), ("dop_v1_" + "0" * 64, "account-token")],
)
def test_adopting_a_secret_of_either_format(secret: str, code: str) -> None:
    """Older and newer model access keys are taken over; a personal token of the account is not."""
    desired = replace(entry(Strategy.IN_PLACE), adopt=Adopt(AdoptSecret.EXISTING))
    universe = held(desired, "")
    universe.by_hand(PLACES[0], secret)
    report = go(Answering(universe, lambda _: WireKind.OK), desired)
    assert (report.mints, report.exit_code) == (0, 1 if code else 0)
    assert report.end.code == code or not code
    assert ("main" in universe.records) is not bool(code)


@pytest.mark.parametrize(
    ("kind", "blocked", "seen"),
    [
        (WireKind.UNAUTHORIZED, None, Verdict.REFUSED),
        (WireKind.UNAUTHORIZED, True, None),
        (WireKind.VPC, None, None),
        (WireKind.BALANCE, None, None),
        (WireKind.TIER, None, Verdict.ACCEPTED),
        (WireKind.QUOTA, None, Verdict.ACCEPTED),
    ],
)
def test_what_a_run_counts_as_refused(kind: WireKind, blocked: bool | None, seen: Verdict | None) -> None:
    """The brake on a common fate hears of real refusals only."""
    desired = entry(Strategy.IN_PLACE)
    world = Answering(settled(desired), lambda _: kind, blocked=blocked)
    assert plan_key(world, desired, VERIFY).verdict is seen


@pytest.mark.parametrize("blocked", [True, False])
def test_a_death_is_not_proven_while_the_account_is_blocked(blocked: bool) -> None:
    """The old secret of a retire is refused then like every other."""
    desired = entry(Strategy.ALTERNATING)
    universe = settled(desired, ROTATE)
    done = [event.what for event in universe.records["main"][0].history]
    assert any("retired" in what and "proven" in what for what in done)
    universe.runs += 1
    go(Answering(universe, lambda _: WireKind.OK), desired, ROTATE)
    universe.advance(2 * desired.rotation.overlap.total_seconds())
    go(Answering(universe, always_no, blocked=blocked), desired)
    assert universe.records["main"][0].history[-1].what.endswith("by-contract" if blocked else "proven")
