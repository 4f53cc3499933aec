"""How often an operation reads the record of its key: once, whatever the operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.contract.relay import relay

if TYPE_CHECKING:
    from tests.engine.harness import Site

KEY = "shop.dev.bot"


def test_each_operation_reads_its_record_once(site: Site) -> None:
    """Create, update, refresh and destroy read it once, a renamed resource twice; a failed update reads it once."""
    asked: list[bytes] = []
    with relay(site.openbao.address, asked.append) as before:
        site.vault = before.url

        def reads(do: Callable[[], object]) -> int:
            asked.clear()
            do()
            # A name that ends here: the same path with a query is a read of one version.
            path = f"GET /v1/secret/data/{site.prefix}/keyturn/keys/{KEY} ".encode()
            return sum(request.startswith(path) for request in asked)

        found = {
            "create": reads(lambda: site.up(site.key())),
            "up at rest": reads(lambda: site.up(site.key())),
            "update": reads(lambda: site.up(site.key(rotation_trigger=1))),
            "read": reads(site.refresh),
        }
        again = site.key("robot", "aliases=[pulumi.Alias(name='bot')]", path="bot", rotation_trigger=1)
        found["rename"] = reads(lambda: site.up(again))
        site.sandbox.arm("regenerate", "error-403", times=None)
        change = site.key("robot", path="bot", rotation_trigger=2)
        found["failed update"] = reads(lambda: site.refused(change))
        site.sandbox.clear_faults()
        found["delete"] = reads(site.destroy)
    assert found == {
        "create": 1,
        "up at rest": 0,
        "update": 1,
        "read": 1,
        "rename": 2,
        "failed update": 1,
        "delete": 1,
    }
