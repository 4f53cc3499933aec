"""`keyturn forget`: the record and the claims are released, everything else stays alive."""

from __future__ import annotations

import time

from tests.cli.desk import SHORT, Desk, desk
from tests.real.run import ForkServer


def _adopted(made: Desk, key: str = "bot", strategy: str = "in-place", *, overlap: str = "1s") -> None:
    """Adopt a key, and retire the secrets that an operator saw."""
    made.more = {"timing": {**SHORT, "lease": "20s"}}
    made.existing(key, strategy, overlap=overlap)
    made.run("apply", "--yes")
    time.sleep(1.1 if strategy == "alternating" else 0)
    made.run("apply", "--yes")


def _claims(made: Desk) -> list[bool]:
    """Tell of each claim whether it is released."""
    state = made.sandbox.state
    return [made.document(f"slots/{uuid}")["released_at"] is not None for uuid in state.keys]


def test_nothing_but_the_record_changes(nursery: ForkServer) -> None:
    """The API keys, their names and the delivered secrets stay; plans are silent of it; another manifest adopts it."""
    with desk(nursery) as made:
        _adopted(made, strategy="alternating")
        del made.keys["bot"]
        assert "left alone: bot" in made.run("plan").stdout
        assert "not in the manifest: put its entry back, or `keyturn forget bot`" in made.run("status").stdout
        held, keys, secrets = made.held("bot"), dict(made.sandbox.state.keys), dict(made.sandbox.state.secrets)
        answer = made.run("forget", "bot", "--yes", "--reason", "to team b")
        assert "stops managing the key; left as they are: the API keys bot-a (" in answer.stdout
        assert "env:bot.env#MODEL_ACCESS_KEY" in answer.stdout
        assert (made.held("bot"), made.sandbox.state.keys, made.sandbox.state.secrets) == (held, keys, secrets)
        assert made.sandbox.accepts(held)
        assert _claims(made) == [True, True]
        assert "left alone" not in made.run("plan").stdout
        told = made.run("history", "bot").stdout
        assert "forgotten" in told
        assert "to team b" in told

        again = made.run("forget", "bot", "--yes")
        assert "Nothing to do" in again.stderr
        made.more |= {"name": "team-b"}
        made.add("theirs", "alternating", name="bot", adopt={"secret": "existing", "live": "a"})
        made.keys["theirs"]["deliver"][0]["path"] = "bot.env"
        made.run("apply", "--yes")
        assert made.held("bot") == held
        assert made.record("theirs")["generation"] == 1
        assert made.run("status").code == 0


def test_what_cannot_be_forgotten(nursery: ForkServer) -> None:
    """A key with an entry, a key that never was, and another owner's: each is said, and nothing is changed."""
    with desk(nursery) as made:
        _adopted(made)
        mark = made.mark()
        answer = made.run("forget", "bot", "--yes", code=3)
        assert "the key 'bot' has an entry in the manifest. Remove the entry, then" in answer.stderr
        answer = made.run("forget", "bott", "--yes", code=3)
        assert "there is no record of a key 'bott'. Did you mean 'bot'?" in answer.stderr
        made.keys.clear()
        made.add("other")
        made.more |= {"name": "others"}
        answer = made.run("forget", "bot", "--yes", code=4)
        assert "the record of 'bot' belongs to 'desk'" in answer.stderr
        made.more |= {"name": "desk"}
        assert "the plan was not confirmed" in made.run("forget", "bot", code=4).stderr
        assert made.mark() == mark


def test_unfinished_work_is_not_forgotten(nursery: ForkServer) -> None:
    """A rotation without an answer is open: 4 and the way out, nothing written; once finished, it is forgotten."""
    with desk(nursery) as made:
        _adopted(made)
        made.sandbox.arm("regenerate", "error-500", times=None)
        made.run("rotate", "bot", "--yes", code=1)
        made.sandbox.clear_faults()
        entry = made.keys.pop("bot")
        made.add("other")
        mark = made.mark()
        answer = made.run("forget", "bot", "--yes", code=4)
        assert "left an open rotate of slot a; nobody would finish it [forget-unfinished]" in answer.stdout
        assert "put the entry of that id back, let `keyturn apply` finish it" in answer.stdout
        assert made.mark() == mark
        made.keys = {"bot": entry}
        time.sleep(1.1)
        made.run("apply", "--yes")
        made.keys = {}
        made.add("other")
        made.run("forget", "bot", "--yes")
        assert _claims(made) == [True]
        assert made.sandbox.accepts(made.held("bot"))


def test_a_secret_that_is_to_die_is_not_forgotten_in_silence(nursery: ForkServer) -> None:
    """In the overlap, and while a leaked secret lives: 4; with `--leave-old-secret` it is said what stays alive."""
    with desk(nursery) as made:
        _adopted(made, "two", "alternating", overlap="1h")
        made.existing("one")
        made.run("apply", "one", "--yes")
        made.sandbox.arm("regenerate", "error-422", times=None)
        made.run("rotate", "one", "--yes", "--compromised", code=1)
        made.sandbox.clear_faults()
        made.keys.clear()
        made.add("other")
        mark = made.mark()
        answer = made.run("forget", "one", "two", "--yes", code=4)
        assert "the old secret of slot b (two-b) still works; nobody would kill it [old-secret-left]" in answer.stdout
        assert "the secret that was reported as compromised still works" in answer.stdout
        assert "`keyturn forget two --leave-old-secret` leaves it alive" in answer.stdout
        assert made.mark() == mark
        answer = made.run("forget", "one", "two", "--yes", "--leave-old-secret")
        assert "the old secret of slot b (two-b) still works" in answer.stdout
        assert _claims(made) == [True, True, True]
