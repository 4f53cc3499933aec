"""`keyturn status` as a command: formats, --only, exit codes, a server that is down, a narrow terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import jsonschema

from tests.cli.desk import desk, schema
from tests.support.metrics import read_openmetrics
from tests.support.process import bare_environment, start

if TYPE_CHECKING:
    from tests.real.run import ForkServer

LONG = "a-key-with-a-long-name-of-a-team-and-a-service"


def test_only_and_every_format(nursery: ForkServer) -> None:
    """One key of three is refused: what is filtered is counted, and the exit code is that of what is shown."""
    with desk(nursery) as made:
        for name in ("calm", "old", "dead"):
            made.existing(name)
        made.run("apply", "--yes")
        made.sandbox.by_hand("regenerate", made.record("dead")["slots"]["a"]["uuid"])
        whole = made.run("status", "--verify", code=1).stdout.splitlines()
        assert whole[0] == "3 keys: 1 refused, 2 ready"
        assert [row.split()[0] for row in whole if row[:1].isalpha()] == ["KEY", "dead", "calm", "old"]
        assert "  do: `keyturn apply dead --verify`" in whole
        ready = made.run("status", "--verify", "--only", "ready").stdout
        assert ready.startswith("2 keys: 2 ready; 1 key of other conditions not shown\n")
        assert "dead" not in ready
        both = made.json("status", "--verify", "--only", "parked", "--only", "refused", code=1)
        jsonschema.validate(both, schema("status"))
        assert [key["key"] for key in both["keys"]] == ["dead"]
        assert (both["only"], both["hidden"], both["keys"][0]["owner"]) == (["refused", "parked"], 2, "desk")
        wrong = made.run("status", "--only", "broken", code=3)
        assert "'broken' is not one of 'refused', 'gone'," in wrong.stderr
        pages = {
            form: made.run("status", "--verify", "--all", "--format", form, code=1).stdout
            for form in ("text", "json", "markdown", "html", "openmetrics")
        }
        assert json.loads(pages["json"])["exit_code"] == 1
        assert pages["markdown"].startswith("### keyturn status\n\n3 keys: 1 refused, 2 ready. As of ")
        assert pages["html"].startswith("<!doctype html>")
        assert "<title>1 of 3 keys needs attention · keyturn</title>" in pages["html"]
        assert {family.type for family in read_openmetrics(pages["openmetrics"])} == {"gauge"}
        assert made.leaks() == []


def test_the_last_known_state_while_the_api_is_down(nursery: ForkServer) -> None:
    """Age, generation and deliveries stay, with the moment of the record; two keys with one cause are told once."""
    with desk(nursery) as made:
        made.existing("one")
        made.existing("two")
        made.run("apply", "--yes")
        made.sandbox.arm("list", "error-503", times=None)
        text = made.run("status", code=1).stdout
        assert text.startswith("2 keys: 2 unknown\n\none, two\n  unknown: ")
        assert text.count("listing keys") == 1
        assert text.count("  the rest is as recorded at ") == 2
        rows = [row.split() for row in text.splitlines() if row.startswith(("one ", "two "))]
        assert [(row[1], row[3], row[4], row[-3]) for row in rows] == [("unknown", "a", "1", "1/1")] * 2


def test_a_narrow_terminal(nursery: ForkServer) -> None:
    """On 60 columns no line is longer, and the command to type is still there."""
    with desk(nursery) as made:
        made.add(LONG)
        manifest = made.write()
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        urls = {"KEYTURN_API_URL": made.sandbox.url, "KEYTURN_INFERENCE_URL": made.sandbox.url}
        env = bare_environment(**urls, DIGITALOCEAN_TOKEN=made.sandbox.token, NO_COLOR="1", TERM="xterm")
        command = [sys.executable, "-m", "keyturn.cli", "status", "-f", str(manifest)]
        with start(command, env=env, stdout=theirs, stderr=subprocess.DEVNULL) as child:
            assert child.wait(60) == 1
        shown = os.read(ours, 65536).decode().splitlines()
        os.close(theirs)
        os.close(ours)
    assert shown[0] == "1 key: 1 action-needed"
    assert 40 < max(map(len, shown)) <= 60
    assert f"do:`keyturnapply{LONG}`" in "".join(shown).replace(" ", "")
