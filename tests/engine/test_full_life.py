"""The full provider on the real engine: a key's whole life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.full_site import BOTH

if TYPE_CHECKING:
    from tests.engine.full_site import FullSite


@BOTH
def test_each_operation_makes_the_calls_that_it_has_to_and_no_others(full: FullSite) -> None:
    """Preview changes nothing and says what an up will do; a trigger is one regenerate; nothing leaks."""
    full.show_preview(full.key())
    assert full.mutations() == []
    assert "bot create `pulumi up` asks the API to create 'bot'" in full.screen()

    full.up(full.key())
    first = full.outputs()
    assert full.mutations() == ["create", "rename"]
    assert full.accepted()
    state = full.resources()["bot"]
    assert state["id"] == "shop.dev.bot"
    assert full.record(state["id"])["owner"] == "pulumi:shop/dev/bot#provider"

    full.up(full.key())
    assert full.outputs() == first
    assert full.mutations() == []

    old = full.delivered()
    full.up(full.key(rotation_trigger="release 7"))
    second = full.outputs()
    assert full.mutations() == ["regenerate"]
    assert full.delivered() != old
    assert full.accepted()
    assert second["uuid"] == first["uuid"]
    assert second["digest"] != first["digest"]
    assert full.leaks() == []


def test_a_rename_a_refresh_and_a_destroy_mint_nothing(full: FullSite) -> None:
    """A new name is one rename; a refresh only reads; a destroy empties the delivery and deletes the API key."""
    full.up(full.key())
    secret = full.delivered()
    full.requests()
    full.up(full.key(name="renamed"))
    assert full.mutations() == ["rename"]
    assert full.delivered() == secret

    full.refresh()
    assert full.mutations() == []
    assert full.outputs()["health"] == "healthy"

    full.destroy()
    assert full.mutations() == ["delete"]
    assert full.delivered() is None
    assert full.record("shop.dev.bot")["deleted_at"]
    assert full.leaks() == []


@pytest.mark.parametrize("full", ["go"], indirect=True)
def test_a_program_in_go_makes_rotates_and_deletes_a_key(full: FullSite) -> None:
    """With the generated SDK: its arguments, its outputs and its unknown values in a preview."""
    assert full.preview(full.key()) == {"create": 2}
    full.up(full.key())
    first = full.exports()
    assert full.mutations() == ["create", "rename"]
    assert full.accepted()
    assert first["deliveries"][0]["path"] == f"{full.prefix}/bot"
    full.up(full.key(rotation_trigger="release 7"))
    assert full.mutations() == ["regenerate"]
    assert full.exports()["digest"] != first["digest"]
    assert full.accepted()
    full.destroy()
    assert full.mutations() == ["delete"]
    assert full.leaks() == []
