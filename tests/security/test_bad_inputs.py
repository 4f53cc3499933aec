"""More than 500 bad inputs through the command line: no traceback, no leak, no long wait, no more than 300 MB."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from keyturn.sandbox import Sandbox
from tests.security.bad_inputs import KINDS
from tests.security.test_target_bounds import answers
from tests.support.process import bare_environment, run
from tests.support.raw_http import RawServer

ROOT = Path(__file__).parents[2]
LONGEST = 20.0
"""Seconds that one command may take here: several requests with a deadline of a second, on a busy machine."""


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of each kind of bad input, each kind in a process of its own."""
    odd = [answer for _, answer in answers()][:130:13]  # a read is tried again for five seconds
    found: dict[str, Any] = {}
    with Sandbox() as sandbox:
        for kind in KINDS:
            folder = tmp_path_factory.mktemp("bad")
            number = folder / "next"
            with RawServer(lambda to, number=number: to.sendall(odd[int(number.read_text() or 0)])) as server:  # type: ignore[misc]
                url = server.url if kind == "API answers" else sandbox.url
                env = bare_environment(
                    PYTHONPATH=str(ROOT),
                    KEYTURN_API_URL=url,
                    KEYTURN_INFERENCE_URL=url,
                    DIGITALOCEAN_TOKEN=sandbox.token,
                    VAULT_ADDR=server.url,
                    VAULT_TOKEN="hvs.of-the-tests",
                    ANSWERS=str(len(odd)),
                )
                ended = run([sys.executable, "-m", "tests.security.bad_inputs", kind], env=env, cwd=folder, seconds=150)
            assert ended.returncode == 0, ended.stderr
            found[kind] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_no_bad_input_breaks_the_command_line(tried: dict[str, Any], kind: str) -> None:
    """Every one is judged by a documented error, soon, in little memory, and without showing the secret in it."""
    assert tried[kind]["wrong"] == {}
    assert tried[kind]["slowest"][1] < LONGEST, tried[kind]["slowest"]
    assert tried[kind]["memory"] < 300


def test_there_are_five_hundred(tried: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """The table: kind, inputs, slowest in seconds, memory in MiB."""
    with capsys.disabled():
        print(f"\n{'bad inputs':<20}{'count':>7}{'slowest':>9}{'MiB':>6}")
        for kind, one in tried.items():
            print(f"{kind:<20}{one['count']:>7}{one['slowest'][1]:>8.1f}s{one['memory']:>6}")
    assert sum(one["count"] for one in tried.values()) >= 500
