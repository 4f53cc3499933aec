"""What a refresh finds, and what a destroy does when the world has moved on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from keyturn_provider import inputs

if TYPE_CHECKING:
    from tests.engine.harness import Site


def test_a_changed_delivery_shows_in_health_and_the_next_up_restores_it(site: Site) -> None:
    """Someone overwrote the secret and renamed the key: refresh says so and writes nothing; the up heals the delivery.

    A record could be forged, so an API key that has neither the entry's name nor the recorded one is not changed.
    """
    site.up(site.key())
    secret = site.delivered()
    site.put("something else")
    site.sandbox.by_hand("rename", site.outputs()["uuid"], "robot")
    site.requests()
    site.refresh()
    assert site.mutations() == []
    health = site.outputs()["health"]
    assert health.startswith("drifted: ")
    assert "holds something other than the live secret" in health
    assert "renamed to 'robot'" in health
    assert site.preview(site.key())["update"] == 1
    assert "is called 'robot', which is no name of this key" in site.refused(site.key())
    assert site.mutations() == []
    assert site.delivered() == secret
    site.sandbox.by_hand("rename", site.outputs()["uuid"], "bot")
    site.up(site.key())
    assert site.outputs()["health"] == "healthy"


def test_a_refused_secret_is_found_with_verify_and_healed_by_a_rotation(site: Site) -> None:
    """Someone regenerated the key elsewhere: with `verify` refresh says that the API refuses what is delivered."""
    site.up(site.key(verify=True))
    site.sandbox.by_hand("regenerate", site.outputs()["uuid"])
    site.requests()
    site.refresh()
    assert site.mutations() == []
    assert site.outputs()["health"].startswith("refused: the API refuses the secret that ")
    site.up(site.key(verify=True))
    assert site.mutations() == ["regenerate"]
    assert site.accepted()


def test_only_a_complete_list_says_that_a_key_is_gone(site: Site) -> None:
    """A list that fails leaves the state as it is; a deleted key leaves it, and the next up makes it again."""
    site.up(site.key())
    site.sandbox.arm("list", "error-500", times=None)
    site.refused_refresh()
    assert "bot" in site.resources()
    site.sandbox.clear_faults()
    before = site.outputs()
    site.sandbox.by_hand("delete", before["uuid"])
    site.refresh()
    assert site.resources() == {}
    site.requests()
    site.up(site.key())
    assert site.mutations()[0] == "create"
    assert site.accepted()
    assert site.outputs()["uuid"] != before["uuid"]


def test_destroy_uses_the_token_of_the_day_and_takes_a_missing_key_for_deleted(site: Site) -> None:
    """The token changed since the up and the key is gone already: destroy cleans the delivery and succeeds."""
    site.up(site.key())
    old, new = site.sandbox.token, site.sandbox.add_token()
    site.variables["DIGITALOCEAN_TOKEN"] = new.value
    site.sandbox.revoke_token(old)
    site.sandbox.by_hand("delete", site.outputs()["uuid"])
    site.requests()
    site.destroy()
    assert {item.status for item in site.requests()} <= {200, 204, 404}
    assert site.delivered() is None
    assert site.resources() == {}


def test_a_clean_up_that_fails_is_tried_again(site: Site) -> None:
    """Where the delivery cannot be cleaned destroy fails and the API key stays; the next destroy does both."""
    site.up(site.key())
    site.requests()
    site.forbid_writing()
    assert f"{site.prefix}/bot" in site.refused_destroy()
    assert site.mutations() == []
    assert site.accepted()
    site.variables["VAULT_TOKEN"] = site.openbao.root_token
    site.destroy()
    assert site.mutations() == ["delete"]
    assert site.delivered() is None


def test_a_key_without_its_record_is_touched_by_no_command(site: Site) -> None:
    """Nobody knows what is to be deleted: destroy is refused as refresh is, and says how to forget the resource."""
    site.up(site.key())
    site.openbao.call("DELETE", f"secret/metadata/{site.prefix}/keyturn/keys/shop.dev.bot")
    site.requests()
    assert "holds no record of this key" in site.refused_refresh()
    said = site.refused_destroy()
    assert "holds no record of this key" in said
    assert "`pulumi state delete`" in said
    assert site.mutations() == []
    assert site.accepted()


def test_a_parked_key_mints_again_when_its_trigger_changes(site: Site) -> None:
    """Refresh and up say what lets it mint again; a changed trigger does, once."""
    site.up(site.key())
    place = f"secret/data/{site.prefix}/keyturn/keys/shop.dev.bot"
    _, entry = inputs.key_of({**site.inputs(), "key": "shop.dev.bot"}, site.environment)
    parked = {"why": "3 runs in a row failed", "at": "2026-08-02T12:00:00Z", "fingerprint": entry.fingerprint}
    record = json.dumps({**site.record("shop.dev.bot"), "parked": parked})
    site.openbao.call("POST", place, {"data": {"document": record}})
    site.requests()
    site.refresh()
    told = "3 runs in a row failed; remove the cause, then change rotation_trigger, smoke"
    assert told in site.outputs()["health"]
    assert told in site.refused(site.key())
    assert site.mutations() == []
    site.up(site.key(rotation_trigger=1))
    assert site.mutations() == ["regenerate"]
    assert site.accepted()
    assert site.outputs()["health"] == "healthy"


def test_a_retained_key_stays_as_it_is(site: Site) -> None:
    """With on_delete='retain' destroy releases the key: its secret stays delivered and accepted."""
    site.up(site.key(on_delete="retain"))
    uuid = site.outputs()["uuid"]
    site.requests()
    site.destroy()
    assert site.mutations() == []
    assert site.accepted()
    assert site.sandbox.state.key(uuid)
