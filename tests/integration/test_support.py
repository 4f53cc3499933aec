"""The shared helpers keep what they promise."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from tests.support.network import OutsideWorld
from tests.support.openbao import OpenBao
from tests.support.process import end, run, start, wait_until


def test_a_connection_beyond_loopback_is_refused_before_it_is_tried() -> None:
    """No test reaches an address outside, by number or by name."""
    with socket.socket() as outward, pytest.raises(OutsideWorld, match=r"192\.0\.2\.1"):
        outward.connect(("192.0.2.1", 443))
    with pytest.raises(OutsideWorld, match=r"example\.com"):
        httpx.get("http://example.com/", trust_env=False)


def test_a_child_that_ignores_sigterm_ends_with_its_block() -> None:
    """No process that a test starts is alive after it, whatever it does with signals."""
    program = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    with start([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        began = time.monotonic()
        child.send_signal(signal.SIGSTOP)
        end(child, seconds=0.5)
    assert child.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 10


def test_a_program_that_takes_too_long_is_killed() -> None:
    """`run` has a bound."""
    with pytest.raises(subprocess.TimeoutExpired):
        run([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.3)


def test_a_child_gets_no_variable_that_could_hold_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a child is a short list."""
    monkeypatch.setenv("VAULT_TOKEN", "do-not-pass-on")
    answer = run([sys.executable, "-c", "import os; print(os.environ.get('VAULT_TOKEN'))"])
    assert answer.stdout == "None\n"
    assert os.environ["VAULT_TOKEN"] == "do-not-pass-on"


def test_waiting_says_what_never_came() -> None:
    """A wait that runs out names what it waited for."""
    with pytest.raises(TimeoutError, match="a miracle: not within"):
        wait_until(lambda: False, "a miracle", seconds=0.1)


def test_a_token_with_a_policy_may_do_that_and_no_more(openbao: OpenBao) -> None:
    """Policies bind: a reader reads, and may not write."""
    openbao.call("POST", "secret/data/support/one", {"data": {"word": "here"}})
    openbao.policy("support-reader", {"secret/data/support/*": ["read"]})
    headers = {"X-Vault-Token": openbao.token("support-reader")}
    url = f"{openbao.address}/v1/secret/data/support/one"
    assert httpx.get(url, headers=headers).json()["data"]["data"] == {"word": "here"}
    assert httpx.post(url, headers=headers, json={"data": {}}).status_code == httpx.codes.FORBIDDEN


def test_a_server_on_disk_keeps_its_data_and_comes_back_sealed(openbao_on_disk: OpenBao) -> None:
    """A restart seals; an unseal brings back what was written."""
    bao = openbao_on_disk
    bao.call("POST", "secret/data/kept", {"data": {"word": "here"}})
    bao.restart()
    with pytest.raises(httpx.HTTPStatusError, match="503"):
        bao.call("GET", "secret/data/kept")
    bao.unseal()
    assert bao.call("GET", "secret/data/kept")["data"]
    bao.seal()
    with pytest.raises(httpx.HTTPStatusError, match="503"):
        bao.call("GET", "secret/data/kept")


def test_a_paused_server_accepts_and_never_answers(openbao_on_disk: OpenBao) -> None:
    """Pausing makes a caller time out, not fail to connect; afterwards the server goes on."""
    with openbao_on_disk.paused(), pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{openbao_on_disk.address}/v1/sys/health", timeout=0.5)
    assert openbao_on_disk.call("GET", "sys/health")["sealed"] is False
