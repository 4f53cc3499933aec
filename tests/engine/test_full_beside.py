"""The full provider on the real engine: what a program declares and calls beside a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn_provider.plugin import functions, words
from tests.engine.full_site import BOTH
from tests.engine.harness import MODEL, Program

if TYPE_CHECKING:
    from tests.engine.full_site import FullSite


@BOTH
def test_a_check_a_function_and_an_exposed_secret(full: FullSite) -> None:
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
