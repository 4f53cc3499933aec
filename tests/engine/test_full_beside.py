"""The full provider on the real engine: what a program declares and calls beside a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from keyturn_provider.plugin import functions, words
from tests.engine.harness import MODEL, Program

if TYPE_CHECKING:
    from tests.engine.yaml_site import YamlSite


def test_a_check_a_function_and_an_exposed_secret(full: YamlSite) -> None:
    """A check reads what the key delivered; a function lists the keys; an exposed secret is encrypted and masked."""
    places = {"targets": full.targets, "smoke": {"model": MODEL}, "deliveries": "${bot.deliveries}"}
    listed = {"fn::invoke": {"function": functions.LIST, "arguments": {}}}
    program = Program(
        data={
            "resources": {
                "bot": full.declared(expose_secret=True),
                "works": {"type": words.SMOKE_CHECK, "properties": places},
            },
            "variables": {"listed": listed},
            "outputs": {"keys": "${listed.keys}", "secret": "${bot.secret}"},
        }
    )
    full.up(program)
    full.requests()
    full.up(program)
    assert full.mutations() == []
    assert full.outputs("works")["verdict"] == "accepted"
    assert [key["name"] for key in full.exports()["keys"]] == ["bot"]
    assert full.exposed("secret") == full.delivered()
    assert full.outputs()["secret"]["ciphertext"]
    assert "[secret]" in full.screen()
    assert full.preview(program) == {"same": 3}
    assert full.leaks() == []


def test_the_program_of_the_page_runs_as_it_stands(full: YamlSite) -> None:
    """Only the vault's address, the path and the place of the records are this test's own."""
    page = Path(__file__).parent.parent.parent / "docs" / "pulumi.md"
    program = yaml.safe_load(page.read_text().partition("```yaml\n")[2].partition("```")[0])
    program["config"]["keyturn:targets"]["value"]["vault"]["address"] = full.openbao.address
    program["config"]["keyturn:records"] = {"value": {"target": "vault", "prefix": f"{full.prefix}/keyturn"}}
    program["resources"]["checkout-bot"]["properties"]["deliver"][0]["path"] = f"{full.prefix}/bot"
    made = full.sandbox.panel_create("checkout-bot-prod")
    full.up(Program(data=program))
    assert full.mutations() == ["regenerate"]
    assert full.outputs("checkout-bot")["uuid"] == made.uuid
    assert full.exports()["where"] == full.outputs("checkout-bot")["deliveries"]
    assert full.accepted()
