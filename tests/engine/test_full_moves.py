"""Keys that come to the full provider: from the dynamic one, by an import of a record, and of an API key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from keyturn_provider.plugin import words
from tests.engine.harness import Site

if TYPE_CHECKING:
    from tests.engine.yaml_site import YamlSite

URN = "urn:pulumi:dev::shop::{}::bot"


def dynamic(full: YamlSite) -> Site:
    """Return the same stack with programs that declare dynamic resources."""
    site = Site(full.folder, full.engine, full.sandbox, full.openbao, full.prefix, full.variables)
    site.stacks = full.stacks
    return site


@pytest.mark.parametrize("aliased", [True, False], ids=["alias", "no-alias"])
def test_a_dynamic_resource_moves_over_without_a_changing_request(full: YamlSite, aliased: bool) -> None:
    """With the alias it is one update. Without it a new resource takes the key, and the old one leaves it alone."""
    before = dynamic(full)
    before.up(before.key())
    secret = full.delivered()
    full.requests()
    options = {"aliases": [URN.format(words.DYNAMIC[words.KEY])]} if aliased else {}
    program = full.key(options=options)
    full.up(program)
    assert full.mutations() == []
    assert full.delivered() == secret
    assert full.accepted()
    assert [item["urn"] for item in full.resources().values()] == [URN.format(words.KEY)]
    assert before.resources() == {}
    assert full.resources()["bot"]["id"] == "shop.dev.bot"
    assert full.record("shop.dev.bot")["owner"] == "pulumi:shop/dev/bot#provider"
    assert full.preview(program) == {"same": 2}
    told = before.refused(before.key())
    assert "its record belongs to 'pulumi:shop/dev/bot#provider'" in told
    assert full.delivered() == secret


def test_a_record_is_imported_by_its_id(full: YamlSite) -> None:
    """A key that left the state comes back without a changing request."""
    full.up(full.key())
    secret = full.delivered()
    full.forget(URN.format(words.KEY))
    full.requests()
    records = {**full.targets["vault"], "prefix": f"{full.prefix}/keyturn"}
    full.variables["KEYTURN_RECORDS"] = json.dumps(records)
    full.adopt(words.KEY, "bot", "shop.dev.bot")
    assert full.outputs()["uuid"]
    full.up(full.key())
    assert full.mutations() == []
    assert full.delivered() == secret
    assert full.preview(full.key()) == {"same": 2}


def test_an_api_key_is_imported_by_its_uuid(full: YamlSite) -> None:
    """A key that nobody manages is taken over with its present secret, by the next up; until then nothing is done."""
    made = full.sandbox.panel_create("bot")
    full.put(made.secret)
    full.requests()
    full.adopt(words.KEY, "bot", made.uuid)
    full.up(full.key())
    assert full.mutations() == []
    assert full.delivered() == made.secret
    assert full.outputs()["uuid"] == made.uuid
    assert full.record("shop.dev.bot")["owner"] == "pulumi:shop/dev/bot#provider"
    assert full.preview(full.key()) == {"same": 2}
    assert full.leaks() == []
