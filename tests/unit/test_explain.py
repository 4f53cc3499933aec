"""Why a plan is what it is: every decision of the dry run, with the policies that were asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.machine.chain import CHAINS
from keyturn.core.machine.policy import Branch, Conditional, name_of
from keyturn.core.record import Op
from keyturn.core.results import Options
from keyturn.engine.explain import explain_key
from keyturn.engine.planning import plan_key
from tests.simulation.scenarios import TIMING
from tests.simulation.suite import table
from tests.simulation.world import SimWorld


@pytest.mark.parametrize("strategy", ["in-place", "alternating"])
def test_every_decision_of_a_plan_is_explained(strategy: str) -> None:
    """The policies are named in the order asked; the last one decided; the plan is the one without an explanation."""
    scenario = table()["rotate", strategy]
    world, desired, options = SimWorld(scenario.start(), {}, TIMING), scenario.acts[0].desired, Options(rotate=True)
    plan, decisions = explain_key(world, desired, options)
    unexplained = plan_key(SimWorld(scenario.start(), {}, TIMING), desired, options).plan
    assert replace(plan, basis="") == replace(unexplained, basis="")
    assert decisions[-1].kind == "End"
    assert decisions[-1].sentence == plan.end.why
    first = ("chain.decided", "move.moved_away", "ownership.team", "ownership.owner")
    assert {one.asked[:4] for one in decisions} == {first}
    assert all(one.sentence and one.by == one.asked[-1] for one in decisions)
    opened = next(one for one in decisions if one.by == "rotate.open_rotate")
    assert opened.sentence.startswith("rotates: asked for on the command line")
    assert "rotate.preflight" in opened.asked
    minted = next(one for one in decisions if one.kind == "Regenerate")
    assert minted.by == "minting.regenerate"
    assert "guards.failed(mint-failed)" in minted.asked


def test_every_branch_leads_to_a_chain_and_every_chain_is_reached() -> None:
    """No chain is missing, none is forgotten; each operation has one."""
    branches = {link.chain for chain in CHAINS.values() for link in chain if isinstance(link, Branch)}
    assert branches | {"entry"} == set(CHAINS)
    assert set(Op) <= set(CHAINS)


def test_policies_have_names_of_their_own() -> None:
    """A name tells one policy from all others, so that an explanation can be looked up."""
    links = [link for chain in CHAINS.values() for link in chain if not isinstance(link, Branch)]
    policies = {link.policy if isinstance(link, Conditional) else link for link in links}
    named = [(name_of(policy), policy) for policy in policies]
    plain = [name for name, policy in named if name.partition(".")[2] == policy.__qualname__]
    assert len(plain) == len(set(plain))
    assert not [name for name, _ in named if "lambda" in name or "conditional" in name]
