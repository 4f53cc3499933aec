"""The full provider on the real engine, from a program in YAML: a key's whole life."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.engine.yaml_site import YamlSite


def test_each_operation_makes_the_calls_that_it_has_to_and_no_others(full: YamlSite) -> None:
    """Preview changes nothing and says what an up will do; a trigger is one regenerate; nothing leaks."""
    full.show_preview(full.key())
    assert full.mutations() == []
    assert "bot create needs 'bot', which an operator makes" in full.screen()

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


def test_a_rename_a_refresh_and_a_destroy_mint_nothing(full: YamlSite) -> None:
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
