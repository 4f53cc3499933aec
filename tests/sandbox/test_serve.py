"""The server: in a thread, and in the foreground under real signals."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

import keyturn.sandbox
from keyturn.sandbox import Sandbox, State, Token
from tests.sandbox.conftest import KEYS, client

PROGRAM = """
import sys
from keyturn.sandbox import Settings, serve
print(serve(Settings(create="allowed"), 0, announce=lambda line: print(line, flush=True), seed=7), flush=True)
"""


def test_a_seed_makes_equal_sandboxes() -> None:
    """Two sandboxes of one seed have one token and make the same keys; without a seed they differ."""

    def made(seed: int | None) -> tuple[str, State]:
        sandbox = Sandbox(seed=seed, start=0.0)
        sandbox.panel_create("bot")
        return sandbox.token, sandbox.state

    assert made(1) == made(1)
    assert made(None)[0] != made(None)[0]


def test_time_runs_unless_it_is_told_to_stand_still() -> None:
    """Without `start` the clock is the machine's, so that a client's check of `Date` passes."""
    sandbox = Sandbox(seed=1)
    assert abs(sandbox.now - time.time()) < 5
    still = Sandbox(start=50.0)
    assert (still.now, still.advance(10), still.now) == (50.0, 60.0, 60.0)


def test_the_first_token_given_is_the_default_one() -> None:
    """Tokens can be given as text, with all scopes, or with their own."""
    with Sandbox(tokens=["mine", Token("narrow", frozenset({"genai:read"}))]) as sandbox:
        assert sandbox.token == "mine"
        assert sandbox.exports == {
            "KEYTURN_API_URL": sandbox.url,
            "KEYTURN_INFERENCE_URL": sandbox.url,
            "DIGITALOCEAN_TOKEN": "mine",
        }
        with client(sandbox, "narrow") as narrow:
            assert narrow.get(KEYS).status_code == 200
            assert narrow.get("/v2/account").status_code == 403


def test_a_taken_port_is_an_error() -> None:
    """Two sandboxes cannot share a port: the second says so and does not hang."""
    with Sandbox() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"), Sandbox(port=port):
            raise AssertionError


def test_an_answer_waits_for_no_acknowledgement() -> None:
    """Fifty answers on one connection take far less than the 40 ms each that a delayed acknowledgement costs."""
    with Sandbox() as sandbox, client(sandbox, sandbox.token) as api:
        began = time.monotonic()
        for _ in range(50):
            api.get(KEYS)
        assert time.monotonic() - began < 50 * 0.03


def test_latency_holds_every_answer_back() -> None:
    """Both APIs answer after the latency; the admin's routes do not wait."""
    with Sandbox(latency=0.2) as sandbox, client(sandbox, sandbox.token) as api:
        began = time.monotonic()
        api.get("/_sandbox/health")
        quick = time.monotonic()
        api.get(KEYS)
        assert quick - began < 0.2 <= time.monotonic() - quick


def test_a_held_back_answer_does_not_hold_up_the_end() -> None:
    """Leaving the sandbox drops answers that are still held back, in about a second."""
    with Sandbox() as sandbox:
        sandbox.arm("list", "slow", delay=60)
        with client(sandbox, sandbox.token) as api:
            lost: list[Exception] = []

            def ask() -> None:
                try:
                    api.get(KEYS, timeout=30)
                except httpx.HTTPError as error:
                    lost.append(error)

            asking = threading.Thread(target=ask)
            asking.start()
            while not sandbox.requests:
                time.sleep(0.01)
            began = time.monotonic()
            sandbox.__exit__(None, None, None)
            asking.join(10)
            assert time.monotonic() - began < 5
            assert len(lost) == 1


def test_many_threads_get_consistent_answers() -> None:
    """Regenerates from several threads leave exactly one living secret, and as many dead ones as were asked for."""
    with Sandbox(seed=1) as sandbox:
        key = sandbox.panel_create("bot")

        def turn() -> None:
            with client(sandbox, sandbox.token) as api:
                for _ in range(10):
                    assert api.put(f"{KEYS}/{key.uuid}/regenerate").status_code == 200

        threads = [threading.Thread(target=turn) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        secrets = sandbox.state.secrets.values()
        assert len(secrets) == 41
        assert [minted.value for minted in secrets if minted.died_at is None] == [sandbox.state.keys[key.uuid].secret]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_announces_and_stops_at_a_signal(number: signal.Signals) -> None:
    """`serve` prints the exports, answers, and returns the signal's number when it is told to stop."""
    source = Path(keyturn.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(source)},
    ) as child:
        try:
            assert child.stdout is not None
            exports = dict(child.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(3))
            headers = {"authorization": f"Bearer {exports['DIGITALOCEAN_TOKEN']}"}
            url = exports["KEYTURN_API_URL"]
            assert exports["KEYTURN_INFERENCE_URL"] == url
            assert httpx.get(f"{url}{KEYS}", headers=headers, trust_env=False).status_code == 200
            child.send_signal(number)
            out, err = child.communicate(timeout=10)
        finally:
            child.kill()
    assert (out.strip(), err, child.returncode) == (str(int(number)), "", 0)


def test_the_sandbox_knows_nothing_of_keyturn() -> None:
    """It imports no other part of keyturn, so that it cannot agree with it by accident."""
    folder = Path(keyturn.sandbox.__file__).parent
    imports = {
        line
        for path in folder.glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith(("from keyturn", "import keyturn"))
    }
    assert imports
    assert all(line.startswith("from keyturn.sandbox") for line in imports)


def test_every_public_name_is_there() -> None:
    """`__all__` lists names that exist, in order."""
    names = keyturn.sandbox.__all__
    assert all(hasattr(keyturn.sandbox, name) for name in names)
    assert len(set(names)) == len(names)
