"""One key in each condition: every command and the Pulumi provider tell the same one, with the same exit code.

`GOLDEN=write` writes the pages again after a change that is meant.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.errors import KeyturnError
from keyturn.engine.ended import ended
from keyturn.live.live_world import open_world
from keyturn.manifest import load_all
from keyturn_provider import state
from tests.cli.desk import FIELD, Desk, desk
from tests.support.process import bare_environment

if TYPE_CHECKING:
    from tests.real.run import ForkServer

PAGES = Path(__file__).parent / "golden"
MONTH = {"strategy": "in-place", "every": "30d"}
ALTERNATING = {"strategy": "alternating", "overlap": "24h"}
LONG_AGO = datetime.now(UTC) - timedelta(days=40)


def _edit_record(made: Desk, change: Callable[[dict[str, Any]], None]) -> None:
    file = made.folder / ".keyturn/keyturn/keys/bot.json"
    whole = json.loads(file.read_text())
    record = json.loads(whole["document"])
    change(record)
    file.write_text(json.dumps({**whole, "document": json.dumps(record)}))


def _aged(made: Desk) -> None:
    """Let the live secret be 40 days old."""

    def age(record: dict[str, Any]) -> None:
        record["slots"][record["live"]]["minted_at"] = LONG_AGO.isoformat()

    _edit_record(made, age)


def _waits(made: Desk) -> None:
    """Let a rotation be due, and a back-off not be over."""
    _aged(made)
    soon = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    _edit_record(made, lambda record: record.update(failures={"count": 2, "next_try_at": soon}))


def _frozen(made: Desk) -> None:
    """Let a rotation be due in a freeze."""
    _aged(made)
    now = datetime.now(UTC)
    since, until = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (now - timedelta(days=1), now + timedelta(days=1)))
    made.more = {"freeze": [{"from": since, "until": until, "reason": "holidays"}]}


def _intent(made: Desk, left: timedelta) -> None:
    """Leave an open rotation of another run, whose lease ends after `left`."""
    now = datetime.now(UTC)
    intent = {"op": "rotate", "slot": "a", "nonce": "0badcafe", "run": "another-run", "since": now.isoformat()}
    intent["lease_until"] = (now + left).isoformat()
    _edit_record(made, lambda record: record.update(intent=intent))


def _parked(made: Desk) -> None:
    """Park the key with its present entry."""
    (desired,) = load_all(made.write(), {})
    parked = {"why": "3 runs in a row failed", "at": LONG_AGO.isoformat(), "fingerprint": desired.keys[0].fingerprint}
    _edit_record(made, lambda record: record.update(parked=parked))


def _uuid(made: Desk) -> str:
    record = made.record("bot")
    return str(record["slots"][record["live"]]["uuid"])


def _renamed(made: Desk) -> None:
    made.keys["bot"]["name"] = "robot"


def _rotated(made: Desk) -> None:
    made.run("rotate", "bot", "--yes")


def _leaked(made: Desk) -> None:
    """Rotate a leaked secret while the second place cannot be written: it keeps the secret that died."""
    second, held = made.folder / "secrets/second.env", made.held("second")
    second.unlink()
    second.mkdir()
    made.run("rotate", "bot", "--compromised", "--yes", code=1)
    second.rmdir()
    made.put("second", held)


def _nothing(made: Desk) -> None:
    pass


def _named_otherwise(made: Desk) -> None:
    made.sandbox.by_hand("rename", _uuid(made), "prod-search")


def _made_twice(made: Desk) -> None:
    """Leave an open create whose API key exists twice."""
    _intent(made, -timedelta(hours=1))
    for _ in range(2):
        made.sandbox.panel_create("bot-kt0badcafe")

    def change(record: dict[str, Any]) -> None:
        record.update(slots={}, live=None, intent={**record["intent"], "op": "create"})

    _edit_record(made, change)


def _unsigned(made: Desk) -> None:
    made.variables["KEYTURN_RECORD_KEY"] = "1a" * 32


def _fewer(made: Desk) -> None:
    """Take 21 of 22 deliveries out of the entry."""
    places = made.keys["bot"]["deliver"]
    for number in range(21):
        places.append({**places[0], "field": f"KEY_{number}"})
    made.run("apply", "--yes")
    del places[1:]


def _found(made: Desk) -> None:
    """Let the entry keep a secret that its field holds, without a smoke-check."""
    made.keys["bot"].update(adopt={"secret": "existing"}, smoke={"from": "skip"})
    (key,) = made.sandbox.state.keys.values()
    made.put("bot", key.secret)


@dataclass(frozen=True)
class Case:
    """How a key comes into a condition, and what is told of it: condition, reason and exit code."""

    condition: str
    code: str
    exit_code: int
    come: Callable[[Desk], object] = _nothing
    rotation: dict[str, str] = field(default_factory=lambda: {"strategy": "in-place"})
    exists: bool = True
    places: int = 1
    how: str = ""
    token: str = ""
    healed: str = ""
    """What an apply with `--verify` makes of it, if not the same."""
    pulumi: str = "healthy"
    """What a refresh finds. It judges by its own owner, here that of the record, and tries no pasted value."""


CASES = (
    Case("ready", "at-rest", 0),
    Case("due", "to-do", 0, _renamed, healed="ready"),
    Case("due", "due", 0, _aged, MONTH, healed="ready"),
    Case("overlap", "overlap", 0, _rotated, ALTERNATING),
    Case("waiting", "back-off", 0, _waits, MONTH),
    Case("busy", "another-run", 1, lambda made: _intent(made, timedelta(hours=1)), pulumi="failed"),
    Case("action-needed", "hand-off", 1, exists=False, pulumi="action-needed"),
    Case("held", "another-owner", 4, lambda made: _edit_record(made, lambda record: record.update(owner="others"))),
    Case(
        "drifted", "drifted", 1, lambda made: made.put("bot", "oops"), places=2, healed="ready", pulumi="drifted",
    ),
    Case(
        "refused", "refused", 1, lambda made: made.put("bot", "sk-do-oops"), how="-pasted",
        healed="ready", pulumi="drifted",
    ),
    Case(
        "drifted", "drifted", 1, lambda made: made.put("bot", "oops"), how="-no-key", healed="ready", pulumi="drifted",
    ),
    Case(
        "refused", "refused", 1, _leaked, ALTERNATING, places=2, how="-replaced", healed="ready", pulumi="refused",
    ),
    Case("waiting", "frozen", 0, _frozen, MONTH),
    Case("drifted", "emptied", 1, lambda made: made.put("bot", ""), healed="ready", pulumi="drifted"),
    Case(
        "refused", "refused", 1, lambda made: made.sandbox.by_hand("regenerate", _uuid(made)),
        healed="ready", pulumi="refused",
    ),
    Case(
        "gone", "gone", 1, lambda made: made.sandbox.by_hand("delete", _uuid(made)), pulumi="gone",
    ),
    Case("parked", "parked", 1, _parked, pulumi="parked"),
    Case("failed", "unfinished", 1, lambda made: _intent(made, -timedelta(hours=1)), healed="ready", pulumi="failed"),
    Case("login-refused", "login-refused", 5, token="dop_v1_" + "0" * 64, pulumi="login-refused"),
    Case(
        "unknown", "no-answer", 1, lambda made: made.sandbox.arm("list", "error-503", times=None), pulumi="unknown",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Stop:
    """How a key comes to a stop of an owner or a brake; `managed`: after it was at rest."""

    code: str
    come: Callable[[Desk], object]
    managed: bool = True


STOPS = (
    Stop("unproven", _named_otherwise),
    Stop("too-many-deletes", _made_twice),
    Stop("too-many-removals", _fewer),
    Stop("forged", _unsigned),
    Stop("field-in-use", lambda made: made.put("bot", "oops"), managed=False),
    Stop("secret-in-use", lambda made: made.put("bot", "sk-do-oops"), managed=False),
    Stop("not-confirmed", _found, managed=False),
)


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.code)
def test_a_stop_is_told_with_its_remedy(stop: Stop, nursery: ForkServer) -> None:
    """By the plan and by the apply, with exit code 4; nothing is changed."""
    with desk(nursery) as made:
        made.existing("bot")
        if stop.managed:
            made.run("apply", "--yes")
        stop.come(made)
        before = made.mark()
        told = {"plan": made.json("plan", code=4), "apply": made.json("apply", "--yes", code=4)}
        assert {_codes(document) for document in told.values()} == {stop.code}
        page = {f"keyturn {name}": made.run(*name.split(), code=4).stdout for name in ("plan", "apply --yes")}
        assert made.mark() == before
        _golden(f"held-{stop.code}", page, told["plan"]["runs"][0]["plans"])
        assert made.leaks() == []


def _codes(document: dict[str, Any]) -> str:
    """Return the code at which the only key ends."""
    (run,) = document["runs"]
    (key,) = run["plans" if document["kind"] == "plan" else "reports"]
    return str(key["end"]["code"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.condition}-{case.code}{case.how}")
def test_every_face_tells_the_same_condition(case: Case, nursery: ForkServer) -> None:
    """`status`, `plan`, `smoke`, Pulumi's refresh; and after an apply, the apply and `status` again."""
    with desk(nursery) as made:
        if case.exists:
            for end in ("-a", "-b") if case.rotation["strategy"] == "alternating" else ("",):
                made.sandbox.panel_create(f"bot{end}")
        made.add("bot")
        made.keys["bot"]["rotation"] = case.rotation
        if case.places > 1:
            made.keys["bot"]["deliver"].append({"target": "env", "path": "second.env", "field": FIELD})
        made.run("apply", "--yes", code=0 if case.exists else 1)
        if case.rotation["strategy"] == "alternating":
            _retired(made)
        case.come(made)
        made.token = case.token
        told = {
            "status": made.json("status", "--verify", code=None),
            "plan": made.json("plan", "--verify", code=None),
            "smoke": made.json("smoke", code=None),
        }
        seen = {name: _seen(document) for name, document in told.items()}
        assert set(seen.values()) == {(case.condition, case.code, case.exit_code)}, seen
        page = {f"keyturn {name}": _page(made, name) for name in ("status --verify", "plan --verify", "smoke")}
        assert _pulumi(made) == case.pulumi
        report = made.json("apply", "--yes", "--verify", "--lock-timeout", "0", code=None)
        after = _seen(report)
        assert after == _seen(made.json("status", "--verify", code=None))
        assert after[0] == (case.healed or case.condition)
        _golden(f"{case.condition}-{case.code}{case.how}", page, told["status"]["keys"])
        assert made.leaks() == []


def _retired(made: Desk) -> None:
    """End the first overlap at once: the standby is regenerated, so that nothing is left to do."""

    def end(record: dict[str, Any]) -> None:
        if record["retire"]:
            record["retire"]["at"] = datetime.now(UTC).isoformat()

    _edit_record(made, end)
    made.run("apply", "--yes")


def _seen(document: dict[str, Any]) -> tuple[str, str, int]:
    """Return condition, reason and exit code of the only key of a document."""
    if document["kind"] in {"plan", "report"}:
        (run,) = document["runs"]
        (key,) = run["plans" if document["kind"] == "plan" else "reports"]
        first = key["conditions"][0]
        return first["condition"], first["code"], document["exit_code"]
    (key,) = document["keys"]
    return key["condition"], key["code"], document["exit_code"]


def _pulumi(made: Desk) -> str:
    """Return the condition that a refresh finds."""
    (desired,) = load_all(made.write(), {})
    urls = {"KEYTURN_API_URL": made.sandbox.url, "KEYTURN_INFERENCE_URL": made.sandbox.url}
    environment = bare_environment(**urls, DIGITALOCEAN_TOKEN=made.token or made.sandbox.token)
    with open_world(desired, environment, made.folder) as world:
        try:
            record = world.read_record("bot").record
            assert record is not None
            found = state.of_found({"verify": True}, world, desired, record)
        except KeyturnError as error:
            return ended(error).condition.value
    return str(found["health"]).partition(":")[0]


def _page(made: Desk, command: str) -> str:
    return made.run(*command.split(), code=None).stdout


def _golden(name: str, page: dict[str, str], keys: Sequence[object]) -> None:
    """Compare with the pages that are kept, without what differs from run to run."""
    text = "".join(f"$ {command}\n{_steady(shown)}\n" for command, shown in page.items())
    shown = _steady(json.dumps(keys, indent=1)) + "\n"
    for file, now in ((PAGES / f"{name}.txt", text), (PAGES / f"{name}.json", shown)):
        if os.environ.get("GOLDEN") == "write":
            file.write_text(now)
        assert now == file.read_text()


def _steady(text: str) -> str:
    """Return a text without moments, lengths of time, uuids and ports."""
    for pattern, word in (
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b", "UUID"),
        (r"(?<=slot [ab] )[0-9a-f]{8}\b *", "UUID  "),
        (r"(?<=delete   )[0-9a-f]{8}\b +", "UUID  "),
        (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(?: UTC|\+00:00|Z)?", "MOMENT"),
        (r"\bin \d+ ms\b", "in N ms"),
        (r'"seconds": [\d.e-]+', '"seconds": 0.0'),
        (r'"basis": "[0-9a-f]{16}"', '"basis": "BASIS"'),
        (r"127\.0\.0\.1:\d+", "SERVER"),
        (r" +(\d+[smhd]) +", r" AGE "),
        (r"[0-9a-f]{64}", "DIGEST"),
        (FIELD + r"  +", FIELD + "  "),
    ):
        text = re.sub(pattern, word, text)
    return text
