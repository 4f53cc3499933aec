"""A rotation that was asked for is done in the end, whatever fails before it; and what failed is told as it is."""

from __future__ import annotations

import time

from tests.cli.desk import SHORT, Desk, desk
from tests.real.run import ForkServer


def _at_rest(made: Desk) -> None:
    """Adopt an alternating key, and retire what was adopted."""
    made.more = {"timing": {**SHORT, "lease": "20s"}}
    made.existing("bot", "alternating", overlap="1s")
    made.run("apply", "--yes")
    time.sleep(1.1)
    made.run("apply", "--yes")


def test_a_report_of_a_leak_survives_a_retire_that_fails(nursery: ForkServer) -> None:
    """A due retire comes first and fails: the report is recorded, shown by status, and carried out by the next run."""
    with desk(nursery) as made:
        _at_rest(made)
        made.run("rotate", "bot", "--yes")
        leaked = made.held("bot")
        time.sleep(1.1)
        made.sandbox.arm("regenerate", "error-500", times=None)
        made.run("rotate", "bot", "--yes", "--compromised", "--reason", "INC-99", code=1)
        made.sandbox.clear_faults()

        assert "compromised" in {one["code"] for one in made.json("status", code=1)["keys"][0]["conditions"]}
        plan = made.json("plan", code=1)["runs"][0]["plans"][0]
        assert {"retire", "rotate"} <= {change["change"] for change in plan["changes"]}
        assert made.held("bot") == leaked

        made.run("apply", "--yes")
        assert made.held("bot") != leaked
        assert not made.sandbox.accepts(leaked)
        assert "INC-99" in made.run("history", "bot").stdout
        assert made.run("status").code == 0


def test_a_refused_new_secret_is_no_refused_consumer(nursery: ForkServer) -> None:
    """The new secret was delivered to nobody: rotate, status and plan say that the run failed."""
    with desk(nursery) as made:
        _at_rest(made)
        before = made.held("bot")
        made.sandbox.change(propagation=3600.0)
        report = made.json("rotate", "bot", "--yes", code=1)["runs"][0]["reports"][0]
        assert report["end"]["code"] == "new-secret-refused"
        assert "refused" not in {one["condition"] for one in report["conditions"]}
        for told in (made.json("status", code=1)["keys"][0], made.json("plan", code=1)["runs"][0]["plans"][0]):
            assert told["conditions"][0]["code"] == "last-run-failed"
            assert "the API refuses the new secret" in told["conditions"][0]["why"]
        assert made.held("bot") == before
        assert made.sandbox.accepts(before)


def test_what_is_recorded_is_told_while_the_api_is_silent(nursery: ForkServer) -> None:
    """`unknown` comes first, then what the record knows, such as an overlap; a cause that keys share is said once."""
    with desk(nursery) as made:
        made.existing("bot", "alternating", overlap="24h")
        made.existing("cat")
        made.existing("dog")
        made.run("apply", "--yes")
        made.api = "http://127.0.0.1:9"
        bot, cat, _ = made.json("status", code=1)["keys"]
        assert [one["code"] for one in bot["conditions"]] == ["no-answer", "overlap"]
        assert [one["code"] for one in cat["conditions"]] == ["no-answer"]
        for command in (("status",), ("plan",), ("apply", "--yes")):
            text = made.run(*command, code=1).stdout
            assert text.count("[no-answer]") == 1, text
            assert "bot, cat, dog" in text


def test_a_stopped_run_tells_what_is_wrong_with_each_key(nursery: ForkServer) -> None:
    """All keys are gone: the run stops, and plan, status and apply say of each key that it is gone."""
    with desk(nursery) as made:
        for name in ("bot", "cat"):
            made.existing(name)
        made.run("apply", "--yes")
        for key in made.sandbox.state.live_keys("sandbox"):
            made.sandbox.by_hand("delete", key.uuid)
        report = made.json("apply", "--yes", code=4)["runs"][0]["reports"][0]
        assert {"run-stopped", "gone"} <= {one["code"] for one in report["conditions"]}
        plan = made.json("plan", code=4)["runs"][0]["plans"][0]
        assert {"run-stopped", "gone"} <= {one["code"] for one in plan["conditions"]}
