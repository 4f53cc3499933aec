"""Who owns a key: renamed resources and stacks, the command line, and lookups by id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml
from click.testing import CliRunner

from keyturn.cli import main
from tests.engine.harness import TIMING, Program

if TYPE_CHECKING:
    import pytest

    from tests.engine.harness import Site

KEY = "checkout-bot"
LOOK_UP = """
found = ModelAccessKey("bot", opts=pulumi.ResourceOptions(id="shop.dev.bot"))
pulumi.export("digest", found.digest)
pulumi.export("path", found.deliveries[0]["path"])
pulumi.export("health", found.health)
"""
COMPONENTS = """
class Component(pulumi.ComponentResource):
    def __init__(self, type_, name, inputs):
        super().__init__(f"a:b:{type_}", name)
        self.key = ModelAccessKey("key", inputs, pulumi.ResourceOptions(parent=self))


for type_, name, inputs in data:
    Component(type_, name, inputs)
"""


def test_a_renamed_resource_keeps_its_key(site: Site) -> None:
    """With an alias the key, its record and its secret stay, owned under the new name; no mint, no delete."""
    site.up(site.key())
    secret = site.delivered()
    site.requests()
    site.up(site.key("robot", "aliases=[pulumi.Alias(name='bot')]", path="bot"))
    assert site.mutations() == []
    assert site.delivered() == secret
    assert site.resources()["robot"]["id"] == "shop.dev.bot"
    assert site.record("shop.dev.bot")["owner"] == "pulumi:shop/dev/robot"
    assert site.preview(site.key("robot", path="bot")) == {"same": 2}
    # A new resource of the old name gets no hold of it.
    both = Program(
        "for name in data: ModelAccessKey(name, data[name])", {"bot": site.inputs("other"), "robot": site.inputs()}
    )
    assert "pulumi:shop/dev/robot" in site.refused(both)
    assert site.accepted()


def test_resources_of_one_name_in_two_components_have_a_key_each(site: Site) -> None:
    """The component is part of the default id and of the owner, so a later run takes nothing from the first one."""
    site.up(Program(COMPONENTS, [["C0", "one", site.inputs("one")]]))
    secret = site.delivered("one")
    site.requests()
    both = [["C0", "one", site.inputs("one")], ["C1", "two", site.inputs("two")]]
    site.up(Program(COMPONENTS, both))
    assert site.mutations() == ["create", "rename"]
    assert site.delivered("one") == secret
    assert site.accepted("two")
    assert site.record("shop.dev.one.key")["owner"] == "pulumi:shop/dev/a:b:C0::one/key"
    assert site.preview(Program(COMPONENTS, both)) == {"same": 5}
    # Components of one name and two types: their urns differ, and so do the owners of their keys.
    same = [*both, ["C2", "one", site.inputs("three")]]
    said = site.refused_preview(Program(COMPONENTS, same))
    assert "key: two resources of this program have the key 'shop.dev.one.key'; the other one is" in said
    said = site.refused(Program(COMPONENTS, same[2:]))
    assert "its record belongs to 'pulumi:shop/dev/a:b:C0::one/key'" in said
    assert "take_over=True moves it here" in said
    assert site.delivered("one") == secret


def test_a_key_is_looked_up_by_its_id(site: Site) -> None:
    """Another stack reads references and facts by the id and KEYTURN_RECORDS; nothing is written or minted."""
    site.up(site.key())
    digest = site.outputs()["digest"]
    site.requests()
    site.variables["KEYTURN_RECORDS"] = json.dumps({**site.targets["vault"], "prefix": f"{site.prefix}/keyturn"})
    site.stack = "consumer"

    site.up(Program(LOOK_UP))
    assert site.exports() == {"digest": digest, "path": f"{site.prefix}/bot", "health": "healthy"}
    assert site.mutations() == []
    site.destroy()
    assert site.mutations() == []
    assert site.accepted()


def test_the_command_line_and_pulumi_refuse_each_other_until_a_take_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One key, two owners: the second is told who has it; a take-over moves it both ways without a mint."""
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    inputs = site.inputs()
    manifest = {
        "apiVersion": "keyturn/v1",
        "name": "platform",
        "targets": inputs["targets"],
        "records": inputs["records"],
        "timing": TIMING,
        "keys": {KEY: {"name": "bot", "deliver": inputs["deliver"], "smoke": inputs["smoke"]}},
    }
    file = site.folder / "keyturn.yaml"
    file.write_text(yaml.safe_dump(manifest))

    def keyturn(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*arguments, "-f", str(file), "--yes"], prog_name="keyturn")
        return result.exit_code, result.output

    assert keyturn("apply")[0] == 0
    secret = site.delivered()
    site.requests()

    said = site.refused(site.key(key=KEY))
    assert "its record belongs to 'platform'" in said
    assert site.mutations() == []

    site.up(site.key(key=KEY, take_over=True, rotation_trigger="first"))
    assert site.mutations() == []
    assert site.delivered() == secret
    code, output = keyturn("apply")
    assert code == 4
    assert "pulumi:shop/dev/bot" in output

    assert keyturn("apply", "--take-over")[0] == 0
    site.refresh()
    assert "its record belongs to 'platform'" in site.outputs()["health"]
    assert "its record belongs to 'platform'" in site.refused(site.key(key=KEY))
    site.destroy()
    assert site.mutations() == []
    assert site.delivered() == secret
    assert site.accepted()
