"""A delivery that moves: the plan says that its consumers lose the secret at the old place, and how to avoid that."""

from __future__ import annotations

from tests.cli.desk import FIELD, desk
from tests.real.run import ForkServer

NOTE = (
    f"Deliveries move: bot from env:bot.env#{FIELD} to env:new.env#{FIELD}. "
    "Consumers that still read the old place lose the secret in this run."
)


def test_a_move_in_one_run_is_said_and_one_in_two_is_not(nursery: ForkServer) -> None:
    """Text, JSON and markdown warn of a move in one run; with both places listed first, no consumer is without."""
    with desk(nursery) as made:
        made.existing("bot")
        made.run("apply", "--yes")
        held = made.held("bot")
        old, new = ({"target": "env", "path": f"{name}.env", "field": FIELD} for name in ("bot", "new"))
        made.keys["bot"]["deliver"] = [new]
        assert NOTE in made.run("plan").stdout
        [note] = made.json("plan")["runs"][0]["notes"]
        assert note.startswith(NOTE)
        assert note.endswith("list both places, and drop the old one later; or set clean_targets: false.")
        assert NOTE in made.run("plan", "--format", "markdown").stdout.replace("\\", "")
        made.keys["bot"]["clean_targets"] = False
        assert made.json("plan")["runs"][0]["notes"] == []
        del made.keys["bot"]["clean_targets"]

        made.keys["bot"]["deliver"] = [old, new]
        assert "Deliveries move" not in made.run("apply", "--yes").stderr
        assert made.held("new") == made.held("bot") == held
        made.keys["bot"]["deliver"] = [new]
        assert "Deliveries move" not in made.run("apply", "--yes").stderr
        assert (made.held("new"), made.held("bot")) == (held, "")
