"""Keys that come to the full provider: from the dynamic one, by an import of a record, and of an API key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from keyturn_provider.plugin import words
from tests.engine.full_site import BOTH
from tests.engine.harness import Program, Site
from tests.engine.test_examples import earlier, example

if TYPE_CHECKING:
    from tests.engine.full_site import FullSite

URN = "urn:pulumi:dev::shop::{}::bot"
WITHOUT_ALIASES = """
import pulumi


def forget(args):
    args.opts.aliases = []
    return pulumi.ResourceTransformationResult(args.props, args.opts)


pulumi.runtime.register_stack_transformation(forget)
"""
"""The beginning of a program that takes the alias of the schema away."""


RULES = """
import pulumi_keyturn


def rule(kind):
    def look(args):
        if args.type_ == "keyturn:index:ModelAccessKey":
            for name in args.props:
                if "secret" in name.lower():
                    pulumi.log.info(f"sees {kind} {name}")

    return look


pulumi.runtime.register_resource_transform(rule("transform"))
pulumi.runtime.register_stack_transformation(rule("transformation"))
pulumi_keyturn.ModelAccessKey("bot", **data)
"""
"""A program with rules of both kinds, which say what they see."""


def dynamic(full: FullSite) -> Site:
    """Return the same stack with programs that declare dynamic resources."""
    site = Site(full.folder, full.engine, full.sandbox, full.openbao, full.prefix, full.variables)
    site.stacks = full.stacks
    return site


@pytest.mark.parametrize("before", ["", WITHOUT_ALIASES], ids=["alias", "no-alias"])
def test_an_unchanged_program_goes_on_with_the_sdk(site: Site, before: str) -> None:
    """`pulumi-alternating`, written for the dynamic resource: one update, and consumers keep their secret.

    A refresh before that up still finds the provider that the old state names. And nothing is lost without the alias.
    """
    site.sandbox.change(create="gone")
    for slot in "ab":
        site.sandbox.panel_create(f"chat-bot-{slot}")
    program = example(site, "pulumi-alternating")
    site.variables["PYTHONPATH"] = str(earlier(site.folder))
    site.up(program)
    kind = words.DYNAMIC[words.KEY]
    assert [item["type"] for item in site.resources().values()] == [kind]
    secret = site.delivered("chat/web")
    del site.variables["PYTHONPATH"]

    main = site.folder / "example" / "__main__.py"
    main.write_text(before + main.read_text())
    site.requests()
    site.refresh()
    moved = {"create": 1, "delete": 1} if before else {"update": 1}
    assert site.preview(program) == {"same": 1, **moved}
    site.up(program)
    assert site.mutations() == []
    assert site.delivered("chat/web") == secret == site.delivered("chat/worker", "OPENAI_API_KEY")
    assert site.accepted("chat/web")
    [key] = [item for item in site.state() if item["type"] == words.KEY]
    assert key["id"] == "chat.dev.chat-bot"
    assert site.resources() == {}
    assert site.preview(program) == {"same": 2}
    site.destroy()
    assert site.mutations() == []
    assert site.leaks() == []


@pytest.mark.parametrize("aliased", [True, False], ids=["alias", "no-alias"])
def test_a_dynamic_resource_moves_over_without_a_changing_request(full: FullSite, aliased: bool) -> None:
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


@pytest.mark.parametrize("kind", [words.DYNAMIC[words.KEY], words.KEY], ids=["type-and-name", "name"])
def test_a_rename_with_the_upgrade_needs_an_alias_with_both(full: FullSite, kind: str) -> None:
    """The old name alone is not found; nothing is changed then, and consumers keep their secret."""
    before = dynamic(full)
    before.up(before.key())
    secret = full.delivered()
    full.requests()
    program = full.key("robot", {"aliases": [URN.format(kind)]}, "bot")
    if kind == words.KEY:
        told = full.refused(program)
        assert "an API key of that name exists already" in told
        assert "`adopt: {secret: existing}` keeps its secret" in told
    else:
        full.up(program)
        assert full.record("shop.dev.bot")["owner"] == "pulumi:shop/dev/robot#provider"
        assert full.preview(program) == {"same": 2}
    assert full.mutations() == []
    assert full.delivered() == secret
    assert full.accepted()


def test_rules_of_a_program_see_other_names(site: Site) -> None:
    """What docs/pulumi.md says: a `transform` sees the names of the schema, a `transformation` those of Python."""
    site.show_preview(Program(RULES, site.inputs(expose_secret=True)))
    seen = [line.split()[-2:] for line in site.screen().splitlines() if "sees " in line]
    assert ["transform", "exposeSecret"] in seen
    assert ["transformation", "expose_secret"] in seen


@BOTH
def test_a_record_is_imported_by_its_id(full: FullSite) -> None:
    """A key that left the state comes back without a changing request."""
    full.up(full.key())
    secret = full.delivered()
    full.forget(URN.format(words.KEY))
    full.requests()
    records = {**full.targets["vault"], "prefix": f"{full.prefix}/keyturn"}
    full.variables["KEYTURN_RECORDS"] = json.dumps(records)
    full.adopt(words.KEY, "bot", "shop.dev.bot")
    assert full.outputs()["uuid"]
    assert "almost certainly a bug" not in full.screen()
    full.up(full.key())
    assert full.mutations() == []
    assert full.delivered() == secret
    assert full.preview(full.key()) == {"same": 2}


@BOTH
def test_an_api_key_is_imported_by_its_uuid(full: FullSite) -> None:
    """A key that nobody manages is taken over with its present secret, by the next up; until then nothing is done."""
    made = full.sandbox.panel_create("bot")
    full.put(made.secret)
    full.requests()
    full.adopt(words.KEY, "bot", made.uuid)
    assert "almost certainly a bug" not in full.screen()
    full.up(full.key())
    assert full.mutations() == []
    assert full.delivered() == made.secret
    assert full.outputs()["uuid"] == made.uuid
    assert full.record("shop.dev.bot")["owner"] == "pulumi:shop/dev/bot#provider"
    assert full.preview(full.key()) == {"same": 2}
    assert full.leaks() == []
