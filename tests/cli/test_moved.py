"""`moved: {from: ID}`: the id of a key was renamed in the manifest; its record goes on, and nothing else changes."""

from __future__ import annotations

import time

from tests.cli.desk import SHORT, Desk, desk
from tests.real.run import ForkServer


def _adopted(made: Desk, key: str = "bot", strategy: str = "in-place") -> None:
    made.more = {"timing": {**SHORT, "lease": "20s"}}
    made.existing(key, strategy)
    made.run("apply", "--yes")
    time.sleep(1.1 if strategy == "alternating" else 0)
    made.run("apply", "--yes")


def _rename(made: Desk, old: str = "bot", new: str = "robot") -> None:
    """Give the entry another id; the API keys and deliveries stay the same."""
    made.keys[new] = {**made.keys.pop(old), "name": old, "moved": {"from": old}}


def test_the_record_goes_on_under_the_new_id(nursery: ForkServer) -> None:
    """No API key, no secret and no file changes; claims, generation and history go on; the line may stay for ever."""
    with desk(nursery) as made:
        _adopted(made, strategy="alternating")
        before, account = made.record("bot"), (dict(made.sandbox.state.keys), dict(made.sandbox.state.secrets))
        files = made.files("secrets")
        _rename(made)
        plan = made.run("plan")
        assert "moves the record from 'bot': no API key and no delivery changes" in plan.stdout
        assert "left alone" not in plan.stdout
        assert "1 change to 1 key of 1." in plan.stdout
        made.run("apply", "--yes")
        after = made.record("robot")
        same = {"generation", "slots", "deliveries", "live", "digest_key", "account", "trigger"}
        assert {name: after[name] for name in same} == {name: before[name] for name in same}
        assert after["moved_from"] == ""
        old = made.record("bot")
        assert (old["moved_to"], old["slots"], old["deleted_at"] is not None) == ("robot", {}, True)
        claims = [made.document(f"slots/{slot['uuid']}") for slot in after["slots"].values()]
        assert [claim["key"] for claim in claims] == ["robot", "robot"]
        assert (made.sandbox.state.keys, made.sandbox.state.secrets) == account
        assert made.files("secrets") == files
        told = made.run("history", "robot").stdout
        assert "adopted" in told
        assert "moved from 'bot'" in told

        mark = made.mark()
        assert "1 ready" in made.run("apply", "--yes").stdout
        assert made.mark() == mark
        made.run("rotate", "robot", "--yes")
        assert made.run("status").code == 0
        assert made.record("robot")["generation"] == before["generation"] + 1


def test_what_cannot_be_moved(nursery: ForkServer) -> None:
    """An id with an entry, a record of another owner, two records, unfinished work: each is said, nothing changes."""
    with desk(nursery) as made:
        _adopted(made)
        entry = made.keys["bot"]
        mark = made.mark()
        made.keys["robot"] = {**entry, "name": "robot", "moved": {"from": "bot"}}
        made.keys["robot"]["deliver"] = [{**entry["deliver"][0], "path": "robot.env"}]
        answer = made.run("plan", code=3)
        assert "keys.robot.moved.from: the id 'bot' still has an entry; remove it, or remove `moved`" in answer.stderr

        made.keys = {"bot": entry}
        _rename(made)
        made.more |= {"name": "others"}
        answer = made.run("apply", "--yes", code=4)
        assert "the record of 'bot' belongs to 'desk', not to 'others' [moved-of-others]" in answer.stdout
        assert made.mark() == mark

        made.more |= {"name": "desk"}
        made.sandbox.arm("regenerate", "error-500", times=None)
        made.keys = {"bot": entry}
        made.run("rotate", "bot", "--yes", code=1)
        made.sandbox.clear_faults()
        _rename(made)
        mark = made.mark()
        answer = made.run("apply", "--yes", code=4)
        assert "left an open rotate in the record of 'bot' [move-unfinished]" in answer.stdout
        assert "put the entry of that id back" in answer.stdout
        assert made.mark() == mark
        time.sleep(1.1)
        made.keys = {"bot": entry}
        made.run("apply", "--yes")

        made.existing("robot")
        made.run("apply", "robot", "--yes")
        made.keys["robot"]["moved"] = {"from": "bot"}
        del made.keys["bot"]
        mark = made.mark()
        answer = made.run("apply", "--yes", code=4)
        assert "both 'bot' and 'robot' have a record, so none can be moved [moved-both]" in answer.stdout
        assert made.mark() == mark
