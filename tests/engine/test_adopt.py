"""Keys that exist already: adopted by consent, handed off where the API no longer creates, never doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.engine.harness import Site


@pytest.fixture(autouse=True)
def create_is_gone(site: Site) -> None:
    """The truth of today."""
    site.sandbox.change(create="gone")


def test_a_key_that_cannot_be_created_is_handed_off_and_taken_once_a_person_made_it(site: Site) -> None:
    """The first up says what to click and the exact name; the next one takes that key and replaces its secret."""
    said = site.refused(site.key())
    assert "waits for 'bot', to be made in the control panel" in said
    assert "Create 'bot', with exactly that name, at https://cloud.digitalocean.com/" in said
    assert "Then run `pulumi up` again" in said
    assert "no longer creates keys" in said
    assert site.delivered() is None
    seen = site.sandbox.panel_create("bot")
    site.up(site.key())
    assert site.outputs()["uuid"] == seen.uuid
    assert site.mutations() == ["create", "regenerate"]
    assert site.accepted()
    assert site.delivered() != seen.secret


def test_the_present_secret_of_an_adopted_key_stays(site: Site) -> None:
    """With `existing` the delivered secret is proven and kept: no mint, in this up and in the next."""
    made = site.sandbox.panel_create("bot")
    site.put(made.secret)
    program = site.key(adopt={"secret": "existing"}, rotation_trigger="a trigger of a new resource rotates nothing")
    site.up(program)
    assert site.preview(program) == {"same": 2}
    assert site.mutations() == []
    assert site.delivered() == made.secret
    assert site.outputs()["uuid"] == made.uuid
    assert site.leaks() == []


def test_an_adopted_key_may_get_a_new_secret(site: Site) -> None:
    """With `regenerate` the present secret dies, once."""
    made = site.sandbox.panel_create("bot")
    site.up(site.key(adopt={"secret": "regenerate"}))
    assert site.mutations() == ["regenerate"]
    assert site.accepted()
    assert not site.sandbox.accepts(made.secret)


def test_namesakes_are_refused(site: Site) -> None:
    """Without `adopt` one namesake is refused, with it two are: both are named, and nothing is minted or recorded."""
    first = site.sandbox.panel_create("bot")
    said = site.refused(site.key())
    assert first.uuid in said
    assert "adopt" in said
    second = site.sandbox.panel_create("bot")
    said = site.refused(site.key(adopt={"secret": "regenerate"}))
    assert first.uuid in said
    assert second.uuid in said
    assert site.mutations() == []
    assert site.delivered() is None
    assert site.resources() == {}
