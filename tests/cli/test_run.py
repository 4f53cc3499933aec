"""`keyturn run` as a process: rotates what is due, stops cleanly, reads its manifest again, outlives the API."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from keyturn.cli.schema import schema_text
from tests.cli.desk import Desk, desk
from tests.real.run import ForkServer, Run

FAST = {"strategy": "in-place", "every": "4s", "overlap": "1s"}
SECONDS = 60.0


def until(run: Run, true: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until something is true, while the process lives."""
    end = time.monotonic() + seconds
    while not true():
        assert run.alive, run.err
        assert time.monotonic() < end, run.err
        time.sleep(0.05)


@contextmanager
def running(made: Desk, *args: str) -> Iterator[Run]:
    """Start `keyturn run`; end it by SIGTERM, with the exit code 0."""
    run = made.start("run", "--every", "2s", *args)
    try:
        yield run
        if run.alive:
            run.signal(signal.SIGTERM)
            made.end(run)
    finally:
        run.kill()


def generation(made: Desk, key: str = "bot") -> int:
    """Return how often a secret was made for a key; 0 before the first."""
    found = made.record(key)
    return int(found["generation"]) if found else 0


def ready(made: Desk, **rotation: str) -> None:
    """Put one key on the desk."""
    made.existing("bot", rotation={**FAST, **rotation})


def test_it_rotates_when_it_is_due_and_says_so(nursery: ForkServer) -> None:
    """Consumers hold an accepted secret; SIGTERM ends it with 0; nothing leaks."""
    with desk(nursery) as made:
        ready(made)
        with running(made, "--listen", "127.0.0.1:0") as run:
            until(run, lambda: generation(made) >= 3)
            (url,) = re.findall(r"Serves (http://127\.0\.0\.1:\d+/),", run.err)
            answer = httpx.get(f"{url}healthz", timeout=20, trust_env=False)
            assert (answer.status_code, answer.json()["status"]) == (200, "ok")
            assert answer.json()["next_due_what"] == "rotate bot"
        assert "Next: rotate bot at" in run.err
        assert run.err.rstrip().endswith("the next run continues it.")
        assert made.sandbox.state.secrets[made.held("bot")].died_at is None
        times = [one["at"] for one in made.json("history", "bot")["events"] if "generation" in one["what"]]
        assert len(times) == len(set(times)) >= 3
        assert made.leaks() == []


def test_a_stop_in_the_middle_of_a_rotation_loses_nothing(nursery: ForkServer) -> None:
    """The secret that the API made after the signal is delivered, or the next apply continues."""
    with desk(nursery) as made:
        ready(made, every="1h")
        made.sandbox.arm("regenerate", "slow", delay=2.0)
        with running(made) as run:
            until(run, lambda: any(seen.op == "regenerate" for seen in made.sandbox.requests))
            run.signal(signal.SIGTERM)
            assert made.end(run).code == 0
        made.run("apply", "--yes")
        assert made.sandbox.state.secrets[made.held("bot")].died_at is None
        assert made.mints() <= 2


def test_a_second_run_of_the_same_manifest_waits_and_takes_over(nursery: ForkServer) -> None:
    """It says so, and rotates nothing meanwhile."""
    with desk(nursery) as made:
        ready(made)
        with running(made) as first:
            until(first, lambda: generation(made) >= 1)
            with running(made) as second:
                until(second, lambda: "another run (process " in second.err)
                until(second, lambda: generation(made) >= 2)
                assert "bot" not in second.out
                assert f"(process {first.pid})" in second.err
                first.kill()
                before = generation(made)
                until(second, lambda: generation(made) >= before + 1)


def test_two_runs_on_two_machines_rotate_each_key_once(nursery: ForkServer) -> None:
    """They do not see each other's lock file: the leases of the records keep them apart."""
    with desk(nursery) as made:
        for number in range(3):
            made.existing(f"bot-{number}", rotation={**FAST, "every": "8s"})
        keys = list(made.keys)
        (made.folder / "elsewhere").mkdir(mode=0o700)
        with running(made) as first:
            made.runtime = "elsewhere"
            with running(made) as second:
                until(first, lambda: all(generation(made, key) >= 3 for key in keys))
                assert second.alive, second.err
                assert "another run (process" not in second.err
        for key in keys:
            rotated = [one for one in made.json("history", key)["events"] if one["generation"]]
            numbers = [one["generation"] for one in rotated]
            assert numbers == sorted(set(numbers))
            assert made.sandbox.state.secrets[made.held(key)].died_at is None
        assert made.mints() == sum(generation(made, key) for key in keys)


def test_the_manifest_is_read_again_and_a_broken_one_is_survived(nursery: ForkServer) -> None:
    """The last good one is kept, and /healthz says what is wrong."""
    with desk(nursery) as made:
        ready(made, every="1h")
        with running(made, "--listen", "127.0.0.1:0") as run:
            until(run, lambda: generation(made) == 1)
            (url,) = re.findall(r"Serves (http://127\.0\.0\.1:\d+/),", run.err)
            good = made.write().read_text()
            made.write().write_text(good.replace('"every"', '"evry"'))
            until(run, lambda: httpx.get(f"{url}healthz", timeout=20, trust_env=False).status_code == 503)
            found = httpx.get(f"{url}healthz", timeout=20, trust_env=False).json()
            assert found["status"] == "degraded"
            assert "did you mean every?" in found["why"]
            assert "the last good one is still applied" in run.err
            made.existing("more", rotation={**FAST, "every": "1h"})
            made.write()
            until(run, lambda: generation(made, "more") == 1)
            until(run, lambda: httpx.get(f"{url}healthz", timeout=20, trust_env=False).status_code == 200)
            assert generation(made) == 1


def test_it_outlives_an_api_that_is_away(nursery: ForkServer) -> None:
    """It says so once, fails its health, and catches up."""
    with desk(nursery) as made:
        ready(made)
        with running(made, "--listen", "127.0.0.1:0") as run:
            until(run, lambda: generation(made) >= 1)
            (url,) = re.findall(r"Serves (http://127\.0\.0\.1:\d+/),", run.err)
            made.sandbox.arm("*", "error-503", times=None)
            until(run, lambda: httpx.get(f"{url}healthz", timeout=20, trust_env=False).json()["status"] == "failing")
            until(run, lambda: "It is tried again" in run.err)
            before = generation(made)
            made.sandbox.clear_faults()
            until(run, lambda: generation(made) > before)
            until(run, lambda: httpx.get(f"{url}healthz", timeout=20, trust_env=False).status_code == 200)
        assert run.err.count("It is tried again") == 1
        assert "It works again." in run.err


def test_wrong_use_ends_at_once(nursery: ForkServer) -> None:
    """A wrong address, interval or manifest: 3, and nothing is bound."""
    with desk(nursery) as made:
        ready(made)
        assert "must be an address and a port" in made.run("run", "--listen", "9464", code=3).stderr
        assert "must be between 1s and 24h" in made.run("run", "--every", "0s", code=3).stderr
        made.keys["bot"]["rotation"] = {"evry": "1s"}
        assert "did you mean every?" in made.run("run", code=3).stderr


def test_schedule_tells_what_will_happen(nursery: ForkServer) -> None:
    """As text, as JSON that fits its schema, and as a calendar; a freeze is seen by plan too."""
    import jsonschema
    from icalendar import Calendar

    with desk(nursery) as made:
        made.existing("bot", "alternating", rotation={"strategy": "alternating", "every": "30d", "overlap": "24h"})
        made.existing("calm")
        made.run("apply", "--yes")
        day = 86400
        stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * day)) for days in (-1, 40)]
        made.more = {"freeze": [{"from": stamps[0], "until": stamps[1], "reason": "holidays"}]}
        lines = made.run("schedule", "--until", "45d").stdout.splitlines()
        told = [line.split()[4:6] for line in lines]
        assert told == [["freeze", "desk"], ["retire", "bot"], ["rotate", "bot"], ["retire", "bot"]]
        found = made.json("schedule", "bot", "--until", "70d12h")
        jsonschema.validate(found, json.loads(schema_text("schedule")))
        assert [one["what"] for one in found["coming"]] == ["freeze", "retire", "rotate", "retire", "rotate"]
        calendar = Calendar.from_ical(made.run("schedule", "--format", "ics").stdout)
        assert len(calendar.events) == 6
        assert "frozen until" in made.run("plan").stdout
        assert "must be a duration" in made.run("schedule", "--until", "soon", code=3).stderr


def test_a_policy_that_is_tightened_stops_the_loop(nursery: ForkServer) -> None:
    """The last good manifest is not applied against the operator's new word."""
    with desk(nursery) as made:
        ready(made)
        policy = made.folder / "policy.yaml"
        made.run("policy", "init", "--out", str(policy))
        good = policy.read_text()
        with running(made, "--policy", str(policy)) as run:
            until(run, lambda: generation(made) >= 1)
            policy.write_text(good.replace("bot", "other"))
            until(run, lambda: "nothing is applied until it is fixed" in run.err)
            before = generation(made)
            time.sleep(5)
            assert generation(made) == before
            policy.write_text(good)
            until(run, lambda: generation(made) > before)
