"""Secrets of the older and of the newer format, through every way in which a key comes to keyturn."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cli.desk import Desk, desk

FORMATS = ("sk-do-", "doo_v1_", "mixed")


@pytest.fixture(params=FORMATS)
def mixed(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A desk whose account gives secrets of one format, or of both by turns."""
    with desk(secret_prefix=request.param) as found:
        yield found


def test_every_way_in(mixed: Desk) -> None:
    """Adopted or handed off, by turns or in place: 0, exactly the mints that it takes, and no secret anywhere."""
    mixed.existing("kept", adopt={"secret": "existing"})
    mixed.existing("made")
    mixed.existing("turns", "alternating")
    mixed.add("handed")
    del mixed.keys["handed"]["adopt"]
    state = mixed.sandbox.state
    kept = next(key.secret for key in state.keys.values() if key.name == "kept")
    mixed.put("kept", kept)

    # What is there is adopted: one secret is kept, two are made; the fourth key waits for a person.
    mixed.run("plan", code=1)
    assert "with exactly these names:\n  handed\n" in mixed.run("apply", "--yes", code=1).stdout
    assert mixed.mints() == 2
    assert mixed.held("kept") == kept
    seen = mixed.sandbox.panel_create("handed").secret
    mixed.run("apply", "--yes")
    assert not mixed.sandbox.accepts(seen)
    _rest(mixed)
    # One more for the hand-off, and one to kill the secret that a person saw of the standby.
    assert mixed.mints() == 4

    # Every key rotates once; then the old secret of the one by turns dies.
    before = mixed.mints()
    mixed.run("rotate", *mixed.keys, "--reason", "to see it", "--yes")
    assert mixed.mints() - before == 4
    _rest(mixed)
    assert mixed.mints() - before == 5
    assert mixed.held("kept") != kept

    for key in mixed.keys:
        mixed.run("smoke", key, "--secret", "stdin", stdin=f"{mixed.held(key)}\n")
    assert "refused" in mixed.run("smoke", "kept", "--secret", "stdin", code=1, stdin=kept).stdout
    for command in (["smoke"], ["status", "--verify", "--all"], ["plan", "--verify"], ["apply", "--verify", "--yes"]):
        mixed.run(*command, "-vv")
        mixed.json(*command)
    assert mixed.mints() - before == 5
    _formats(mixed)
    assert mixed.leaks() == []


def test_a_secret_from_standard_input_is_kept(mixed: Desk) -> None:
    """`adopt --secret stdin` takes either format without a mint."""
    mixed.add("bot")
    made = mixed.sandbox.panel_create("bot")
    mixed.run("adopt", "bot", "--secret", "stdin", "--yes", "-vv", stdin=f"{made.secret}\n")
    assert mixed.held("bot") == made.secret
    assert mixed.mints() == 0
    assert mixed.leaks() == []


def _rest(mixed: Desk) -> None:
    """Apply until no old secret waits any more; then one apply changes nothing, and every consumer is accepted."""
    time.sleep(1.1)
    mixed.run("apply", "--yes")
    before = mixed.mark()
    mixed.run("apply", "--yes")
    assert mixed.mark() == before
    assert all(mixed.sandbox.accepts(mixed.held(key)) for key in mixed.keys)


def _formats(mixed: Desk) -> None:
    """The sandbox really gave what it was told to: this format, or both."""
    wanted = mixed.sandbox.settings.secret_prefix
    seen = {prefix for prefix in FORMATS[:2] for secret in mixed.sandbox.state.secrets if secret.startswith(prefix)}
    assert seen == (set(FORMATS[:2]) if wanted == "mixed" else {wanted})
