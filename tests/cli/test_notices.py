"""What receivers hear of runs, at a real receiver: transitions only, at least once, and never a secret."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.cli.desk import Desk, Json, desk, schema
from tests.support import canary
from tests.support.listener import Listener

if TYPE_CHECKING:
    from tests.real.run import ForkServer

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SLACK = "/services/T00/B00/chat-hook-of-the-tests"
ALL = ["rotated", "failed", "parked", "action-needed", "overdue", "refused", "recovered"]
ROTATE = ("rotate", "bot", "--yes")
APPLY = ("apply", "--yes")


def verifier() -> Callable[..., bool]:
    """Return the function with which docs/notices.md verifies a signature."""
    page = (Path(__file__).parents[2] / "docs/notices.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 - the page's own lines
    found: Callable[..., bool] = names["verify"]
    return found


@contextmanager
def told(nursery: ForkServer, *receivers: Json, strategy: str = "in-place") -> Iterator[tuple[Desk, Listener]]:
    """A desk with one key at rest whose manifest tells a webhook, and further receivers."""
    with Listener() as listener, desk(nursery) as made:
        made.existing("bot", strategy)
        hook = {"type": "webhook", "name": "ops", "url": f"{listener.url}/hook", "on": ALL}
        made.more["notify"] = [hook, *receivers]
        made.variables = {
            "KEYTURN_ALLOWED_ORIGINS": f"notify={listener.url}",
            "KEYTURN_NOTIFY_OPS_SECRET": SECRET,
            "KEYTURN_NOTIFY_CHAT_URL": f"{listener.url}{SLACK}",
        }
        made.run(*APPLY)
        try:
            yield made, listener
        except BaseException:
            print("\n".join(f"{got.path} {got.body.decode()}" for got in listener.log))
            print("\n".join(made.printed))
            raise
        _no_secret(made, listener)


def _no_secret(made: Desk, listener: Listener) -> None:
    """Search every request, output and record for every secret and token of the sandbox, and for digests."""
    state = made.sandbox.state
    texts = {f"request {number}": repr(got).encode() for number, got in enumerate(listener.log)}
    assert canary.found([*state.secrets, *state.tokens, SECRET], texts) == []
    digests = {slot["digest"] for key in made.keys for slot in (made.record(key) or {"slots": {}})["slots"].values()}
    assert not [name for name, text in texts.items() for digest in digests - {None} if digest.encode() in text]
    assert made.leaks() == []
    verify = verifier()
    for got in listener.log:
        if got.path == "/hook":
            assert verify(got.headers, got.body, SECRET)
            assert not verify(got.headers, got.body + b" ", SECRET)
            assert not verify({**got.headers, "webhook-timestamp": "1"}, got.body, SECRET)
    assert not [text for text in made.printed if SLACK in text]


def _edit(made: Desk, change: Callable[[Json], None]) -> None:
    """Change the record of the key by hand."""
    file = made.folder / ".keyturn/keyturn/keys/bot.json"
    whole = json.loads(file.read_text())
    record = json.loads(whole["document"])
    change(record)
    file.write_text(json.dumps({**whole, "document": json.dumps(record)}))


def _no_back_off(made: Desk) -> None:
    _edit(made, lambda record: record["failures"].update(next_try_at=None))


def _program(made: Desk, name: str, text: str) -> str:
    """Write a program and permit it; return its path."""
    file = made.folder / name
    file.write_text(f"#!{sys.executable}\n{text}\n")
    file.chmod(0o700)
    before = made.variables.get("KEYTURN_ALLOWED_COMMANDS")
    made.variables["KEYTURN_ALLOWED_COMMANDS"] = f"{before}:{file}" if before else str(file)
    return str(file)


def test_a_rotation_that_fails_parks_and_recovers(nursery: ForkServer) -> None:
    """One notice per transition: the first failure, the parking, the recovery; to every receiver."""
    chat = {"type": "slack", "name": "chat", "on": ["parked"]}
    switch = {"type": "dead-man", "name": "switch"}
    with told(nursery, chat, strategy="alternating") as (made, listener):
        page = _program(made, "page", f"import sys; open({str(made.folder / 'paged')!r}, 'a').write(sys.stdin.read())")
        made.variables["KEYTURN_NOTIFY_SWITCH_URL"] = f"{listener.url}/alive"
        pager = {"type": "command", "name": "page", "command": [page, "--now"], "on": ["parked"]}
        made.more["notify"] += [pager, switch]
        time.sleep(1.1)  # the overlap of the adoption: a rotation would only be noted before its end
        made.run(*APPLY)
        listener.log.clear()
        made.sandbox.arm("regenerate", "error-503", times=None)
        for _ in range(2):
            made.run(*ROTATE, code=1)
            assert listener.told() == [("failed", "bot")]
            _no_back_off(made)
        made.run(*ROTATE, code=1)
        assert listener.told() == [("failed", "bot"), ("parked", "bot")]
        made.run(*APPLY, code=1)
        assert listener.told() == [("failed", "bot"), ("parked", "bot")], "a key that stays parked is told once"
        assert not [got for got in listener.log if got.path == "/alive"], "no run was good"
        made.sandbox.clear_faults()
        made.run(*APPLY, "--unpark", "bot")
        events = [event for event, _ in listener.told()]
        assert sorted(events[2:]) == ["recovered", "rotated"]
        assert [got.path for got in listener.log].count("/alive") == 1
        made.run(*APPLY)
        assert len(listener.told()) == 4
        assert [got.path for got in listener.log].count("/alive") == 2
        parked = listener.notices()[1]
        assert parked["do"] == "remove the cause, then `keyturn apply bot --unpark bot`"
        assert (parked["condition"], parked["owner"], parked["keys"]) == ("parked", "desk", ["bot"])
        for notice in listener.notices():
            jsonschema.validate(notice, schema("notice"))
        assert json.loads((made.folder / "paged").read_text()) == parked
        (message,) = (got.notice for got in listener.log if got.path == SLACK)
        assert message["text"].startswith("*parked*  desk: bot: 3 runs in a row failed")


def test_a_receiver_that_is_down_loses_nothing(nursery: ForkServer) -> None:
    """What waits is said by apply and status; when it is back, each notice comes once, in order."""
    with told(nursery) as (made, listener):
        listener.log.clear()
        listener.down()
        began = time.monotonic()
        made.run(*ROTATE)
        answer = made.run(*ROTATE)
        assert time.monotonic() - began < 15, "it does not slow a run beyond a bound"
        assert "2 notices wait for receiver ops since " in answer.stdout
        assert "no answer (ConnectError)" in answer.stdout
        assert "2 notices wait for receiver ops since " in made.run("status").stderr
        listener.up()
        made.run("plan")
        assert listener.log == [], "a plan never sends"
        listener.status = 503
        assert "it answered with HTTP 503" in made.run(*APPLY).stdout
        refused = [one["id"] for one in listener.notices()]
        listener.status = 204
        retried = made.run(*APPLY).stdout
        assert "receiver ops took 2 notices that had waited since " in retried, "what the run has done is said"
        assert " wait for " not in retried
        sent = [one["id"] for one in listener.notices()][len(refused) :]
        assert sent == refused, "repeats have the same ids"
        assert len(set(sent)) == 2
        made.run(*APPLY)
        assert len(listener.log) == 4


def test_a_run_that_is_killed_before_it_tells(nursery: ForkServer) -> None:
    """The next run tells the rotation, although there is nothing left to do; and runs the hook once more."""
    with told(nursery) as (made, listener):
        listener.log.clear()
        calls, once = made.folder / "calls", made.folder / "once"
        program = _program(
            made,
            "restart",
            f"import os, signal, sys\nopen({str(calls)!r}, 'a').write('x')\n"
            f"if not os.path.exists({str(once)!r}):\n"
            f"    open({str(once)!r}, 'w').close(); os.kill(os.getppid(), signal.SIGKILL)",
        )
        made.keys["bot"]["after_delivery"] = {"command": [program]}
        shutil.rmtree(made.folder / ".keyturn/keyturn/notices")  # as if this were the first run that tells
        made.run(*ROTATE, code=-9)
        assert listener.log == []
        made.run("plan")
        assert calls.read_text() == "x"
        told_again = made.run(*APPLY).stdout
        assert listener.told() == [("rotated", "bot")]
        assert calls.read_text() == "xx", "at least once"
        assert "bot  ran the hook after the delivery" in told_again
        assert "1 key: 1 with a hook run; 1 ready." in told_again
        assert not made.record("bot")["hook_due"]
        made.run(*APPLY)
        assert (listener.told(), calls.read_text()) == ([("rotated", "bot")], "xx")


def test_a_run_that_is_killed_while_it_tells(nursery: ForkServer) -> None:
    """The receiver has it already; the next run sends it again, under the same id."""
    with told(nursery) as (made, listener):
        listener.log.clear()
        run = made.start(*ROTATE)
        listener.before = lambda: os.kill(run.pid, 9)
        made.end(run, code=-9)
        listener.before = lambda: None
        made.run(*APPLY)
        first, second = listener.notices()
        assert first == second
        made.run(*APPLY)
        assert len(listener.log) == 2


def test_a_hook(nursery: ForkServer) -> None:
    """After the delivery, with its own small environment and no shell; its failure is told and undoes nothing."""
    with told(nursery) as (made, listener):
        seen = made.folder / "seen"
        program = _program(
            made,
            "restart",
            "import json, os, sys\n"
            f"json.dump([sys.argv[1:], dict(os.environ), os.getcwd()], open({str(seen)!r}, 'w'))\n"
            f"sys.exit(os.path.exists({str(made.folder / 'broken')!r}) * 7)",
        )
        made.keys["bot"]["after_delivery"] = {"command": [program, "$(id)", "a b"], "timeout": "20s"}
        made.run(*APPLY)
        assert not seen.exists(), "a hook that was added is not called until something is delivered"
        made.run(*ROTATE)
        arguments, variables, where = json.loads(seen.read_text())
        assert (arguments, where) == (["$(id)", "a b"], "/")
        variables = {name: value for name, value in variables.items() if name != "LC_CTYPE"}  # Python's own
        ours = {f"KEYTURN_{name}" for name in ("KEY", "OWNER", "GENERATION", "PLACES")}
        assert set(variables) == {"PATH", "LANG", *ours}
        assert variables["KEYTURN_PLACES"] == "env:bot.env#MODEL_ACCESS_KEY"
        state = made.sandbox.state
        assert canary.found([*state.secrets, *state.tokens], {"seen": seen.read_bytes()}) == []
        (made.folder / "broken").touch()
        listener.log.clear()
        answer = made.run(*ROTATE, code=1)
        assert "ended with exit code 7; the delivery itself is complete" in answer.stdout
        assert made.sandbox.accepts(made.held("bot"))
        (failed,) = listener.notices()
        assert (failed["event"], failed["reason"], failed["key"]) == ("failed", "hook-failed", "bot")
        assert failed["since"], "it has been so since the delivery"
        held = made.held("bot")
        (run,) = made.json(*APPLY, code=1)["runs"]
        assert run["reports"][0]["conditions"][0]["since"] == failed["since"]
        (made.folder / "broken").unlink()
        made.run(*APPLY)
        assert made.held("bot") == held
        assert sorted(listener.told()[1:]) == [("recovered", "bot"), ("rotated", "bot")], "now it is good news"


@pytest.mark.parametrize("where", ["hook", "receiver"])
def test_a_program_runs_only_if_the_operator_permits_it(nursery: ForkServer, tmp_path: Path, where: str) -> None:
    """Without a permit, plan and apply refuse with 4 in one paragraph, and nothing runs; validate accepts."""
    with desk(nursery) as made:
        made.existing("bot")
        program = _program(made, "evil", f"open({str(made.folder / 'ran')!r}, 'w')")
        if where == "hook":
            made.keys["bot"]["after_delivery"] = {"command": [program]}
        else:
            made.more["notify"] = [{"type": "command", "command": [program], "on": ALL}]
        permitted = made.variables.pop("KEYTURN_ALLOWED_COMMANDS")
        before = made.mark()
        for text in ("", f"{made.folder}", f"{program}x:/bin/sh"):
            made.variables = {"KEYTURN_ALLOWED_COMMANDS": text} if text else {}
            for command in (("plan",), ROTATE):
                answer = made.run(*command, code=4)
                assert answer.stderr.count(f"the program {program} may not be run") == 1
                assert len(answer.stderr.strip().splitlines()) == 1
        assert made.mark() == before
        made.run("validate")
        drafted = made.run("policy", "init").stdout
        made.variables = {"KEYTURN_POLICY": str(tmp_path / "policy.yaml")}
        (tmp_path / "policy.yaml").write_text(drafted.replace(program, "/bin/other"))
        answer = made.run(*APPLY, code=4)
        assert f"the policy does not allow the program {program} (policy: {tmp_path}/policy.yaml:" in answer.stderr
        assert not (made.folder / "ran").exists()
        (tmp_path / "policy.yaml").write_text(drafted)
        made.run(*APPLY)
        made.run(*ROTATE)
        assert (made.folder / "ran").exists()
        assert permitted == program


@pytest.mark.finding("D3", before="a receiver without its variable stopped all manifests", now="only its notices wait")
def test_a_receiver_that_the_operator_has_not_set_up(nursery: ForkServer) -> None:
    """A stranger's manifest reaches no host and reads no variable, and it holds up no key: only its notices wait."""
    with Listener() as listener, desk(nursery) as made:
        made.existing("bot")
        hook = {"type": "webhook", "name": "ops", "url": f"{listener.url}/hook", "on": ALL}
        chat = {"type": "slack", "name": "chat", "on": ALL}
        made.more["notify"] = [hook, chat, {"type": "dead-man", "name": "switch"}]
        secret, own = "KEYTURN_NOTIFY_OPS_SECRET", {"KEYTURN_NOTIFY_CHAT_URL": f"{listener.url}{SLACK}"}
        elsewhere = {secret: SECRET, "KEYTURN_ALLOWED_ORIGINS": f"vault={listener.url}"}
        for number, (variables, words) in enumerate(
            (
                ({}, 'export KEYTURN_NOTIFY_OPS_SECRET="whsec_$(openssl rand -base64 32)"'),
                ({secret: "whsec_c2hvcnQ="}, "the secret of the receiver ops is not one for webhooks"),
                (elsewhere, f"no notice of the receiver ops may be sent to {listener.url}"),
            ),
            start=1,
        ):
            made.variables = {**own, **variables}
            answer = made.run(*(ROTATE if number > 1 else APPLY))
            assert f"A receiver is not set up, and its notices wait: {made.folder}/keyturn.yaml:" in answer.stdout
            assert words in answer.stdout
            assert "KEYTURN_NOTIFY_SWITCH_URL: the URL of the receiver switch is not set" in answer.stdout
            assert f"{number} notice{'s wait' if number > 1 else ' waits'} for receiver ops" in answer.stdout
        assert {words in (checked := made.run("validate").stderr), "KEYTURN_NOTIFY_SWITCH_URL" in checked} == {True}
        assert words in made.run("doctor", code=3).stdout
        assert made.run("plan").code == made.run("status").code == 0
        assert [got.path for got in listener.log] == [SLACK] * 3, "the others are told"
        made.variables["KEYTURN_ALLOWED_ORIGINS"] = f"notify={listener.url}"
        listener.status, listener.location = 307, f"{listener.url}/elsewhere"
        assert "it answered with HTTP 307" in made.run(*APPLY).stdout, "no redirect is followed"
        listener.status, listener.location = 204, ""
        made.run(*APPLY)
        assert [one["event"] for one in listener.notices()][-3:] == ["rotated"] * 3, "nothing is lost"
        _no_secret(made, listener)


def test_common_causes_overdue_keys_and_hand_offs(nursery: ForkServer) -> None:
    """One cause is told once with the names of its keys; a rotation that does not happen is told; so is a hand-off."""
    with told(nursery) as (made, listener):
        for name in ("one", "two"):
            made.existing(name)
        made.run(*APPLY)
        listener.log.clear()
        made.token = "dop_v1_" + "0" * 64
        made.run(*APPLY, code=5)
        (notice,) = listener.notices()
        assert (notice["event"], notice["key"], notice["keys"]) == ("failed", "", ["bot", "one", "two"])
        assert notice["text"].startswith("3 keys (bot, one, two): ")
        made.token = ""
        made.run(*APPLY)
        assert listener.told()[1:] == [("recovered", "bot"), ("recovered", "one"), ("recovered", "two")]
        listener.log.clear()
        made.add("missing")
        made.run(*APPLY, code=1)
        (notice,) = listener.notices()
        assert (notice["event"], notice["reason"], notice["key"]) == ("action-needed", "hand-off", "missing")
        del made.keys["missing"]
        listener.log.clear()

        def waits(record: Json) -> None:
            now = datetime.now(UTC)
            record["slots"][record["live"]]["minted_at"] = (now - timedelta(days=40)).isoformat()
            record["failures"] = {"count": 2, "next_try_at": (now + timedelta(hours=1)).isoformat()}

        made.keys["bot"]["rotation"] = {"strategy": "in-place", "every": "30d"}
        _edit(made, waits)
        for _ in range(2):
            made.run(*APPLY)
        assert listener.told() == [("overdue", "bot")]
