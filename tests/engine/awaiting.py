"""Keys that an operator has to make, on an engine that knows awaited resources.

Run by `make nightly`, and not by `make test`: this engine takes minutes to build, beside the one of all other tests.
The programs are in YAML: that of TypeScript (SDK 3.270) fails when a resource is awaited, and its up ends with 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn_provider.plugin import words
from tests.engine.harness import MODEL, UP, Program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.full_site import FullSite

AWAITED = 10
"""The exit code of an up that waits for something, and in which nothing failed."""
FAILED = 1


@pytest.fixture
def newer(full: FullSite, newer_engine: Path) -> FullSite:
    """A stack on the newer engine. The API creates no keys, and `mail` has been made in the control panel."""
    full.engine = newer_engine
    full.sandbox.change(create="gone")
    full.sandbox.panel_create("mail")
    return full


def both(site: FullSite, **changes: object) -> Program:
    """Return a program with two keys, and a check of what `bot` delivers."""
    places = {"targets": site.targets, "smoke": {"model": MODEL}, "deliveries": "${bot.deliveries}"}
    resources = {
        "bot": site.declared(**changes),
        "works": {"type": words.SMOKE_CHECK, "properties": places},
        "mail": site.declared("mail", adopt={"secret": "regenerate"}),
    }
    return Program(data={"resources": resources, "outputs": {"digest": "${bot.digest}"}})


def test_a_key_that_an_operator_has_to_make_is_awaited(newer: FullSite) -> None:
    """The rest of the up goes on and nothing fails; with the key made, the same program goes on."""
    code, told = newer.ended(*UP, program=both(newer))
    assert code == AWAITED
    assert "create awaiting" in told
    assert told.count("\n    shop.dev.bot: waits for 'bot', to be made in the control panel") == 1  # in the diagnostics
    assert "Create 'bot', with exactly that name, at https://cloud.digitalocean.com" in told
    assert "Traceback" not in told
    assert set(newer.resources()) == {"mail"}
    assert newer.accepted("mail")
    assert newer.delivered("bot") is None
    newer.requests()
    code, _ = newer.ended(*UP, program=both(newer))
    assert (code, newer.mutations()) == (AWAITED, [])

    newer.sandbox.panel_create("bot")
    newer.up(both(newer))
    assert newer.mutations() == ["regenerate"]
    assert newer.accepted("bot")
    assert newer.outputs("works")["verdict"] == "accepted"
    assert newer.preview(both(newer)) == {"same": 4}
    newer.destroy()
    assert newer.leaks() == []


def test_a_second_slot_is_awaited_and_the_first_serves_on(newer: FullSite) -> None:
    """An update that waits leaves the state as it is; consumers keep their secret."""
    newer.sandbox.panel_create("bot")
    newer.up(newer.key(adopt={"secret": "regenerate"}))
    before, secret = newer.resources()["bot"], newer.delivered()
    alternating = newer.key(rotation={"strategy": "alternating", "overlap": "1s"})
    code, told = newer.ended(*UP, program=alternating)
    assert code == AWAITED
    assert "update awaiting" in told
    assert "bot-b" in told
    assert newer.resources()["bot"]["outputs"] == before["outputs"]
    assert newer.delivered() == secret
    assert newer.accepted()
    newer.sandbox.panel_create("bot-b")
    newer.up(alternating)
    assert set(newer.outputs()["slots"]) == {"a", "b"}
    assert newer.accepted()
    assert newer.leaks() == []


def test_a_failure_is_no_wait(newer: FullSite) -> None:
    """An up in which one key is awaited and another fails ends as a failed one."""
    program = both(newer)
    program.data["resources"]["mail"]["properties"]["smoke"] = {"model": "no-such-model"}
    code, told = newer.ended(*UP, program=program)
    assert code == FAILED
    assert "no-such-model" in told
