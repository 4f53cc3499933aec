"""A run with another team's token stops, says what would help, and changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from keyturn.sandbox.state import USUAL
from tests.cli.desk import Desk, desk, side_by_side

if TYPE_CHECKING:
    from tests.real.run import ForkServer

THEIRS = "theirs"
TEAM = re.compile(r"team ([0-9a-f]{8}-[0-9a-f-]{27})")
KEYS = (("in-place",), ("alternating",), ("in-place", "alternating", "alternating"))
COMMANDS = (("plan",), ("apply", "--yes"), ("rotate", "bot-0", "--yes"))
MORE = (
    ("apply", "--yes", "--verify", "--allow-delete", "9"),
    ("rotate", "bot-0", "bot-1", "--compromised", "--yes"),
    ("adopt", "bot-0", "--secret", "regenerate", "--yes"),
)


@dataclass(frozen=True)
class Tokens:
    """Whether the team's own token, and the other team's, may read their team."""

    own_reads: bool
    theirs_reads: bool


def _token(made: Desk, team: str, *, reads: bool) -> str:
    scopes = USUAL if reads else USUAL - {"account:read"}
    return made.sandbox.add_token("", scopes=scopes, team=team).value


def test_another_teams_token_changes_nothing(nursery: ForkServer) -> None:
    """Not even where that team has keys of the same names; then the right token mints nothing, and secrets work."""
    reads = (True, False)
    cases = product(reads, reads, KEYS)
    side_by_side(lambda case: _wrong_team(nursery, Tokens(*case[:2]), case[2]), cases, 4)


def _wrong_team(nursery: ForkServer, tokens: Tokens, strategies: tuple[str, ...]) -> None:
    with desk(nursery) as made:
        ours = made.token = _token(made, "sandbox", reads=tokens.own_reads)
        for number, strategy in enumerate(strategies):
            made.existing(f"bot-{number}", strategy, overlap="1h")
        made.run("apply", "--yes")
        for key in made.sandbox.state.live_keys("sandbox"):
            made.sandbox.panel_create(key.name, team=THEIRS)
        before, minted, changed = made.mark(), made.mints(), _changes(made)

        made.token = _token(made, THEIRS, reads=tokens.theirs_reads)
        for command in (*COMMANDS, *(MORE if len(strategies) > 1 else ())):
            _helps(made.run(*command, code=4).stdout, tokens, command)
        assert made.json("status", code=4)["exit_code"] == 4
        assert made.mark() == before
        assert _changes(made) == changed

        made.token = ours
        made.run("apply", "--yes", "--verify")
        assert made.mints() == minted
        assert all(made.sandbox.accepts(made.held(key)) for key in made.keys)
        assert made.leaks() == []


def _helps(text: str, tokens: Tokens, command: tuple[str, ...]) -> None:
    """Either both teams are known, and the right one is named, or the scope that would tell them apart is."""
    if tokens.own_reads and tokens.theirs_reads:
        assert len(set(TEAM.findall(text))) == 2, command
    else:
        assert "account:read" in text, command
        assert "--take-over" in text, command


def _changes(made: Desk) -> int:
    return sum(seen.mutating for seen in made.sandbox.requests)
