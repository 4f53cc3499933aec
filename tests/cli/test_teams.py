"""A run with another team's token stops, says what would help, and changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from keyturn.sandbox.state import USUAL
from tests.cli.desk import Desk, desk

THEIRS = "theirs"
COMMANDS = (("plan",), ("apply", "--yes"), ("apply", "--yes", "--verify", "--allow-delete", "9"), ("status",))


@dataclass(frozen=True)
class Tokens:
    """Whether the team's own token, and the other team's, may read their team."""

    own_reads: bool
    theirs_reads: bool

    def __str__(self) -> str:
        return f"ours {_reads(reads=self.own_reads)}, theirs {_reads(reads=self.theirs_reads)}"


def _reads(*, reads: bool) -> str:
    return "reads its team" if reads else "is blind"


def _token(made: Desk, team: str, *, reads: bool) -> str:
    scopes = USUAL if reads else USUAL - {"account:read"}
    return made.sandbox.add_token("", scopes=scopes, team=team).value


@pytest.mark.parametrize("strategy", ["in-place", "alternating"])
@pytest.mark.parametrize("count", [1, 3], ids=["one key", "three keys"])
@pytest.mark.parametrize("tokens", [Tokens(own, theirs) for own in (True, False) for theirs in (True, False)], ids=str)
def test_another_teams_token_changes_nothing(strategy: str, count: int, tokens: Tokens) -> None:
    """Not even where that team has keys of the same names; then the right token mints nothing, and secrets work."""
    with desk() as made:
        ours = made.token = _token(made, "sandbox", reads=tokens.own_reads)
        for number in range(count):
            made.existing(f"bot-{number}", strategy, overlap="1h")
        made.run("apply", "--yes")
        for key in made.sandbox.state.live_keys("sandbox"):
            made.sandbox.panel_create(key.name, team=THEIRS)
        before, minted, changed = made.mark(), made.mints(), _changes(made)

        made.token = _token(made, THEIRS, reads=tokens.theirs_reads)
        for command in (*COMMANDS, ("rotate", *made.keys, "--yes"), ("rotate", "bot-0", "--compromised", "--yes")):
            answer = made.run(*command, code=4)
            _helps(answer.stdout, tokens, command)
            assert made.json(*command, code=4)["exit_code"] == 4
            assert made.mark() == before, command
        assert _changes(made) == changed

        made.token = ours
        made.run("apply", "--yes", "--verify")
        made.run("smoke")
        assert made.mints() == minted
        assert all(made.sandbox.accepts(made.held(key)) for key in made.keys)
        assert made.leaks() == []


def _helps(text: str, tokens: Tokens, command: tuple[str, ...]) -> None:
    """Either both teams are known, and the right one is named, or the scope that would tell them apart is."""
    if tokens.own_reads and tokens.theirs_reads:
        assert re.search(r"belongs to the team [0-9a-f-]{36}, but bot-0.* to the team [0-9a-f-]{36}", text), command
        assert "Use the token of that team" in text
    else:
        assert "account:read" in text, command
        assert "--take-over" in text, command


def _changes(made: Desk) -> int:
    return sum(seen.mutating for seen in made.sandbox.requests)
