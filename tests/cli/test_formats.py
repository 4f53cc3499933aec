"""Secrets of the older and of the newer format, through every way in which a key comes to keyturn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.cli.desk import Desk, desk, side_by_side

if TYPE_CHECKING:
    from tests.real.run import ForkServer

FORMATS = ("sk-do-", "doo_v1_", "mixed")


def test_secrets_of_either_format(nursery: ForkServer) -> None:
    """Adopted or handed off, in turn or in place: 0, exactly the mints that it takes, and no secret anywhere."""

    def work(prefix: str) -> None:
        with desk(nursery, secret_prefix=prefix) as made:
            _every_way_in(made)
        with desk(nursery, secret_prefix=prefix) as made:
            _from_standard_input(made)

    side_by_side(work, FORMATS, 3)


def _every_way_in(made: Desk) -> None:
    made.existing("kept", adopt={"secret": "existing"})
    made.existing("new")
    made.existing("turns", "alternating")
    made.add("handed")
    del made.keys["handed"]["adopt"]
    state = made.sandbox.state
    kept = next(key.secret for key in state.keys.values() if key.name == "kept")
    made.put("kept", kept)

    # What is there is adopted: one secret is kept, two are made; the fourth key waits for an operator.
    made.run("plan", code=1)
    assert "with exactly this name:\n  handed\n" in made.run("apply", "--yes", code=1).stdout
    assert made.mints() == 2
    assert made.held("kept") == kept
    seen = made.sandbox.panel_create("handed").secret
    made.run("apply", "--yes")
    assert not made.sandbox.accepts(seen)
    _rest(made)
    # One more for the hand-off, and one to kill the secret that an operator saw of the standby.
    assert made.mints() == 4

    # Every key rotates once; then the old secret of the one in turn dies.
    before = made.mints()
    made.run("rotate", *made.keys, "--reason", "to see it", "--yes")
    assert made.mints() - before == 4
    _rest(made)
    assert made.mints() - before == 5
    assert made.held("kept") != kept

    for key in ("new", "turns"):
        made.run("smoke", key, "--secret", "stdin", stdin=f"{made.held(key)}\n")
    assert "refused" in made.run("smoke", "kept", "--secret", "stdin", code=1, stdin=kept).stdout
    for command in (["smoke"], ["status", "--verify", "--all"], ["plan", "--verify"], ["apply", "--verify", "--yes"]):
        made.run(*command, "-vv")
    made.json("status", "--verify")
    assert made.mints() - before == 5
    _formats(made)
    assert made.leaks() == []


def _from_standard_input(made: Desk) -> None:
    """`adopt --secret stdin` takes either format without a mint."""
    made.add("bot")
    secret = made.sandbox.panel_create("bot").secret
    made.run("adopt", "bot", "--secret", "stdin", "--yes", "-vv", stdin=f"{secret}\n")
    assert made.held("bot") == secret
    assert made.mints() == 0
    assert made.leaks() == []


def _rest(made: Desk) -> None:
    """Apply until no old secret waits any more; then one apply changes nothing, and every consumer is accepted."""
    time.sleep(1.1)
    made.run("apply", "--yes")
    before = made.mark()
    made.run("apply", "--yes")
    assert made.mark() == before
    assert all(made.sandbox.accepts(made.held(key)) for key in made.keys)


def _formats(made: Desk) -> None:
    """The sandbox really gave what it was told to: this format, or both."""
    wanted = made.sandbox.settings.secret_prefix
    seen = {prefix for prefix in FORMATS[:2] for secret in made.sandbox.state.secrets if secret.startswith(prefix)}
    assert seen == (set(FORMATS[:2]) if wanted == "mixed" else {wanted})
