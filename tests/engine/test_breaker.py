"""If something happens to all keys of a stack at once the run stops: it is the token or the API, not the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engine.harness import Program

if TYPE_CHECKING:
    from tests.engine.harness import Site

EACH = "for name in data: ModelAccessKey(name, data[name])"
SCOPES = {"genai:read", "genai:create", "genai:update", "genai:delete"}
"""Without account:read nobody can tell which team a token belongs to."""


def keys(site: Site, *names: str, **changes: object) -> Program:
    """Return a program with these keys."""
    return Program(EACH, {name: site.inputs(name, **changes) for name in names})


def test_a_token_of_another_team_takes_no_key_for_gone(site: Site) -> None:
    """Refresh, up and destroy are refused, with nothing changed anywhere, until an operator says that it is true."""
    site.up(keys(site, "one", "two"))
    right = site.sandbox.token
    before = [(site.record(f"shop.dev.{name}"), site.delivered(name), site.outputs(name)) for name in ("one", "two")]
    site.variables["DIGITALOCEAN_TOKEN"] = site.sandbox.add_token(scopes=SCOPES, team="other").value
    site.requests()
    told = "the API shows none of the 2 live keys of this run (shop.dev.one, shop.dev.two); nothing was done"
    assert told in site.refused_refresh()
    assert told in site.refused(keys(site, "one", "two", rotation_trigger=1), "--continue-on-error")
    assert told in site.refused(keys(site, "one", "two", "three"))
    assert told in site.refused_destroy()
    assert site.mutations() == []
    assert set(site.resources()) == {"one", "two"}
    after = [(site.record(f"shop.dev.{name}"), site.delivered(name), site.outputs(name)) for name in ("one", "two")]
    assert after == before

    site.variables["DIGITALOCEAN_TOKEN"] = right
    assert site.accepted("one")
    assert site.accepted("two")
    for name in ("one", "two"):
        site.sandbox.by_hand("delete", site.outputs(name)["uuid"])
    said = site.refused_refresh()
    assert told in said
    assert "KEYTURN_ONE_BY_ONE=KEY,KEY" in said
    site.variables["KEYTURN_ONE_BY_ONE"] = "shop.dev.one, shop.dev.two"
    site.refresh()
    assert site.resources() == {}


def test_a_blind_token_of_another_team_changes_nothing_of_a_lone_key(site: Site) -> None:
    """One key has no other to vouch for its team: refresh, up and destroy are refused until the operator says more."""
    site.up(keys(site, "one"))
    right, record, secret = site.sandbox.token, site.record("shop.dev.one"), site.delivered("one")
    outputs = site.outputs("one")
    site.variables["DIGITALOCEAN_TOKEN"] = site.sandbox.add_token(scopes=SCOPES, team="other").value
    site.requests()
    for said in (
        site.refused_refresh(),
        site.refused(keys(site, "one", rotation_trigger=1)),
        site.refused(keys(site, "one", "two")),
        site.refused_destroy(),
    ):
        assert "the API shows no API key of shop.dev.one: either they were deleted, or the token is another" in said
        assert "KEYTURN_ONE_BY_ONE=KEY,KEY" in said
        assert "--take-over" not in said
    assert site.mutations() == []
    assert (site.record("shop.dev.one"), site.delivered("one")) == (record, secret)
    assert {name: site.outputs(name) for name in site.resources()} == {"one": outputs}

    site.variables["DIGITALOCEAN_TOKEN"] = right
    site.up(keys(site, "one", rotation_trigger=1))
    assert site.mutations() == ["regenerate"]
    assert site.accepted("one")


def test_an_api_that_refuses_every_key_makes_no_new_secret(site: Site) -> None:
    """With `verify` two refused keys are refused by an ill API, one alone was changed by hand, and is healed."""
    both = keys(site, "one", "two", verify=True)
    site.up(both)
    site.sandbox.arm("models", "error-401", times=None)
    site.requests()
    site.refresh()
    assert all(site.outputs(name)["health"].startswith("refused: ") for name in ("one", "two"))
    assert "refuses every key that was checked (2)" in site.refused(both, "--continue-on-error")
    assert site.mutations() == []

    site.sandbox.clear_faults()
    site.sandbox.by_hand("regenerate", site.outputs("one")["uuid"])
    site.requests()
    site.up(both)
    assert site.mutations() == ["regenerate"]
    assert site.accepted("one")
    assert site.accepted("two")
