"""The full provider on the real engine, when something fails or someone is needed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.engine.full_site import BOTH
from tests.engine.harness import UP
from tests.engine.processes import alive, hosts, kill, providers
from tests.support.process import wait_until

if TYPE_CHECKING:
    from tests.engine.full_site import FullSite


@BOTH
def test_a_secret_that_is_not_proven_is_kept_in_the_state_and_not_made_twice(full: FullSite) -> None:
    """The key is in the state with its id, so a destroy would delete it; the next up heals without a second mint."""
    told = full.refused(full.key(smoke={"model": "no-such-model"}))
    assert "Traceback" not in told
    assert full.mutations().count("create") == 1
    state = full.resources()["bot"]
    assert state["id"] == "shop.dev.bot"
    assert "no-such-model" in state["initErrors"][0]
    full.up(full.key())
    assert {"create", "regenerate"}.isdisjoint(full.mutations())
    assert "initErrors" not in full.resources()["bot"]
    assert full.accepted()
    assert full.leaks() == []


def test_a_key_that_an_operator_has_to_make_is_one_line(full: FullSite) -> None:
    """The resource is not in the state; once the key is there, the same program goes on."""
    full.sandbox.change(create="gone")
    full.show_preview(full.key())
    assert "only what is created after it is taken over without `adopt`" in full.screen()
    assert "waits for" not in full.screen()
    told = full.refused(full.key())
    assert "error: shop.dev.bot: waits for 'bot', to be made in the control panel" in told
    assert "Traceback" not in told
    assert full.resources() == {}
    full.show_preview(full.key())
    assert "warning: waits for 'bot', to be made in the control panel" in full.screen()
    full.sandbox.panel_create("bot")
    full.up(full.key())
    assert full.accepted()


def test_a_killed_command_line_leaves_nothing_behind(full: FullSite) -> None:
    """The provider ends its delivery, then itself; the next up mints nothing more."""
    full.up(full.key())
    full.requests()
    full.sandbox.arm("regenerate", "slow", delay=2)
    program = full.key(rotation_trigger=1)
    with full.command(*UP, program=program) as up:
        wait_until(lambda: not full.sandbox.faults, "the mint")
        pids, languages = providers(up.pid), hosts(up.pid)
        assert pids
        os.kill(up.pid, signal.SIGKILL)
        up.wait(10)
        kill(languages)
        wait_until(lambda: not any(map(alive, pids)), "the provider's end", seconds=60)
    assert full.accepted()
    assert full.record("shop.dev.bot")["intent"] is None
    full.cancel()
    full.up(program)
    assert full.mutations() == ["regenerate"]
    assert full.accepted()
    assert full.leaks() == []
