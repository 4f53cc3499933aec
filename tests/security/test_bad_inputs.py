"""More than 500 bad inputs through the command line: no traceback, no leak, no long wait, no more than 300 MB."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
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


Tried = Callable[[str], Any]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """Try all bad inputs of a kind, once, in a process of its own."""
    odd = [answer for _, answer in answers()][:130:22]  # a read is tried again for five seconds
    with Sandbox(minute_limit=100_000, hour_limit=100_000) as sandbox:

        @cache
        def of(kind: str) -> Any:  # noqa: ANN401 - a JSON value
            folder = tmp_path_factory.mktemp("bad")
            number = folder / "next"
            with RawServer(lambda to: to.sendall(odd[int(number.read_text() or 0)])) as server:
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
            return json.loads(ended.stdout)

        yield of


@pytest.mark.parametrize("kind", KINDS)
def test_no_bad_input_breaks_the_command_line(tried: Tried, kind: str) -> None:
    """Every one is judged by a documented error, soon, in little memory, and without showing the secret in it."""
    found = tried(kind)
    assert found["wrong"] == {}
    assert found["slowest"][1] < LONGEST, found["slowest"]
    assert found["memory"] < 300


def test_there_are_five_hundred(tried: Tried, capsys: pytest.CaptureFixture[str]) -> None:
    """The table: kind, inputs, slowest in seconds, memory in MiB."""
    found = {kind: tried(kind) for kind in KINDS}
    with capsys.disabled():
        print(f"\n{'bad inputs':<20}{'count':>7}{'slowest':>9}{'MiB':>6}")
        for kind, one in found.items():
            print(f"{kind:<20}{one['count']:>7}{one['slowest'][1]:>8.1f}s{one['memory']:>6}")
    assert sum(one["count"] for one in found.values()) >= 500
