"""What the operator's policy lets a run do: its patterns, the names of API keys, what a command may allow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from keyturn.core import brakes
from keyturn.core.errors import OwnershipError
from keyturn.core.limits import Limits
from keyturn.core.machine import next_step
from keyturn.core.model import Adopt, AdoptSecret, ApiKey, DesiredKey, SlotName
from keyturn.core.permits import Permit, admits, literal
from keyturn.core.reasons import Reason
from keyturn.core.record import Claim, Record, Slot
from keyturn.core.results import Change, End, Options
from keyturn.core.state import Clock, Observed, Run, State
from tests.support.rig import NOW, make_rig, plan, record

if TYPE_CHECKING:
    from pathlib import Path

PERMIT = Permit(("bot-*",), rotations=20, deletes=1, removals=5)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("bot-*", ["bot-", "bot-a.b", "bot-x y"], ["bot", "xbot-a", "bot-a/b", "BOT-a", "bot-a\n/"]),
        ("**", ["", "a/b\nc"], []),
        ("a/**/z", ["a//z", "a/b/c/z"], ["a/z", "a/b/zz"]),
        ("b?t", ["bot", "b*t"], ["bt", "boot", "b/t"]),
        (r"b\*t", ["b*t"], ["bot", r"b\*t"]),
        ("a.b[c]", ["a.b[c]"], ["axb[c]", "a.bc"]),
        ("bot", ["bot"], ["bot\n", "bots", ""]),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern: str, good: list[str], bad: list[str]) -> None:
    """`*` and `?` stop at a slash, `**` does not; a backslash makes the next character plain."""
    assert [text for text in good if not admits([pattern], text)] == []
    assert [text for text in bad if admits([pattern], text)] == []
    assert admits([literal(pattern)], pattern)
    assert [text for text in (*good, *bad) if text != pattern and admits([literal(pattern)], text)] == []


def test_nothing_more_than_the_permit_can_be_allowed_by_a_command() -> None:
    """One sentence per thing, with the place of the rule; without a policy, nothing."""
    everything = Options(take_over=True, adopt=Adopt(AdoptSecret.EXISTING))
    limits = Limits(20, allow_rotations=21, allow_delete=2)
    assert len(brakes.beyond(PERMIT, everything, limits)) == 4
    assert brakes.beyond(None, everything, limits) == ()
    assert brakes.beyond(PERMIT, Options(adopt=Adopt(AdoptSecret.REGENERATE)), Limits(20, 20, 1)) == ()
    allowed = replace(PERMIT, allow=frozenset({"take-over", "existing"}))
    assert brakes.beyond(allowed, everything, Limits(20)) == ()


def test_the_runner_refuses_before_it_asks_anything(tmp_path: Path) -> None:
    """And the ceiling of the policy is the ceiling of the run."""
    made = make_rig(tmp_path / "runs", ("a", "b"), plans={key: plan(key, Change.ADOPT) for key in ("a", "b")})
    made.runner._desired = replace(made.runner._desired, permit=replace(PERMIT, rotations=1))
    with pytest.raises(OwnershipError, match="the policy does not allow to take over"):
        made.runner.apply([], Options(take_over=True))
    assert made.world.calls == {}
    assert made.runner.plan([], Options()).exit_code == 4
    made.runner._desired = replace(made.runner._desired, permit=replace(PERMIT, rotations=2))
    found = made.runner.plan([], Options())
    assert (found.exit_code, found.policy) == (0, "policy")


def state(desired: DesiredKey, found: Record | None, *listed: ApiKey, options: Options = Options()) -> State:  # noqa: B008
    """Return what a run has seen of a key."""
    claims = {key.uuid: Claim(key.uuid, "owner", "bot") for key in listed}
    observed = Observed(listed, relisted=True, account="team", claims=claims)
    return State(desired, found, "1", observed, Run("run", digest_key="00"), Clock(NOW, 0.0), options)


@pytest.mark.finding("M1", before="a forged record kills any API key", now="none whose name the policy does not admit")
def test_a_record_cannot_reach_a_name_outside(tmp_path: Path) -> None:
    """The runner gives the owner's permit to a record without an entry, whose due retire then stops at the name."""
    made = make_rig(tmp_path / "runs", ("a",))
    made.runner._desired = replace(made.runner._desired, permit=PERMIT)
    desired = made.runner._entryless("bot")
    slots = {SlotName.A: Slot("uuid-a", "bot-a"), SlotName.B: Slot("uuid-b", "bot-b")}
    forged = replace(record("bot", retire=True), slots=slots)
    live, prod = ApiKey("uuid-a", "bot-a"), ApiKey("uuid-b", "prod")
    decision = next_step(state(desired, forged, live, prod))
    assert isinstance(decision, End)
    assert decision.code is Reason.OUTSIDE_POLICY
    assert decision.exit_code == 4
    assert (
        decision.why
        == "the API key uuid-b is not to be changed: its name 'prod' matches no pattern of the policy (policy)"
    )
    for allowed in (replace(desired, permit=None), replace(desired, permit=replace(PERMIT, names=("bot-*", "prod")))):
        agreed = state(allowed, forged, live, prod, options=Options(allow_unproven=True))
        assert not isinstance(next_step(agreed), End)


@pytest.mark.finding("H3", before="any API key can be adopted by its uuid", now="only one whose name the policy admits")
def test_an_adoption_stops_at_a_name_outside() -> None:
    """By the entry and by the command."""
    desired = DesiredKey("bot", "owner", "bot-1", adopt=Adopt(AdoptSecret.REGENERATE, a="uuid-p"), permit=PERMIT)
    prod = ApiKey("uuid-p", "prod")
    for asked in (
        state(desired, None, prod),
        state(replace(desired, adopt=None), None, prod, options=Options(adopt=desired.adopt)),
    ):
        decision = next_step(asked)
        assert isinstance(decision, End)
        assert decision.code is Reason.OUTSIDE_POLICY
    free = next_step(state(replace(desired, permit=None), None, prod))
    assert not (isinstance(free, End) and free.code is Reason.OUTSIDE_POLICY)
