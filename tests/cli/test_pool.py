"""A pool of spares for more new keys than it has: two runs at once, runs that are killed, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema

from tests.cli.desk import Desk, desk, schema, side_by_side
from tests.real.relay import Gate, Moment, Relay
from tests.real.run import ForkServer

KINDS = {"bot-0": "in-place", "bot-1": "in-place", "bot-2": "in-place", "bot-3": "in-place", "swap": "alternating"}
NEEDED = 6
CUTS = (
    *((nth, moment) for nth in (1, 4, 8, 12) for moment in (Moment.BEFORE, Moment.AFTER)),
    *((seconds, None) for seconds in (0.04, 0.08, 0.12, 0.16, 0.2, 0.25)),
)
"""The n-th of the twelve renames and regenerates, or seconds: a run takes about 0.3."""
STRANGERS = ("Spare-9", "spare", "other-team-bot", "my-spare-1")


@contextmanager
def pooled(nursery: ForkServer, spares: int, low: int = 0) -> Iterator[Desk]:
    """A desk with five new keys, one of them in turn, so many spares, and some keys of other people."""
    with desk(nursery) as made:
        made.more = {"pool": {"prefix": "spare-", "low": low}}
        for key, strategy in KINDS.items():
            made.add(key, strategy, overlap="1s")
            del made.keys[key]["adopt"]
        for name in (*STRANGERS, *(f"spare-{number}" for number in range(1, spares + 1))):
            made.sandbox.panel_create(name)
        yield made


def test_two_runs_share_a_pool_that_is_too_small(nursery: ForkServer) -> None:
    """Each spare serves one key; the keys that get none are handed off by name, and go on when they are made."""
    with pooled(nursery, 3, low=2) as made:
        spares = _named(made, "spare-")
        strangers = _strangers(made)
        runs = [made.start("apply", "--yes", "--lock-timeout", "20s") for _ in range(2)]
        for run in runs:
            made.end(run, code=1)

        serving = _serving(made)
        assert sorted(serving) == sorted(spares)
        assert not _named(made, "spare-")
        assert made.mints() == 3
        document = made.json("apply", "--yes", code=1)
        missing = sorted(name for one in document["runs"][0]["reports"] for name in one["end"]["make"])
        assert len(missing) == NEEDED - 3
        assert document["runs"][0]["pools"] == [{"prefix": "spare-", "left": 0, "low": 2, "wanted": 3}]
        text = made.run("plan", code=1).stdout
        assert "with exactly these names:\n" + "".join(f"  {name}\n" for name in missing) in text

        for name in missing:
            made.sandbox.panel_create(name)
        _come_to_rest(made)
        assert _strangers(made) == strangers
        _all_well(made)


def test_an_apply_gives_the_spares_to_the_keys_that_the_plan_names(nursery: ForkServer) -> None:
    """Of five keys, three get a spare by the saved plan: the same three by the apply, although all run at once."""
    with pooled(nursery, 3) as made:
        plan = made.json("plan", "--out", "reviewed.json", code=1)["runs"][0]
        promised = {one["key"] for one in plan["plans"] if any(change["code"] == "pool" for change in one["changes"])}
        named = sorted(name for one in plan["plans"] for name in one["end"]["make"])
        assert len(promised) == 3
        assert len(named) == NEEDED - 3

        report = made.json("apply", "--plan", "reviewed.json", "--yes", code=1)["runs"][0]
        taken = {one["key"] for one in report["reports"] if any(change["code"] == "pool" for change in one["done"])}
        assert taken == promised
        assert sorted(name for one in report["reports"] for name in one["end"]["make"]) == named


def test_a_killed_run_takes_no_spare_twice_and_loses_none(nursery: ForkServer) -> None:
    """SIGKILL at requests and at moments of all kinds; one more apply ends with 0, and all is at rest."""
    side_by_side(lambda cut: _cut(nursery, *cut), CUTS, 6)


def _cut(nursery: ForkServer, when: float, moment: Moment | None) -> None:
    """Kill a run, apply once, look."""
    gate = Gate()
    with pooled(nursery, NEEDED + 1) as made, Relay(made.sandbox.url, gate) as relay:
        made.api = relay.url
        hold = gate.at(int(when), moment) if moment else None
        run = made.start("apply", "--yes")
        if hold:
            assert hold.reached.wait(30), f"only {len(gate.changes)} changing requests came"
        else:
            time.sleep(when)
        run.kill()
        gate.open()
        made.run("apply", "--yes")
        strangers = _strangers(made)
        _come_to_rest(made, 1)
        before = made.mark()
        made.run("apply", "--yes")
        assert made.mark() == before, "an apply at rest still changes something"
        _all_well(made)
        assert len(_named(made, "spare-")) == 1, "a spare too many was taken"
        assert _strangers(made) == strangers


def test_a_plan_and_a_status_say_how_many_spares_are_left(nursery: ForkServer) -> None:
    """In text and in JSON: how many there are, how many are wanted, and that they are few."""
    with pooled(nursery, 3) as made:
        del made.keys["swap"], made.keys["bot-3"]
        for low, said in ((2, "has 3 spares."), (4, "has 3 spares, fewer than 4: make some more.")):
            made.more["pool"]["low"] = low
            assert f"The pool 'spare-' {said}" in made.run("plan").stdout
            assert f"The pool 'spare-' {said}" in made.run("status").stdout
            plan, status = made.json("plan"), made.json("status")
            assert plan["runs"][0]["pools"] == [{"prefix": "spare-", "left": 3, "low": low, "wanted": 3}]
            assert [(pool["left"], pool["low"]) for pool in status["pools"]] == [(3, low)]
            jsonschema.validate(plan, schema("plan"))
            jsonschema.validate(status, schema("status"))
        assert "`The pool 'spare-' has 3 spares, fewer than 4" in made.run("plan", "--format", "markdown").stdout
        made.run("apply", "--yes")
        assert "The pool 'spare-' has 0 spares, fewer than 4" in made.run("status").stdout
        assert made.mints() == 3


def _named(made: Desk, prefix: str) -> dict[str, str]:
    """Return the account's keys whose name begins so: uuid to the secret that they were made with."""
    state = made.sandbox.state
    return {key.uuid: key.secret for key in state.live_keys("sandbox") if key.name.startswith(prefix)}


def _strangers(made: Desk) -> list[object]:
    return [key for key in made.sandbox.state.live_keys("sandbox") if key.name in STRANGERS]


def _serving(made: Desk) -> list[str]:
    """Return the API keys that serve the manifest's keys; one that serves two is there twice."""
    return [slot["uuid"] for key in made.keys for slot in made.record(key).get("slots", {}).values()]


def _come_to_rest(made: Desk, runs: int = 3) -> None:
    for _ in range(runs):
        time.sleep(1.1)
        made.run("apply", "--yes")


def _all_well(made: Desk) -> None:
    """Consumers are accepted, what an operator saw is dead, every name and every claim is right, no secret leaked."""
    state = made.sandbox.state
    serving = _serving(made)
    assert len(serving) == len(set(serving)), "a spare serves two keys"
    wanted = {
        name for key, kind in KINDS.items() for name in ((f"{key}-a", f"{key}-b") if kind != "in-place" else (key,))
    }
    assert {state.keys[uuid].name for uuid in serving} == wanted
    held = {key: made.held(key) for key in made.keys}
    assert all(made.sandbox.accepts(secret) for secret in held.values()), "a consumer is refused"
    assert len(set(held.values())) == len(held)
    seen = [secret for secret, minted in state.secrets.items() if minted.by == "panel" and minted.uuid in serving]
    assert not any(made.sandbox.accepts(secret) for secret in seen), "a secret that an operator saw is alive"
    claims = {Path(name).stem for name in made.files(".keyturn") if "/slots/" in name and name.endswith(".json")}
    released = {uuid for uuid in claims if made.document(f"slots/{uuid}").get("released_at")}
    assert claims - released == set(serving)
    assert made.leaks() == []
