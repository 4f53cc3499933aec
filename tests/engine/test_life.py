"""A key's whole life in a stack: preview, up, up again, trigger, rename, refresh, destroy."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pulumi_keyturn.dynamic import ModelAccessKey
from tests.engine.harness import Program, Site


def test_each_operation_makes_the_calls_that_it_has_to_and_no_others(site: Site) -> None:
    """Preview and a second up mutate nothing, a trigger is one regenerate under the same id, nothing ever leaks."""
    assert site.preview(site.key()) == {"create": 2}
    assert site.mutations() == []

    site.up(site.key())
    first = site.outputs()
    assert site.mutations() == ["create", "rename"]
    assert site.accepted()
    assert first["deliveries"] == [
        {"target": "vault", "path": f"{site.prefix}/bot", "field": "MODEL_ACCESS_KEY", "version": "1"}
    ]
    state = site.resources()["bot"]
    assert state["id"] == "shop.dev.bot"
    assert site.record(state["id"])["owner"] == "pulumi:shop/dev/bot"

    assert site.preview(site.key()) == {"same": 2}
    site.up(site.key())
    assert site.outputs() == first
    assert site.requests() == []

    old = site.delivered()
    site.up(site.key(rotation_trigger="release 7"))
    second = site.outputs()
    assert site.mutations() == ["regenerate"]
    assert site.delivered() != old
    assert site.accepted()
    assert site.resources()["bot"]["id"] == state["id"]
    assert second["uuid"] == first["uuid"]
    assert second["digest"] != first["digest"]

    secret = site.delivered()
    site.up(site.key(rotation_trigger="release 7", name="renamed"))
    assert site.mutations() == ["rename"]
    assert site.delivered() == secret

    site.refresh()
    assert site.mutations() == []
    assert site.outputs()["health"] == "healthy"

    site.destroy()
    assert site.mutations() == ["delete"]
    assert site.delivered() is None
    assert site.record(state["id"])["deleted_at"]
    assert site.leaks() == []


def test_a_rotation_by_age_is_shown_by_preview_and_done_by_the_next_up(site: Site) -> None:
    """When `every` has passed, a preview shows an update without any call, and the up regenerates once."""
    program = site.key(rotation={"strategy": "in-place", "every": "1s"})
    site.up(program)
    time.sleep(1)  # its age is over `every` now
    site.requests()
    assert site.preview(program)["update"] == 1
    assert site.requests() == []
    assert "its rotation is due" in site.screen()
    site.up(program)
    assert site.mutations() == ["regenerate"]
    assert site.accepted()


def test_an_exposed_secret_is_encrypted_in_the_state_and_masked_on_the_screen(site: Site) -> None:
    """With expose_secret the output is the delivered secret; every file and the screen keep it covered."""
    shown = site.key(options="additional_secret_outputs=['digest']", expose_secret=True)
    site.up(Program(f"{shown.text}\npulumi.export('secret', key.secret)", shown.data))
    assert site.exposed("secret") == site.delivered()
    assert site.outputs()["secret"]["ciphertext"]
    assert site.outputs()["digest"]["ciphertext"]
    assert "[secret]" in site.screen()
    site.refresh()
    assert site.outputs()["secret"]["ciphertext"]
    assert site.leaks() == []
    site.up(site.key())
    assert "secret" not in site.outputs()


@pytest.mark.parametrize("name", ["expose", "deliver_to"])
def test_an_unknown_input_is_refused_by_the_program(name: str) -> None:
    """A misspelt input is a ValueError that names those there are, before any engine is asked."""
    wrong: Any = {name: True}
    with pytest.raises(ValueError, match=f"unknown input {name}.*expose_secret"):
        ModelAccessKey("bot", wrong)
