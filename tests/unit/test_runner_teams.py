"""A run with another team's token changes nothing, and the right token then finds all as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from keyturn.core.model import Delivery, Desired, DesiredKey, RecordsConfig, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.results import Options
from keyturn.engine.common_cause import BLIND
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from keyturn.report.remedies import remedy
from tests.simulation.faults import OWN, Token
from tests.simulation.scenarios import TIMING, empty, entry
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld

VERIFY = Options(verify=True)
BLIND_TOKEN = Token(reads_team=False)
THEIRS = Token(foreign=True)
THEIRS_BLIND = Token(reads_team=False, foreign=True)


class Team:
    """Keys of one manifest in a simulated world, worked on by runners with whatever token."""

    def __init__(self, folder: Path, strategy: Strategy, count: int) -> None:
        """Make the keys converge with a token of their own team that may not read it."""
        self.folder = folder
        self.world: Universe = empty()
        self.world.watch = None
        self.keys = tuple(self._entry(strategy, number) for number in range(count))
        self.desired = Desired("tests", (), RecordsConfig("v"), self.keys, timing=TIMING)
        for _ in range(2):
            assert self.runner(BLIND_TOKEN).apply([], Options()).exit_code == 0
            self.world.advance(2 * 3600.0)

    def _entry(self, strategy: Strategy, number: int) -> DesiredKey:
        place = Delivery("v", f"app-{number}", "key")
        return replace(entry(strategy), id=f"key-{number}", name=f"app-{number}", deliveries=(place,))

    def runner(self, token: Token, desired: Desired | None = None) -> Runner:
        """Return a runner that works with this token."""
        world = SimWorld(self.world, {}, TIMING, token=token)
        return Runner(world, desired or self.desired, lambda _: None, runs=Runs([self.folder]), workers=1)

    def secrets(self) -> Mapping[Delivery, str]:
        """Return what consumers read now, which the API has to accept."""
        assert all(self.world.accepted(self.world.fields[key.deliveries[0]]) for key in self.keys)
        return dict(self.world.fields)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("count", [1, 3], ids=["one key", "three keys"])
@pytest.mark.parametrize("token", [THEIRS, THEIRS_BLIND], ids=["reads its team", "does not"])
def test_another_teams_token_changes_nothing(tmp_path: Path, strategy: Strategy, count: int, token: Token) -> None:
    """`plan`, `apply` and `rotate` end with 4; then the right token mints nothing, and the secrets work."""
    team = Team(tmp_path, strategy, count)
    before, made, changes = team.secrets(), team.world.made, team.world.mutations
    for asked in (Options(), VERIFY, Options(rotate=True), Options(allow_delete=True)):
        plan = team.runner(token).plan([], asked, allow_delete=9)
        report = team.runner(token).apply([], asked, allow_delete=9)
        assert (plan.exit_code, report.exit_code) == (4, 4)
        assert plan.stop is not None
        assert "account:read" in remedy(plan.stop, "key-0") or plan.stop.code is Reason.ANOTHER_TEAM
        assert team.runner(token).status([], asked).exit_code == 4
    assert team.world.mutations == changes
    assert team.runner(OWN).apply([], VERIFY).exit_code == 0
    assert team.secrets() == before
    assert team.world.made == made


@pytest.mark.parametrize("token", [OWN, BLIND_TOKEN])
def test_a_key_that_is_really_gone_is_told_by_the_others(tmp_path: Path, token: Token) -> None:
    """One of three is deleted: the others' API keys show that the token is of their team, so it is gone."""
    team = Team(tmp_path, Strategy.ALTERNATING, 3)
    _delete(team, "key-1")
    plan = team.runner(token).plan([], Options())
    assert not plan.stopped
    assert plan.plans[1].changes[0].code == "gone"
    named = team.runner(token).plan(["key-1"], Options())
    assert named.plans[0].changes[0].code == "gone"
    assert team.runner(token).apply([], Options()).exit_code in {0, 1}
    assert {key.code for key in team.runner(token).status([], Options()).keys} <= {"at-rest", "overlap", "hand-off"}


def test_a_single_key_that_is_gone_needs_a_word(tmp_path: Path) -> None:
    """Nobody else tells the team: exit 4, until `--take-over` says that the token is the right one."""
    team = Team(tmp_path, Strategy.IN_PLACE, 1)
    _delete(team, "key-0")
    assert team.runner(BLIND_TOKEN).apply([], Options()).exit_code == 4
    assert team.runner(OWN).apply([], Options()).exit_code == 4
    assert team.runner(OWN).apply([], Options(take_over=True, same_team=True)).exit_code == 0
    team.secrets()


def test_the_team_is_noted_once_it_can_be_read(tmp_path: Path) -> None:
    """A blind token leaves the record without a team, and the plan says so; the first that sees it fills it in."""
    team = Team(tmp_path, Strategy.IN_PLACE, 1)
    assert team.world.records["key-0"][0].account == ""
    assert BLIND in team.runner(BLIND_TOKEN).plan([], Options()).notes
    assert team.runner(OWN).apply([], Options()).exit_code == 0
    assert team.world.records["key-0"][0].account == "team-1"
    assert team.runner(OWN).plan([], Options()).notes == ()
    changes = team.world.mutations
    assert team.runner(OWN).apply([], Options()).exit_code == 0
    assert team.world.mutations == changes


def _delete(team: Team, key: str) -> None:
    for slot in team.world.records[key][0].slots.values():
        del team.world.keys[slot.uuid]


@pytest.mark.parametrize("token", [THEIRS, THEIRS_BLIND], ids=["reads its team", "does not"])
@pytest.mark.parametrize("owner", [OWN, BLIND_TOKEN], ids=["team noted", "team unknown"])
def test_a_hand_off_is_not_carried_on_in_another_team(tmp_path: Path, token: Token, owner: Token) -> None:
    """A record without API keys tells its team, or what was listed when it was made."""
    team = Team(tmp_path, Strategy.IN_PLACE, 0)
    team.world.create_gone = True
    team.keys = (team._entry(Strategy.IN_PLACE, 0),)
    team.desired = replace(team.desired, keys=team.keys)
    assert team.runner(owner).apply([], Options()).exit_code == 1
    team.world.keys["new"] = replace(team.world.keys["other"], uuid="new", name="app-0")
    changes = team.world.mutations
    assert team.runner(token).plan([], Options()).exit_code == 4
    assert team.runner(token).apply([], Options()).exit_code == 4
    assert team.world.mutations == changes


@pytest.mark.parametrize("token", [THEIRS, THEIRS_BLIND], ids=["reads its team", "does not"])
@pytest.mark.parametrize("named", [[], ["key-1"]], ids=["all", "the new one"])
def test_a_new_key_is_not_begun_in_another_team(tmp_path: Path, token: Token, named: list[str]) -> None:
    """The owner's other keys show whose the account has to be."""
    team = Team(tmp_path, Strategy.IN_PLACE, 1)
    desired = replace(team.desired, keys=(*team.keys, team._entry(Strategy.IN_PLACE, 1)))
    changes = team.world.mutations
    assert team.runner(token, desired).apply(named, Options()).exit_code == 4
    assert team.world.mutations == changes
    assert team.runner(OWN, desired).apply(named, Options()).exit_code == 0
