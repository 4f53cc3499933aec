"""Commands that are killed or interrupted for real in the middle of a rotation; the next up converges."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.contract.relay import is_write, relay
from tests.engine.harness import UP
from tests.engine.processes import alive, kill, providers
from tests.support.process import wait_until

if TYPE_CHECKING:
    import subprocess

    from tests.engine.harness import Site


def at_rest(site: Site, secrets_before: int) -> None:
    """Assert that one more up converges: the delivered secret is accepted, and no key was made beside the one."""
    program = site.key(rotation_trigger=1)
    site.up(program)
    assert site.accepted()
    assert site.outputs()["rotation_trigger"] == 1
    assert len(site.sandbox.state.keys) == 1
    assert len(site.sandbox.state.secrets) <= secrets_before + 2
    site.requests()
    site.up(program)
    assert site.requests() == []
    assert site.leaks() == []


@pytest.mark.parametrize("moment", ["creating", "delivering", "checking"])
def test_a_kill_between_the_mint_and_the_return_loses_nothing(site: Site, moment: str) -> None:
    """SIGKILL of the CLI and its provider, before a new secret was delivered and after: the next up converges."""
    armed, held, go_on = threading.Event(), threading.Event(), threading.Event()

    def judge(request: bytes) -> None:
        if (
            armed.is_set()
            and site.minted()
            and is_write(request)
            and f"/{site.prefix}/bot".encode() in request.split(b"\r\n")[0]
        ):
            held.set()
            go_on.wait(20)

    with relay(site.openbao.address, judge) as before:
        site.vault = before.url
        if moment != "creating":
            site.up(site.key())
        minted = len(site.sandbox.state.secrets)
        site.requests()
        armed.set()
        if moment == "checking":
            go_on.set()
            site.sandbox.arm("chat", "slow", delay=20, after=1)
        with site.command(*UP, program=site.key(rotation_trigger=1)) as up:
            wait_until(site.minted if moment == "checking" else held.is_set, "the mint")
            if moment == "checking":
                wait_until(lambda: not site.sandbox.faults, "the smoke-check")
            pids = providers(up.pid)
            assert pids
            kill([up.pid, *pids])
            up.wait(10)
        go_on.set()
        site.sandbox.clear_faults()
        site.cancel()
        at_rest(site, minted)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP], ids=["killed", "hung-up"])
def test_a_provider_whose_command_line_is_gone_finishes_its_delivery(site: Site, number: signal.Signals) -> None:
    """The CLI alone dies while a mint's answer is on its way: the provider delivers and commits all the same."""
    site.up(site.key())
    site.requests()
    site.sandbox.arm("regenerate", "slow", delay=2)
    with site.command(*UP, program=site.key(rotation_trigger=1)) as up:
        wait_until(lambda: not site.sandbox.faults, "the mint")
        pids = providers(up.pid)
        assert pids
        os.kill(up.pid, number)
        up.wait(10)
        wait_until(lambda: site.record("shop.dev.bot")["generation"] == 2, "the commit")
        kill(pids)
    assert site.accepted()
    assert site.record("shop.dev.bot")["intent"] is None
    assert site.mutations() == ["regenerate"]


def interrupted(site: Site, times: int) -> tuple[int, list[int]]:
    """Rotate, and press Ctrl-C so often while the mint's answer is on its way; return the exit code and providers."""
    site.sandbox.arm("regenerate", "slow", delay=1)
    with site.command(*UP, program=site.key(rotation_trigger=1)) as up:
        wait_until(lambda: not site.sandbox.faults, "the mint")
        pids = providers(up.pid)
        for press in range(times):
            press_ctrl_c(up, press)
        code = up.wait(60)
        site.said.append(up.stdout.read() if up.stdout else "")
        wait_until(lambda: not any(map(alive, pids)), "the provider's end", seconds=30)
    return code, pids


def press_ctrl_c(up: subprocess.Popen[str], press: int) -> None:
    """Send SIGINT to the process group of the CLI, as a terminal does."""
    if press:
        threading.Event().wait(0.2)
    os.killpg(up.pid, signal.SIGINT)


def test_one_ctrl_c_lets_the_rotation_finish(site: Site) -> None:
    """The engine waits for the update under way, which ends as if nothing had been pressed."""
    site.up(site.key())
    site.requests()
    _, pids = interrupted(site, 1)
    assert pids
    assert site.accepted()
    assert site.outputs()["rotation_trigger"] == 1
    assert site.mutations() == ["regenerate"]


def test_two_ctrl_c_stop_the_engine_and_lose_nothing(site: Site) -> None:
    """The engine ends at once; whatever became of the provider, the next up converges."""
    site.up(site.key())
    minted = len(site.sandbox.state.secrets)
    site.requests()
    code, _ = interrupted(site, 2)
    assert code != 0
    at_rest(site, minted)
