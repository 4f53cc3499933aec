"""The command line on a real terminal, under Ctrl-C, in a cron job and at the end of a pipe."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import jsonschema
import pytest

from tests.cli.desk import Desk, desk, schema
from tests.real.run import ForkServer
from tests.support.process import bare_environment, run, start, wait_until

KEYTURN = [sys.executable, "-m", "keyturn.cli"]
NONE: Mapping[str, str] = MappingProxyType({})
ERASED = "\x1b[2K"


@pytest.fixture
def made(nursery: ForkServer) -> Iterator[Desk]:
    """A desk with ten existing keys."""
    with desk(nursery) as found:
        for number in range(10):
            found.existing(f"bot-{number}")
        yield found


def on_a_terminal(made: Desk, *args: str, width: int = 80, variables: Mapping[str, str] = NONE) -> tuple[int, str]:
    """Run a command on a terminal; return its exit code and all that it painted."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))
    painted: list[bytes] = []

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            painted.append(part)

    env = environment(made) | {"TERM": "xterm", **variables}
    with start([*KEYTURN, *args], env=env, cwd=made.folder, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        reader = threading.Thread(target=read)
        reader.start()
        code = child.wait(60)
    reader.join(20)
    os.close(ours)
    made.printed.append(b"".join(painted).decode())
    return code, made.printed[-1]


def environment(made: Desk) -> dict[str, str]:
    """Return the variables of a command at a desk."""
    made.write()
    return bare_environment(
        KEYTURN_API_URL=made.sandbox.url,
        KEYTURN_INFERENCE_URL=made.sandbox.url,
        XDG_RUNTIME_DIR=str(made.folder / "runtime"),
        DIGITALOCEAN_TOKEN=made.sandbox.token,
    )


def test_a_run_on_a_terminal_is_a_live_view(made: Desk) -> None:
    """Counter and keys at work while it runs; afterwards they are erased, and the report is there."""
    made.sandbox.change(latency=0.1)
    code, text = on_a_terminal(made, "apply", "--yes")
    assert code == 0
    assert re.search(r"\d/10 keys done", text)
    assert re.search(r"bot-\d\S*\s+\d s  ", re.sub(r"\x1b\[[\d;]*m", "", text)), "a key at work, with its seconds"
    after = text[text.rindex(ERASED) :]
    assert "10 keys: 10 adopted, 10 rotated, 10 delivered; 10 ready." in after
    assert "keys done" not in after
    assert not re.search(r"\d\d:\d\d:\d\d bot-\d: ", text), "no line per step"
    assert made.leaks() == []


@pytest.mark.parametrize(
    ("args", "variables"),
    [((), {"CI": "true"}), ((), {"TERM": "dumb"}), (("--no-color",), {}), (("-q",), {})],
    ids=["CI", "dumb", "no-color", "quiet"],
)
def test_no_live_view(made: Desk, args: tuple[str, ...], variables: dict[str, str]) -> None:
    """Where nobody looks, or a terminal cannot move its cursor, there are plain lines."""
    code, text = on_a_terminal(made, "apply", "--yes", *args, variables=variables)
    assert code == 0
    assert ERASED not in text
    assert "\x1b[1A" not in text
    assert "10 adopted" in text


def test_no_color_is_about_colour_only(made: Desk) -> None:
    """The live view stays, without colours."""
    made.sandbox.change(latency=0.05)
    code, text = on_a_terminal(made, "apply", "--yes", variables={"NO_COLOR": "1"})
    assert code == 0
    assert ERASED in text
    assert not re.search(r"\x1b\[(?:\d+;)*3\dm", text)


def test_a_narrow_terminal_gets_folded_lines(made: Desk) -> None:
    """Sixty columns: no line is longer, except one that holds a longer word."""
    code, text = on_a_terminal(made, "plan", width=60, variables={"NO_COLOR": "1"})
    assert code == 0
    after = text[text.rindex(ERASED) + len(ERASED) :] if ERASED in text else text
    rows = after.replace("\r", "").splitlines()
    assert "10 keys" not in rows[0]
    assert all(len(row) <= 60 for row in rows), max(rows, key=len)
    assert any(re.search(r"slot a [0-9a-f]{8}(?:\s|$)", row) for row in rows)


def test_a_nightly_run_at_rest_writes_nothing(made: Desk) -> None:
    """With `-q` there is no mail; what needs someone is told, and only that."""
    first = made.run("apply", "--yes", "-q")
    assert "10 keys: 10 adopted" in first.stdout
    for args in (["apply", "--yes", "--verify"], ["plan"], ["status", "--verify"], ["validate"]):
        night = made.run(*args, "-q")
        assert (night.stdout, night.stderr) == ("", "")
    made.put("bot-3", "of another system")
    bad = made.run("apply", "--yes", "--verify", "-q", code=None)
    assert "bot-3" in bad.stdout
    assert "bot-4" not in bad.stdout


def test_a_plain_run_of_many_keys_is_short(made: Desk) -> None:
    """The plan on stderr, no line per step; the report is one line per key."""
    answer = made.run("apply", "--yes")
    assert len(answer.stdout.splitlines()) == 1 + 10 + 2
    assert not re.search(r"bot-\d: ", answer.stderr)
    assert "regenerates the key" in made.run("rotate", "bot-1", "--yes").stderr, "of one key each step is told"


def test_a_manifest_on_standard_input(made: Desk) -> None:
    """Its records and secrets are where the command runs; a secret cannot come the same way."""
    text = made.write().read_text()
    env = environment(made)

    def given(*args: str) -> subprocess.CompletedProcess[str]:
        return run([*KEYTURN, *args], env=env, cwd=made.folder, stdin=text)

    applied = given("apply", "--yes", "-f", "-")
    assert applied.returncode == 0, applied.stderr
    assert made.held("bot-0")
    both = given("adopt", "bot-0", "--secret", "stdin", "-f", "-")
    assert both.returncode == 3
    assert "not both" in both.stderr
    asked = given("rotate", "bot-0", "-f", "-")
    assert asked.returncode == 4
    assert "was not confirmed" in asked.stderr


def test_two_manifests_in_one_run(made: Desk) -> None:
    """Both are worked on, not only the last."""
    text = json.loads(made.write().read_text())
    keys = dict(text["keys"])
    for name, mine in (("one", ["bot-0"]), ("two", ["bot-1"])):
        entries = {"keys": {key: keys[key] for key in mine}}
        (made.folder / f"{name}.yaml").write_text(json.dumps(text | {"name": name} | entries))
    made.keys.clear()
    code, text_ = on_a_terminal(made, "apply", "--yes", "-f", "one.yaml", "-f", "two.yaml", variables={"CI": "1"})
    assert code == 0, text_
    assert made.held("bot-0")
    assert made.held("bot-1")


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_is_answered_at_once(made: Desk, presses: int) -> None:
    """The first says what is finished and for how long; the second leaves. The next apply finishes either way."""
    made.run("apply", "--yes")
    made.more["timing"] = {"settle": "1s", "request": "1s", "lease": "2s", "propagation": "20s", "delivery": "30s"}
    made.sandbox.change(propagation=6.0)
    env = environment(made)
    command = [*KEYTURN, "rotate", "bot-0", "--yes", "--format", "json"]
    with start(command, env=env, cwd=made.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for told in child.stderr:
            if "regenerates the key" in told:
                break
        for told in child.stderr:
            if "smoke-checks" in told:
                break
        pressed = time.monotonic()
        for press in range(presses):
            time.sleep(1.2 * press)
            child.send_signal(signal.SIGINT)
            answer = child.stderr.readline()
            assert answer.startswith("Left at once." if press else "Ctrl-C: begins no further key, and finishes"), (
                answer
            )
        assert time.monotonic() - pressed < 3
        document = json.loads(child.stdout.read())
        assert child.wait(60) == 130
        if presses == 2:
            assert time.monotonic() - pressed < 4
    kind = "error" if presses == 2 else "report"
    assert document["kind"] == kind
    jsonschema.validate(document, schema(kind))
    made.sandbox.change(propagation=0.0)
    made.run("apply", "--yes")
    assert made.sandbox.accepts(made.held("bot-0"))
    assert made.leaks() == []


def test_ctrl_c_in_a_plan_waits_for_nothing(made: Desk) -> None:
    """A server that does not answer holds nobody up: a plan only reads."""
    made.run("apply", "--yes")
    made.more["timing"] = {}
    made.sandbox.arm("models", "slow", times=None, delay=10.0)
    made.sandbox.clear_requests()
    command = [*KEYTURN, "plan", "--verify", "--format", "json"]
    with start(
        command, env=environment(made), cwd=made.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        wait_until(lambda: any(seen.op == "list" for seen in made.sandbox.requests), "a list", seconds=20)
        time.sleep(0.5)
        pressed = time.monotonic()
        child.send_signal(signal.SIGINT)
        document = json.loads(child.stdout.read())
        assert child.wait(60) == 130
        assert time.monotonic() - pressed < 5
    assert (document["kind"], document["exit_code"]) == ("error", 130)
